"""Another model answers than was asked: the answer passes, and everybody can see it."""

from typing import Any

import pytest
from fake_provider import FakeProvider, chunk, completion, says, streams, usage_chunk
from served_gateway import Serve

END = (chunk(finish="stop", model="cheaper"), usage_chunk(), b"data: [DONE]\n\n")
FIRST = chunk("Hel", model="cheaper")
UNNAMED = chunk("Hel", model="")
PROMPT_FILTER = {"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": []}


def by(model: str, *, stream: bool) -> Any:
    return streams(chunk("Hello.", model=model), *END) if stream else says(completion(model=model))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_substitute_is_named_in_headers_metric_and_ledger(
    serve: Serve, provider: FakeProvider, stream: bool
) -> None:
    provider.models["tuned"] = by("base", stream=stream)
    gateway = await serve(first={"kind": "vllm"})
    answer = await gateway.chat(stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-gateway-model"] == "base"
    assert answer.headers["x-gateway-substituted"] == "tuned"
    assert answer.headers["x-gateway-served-by"] == "primary"
    assert await gateway.metric("gateway_substitutions_total", route="reply") == 1
    (row,) = await gateway.rows(1)
    assert (row.model_asked, row.model_answered, row.substituted) == ("tuned", "base", 1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("named", ["tuned", "tuned-2026-09-22", "acme/tuned"])
async def test_the_model_that_was_asked_for_is_no_substitute_however_it_is_spelt(
    serve: Serve, provider: FakeProvider, stream: bool, named: str
) -> None:
    provider.models["tuned"] = by(named, stream=stream)
    gateway = await serve()
    answer = await gateway.chat(stream=stream)
    assert answer.headers["x-gateway-model"] == "tuned"
    assert "x-gateway-substituted" not in answer.headers
    assert await gateway.metric("gateway_substitutions_total", route="reply") == 0
    (row,) = await gateway.rows(1)
    assert (row.model_answered, row.substituted) == (named, 0)
    assert row.cost_nanousd == 10 * 1_000 + 4 * 2_000


async def test_headers_of_the_next_good_answer_say_nothing_of_it(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = by("base", stream=False)
    gateway = await serve()
    await gateway.chat()
    provider.models["tuned"] = by("tuned", stream=False)
    answer = await gateway.chat()
    assert answer.headers["x-gateway-model"] == "tuned"
    assert "x-gateway-substituted" not in answer.headers


async def test_a_stream_that_names_its_model_late_is_still_counted_and_noted(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = streams(PROMPT_FILTER, FIRST, *END)
    gateway = await serve()
    await gateway.stream()
    assert await gateway.metric("gateway_substitutions_total", route="reply") == 1
    (row,) = await gateway.rows(1)
    assert (row.model_answered, row.substituted) == ("cheaper", 1)


async def test_an_answer_that_names_nobody_is_taken_at_its_word(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = streams(PROMPT_FILTER, UNNAMED, chunk(finish="stop", model=""), END[2])
    gateway = await serve()
    await gateway.stream()
    (row,) = await gateway.rows(1)
    assert (row.model_answered, row.substituted) == (None, 0)


async def test_a_name_that_no_header_can_carry_is_tamed(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says(completion(model="évil\r\nx-injected: 1"))
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.headers["x-gateway-model"] == "?vil??x-injected: 1"
    assert "x-injected" not in answer.headers


async def test_a_deployment_of_which_nothing_is_known_is_never_called_a_substitute(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = by("gpt-4o-mini-2024-07-18", stream=False)
    gateway = await serve(first={"kind": "azure", "api_key_env": "KEY"}, environ={"KEY": "secret"})
    answer = await gateway.chat()
    assert "x-gateway-substituted" not in answer.headers
    (row,) = await gateway.rows(1)
    assert (row.substituted, row.cost_nanousd) == (0, 10 * 1_000 + 4 * 2_000)


# What a request asks of a model, beside it.


@pytest.mark.parametrize(
    ("body", "traits"),
    [
        pytest.param({}, "", id="nothing special"),
        pytest.param({"temperature": 0.2, "tools": [], "acme": 1}, "temperature,tools,unlisted_parameter", id="much"),
    ],
)
async def test_the_ledger_knows_what_the_caller_asked_of_a_model(
    serve: Serve, body: dict[str, Any], traits: str
) -> None:
    gateway = await serve(base={"parameters": {"set": {"top_p": 1}}})
    assert (await gateway.chat("reply@fallback", **body)).status_code == 200
    (row,) = await gateway.rows(1)
    assert row.traits == traits, "the caller's request, not what the fallback was sent"
