"""What ``gateway ledger status`` looks at: the database, and the journals that wait for it."""

import asyncio
import os
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.config.routes_ledger import Ledger
from gateway.errors import ConfigError
from gateway.ledger.frames import Position
from gateway.ledger.journals_seen import JournalSeen, RootSeen, look, rows_behind

if TYPE_CHECKING:
    from gateway.store.ledger_status import Holding, LedgerStatus, Noted

_ASKED_AT_ONCE: Final = 500
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class DatabaseSeen:
    """What is in the database, or why nothing can be said of it."""

    place: str
    kind: str
    schema: str | None = None
    holding: "Holding | None" = None
    noted: "dict[str, Noted]" = field(default_factory=dict)
    lacks: str | None = None
    """A sentence that says why it could not be looked at."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a journal holds that the database does not."""

    since: datetime | None
    """When the oldest of its rows finished; None: there is none."""
    known: bool = True
    """False: nobody could ask the database."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it."""

    database: DatabaseSeen
    root: RootSeen
    ledger: Ledger
    waiting: dict[str, Waiting]
    """By the journal's name; of those whose rows go to this database."""

    def is_mine(self, journal: JournalSeen) -> bool:
        """Tell whether a journal's rows go to this database."""
        return journal.database == self.database.place

    @property
    def limit(self) -> int:
        """Bytes that one process may keep, with those of dead ones that it takes up."""
        return self.ledger.journal_mib * MIB


async def see(url: str, root: Path, ledger: Ledger) -> Seen:
    """Look at everything, changing nothing.

    Raises:
        ConfigError: the journals may not be read.
    """
    try:
        database, waiting, seen = await _see(url, root)
    except OSError as error:
        raise ConfigError(
            f"cannot look at the journals in {root}: {error.strerror}; run it as the gateway's user"
        ) from None
    return Seen(database, seen, ledger, waiting)


async def _see(url: str, root: Path) -> tuple[DatabaseSeen, dict[str, Waiting], RootSeen]:
    from gateway.store.database import Database, DatabaseUnavailable, to_async_url, where
    from gateway.store.ledger_status import LedgerStatus
    from gateway.store.tables import SCHEMA_HEAD

    async_url = to_async_url(url)
    place, kind = where(async_url), async_url.get_backend_name()
    seen = await asyncio.to_thread(look, root)
    if kind == "sqlite" and not await asyncio.to_thread(Path(place).is_file):
        return DatabaseSeen(place, kind, lacks="there is no such file yet: `gateway serve` makes it"), {}, seen
    try:
        opened = await Database.open(url)
    except DatabaseUnavailable as error:
        said = str(error).removeprefix(f"{place}: ")
        unknown = {journal.name: Waiting(None, known=False) for journal in seen.journals if journal.database == place}
        lacks = f"it cannot be reached ({said}); gateways go on, and their rows wait in the journals until it is back"
        return DatabaseSeen(place, kind, lacks=lacks), unknown, seen
    try:
        version = await opened.schema_version()
        if version != SCHEMA_HEAD:
            return DatabaseSeen(place, kind, version, lacks=_other_schema(version, SCHEMA_HEAD)), {}, seen
        status = LedgerStatus(opened)
        noted = await status.noted()
        mine = [journal for journal in seen.journals if journal.database == place]
        waiting = {journal.name: await _waiting(status, journal, noted.get(journal.name)) for journal in mine}
        return DatabaseSeen(place, kind, version, await status.holding(), noted), waiting, seen
    finally:
        await opened.close()


async def _waiting(status: "LedgerStatus", journal: JournalSeen, noted: "Noted | None") -> Waiting:
    """Find the oldest row that the database lacks: the checkpoint alone would not tell, it waits for long streams."""
    start = Position(noted.segment, noted.offset) if noted is not None else None
    rows = rows_behind(journal, start)
    while some := await asyncio.to_thread(lambda: list(islice(rows, _ASKED_AT_ONCE))):
        present = await status.present([id_ for id_, _ in some])
        lacking = [at for id_, at in some if id_ not in present]
        if lacking:
            return Waiting(min(lacking))
    return Waiting(None)


def ledger_of(routes: Path) -> Ledger:
    """Return what a configuration says of the ledger; what holds without one, where it cannot be read."""
    from gateway.config.loader import load

    try:
        return load(routes, environ=os.environ).routes.ledger
    except ConfigError:
        return Ledger()


def _other_schema(version: str | None, head: str) -> str:
    if version is None:
        return "nothing was ever migrated here: run `gateway migrate`"
    return f"its schema is {version}, and this version of the gateway needs {head}: run `gateway migrate`"
