"""What was captured of live requests: redacted before it comes here, kept once per input, and for a time."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import delete, func, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.reasons import Role
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.rows import Rows
from gateway.store.tables_learning import captured, captured_again, deletions, recordings

MOST_NAMES: Final = 1_000
"""Requests of one input that are told apart; where more have asked it, any deletion takes it."""
_TRIES: Final = 4
_PAUSE_S: Final = 0.5
_c, _again = captured.c, captured_again.c

Added = Literal["kept", "duplicate", "deleted"]
"""deleted: its user or request was deleted after it was asked, and before it came here."""


@dataclass(frozen=True, slots=True)
class Captured:
    """One live request and its answer."""

    captured_id: str
    """UUIDv7 of ``captured_at``."""
    route: str
    tenant: str
    """Empty: nobody's in particular."""
    input_id: str
    """Of the redacted messages and tools."""
    request_id: str
    user_digest: str | None
    """``digest_of`` what the caller named as its user."""
    role: Role
    provider: str
    model: str
    prompt_version: str | None
    request: str
    """JSON: ``{"messages": […]}``, with ``tools`` and ``response_format`` where the caller sent them."""
    answer: str
    """JSON: the assistant's message."""
    redacted: Mapping[str, int]
    """How much of each kind was blacked out."""
    captured_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CapturedCount:
    """How much is kept of a route."""

    rows: int
    oldest: datetime
    newest: datetime


def digest_of(text: str) -> str:
    """Return 64 hex digits (SHA-256) by which a user's or a request's rows are found without the name being kept.

    A pseudonym, not a secret: whoever has a list of names can compute their digests and compare.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class CapturedStore:
    """Reads and writes. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = Rows(database)

    async def add(self, rows: Sequence[Captured]) -> list[Added]:
        """Keep rows, and say of each what became of it.

        Of an input that is kept already for the same route and tenant only who asked it is kept, for deletion.
        """
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection, connection.begin():
                await wait_for_deletions(connection)
                deleted_at = await last_deleted(connection, {name for row in rows for name in _selectors(row)})
                added: list[Added] = []
                for row in rows:
                    gone = [deleted_at[name] for name in _selectors(row) if name in deleted_at]
                    is_late = bool(gone) and max(gone) >= row.captured_at
                    added.append("deleted" if is_late else await _add(connection, row))
                return added

    async def of_route(self, route: str, tenant: str | None) -> list[Captured]:
        """Return what is kept of a route for one tenant (None: for nobody in particular), in order of capture."""
        own = (_c.route == route, _c.tenant == (tenant or ""))
        found = await self._rows.read(select(captured).where(*own).order_by(_c.captured_id))
        return [Captured(**{**row, "role": Role(row["role"])}) for row in found]

    async def counts(self) -> dict[str, CapturedCount]:
        """Return how much is kept, by route; routes of which nothing is kept are left out."""
        oldest, newest = func.min(_c.captured_at).label("oldest"), func.max(_c.captured_at).label("newest")
        query = select(_c.route, func.count().label("rows"), oldest, newest).group_by(_c.route).order_by(_c.route)
        return {row.pop("route"): CapturedCount(**row) for row in await self._rows.read(query)}

    async def purge(self, now: datetime) -> int:
        """Delete what is past its retention; return how many rows.

        Who else asked an input is known as long as a recording of it is kept.
        """
        recorded = select(recordings.c.route, recordings.c.input_id).distinct()
        others = delete(captured_again).where(
            _again.expires_at <= now, tuple_(_again.route, _again.input_id).not_in(recorded)
        )
        async with erasing(self._database) as connection:
            rows = (await connection.execute(delete(captured).where(_c.expires_at <= now))).rowcount
            await connection.execute(others)
        await empty_log(self._database, tries=1)
        return rows


@asynccontextmanager
async def erasing(database: Database) -> AsyncIterator[AsyncConnection]:
    """Open one transaction that overwrites in a SQLite file what it deletes; ``empty_log`` does so in its log.

    Rows that are added meanwhile wait, and see what it wrote. PostgreSQL keeps deleted rows until its next vacuum, and
    backups keep what they hold: neither is within reach here.
    """
    with unavailable_as_such(where(database.engine.url)):
        async with database.engine.connect() as connection:
            is_sqlite = connection.dialect.name == "sqlite"
            if is_sqlite:
                await connection.exec_driver_sql("PRAGMA secure_delete = ON")
                await connection.commit()
            async with connection.begin():
                if not is_sqlite:
                    await connection.exec_driver_sql("LOCK TABLE captured IN SHARE ROW EXCLUSIVE MODE")
                yield connection


async def empty_log(database: Database, tries: int = _TRIES) -> bool:
    """Empty SQLite's write-ahead log, half a second between tries; False where readers still need it."""
    if database.engine.dialect.name != "sqlite":
        return True
    for left in reversed(range(tries)):
        with unavailable_as_such(where(database.engine.url)):
            async with database.engine.connect() as connection:
                busy, *_ = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).one()
        if not busy:
            return True
        if left:
            # Who waits holds up those who write: they get their turn in between.
            await asyncio.sleep(_PAUSE_S)
    return False


async def wait_for_deletions(connection: AsyncConnection) -> None:
    """Let a deletion that is under way end first, so that it finds the rows, or is found."""
    is_sqlite = connection.dialect.name == "sqlite"
    await connection.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else "LOCK TABLE captured IN ROW EXCLUSIVE MODE")


async def last_deleted(connection: AsyncConnection, selectors: Iterable[str]) -> dict[str, datetime]:
    """Return when what these name (``selector_of``) was deleted last; what never was is left out."""
    latest = func.max(deletions.c.deleted_at).label("deleted_at")
    query = select(deletions.c.selector, latest).where(deletions.c.selector.in_(sorted(selectors)))
    found = await connection.execute(query.group_by(deletions.c.selector))
    return {row.selector: row.deleted_at for row in found}


def _selectors(row: Captured) -> list[str]:
    user = [selector_of("user", row.user_digest)] if row.user_digest else []
    return [*user, selector_of("request", digest_of(row.request_id))]


def selector_of(kind: Literal["user", "request"], digest: str) -> str:
    """Return how ``deletions`` names a user or a request."""
    return f"{kind}:{digest}"


async def _add(connection: AsyncConnection, row: Captured) -> Added:
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    added = await connection.execute(insert(captured).values(asdict(row)).on_conflict_do_nothing())
    if added.rowcount > 0:
        return "kept"
    same = (_again.route == row.route, _again.tenant == row.tenant, _again.input_id == row.input_id)
    names = await connection.scalar(select(func.count()).select_from(captured_again).where(*same)) or 0
    request_id, user_digest = (row.request_id, row.user_digest) if names < MOST_NAMES else ("", "")
    kept = select(
        _c.route, _c.tenant, _c.input_id, literal(request_id), literal(user_digest, _c.user_digest.type), _c.expires_at
    ).where(_c.route == row.route, _c.tenant == row.tenant, _c.input_id == row.input_id)
    columns = ("route", "tenant", "input_id", "request_id", "user_digest", "expires_at")
    await connection.execute(insert(captured_again).from_select(columns, kept).on_conflict_do_nothing())
    return "duplicate"
