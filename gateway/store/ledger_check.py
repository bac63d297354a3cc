"""Holds the ledger's sums against what they are sums of, hours of rows and days of hours, and makes them anew."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, and_, func, literal, select, type_coerce, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.columns import instant_of
from gateway.store.database import Database, unavailable_as_such, where, writing
from gateway.store.rollups import Rollups
from gateway.store.sums import HOUR, Labels, Sums, day_of, next_day
from gateway.store.tables import attempts
from gateway.store.tables_ledger import usage_days, usage_hours
from gateway.store.traffic import started_within

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
# One statement's span: some seconds' work at a million rows an hour.
_SPAN: Final = timedelta(hours=6)
_ROWS_AT_ONCE: Final = 1_000
# A row's id and its start are two looks at the clock, and may lie on two sides of an hour's end.
_SLACK: Final = timedelta(minutes=1)


class RowsMissing(Exception):
    """The hour's rows are not all there any more, or never were: its sums cannot be made from them."""


class HourTotals(NamedTuple):
    """What one hour, or day, amounts to."""

    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0


_ByNumber = dict[int, HourTotals]


@dataclass(frozen=True, slots=True)
class HourDifference:
    """An hour whose sums are not those of its rows."""

    hour: datetime
    rows: HourTotals
    summed: HourTotals
    """What ``usage_hours`` holds."""

    @property
    def is_thinned(self) -> bool:
        """Whether there are fewer rows than the sums count.

        Retention deletes rows from the first on; a journal that is taken up late brings older ones, and then it looks
        as if the rows between were there.
        """
        return self.rows.attempts < self.summed.attempts


@dataclass(frozen=True, slots=True)
class DayDifference:
    """A day whose sums are not those of its hours."""

    day: datetime
    hours: HourTotals
    summed: HourTotals
    """What ``usage_days`` holds."""


class LedgerCheck:
    """Checks and mends one database's sums. Every method may raise ``DatabaseUnavailable``.

    Writers may be at work. What is compared is one statement's view, and rows and sums are committed together; while an
    hour is made anew, who has rows of its day waits (on SQLite: whoever writes).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rollups = Rollups(database.engine.dialect)

    async def whole_since(self) -> datetime | None:
        """Return the first hour from which on no rows were deleted; None: there are no rows."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return await _whole_since(connection)

    async def differences(self, since: datetime, until: datetime) -> list[HourDifference]:
        """Return the hours, in order, whose attempts, tokens or cost differ between rows and sums.

        From the hour of ``since`` until, and without, the hour of ``until``. Hours before ``whole_since`` are left out:
        retention deletes rows and leaves their sums.
        """
        whole = await self.whole_since()
        if whole is None:
            return []
        start, end = max(_hour_of(since), whole), _hour_of(until)
        found: list[HourDifference] = []
        while start < end:
            found += await self._differences(start, min(start + _SPAN, end))
            start += _SPAN
        return found

    async def day_differences(self, since: datetime, until: datetime) -> list[DayDifference]:
        """Return the days, in order, whose attempts, tokens or cost differ from what their hours add up to.

        The whole days of a period, with rows or without: sums stay when rows are deleted.
        """
        day, hour = usage_days.c.day, usage_hours.c.hour
        start, end = next_day(since), day_of(until)
        hours, summed = await self._two(
            _totals(_DAY_US, usage_hours.c, hour, func.sum(usage_hours.c.attempts), and_(hour >= start, hour < end)),
            _totals(_DAY_US, usage_days.c, day, func.sum(usage_days.c.attempts), and_(day >= start, day < end)),
        )
        return [DayDifference(instant_of(at * _DAY_US), *pair) for at, *pair in _different(hours, summed)]

    async def rebuild_day(self, day: datetime) -> None:
        """Make the day's sums anew from its hours, in one transaction; ``day`` is its beginning, UTC."""
        with unavailable_as_such(where(self._database.engine.url)):
            async with writing(self._database) as connection:
                await self._rollups.lock(connection, [day])
                await self._rollups.remake_day(connection, day)

    async def rebuild(self, hour: datetime, *, day: bool = True) -> None:
        """Make the hour's sums anew from its rows, and its day's, in one transaction; ``hour`` is its beginning.

        Without ``day`` its day's are left for ``rebuild_day``, which many hours of one day then need once. Memory is
        bounded by the sums, not by the rows. Raises ``RowsMissing`` for an hour before ``whole_since``.
        """
        with unavailable_as_such(where(self._database.engine.url)):
            async with writing(self._database) as connection:
                await self._rollups.lock(connection, [hour])
                whole = await _whole_since(connection)
                if whole is None or hour < whole:
                    raise RowsMissing(f"{hour:%Y-%m-%d %H:%M}: its rows are not all there")
                sums = Sums(Labels())
                async for rows in _rows_of(connection, hour):
                    sums.add(rows)
                await self._rollups.remake(connection, hour, sums)
                if day:
                    await self._rollups.remake_day(connection, day_of(hour))

    async def _differences(self, start: datetime, end: datetime) -> list[HourDifference]:
        row, sums = attempts.c, usage_hours.c
        of_hours = and_(sums.hour >= start, sums.hour < end)
        rows, summed = await self._two(
            _totals(_HOUR_US, row, row.started_at, func.count(), _started(start, end)),
            _totals(_HOUR_US, sums, sums.hour, func.sum(sums.attempts), of_hours),
        )
        return [HourDifference(instant_of(at * _HOUR_US), *pair) for at, *pair in _different(rows, summed)]

    async def _two(self, one: Select[Any], other: Select[Any]) -> tuple[_ByNumber, _ByNumber]:
        """Return what two selections total, by number: one statement sees one state of the database."""
        both = union_all(*(part.add_columns(literal(side)) for side, part in enumerate((one, other))))
        found: tuple[_ByNumber, _ByNumber] = ({}, {})
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                for number, *totals, side in await connection.execute(both):
                    found[side][number] = HourTotals(*map(int, totals))
        return found


def _totals(span_us: int, row: Any, at: Any, count: ColumnElement[int], chosen: ColumnElement[bool]) -> Select[Any]:
    number = (type_coerce(at, BigInteger) // span_us).label("number")
    cost = func.coalesce(func.sum(row.cost_nanousd), 0)
    sums = (count, func.sum(row.input_tokens), func.sum(row.output_tokens), cost)
    return select(number, *sums).where(chosen).group_by(number)


def _different(one: _ByNumber, other: _ByNumber) -> Iterator[tuple[int, HourTotals, HourTotals]]:
    nothing = HourTotals()
    for number in sorted({*one, *other}):
        mine, its = one.get(number, nothing), other.get(number, nothing)
        if mine != its:
            yield number, mine, its


def _started(start: datetime, end: datetime) -> ColumnElement[bool]:
    at = attempts.c.started_at
    return and_(started_within(start - _SLACK, end + _SLACK), at >= start, at < end)


async def _whole_since(connection: AsyncConnection) -> datetime | None:
    first = await connection.scalar(select(attempts.c.started_at).order_by(attempts.c.attempt_id).limit(1))
    if first is None:
        return None
    hour = _hour_of(first)
    summed: datetime | None = await connection.scalar(select(func.min(usage_hours.c.hour)))
    return hour + HOUR if summed is not None and summed < hour else hour


async def _rows_of(connection: AsyncConnection, hour: datetime) -> AsyncIterator[Any]:
    row = attempts.c
    page = select(attempts).where(_started(hour, hour + HOUR)).order_by(row.attempt_id).limit(_ROWS_AT_ONCE)
    rows = (await connection.execute(page)).all()
    while rows:
        yield rows
        rows = (await connection.execute(page.where(row.attempt_id > rows[-1].attempt_id))).all()


def _hour_of(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)
