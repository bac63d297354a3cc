"""Keeps the ledger's sums, in the transaction that brings its rows: ``usage_hours``, ``usage_days``, ``usage_labels``.

Sums are read, added to in Python (sketches are JSON) and written back, so no two transactions may do that to the same
rows at once. PostgreSQL: each takes an advisory lock per day, in the days' order and as its last ones, which end with
the transaction; replicas share a day's rows anyway. SQLite: the transaction is one of ``database.writing``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import Dialect, Text, cast, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.policy.sketch import add_to_json
from gateway.store.bulk import BulkTable, Values
from gateway.store.columns import instant_of, microseconds_of
from gateway.store.sums import COUNTERS, DAY, SKETCHES, HourSums, Sums, by_day, sketches_sum
from gateway.store.tables_ledger import usage_days, usage_hours, usage_labels

Added = TypeVar("Added")

_KEY: Final = len(usage_hours.primary_key)
_DAY_US: Final = 86_400_000_000
_LOCK: Final = 0x1ED6E5
"""The first half of our locks' keys: the ledger's days."""
_MERGED_AT_ONCE: Final = 50
"""Reading, adding to and writing so many rows' sketches takes some 2 ms, in which nothing else runs."""
_MOST: Final = 2**63 - 1
"""What a column holds. One absurd row must not keep all others of its hour out of the ledger."""


class Rollups:
    """The sums' statements, prepared once. Each method is part of the caller's transaction."""

    def __init__(self, dialect: Dialect) -> None:
        self._is_postgres = dialect.name == "postgresql"
        self._hours = BulkTable(usage_hours, dialect)
        self._days = BulkTable(usage_days, dialect)
        self._labels = BulkTable(usage_labels, dialect)

    async def lock(self, connection: AsyncConnection, instants: Iterable[datetime]) -> None:
        """Wait until nobody else writes sums of these days; until the transaction ends, nobody else does."""
        if self._is_postgres:
            days = sorted({microseconds_of(instant) // _DAY_US for instant in instants})
            await connection.exec_driver_sql(
                f"SELECT pg_advisory_xact_lock({_LOCK}, day) FROM unnest($1::int[]) AS day", (days,)
            )

    async def add(self, connection: AsyncConnection, sums: Sums) -> None:
        """Lock the days, and add to what is kept of them."""
        if not sums.hours:
            return
        await self.lock(connection, (key[0] for key in sums.hours))
        await self._add_hours(connection, sums)
        await _merge(connection, self._days, by_day(sums.hours.items()), _usage_row)

    async def remake(self, connection: AsyncConnection, hour: datetime, sums: Sums) -> None:
        """Put sums in the place of one hour's, and leave its day's; the caller has locked the day."""
        for table in (usage_hours, usage_labels):
            await connection.execute(delete(table).where(table.c.hour == hour))
        await self._add_hours(connection, sums)

    async def remake_day(self, connection: AsyncConnection, day: datetime) -> None:
        """Make a day's sums anew from its hours; the caller has locked it."""
        await connection.execute(delete(usage_days).where(usage_days.c.day == day))
        of_day = (usage_hours.c.hour >= day, usage_hours.c.hour < day + DAY)
        columns = (cast(column, Text) if column.name in SKETCHES else column for column in usage_hours.columns)
        groups: defaultdict[Values, list[Sequence[Any]]] = defaultdict(list)
        for row in await connection.execute(select(*columns).where(*of_day)):
            groups[day, *row[1:_KEY]].append(row[_KEY:])
        await self._days.replace(connection, [_day_row(key, groups[key]) for key in sorted(groups)])

    async def _add_hours(self, connection: AsyncConnection, sums: Sums) -> None:
        await _merge(connection, self._hours, sums.hours, _usage_row)
        await _merge(connection, self._labels, sums.by_label, _label_row)


async def _merge(
    connection: AsyncConnection,
    table: BulkTable,
    added: Mapping[Values, Added],
    row_of: Callable[[Values, Added, Values | None], Values],
) -> None:
    keys = sorted(added)
    for start in range(0, len(keys), _MERGED_AT_ONCE):
        part = keys[start : start + _MERGED_AT_ONCE]
        kept = await table.find(connection, part)
        await table.replace(connection, [row_of(key, added[key], kept.get(key)) for key in part])


def _day_row(key: Values, hours: Sequence[Sequence[Any]]) -> Values:
    """Return a day's row; hours are what follows their keys, sketches as text."""
    *sums, first_at, last_at = zip(*hours, strict=True)
    counters, texts = map(sum, sums[: len(COUNTERS)]), sums[len(COUNTERS) :]
    return (*key, *_bounded(counters), *map(sketches_sum, texts), min(first_at), max(last_at))


def _usage_row(key: Values, added: HourSums, kept: Values | None) -> tuple[Any, ...]:
    counters, first_at, last_at = added.counters, added.first_at, added.last_at
    sketches: list[dict[str, int]] = [{} for _ in added.sketches]
    if kept is not None:
        counters = [mine + its for mine, its in zip(counters, kept, strict=False)]
        *texts, first, last = kept[len(COUNTERS) :]
        sketches = [orjson.loads(text) for text in texts]
        first_at, last_at = min(first_at, instant_of(first)), max(last_at, instant_of(last))
    for sketch, more in zip(sketches, added.sketches, strict=True):
        add_to_json(sketch, more)
    return (*key, *_bounded(counters), *sketches, first_at, last_at)


def _label_row(key: Values, added: Sequence[int], kept: Values | None) -> tuple[Any, ...]:
    return (*key, *_bounded(added if kept is None else [a + b for a, b in zip(added, kept, strict=True)]))


def _bounded(counters: Iterable[int]) -> list[int]:
    return [min(count, _MOST) for count in counters]
