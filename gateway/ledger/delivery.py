"""Brings batches of a journal to the database; what the database refuses for a row's own sake is set aside alone."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from gateway.ledger.entry import Entry
from gateway.ledger.frames import Position
from gateway.ledger.refused import RefusedRows
from gateway.ledger.replay import Batch, JournalReader
from gateway.store.database import DatabaseUnavailable
from gateway.store.usage import Checkpoint

BATCH_ROWS: Final = 1000
SLICE_ROWS: Final = 100
"""Rows read from a journal at once, in some 2 ms; requests have their turn between slices."""

log = structlog.get_logger("ledger")


class Rows(Protocol):
    """What is asked of the database's rows; ``UsageStore`` is one. Every method may raise ``DatabaseUnavailable``."""

    async def insert_attempts(self, rows: Sequence[Entry], checkpoint: Checkpoint | None = None) -> int:
        """Insert all rows or none, with how far the journal is; return how many were new."""

    async def checkpoint(self, journal: str) -> Checkpoint | None:
        """Return how far a journal is in the database; None: nothing of it is known to be."""

    async def forget_journal(self, journal: str) -> None:
        """Remove what is noted of a journal."""

    async def delete_older(self, before: datetime, most: int) -> int:
        """Delete at most so many rows that started before an instant; return how many."""


class Parcel:
    """A batch of one journal on its way, and what is left of it after an outage."""

    def __init__(self, journal: str, rows: list[Entry], upto: Position | None) -> None:
        self.journal = journal
        self.parts = [rows] if rows else []
        """What the database does not have yet; what it refused as a whole is here in halves."""
        self.upto = upto
        """Where a replay may start once all is delivered; None: where it may now, or that is delivered too."""


class Delivery:
    """One way to the database for everything that comes from journals, one transaction at a time."""

    def __init__(self, rows: Callable[[], Rows], refused: RefusedRows) -> None:
        """``rows``: returns the open database's rows. Raises ``DatabaseUnavailable`` while it is not open."""
        self.rows = rows
        self.refused = refused
        self.written = 0
        """Rows that were new to the database."""
        # Two transactions of one process would only wait for each other: in SQLite for its one lock.
        self._one = asyncio.Lock()

    async def bring(self, parcel: Parcel) -> None:
        """Insert everything; the checkpoint goes with the last rows.

        What has not arrived stays in the parcel: bring it again. Raises ``DatabaseUnavailable``.
        """
        while parcel.parts or parcel.upto is not None:
            part = parcel.parts[0] if parcel.parts else []
            upto = parcel.upto if len(parcel.parts) <= 1 else None
            try:
                async with self._one:
                    self.written += await self.rows().insert_attempts(part, _checkpoint(parcel.journal, upto))
            except DatabaseUnavailable:
                raise
            except Exception as error:
                parcel.parts[:1] = await self._apart(part, error)
            else:
                del parcel.parts[:1]
                if upto is not None:
                    parcel.upto = None

    async def bring_orphans(self, journal: str, orphans: list[Entry]) -> int:
        """Insert what a journal left open, and return how many rows that were; harmless to repeat.

        Raises ``DatabaseUnavailable``.
        """
        for start in range(0, len(orphans), BATCH_ROWS):
            await self.bring(Parcel(journal, orphans[start : start + BATCH_ROWS], None))
        return len(orphans)

    async def _apart(self, part: list[Entry], error: Exception) -> list[list[Entry]]:
        """Return the halves of what was refused; a single row is kept in the file instead.

        Raises ``DatabaseUnavailable`` where there is no row to be at fault, and so no reason to lose one.
        """
        if not part:
            log.error("ledger_checkpoint_refused", error=type(error).__name__, exc_info=error)
            raise DatabaseUnavailable(f"the journal's checkpoint was refused: {type(error).__name__}") from error
        if len(part) == 1:
            await asyncio.to_thread(self.refused.keep, part[0], error)
            return []
        log.warning("ledger_batch_refused", rows=len(part), error=type(error).__name__)
        middle = len(part) // 2
        return [part[:middle], part[middle:]]


async def read(reader: JournalReader, most: int = BATCH_ROWS) -> Batch:
    """Read on, in slices between which requests have their turn."""
    entries: list[Entry] = []
    while True:
        batch = reader.batch(min(SLICE_ROWS, most - len(entries)))
        entries += batch.entries
        if batch.end or len(entries) >= most:
            return Batch(entries, batch.checkpoint, batch.end)
        await asyncio.sleep(0)


def _checkpoint(journal: str, upto: Position | None) -> Checkpoint | None:
    return None if upto is None else Checkpoint(journal, upto.segment, upto.offset)
