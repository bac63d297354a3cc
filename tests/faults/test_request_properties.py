"""Whatever a caller sends: what arrives upstream is the same but for what the route says, on every endpoint."""

import json
from typing import Any

import orjson
import pytest
from fake_provider import GONE, FakeProvider, says
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served_gateway import Serve, ServedGateway

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(-1e15, 1e15)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
UNKNOWN = st.dictionaries(TEXT.map(lambda name: f"x_{name}"), VALUES, max_size=5)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "developer", "odd"])},
        optional={"content": TEXT | st.lists(st.dictionaries(TEXT, VALUES, max_size=3), max_size=3), "name": VALUES},
    ),
    min_size=1,
    max_size=4,
)
ASKED = {
    "/v1/chat/completions": st.fixed_dictionaries({"messages": MESSAGES}, optional={"temperature": VALUES}),
    "/v1/responses": st.fixed_dictionaries({"input": TEXT | MESSAGES}, optional={"metadata": VALUES}),
    "/v1/embeddings": st.fixed_dictionaries({"input": TEXT | st.lists(TEXT, min_size=1, max_size=3)}),
    "/v1/completions": st.fixed_dictionaries({"prompt": TEXT}, optional={"echo": VALUES}),
    "/v1/moderations": st.fixed_dictionaries({"input": VALUES}),
}
ANSWERS = {
    "/v1/responses": {"id": "resp_1", "output": [], "usage": {"input_tokens": 1, "output_tokens": 1}},
    "/v1/embeddings": {"data": [], "usage": {"prompt_tokens": 1, "total_tokens": 1}},
    "/v1/completions": {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
    "/v1/moderations": {"results": []},
}
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def ask(gateway: ServedGateway, path: str, body: dict[str, Any]) -> None:
    headers = {"content-type": "application/json"}
    answer = await gateway.client.post(path, content=json.dumps(body, ensure_ascii=False).encode(), headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ASKED)
async def test_the_primary_gets_what_the_caller_sent_with_its_own_name_in_it(
    serve: Serve, provider: FakeProvider, path: str
) -> None:
    if path in ANSWERS:
        provider.paths[path] = says(ANSWERS[path])
    gateway = await serve()
    sent: list[dict[str, Any]] = []

    @MANY
    @given(ASKED[path], UNKNOWN)
    def generate(known: dict[str, Any], unknown: dict[str, Any]) -> None:
        sent.append({"model": "reply", **known, **unknown})

    generate()
    for body in sent:
        await ask(gateway, path, body)
        # As the gateway's own parser reads it: what counts is that it is the same on both sides.
        assert orjson.loads(provider.chats()[-1].body) == orjson.loads(orjson.dumps(body | {"model": "tuned"}))


async def test_a_fallback_gets_it_with_its_prompt_and_its_parameters_and_nothing_else_changed(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = GONE
    prompt = {"instructions": "Play {{the}} part.", "examples": [{"user": "a", "assistant": "b"}]}
    parameters = {"rename": {"max_tokens": "max_completion_tokens"}, "set": {"effort": "none"}, "drop": ["logit_bias"]}
    gateway = await serve(base={"prompt": prompt, "parameters": parameters})
    sent: list[dict[str, Any]] = []
    touched = st.fixed_dictionaries({}, optional={"max_tokens": VALUES, "logit_bias": VALUES, "effort": VALUES})

    @MANY
    @given(ASKED["/v1/chat/completions"], UNKNOWN, touched)
    def generate(known: dict[str, Any], unknown: dict[str, Any], touched: dict[str, Any]) -> None:
        sent.append({"model": "reply@fallback", **known, **unknown, **touched})

    generate()
    shown = [
        {"role": "system", "content": "Play {{the}} part."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    for body in sent:
        await ask(gateway, "/v1/chat/completions", body)
        expected = body | {"model": "base", "messages": [*shown, *body["messages"]], "effort": "none"}
        if "max_tokens" in expected:
            expected["max_completion_tokens"] = expected.pop("max_tokens")
        expected.pop("logit_bias", None)
        assert orjson.loads(provider.chats()[-1].body) == orjson.loads(orjson.dumps(expected))
