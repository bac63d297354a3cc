"""What keys with a budget have spent and hold as of now: the one reading, for whoever refuses and whoever shows.

Now is the database's, in UTC: the replicas' clocks may differ, and sums are kept by its days.
"""

from collections.abc import Collection
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.config.callers import Budget
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.spend_sql import NOW, windows_sql
from gateway.store.tables_keys import key_spend


class Standing(NamedTuple):
    """What one key has spent and holds, in nano-dollars, in the windows that are open now."""

    day: date
    day_spent: int
    day_held: int
    month: date
    """Its first day."""
    month_spent: int
    month_held: int
    total_spent: int
    total_held: int


class Standings:
    """Reads the table ``key_spend``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, key_ids: Collection[str] | None) -> dict[str, Standing]:
        """Return how keys (None: all) stand, by their ids; those that never had a budget are left out."""
        engine = self._database.engine
        with unavailable_as_such(where(engine.url)):
            async with engine.connect() as connection:
                dialect = engine.dialect.name
                now = await today_of(connection, windows_sql(dialect, NOW[dialect]))
                return await read_standings(connection, *now, key_ids)


async def today_of(connection: AsyncConnection, windows: str) -> tuple[date, date]:
    """Return the database's today and the first of its month; ``windows`` is the query of them."""
    today, month = tuple((await connection.exec_driver_sql(windows)).one())
    # SQLite has no dates of its own.
    if isinstance(today, str):
        return date.fromisoformat(today), date.fromisoformat(month)
    return today, month


async def read_standings(
    connection: AsyncConnection, today: date, month: date, key_ids: Collection[str] | None
) -> dict[str, Standing]:
    """Return how keys (None: all) stand, those that have a row."""
    query = select(key_spend)
    if key_ids is not None:
        query = query.where(key_spend.c.key_id.in_(key_ids))
    found: Any = (await connection.execute(query)).mappings()
    return {row["key_id"]: standing_of(row, today, month) for row in found}


def room(standing: Standing, budget: Budget, nanousd: int) -> list[tuple[str, int, int]]:
    """Return for each limit its window's name, what is left once ``nanousd`` is taken, and what of the rest is held."""
    windows = (
        ("day", budget.day_nanousd, standing.day_spent, standing.day_held),
        ("month", budget.month_nanousd, standing.month_spent, standing.month_held),
        ("total", budget.total_nanousd, standing.total_spent, standing.total_held),
    )
    return [(name, limit - spent - held - nanousd, held) for name, limit, spent, held in windows if limit is not None]


def standing_of(row: RowMapping, today: date, month: date) -> Standing:
    """Return a row as it is in the windows of now: of those that are over nothing counts."""
    day, first = max(row["day"], today), max(row["month"], month)
    in_day, in_month = row["day"] == day, row["month"] == first
    return Standing(
        day,
        row["day_spent"] * in_day,
        row["day_held"] * in_day,
        first,
        row["month_spent"] * in_month,
        row["month_held"] * in_month,
        row["total_spent"],
        row["total_held"],
    )
