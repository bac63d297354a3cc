"""What single keys were used for, from the ledger's hourly totals by label. Live traffic, pinned left out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select

from gateway.reasons import Role
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_ledger import usage_labels

HOUR: Final = timedelta(hours=1)
_l: Final = usage_labels.c


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What one key was used for in a period. Money in nano-dollars."""

    last_hour: datetime
    """The last hour in which it was."""
    attempts: int
    unpriced: int
    cost_nanousd: int


@dataclass(frozen=True, slots=True)
class KeyHour:
    """What one key was used for in one hour, on one route, by one kind of target."""

    hour: datetime
    route: str
    role: Role
    attempts: int
    failed: int
    unpriced: int
    cost_nanousd: int


class KeyUsageStore:
    """Reads the table ``usage_labels``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def of(self, labels: Collection[str], since: datetime, now: datetime) -> Mapping[str, KeyUse]:
        """Return what keys were used for, by label; those that were not are left out."""
        if not labels:
            return {}
        sums = [func.sum(_l[name]).label(name) for name in ("attempts", "unpriced", "cost_nanousd")]
        query = select(_l.label, func.max(_l.hour).label("last_hour"), *sums).where(*_within(labels, since, now))
        found = await self._rows.read(query.group_by(_l.label))
        return {
            row["label"]: KeyUse(row["last_hour"], int(row["attempts"]), int(row["unpriced"]), int(row["cost_nanousd"]))
            for row in found
        }

    async def hours(self, label: str, since: datetime, now: datetime) -> list[KeyHour]:
        """Return a key's hours in order."""
        names = ("hour", "route", "role", "attempts", "failed", "unpriced", "cost_nanousd")
        query = (
            select(*(_l[name] for name in names))
            .where(*_within((label,), since, now))
            .order_by(_l.hour, _l.route, _l.role)
        )
        return [KeyHour(**{**row, "role": Role(row["role"])}) for row in await self._rows.read(query)]


def _within(labels: Collection[str], since: datetime, now: datetime) -> tuple[Any, ...]:
    # Every hour by name: the table's order is by hour, and a range would read what all other keys did in it.
    first = since.replace(minute=0, second=0, microsecond=0)
    hours = [first + HOUR * number for number in range(int((now - first) / HOUR) + 1)]
    return _l.hour.in_(hours), _l.dimension == "key", _l.label.in_(sorted(labels))
