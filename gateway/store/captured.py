"""What was captured of live requests: redacted before it comes here, kept once per input, and for a time."""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.reasons import Role
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.rows import Rows
from gateway.store.tables_learning import captured

_c = captured.c


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

    async def add(self, rows: Sequence[Captured]) -> int:
        """Keep rows, but for those whose input is kept already for the same route and tenant; return how many."""
        return await self._rows.insert_new(captured, [asdict(row) for row in rows])

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
        """Delete what is past its retention; return how many rows."""
        async with erasing(self._database) as connection:
            return (await connection.execute(delete(captured).where(_c.expires_at <= now))).rowcount


@asynccontextmanager
async def erasing(database: Database) -> AsyncIterator[AsyncConnection]:
    """Open one transaction after which what it deleted is nowhere in a SQLite file or its journal.

    A reader at the same moment delays the journal's part until a later commit. PostgreSQL keeps deleted rows until its
    next vacuum, and backups keep what they hold: neither is within reach here.
    """
    sqlite = database.engine.dialect.name == "sqlite"
    with unavailable_as_such(where(database.engine.url)):
        async with database.engine.connect() as connection:
            if sqlite:
                await connection.exec_driver_sql("PRAGMA secure_delete = ON")
                await connection.commit()
            async with connection.begin():
                yield connection
            if sqlite:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
