"""An upstream that sends exactly the bytes a test wants, over real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Talk = Callable[[Reader, Writer], Awaitable[None]]


@dataclass
class RawUpstream:
    """Where it listens, and what it has seen."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/v1"

    async def request(self, reader: Reader) -> bytes:
        """Return the next request, head and body. Raises ``IncompleteReadError`` at the connection's end."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        whole = head + await reader.readexactly(length)
        self.requests.append(whole)
        return whole


@asynccontextmanager
async def listening(
    talk: Callable[[RawUpstream], Talk],
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    socket_path: str | None = None,
) -> AsyncIterator[RawUpstream]:
    """Serve each connection with ``talk(upstream)``, on a port or a Unix socket; at the end cut whatever is left."""
    upstream = RawUpstream()
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        upstream.connections += 1
        try:
            await talk(upstream)(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            # The other side is done, or the test is.
            pass
        finally:
            running.discard(task)
            writer.close()

    if socket_path is not None:
        server = await asyncio.start_unix_server(serve, socket_path)
    else:
        server = await asyncio.start_server(serve, host, 0, ssl=tls)
        upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


def answering(*answers: bytes, then_close: bool = False) -> Callable[[RawUpstream], Talk]:
    """Answer the requests of each connection with these bytes in turn, the last one again and again."""

    def talk(upstream: RawUpstream) -> Talk:
        async def answer(reader: Reader, writer: Writer) -> None:
            turn = 0
            while True:
                await upstream.request(reader)
                writer.write(answers[min(turn, len(answers) - 1)])
                await writer.drain()
                turn += 1
                if then_close:
                    return

        return answer

    return talk


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer with a length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes, status: str = "200 OK") -> bytes:
    """Return an answer in chunks, with its end."""
    head = f"HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
