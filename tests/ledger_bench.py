"""What tests of the drain and of adoption stand on: a database that does as it is told, and journals of the dead."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from gateway.clock import Clock, SystemClock
from gateway.config.routes_ledger import Ledger
from gateway.ledger.entry import Entry
from gateway.ledger.journal import Intent, Journal
from gateway.ledger.segments import FileCalls
from gateway.store.database import DatabaseUnavailable
from gateway.store.usage import Checkpoint

DATABASE = "/where/rows/go/gateway.db"


class Sink:
    """The database's rows: takes, refuses or is away, and remembers."""

    def __init__(self) -> None:
        self.batches: list[list[Entry]] = []
        self.known: dict[str, Entry] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.forgotten: list[str] = []
        self.calls = 0
        self.available = True
        self.refused: set[str] = set()
        """Request ids."""
        self.held = 0
        """The most rows that it was ever given at once."""

    async def insert_attempts(self, rows: Sequence[Entry], checkpoint: Checkpoint | None = None) -> int:
        self._ask()
        await asyncio.sleep(0)
        if any(row.request_id in self.refused for row in rows):
            raise ValueError("this cannot be stored")
        self.held = max(self.held, len(rows))
        if rows:
            self.batches.append(list(rows))
        new = [row for row in rows if row.attempt_id not in self.known]
        self.known |= {row.attempt_id: row for row in new}
        if checkpoint is not None:
            self.checkpoints[checkpoint.journal] = checkpoint
        return len(new)

    async def checkpoint(self, journal: str) -> Checkpoint | None:
        self._ask()
        return self.checkpoints.get(journal)

    async def forget_journal(self, journal: str) -> None:
        self._ask()
        self.checkpoints.pop(journal, None)
        self.forgotten.append(journal)

    async def delete_older(self, before: datetime, most: int) -> int:
        self._ask()
        old = [id_ for id_, row in self.known.items() if row.started_at < before][:most]
        for id_ in old:
            del self.known[id_]
        return len(old)

    @property
    def rows(self) -> list[Entry]:
        """Every row that arrived new, in order."""
        return list(self.known.values())

    def _ask(self) -> None:
        self.calls += 1
        if not self.available:
            raise DatabaseUnavailable("gateway.db: database is locked")


class Unsynced(FileCalls):
    """A disk that never has to outlive a power cut: the tests share one that is slow."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, directory: Path) -> None:
        pass


def a_journal(
    root: Path, clock: Clock | None = None, database: str = DATABASE, segment_bytes: int = 1 << 20
) -> Journal:
    return Journal.open(
        root,
        database=database,
        clock=clock or SystemClock(),
        ledger=Ledger(),
        files=Unsynced(),
        segment_bytes=segment_bytes,
    )


def a_dead_journal(root: Path, settled: Sequence[Entry], begun: Sequence[Entry] = (), database: str = DATABASE) -> Path:
    """Return the directory of a journal that nobody writes to any more: its attempts, and those without an end."""
    journal = a_journal(root, database=database)
    for entry in begun:
        journal.intent(Intent(entry, Decimal(2)))
        journal.progress(entry.attempt_id, 32)
    write(journal, settled)
    journal.close(empty=False)
    return journal.directory


def write(journal: Journal, entries: Sequence[Entry]) -> None:
    """Write attempts from their begin to their end."""
    for entry in entries:
        journal.intent(Intent(entry, None))
        journal.settle(entry)


async def until(what: Callable[[], object]) -> None:
    """Wait for something that nothing tells of."""
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
