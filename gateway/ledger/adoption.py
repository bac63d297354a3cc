"""Takes up the journals of processes that are gone: their rows, then what they left open, then their directories.

Every step may be the last before a kill: whoever comes next begins again, and the database skips what it has.
"""

import asyncio
from pathlib import Path
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.ledger.dead_journals import database_of, journals_in, locked, trimmed
from gateway.ledger.delivery import Delivery, Parcel, read
from gateway.ledger.drain import FLUSH_INTERVAL_S, MAX_PAUSE_S
from gateway.ledger.frames import Position
from gateway.ledger.journal import Journal
from gateway.ledger.replay import JournalReader
from gateway.ledger.segments import release_segments, remove_journal
from gateway.store.database import DatabaseUnavailable

LOOK_EVERY_S: Final = 30.0

log = structlog.get_logger("ledger")


class Adoption:
    """The task that looks for dead journals beside this process's own."""

    def __init__(self, journal: Journal, database: str, delivery: Delivery, clock: Clock) -> None:
        """``database``: where this process's rows go; only journals whose rows go there too are taken up."""
        self._journal = journal
        self._root = journal.directory.parent
        self._database = database
        self._delivery = delivery
        self._clock = clock
        self._waiting: dict[Path, int] = {}
        """Bytes of the dead journals that the database does not have yet."""
        self._told: set[Path] = set()
        """Of which journals it has been said that they are left alone."""
        self.adopted = 0
        """Journals that are in the database now, and gone."""
        self.damaged = 0
        """Stretches of them that could not be read."""

    async def run(self) -> None:
        """Look at once, then every half minute; sooner while the database is away."""
        pause_s = 0.0
        while True:
            try:
                await self.look()
                pause_s = 0.0
            except DatabaseUnavailable:
                # That it is away, the drain says.
                pause_s = min(max(2 * pause_s, FLUSH_INTERVAL_S), MAX_PAUSE_S)
            except Exception:
                log.exception("journals_not_looked_for")
            await self._clock.sleep(pause_s or LOOK_EVERY_S)

    async def look(self) -> None:
        """Take up every dead journal that is there now.

        Raises ``DatabaseUnavailable``: what waits counts as this process's journal does, until it is taken up.
        """
        found = [path for path in await asyncio.to_thread(journals_in, self._root) if path != self._journal.directory]
        for gone in self._waiting.keys() - set(found):
            del self._waiting[gone]
        away: DatabaseUnavailable | None = None
        for directory in found:
            try:
                with locked(directory) as is_dead:
                    if is_dead and self._is_ours(directory):
                        self._waiting[directory] = await asyncio.to_thread(trimmed, directory)
                        self._count()
                        if away is None:
                            await self._take_up(directory)
            except DatabaseUnavailable as error:
                away = error
            except Exception as error:
                # One that cannot be read must not keep the others waiting.
                self._tell_once(directory, "journal_not_taken_up", error=f"{type(error).__name__}: {error}")
        self._count()
        if away is not None:
            raise away

    async def _take_up(self, directory: Path) -> None:
        """Bring rows, then orphans, forget the journal, remove it: in this order, for a kill in between."""
        known = await self._delivery.rows().checkpoint(directory.name)
        reader = JournalReader(directory, None if known is None else Position(known.segment, known.offset))
        rows, end, segment = 0, False, 0
        try:
            while not end:
                batch = await read(reader)
                rows, end = rows + len(batch.entries), batch.end
                if batch.entries:
                    await self._delivery.bring(Parcel(directory.name, batch.entries, batch.checkpoint))
                if batch.checkpoint.segment > segment:
                    segment = batch.checkpoint.segment
                    await self._release(directory, batch.checkpoint)
                await asyncio.sleep(0)
            interrupted = await self._delivery.bring_orphans(directory.name, reader.orphans())
        finally:
            reader.close()
        await self._delivery.rows().forget_journal(directory.name)
        await asyncio.to_thread(remove_journal, directory)
        del self._waiting[directory]
        self.adopted += 1
        self.damaged += reader.damaged
        log.info("journal_adopted", journal=directory.name, rows=rows, interrupted=interrupted, damaged=reader.damaged)

    async def _release(self, directory: Path, before: Position) -> None:
        """Remove what the database has: a long outage's journal must not fill this process's until its last row."""
        await asyncio.to_thread(release_segments, directory, before)
        self._waiting[directory] = await asyncio.to_thread(trimmed, directory)
        self._count()

    def _is_ours(self, directory: Path) -> bool:
        database = database_of(directory)
        if database == self._database:
            return True
        self._tell_once(directory, "journal_of_another_database", database=database, ours=self._database)
        return False

    def _count(self) -> None:
        self._journal.foreign_bytes = sum(self._waiting.values())

    def _tell_once(self, directory: Path, event: str, **fields: str | None) -> None:
        if directory not in self._told:
            self._told.add(directory)
            log.warning(event, path=str(directory), **fields)
