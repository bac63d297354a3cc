"""Streams that break, lie, or arrive in pieces."""

import json
from typing import Any

import pytest
from fake_provider import (
    DONE,
    STREAM_HEAD,
    WHOLE_STREAM,
    Call,
    FakeProvider,
    Script,
    chunk,
    framed,
    refuses,
    says,
    sse,
    streams,
    writes,
)
from served_gateway import Serve

PLAIN_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
BODY = b"".join(map(sse, WHOLE_STREAM))
NOT_UTF8 = b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n'
ERROR = {"error": {"message": "the engine fell over at 10.0.0.7", "type": "server_error", "code": None}}

CUTS: list[Any] = [
    pytest.param(streams(chunk("Hel"), then="reset"), "upstream_disconnected", id="a RST"),
    pytest.param(streams(chunk("Hel"), then="fin"), "upstream_disconnected", id="a FIN within the transfer coding"),
    pytest.param(streams(chunk("Hel"), then="end"), "upstream_disconnected", id="a clean end without a finish_reason"),
    pytest.param(writes(PLAIN_HEAD, sse(chunk("Hel"))), "upstream_disconnected", id="a FIN without a finish_reason"),
    pytest.param(
        streams(chunk("Hel"), chunk(finish="stop"), then="fin"),
        "upstream_disconnected",
        id="a finish_reason, and then a FIN within the transfer coding",
    ),
    pytest.param(
        streams(chunk("Hel"), b'data: {"choices": [{\n\n', chunk("lo."), *WHOLE_STREAM[2:]),
        "upstream_disconnected",
        id="an event that is no JSON",
    ),
    pytest.param(streams(chunk("Hel"), b"data: 7\n\n"), "upstream_disconnected", id="an event that is no object"),
    pytest.param(streams(chunk("Hel"), chunk(choices="abc")), "upstream_disconnected", id="an event of another shape"),
    pytest.param(streams(chunk("Hel"), NOT_UTF8), "upstream_disconnected", id="an event that is no UTF-8"),
    pytest.param(
        writes(STREAM_HEAD, framed(sse(chunk("Hel"))), b"zz\r\nno chunk\r\n", then="stall"),
        "upstream_disconnected",
        id="a transfer coding that breaks",
    ),
    pytest.param(
        writes(PLAIN_HEAD.replace(b"close", b"close\r\ncontent-length: 5000"), sse(chunk("Hel"))),
        "upstream_disconnected",
        id="a content-length that promises too much",
    ),
    pytest.param(streams(chunk("Hel"), ERROR, chunk("lo."), *WHOLE_STREAM[2:]), "upstream_error", id="an error event"),
    pytest.param(
        streams(chunk("Hel"), {"error": "overloaded"}), "upstream_error", id="an error event that is only a word"
    ),
]


@pytest.mark.parametrize(("script", "code"), CUTS)
async def test_an_answer_that_breaks_off_ends_in_one_error_event_and_nothing_behind_it(
    serve: Serve, provider: FakeProvider, script: Script, code: str
) -> None:
    provider.models["tuned"] = script
    gateway = await serve()
    answer = await gateway.stream()
    assert (answer.status, answer.text) == (200, "Hel")
    (error,) = answer.errors
    assert error | {"message": ""} == {
        "message": "",
        "type": "api_error",
        "param": None,
        "code": code,
        "request_id": answer.headers["x-request-id"],
    }
    assert answer.data[-1] == json.dumps({"error": error}, separators=(",", ":"), ensure_ascii=False)
    assert not answer.done
    assert b"10.0.0.7" not in answer.raw, "what failed inside the provider is not the caller's business"
    assert provider.chats("base") == [], "after the first byte there is no fallback"
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.failure, row.status) == ("interrupted", "interrupted", 200)
    assert (row.usage_source, row.output_tokens) == ("interrupted", 1)
    assert row.cost_nanousd > 0


WHOLE: list[Any] = [
    pytest.param(streams(*WHOLE_STREAM), id="as usual"),
    pytest.param(streams(*WHOLE_STREAM[:-1]), id="a clean end without [DONE]: it is supplied"),
    pytest.param(writes(PLAIN_HEAD, *map(sse, WHOLE_STREAM[:-1])), id="a FIN after the finish_reason"),
    pytest.param(writes(PLAIN_HEAD, BODY[:-2]), id="no blank line at the end"),
    pytest.param(streams(*WHOLE_STREAM, then="fin"), id="[DONE], and then no end of the transfer coding"),
    pytest.param(streams(*WHOLE_STREAM, then="stall"), id="[DONE], and then silence"),
    pytest.param(streams(*WHOLE_STREAM, then="reset"), id="[DONE], and then a RST"),
    pytest.param(streams(BODY.replace(b"\n", b"\r\n")), id="lines that end in CRLF"),
    pytest.param(streams(BODY.replace(b"\n", b"\r")), id="lines that end in CR"),
    pytest.param(streams(b"\xef\xbb\xbf" + BODY), id="a byte order mark"),
    pytest.param(streams(BODY.replace(b"data: ", b"data:")), id="no space behind the colon"),
    pytest.param(streams(BODY.replace(b"\n\n", b"\n\n\n\n")), id="more blank lines than needed"),
    pytest.param(streams(b": hello\n\n" + BODY), id="a comment first"),
    pytest.param(writes(STREAM_HEAD + framed(BODY) + b"0\r\nserver-timing: x\r\n\r\n"), id="trailers"),
    pytest.param(writes(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + PLAIN_HEAD, BODY), id="an interim answer"),
]


@pytest.mark.parametrize("script", WHOLE)
async def test_an_answer_that_ended_well_is_passed_on_whole(
    serve: Serve, provider: FakeProvider, script: Script
) -> None:
    provider.models["tuned"] = script
    gateway = await serve()
    answer = await gateway.stream()
    assert (answer.text, answer.errors) == ("Hello.", [])
    assert answer.data.count("[DONE]") == 1 and answer.data[-1] == "[DONE]"
    assert answer.headers["content-type"] == "text/event-stream"
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.failure) == ("ok", None)
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (10, 4, "provider")


@pytest.mark.parametrize("line_end", [pytest.param(b"\n", id="LF"), pytest.param(b"\r\n", id="CRLF")])
async def test_a_stream_in_pieces_of_one_byte_is_put_together_exactly(
    serve: Serve, provider: FakeProvider, line_end: bytes
) -> None:
    text = "Grüße, 世界 🚀"
    whole = b"data: " + json.dumps(chunk(text), ensure_ascii=False).encode() + b"\n\n" + BODY
    whole = whole.replace(b"\n", line_end)
    pieces = b"".join(framed(whole[i : i + 1]) for i in range(len(whole)))

    async def script(call: Call) -> None:
        data = STREAM_HEAD + pieces + b"0\r\n\r\n"
        for i in range(0, len(data), 7):
            await call.send(data[i : i + 7])

    provider.models["tuned"] = script
    gateway = await serve()
    answer = await gateway.stream()
    assert (answer.text, answer.done, answer.errors) == (text + "Hello.", True, [])
    assert text.encode() in answer.raw, "the bytes themselves, not another spelling of them"
    assert (await gateway.rows(1))[0].outcome == "ok"


BEFORE: list[Any] = [
    pytest.param(streams({"error": {"message": "boom", "code": 503}}), "overloaded", id="an error as the first event"),
    pytest.param(
        streams({"error": {"message": "The model `tuned` does not exist", "code": "model_not_found"}}),
        "model_gone",
        id="an error event that says the model is gone",
    ),
    pytest.param(
        says({"error": {"message": "The model `tuned` does not exist", "code": "model_not_found"}}),
        "model_gone",
        id="a JSON error within a 200, where events were asked for",
    ),
    pytest.param(streams(b'data: {"choices": [{\n\n'), "server_error", id="a first event that is no JSON"),
    pytest.param(streams(DONE), "server_error", id="[DONE] and nothing before it"),
    pytest.param(streams(DONE, then="stall"), "server_error", id="[DONE] and nothing before it, and no end"),
    pytest.param(streams(), "server_error", id="an end before the first event"),
    pytest.param(says(), "server_error", id="a whole answer, where events were asked for"),
    pytest.param(says(b"<html>welcome</html>", headers={"content-type": "text/html"}), "server_error", id="a web page"),
    pytest.param(streams(then="reset"), "connection", id="a RST behind the headers"),
    pytest.param(refuses(500, "boom"), "server_error", id="a 500"),
]


@pytest.mark.parametrize(("script", "failure"), BEFORE)
async def test_what_breaks_before_the_first_event_is_answered_by_the_fallback(
    serve: Serve, provider: FakeProvider, script: Script, failure: str
) -> None:
    provider.models["tuned"] = script
    gateway = await serve({"timeouts": {"first_token_s": 3}})
    answer = await gateway.stream()
    assert (answer.text, answer.done, answer.errors) == ("Hello.", True, [])
    assert answer.headers["x-gateway-served-by"] == "fallback"
    assert len(provider.chats("tuned")) == 1
    failed, ok = (row for row in await gateway.rows_of_callers(2))
    assert (failed.outcome, failed.failure, ok.outcome) == ("failed", failure, "ok")


async def test_an_endless_line_is_cut_long_before_it_fills_the_memory(serve: Serve, provider: FakeProvider) -> None:
    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD + framed(sse(chunk("Hel"))) + framed(b"data: "))
        part = framed(b"x" * 65_536)
        for _ in range(1_600):
            await call.send(part)

    provider.models["tuned"] = script
    gateway = await serve()
    answer = await gateway.stream()
    assert (answer.text, len(answer.errors), answer.done) == ("Hel", 1, False)
    (call,) = provider.chats("tuned")
    assert call.sent_bytes < 16 * 1024 * 1024, "of 100 MiB; what the sockets hold included"
    assert len(answer.raw) < 2_000
    assert (await gateway.rows(1))[0].outcome == "interrupted"


async def test_a_flood_of_comments_before_the_first_event_is_not_kept(serve: Serve, provider: FakeProvider) -> None:
    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD)
        part = framed(b": nothing yet\n\n" * 4_000)
        for _ in range(100):
            await call.send(part)
        await call.send(framed(BODY) + b"0\r\n\r\n")

    provider.models["tuned"] = script
    gateway = await serve()
    answer = await gateway.stream()
    assert (answer.text, answer.done) == ("Hello.", True)
    assert len(answer.raw) < 1_000_000, "of 6 MB of comments"
    await gateway.rows(1)
