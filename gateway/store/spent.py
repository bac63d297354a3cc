"""What keys with a budget have spent so far, as people are shown it. What is reserved and settled is elsewhere."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_keys import key_spend


@dataclass(frozen=True, slots=True)
class Spent:
    """One key's sums in nano-dollars, by UTC's day and month."""

    day_nanousd: int
    month_nanousd: int
    total_nanousd: int
    held_nanousd: int
    """Set aside for requests under way."""


class SpentStore:
    """Reads the table ``key_spend``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def of(self, key_ids: Collection[str] | None, now: datetime) -> Mapping[str, Spent]:
        """Return what keys (None: all) have spent as of ``now``; those that never had a budget are left out."""
        query = select(key_spend)
        if key_ids is not None:
            query = query.where(key_spend.c.key_id.in_(key_ids))
        return {row["key_id"]: _spent(row, now) for row in await self._rows.read(query)}


def _spent(row: Mapping[str, Any], now: datetime) -> Spent:
    # Sums of a day or month that is over count as nothing.
    today = now.date()
    day = row["day_spent"] if row["day"] >= today else 0
    month = row["month_spent"] if row["month"] >= today.replace(day=1) else 0
    return Spent(day, month, row["total_spent"], row["total_held"])
