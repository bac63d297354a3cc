"""The gateway's protocol over a real socket, in front of an app that is small enough to see everything."""

import asyncio
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn

from gateway.cli.protocol import LimitedProtocol
from gateway.cli.protocol_watch import Limits, Watch
from gateway.cli.sockets import listen
from gateway.reasons import ProtocolRefusal

PATIENCE_S = 10.0
SHORT = Limits(header_s=0.4, body_s=0.8, body_grace_s=0.4, idle_s=0.6, write_s=0.4, linger_s=0.3)


@dataclass
class Asked:
    """One request as the app saw it."""

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    left: bool = False
    """Whether its caller was gone before it was complete."""


@dataclass
class LimitedServer:
    """Where it listens, and what went on."""

    port: int
    watch: Watch
    server: uvicorn.Server
    asked: list[Asked] = field(default_factory=list)
    refusals: Counter[ProtocolRefusal] = field(default_factory=Counter)

    @asynccontextmanager
    async def caller(self, *sent: bytes, receive_buffer: int | None = None) -> AsyncIterator["Caller"]:
        """Connect, and send bytes."""
        raw = socket.socket()
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", self.port))
        caller = Caller(raw)
        try:
            for data in sent:
                await caller.send(data)
            yield caller
        finally:
            raw.close()

    async def says(self, *sent: bytes) -> bytes:
        """Connect, send bytes, and return everything that is said until the connection ends."""
        async with self.caller(*sent) as caller:
            return await caller.read_all()


@dataclass
class Caller:
    """A caller with a bare socket."""

    raw: socket.socket
    opened: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.opened

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.raw, data)

    async def read(self, size: int = 65_536) -> bytes:
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.raw, size), PATIENCE_S)
        except ConnectionResetError:
            return b""

    async def read_until(self, marker: bytes) -> bytes:
        received = b""
        while marker not in received:
            part = await self.read()
            assert part, f"closed before {marker!r}: {received!r}"
            received += part
        return received

    async def read_all(self) -> bytes:
        received = b""
        while part := await self.read():
            received += part
        return received

    async def trickle(self, data: bytes, pause_s: float) -> None:
        """Send a byte now and then, until the other side has enough of it."""
        try:
            for at in range(len(data)):
                await self.send(data[at : at + 1])
                await asyncio.sleep(pause_s)
        except ConnectionError:
            return


def echo(asked: list[Asked]) -> Any:
    """Return an app that answers every request with its body, and keeps what it was asked."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen = Asked(scope["method"], scope["path"], scope["headers"])
        asked.append(seen)
        if seen.path != "/early":
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    seen.left = True
                    return
                seen.body += message["body"]
                more = message["more_body"]
        body = b"x" * int(seen.path[6:]) if seen.path.startswith("/size/") else seen.body
        headers = [(b"content-length", b"%d" % len(body))]
        if seen.path == "/last":
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


@asynccontextmanager
async def limited_server(
    limits: Limits = SHORT, *, most: int = 10_000, app: Callable[[list[Asked]], Any] = echo
) -> AsyncIterator[LimitedServer]:
    """Serve on a free port; at the end, everything is closed."""
    listener = listen("127.0.0.1", 0)
    asked: list[Asked] = []
    refusals: Counter[ProtocolRefusal] = Counter()

    def count(refusal: ProtocolRefusal) -> None:
        refusals[refusal] += 1

    watch = Watch(limits, most, count)
    config = uvicorn.Config(
        app(asked),
        interface="asgi3",
        http=partial(LimitedProtocol, watch=watch),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield LimitedServer(int(listener.getsockname()[1]), watch, server, asked, refusals)
    finally:
        await until(lambda: not server.server_state.connections, "every connection is closed")
        for open_server in server.servers:
            open_server.close()
        listener.close()


def statuses(said: bytes) -> list[int]:
    """The status of every answer in what a caller read."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", said)]


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        await asyncio.sleep(0.01)
