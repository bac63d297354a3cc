"""Capture: what a share of live requests said is redacted and kept, behind the answers and off their event loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Literal

import structlog

from gateway.clock import Clock
from gateway.config.routes_learning import Capture
from gateway.learning.capture.redaction_process import (
    DEADLINE_S,
    RedactionExpired,
    RedactionProcess,
    RedactionUnavailable,
)
from gateway.learning.capture.rows import Held, NotKept, Seen, captured_row, hold, whole_answer
from gateway.store.captured import Added, Captured, CapturedStore
from gateway.store.database import DatabaseUnavailable

__all__ = ["CaptureOutcome", "CaptureWorker", "Seen"]

MAX_ROWS: Final = 1_000
MAX_WAITING_BYTES: Final = 64 * 1_048_576
"""What may wait for its turn, or for a database; what comes beyond is dropped."""
PURGE_INTERVAL_S: Final = 3600.0
MOST_EXPIRED: Final = 3
"""Rows in a row that a route's patterns may take too long for."""
MOST_AT_ONCE: Final = 20
"""Rows of one transaction; what a gateway that is killed has redacted for nothing."""
GATHER_S: Final = 0.5
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0

CaptureOutcome = Literal["dropped"] | Added | NotKept
"""dropped: too much waited already, the database refused the row, or the gateway stopped."""


class CaptureWorker:
    """Takes what was seen in memory, and brings it to the database redacted; nothing else of it is written or logged.

    A row that takes longer than ``deadline_s`` to redact is refused; after three such in a row a route's rows are
    refused unseen, until its settings are others.

    ``store`` returns None while there is no database yet. ``count`` is told of every row once: its route and a
    ``CaptureOutcome``.
    """

    def __init__(
        self,
        store: Callable[[], CapturedStore | None],
        clock: Clock,
        count: Callable[[str, str], None],
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._store, self._clock, self._count = store, clock, count
        self._queue: deque[Held] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closed = False
        self._process = RedactionProcess(deadline_s)
        self._expired: dict[str, tuple[Capture, int]] = {}
        self._log = structlog.get_logger("capture")

    @property
    def waiting(self) -> int:
        """Rows that the database does not have yet."""
        return len(self._queue)

    def holds(self, request_id: str) -> bool:
        """Tell whether a request with this id is on its way to the database."""
        return any(held.seen.request_id == request_id for held in self._queue)

    def submit(self, seen: Seen) -> None:
        """Take one row, or count why not. Never blocks, never raises; what it was given may change afterwards."""
        capture = seen.route.capture
        if capture is None:
            return
        try:
            held = "refused" if self._is_given_up(seen.route.name, capture) else hold(seen, capture)
        except Exception:
            held = "refused"
        if isinstance(held, str):
            self._count(seen.route.name, held)
        elif self._closed or len(self._queue) >= MAX_ROWS or self._bytes + held.size > MAX_WAITING_BYTES:
            self._count(seen.route.name, "dropped")
        else:
            self._queue.append(held)
            self._bytes += held.size
            self._arrived.set()

    async def run(self) -> None:
        """Write rows as they come, and delete what is past its retention once an hour, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(), name="capture-write")
            tasks.create_task(self._purge(), name="capture-purge")

    async def close(self, deadline_s: float) -> None:
        """Write what waits, and take nothing more; what is not written after ``deadline_s`` is dropped."""
        self._closed = True
        writing = asyncio.create_task(self._write_all())
        deadline = asyncio.create_task(self._clock.sleep(deadline_s))
        await asyncio.wait((writing, deadline), return_when=asyncio.FIRST_COMPLETED)
        for task in (writing, deadline):
            task.cancel()
        await asyncio.gather(writing, deadline, return_exceptions=True)
        await self._process.close()
        while self._queue:
            self._done("dropped")

    async def _write(self) -> None:
        pause_s = 0.0
        while True:
            await self._arrived.wait()
            # Rows gather for a moment: a transaction for each would take the requests' time.
            await self._clock.sleep(GATHER_S)
            if await self._write_next():
                pause_s = 0.0
            else:
                pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                await self._clock.sleep(pause_s)

    async def _write_all(self) -> None:
        while self._queue:
            if not await self._write_next():
                await self._clock.sleep(_FIRST_PAUSE_S)

    async def _write_next(self) -> bool:
        """Bring the oldest row to the database; False where that is away, and the row stays."""
        async with self._turn:
            if not self._queue:
                self._arrived.clear()
                return True
            store = self._store()
            if store is None:
                return False
            try:
                outcomes = await self._kept(store, tuple(islice(self._queue, MOST_AT_ONCE)))
            except DatabaseUnavailable as error:
                self._log.warning("capture_database_unavailable", error=str(error), waiting=len(self._queue))
                return False
            except RedactionUnavailable as error:
                self._log.warning("capture_redaction_unavailable", error=str(error), waiting=len(self._queue))
                return False
            for outcome in outcomes:
                self._done(outcome)
            return True

    async def _kept(self, store: CapturedStore, held: Sequence[Held]) -> list[CaptureOutcome]:
        """Redact rows and keep them in one transaction; say of each what became of it."""
        redacted = [await self._redacted(one) for one in held]
        rows = [row for row in redacted if not isinstance(row, str)]
        added = iter(await self._add(store, rows) if rows else ())
        return [row if isinstance(row, str) else next(added) for row in redacted]

    async def _add(self, store: CapturedStore, rows: Sequence[Captured]) -> Sequence[CaptureOutcome]:
        try:
            return await store.add(rows)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if len(rows) > 1:
                # One that the database refuses must not take the others along.
                return [(await self._add(store, [row]))[0] for row in rows]
            # By its type alone: a driver's words may repeat the row.
            self._log.warning("capture_row_dropped", route=rows[0].route, error=type(error).__name__)
            return ["dropped"]

    def _done(self, outcome: CaptureOutcome) -> None:
        held = self._queue.popleft()
        self._bytes -= held.size
        self._count(held.seen.route.name, outcome)

    async def _redacted(self, held: Held) -> Captured | NotKept:
        """Return the row to keep, redacted, or why there is none."""
        name, capture = held.seen.route.name, held.capture
        if self._is_given_up(name, capture):
            return "refused"
        try:
            answer = await asyncio.to_thread(whole_answer, held)
            if isinstance(answer, str):
                return answer
            redacted = await self._process.redact(capture, held.request, answer)
            self._expired.pop(name, None)
            return captured_row(held, redacted) if redacted else "refused"
        except RedactionExpired:
            self._expire(name, capture)
        except RedactionUnavailable:
            raise
        except Exception as error:
            request_id = held.seen.request_id
            self._log.warning("capture_row_refused", route=name, request_id=request_id, error=type(error).__name__)
        return "refused"

    def _is_given_up(self, route: str, capture: Capture) -> bool:
        given_up, times = self._expired.get(route, (None, 0))
        return times >= MOST_EXPIRED and given_up == capture

    def _expire(self, route: str, capture: Capture) -> None:
        """Count a row whose redaction did not end, and tell of a route's first and last."""
        before, times = self._expired.get(route, (capture, 0))
        times = times + 1 if before == capture else 1
        self._expired[route] = (capture, times)
        if times == 1:
            self._log.warning("capture_redaction_expired", route=route, patterns=sorted(capture.patterns))
        elif times == MOST_EXPIRED:
            self._log.error("capture_given_up", route=route, patterns=sorted(capture.patterns), until="new settings")

    async def _purge(self) -> None:
        while True:
            rest_s = _LONGEST_PAUSE_S
            try:
                store = self._store()
                if store is not None:
                    await store.purge(self._clock.now())
                    rest_s = PURGE_INTERVAL_S
            except Exception as error:
                self._log.warning("capture_purge_failed", error=type(error).__name__)
            await self._clock.sleep(rest_s)
