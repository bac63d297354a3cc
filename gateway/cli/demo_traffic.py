"""The demo's callers: applications that name a task and know nothing of models."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson

from gateway.clock import Clock
from gateway.providers.connection import TransportError
from gateway.providers.http_client import HttpClient, Origin, Pool

PER_SECOND: Final = {"forum-reply": 8.0, "ticket-triage": 6.0, "invoice-extract": 3.0, "tone-rewrite": 3.0}
WINDOW: Final = 100
"""How many of a route's latest answers are looked at: what is said of now."""
LATELY_S: Final = 3.0
MOST_BYTES: Final = 1 << 20
_ASKED: Final = {
    "forum-reply": "Order {n} has not arrived and the tracking page is empty.",
    "ticket-triage": "Ticket {n}: I was charged twice for my subscription.",
    "invoice-extract": "Invoice INV-{n} from Northwind Paper Ltd, dated 2026-04-17: 12 boxes, total 234.50 EUR.",
    "tone-rewrite": "Message {n}: this is the third time I write, and nobody answers!",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as its caller saw it."""

    asked_at: datetime
    """By the demo's calendar."""
    at: float
    """When it ended, in monotonic seconds."""
    served_by: str
    reason: str
    model: str
    attempts: int
    ms: float


@dataclass
class Asked:
    """What the callers of one route have seen."""

    answered: Counter[str] = field(default_factory=Counter)
    """By who served: ``primary`` or ``fallback``."""
    lately: deque[Answer] = field(default_factory=lambda: deque(maxlen=WINDOW))
    failures: list[str] = field(default_factory=list)
    streams: int = 0
    second_tries: int = 0
    """Answers for which more than one target was asked: the first of them did not answer."""


class Traffic:
    """Requests at a steady pace, half of them streams, until ``stop``."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url, self._clock = url, clock
        self.asked = {route: Asked() for route in PER_SECOND}
        self.stopping = False
        self._numbers = 0
        self._pending: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Keep asking; behind the context every request has ended."""
        client = HttpClient()
        pool = client.pool(Origin.of(self._url))
        callers = [asyncio.create_task(self._keep_asking(pool, route)) for route in PER_SECOND]
        try:
            yield
        finally:
            self.stopping = True
            await asyncio.gather(*callers)
            await asyncio.gather(*self._pending)
            client.close()

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return self._numbers

    @property
    def failures(self) -> list[str]:
        """Every request that got no answer, in a few words."""
        return [failure for asked in self.asked.values() for failure in asked.failures]

    async def _keep_asking(self, pool: Pool, route: str) -> None:
        pause_s, due = 1 / PER_SECOND[route], self._clock.monotonic()
        while not self.stopping:
            self._numbers += 1
            task = asyncio.create_task(self._ask(pool, route, self._numbers))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
            due += pause_s
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))

    async def _ask(self, pool: Pool, route: str, number: int) -> None:
        asked, began, stream = self.asked[route], self._clock.monotonic(), number % 2 == 0
        asked_at = self._clock.now()
        # Each asks something else, as callers do: on a ramp it is conversations that move.
        messages = [{"role": "user", "content": _ASKED[route].format(n=number)}]
        body = orjson.dumps({"model": route, "messages": messages, "stream": stream})
        try:
            status, headers, answer = await _exchange(pool, body)
        except TransportError as error:
            asked.failures.append(f"{route}: {error}")
            return
        if status != 200 or (stream and not answer.rstrip().endswith(b"data: [DONE]")) or b'"error"' in answer:
            asked.failures.append(f"{route}: {status} {answer[-200:].decode(errors='replace')}")
            return
        now = self._clock.monotonic()
        seen = Answer(
            asked_at,
            now,
            headers["x-gateway-served-by"],
            headers["x-gateway-reason"],
            headers["x-gateway-model"],
            int(headers["x-gateway-attempts"]),
            (now - began) * 1000,
        )
        asked.answered[seen.served_by] += 1
        asked.streams += stream
        asked.second_tries += seen.attempts > 1
        asked.lately.append(seen)


async def _exchange(pool: Pool, body: bytes) -> tuple[int, dict[str, str], bytes]:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {pool.origin.host}\r\ncontent-type: application/json\r\n"
    return await exchange(pool, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)


async def exchange(pool: Pool, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send one request, and return status, headers and body. Raises ``TransportError``; nothing is tried twice."""
    connection = await pool.acquire()
    try:
        connection.start(request)
        await connection.wait_head()
        status, pairs = connection.status, connection.headers
        answer = await connection.read(MOST_BYTES)
    except BaseException:
        connection.discard()
        raise
    connection.finish()
    return status, {name.decode().lower(): value.decode("latin-1") for name, value in pairs}, answer
