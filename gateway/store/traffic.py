"""What live traffic amounted to: the ledger's questions behind forecasts.

Every question is one statement over a range of the primary key, which carries the time: a million rows take a few
seconds, and nothing outside the span is read. Groups are made by the database; no row comes back by itself.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, and_, case, func, select, type_coerce

from gateway.policy.traffic import Exercised, Limits, Minute, Served, TargetKey, Traffic
from gateway.reasons import Outcome, Role
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.tables import attempts, rate_limits

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_VERSION: Final = 0x7 << 76
_MICROSECONDS_PER_MINUTE: Final = 60_000_000
_SHORTEST_SPAN: Final = timedelta(days=1)
EXERCISED_WITHIN: Final = timedelta(days=90)


def started_within(
    since: datetime, until: datetime, attempt_id: ColumnElement[str] = attempts.c.attempt_id
) -> ColumnElement[bool]:
    """Return the condition for attempts that started from ``since`` until, and without, ``until``.

    A range of the primary key: it needs no index of its own. ``attempt_id`` is the column that holds the id.
    """
    return and_(attempt_id >= first_id(since), attempt_id < first_id(until))


def started_before(instant: datetime) -> ColumnElement[bool]:
    """Return the condition for attempts that started before an instant, by the primary key as well."""
    return attempts.c.attempt_id < first_id(instant)


class TrafficStore:
    """Reads. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def traffic(self, until: datetime, *, days: int = 7) -> Traffic:
        """Return the live traffic of the days before ``until``, pinned requests left out.

        A ledger that is younger gives a shorter span, of one day at least: rates are those of the time it covers.
        """
        since = until - timedelta(days=days)
        live = and_(started_within(since, until), attempts.c.kind == "live", attempts.c.pinned.is_(False))
        ended = and_(live, attempts.c.outcome != Outcome.FAILED)
        first = await self._first_after(since)
        return Traffic(
            since=since if first is None else max(since, min(first, until - _SHORTEST_SPAN)),
            until=until,
            served=await self._served(ended),
            minutes=await self._minutes(ended),
            traits=await self._traits(ended),
            exercised=await self._exercised(until),
            limits=await self._limits(),
        )

    async def _first_after(self, since: datetime) -> datetime | None:
        """Return when the ledger begins, or ``since`` where it began before; None: there is nothing."""
        row = attempts.c
        before = select(row.started_at).where(row.attempt_id < first_id(since)).limit(1)
        if await self._read(before):
            return since
        first = await self._read(select(row.started_at).order_by(row.attempt_id).limit(1))
        return first[0].started_at if first else None

    async def _served(self, ended: ColumnElement[bool]) -> tuple[Served, ...]:
        row = attempts.c
        by = (row.route, row.provider, row.model_asked)
        counted = (
            func.count(),
            func.count(row.cost_nanousd),
            func.coalesce(func.sum(row.cost_nanousd), 0),
            func.sum(row.input_tokens),
            func.sum(row.output_tokens),
            func.max(row.input_tokens),
        )
        found = await self._read(select(*by, *counted).where(ended).group_by(*by).order_by(*by))
        # A sum of integers comes as a decimal from PostgreSQL.
        return tuple(Served(route, provider, model, *map(int, rest)) for route, provider, model, *rest in found)

    async def _minutes(self, ended: ColumnElement[bool]) -> tuple[Minute, ...]:
        row = attempts.c
        minute = (type_coerce(row.started_at, BigInteger) // _MICROSECONDS_PER_MINUTE).label("minute")
        on_primary = func.sum(case((row.role == Role.PRIMARY, 1), else_=0))
        query = (
            select(row.route, minute, func.count(), on_primary, func.sum(row.input_tokens))
            .where(ended)
            .group_by(minute, row.route)
            .order_by(minute, row.route)
        )
        return tuple(Minute(route, *map(int, rest)) for route, *rest in await self._read(query))

    async def _traits(self, ended: ColumnElement[bool]) -> dict[str, dict[str, int]]:
        row = attempts.c
        by = (row.route, row.traits)
        query = select(*by, func.count()).where(ended, row.traits.is_not(None)).group_by(*by)
        counts: dict[str, dict[str, int]] = defaultdict(dict)
        for route, traits, requests in await self._read(query):
            counts[route][traits] = requests
        return dict(counts)

    async def _exercised(self, until: datetime) -> dict[tuple[str, str, str], Exercised]:
        row = attempts.c
        by = (row.route, row.provider, row.model_asked)
        answered = and_(started_within(until - EXERCISED_WITHIN, until), row.outcome == Outcome.OK)
        found = await self._read(select(*by, func.count(), func.max(row.started_at)).where(answered).group_by(*by))
        return {(route, provider, model): Exercised(count, last) for route, provider, model, count, last in found}

    async def _limits(self) -> dict[TargetKey, Limits]:
        row = rate_limits.c
        found = await self._read(
            select(row.provider, row.model, row.requests_per_minute, row.tokens_per_minute, row.seen_at)
        )
        return {(provider, model): Limits(*rest) for provider, model, *rest in found}

    async def _read(self, query: Any) -> list[Any]:
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return list(await connection.execute(query))


def first_id(instant: datetime) -> str:
    """Return the smallest key of an attempt that started then or later; ``ledger.entry`` makes the keys."""
    milliseconds, microseconds = divmod((instant - _EPOCH) // _MICROSECOND, 1000)
    digits = f"{milliseconds << 80 | _VERSION | (microseconds << 12) // 1000 << 64:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
