"""Writes the ledger behind the responses: rows queue in memory and reach the database in batches."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.ledger.entry import Entry
from gateway.store.database import DatabaseUnavailable

BATCH_ROWS: Final = 500
FLUSH_INTERVAL_S: Final = 0.2
MAX_PAUSE_S: Final = 10.0
MAX_ROWS: Final = 200_000
"""Rows that may wait for a database, about 1 KiB each; what comes beyond is dropped, counted and logged."""

Insert = Callable[[Sequence[Entry]], Awaitable[int]]
"""Inserts all rows or none and returns how many were new. Raises ``DatabaseUnavailable`` where a retry may help."""


class LedgerWriter:
    """The queue between requests and the database, and the task that empties it.

    A row leaves the queue when the database has it. While the database is unavailable rows wait, and are tried again
    at growing pauses; a row that the database refuses is set aside alone, so that it cannot hold up the others.
    """

    def __init__(self, insert: Insert, clock: Clock, *, max_rows: int = MAX_ROWS) -> None:
        self._insert = insert
        self._clock = clock
        self._max_rows = max_rows
        self._queue: deque[Entry] = deque()
        self._ready = asyncio.Event()
        """Set when the queue's first row arrives, and again when a batch is full."""
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pause_s = 0.0
        self._log = structlog.get_logger("ledger")
        self.written = 0
        """Rows that were new to the database."""
        self.dropped = 0
        """Rows that are lost: beyond the queue's limit, refused by the database, or left at the end of ``close``."""

    @property
    def queued(self) -> int:
        """Rows that the database does not have yet."""
        return len(self._queue)

    @property
    def oldest_age_s(self) -> float:
        """Seconds since the oldest queued attempt finished; 0 where none is queued."""
        if not self._queue:
            return 0.0
        return max(0.0, (self._clock.now() - self._queue[0].finished_at).total_seconds())

    def append(self, entry: Entry) -> None:
        """Queue one row. Never blocks, never raises."""
        queue = self._queue
        if len(queue) >= self._max_rows:
            self._drop(1, "the queue is full")
            return
        queue.append(entry)
        if len(queue) == 1 or len(queue) == BATCH_ROWS:
            self._ready.set()

    def start(self) -> None:
        """Start the task that writes; needs a running loop."""
        self._task = asyncio.create_task(self._run(), name="ledger-writer")

    async def close(self, deadline_s: float) -> None:
        """Write what is queued and stop; after ``deadline_s`` give up what is left, counted and logged."""
        self._closing.set()
        self._ready.set()
        if self._task is not None:
            deadline = asyncio.create_task(self._clock.sleep(deadline_s))
            await asyncio.wait((self._task, deadline), return_when=asyncio.FIRST_COMPLETED)
            await _cancel(self._task, deadline)
        if self._queue:
            self._drop(len(self._queue), "the gateway stopped before the database took them")
            self._queue.clear()

    async def _run(self) -> None:
        while self._queue or not self._closing.is_set():
            self._ready.clear()
            if not self._queue:
                await self._ready.wait()
            # Rows gather for a moment; those that have waited for the database already do not.
            if len(self._queue) < BATCH_ROWS and not self._pause_s and not self._closing.is_set():
                self._ready.clear()
                await self._wait(FLUSH_INTERVAL_S, unless=self._ready)
            await self._flush()

    async def _flush(self) -> None:
        batch = list(islice(self._queue, BATCH_ROWS))
        if not batch:
            return
        try:
            try:
                self.written += await self._insert(batch)
                self._forget(len(batch))
            except DatabaseUnavailable:
                raise
            except Exception as error:
                self._log.warning("ledger_batch_refused", rows=len(batch), error=str(error))
                await self._insert_singly(batch)
        except DatabaseUnavailable as error:
            await self._rest(error)
        else:
            if self._pause_s:
                self._log.info("ledger_database_back", queued=len(self._queue))
            self._pause_s = 0.0

    async def _insert_singly(self, batch: Sequence[Entry]) -> None:
        for entry in batch:
            try:
                self.written += await self._insert((entry,))
            except DatabaseUnavailable:
                raise
            except Exception as error:
                self._drop(1, str(error), attempt_id=str(entry.attempt_id), request_id=entry.request_id)
            self._forget(1)

    async def _rest(self, error: DatabaseUnavailable) -> None:
        self._pause_s = min(max(2 * self._pause_s, FLUSH_INTERVAL_S), MAX_PAUSE_S)
        self._log.warning(
            "ledger_database_unavailable", error=str(error), queued=len(self._queue), retry_in_s=self._pause_s
        )
        if self._closing.is_set():
            await self._clock.sleep(FLUSH_INTERVAL_S)
        else:
            await self._wait(self._pause_s, unless=self._closing)

    async def _wait(self, seconds: float, *, unless: asyncio.Event) -> None:
        pause, event = asyncio.create_task(self._clock.sleep(seconds)), asyncio.create_task(unless.wait())
        try:
            await asyncio.wait((pause, event), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(pause, event)

    def _forget(self, rows: int) -> None:
        for _ in range(rows):
            self._queue.popleft()

    def _drop(self, rows: int, why: str, **row: str) -> None:
        self.dropped += rows
        # A full queue would log once per request: the first, then each time the count has doubled.
        if rows > 1 or row or self.dropped.bit_count() == 1:
            self._log.error("ledger_rows_dropped", rows=rows, dropped=self.dropped, why=why, **row)


async def _cancel(*tasks: asyncio.Task[None] | asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
