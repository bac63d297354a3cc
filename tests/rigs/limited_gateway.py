"""A gateway in front of a provider that streams without end, and what its process holds."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import httpx
import orjson
from programs import required

from tests.gateway_server import free_port, running_process, wait_until_ready

PATIENCE_S = 30.0
EVENT_EVERY_S = 0.1
"""Of 4 KB each: some twice as fast as the fastest models."""
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
GOOD = {"model": "reply", "messages": [{"role": "user", "content": "Where is my order?"}]}
USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


@dataclass
class Provider:
    """Answers at once; streams go on for as long as somebody takes them."""

    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sent_bytes: int = 0
    """Of streams, in all."""


@contextlib.contextmanager
def running_provider() -> Iterator[Provider]:
    """Serve on a free port until the end."""
    provider, lock = Provider(), threading.Lock()
    message = {"role": "assistant", "content": "It is on its way."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m1", "choices": [choice], "usage": USAGE}
    ).encode()
    delta = {"index": 0, "delta": {"content": "x" * 4_000}, "finish_reason": None}
    event = json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m1", "choices": [delta]})
    part = f"data: {event}\n\n".encode()
    chunk = b"%x\r\n%b\r\n" % (len(part), part)

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            # What a kernel holds on this side is no concern of the gateway's.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
            with contextlib.suppress(ConnectionError):
                while self._one():
                    pass

        def _one(self) -> bool:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return False
                head += line
            lengths = re.findall(rb"\r\ncontent-length: *(\d+)\r\n", head.lower())
            length = int(lengths[0]) if lengths else 0
            body = self.rfile.read(length)
            with lock:
                provider.heads.append(head)
                provider.bodies.append(body)
            if length and orjson.loads(body).get("stream"):
                self.wfile.write(STREAM_HEAD)
                for _ in range(5_000):
                    time.sleep(EVENT_EVERY_S)
                    self.wfile.write(chunk)
                    with lock:
                        provider.sent_bytes += len(chunk)
                return False
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(whole), whole)
            )
            return True

    class Server(ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 2_048

    with Server(("127.0.0.1", 0), Handler) as server:
        provider.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join(5)


@dataclass
class LimitedGateway:
    """The gateway, its provider, and how to look at both."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]
    provider: Provider

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def resident_mib(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def refusals(self) -> dict[str, int]:
        """What the protocol refused so far, by reason."""
        page = httpx.get(f"{self.url}/metrics", trust_env=False).text
        lines = [line for line in page.splitlines() if line.startswith("gateway_protocol_refusals_total{")]
        return {line.split('"')[1]: int(float(line.rpartition(" ")[2])) for line in lines}

    def gauge(self, name: str) -> float:
        page = httpx.get(f"{self.url}/metrics", trust_env=False).text
        return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))

    def socket(self, *sent: bytes) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        for data in sent:
            raw.sendall(data)
        return raw


@contextlib.contextmanager
def limited_gateway(directory: Path, *, descriptors: int | None = None, **environ: str) -> Iterator[LimitedGateway]:
    """Start a gateway whose only route is answered by such a provider, with so many descriptors at most."""
    with running_provider() as provider:
        base_url = f"http://127.0.0.1:{provider.port}/v1"
        routes: dict[str, Any] = {
            "version": 1,
            "providers": {"p": {"kind": "openai-compatible", "base_url": base_url}},
            "fallbacks": {"base": {"provider": "p", "model": "m1"}},
            "defaults": {"provider": "p", "fallbacks": ["base"]},
            "routes": {"reply": {"primary": None}},
        }
        path, log, port = directory / "routes.yaml", directory / "gateway.log", free_port()
        path.write_bytes(orjson.dumps(routes))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        command = [sys.executable, "-m", "gateway", "serve", "--routes", str(path), "--port", str(port)]
        command += ["--database", f"sqlite+aiosqlite:///{directory / 'ledger.db'}"]
        if descriptors is not None:
            command = [required("prlimit"), f"--nofile={descriptors}:{descriptors}", *command]
        with running_process(command, log, clean | environ) as process:
            wait_until_ready(f"http://127.0.0.1:{port}", process, log)
            yield LimitedGateway(port, log, process, provider)


def eventually(true: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        time.sleep(0.05)


def honest(port: int, seconds: float, rate: float = 50.0) -> list[float]:
    """Ask at a steady rate over one connection; return what each answer took, in seconds, from when it was due."""
    took = []
    body = json.dumps(GOOD).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due = time.perf_counter()
        end = due + seconds
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter()
            raw.sendall(request)
            answer = b""
            while b"It is on its way." not in answer:
                part = raw.recv(65_536)
                assert part, f"closed: {answer!r}"
                answer += part
            assert answer.startswith(b"HTTP/1.1 200 ")
            took.append(time.perf_counter() - began)
            due += 1 / rate
    return took


def p99_ms(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)] * 1000
