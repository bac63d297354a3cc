"""What a period of the ledger amounts to, from its totals.

Whole days come from ``usage_days``, whole hours around them from ``usage_hours``, keys and tags from ``usage_labels``;
where a period begins or ends within an hour, the rest of that hour comes from the rows, by a range of the primary key.
Every question is bounded by the period. Pinned requests are left out.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
)

from gateway.policy.sketch import add, from_json, merged
from gateway.policy.usage import Answerer, Cell, Dimension, LabelCell, Spread, Used
from gateway.reasons import Outcome, Role, UsageSource
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.spans import Span, Unit, days_and_hours, hours
from gateway.store.sums import COUNTERS, LABEL_COUNTERS, SKETCHES, sketches_sum
from gateway.store.tables import attempts
from gateway.store.tables_learning import rehearsal_pairs
from gateway.store.tables_ledger import usage_days, usage_hours, usage_labels
from gateway.store.traffic import started_within

MOST_EDGE_ROWS: Final = 50_000
"""Of an hour that is looked at in part: so many answers' times are read; its sums are of all rows."""
_MICROSECONDS_PER_DAY: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)
_TOTALS: Final = {Unit.DAYS: usage_days, Unit.HOURS: usage_hours}
_BY: Final = ("route", "target", "role", "provider", "model", "reason", "kind", "team")


class ReportStore:
    """Reads. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def used(
        self,
        since: datetime,
        until: datetime,
        *,
        now: datetime | None = None,
        routes: Collection[str] = (),
        days: bool = False,
        spread: Collection[str] = SKETCHES,
    ) -> Used:
        """Return what was used from ``since`` until, and without, ``until``; of ``routes`` alone, if any are named.

        ``spread`` names the sketches that are wanted (``store.sums.SKETCHES``): most of the work is to read them.
        ``now`` spares a period that reaches it the hours of its last day.
        """
        sums: dict[tuple[Any, ...], list[Any]] = {}
        spreads: dict[Answerer, Spread] = defaultdict(Spread)
        wanted = [name for name in SKETCHES if name in spread]
        is_cut = False
        texts: list[Any] = []
        a = attempts.c
        for span in days_and_hours(since, until, now):
            if (table := _TOTALS.get(span.unit)) is not None:
                within = _in(table, span, routes)
                _gather(sums, await self._read(_summed(table, within, days=days)))
                texts += await self._read(_sketches(table, within, wanted)) if wanted else ()
                continue
            within = and_(started_within(span.since, span.until), a.pinned.is_(False), _one_of(a.route, routes))
            _gather(sums, await self._read(_summed_rows(within, days=days)))
            rows = await self._read(_answers(within, wanted)) if wanted else []
            is_cut = is_cut or len(rows) > MOST_EDGE_ROWS
            for row in rows[:MOST_EDGE_ROWS]:
                _add_values(spreads[Answerer(*row[:4])], wanted, row[4:])
        _add_texts(spreads, wanted, texts)
        return Used(tuple(_cell(key, sums[key]) for key in sorted(sums, key=repr)), dict(spreads), is_cut)

    async def labels(
        self, since: datetime, until: datetime, dimension: Dimension, *, routes: Collection[str] = ()
    ) -> list[LabelCell]:
        """Return live traffic by the callers' keys, or by their tags: of those a request may carry several."""
        sums: dict[tuple[Any, ...], list[int]] = {}
        c = usage_labels.c
        by = (c.label, c.route, c.role)
        for span in hours(since, until):
            if span.unit is Unit.PART_OF_AN_HOUR:
                _add_up(sums, await self._labelled(span, dimension, routes))
                continue
            within = (c.hour >= span.since, c.hour < span.until, c.dimension == dimension, _one_of(c.route, routes))
            query = select(*by, *(func.sum(c[name]) for name in LABEL_COUNTERS)).where(*within).group_by(*by)
            _add_up(sums, ((tuple(row[:3]), row[3:]) for row in await self._read(query)))
        return [LabelCell._make((*key[:2], Role(key[2]), *sums[key])) for key in sorted(sums)]

    async def _labelled(
        self, span: Span, dimension: Dimension, routes: Collection[str]
    ) -> list[tuple[tuple[Any, ...], Sequence[Any]]]:
        c = attempts.c
        named = c.key if dimension == "key" else c.tags
        by = (cast(named, Text), c.route, c.role)
        counted = {name: expression for name, expression in _counts() if name in LABEL_COUNTERS}
        live = and_(started_within(span.since, span.until), c.pinned.is_(False), c.kind == "live", named.is_not(None))
        query = (
            select(*by, *(counted[name] for name in LABEL_COUNTERS)).where(live, _one_of(c.route, routes)).group_by(*by)
        )
        rows = await self._read(query)
        return [((label, *row[1:3]), row[3:]) for row in rows for label in _labels_of(row[0], dimension)]

    async def routes(self) -> frozenset[str]:
        """Return the routes that the ledger's latest 31 days know; fewer where they are long past."""
        d = usage_days.c
        latest = (await self._read(select(func.max(d.day))))[0][0]
        if latest is None:
            return frozenset()
        rows = await self._read(select(d.route).where(d.day > latest - timedelta(days=31)).distinct())
        return frozenset(row[0] for row in rows)

    async def began(self) -> datetime | None:
        """Return the hour in which the ledger begins; None: there is nothing in it."""
        found = await self._read(select(func.min(usage_hours.c.hour)))
        began: datetime | None = found[0][0]
        return began

    async def ever_served(self, route: str) -> dict[str, int]:
        """Return how many live requests each model has answered as a route's primary since the ledger began.

        Reads all of the daily totals.
        """
        d = usage_days.c
        served = (d.route == route, d.role == Role.PRIMARY, d.kind == "live", d.pinned.is_(False))
        query = select(d.model, func.sum(d.attempts - d.failed)).where(*served).group_by(d.model)
        return {model: int(count) for model, count in await self._read(query)}

    async def pair_costs(
        self, route: str, target: str, prompt_version: str | None, since: datetime, until: datetime, *, limit: int
    ) -> list[int]:
        """Return what rehearsals with one prompt cost more than the primary's answers to the same requests.

        In nano-dollars, the newest first; negative: less. Pairs without a price are left out.
        """
        p = rehearsal_pairs.c
        of_target = (p.route == route, p.target == target, p.prompt_version.is_not_distinct_from(prompt_version))
        within = (started_within(since, until, p.attempt_id), p.cost_nanousd.is_not(None))
        query = select(p.cost_nanousd).where(*of_target, *within).order_by(p.attempt_id.desc()).limit(limit)
        return [int(row[0]) for row in await self._read(query)]

    async def _read(self, query: Any) -> list[Any]:
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection:
                return list(await connection.execute(query))


def _one_of(column: ColumnElement[str], routes: Collection[str]) -> ColumnElement[bool]:
    return column.in_(sorted(routes)) if routes else true()


def _day_of(column: ColumnElement[Any], *, days: bool) -> ColumnElement[Any]:
    # Grouped by its name: two parameters of one value are two expressions to PostgreSQL.
    return (type_coerce(column, BigInteger) // _MICROSECONDS_PER_DAY if days else literal(0)).label("day")


def _in(table: Table, span: Span, routes: Collection[str]) -> ColumnElement[bool]:
    at = table.columns[0]
    return and_(at >= span.since, at < span.until, table.c.pinned.is_(False), _one_of(table.c.route, routes))


def _summed(table: Table, within: ColumnElement[bool], *, days: bool) -> Any:
    by = [table.c[name] for name in _BY]
    sums = [func.sum(table.c[name]) for name in COUNTERS]
    day = _day_of(table.columns[0], days=days)
    query = select(day, *by, *sums, func.min(table.c.first_at), func.max(table.c.last_at)).where(within)
    return query.group_by(*([day] if days else []), *by)


def _summed_rows(within: ColumnElement[bool], *, days: bool) -> Any:
    a = attempts.c
    named = {"model": func.coalesce(a.model_answered, a.model_asked), "team": func.coalesce(a.team, "")}
    by = [named[name].label(f"by_{name}") if name in named else a[name] for name in _BY]
    sums = [expression for _, expression in _counts()]
    day = _day_of(a.started_at, days=days)
    query = select(day, *by, *sums, func.min(a.started_at), func.max(a.started_at)).where(within)
    return query.group_by(*([day] if days else []), *by)


def _counts() -> list[tuple[str, ColumnElement[Any]]]:
    """Return how each sum of an hour is made of rows, in their order."""
    a = attempts.c
    outcome = {"failed": Outcome.FAILED, "interrupted": Outcome.INTERRUPTED, "cancelled": Outcome.CANCELLED}
    made: dict[str, ColumnElement[Any]] = {"attempts": func.count()}
    made |= {name: _count(a.outcome == word) for name, word in outcome.items()}
    made["unpriced"] = _count(and_(a.cost_nanousd.is_(None), a.input_tokens + a.output_tokens > 0))
    by_us = (UsageSource.ESTIMATED, UsageSource.INTERRUPTED)
    made["estimated"] = _count(or_(*(a.usage_source == source for source in by_us)))
    made["rejected"] = _count(a.usage_rejected.is_(True))
    for name in COUNTERS:
        if name not in made:
            made[name] = func.coalesce(func.sum(a[name]), 0)
    return [(name, made[name]) for name in COUNTERS]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _sketches(table: Table, within: ColumnElement[bool], wanted: Sequence[str]) -> Any:
    c = table.c
    # As text: reading a hundred thousand of them by json.loads would take seconds.
    texts = [cast(c[name], Text) for name in wanted]
    return select(c.route, c.target, c.provider, c.model, *texts).where(within, c.kind == "live")


def _answers(within: ColumnElement[bool], wanted: Sequence[str]) -> Any:
    a = attempts.c
    model = func.coalesce(a.model_answered, a.model_asked)
    values = [a.cost_nanousd if name == "cost_sketch" else a[name] for name in wanted]
    query = select(a.route, a.target, a.provider, model, *values)
    return query.where(within, a.kind == "live", a.outcome == Outcome.OK).limit(MOST_EDGE_ROWS + 1)


def _add_texts(spreads: dict[Answerer, Spread], names: Sequence[str], rows: Sequence[Any]) -> None:
    """Add up the sketches of who answered."""
    texts: defaultdict[Answerer, list[Sequence[str]]] = defaultdict(list)
    for row in rows:
        texts[Answerer(*row[:4])].append(row[4:])
    for who, of_each in texts.items():
        for name, column in zip(names, zip(*of_each, strict=True), strict=True):
            total = spreads[who].named(name)
            total.update(merged(total, from_json(sketches_sum(column))))


def _add_values(spread: Spread, names: Sequence[str], values: Sequence[float | None]) -> None:
    for name, value in zip(names, values, strict=True):
        if value is not None:
            add(spread.named(name), value)


def _gather(sums: dict[tuple[Any, ...], list[Any]], rows: Iterable[Sequence[Any]]) -> None:
    end = 1 + len(_BY)
    for row in rows:
        # A sum of integers comes as a decimal from PostgreSQL.
        key, counts, first, last = tuple(row[:end]), [int(count) for count in row[end:-2]], row[-2], row[-1]
        known = sums.get(key)
        if known is None:
            sums[key] = [*counts, first, last]
            continue
        known[:-2] = [mine + count for mine, count in zip(known[:-2], counts, strict=True)]
        known[-2:] = [min(known[-2], first), max(known[-1], last)]


def _add_up(sums: dict[tuple[Any, ...], list[int]], rows: Iterable[tuple[tuple[Any, ...], Sequence[Any]]]) -> None:
    for key, counts in rows:
        known = sums.setdefault(key, [0] * len(LABEL_COUNTERS))
        known[:] = [mine + int(count) for mine, count in zip(known, counts, strict=True)]


def _cell(key: tuple[Any, ...], values: Sequence[Any]) -> Cell:
    day, route, target, role, *rest = key
    return Cell(_EPOCH + timedelta(days=int(day)) if day else None, route, target, Role(role), *rest, *values)


def _labels_of(text: str, dimension: Dimension) -> list[str]:
    return [text] if dimension == "key" else [f"{name}={value}" for name, value in orjson.loads(text).items()]
