"""Opens the ledger's database behind the first requests: a gateway whose database is away still answers."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence

import structlog

from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.ledger.entry import Entry
from gateway.ledger.writer import LedgerWriter
from gateway.store.database import Database, DatabaseUnavailable, to_async_url
from gateway.store.usage import UsageStore

log = structlog.get_logger()
LEDGER = "ledger"
LONGEST_PAUSE_S = 10.0

Opened = Callable[[Database, UsageStore], Awaitable[None]]
"""What else is to be read before the replica is ready."""


class StoreOpener:
    """Owns the writer, and the database behind it once there is one.

    Raises:
        ConfigError: the URL names no database that a ledger can be kept in.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        try:
            to_async_url(url)
        except ValueError as error:
            raise ConfigError(f"GATEWAY_DATABASE_URL: {error}") from None
        self._url = url
        self._clock = clock
        self._database: Database | None = None
        self._usage: UsageStore | None = None
        self._task: asyncio.Task[None] | None = None
        self.writer = LedgerWriter(self._insert, clock)

    def start(self, waiting_for: MutableMapping[str, str], opened: Opened) -> None:
        """Start opening; ``waiting_for`` says why the replica is not ready until ``opened`` has done its part."""
        waiting_for[LEDGER] = "ledger: its database is being opened"
        self._task = asyncio.create_task(self._open(waiting_for, opened), name="ledger-open")
        self.writer.start()

    def figures(self) -> tuple[int, float, int, int]:
        """Return rows queued, the age of the oldest in seconds, rows written, rows dropped."""
        return self.writer.queued, self.writer.oldest_age_s, self.writer.written, self.writer.dropped

    async def close(self, deadline_s: float) -> None:
        """Write what is queued, then let go of the database."""
        await self.writer.close(deadline_s)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._database is not None:
            await self._database.close()

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
        self._usage = UsageStore(database)
        return True

    async def _insert(self, entries: Sequence[Entry]) -> int:
        if self._usage is None:
            raise DatabaseUnavailable("the database is not open yet")
        return await self._usage.insert_attempts(entries)
