"""What tests hold the ledger's sums against: rows added up one at a time, as plainly as can be."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from gateway.ledger.entry import Entry
from gateway.policy.sketch import Sketch, add, from_json
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource
from gateway.store.database import Database
from gateway.store.sums import COUNTERS, LABEL_COUNTERS, SKETCHES
from gateway.store.tables_ledger import usage_days, usage_hours, usage_labels
from tests.store.rows import an_entry

SUMMED = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
Kept = dict[tuple[Any, ...], dict[str, Any]]


def a_mixed_row(chance: random.Random, hours: int = 3) -> Entry:
    """Return a row of one of a few routes that is anything a row may be."""
    outcome = chance.choice([Outcome.OK] * 6 + [Outcome.FAILED, Outcome.INTERRUPTED, Outcome.CANCELLED])
    answered = chance.choice(["ft", "ft-2026", None])
    return an_entry(
        timedelta(seconds=chance.uniform(0, 3600 * hours)),
        route=chance.choice("abc"),
        role=chance.choice([Role.PRIMARY, Role.FALLBACK]),
        reason=chance.choice([Reason.PRIMARY, Reason.TIMEOUT]),
        model_asked="ft",
        model_answered=answered if outcome is Outcome.OK else None,
        outcome=outcome,
        failure=None if outcome is Outcome.OK else FailureKind.TIMEOUT,
        usage_source=chance.choice(list(UsageSource)),
        usage_rejected=chance.random() < 0.1,
        input_tokens=chance.randrange(3) * 1000,
        output_tokens=chance.randrange(2) * 70,
        cost_nanousd=chance.choice([None, 0, 495_000, chance.randrange(10**9)]),
        duration_ms=chance.lognormvariate(6, 1),
        ttft_ms=chance.choice([None, chance.lognormvariate(5, 1)]),
        overhead_ms=chance.choice([None, 0.0, chance.random()]),
        pinned=chance.random() < 0.1,
        kind=chance.choice(["live"] * 5 + ["probe"]),
        team=chance.choice([None, "ml"]),
        key=chance.choice([None, "forum", "étage"]),
        tags=chance.choice([None, {}, {"env": "prod"}, {"env": "dev", "who": "ß"}]),
    )


def expected_hours(rows: list[Entry]) -> Kept:
    """Return what ``usage_hours`` is to hold for rows, by key."""
    return _expected(rows, {"minute": 0, "second": 0, "microsecond": 0})


def expected_days(rows: list[Entry]) -> Kept:
    """Return what ``usage_days`` is to hold for rows, by key."""
    return _expected(rows, {"hour": 0, "minute": 0, "second": 0, "microsecond": 0})


def _expected(rows: list[Entry], beginning: dict[str, Any]) -> Kept:
    kept: Kept = {}
    for row in rows:
        model = row.model_answered or row.model_asked
        key = (
            row.started_at.replace(**beginning),
            row.route,
            row.target,
            row.role,
            row.provider,
            model,
            row.reason,
            row.kind,
            row.pinned,
        )
        first = {"first_at": row.started_at, "last_at": row.started_at, **{name: {} for name in SKETCHES}}
        sums = kept.setdefault((*key, row.team or ""), {**dict.fromkeys(COUNTERS, 0), **first})
        _count(sums, row)
        sums["first_at"] = min(sums["first_at"], row.started_at)
        sums["last_at"] = max(sums["last_at"], row.started_at)
        if row.outcome is Outcome.OK:
            values = (row.duration_ms, row.ttft_ms, row.overhead_ms, row.cost_nanousd)
            for name, value in zip(SKETCHES, values, strict=True):
                if value is not None:
                    add(sums[name], value)
    return kept


def expected_labels(rows: list[Entry]) -> Kept:
    """Return what ``usage_labels`` is to hold for rows, by key."""
    kept: Kept = {}
    for row in rows:
        if row.kind != "live" or row.pinned:
            continue
        labels = [("key", row.key)] if row.key else []
        labels += [("tag", f"{name}={value}") for name, value in (row.tags or {}).items()]
        for dimension, label in labels:
            hour = row.started_at.replace(minute=0, second=0, microsecond=0)
            sums = kept.setdefault((hour, dimension, label, row.route, row.role), dict.fromkeys(COUNTERS, 0))
            _count(sums, row)
    return {key: {name: sums[name] for name in LABEL_COUNTERS} for key, sums in kept.items()}


async def kept_hours(database: Database) -> Kept:
    """Return what ``usage_hours`` holds, by key."""
    return await _kept_usage(database, usage_hours)


async def kept_days(database: Database) -> Kept:
    """Return what ``usage_days`` holds, by key."""
    return await _kept_usage(database, usage_days)


async def _kept_usage(database: Database, table: Any) -> Kept:
    kept = await _kept(database, table)
    for sums in kept.values():
        for name in SKETCHES:
            sums[name] = _sketch(sums[name])
    return kept


async def kept_labels(database: Database) -> Kept:
    """Return what ``usage_labels`` holds, by key."""
    return await _kept(database, usage_labels)


async def attempts_summed(database: Database) -> int:
    """Return how many attempts ``usage_hours`` counts."""
    return sum(sums["attempts"] for sums in (await kept_hours(database)).values())


async def _kept(database: Database, table: Any) -> Kept:
    async with database.engine.connect() as connection:
        rows = (await connection.execute(select(table))).mappings().all()
    names = [column.name for column in table.primary_key]
    return {tuple(row[name] for name in names): {name: row[name] for name in row if name not in names} for row in rows}


def _sketch(kept: dict[str, int]) -> Sketch:
    return from_json(kept)


def _count(sums: dict[str, Any], row: Entry) -> None:
    counted = Counter({name: getattr(row, name) for name in SUMMED})
    counted["attempts"] = 1
    if row.outcome is not Outcome.OK:
        counted[row.outcome.value] = 1
    counted["unpriced"] = row.cost_nanousd is None and row.input_tokens + row.output_tokens > 0
    counted["estimated"] = row.usage_source in (UsageSource.ESTIMATED, UsageSource.INTERRUPTED)
    counted["rejected"] = row.usage_rejected
    counted["cost_nanousd"] = row.cost_nanousd or 0
    for name, value in counted.items():
        sums[name] += value
