"""A gateway as its attackers meet it: over bare sockets, with every connect of it and of its children on record."""

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from programs import required

from tests.gateway_server import free_port, running_process, wait_until_ready

PATIENCE_S = 30.0
CONNECT = re.compile(r"connect\(\d+, \{sa_family=(AF_\w+)(?:, (?:sin6?_port=htons\((\d+)\)|sun_path=(@?\"[^\"]*\")))?")
ADDRESS = re.compile(r"(?:inet_addr\(\"([^\"]+)\"\)|inet_pton\(AF_INET6, \"([^\"]+)\")")
RawHeaders = list[tuple[str, str]]


@dataclass
class Trap:
    """Somewhere that nobody has any business with: it counts who comes."""

    port: int = 0
    visits: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/latest/meta-data"


@contextlib.contextmanager
def running_trap() -> Iterator[Trap]:
    """Listen on a free port until the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    trap = Trap(listener.getsockname()[1])

    def count() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                trap.visits += 1
                connection.close()

    thread = Thread(target=count, daemon=True)
    thread.start()
    try:
        yield trap
    finally:
        # A close alone does not wake who waits for a connection.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@dataclass
class Vendor:
    """A vendor of another wire format, whom litellm calls: what it was asked."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def running_vendor() -> Iterator[Vendor]:
    """Answer like Anthropic until the end."""
    vendor = Vendor()
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hello."}],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            vendor.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps(message).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    vendor.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class HostileGateway:
    """Where it listens, its process, what it wrote, and whom it connected to."""

    port: int
    pid: int
    out: Path
    trace: Path
    state: Path

    def connects(self) -> set[tuple[str, int]]:
        """Whom it and its children tried to connect to so far: addresses and ports, or a local socket's path and 0."""
        found = set()
        for line in self.trace.read_text(errors="replace").splitlines():
            call = CONNECT.search(line)
            if call is None:
                continue
            family, port, path = call.groups()
            if family == "AF_UNIX":
                found.add((path or "", 0))
            elif family in ("AF_INET", "AF_INET6"):
                address = ADDRESS.search(line)
                found.add((next(filter(None, address.groups())) if address else "?", int(port or 0)))
        return found

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def resident_mib(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/task"))


@contextlib.contextmanager
def running_hostile_gateway(routes: Path, state: Path, environ: Mapping[str, str]) -> Iterator[HostileGateway]:
    """Start ``gateway serve`` under strace, wait until it is ready, and stop it at the end."""
    port, out, trace = free_port(), state / "gateway.log", state / "connects.txt"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [required("strace"), "-f", "--seccomp-bpf", "-e", "trace=connect", "-e", "signal=none", "-o", str(trace)]
    command += [sys.executable, "-m", "gateway", "serve", "--routes", str(routes), "--port", str(port)]
    command += ["--database", f"sqlite+aiosqlite:///{state / 'ledger.db'}"]
    with running_process(command, out, clean | environ) as tracer:
        wait_until_ready(f"http://127.0.0.1:{port}", tracer, out)
        children = Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split()
        pid = next(int(child) for child in children if "serve" in Path(f"/proc/{child}/cmdline").read_text())
        try:
            yield HostileGateway(port, pid, out, trace, state)
        finally:
            # Of a tracer that is ended, the traced goes on.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 15)
            tracer.wait(PATIENCE_S)


@dataclass
class Answer:
    """An answer as its bytes said it."""

    status: int
    headers: RawHeaders
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class BareClient:
    """One connection that sends whatever bytes it is told, and makes another where the other side closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, target: str, headers: RawHeaders, body: bytes | None = None) -> Answer:
        """Send one request; a header's line ends are left out, as any sender of HTTP would have to."""
        lines = headers if any(name == "host" for name, _ in headers) else [("host", "localhost"), *headers]
        if body is not None:
            lines = [*lines, ("content-length", str(len(body)))]
        head = f"{method} {_fit(target.replace(' ', '%20'))} HTTP/1.1\r\n" + "".join(
            f"{n}: {_fit(v)}\r\n" for n, v in lines
        )
        data = head.encode("utf-8", "surrogateescape") + b"\r\n" + (body or b"")
        for again in (True, False):
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await self._exchange(data, method)
            except (ConnectionError, asyncio.IncompleteReadError):
                await self.close()
                if not again:
                    raise
        raise AssertionError("unreachable")

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._reader = self._writer = None

    async def _exchange(self, data: bytes, method: str) -> Answer:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        self._writer.write(data)
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [(n.lower(), v) for n, _, v in (line.partition(": ") for line in lines if line)]
        answer = Answer(int(first.split(" ")[1]), headers, b"")
        if method != "HEAD" and answer.status not in (204, 304):
            answer.body = await self._body(answer)
        if (answer.header("connection") or "").lower() == "close":
            await self.close()
        return answer

    async def _body(self, answer: Answer) -> bytes:
        assert self._reader is not None
        length = answer.header("content-length")
        if length is not None:
            return await self._reader.readexactly(int(length))
        if (answer.header("transfer-encoding") or "").lower() != "chunked":
            return await self._reader.read()
        parts = []
        while size := int((await self._reader.readline()).strip(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)


@contextlib.asynccontextmanager
async def bare_client(port: int) -> AsyncIterator[BareClient]:
    client = BareClient(port)
    try:
        yield client
    finally:
        await client.close()


def _fit(text: str) -> str:
    return "".join(char for char in text if char not in "\r\n\0")


def eventually(condition: Any, what: str, within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
