"""What vendors with formats of their own say when they do not answer: who answers then, and who reads which words."""

import json
from typing import Any

import anthropic_format as anthropic
import bedrock_format as bedrock
import gemini_format as gemini
import pytest
from conftest import KEY, ServeVendor
from fake_provider import Script
from served_gateway import eventually
from vendor_refusals import KEY_REFUSED, LATER, MOVED_ON, QUOTED, THE_CALLERS, Refusal
from vendor_server import event_stream

pytestmark = pytest.mark.rig

BOTH_WAYS = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])


def each(*refusals: Refusal) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("refusal", [pytest.param(refusal, id=refusal.id) for refusal in refusals])


@each(*MOVED_ON, *KEY_REFUSED)
@BOTH_WAYS
async def test_who_cannot_answer_is_stood_in_for(serve_vendor: ServeVendor, refusal: Refusal, streams: bool) -> None:
    gateway, server = await serve_vendor(refusal.kind)
    server.usual = refusal.script
    answer = await gateway.chat(stream=streams)
    assert (answer.status_code, answer.headers["x-gateway-served-by"]) == (200, "fallback")
    rows = await gateway.rows_of_callers(2)
    assert [(row.failure, row.outcome) for row in rows] == [(refusal.seen, "failed"), (None, "ok")]
    assert len(server.asked()) == 1 or refusal.seen.startswith("model_"), "litellm retries nothing"


@each(*KEY_REFUSED)
async def test_what_is_said_of_our_key_reaches_no_caller_and_no_log(
    serve_vendor: ServeVendor, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert QUOTED == KEY
    gateway, server = await serve_vendor(refusal.kind, fallbacks=[])
    server.usual = refusal.script
    answer = await gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_authentication")
    told = answer.text + str(answer.headers) + "".join(capsys.readouterr())
    assert KEY not in told
    assert "invalid" not in answer.text and "not valid" not in answer.text


@each(*LATER)
@BOTH_WAYS
async def test_a_rate_limit_is_passed_on_with_its_time(
    serve_vendor: ServeVendor, refusal: Refusal, streams: bool
) -> None:
    gateway, server = await serve_vendor(refusal.kind)
    server.usual = refusal.script
    answer = await gateway.chat(stream=streams)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    (row,) = await gateway.rows(1)
    assert (row.failure, row.status) == (refusal.seen, 429)


@each(*THE_CALLERS)
@BOTH_WAYS
async def test_what_the_caller_can_mend_the_caller_reads(
    serve_vendor: ServeVendor, refusal: Refusal, streams: bool
) -> None:
    gateway, server = await serve_vendor(refusal.kind)
    server.usual = refusal.script
    answer = await gateway.chat(stream=streams)
    error = answer.json()["error"]
    assert (answer.status_code, error["message"]) == (400, refusal.said)
    (row,) = await gateway.rows(1)
    assert (row.failure, row.status) == (refusal.seen, 400)


# Streams that fail after they were promised.

_SAID = {
    "anthropic": (anthropic.begun(), *anthropic.text_block("Hello")[:2]),
    "gemini": (gemini.event(gemini.HALVES[0]),),
    "bedrock": (bedrock.BEGUN, bedrock.text_block("Hello")[0]),
}
_OVERLOADED = gemini.event(gemini.error(503, "UNAVAILABLE", "The model is overloaded."))
_STREAMS: dict[str, Any] = {"anthropic": anthropic.streamed, "bedrock": bedrock.streamed, "gemini": event_stream}
_UNKIND = "The vendor's own words."


@pytest.mark.parametrize(
    ("kind", "script", "seen"),
    [
        pytest.param("anthropic", anthropic.streamed(anthropic.error_event()), "overloaded", id="Anthropic: at once"),
        pytest.param(
            "anthropic",
            anthropic.streamed(anthropic.begun(), anthropic.PING, anthropic.error_event()),
            "overloaded",
            id="Anthropic: behind its opening",
        ),
        pytest.param("anthropic", anthropic.streamed(), "server_error", id="Anthropic: a stream of nothing"),
        pytest.param("gemini", event_stream(_OVERLOADED), "overloaded", id="Gemini: at once"),
        pytest.param("gemini", event_stream(), "server_error", id="Gemini: a stream of nothing"),
        pytest.param(
            "bedrock",
            bedrock.streamed(bedrock.BEGUN, bedrock.exception("serviceUnavailableException", "Away.")),
            "overloaded",
            id="Bedrock: behind its opening",
        ),
        pytest.param(
            "bedrock",
            bedrock.streamed(bedrock.exception("modelStreamErrorException", "It broke.")),
            "server_error",
            id="Bedrock: a model that breaks is no caller's mistake, though its status is a 424",
        ),
        pytest.param("bedrock", bedrock.streamed(), "server_error", id="Bedrock: a stream of nothing"),
    ],
)
async def test_a_stream_that_fails_before_it_says_anything_is_answered_by_somebody_else(
    serve_vendor: ServeVendor, kind: str, script: Script, seen: str
) -> None:
    gateway, server = await serve_vendor(kind)
    server.usual = script
    answer = await gateway.stream()
    assert (answer.headers["x-gateway-served-by"], answer.text, answer.done) == ("fallback", "Hello.", True)
    rows = await gateway.rows_of_callers(2)
    assert [row.failure for row in rows] == [seen, None]


@pytest.mark.parametrize(
    ("kind", "last", "then"),
    [
        pytest.param("anthropic", anthropic.error_event(text=_UNKIND), "closed", id="Anthropic: an error event"),
        pytest.param("anthropic", b"", "closed", id="Anthropic: the connection ends"),
        pytest.param("anthropic", b"", "reset", id="Anthropic: the connection is cut"),
        pytest.param(
            "gemini", gemini.event(gemini.error(503, "UNAVAILABLE", _UNKIND)), "closed", id="Gemini: an error event"
        ),
        pytest.param("gemini", b"", "closed", id="Gemini: the connection ends"),
        pytest.param("gemini", b"", "reset", id="Gemini: the connection is cut"),
        pytest.param(
            "bedrock", bedrock.exception("modelStreamErrorException", _UNKIND), "closed", id="Bedrock: an exception"
        ),
        pytest.param("bedrock", b"", "closed", id="Bedrock: the connection ends"),
        pytest.param("bedrock", b"", "reset", id="Bedrock: the connection is cut"),
    ],
)
async def test_a_stream_that_fails_later_ends_in_one_error_and_never_as_if_it_were_whole(
    serve_vendor: ServeVendor, kind: str, last: bytes, then: str
) -> None:
    gateway, server = await serve_vendor(kind)
    server.usual = _STREAMS[kind](*_SAID[kind], *([last] if last else []), then=then)
    answer = await gateway.stream()
    assert (answer.status, answer.headers["x-gateway-served-by"], answer.text) == (200, "primary", "Hello")
    assert len(answer.errors) == 1 and not answer.done
    assert "error" in answer.chunks[-1]
    assert _UNKIND not in answer.raw.decode()
    assert not [chunk for chunk in answer.chunks if any(each["finish_reason"] for each in chunk.get("choices", ()))]
    (row,) = await gateway.rows(1)
    assert (row.failure, row.outcome, row.usage_source) == ("interrupted", "interrupted", "interrupted")


# Callers.


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "bedrock"])
async def test_a_caller_who_leaves_ends_the_call_at_the_vendor(serve_vendor: ServeVendor, kind: str) -> None:
    gateway, server = await serve_vendor(kind)
    server.usual = _STREAMS[kind](*_SAID[kind], then="stalled")
    async with gateway.calling(stream=True) as caller:
        await caller.receive_until(b"Hello")
    (call,) = server.asked()
    await eventually(call.closed.is_set, "the vendor's connection has ended")
    (row,) = await gateway.rows(1)
    assert row.outcome == "cancelled"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("api_base", "http://127.0.0.1:1/", id="another address"),
        pytest.param("api_key", "sk-mine", id="another key"),
        pytest.param("custom_llm_provider", "openai", id="another provider"),
        pytest.param("fallbacks", ["gpt-4o"], id="litellm's own fallbacks"),
        pytest.param("mock_response", "Hi!", id="an answer that nobody gave"),
        pytest.param("extra_headers", {"x-api-key": "sk-mine"}, id="headers"),
        pytest.param("extra_body", {"model": "another"}, id="a body within the body"),
    ],
)
async def test_a_field_that_litellm_would_obey_never_reaches_it(
    serve_vendor: ServeVendor, field: str, value: object
) -> None:
    gateway, server = await serve_vendor("anthropic")
    answer = await gateway.chat(**{field: value})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, field, "unknown_parameter")
    assert server.asked() == []
    assert json.dumps(value) not in answer.text
