"""Writes the ledger behind the responses: reads this process's journal back and brings it to the database in batches.

No row is held in memory but those of the batch on its way: an outage's rows wait in the journal.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.ledger.delivery import Delivery, Parcel, read
from gateway.ledger.journal import Journal
from gateway.ledger.replay import JournalReader
from gateway.store.database import DatabaseUnavailable

FLUSH_INTERVAL_S: Final = 0.2
BUSY_INTERVAL_S: Final = 0.5
"""Where many rows come, more are waited for: what a transaction costs as such is the requests' own time, too."""
BUSY_ROWS: Final = 100
MAX_PAUSE_S: Final = 5.0
"""No longer: within this time after the database is back, its rows are on their way."""
GIVEN_UP_AFTER: Final = timedelta(hours=1)
"""An attempt that was open when damage was met in the journal, and was not heard of since, has its last word in the
damage once it began so long ago. Its row is written as interrupted, so that it does not keep the journal from being
emptied. Should it end after all, that row stays: only a whole answer under ``total_s`` above an hour could."""
DOUBT_INTERVAL_S: Final = 60.0
"""Between looks at such attempts while no rows come."""
BREATH_S: Final = 0.005
"""Between two batches of a backlog: the requests' own time."""

log = structlog.get_logger("ledger")


class Drain:
    """The task that empties one journal for as long as its process lives.

    While the database is unavailable it tries again at growing pauses. A row counts as drained when the database has
    it, or the file of refused rows.
    """

    def __init__(self, journal: Journal, delivery: Delivery, clock: Clock) -> None:
        self._journal = journal
        self._delivery = delivery
        self._clock = clock
        self._reader = JournalReader(journal.directory, live=True)
        self._parcel: Parcel | None = None
        self._noticed_at: datetime | None = None
        """When the first row of those that gather now was seen."""
        self._caught_up_s = clock.monotonic()
        """When the journal was last read of which the database then had everything: what waits came after that."""
        self._noted = False
        """Whether the database has a checkpoint of this journal."""
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pause_s = 0.0
        self._read = 0
        self._last_rows = 0
        """How many the last batch had."""
        self.drained = 0
        """Rows of this journal that are where they belong."""

    @property
    def queued(self) -> int:
        """Rows that the database does not have yet."""
        return max(0, self._journal.settled - self.drained)

    @property
    def oldest_age_s(self) -> float:
        """Seconds since the oldest attempt finished that is not in the database; 0 where all are.

        By the calendar, since that is what rows have; but no more than has really passed, for calendars are set right,
        and that of a demo is fast.
        """
        parts = self._parcel.parts if self._parcel is not None else []
        since = parts[0][0].finished_at if parts else self._noticed_at
        if since is None:
            return 0.0
        return max(0.0, min((self._clock.now() - since).total_seconds(), self._clock.monotonic() - self._caught_up_s))

    def start(self) -> None:
        """Start the task; needs a running loop."""
        self._task = asyncio.create_task(self._run(), name="ledger-drain")

    async def close(self, deadline_s: float) -> bool:
        """Drain what is left and close the journal; True: the database has everything, and the directory is gone.

        After ``deadline_s`` what is left stays in the journal's directory, for the next start. Nothing may be written
        to the journal any more: what is open then was interrupted.
        """
        self._closing.set()
        self._journal.wake.set()
        if self._task is None:
            self.start()
        assert self._task is not None
        deadline = asyncio.create_task(self._clock.sleep(deadline_s))
        await asyncio.wait((self._task, deadline), return_when=asyncio.FIRST_COMPLETED)
        done = self._task.done() and not self._task.cancelled()
        await _cancel(self._task, deadline)
        self._reader.close()
        self._journal.close(empty=done)
        if not done:
            log.warning(
                "ledger_journal_left",
                rows=self.queued,
                bytes=self._journal.bytes_used - self._journal.foreign_bytes,
                directory=str(self._journal.directory),
                why="the database did not take them in time; the next start does",
            )
        return done

    async def _run(self) -> None:
        while True:
            # Before it reads: a row that is written while a batch is on its way must be read before any is an orphan.
            closing = self._closing.is_set()
            try:
                if await self._drained_some():
                    await self._pause(BREATH_S)
                elif closing:
                    await self._finish()
                    return
                else:
                    await self._gather()
            except DatabaseUnavailable as error:
                await self._rest(str(error))
            except Exception as error:
                # Nobody waits for this task: what it does not say is never heard of.
                log.exception("ledger_drain_failed")
                await self._rest(type(error).__name__)

    async def _drained_some(self) -> bool:
        """Bring the next batch to the database; False: nothing more is written."""
        end, began_s = False, self._clock.monotonic()
        if self._parcel is None:
            self._journal.wake.clear()
            batch = await read(self._reader)
            end, self._journal.damaged = batch.end, self._reader.damaged
            self._last_rows = len(batch.entries)
            # At the end it is known: what was read twice, or could not be, must not count for ever.
            self._read = self._journal.settled if end else self._read + len(batch.entries)
            given_up = self._reader.expired(self._clock.now() - GIVEN_UP_AFTER) if end else []
            if given_up:
                log.warning("journal_attempts_given_up", attempts=[row.attempt_id for row in given_up[:20]])
            if batch.entries or given_up:
                # Where a replay may start: with the attempts that were given up, it is further on than the batch says.
                self._parcel = Parcel(self._journal.name, batch.entries + given_up, self._reader.checkpoint)
        if self._parcel is not None:
            await self._deliver(self._parcel)
        self._noticed_at, self.drained = None, self._read
        if end:
            self._caught_up_s = began_s
        return not end

    async def _deliver(self, parcel: Parcel) -> None:
        upto = parcel.upto
        await self._delivery.bring(parcel)
        self._parcel, self._noted = None, True
        if self._pause_s:
            log.info("ledger_database_back", queued=self._journal.settled - self._read)
            self._pause_s = 0.0
        if upto is not None:
            self._journal.release(upto)

    async def _finish(self) -> None:
        """Settle what nobody will settle any more, and have the database forget the journal."""
        await self._delivery.bring_orphans(self._journal.name, self._reader.orphans())
        if self._noted or self._journal.has_holds:
            await self._delivery.rows().forget_journal(self._journal.name)

    async def _gather(self) -> None:
        """Wait for a row, then let others join it for a moment; what waits for long is many rows a batch anyway."""
        if self._reader.in_doubt:
            # A journal that is full of what they hold gets no more rows to wake anybody.
            await self._pause(DOUBT_INTERVAL_S, self._journal.wake)
            if not self._journal.wake.is_set():
                return
        await self._journal.wake.wait()
        if not self._closing.is_set():
            self._noticed_at = self._clock.now()
            await self._pause(BUSY_INTERVAL_S if self._last_rows >= BUSY_ROWS else FLUSH_INTERVAL_S)

    async def _rest(self, why: str) -> None:
        self._pause_s = min(max(2 * self._pause_s, FLUSH_INTERVAL_S), MAX_PAUSE_S)
        log.warning("ledger_database_unavailable", error=why, queued=self.queued, retry_in_s=self._pause_s)
        if self._closing.is_set():
            await self._clock.sleep(FLUSH_INTERVAL_S)
        else:
            await self._pause(self._pause_s)

    async def _pause(self, seconds: float, until: asyncio.Event | None = None) -> None:
        """Sleep, but no longer than until something is so; otherwise than until it is closing."""
        waiting = asyncio.create_task((until or self._closing).wait())
        sleep = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait((sleep, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(sleep, waiting)


async def _cancel(*tasks: asyncio.Task[None] | asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
