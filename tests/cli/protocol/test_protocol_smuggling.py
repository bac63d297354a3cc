"""What could be read in two ways is refused, and its connection ends: nothing behind it is ever taken for a request."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from limited_server import LimitedServer, limited_server, statuses

from gateway.reasons import ProtocolRefusal

CORPUS: Final = Path(__file__).parents[2] / "data" / "ambiguous_requests.jsonl"
ROWS: Final[list[dict[str, Any]]] = [json.loads(line) for line in CORPUS.read_text().splitlines()]
GET: Final = b"GET /%b HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


async def refused(server: LimitedServer, *sent: bytes) -> dict[str, Any]:
    said = await server.says(*sent)
    assert statuses(said) == [400], "never a second answer"
    head, _, body = said.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"connection: close" in lines and b"content-type: application/json" in lines
    error: dict[str, Any] = orjson.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "malformed_request")
    assert b"x-request-id: " + error["request_id"].encode() in lines
    return error


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
async def test_it_is_refused_and_the_connection_ends(row: dict[str, Any]) -> None:
    raw = row["raw"].encode("latin-1")
    async with limited_server() as server:
        await refused(server, raw)
        # In pieces it is no better: what is looked at while it arrives must not let pass what is refused whole.
        await refused(server, *(raw[at : at + 7] for at in range(0, min(len(raw), 70), 7)), raw[70:])
    assert not [asked for asked in server.asked if asked.path == "/second"]
    assert not [asked for asked in server.asked if not asked.left]
    assert server.refusals == {ProtocolRefusal(row["refusal"]): 2}


def test_there_are_enough_of_them() -> None:
    assert len({row["name"] for row in ROWS}) == len(ROWS) >= 60


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        pytest.param(b"Content-Length:3\r\n\r\nabc", b"abc", id="a length without a space"),
        pytest.param(b"content-length: \t3 \r\n\r\nabc", b"abc", id="a length with blanks around it"),
        pytest.param(b"Content-Length: 003\r\n\r\nabc", b"abc", id="a length with zeros before it"),
        pytest.param(b"Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc", id="chunks in capitals"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n03\r\nabc\r\n00\r\n\r\n", b"abc", id="sizes with zeros"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"", id="no chunks"),
        pytest.param(b"X: \xe9\r\nContent-Length: 3\r\n\r\nabc", b"abc", id="a header that is not ASCII"),
        pytest.param(b"X:\r\nContent-Length: 3\r\n\r\nabc", b"abc", id="a header without a value"),
        pytest.param(
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\nContent-Length: 3\r\n\r\nabc",
            b"abc",
            id="an offer of HTTP/2 which is ignored with its body kept",
        ),
        pytest.param(
            b"CONNECTION: UPGRADE\r\nUPGRADE: WEBSOCKET\r\nContent-Length: 3\r\n\r\nabc",
            b"abc",
            id="an offer of a WebSocket in capitals",
        ),
    ],
)
async def test_what_is_no_fault_is_served(raw: bytes, body: bytes) -> None:
    whole = b"POST /x HTTP/1.1\r\nHost: gateway.test\r\n" + raw
    async with limited_server() as server:
        for pieces in ([whole], [whole[at : at + 1] for at in range(len(whole))]):
            async with server.caller(*pieces) as caller:
                answer = await caller.read_until(b"\r\n\r\n" + body)
                assert answer.startswith(b"HTTP/1.1 200 ")
                await caller.send(GET % b"last")
                assert (await caller.read_all()).startswith(b"HTTP/1.1 200 "), "the connection is used again"
    assert [asked.body for asked in server.asked] == [body, b"", body, b""]
    assert not server.refusals


@pytest.mark.parametrize(
    ("line", "host"),
    [
        pytest.param(b"GET http://gateway.test/last HTTP/1.1", b"gateway.test", id="a whole URL for the same host"),
        pytest.param(b"GET HTTP://Gateway.test:80/last HTTP/1.1", b"gateway.TEST:80", id="in other letters"),
        pytest.param(b"GET /last HTTP/1.1", b"[::1]:8080", id="a host that is an IPv6 address"),
    ],
)
async def test_hosts_that_agree(line: bytes, host: bytes) -> None:
    async with limited_server() as server:
        said = await server.says(line + b"\r\nHost: " + host + b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 ")
    assert [asked.path for asked in server.asked] == ["/last"]


async def test_http_1_0_needs_no_host_and_gets_one_answer() -> None:
    async with limited_server() as server:
        said = await server.says(b"GET / HTTP/1.0\r\n\r\n" + GET % b"second")
    assert statuses(said) == [200]
    assert [asked.path for asked in server.asked] == ["/"]


async def test_requests_in_one_packet_are_answered_in_their_order_one_after_another() -> None:
    post = b"POST /b HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1\r\n\r\nb"
    chunks = b"POST /c HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n"
    async with limited_server() as server:
        said = await server.says(GET % b"a" + post + b"\r\n" + chunks + GET % b"last")
    assert statuses(said) == [200] * 4
    assert said.index(b"\r\n\r\nb") < said.index(b"\r\n\r\nc")
    assert [asked.path for asked in server.asked] == ["/a", "/b", "/c", "/last"]


async def test_a_line_end_behind_a_body_is_no_request_however_late_it_comes() -> None:
    post = b"POST /b HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1\r\n\r\nb"
    async with limited_server() as server, server.caller(post + b"\r\n") as caller:
        assert b"connection: close" not in await caller.read_until(b"\r\n\r\nb")
        await caller.send(b"\r\n")
        # It has arrived by the time that another caller is answered.
        assert statuses(await server.says(GET % b"last")) == [200]
        await caller.send(GET % b"last")
        assert statuses(await caller.read_all()) == [200]
    assert [asked.path for asked in server.asked] == ["/b", "/last", "/last"]
    assert not server.refusals


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"garbage", id="words"),
        pytest.param(b"GARBAGE\r\n\r\n", id="a line"),
        pytest.param(b"\x00\x01\x02", id="bytes"),
        pytest.param(b"GET /second HTTP/1.1\r\n\r\n", id="a request without a host"),
        pytest.param(b"0\r\n\r\nGET /second HTTP/1.1\r\nHost: gateway.test\r\n\r\n", id="a chunk where none may be"),
    ],
)
async def test_garbage_behind_a_body_ends_the_connection_with_its_answer(garbage: bytes) -> None:
    async with limited_server() as server:
        said = await server.says(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 3\r\n\r\nabc" + garbage)
    assert statuses(said) == [200] and b"connection: close" in said
    assert [asked.body for asked in server.asked] == [b"abc"]


async def test_a_refusal_after_an_answer_is_said_and_ends_the_connection() -> None:
    async with limited_server() as server, server.caller(GET % b"a") as caller:
        assert (await caller.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await caller.send(b"GET /b HTTP/1.1\r\n\r\n")
        assert (await caller.read_all()).startswith(b"HTTP/1.1 400 ")
    assert [asked.path for asked in server.asked] == ["/a"]


async def test_a_refusal_is_read_although_its_caller_goes_on_sending() -> None:
    async with limited_server() as server, server.caller(b"GET / HTTP/9\r\n\r\n") as caller:

        async def flood() -> None:
            for _ in range(3):
                await caller.send(b"x" * 50_000)

        sending = asyncio.create_task(flood())
        assert (await caller.read_all()).startswith(b"HTTP/1.1 400 ")
        await sending
