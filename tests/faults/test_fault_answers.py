"""Whole answers that are none, and what of a good one reaches the caller."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from fake_provider import Call, FakeProvider, Script, completion, framed, reply, says, writes
from served_gateway import Serve, eventually

GOOD = reply(completion())
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
TEXT = json.dumps(completion()).encode()

BAD: list[Any] = [
    pytest.param(says(b"", 204), "server_error", id="204"),
    pytest.param(says(b"", 200), "server_error", id="nothing at all"),
    pytest.param(says(b"<html>Welcome</html>", 200, {"content-type": "text/html"}), "server_error", id="a web page"),
    pytest.param(says(b"<html>Not found</html>", 404, {"content-type": "text/html"}), "server_error", id="an HTML 404"),
    pytest.param(says(b"", 302, {"location": "/v1/elsewhere"}), "server_error", id="a redirect"),
    pytest.param(says(b"", 307, {"location": "/v1/elsewhere"}), "server_error", id="a redirect that keeps the body"),
    pytest.param(says(b'"Hello."'), "server_error", id="JSON, but no object"),
    pytest.param(says(completion(choices=None)), "server_error", id="an object without choices"),
    pytest.param(says(completion(choices={})), "server_error", id="choices that are no list"),
    pytest.param(says(TEXT.replace(b"Hello.", b"\xff\xfe")), "server_error", id="no UTF-8"),
    pytest.param(says({"error": {"message": "boom", "type": "server_error"}}), "server_error", id="an error in a 200"),
    pytest.param(
        writes(HEAD + b"content-length: %d\r\n\r\n%b" % (len(TEXT) + 9, TEXT)), "connection", id="less than promised"
    ),
    pytest.param(
        writes(HEAD + b"content-length: %d\r\n\r\n%b" % (len(TEXT) - 9, TEXT)), "server_error", id="more than promised"
    ),
    pytest.param(
        writes(HEAD + b"transfer-encoding: chunked\r\n\r\n" + framed(TEXT)), "connection", id="chunks without an end"
    ),
    pytest.param(
        writes(HEAD + b"transfer-encoding: chunked\r\n\r\n" + framed(TEXT) + b"zz\r\n", then="stall"),
        "server_error",
        id="chunks that break",
    ),
    pytest.param(
        writes(HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n" + framed(TEXT) + b"0\r\n\r\n"),
        "server_error",
        id="a length and chunks at once",
    ),
    pytest.param(writes(b"SSH-2.0-OpenSSH_9.6\r\n", then="stall"), "server_error", id="no HTTP"),
    pytest.param(writes(b""), "connection", id="a FIN instead of an answer"),
    pytest.param(writes(b"HTTP/1.1 200 OK\r\ncontent-"), "connection", id="a FIN within the headers"),
    pytest.param(
        writes(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhi", then="stall"),
        "server_error",
        id="101: another protocol, unasked",
    ),
    pytest.param(
        says(gzip.compress(TEXT), headers={"content-encoding": "gzip"}), "server_error", id="gzip, though unasked"
    ),
    pytest.param(
        writes(HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b" " * (64 << 20)), then="stall"),
        "server_error",
        id="a bomb of gzip",
    ),
    pytest.param(
        says(completion(), headers=[(f"x-{i}", "y" * 100) for i in range(1_000)]), "server_error", id="1,000 headers"
    ),
    pytest.param(
        writes(b"HTTP/1.1 200 OK\r\nx: ", *(b"y" * 65_536,) * 8, then="stall"), "server_error", id="an endless header"
    ),
    pytest.param(
        writes(*(b"HTTP/1.1 103 Early Hints\r\nlink: </%b>\r\n\r\n" % (b"x" * 1000),) * 200, then="stall"),
        "server_error",
        id="endless interim answers",
    ),
]


@pytest.mark.parametrize(("script", "failure"), BAD)
async def test_what_is_no_answer_is_answered_by_the_fallback_or_else_with_a_502(
    serve: Serve, provider: FakeProvider, script: Script, failure: str
) -> None:
    provider.models["tuned"] = script
    gateway = await serve(more_routes={"alone": {"primary": "tuned", "fallbacks": []}})
    answer = await gateway.chat()
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "Hello."
    assert (answer.headers["x-gateway-served-by"], answer.headers["x-gateway-attempts"]) == ("fallback", "2")
    assert answer.headers["x-gateway-reason"] == failure
    refused = await gateway.chat("alone")
    assert refused.status_code == 502
    assert refused.json()["error"]["code"] == ("upstream_unreachable" if failure == "connection" else "bad_upstream")
    assert refused.headers["x-should-retry"] == "false"
    asked = {call.path for call in provider.calls} - {"/v1/models"}
    assert asked == {"/v1/chat/completions"}, "no redirect is followed"
    rows = await gateway.rows(3)
    assert [(row.outcome, row.failure) for row in rows] == [("failed", failure), ("ok", None), ("failed", failure)]
    for row in rows[::2]:
        if row.usage_source == "interrupted":
            # An answer that had begun may be billed although it never arrived whole: its input is charged.
            assert row.status == 200
            assert row.input_tokens > 0
            assert row.output_tokens == 0
        elif row.usage_source == "provider":
            # It could not be passed on, and it counts what will be billed; "base" answered.
            assert (row.input_tokens, row.output_tokens, row.cost_nanousd) == (10, 4, 10 * 3000 + 4 * 4000)
        else:
            assert (row.usage_source, row.input_tokens, row.output_tokens, row.cost_nanousd) == ("none", 0, 0, 0)


async def test_an_answer_that_breaks_after_its_200_is_charged_for_its_input(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = writes(HEAD + b"content-length: 10000\r\n\r\n", TEXT)
    gateway = await serve()
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "fallback"
    broken, _ = await gateway.rows(2)
    assert (broken.status, broken.outcome, broken.usage_source) == (200, "failed", "interrupted")
    assert broken.input_tokens > 0


async def test_an_answer_that_never_began_is_charged_nothing(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = writes(b"")
    gateway = await serve()
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "fallback"
    broken, _ = await gateway.rows(2)
    assert (broken.usage_source, broken.input_tokens, broken.cost_nanousd) == ("none", 0, 0)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(says(), id="as usual"),
        pytest.param(writes(b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD), id="behind a 100"),
        pytest.param(writes(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", GOOD), id="behind a 103"),
        pytest.param(writes(HEAD + b"connection: close\r\n\r\n", TEXT), id="ended by the connection's end"),
        pytest.param(writes(b"HTTP/1.0 200 OK\r\n\r\n", TEXT), id="from HTTP/1.0"),
        pytest.param(writes(*(GOOD[i : i + 1] for i in range(len(GOOD)))), id="byte by byte"),
        pytest.param(says(headers={"content-type": "text/plain"}), id="with another content type"),
    ],
)
async def test_an_answer_in_any_good_shape_is_the_answer(serve: Serve, provider: FakeProvider, script: Script) -> None:
    provider.models["tuned"] = script
    gateway = await serve()
    answer = await gateway.chat()
    assert (answer.status_code, answer.headers["x-gateway-served-by"]) == (200, "primary")
    assert answer.json()["choices"][0]["message"]["content"] == "Hello."
    assert (await gateway.rows(1))[0].outcome == "ok"


async def test_two_answers_to_one_request_never_reach_the_next_request(serve: Serve, provider: FakeProvider) -> None:
    async def script(call: Call) -> None:
        call.keeps_alive = True
        await call.send(GOOD + reply(completion("Poison.")))

    provider.models["tuned"] = script
    gateway = await serve()
    for _ in range(3):
        answer = await gateway.chat()
        assert "Poison" not in answer.text
        assert answer.status_code == 200
    assert len({call.line for call in provider.chats("tuned")}) == len(provider.chats("tuned"))
    await gateway.rows(int(await gateway.metric("gateway_upstream_attempts_total")))


async def test_what_a_provider_says_unasked_is_never_the_next_requests_answer(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    assert (await gateway.chat()).status_code == 200
    (first,) = provider.chats()
    first.line.transport.write(reply(completion("Poison.")))
    await asyncio.wait_for(first.closed.wait(), 5)
    answer = await gateway.chat()
    assert (answer.headers["x-gateway-served-by"], answer.headers["x-gateway-attempts"]) == ("primary", "1")
    assert "Poison" not in answer.text
    assert provider.chats()[1].line is not first.line
    await gateway.rows(2)


async def test_a_kept_connection_that_the_provider_closed_is_not_used_again(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    for _ in range(3):
        answer = await gateway.chat()
        assert (answer.headers["x-gateway-served-by"], answer.headers["x-gateway-attempts"]) == ("primary", "1")
        last = provider.chats()[-1]
        last.line.transport.close()
        await asyncio.wait_for(last.closed.wait(), 5)
        await eventually(lambda: not provider.lines, "the connection is closed on both sides")
        # One turn of the gateway's loop, so that it has read the FIN.
        await gateway.client.get("/healthz")
    await gateway.rows(3)


async def test_of_the_providers_headers_none_reaches_the_caller(serve: Serve, provider: FakeProvider) -> None:
    hostile = {
        "set-cookie": "session=stolen",
        "x-request-id": "the-providers-own",
        "x-gateway-provider": "liar",
        "openai-organization": "acme-internal",
        "access-control-allow-origin": "*",
        "location": "http://evil.example",
        "x-should-retry": "true",
        "server": "cloudflare",
    }
    provider.models["tuned"] = says(headers=hostile)
    gateway = await serve()
    answer = await gateway.chat(headers={"x-request-id": "mine_1"})
    own = {name for name in answer.headers if name.startswith("x-gateway-")}
    assert set(answer.headers) - own - {"date"} == {"content-type", "content-length", "x-request-id"}
    assert own == {
        f"x-gateway-{name}" for name in ("route", "provider", "model", "served-by", "reason", "attempts", "overhead-ms")
    }
    assert answer.headers["x-request-id"] == "mine_1"
    assert answer.headers["x-gateway-provider"] == "first"
    (row,) = await gateway.rows(1)
    assert row.request_id == "mine_1"


async def test_an_answers_bytes_are_passed_on_untouched(serve: Serve, provider: FakeProvider) -> None:
    odd = b' {"model":"tuned-2026",\n "choices": [ {"message":{"content":"\\u00e9 \xc3\xa9"}, "x":1.0e0}],"n":[null]}\n'
    provider.models["tuned"] = says(odd)
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.content == odd
    assert (await gateway.rows(1))[0].model_answered == "tuned-2026"


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        pytest.param("tuned\0-2026", "tuned-2026", id="a NUL within a name"),
        pytest.param("\0", None, id="a NUL and nothing else"),
        pytest.param("é" * 300, "é" * 150, id="more than 300 bytes"),
        pytest.param("e" + "é" * 150, "e" + "é" * 149, id="a character on both sides of the 300th byte"),
    ],
)
async def test_what_a_database_would_refuse_in_a_models_name_is_not_in_the_row(
    serve: Serve, provider: FakeProvider, named: str, kept: str | None
) -> None:
    provider.models["tuned"] = says(completion(model=named))
    gateway = await serve()
    await gateway.chat()
    assert (await gateway.rows(1))[0].model_answered == kept


async def test_a_substitution_passes_and_is_counted(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says(completion(model="something-cheaper"))
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.json()["model"] == "something-cheaper"
    assert answer.headers["x-gateway-model"] == "something-cheaper"
    assert await gateway.metric("gateway_substitutions_total", route="reply") == 1
    (row,) = await gateway.rows(1)
    assert (row.model_asked, row.model_answered, row.cost_nanousd) == ("tuned", "something-cheaper", None)


async def test_an_answer_without_end_is_cut_at_its_limit(serve: Serve, provider: FakeProvider) -> None:
    async def script(call: Call) -> None:
        await call.send(HEAD + b"\r\n")
        for _ in range(4_000):
            await call.send(b" " * 65_536)

    provider.models["tuned"] = script
    gateway = await serve()
    answer = await gateway.chat()
    assert answer.headers["x-gateway-served-by"] == "fallback"
    assert provider.chats("tuned")[0].sent_bytes < 80 * 1024 * 1024
    assert (await gateway.rows(2))[0].failure == "server_error"
