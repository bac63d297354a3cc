"""What one connection may take of the gateway: time, bytes, lines, and patience with what it does not read."""

import asyncio
import socket
import struct
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from limited_server import SHORT, Asked, LimitedServer, limited_server, statuses, until

from gateway.reasons import ProtocolRefusal

HOST: Final = b"Host: gateway.test\r\n"
GET: Final = b"GET /%b HTTP/1.1\r\n" + HOST + b"\r\n"
POST: Final = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n"
CHUNKED: Final = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def code_of(said: bytes) -> str:
    """The code of the error that one answer holds, in OpenAI's shape and with an id."""
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"connection: close" in head and b"content-type: application/json" in head
    error: dict[str, Any] = orjson.loads(body)["error"]
    assert f"x-request-id: {error['request_id']}".encode() in head
    return str(error["code"])


@pytest.mark.parametrize(
    ("sent", "refusal", "at_s"),
    [
        pytest.param([b"GET / HT"], ProtocolRefusal.HEADER_TIMEOUT, 0.4, id="half a first line"),
        pytest.param([GET[:-2] % b""], ProtocolRefusal.HEADER_TIMEOUT, 0.4, id="a head without its end"),
        pytest.param([POST % 10_000], ProtocolRefusal.BODY_TIMEOUT, 0.4, id="no body"),
        pytest.param([POST % 10_000, b"x" * 100], ProtocolRefusal.BODY_TIMEOUT, 0.4, id="a body that stops"),
        pytest.param([CHUNKED, b"3\r\nab"], ProtocolRefusal.BODY_TIMEOUT, 0.4, id="a chunk that stops"),
        pytest.param([POST % 10_000, b"x" * 9_999], ProtocolRefusal.BODY_TIMEOUT, 0.8, id="a body but for a byte"),
    ],
)
async def test_what_does_not_arrive_in_time_is_a_408(sent: list[bytes], refusal: ProtocolRefusal, at_s: float) -> None:
    async with limited_server() as server, server.caller(*sent) as caller:
        said = await caller.read_all()
        assert at_s - 0.1 <= caller.age_s < at_s + 2
    assert statuses(said) == [408]
    assert code_of(said) == "request_timeout"
    assert server.refusals == {refusal: 1}
    assert all(asked.left for asked in server.asked), "the app was told that its caller is gone"


@pytest.mark.parametrize(
    ("begins", "goes_on", "pause_s", "ends_by_s"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nX: ", b"a" * 300, 0.02, 0.4, id="of a head"),
        pytest.param(POST % 1_000, b"x" * 300, 0.02, 0.4, id="of a body, at less than the least rate"),
        pytest.param(CHUNKED, b"1\r\nx\r\n" * 300, 0.02, 0.4, id="of chunks"),
        pytest.param(POST % 100_000, b"x" * 5_000, 0.0, 0.8, id="of a body, fast enough but without end"),
    ],
)
async def test_a_byte_now_and_then_moves_no_deadline(
    begins: bytes, goes_on: bytes, pause_s: float, ends_by_s: float
) -> None:
    async with limited_server() as server, server.caller(begins) as caller:
        trickling = asyncio.create_task(caller.trickle(goes_on, pause_s))
        assert statuses(await caller.read_all()) == [408]
        assert caller.age_s < ends_by_s + 2
        await trickling


async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    async with limited_server() as server, server.caller() as caller:
        assert await caller.read_all() == b""
        assert 0.3 <= caller.age_s < 2.4
    assert server.refusals == {ProtocolRefusal.HEADER_TIMEOUT: 1}


async def test_the_next_request_has_its_own_time_and_an_idle_connection_another() -> None:
    async with limited_server() as server, server.caller(GET % b"a") as caller:
        await caller.read_until(b"\r\n\r\n")
        await asyncio.sleep(0.45)
        assert caller.age_s > SHORT.header_s
        await caller.send(GET % b"b")
        await caller.read_until(b"\r\n\r\n")
        assert await caller.read_all() == b"", "idle for too long"
    assert not server.refusals
    async with limited_server() as server, server.caller(GET % b"a") as caller:
        await caller.read_until(b"\r\n\r\n")
        await caller.send(b"GET /b")
        assert statuses(await caller.read_all()) == [408]


def lines(count: int) -> bytes:
    return b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"x%d: y\r\n" % at for at in range(count - 1)) + b"\r\n"


def sized(count: int) -> bytes:
    """A head whose headers are so many bytes."""
    return b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * (count - len(HOST) - 5) + b"\r\n\r\n"


def long_url(count: int) -> bytes:
    return b"GET /" + b"u" * (count - 1) + b" HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.mark.parametrize("at_once", [True, False], ids=["in one packet", "in many"])
@pytest.mark.parametrize(
    ("head", "status", "refusal"),
    [
        pytest.param(lines(100), 200, None, id="100 headers"),
        pytest.param(lines(101), 431, ProtocolRefusal.TOO_MANY_HEADERS, id="101 headers"),
        pytest.param(sized(32_768), 200, None, id="32 KiB of headers"),
        pytest.param(sized(32_800), 431, ProtocolRefusal.TOO_LARGE_HEADERS, id="more than 32 KiB of headers"),
        pytest.param(long_url(8_192), 200, None, id="a URL of 8 KiB"),
        pytest.param(long_url(8_300), 414, ProtocolRefusal.LONG_URL, id="a longer URL"),
    ],
)
async def test_sizes(head: bytes, status: int, refusal: ProtocolRefusal | None, at_once: bool) -> None:
    pieces = [head] if at_once else [head[at : at + 1_000] for at in range(0, len(head), 1_000)]
    async with limited_server() as server:
        async with server.caller() as caller:
            for piece in pieces:
                await caller.send(piece)
                await asyncio.sleep(0.001)
            said = await caller.read_until(b"\r\n\r\n")
        assert statuses(said) == [status]
    assert server.refusals == ({refusal: 1} if refusal is not None else {})


@pytest.mark.parametrize(
    ("begins", "goes_on", "status", "code"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nX: ", b"y" * 65_536, 431, "headers_too_large", id="one header"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 10_000, 431, "headers_too_large", id="many headers"),
        pytest.param(b"GET /", b"u" * 65_536, 414, "url_too_long", id="a URL"),
        pytest.param(b"", b"M" * 65_536, 400, "malformed_request", id="a method"),
    ],
)
async def test_heads_without_end_are_counted_while_they_arrive(
    begins: bytes, goes_on: bytes, status: int, code: str
) -> None:
    async with limited_server() as server, server.caller(begins) as caller:

        async def flood() -> int:
            sent = 0
            try:
                while sent < 64 << 20:
                    await caller.send(goes_on)
                    sent += len(goes_on)
            except ConnectionError:
                pass
            return sent

        flooding = asyncio.create_task(flood())
        said = await caller.read_all()
        sent = await asyncio.wait_for(flooding, 10)
    assert statuses(said) == [status] and code_of(said) == code
    assert sent < 48 << 20, "nobody reads on"


async def test_one_caller_too_many_is_told_so_at_once() -> None:
    async with (
        limited_server(most=2) as server,
        server.caller(GET % b"a") as first,
        server.caller(GET % b"b") as second,
    ):
        for caller in (first, second):
            await caller.read_until(b"\r\n\r\n")
        said = await server.says(GET % b"c")
        assert statuses(said) == [503] and b"retry-after: 1\r\n" in said
        assert code_of(said) == "too_many_connections"
        first.raw.close()
        await until(lambda: len(server.watch) == 1, "the first has gone")
        async with server.caller(GET % b"d") as fourth:
            assert statuses(await fourth.read_until(b"\r\n\r\n")) == [200]
    assert [asked.path for asked in server.asked] == ["/a", "/b", "/d"]
    assert server.refusals == {ProtocolRefusal.TOO_MANY_CONNECTIONS: 1}


async def test_who_takes_nothing_of_an_answer_is_given_up() -> None:
    async with limited_server() as server, server.caller(receive_buffer=4_096) as caller:
        await caller.send(b"GET /size/20000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: server.refusals[ProtocolRefusal.SLOW_READER] == 1, "it is given up")
        assert caller.age_s < 3
        await until(lambda: not server.server.server_state.connections, "its connection is closed")


async def test_who_reads_slowly_but_goes_on_is_not() -> None:
    async with limited_server() as server, server.caller(receive_buffer=4_096) as caller:
        await caller.send(b"GET /size/400000 HTTP/1.1\r\n" + HOST + b"\r\n")
        received = len(await caller.read_until(b"\r\n\r\n"))
        while received < 400_000:
            received += len(await caller.read(120_000))
            await asyncio.sleep(0.01)
        assert caller.age_s > SHORT.write_s
    assert not server.refusals


async def test_an_answer_before_the_end_of_a_small_body_keeps_the_connection() -> None:
    async with limited_server() as server:
        early = b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n"
        async with server.caller(early) as caller:
            await caller.read_until(b"\r\n\r\n")
            await caller.send(b"x" * 1_000 + GET % b"last")
            assert statuses(await caller.read_all()) == [200]
        async with server.caller(early) as caller:
            assert statuses(await caller.read_all()) == [200], "and where it never comes, nothing more is said"
    assert [asked.path for asked in server.asked] == ["/early", "/last", "/early"]


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param(b"Content-Length: 1000000000\r\n", b"x" * 65_536, id="of a length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", b"fff0\r\n" + b"x" * 0xFFF0 + b"\r\n", id="in chunks"),
        pytest.param(b"Content-Length: 100\r\nExpect: 100-continue\r\n", b"", id="that waits for a word"),
    ],
)
async def test_an_answer_before_the_end_of_a_large_body_ends_the_connection(head: bytes, body: bytes) -> None:
    async with (
        limited_server() as server,
        server.caller(b"POST /early HTTP/1.1\r\n" + HOST + head + b"\r\n" + body) as caller,
    ):
        assert statuses(await caller.read_all()) == [200]
        await until(lambda: not server.server.server_state.connections, "its connection is closed")
    assert not server.refusals


async def test_expect_is_answered_once_the_app_reads() -> None:
    async with limited_server() as server, server.caller() as caller:
        await caller.send(b"POST /last HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await caller.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await caller.send(b"abc")
        assert (await caller.read_all()).endswith(b"\r\n\r\nabc")


async def test_at_a_stop_requests_that_are_not_complete_are_not_waited_for() -> None:
    long = replace(SHORT, header_s=60.0, body_s=60.0, body_grace_s=60.0)
    async with (
        limited_server(long) as server,
        server.caller(b"GET / HT") as head,
        server.caller(POST % 10, b"abc") as body,
        server.caller(GET % b"a") as idle,
    ):
        await idle.read_until(b"\r\n\r\n")
        server.watch.hurry(0.1)
        for caller in (head, body):
            said = await caller.read_all()
            assert statuses(said) == [503] and code_of(said) == "gateway_stopping"
            assert b"retry-after: 1\r\nx-should-retry: true\r\n" in said
        assert head.age_s < 5
    assert server.refusals == {ProtocolRefusal.STOPPING: 2}


async def test_a_thousand_refusals_are_a_line_or_two_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    async def hundred(server: LimitedServer) -> None:
        for _ in range(100):
            assert statuses(await server.says(b"nonsense\r\n\r\n")) == [400]

    async with limited_server() as server:
        await asyncio.gather(*(hundred(server) for _ in range(10)))
        await until(lambda: server.watch.is_quiet, "the last of them is logged")
    logged = [line for line in "".join(capfd.readouterr()).splitlines() if "protocol_refusals" in line]
    assert 1 <= len(logged) <= 2 + 10, "one a second"
    assert server.refusals[ProtocolRefusal.MALFORMED] == 1_000


async def test_an_app_that_streams_waits_for_its_caller() -> None:
    sent = 0

    def streams(asked: list[Asked]) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal sent
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(2_000):
                await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
                sent += 10_000
            await send({"type": "http.response.body", "body": b""})

        return app

    async with limited_server(replace(SHORT, write_s=2.0), app=streams) as server:
        async with server.caller(GET % b"", receive_buffer=4_096) as caller:
            await caller.read(100)
            await asyncio.sleep(0.5)
            held = sent
            await asyncio.sleep(0.2)
            assert sent == held < 256 * 1024, "of 20 MB"
        await until(lambda: not server.server.server_state.connections, "its connection is closed")


def data_segments_in(raw: socket.socket) -> int:
    """How many packets with data came in at a socket (``tcpi_data_segs_in``)."""
    info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int(struct.unpack_from("=I", info, 152)[0])


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux counts a connection's packets")
async def test_an_answer_is_one_packet() -> None:
    async with limited_server() as server, server.caller() as caller:
        for _ in range(20):
            await caller.send(POST % 2 + b"hi")
            assert statuses(await caller.read_until(b"\r\n\r\nhi")) == [200]
        assert data_segments_in(caller.raw) == 20


async def test_an_answer_to_head_is_its_head() -> None:
    async with limited_server() as server, server.caller() as caller:
        for _ in range(2):
            await caller.send(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n")
            assert statuses(await caller.read_until(b"\r\n\r\n")) == [200]
