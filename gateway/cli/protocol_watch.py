"""What all connections share: their limits, one timer for all of them, and the count of what was refused."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
import structlog

from gateway.api.wire import new_request_id
from gateway.errors import (
    GatewayError,
    GatewayStopping,
    HeadersTooLarge,
    MalformedRequest,
    RequestTimedOut,
    TargetTooLong,
    TooManyConnections,
)
from gateway.reasons import ProtocolRefusal

if TYPE_CHECKING:
    from gateway.cli.protocol import LimitedProtocol

log = structlog.get_logger()
SLOWEST_SWEEP_S: Final = 0.5
LOG_EVERY_S: Final = 1.0
ENDED_AT_ONCE: Final = 10
"""Some 0.1 ms each; two thousand that came together would hold everybody up."""
MOST_LINGERING: Final = 1_000
_ERRORS: Final[dict[ProtocolRefusal, tuple[type[GatewayError], bytes]]] = {
    ProtocolRefusal.HEADER_TIMEOUT: (RequestTimedOut, b"408 Request Timeout"),
    ProtocolRefusal.BODY_TIMEOUT: (RequestTimedOut, b"408 Request Timeout"),
    ProtocolRefusal.LONG_URL: (TargetTooLong, b"414 URI Too Long"),
    ProtocolRefusal.TOO_LARGE_HEADERS: (HeadersTooLarge, b"431 Request Header Fields Too Large"),
    ProtocolRefusal.TOO_MANY_HEADERS: (HeadersTooLarge, b"431 Request Header Fields Too Large"),
    ProtocolRefusal.MALFORMED: (MalformedRequest, b"400 Bad Request"),
    ProtocolRefusal.SMUGGLING: (MalformedRequest, b"400 Bad Request"),
    ProtocolRefusal.TOO_MANY_CONNECTIONS: (TooManyConnections, b"503 Service Unavailable\r\nretry-after: 1"),
    ProtocolRefusal.STOPPING: (GatewayStopping, b"503 Service Unavailable\r\nretry-after: 1\r\nx-should-retry: true"),
}


@dataclass(frozen=True)
class Limits:
    """What one connection may take of us."""

    header_s: float = 10.0
    """From a connection's opening, or the first byte of its next request, until the head is whole."""
    body_s: float = 30.0
    """From then until the body is whole."""
    body_grace_s: float = 5.0
    body_bytes_per_s: int = 1024
    """How fast a body must arrive on average, once the grace is over."""
    idle_s: float = 75.0
    """From an answer until the next request begins."""
    write_s: float = 60.0
    """How long a caller may take nothing of what waits for it."""
    linger_s: float = 5.0
    """How long a caller who still sends may take to read why that was for nothing."""

    @property
    def sweep_s(self) -> float:
        """How often deadlines are looked at, which is also how late they may be kept."""
        return min(SLOWEST_SWEEP_S, min(self.header_s, self.body_s, self.write_s, self.linger_s) / 4)


class Watch:
    """Sweeps over all connections, which costs no timer for any of them; none are there, nothing runs."""

    def __init__(
        self, limits: Limits, most: int, count: Callable[[ProtocolRefusal], None] = lambda refusal: None
    ) -> None:
        """``most``: connections that are taken; ``count`` hears of every refusal."""
        self.limits = limits
        self.most = most
        self.now = 0.0
        """The loop's time at the last sweep: near enough for what need not be exact."""
        self.stopping = False
        self.lingering = 0
        self._count = count
        self._connections: set[LimitedProtocol] = set()
        self._late: deque[LimitedProtocol] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._unlogged: Counter[str] = Counter()
        self._logged_at = 0.0

    def __len__(self) -> int:
        """Return how many connections are open that are not about to be closed."""
        return len(self._connections) - self.lingering

    @property
    def is_full(self) -> bool:
        """Whether there are more connections than are taken."""
        return len(self) > self.most

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing left to log."""
        return not self._unlogged

    @property
    def may_linger(self) -> bool:
        """Whether one more refused connection can be waited for, so that its caller reads why; else it is closed."""
        return self.lingering < min(MOST_LINGERING, max(1, self.most // 8))

    def add(self, connection: "LimitedProtocol") -> None:
        """Watch a connection until it is discarded."""
        self._connections.add(connection)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self.now = loop.time()
            self._timer = loop.call_later(self.limits.sweep_s, self._sweep, loop)

    def discard(self, connection: "LimitedProtocol") -> None:
        """Watch it no more."""
        self._connections.discard(connection)

    def refused(self, refusal: ProtocolRefusal) -> None:
        """Count a refusal; it is logged with others, a line a second for all."""
        self._count(refusal)
        self._unlogged[refusal.value] += 1

    def hurry(self, within_s: float) -> None:
        """Give requests that are not complete so many seconds more: the gateway stops."""
        self.stopping = True
        due = asyncio.get_running_loop().time() + within_s
        for connection in self._connections:
            connection.hurry(due)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self.now = loop.time()
        if not self._late:
            self._late.extend(connection for connection in self._connections if connection.is_late(now))
            self._end_some(loop)
        if self._unlogged and now - self._logged_at >= LOG_EVERY_S:
            log.warning("protocol_refusals", **self._unlogged)
            self._unlogged.clear()
            self._logged_at = now
        more = self._connections or self._unlogged
        self._timer = loop.call_later(self.limits.sweep_s, self._sweep, loop) if more else None

    def _end_some(self, loop: asyncio.AbstractEventLoop) -> None:
        """End a few of those whose deadline is over; the others when the loop has looked after everybody else."""
        for _ in range(min(ENDED_AT_ONCE, len(self._late))):
            self._late.popleft().end_if_late(self.now)
        if self._late:
            loop.call_soon(self._end_some, loop)


def answer_of(refusal: ProtocolRefusal, why: str) -> bytes:
    """Return the bytes that tell a caller of a refusal."""
    kind, status = _ERRORS[refusal]
    id_ = new_request_id()
    body = orjson.dumps(kind(why).body(id_.decode()))
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
        b"connection: close\r\n\r\n%b" % (status, len(body), id_, body)
    )
