"""Opens the ledger's database behind the first requests: a gateway whose database is away still answers."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path

import structlog

from gateway.clock import Clock
from gateway.config.routes_ledger import Ledger
from gateway.errors import ConfigError
from gateway.ledger.adoption import Adoption
from gateway.ledger.delivery import Delivery
from gateway.ledger.drain import Drain
from gateway.ledger.figures import LedgerFigures
from gateway.ledger.journal import Journal
from gateway.ledger.refused import RefusedRows
from gateway.ledger.retention import Retention
from gateway.store.database import Database, DatabaseUnavailable, to_async_url, where
from gateway.store.usage import UsageStore

log = structlog.get_logger()
LEDGER = "ledger"
LONGEST_PAUSE_S = 2.0
STATE = Path("state")

Opened = Callable[[Database, UsageStore], Awaitable[None]]
"""What else is to be read before the replica is ready."""


class StoreOpener:
    """Owns the journal, what brings it to the database, and the database behind it once there is one.

    Raises:
        ConfigError: the URL names no database that a ledger can be kept in, or the journal's directory cannot be used.
    """

    def __init__(self, url: str, clock: Clock, journal_dir: Path | None = None, ledger: Ledger | None = None) -> None:
        root = journal_root(url, journal_dir)
        database = where(to_async_url(url))
        self._url = url
        self._clock = clock
        self._database: Database | None = None
        self._usage: UsageStore | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._serves_without: Callable[[], bool] = lambda: False
        self.journal = Journal.open(root, database=database, clock=clock, ledger=ledger or Ledger())
        self._delivery = Delivery(self._rows, RefusedRows(root))
        self._drain = Drain(self.journal, self._delivery, clock)
        self._adoption = Adoption(self.journal, database, self._delivery, clock)
        self._retention = Retention(self._rows, lambda: self.journal.ledger.retention_days, clock)

    def start(
        self, waiting_for: MutableMapping[str, str], opened: Opened, serves_without: Callable[[], bool] = lambda: False
    ) -> None:
        """Start opening; ``waiting_for`` says why the replica is not ready until ``opened`` has done its part.

        ``serves_without``: whether what is needed of the database is known from before, so that one that cannot be
        reached keeps no traffic away.
        """
        self._serves_without = serves_without
        waiting_for[LEDGER] = "ledger: its database is being opened"
        self._tasks = [
            asyncio.create_task(self._open(waiting_for, opened), name="ledger-open"),
            asyncio.create_task(self._adoption.run(), name="ledger-adoption"),
            asyncio.create_task(self._retention.run(), name="ledger-retention"),
        ]
        self._drain.start()

    def figures(self) -> LedgerFigures:
        """Return what is on its way, and what became of what was."""
        journal, delivery = self.journal, self._delivery
        return LedgerFigures(
            queued=self._drain.queued,
            oldest_age_s=self._drain.oldest_age_s,
            written=delivery.written,
            dropped=journal.dropped + delivery.refused.lost,
            refused=delivery.refused.kept,
            journal_bytes=journal.bytes_used,
            sync_failures=journal.sync_failures,
            damaged=journal.damaged + self._adoption.damaged,
        )

    async def close(self, deadline_s: float) -> None:
        """Bring to the database what the journal holds, then let go of both.

        What it does not take within ``deadline_s`` stays in the journal's directory, for the next start.
        """
        opening, others = self._tasks[:1], self._tasks[1:]
        await _cancelled(others)
        # The database may come while what is left is drained: its opening goes on until then.
        await self._drain.close(deadline_s)
        await _cancelled(opening)
        if self._database is not None:
            await self._database.close()

    def _rows(self) -> UsageStore:
        if self._usage is None:
            raise DatabaseUnavailable("the database is not open yet")
        return self._usage

    async def _open(self, waiting_for: MutableMapping[str, str], opened: Opened) -> None:
        pause_s = 0.5
        while True:
            try:
                if await self._opened(waiting_for):
                    assert self._database is not None
                    assert self._usage is not None
                    await opened(self._database, self._usage)
                    waiting_for.pop(LEDGER, None)
                    return
            except DatabaseUnavailable as error:
                if self._serves_without():
                    waiting_for.pop(LEDGER, None)
                else:
                    waiting_for[LEDGER] = f"ledger: {error}"
                log.warning("ledger_database_unavailable", error=str(error), retry_in_s=pause_s)
            except Exception as error:
                # Nobody else waits for this task: what it does not say is never heard of.
                waiting_for[LEDGER] = f"ledger: {type(error).__name__}: {error}"
                log.exception("ledger_not_opened", retry_in_s=pause_s)
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _opened(self, waiting_for: MutableMapping[str, str]) -> bool:
        """Open the database and see to its schema; False where a person must migrate it."""
        database = self._database = self._database or await Database.open(self._url)
        if not await database.is_current():
            if database.engine.dialect.name != "sqlite":
                waiting_for[LEDGER] = "ledger: the database's schema is not this version's; run 'gateway migrate'"
                return False
            # Imports alembic, so only now, and in a thread: requests are being served already.
            from gateway.store.migrate import migrate

            await asyncio.to_thread(migrate, self._url)
        self._usage = UsageStore(database, self._clock)
        return True


def journal_root(url: str, journal_dir: Path | None) -> Path:
    """Return the directory of the journals whose rows go to a database: a setting, or one that follows from its URL.

    Beside SQLite's file; for PostgreSQL under ``state/``, by the database's name and its address.

    Raises:
        ConfigError: the URL names no database that a ledger can be kept in.
    """
    try:
        parsed = to_async_url(url)
    except ValueError as error:
        raise ConfigError(f"GATEWAY_DATABASE_URL: {error}") from None
    if journal_dir is not None:
        return journal_dir
    if parsed.get_backend_name() == "sqlite":
        file = Path(where(parsed))
        return file.with_suffix(f"{file.suffix}.journal" if file.suffix == ".journal" else ".journal")
    address = hashlib.sha256(where(parsed).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.-]", "_", parsed.database or LEDGER)
    return STATE / f"{name}-{address}.journal"


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
