"""The real gateway over real HTTP, in the test's own loop, with its clock and its ledger within reach."""

import asyncio
import json
import shutil
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import uvicorn
from fake_clock import FakeClock
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import create_app
from gateway.cli.protocol import LimitedProtocol
from gateway.cli.protocol_watch import Limits, Watch
from gateway.config.settings import Settings
from gateway.execution.draining import Draining

PATIENCE_S = 10.0
TICK_S = 0.05
USER = [{"role": "user", "content": "Where is my order?"}]
PRICES = {
    "tuned": {"input_usd_per_1m": 1, "output_usd_per_1m": 2, "source": "test"},
    "base": {"input_usd_per_1m": 3, "output_usd_per_1m": 4, "source": "test"},
}


class StoryClock(FakeClock):
    """Runs like a real clock, and can be moved on; whoever sleeps on it wakes only when it is moved."""

    def __init__(self, now: datetime | None = None) -> None:
        super().__init__(*([now] if now is not None else []))
        self._began = time.monotonic()

    async def run(self) -> None:
        """Wake sleepers in their real time, until cancelled: for what nobody moves on by hand."""
        while True:
            await asyncio.sleep(TICK_S)
            self.advance(TICK_S)

    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic() - self._began

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=time.monotonic() - self._began)


@dataclass
class Streamed:
    """A streamed answer as its caller saw it."""

    status: int
    headers: httpx.Headers
    raw: bytes

    @property
    def data(self) -> list[str]:
        """What stands behind each ``data:``."""
        lines = self.raw.decode().split("\n")
        return [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def text(self) -> str:
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def errors(self) -> list[Any]:
        return [chunk["error"] for chunk in self.chunks if "error" in chunk]

    @property
    def done(self) -> bool:
        return "[DONE]" in self.data


class ServedGateway:
    """Where it listens, and how a story talks to it and looks behind it."""

    def __init__(
        self, port: int, clock: StoryClock, database: Path, client: httpx.AsyncClient, draining: Draining
    ) -> None:
        self.port = port
        self.clock = clock
        self.database = database
        self.client = client
        self.draining = draining

    async def chat(
        self, model: str = "reply", *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        """Ask, and wait for the whole answer."""
        body = {"model": model, "messages": USER} | body
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    async def stream(self, model: str = "reply", **body: Any) -> Streamed:
        """Ask for a stream, and read it to its end."""
        answer = await self.chat(model, stream=True, **body)
        return Streamed(answer.status_code, answer.headers, answer.content)

    @asynccontextmanager
    async def calling(self, model: str = "reply", **body: Any) -> AsyncIterator["Caller"]:
        """Send a request over a socket of the story's own."""
        document = json.dumps({"model": model, "messages": USER} | body).encode()
        async with self.socket(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(document), document)
        ) as caller:
            yield caller

    async def chat_alone(self, model: str = "reply", **body: Any) -> httpx.Response:
        """Ask over a connection of its own: of hundreds at once, a client's pool would be the bottleneck."""
        async with self.calling(model, **body) as caller:
            return await caller.answer()

    @asynccontextmanager
    async def socket(self, *sent: bytes, receive_buffer: int | None = None) -> AsyncIterator["Caller"]:
        """Open a socket, and send bytes."""
        raw = socket.socket()
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", self.port))
        try:
            for data in sent:
                await loop.sock_sendall(raw, data)
            yield Caller(raw)
        finally:
            raw.close()

    async def rows(self, count: int) -> list[Any]:
        """The ledger's rows in the order of their start, once there are so many; moves the clock on a little."""

        async def there() -> list[Any] | None:
            # The ledger's writer sleeps on the clock between its batches.
            self.clock.advance(0.25)
            rows = read_rows(self.database)
            return rows if len(rows) >= count else None

        rows = await eventually(there, f"{count} rows in the ledger")
        assert len(rows) == count, [(row.model_asked, row.outcome, row.failure) for row in rows]
        return rows

    async def rows_of_callers(self, count: int) -> list[Any]:
        """The rows without those of verifications."""

        async def there() -> list[Any] | None:
            self.clock.advance(0.25)
            rows = [row for row in read_rows(self.database) if row.kind == "live"]
            return rows if len(rows) >= count else None

        rows = await eventually(there, f"{count} rows of callers in the ledger")
        assert len(rows) == count
        return rows

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        page = (await self.client.get("/metrics")).text
        samples = [s for family in text_string_to_metric_families(page) for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())


@dataclass
class Caller:
    """A caller with a bare socket."""

    raw: socket.socket

    async def receive(self, size: int = 65_536) -> bytes:
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.raw, size), PATIENCE_S)

    async def receive_until(self, marker: bytes) -> bytes:
        received = b""
        while marker not in received:
            part = await self.receive()
            assert part, f"the gateway closed before {marker!r}: {received!r}"
            received += part
        return received

    async def receive_all(self) -> bytes:
        received = b""
        while part := await self.receive():
            received += part
        return received

    async def answer(self) -> httpx.Response:
        """Read one answer that has a length."""
        received = await self.receive_until(b"\r\n\r\n")
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = httpx.Headers([(name, value) for name, _, value in (line.partition(": ") for line in lines)])
        while len(body) < int(headers["content-length"]):
            part = await self.receive()
            assert part, "the gateway closed in the middle of an answer"
            body += part
        return httpx.Response(int(status[9:12]), headers=headers, content=body)

    def reset(self) -> None:
        """Leave with a RST instead of a FIN."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.raw.close()


async def eventually(
    condition: Callable[[], Any | Awaitable[Any]], what: str, within_s: float = PATIENCE_S, every_s: float = 0.005
) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(every_s)


async def verified(gateway: ServedGateway, provider_name: str = "first") -> None:
    """Wait until a verification has found something."""
    await eventually(
        lambda: gateway.metric("gateway_model_probes_total", provider=provider_name), "a verification has ended"
    )


async def counted(gateway: ServedGateway, name: str, value: float, **labels: str) -> None:
    """Wait until a metric has a value: what is agreed on in the database is counted behind the answers."""

    async def is_so() -> bool:
        gateway.clock.advance(0.25)
        return await gateway.metric(name, **labels) == value

    await eventually(is_so, f"{name} {labels} is {value}")


def read_rows(database: Path) -> list[Any]:
    """The ledger's rows, as the database has them."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM attempts ORDER BY attempt_id").fetchall()
    connection.close()
    rows = [SimpleNamespace(**dict(row)) for row in found]
    for row in rows:
        row.attempt_id = str(UUID(row.attempt_id))
    return rows


Serve = Callable[..., Awaitable[ServedGateway]]
"""What the fixture ``serve`` is."""


@asynccontextmanager
async def served(
    routes: Mapping[str, Any],
    directory: Path,
    template: Path,
    *,
    environ: Mapping[str, str],
    now: datetime | None = None,
    ready: bool = True,
    log_fd: int | None = None,
    **settings: Any,
) -> AsyncIterator[ServedGateway]:
    """Serve these routes on a free port, with a copy of a migrated database; stop in order at the end.

    ``now`` is where the story's clock begins; without ``ready`` the story begins before the gateway is. ``log_fd`` is
    where requests are logged.
    """
    (directory / "config").mkdir()
    file, database = directory / "config" / "routes.yaml", directory / "ledger.db"
    file.write_text(json.dumps(routes))
    shutil.copy(template, database)
    clock = StoryClock(now)
    url = f"sqlite+aiosqlite:///{database}"
    told = Settings(routes_file=file, database_url=url, **settings)
    app = create_app(told, clock=clock, environ=environ, log_fd=log_fd)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(listening(app))
        # No certificate is looked at, and loading the system's takes longer than many a story.
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=PATIENCE_S)
        )

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        if ready:
            # Each look is a request, and takes its time from what it looks at.
            await eventually(is_ready, "the gateway is ready", every_s=0.02)
        try:
            yield ServedGateway(port, clock, database, client, app.draining)
        finally:
            # Nobody moves the clock by hand any more, and a stop that finds its database locked sleeps on it, too.
            running = asyncio.create_task(clock.run())
            try:
                await stack.aclose()
            finally:
                running.cancel()


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[int]:
    """Run an app on a free port, as ``gateway serve`` would, in this loop.

    Not by the server's own ``serve``: that looks for a reason to stop only ten times a second, and takes the signals.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    # As uvloop sets it; asyncio does not for a socket whose protocol is not said, and each answer would take 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=partial(LimitedProtocol, watch=Watch(Limits(), most=10_000)),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield int(listener.getsockname()[1])
    finally:
        await eventually(lambda: not server.server_state.connections, "every caller's connection is closed")
        for open_server in server.servers:
            open_server.close()
        await server.lifespan.shutdown()
        listener.close()
