"""The ledger's rows from the first to the last, a page at a time: for exports of any size, in bounded memory."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Select, select

from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.tables import attempts
from gateway.store.traffic import started_before, started_within

PAGE_ROWS: Final = 2_000
COLUMNS: Final = tuple(str(column.name) for column in attempts.columns)


class Chosen(NamedTuple):
    """Which rows are meant. None: all of them."""

    since: datetime
    until: datetime
    """Without it."""
    route: str | None = None
    kind: str | None = None


class LedgerRows:
    """Reads. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def span(self, chosen: Chosen) -> tuple[datetime, datetime] | None:
        """Return when the first and the last row in a period started, of whatever route and kind; None: there is none.

        It costs two looks at the key.
        """
        within = started_within(chosen.since, chosen.until)
        key = attempts.c.attempt_id
        found = [
            await self._read(select(attempts.c.started_at).where(within).order_by(order).limit(1))
            for order in (key.asc(), key.desc())
        ]
        return (found[0][0][0], found[1][0][0]) if found[0] and found[1] else None

    async def pages(self, chosen: Chosen, *, rows: int = PAGE_ROWS) -> AsyncIterator[list[tuple[Any, ...]]]:
        """Yield rows in the order of their key, values in the order of ``COLUMNS``.

        Each page begins behind the last row of the one before, so no connection is held in between, and rows that are
        written meanwhile neither shift a page nor are there twice.
        """
        behind: str | None = None
        while True:
            page = await self._read(_page(chosen, behind).limit(rows))
            if page:
                yield page
            if len(page) < rows:
                return
            behind = str(page[-1][0])

    async def _read(self, query: Select[Any]) -> list[tuple[Any, ...]]:
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return [tuple(row) for row in await connection.execute(query)]


def _page(chosen: Chosen, behind: str | None) -> Select[Any]:
    key = attempts.c.attempt_id
    conditions: list[ColumnElement[bool]] = [started_within(chosen.since, chosen.until)]
    if behind is not None:
        # Not both bounds at once: of two lower ones a planner may search by the worse.
        conditions = [key > behind, started_before(chosen.until)]
    if chosen.route is not None:
        conditions.append(attempts.c.route == chosen.route)
    if chosen.kind is not None:
        conditions.append(attempts.c.kind == chosen.kind)
    return select(*attempts.columns).where(*conditions).order_by(key)
