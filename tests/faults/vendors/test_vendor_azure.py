"""Azure OpenAI, spoken natively: its two surfaces, its content filter, and its own words for what went wrong."""

from typing import Any

import azure_format as azure
import pytest
from conftest import KEY
from fake_provider import FakeProvider, Script
from served_gateway import Serve, ServedGateway
from vendor_stories import PICTURE, TOOLS, choice, counts, finishes

pytestmark = pytest.mark.rig

DEPLOYMENT = "claims ft"
DATED = azure.dated_path("claims%20ft")
UNDATED = "/openai/v1/chat/completions"
BOTH_WAYS = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
SURFACES = pytest.mark.parametrize("path", [UNDATED, DATED], ids=["the surface without a version", "the dated surface"])


async def serve_azure(
    serve: Serve, provider: FakeProvider, script: Script, *, path: str = UNDATED, **route: Any
) -> ServedGateway:
    """Serve a route whose primary is a deployment; the fallback speaks plain OpenAI."""
    provider.paths[path] = script
    account = {"kind": "azure", "base_url": provider.base_url.removesuffix("/v1"), "api_key_env": "AZURE_KEY"}
    if path == DATED:
        account["api_version"] = azure.VERSION
    primary = {"provider": "first", "model": DEPLOYMENT, "base": azure.MODEL}
    return await serve({"primary": primary, **route}, first=account, environ={"AZURE_KEY": KEY})


@SURFACES
@BOTH_WAYS
async def test_a_deployment_is_asked_on_either_surface(
    serve: Serve, provider: FakeProvider, path: str, streams: bool
) -> None:
    gateway = await serve_azure(serve, provider, azure.STREAM if streams else azure.answers(), path=path)
    answer = await (gateway.stream() if streams else gateway.chat())
    assert answer.headers["x-gateway-served-by"] == "primary"
    (call,) = provider.chats()
    assert (call.path, call.header("api-key"), call.header("authorization")) == (path, KEY, None)
    assert call.json["model"] == DEPLOYMENT
    (row,) = await gateway.rows(1)
    assert (row.model_asked, row.model_answered, row.outcome) == (DEPLOYMENT, azure.MODEL, "ok")
    assert counts(row) == (100, 60, 0, 20, 0)


async def test_a_stream_whose_first_event_is_about_the_prompt_is_passed_on_whole(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve_azure(serve, provider, azure.STREAM)
    answer = await gateway.stream()
    assert answer.chunks[0] == azure.ABOUT_THE_PROMPT
    assert (answer.text, finishes(answer.chunks), answer.done) == ("Hello there.", ["stop"], True)


async def test_what_the_filter_found_is_passed_on_with_the_answer(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve_azure(serve, provider, azure.answers())
    answer = await gateway.chat()
    assert answer.json()["prompt_filter_results"] == azure.PROMPT_RESULTS
    assert choice(answer)["content_filter_results"] == azure.SAFE


async def test_a_stream_that_the_filter_ended_is_complete(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve_azure(serve, provider, azure.STREAM_FILTERED)
    answer = await gateway.stream()
    assert (answer.text, finishes(answer.chunks), answer.done) == ("Hello", ["content_filter"], True)
    (row,) = await gateway.rows(1)
    assert row.outcome == "ok"


async def test_tools_and_pictures_are_passed_on_as_they_are(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve_azure(serve, provider, azure.answers())
    await gateway.chat(messages=PICTURE, tools=TOOLS, max_completion_tokens=77)
    (call,) = provider.chats()
    assert call.json == {"model": DEPLOYMENT, "messages": PICTURE, "tools": TOOLS, "max_completion_tokens": 77}


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        pytest.param(azure.NOT_DEPLOYED, "model_ambiguous", id="the deployment is not there, or not yet"),
        pytest.param(azure.DEPRECATED, "model_gone", id="its model was retired"),
        pytest.param(azure.WRONG_KEY, "authentication", id="the key is wrong"),
        pytest.param(azure.NOT_ALLOWED, "authentication", id="the identity has no such role"),
    ],
)
@BOTH_WAYS
async def test_who_cannot_answer_is_stood_in_for(
    serve: Serve, provider: FakeProvider, script: Script, seen: str, streams: bool
) -> None:
    gateway = await serve_azure(serve, provider, script, path=DATED if streams else UNDATED)
    answer = await gateway.chat(stream=streams)
    assert (answer.status_code, answer.headers["x-gateway-served-by"]) == (200, "fallback")
    rows = await gateway.rows_of_callers(2)
    assert [(row.failure, row.outcome) for row in rows] == [(seen, "failed"), (None, "ok")]


@pytest.mark.parametrize("script", [azure.WRONG_KEY, azure.NOT_ALLOWED], ids=["a wrong key", "a missing role"])
async def test_what_is_said_of_our_key_reaches_no_caller(serve: Serve, provider: FakeProvider, script: Script) -> None:
    gateway = await serve_azure(serve, provider, script, fallbacks=[])
    answer = await gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_authentication")
    assert "subscription key" not in answer.text and "principal" not in answer.text and KEY not in answer.text


async def test_a_path_that_is_not_there_says_nothing_of_the_model(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve_azure(serve, provider, azure.WRONG_PATH, path=DATED, fallbacks=[])
    answer = await gateway.chat()
    (row,) = await gateway.rows_of_callers(1)
    assert row.failure not in ("model_gone", "model_no_access")
    assert answer.status_code >= 400


@BOTH_WAYS
async def test_a_rate_limit_is_passed_on_with_its_time(serve: Serve, provider: FakeProvider, streams: bool) -> None:
    gateway = await serve_azure(serve, provider, azure.BUSY)
    answer = await gateway.chat(stream=streams)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
    (row,) = await gateway.rows(1)
    assert row.failure == "rate_limited"


@pytest.mark.parametrize(
    ("script", "seen", "code", "words"),
    [
        pytest.param(azure.TOO_LONG, "context_too_long", "context_length_exceeded", "maximum context", id="too long"),
        pytest.param(azure.FILTERED, "content_refused", "content_filter", "content management policy", id="filtered"),
    ],
)
@BOTH_WAYS
async def test_what_the_caller_can_mend_the_caller_reads(
    serve: Serve, provider: FakeProvider, script: Script, seen: str, code: str, words: str, streams: bool
) -> None:
    gateway = await serve_azure(serve, provider, script)
    answer = await gateway.chat(stream=streams)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, code)
    assert words in error["message"]
    (row,) = await gateway.rows(1)
    assert (row.failure, row.status) == (seen, 400)
