import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from programs import required

from gateway.providers import connection as one_connection
from gateway.providers import http_client
from gateway.providers.connection import (
    MAX_HEADER_BYTES,
    BadResponse,
    ConnectFailed,
    Connection,
    Disconnected,
    Expired,
    TlsFailed,
    TransportError,
)
from gateway.providers.http_client import HttpClient, Origin, Pool
from tests.providers.raw_upstream import RawUpstream, Reader, Talk, Writer, answering, chunked, listening, whole

REQUEST = b"GET /v1/models HTTP/1.1\r\nhost: here\r\n\r\n"
MIB = 1024 * 1024


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    client.close()
    await asyncio.sleep(0)


def pool_of(client: HttpClient, upstream: RawUpstream, **where: Any) -> Pool:
    return client.pool(Origin.of(upstream.url(**where)))


async def exchange(pool: Pool) -> tuple[int, bytes]:
    """Make one whole exchange; give the connection back."""
    connection = await pool.acquire()
    try:
        connection.start(REQUEST)
        async with asyncio.timeout(5):
            await connection.wait_head()
            return connection.status, await connection.read(MIB)
    finally:
        connection.finish()


async def opened(pool: Pool) -> Connection:
    connection = await pool.acquire()
    connection.start(REQUEST)
    return connection


async def until(what: Any) -> None:
    """Let the loop run until something has come true."""
    async with asyncio.timeout(5):
        while not what():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        pytest.param("http://here/v1", Origin("here", 80, False), id="http has port 80"),
        pytest.param("https://here/v1", Origin("here", 443, True), id="https has port 443"),
        pytest.param("https://here:8443/v1", Origin("here", 8443, True), id="a port of its own"),
        pytest.param("http://127.0.0.1:8081/v1", Origin("127.0.0.1", 8081, False), id="an IPv4 address"),
        pytest.param("http://[::1]:8081/v1", Origin("::1", 8081, False), id="an IPv6 address, without its brackets"),
    ],
)
def test_an_urls_origin(url: str, origin: Origin) -> None:
    assert Origin.of(url) == origin


def test_an_url_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="no host"):
        Origin.of("/v1")


@pytest.mark.parametrize(
    ("answer", "close", "expected"),
    [
        pytest.param(whole(b"hello"), False, (200, b"hello"), id="a body with a length"),
        pytest.param(whole(b""), False, (200, b""), id="an empty body"),
        pytest.param(whole(b"no", status="404 Not Found"), False, (404, b"no"), id="a status that is no success"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", False, (204, b""), id="204 has no body"),
        pytest.param(chunked(b"he", b"llo"), False, (200, b"hello"), id="a body in chunks"),
        pytest.param(chunked(), False, (200, b""), id="no chunk but the last"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: t\r\n\r\n",
            False,
            (200, b"hello"),
            id="chunk extensions and trailers",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhello", True, (200, b"hello"), id="a body until the connection closes"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nhello", True, (200, b"hello"), id="HTTP/1.0 until the connection closes"),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"hello"), False, (200, b"hello"), id="100 Continue comes first"
        ),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 2 + whole(b"hello"),
            False,
            (200, b"hello"),
            id="two 103s come first",
        ),
        pytest.param(whole(b"hello", "content-encoding: identity"), False, (200, b"hello"), id="identity is no coding"),
    ],
)
async def test_an_answer(client: HttpClient, answer: bytes, close: bool, expected: tuple[int, bytes]) -> None:
    async with listening(answering(answer, then_close=close)) as upstream:
        assert await exchange(pool_of(client, upstream)) == expected


async def test_an_answer_may_arrive_a_byte_at_a_time(client: HttpClient) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + chunked(b"h\xc3", b"\xa9llo")

    def dribble(upstream: RawUpstream) -> Talk:
        async def talk(reader: Reader, writer: Writer) -> None:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await upstream.request(reader)
            for byte in answer:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)

        return talk

    async with listening(dribble) as upstream:
        assert await exchange(pool_of(client, upstream)) == (200, "héllo".encode())


async def test_an_interim_answers_headers_are_not_the_answers(client: HttpClient) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + whole(b"", "X-Own: yes")
    async with listening(answering(answer)) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        assert connection.headers == [(b"x-own", b"yes"), (b"content-length", b"0")]
        connection.finish()


FLOOD = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %b\r\n" % (i, b"y" * 1000) for i in range(70))


@pytest.mark.parametrize(
    ("answer", "close", "error"),
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", False, BadResponse, id="no HTTP at all"),
        pytest.param(b"HTTP/1.1 2x0 OK\r\n\r\n", False, BadResponse, id="a status that is no number"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", False, BadResponse, id="a header without a colon"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", False, BadResponse, id="a bad chunk size"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", False, BadResponse, id="a length that is no number"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
            False,
            BadResponse,
            id="two lengths",
        ),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            False,
            BadResponse,
            id="another protocol that nobody asked for",
        ),
        pytest.param(whole(b"\x1f\x8b", "content-encoding: gzip"), False, BadResponse, id="a compressed body"),
        pytest.param(FLOOD + b"\r\n", False, BadResponse, id="headers of 70 KiB"),
        pytest.param(
            FLOOD + b"content-length: 2\r\n\r\nok", False, BadResponse, id="headers of 70 KiB and a body, in one go"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nx: " + b"y" * (MAX_HEADER_BYTES + 1),
            False,
            BadResponse,
            id="one header without an end",
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, False, BadResponse, id="interim answers without an end"),
        pytest.param(b"", True, Disconnected, id="closed without a word"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-le", True, Disconnected, id="closed within the head"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", True, Disconnected, id="closed within its length"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            True,
            Disconnected,
            id="closed before the last chunk",
        ),
    ],
)
async def test_no_answer(client: HttpClient, answer: bytes, close: bool, error: type[TransportError]) -> None:
    async with listening(answering(answer, then_close=close)) as upstream:
        with pytest.raises(error) as raised:
            await exchange(pool_of(client, upstream))
        assert raised.value.body_sent


async def test_what_arrived_before_a_break_is_still_handed_over(client: HttpClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"
    async with listening(answering(answer, then_close=True)) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        await until(lambda: connection.transport is None)
        assert await connection.next_block() == b"hello"
        with pytest.raises(Disconnected):
            await connection.next_block()
        connection.finish()


async def test_a_body_longer_than_the_reader_takes(client: HttpClient) -> None:
    async with listening(answering(whole(b"x" * 101))) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        with pytest.raises(BadResponse, match="too large"):
            await connection.read(100)
        connection.finish()


# Connections: kept, dropped, never mixed up.


async def test_a_connection_that_was_read_to_its_end_is_used_again(client: HttpClient) -> None:
    async with listening(answering(whole(b"one"), chunked(b"two"), whole(b"three"))) as upstream:
        pool = pool_of(client, upstream)
        assert [(await exchange(pool))[1] for _ in range(3)] == [b"one", b"two", b"three"]
        assert upstream.connections == 1


async def test_exchanges_at_one_time_have_connections_of_their_own(client: HttpClient) -> None:
    async with listening(answering(whole(b"ok"))) as upstream:
        pool = pool_of(client, upstream)
        first, second = await opened(pool), await opened(pool)
        for connection in (first, second):
            await connection.wait_head()
            await connection.read(10)
            connection.finish()
        assert first is not second
        assert await exchange(pool) == (200, b"ok")
        assert upstream.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(whole(b"ok", "connection: close"), id="the answer says close"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", id="HTTP/1.0 without keep-alive"),
        pytest.param(whole(b"ok") + whole(b"unasked"), id="a second answer that nobody asked for"),
        pytest.param(whole(b"ok") + b"rubbish", id="rubbish behind the answer"),
    ],
)
async def test_a_connection_that_is_not_used_again(client: HttpClient, answer: bytes) -> None:
    async with listening(answering(answer)) as upstream:
        pool = pool_of(client, upstream)
        assert [await exchange(pool) for _ in range(2)] == [(200, b"ok")] * 2
        assert upstream.connections == 2


async def test_a_connection_that_talks_while_idle_is_dropped(client: HttpClient) -> None:
    go_on = asyncio.Event()

    def talkative(upstream: RawUpstream) -> Talk:
        async def talk(reader: Reader, writer: Writer) -> None:
            await upstream.request(reader)
            writer.write(whole(b"ok"))
            await go_on.wait()
            writer.write(whole(b"unasked"))
            await upstream.request(reader)

        return talk

    async with listening(talkative) as upstream:
        pool = pool_of(client, upstream)
        connection = await opened(pool)
        await connection.wait_head()
        assert await connection.read(10) == b"ok"
        connection.finish()
        go_on.set()
        await until(lambda: connection.transport is None)
        assert await exchange(pool) == (200, b"ok")
        assert upstream.connections == 2


async def test_a_connection_that_the_server_closed_while_idle_is_not_used(client: HttpClient) -> None:
    async with listening(answering(whole(b"ok"), then_close=True)) as upstream:
        pool = pool_of(client, upstream)
        connection = await opened(pool)
        await connection.wait_head()
        await connection.read(10)
        connection.finish()
        await until(lambda: connection.transport is None)
        assert await exchange(pool) == (200, b"ok")
        assert upstream.connections == 2


async def test_an_idle_connection_is_dropped_before_servers_do(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "IDLE_PLAIN_S", 0.01)
    async with listening(answering(whole(b"ok"))) as upstream:
        pool = pool_of(client, upstream)
        connection = await opened(pool)
        await connection.wait_head()
        await connection.read(10)
        connection.finish()
        await until(lambda: connection.transport is None)
        assert await exchange(pool) == (200, b"ok")
        assert upstream.connections == 2


async def test_an_exchange_that_is_given_up_closes_its_connection_at_once(client: HttpClient) -> None:
    left = asyncio.Event()

    def watching(upstream: RawUpstream) -> Talk:
        async def talk(reader: Reader, writer: Writer) -> None:
            await upstream.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
            try:
                await reader.read(1)
            finally:
                left.set()

        return talk

    async with listening(watching) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        connection.finish()
        async with asyncio.timeout(0.5):
            await left.wait()


async def test_closing_the_client_closes_what_is_idle(client: HttpClient) -> None:
    async with listening(answering(whole(b"ok"))) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        await connection.read(10)
        connection.finish()
        client.close()
        await until(lambda: connection.transport is None)


# Lingering: [DONE] was read, and only the end of the chunks is missing.


def in_two_parts(second_part: asyncio.Event, answer: bytes, missing: int) -> Any:
    def talk(upstream: RawUpstream) -> Talk:
        async def speak(reader: Reader, writer: Writer) -> None:
            await upstream.request(reader)
            writer.write(answer[:-missing])
            await second_part.wait()
            writer.write(answer[-missing:])
            await upstream.request(reader)
            writer.write(whole(b"next"))
            await reader.read(1)

        return speak

    return talk


async def test_a_connection_that_lingers_for_its_last_chunk_is_used_again(client: HttpClient) -> None:
    second_part = asyncio.Event()
    async with listening(in_two_parts(second_part, chunked(b"[DONE]"), missing=5)) as upstream:
        pool = pool_of(client, upstream)
        connection = await opened(pool)
        await connection.wait_head()
        assert await connection.next_block() == b"[DONE]"
        connection.finish(linger=True)
        second_part.set()
        await until(lambda: pool._idle)
        assert await exchange(pool) == (200, b"next")
        assert upstream.connections == 1


async def test_a_connection_that_lingers_in_vain_is_closed(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_connection, "LINGER_S", 0.01)
    async with listening(in_two_parts(asyncio.Event(), chunked(b"[DONE]"), missing=5)) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        await connection.next_block()
        connection.finish(linger=True)
        await until(lambda: connection.transport is None)


async def test_a_connection_that_lingers_is_not_handed_out(client: HttpClient) -> None:
    async with listening(in_two_parts(asyncio.Event(), chunked(b"[DONE]"), missing=5)) as upstream:
        pool = pool_of(client, upstream)
        connection = await opened(pool)
        await connection.wait_head()
        await connection.next_block()
        connection.finish(linger=True)
        other = await pool.acquire()
        assert other is not connection
        other.discard()
        connection.discard()


# Deadlines and slow readers.


async def test_expiring_wakes_whoever_waits_for_the_head(client: HttpClient) -> None:
    async with listening(answering(b"")) as upstream:
        connection = await opened(pool_of(client, upstream))
        asyncio.get_running_loop().call_soon(connection.expire, "too late")
        with pytest.raises(Expired, match="too late"):
            await connection.wait_head()
        connection.finish()
        await until(lambda: connection.transport is None)


async def test_expiring_wakes_whoever_waits_for_the_body(client: HttpClient) -> None:
    async with listening(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello")) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        assert await connection.next_block() == b"hello"
        asyncio.get_running_loop().call_soon(connection.expire, "too late")
        with pytest.raises(Expired):
            await connection.next_block()
        connection.finish()


async def test_expiring_an_answer_that_is_complete_changes_nothing(client: HttpClient) -> None:
    async with listening(answering(whole(b"ok"))) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        assert await connection.read(10) == b"ok"
        connection.expire("too late")
        connection.finish()
        assert await exchange(pool_of(client, upstream)) == (200, b"ok")
        assert upstream.connections == 1


async def test_a_slow_reader_holds_the_upstream_back_and_loses_nothing(client: HttpClient) -> None:
    size, sent = 48 * MIB, 0

    def generous(upstream: RawUpstream) -> Talk:
        async def talk(reader: Reader, writer: Writer) -> None:
            nonlocal sent
            await upstream.request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            while sent < size:
                writer.write(bytes([sent // MIB]) * MIB)
                await writer.drain()
                sent += MIB
            await reader.read(1)

        return talk

    async with listening(generous) as upstream:
        connection = await opened(pool_of(client, upstream))
        await connection.wait_head()
        before = -1
        while sent != before:
            before = sent
            for _ in range(20):
                await asyncio.sleep(0.005)
        # What stands between us are the kernel's socket buffers, a few MiB at most.
        assert sent < size / 2
        received = bytearray()
        while (block := await connection.next_block()) is not None:
            received += block
        connection.finish()
    assert bytes(received[::MIB]) == bytes(range(48))
    assert len(received) == size


async def test_a_connection_that_was_held_back_reads_again_in_its_next_exchange(client: HttpClient) -> None:
    body = b"x" * (one_connection.HIGH_WATER_BYTES + 1)
    async with listening(answering(whole(body), whole(b"next"))) as upstream:
        pool = pool_of(client, upstream)
        connection = await opened(pool)
        await connection.wait_head()
        await until(lambda: connection._complete)
        # Its caller left: everything had arrived, nothing was read.
        connection.finish()
        assert await exchange(pool) == (200, b"next")
        assert upstream.connections == 1


# Connecting.


async def test_a_refused_connection_says_where_and_why(client: HttpClient) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectFailed) as raised:
            await client.pool(Origin("127.0.0.1", closed.getsockname()[1], False)).acquire()
    assert "127.0.0.1" in str(raised.value)
    assert "Connect" in str(raised.value) or "refused" in str(raised.value)
    assert not raised.value.body_sent


async def test_an_ipv6_literal_is_connected_to(client: HttpClient) -> None:
    async with listening(answering(whole(b"six")), host="::1") as upstream:
        assert await exchange(pool_of(client, upstream, host="[::1]")) == (200, b"six")


async def test_connecting_takes_no_longer_than_its_time(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "CONNECT_TIMEOUT_S", 0.02)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        origin = Origin("127.0.0.1", deaf.getsockname()[1], True)
        # The kernel accepts, but nobody shakes hands.
        with pytest.raises(ConnectFailed, match="within"):
            await client.pool(origin).acquire()


async def test_tls_with_a_server_that_speaks_none_is_a_failure_of_tls(client: HttpClient) -> None:
    def plain(upstream: RawUpstream) -> Talk:
        async def talk(reader: Reader, writer: Writer) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        return talk

    async with listening(plain) as upstream:
        with pytest.raises(TlsFailed) as raised:
            await pool_of(client, upstream, scheme="https").acquire()
    assert not raised.value.body_sent


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [required("openssl"), *options.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls


async def test_a_certificate_that_nobody_signed_is_refused(client: HttpClient, self_signed: ssl.SSLContext) -> None:
    async with listening(answering(whole(b"secret")), tls=self_signed) as upstream:
        with pytest.raises(TlsFailed, match=r"127\.0\.0\.1"):
            await pool_of(client, upstream, scheme="https").acquire()
        assert upstream.requests == []


# Names.


class Resolver:
    """Stands in for the loop's resolver, which would ask the network."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.lookups = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        self.lookups += 1
        await self.answer.wait()
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]


@pytest.fixture
async def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver("127.0.0.1")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver.getaddrinfo)
    return resolver


async def test_a_name_is_looked_up_once_and_remembered(client: HttpClient, resolver: Resolver) -> None:
    async with listening(answering(whole(b"ok", "connection: close"))) as upstream:
        pool = pool_of(client, upstream, host="provider.example")
        assert [await exchange(pool) for _ in range(3)] == [(200, b"ok")] * 3
    assert resolver.lookups == 1
    assert upstream.connections == 3


async def test_a_slow_resolver_is_asked_once_by_however_many_wait(client: HttpClient, resolver: Resolver) -> None:
    resolver.answer.clear()
    async with listening(answering(whole(b"ok"))) as upstream:
        pool = pool_of(client, upstream, host="provider.example")
        waiting = [asyncio.create_task(exchange(pool)) for _ in range(20)]
        await until(lambda: resolver.lookups)
        resolver.answer.set()
        assert await asyncio.gather(*waiting) == [(200, b"ok")] * 20
    assert resolver.lookups == 1


async def test_one_who_gives_up_waiting_for_a_name_does_not_spoil_it_for_others(
    client: HttpClient, resolver: Resolver
) -> None:
    resolver.answer.clear()
    async with listening(answering(whole(b"ok"))) as upstream:
        pool = pool_of(client, upstream, host="provider.example")
        impatient, patient = asyncio.create_task(exchange_or_cancel(pool)), asyncio.create_task(exchange(pool))
        await until(lambda: resolver.lookups)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        resolver.answer.set()
        assert await patient == (200, b"ok")


async def exchange_or_cancel(pool: Pool) -> None:
    (await pool.acquire()).discard()


async def test_a_name_that_does_not_exist_is_no_connection(client: HttpClient, resolver: Resolver) -> None:
    resolver.addresses = ()
    pool = client.pool(Origin("nobody.example", 80, False))
    with pytest.raises(ConnectFailed, match=r"nobody\.example: Name or service not known") as raised:
        await pool.acquire()
    assert not raised.value.body_sent
    # And it is asked for again: the next request may find it.
    with pytest.raises(ConnectFailed):
        await pool.acquire()
    assert resolver.lookups == 2


async def test_the_next_address_is_tried_where_one_refuses(client: HttpClient, resolver: Resolver) -> None:
    resolver.addresses = ("127.0.0.9", "127.0.0.1")
    async with listening(answering(whole(b"ok"))) as upstream:
        assert await exchange(pool_of(client, upstream, host="provider.example")) == (200, b"ok")


async def test_a_unix_socket_is_an_origin_like_any_other(client: HttpClient, tmp_path: Path) -> None:
    path = str(tmp_path / "worker.sock")
    pool = client.pool(Origin.of(f"unix:{path}"))
    with pytest.raises(ConnectFailed, match="cannot connect to the worker: No such file or directory"):
        await pool.acquire()
    async with listening(answering(whole(b"ok")), socket_path=path) as upstream:
        for _ in range(2):
            connection = await pool.acquire()
            connection.start(b"GET / HTTP/1.1\r\nhost: worker\r\n\r\n")
            await connection.wait_head()
            assert await connection.read(10) == b"ok"
            connection.finish()
    assert upstream.connections == 1
    assert client.pool(Origin.of(f"unix:{path}")) is pool
