"""The load for streams, and for plain answers where wrk is not installed: a raw HTTP/1.1 client on one uvloop.

    python -m benchmarks.load '{"port": …, "path": …, "headers": …, "body": …, "connections": …, …}'

Closed loop: each connection sends its next request when the last answer has ended. Counting starts after the warm-up
and stops on the second, while the load goes on, so that requests under way at either edge favour nobody. One JSON
object goes to standard output.
"""

import asyncio
import json
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

import uvloop

from benchmarks.figures import summarise

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_EVENT = b"data: {"
_KEPT = len(b"\r\n0\r\n\r\n")
"""How many bytes of one read the next one needs: a mark may be cut in two."""
MAX_ERRORS = 1_000


@dataclass(frozen=True, slots=True)
class Job:
    """What to send, how many at once, and for how long."""

    port: int
    path: str
    headers: dict[str, str]
    body: str
    connections: int
    warmup_s: float
    seconds: float
    stream: bool

    def request(self) -> bytes:
        """Build the bytes of the request."""
        body = self.body.encode()
        fixed = {"host": f"127.0.0.1:{self.port}", "content-type": "application/json", "content-length": len(body)}
        head = "".join(f"{name}: {value}\r\n" for name, value in {**fixed, **self.headers}.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body


@dataclass(slots=True)
class Tally:
    """What was counted between the warm-up and the end."""

    counting: bool = False
    answers: int = 0
    events: int = 0
    errors: int = 0
    first_error: str | None = None
    durations_us: list[float] = field(default_factory=list)
    first_events_us: list[float] = field(default_factory=list)


class Caller(asyncio.Protocol):
    """One connection's endless round of request and answer."""

    def __init__(self, job: Job, tally: Tally) -> None:
        self._job = job
        self._request = job.request()
        self._tally = tally
        self._tail = b""
        self._in_body = False
        self._chunked = False
        self._left = 0
        self._first_event = False
        self.broken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class does not inherit from it
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the connection was closed")

    def close(self) -> None:
        """Drop the connection: what happens to it now counts for nothing."""
        self.broken = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            data = self._read_head(self._tail + data)
            if not self._in_body:
                self._tail = data
                return
            self._tail = b""
        if self._chunked:
            self._read_chunks(data)
        else:
            self._left -= len(data)
            if self._left <= 0:
                self._done()

    def _send(self) -> None:
        self._in_body = False
        self._first_event = False
        self._tail = b""
        self._started = perf_counter()
        self._transport.write(self._request)

    def _read_head(self, data: bytes) -> bytes:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return data
        if not data.startswith(b"HTTP/1.1 200"):
            self._fail(data[:300].decode(errors="replace"))
            return b""
        self._in_body = True
        length = _LENGTH.search(data, 0, end)
        self._chunked = length is None and _CHUNKED.search(data, 0, end) is not None
        self._left = int(length[1]) if length else 0
        return data[end + 4 :]

    def _read_chunks(self, data: bytes) -> None:
        seen = self._tail + data
        # A mark that lies whole within the kept tail was counted with the read before.
        events = seen.count(_EVENT) - self._tail.count(_EVENT)
        if events and self._job.stream:
            self._count(events)
        self._tail = seen[-_KEPT:]
        if seen.endswith(b"\r\n0\r\n\r\n") or data == b"0\r\n\r\n":
            self._done()

    def _count(self, events: int) -> None:
        if not self._tally.counting:
            self._first_event = True
            return
        self._tally.events += events
        if not self._first_event:
            self._first_event = True
            self._tally.first_events_us.append((perf_counter() - self._started) * 1e6)

    def _done(self) -> None:
        if self._tally.counting:
            self._tally.answers += 1
            self._tally.durations_us.append((perf_counter() - self._started) * 1e6)
        self._send()

    def _fail(self, why: str) -> None:
        if self.broken:
            return
        self.broken = True
        self._tally.errors += 1
        self._tally.first_error = self._tally.first_error or why
        self._transport.abort()


async def keep_connected(job: Job, tally: Tally) -> None:
    """Open the connections, and open again those that break, up to a bound; close them when cancelled."""
    loop = asyncio.get_running_loop()
    open_ones: list[Caller] = []

    async def connect() -> None:
        _, caller = await loop.create_connection(lambda: Caller(job, tally), "127.0.0.1", job.port)
        open_ones.append(caller)

    try:
        for _ in range(job.connections):
            await connect()
        while tally.errors < MAX_ERRORS:
            await asyncio.sleep(0.05)
            for caller in [c for c in open_ones if c.broken]:
                open_ones.remove(caller)
                await connect()
    finally:
        for caller in open_ones:
            caller.close()


async def drive(job: Job) -> dict[str, object]:
    """Run the job, and return its figures; latencies in microseconds."""
    tally = Tally()
    connections = asyncio.create_task(keep_connected(job, tally))
    await asyncio.sleep(job.warmup_s)
    tally.counting, started = True, perf_counter()
    await asyncio.sleep(job.seconds)
    tally.counting, elapsed = False, perf_counter() - started
    connections.cancel()
    # A task that ended by itself says why: nobody listens, or too much went wrong.
    with suppress(asyncio.CancelledError):
        await connections
    return {
        "requests": tally.answers,
        "events": tally.events,
        "seconds": elapsed,
        "errors": tally.errors,
        "first_error": tally.first_error,
        **summarise(tally.durations_us),
        "first_event": summarise(tally.first_events_us),
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(drive(Job(**json.loads(sys.argv[1]))))))
