"""What a report reads from hourly totals and rows is what the rows say."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete

from gateway.ledger.entry import Entry
from gateway.policy.sketch import Sketch, add
from gateway.policy.usage import Answerer, Cell, LabelCell
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource
from gateway.store import report as report_module
from gateway.store.database import Database
from gateway.store.rehearsals import Pair, RehearsalStore
from gateway.store.report import ReportStore
from gateway.store.spans import days_and_hours
from gateway.store.sums import COUNTERS, LABEL_COUNTERS, SKETCHES
from gateway.store.tables import attempts
from gateway.store.tables_ledger import usage_hours
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry

NOON = START.replace(microsecond=0)
LUNA = {"role": Role.FALLBACK, "target": "luna", "model_asked": "gpt-6-luna", "model_answered": "gpt-6-luna"}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def reports(database: Database) -> ReportStore:
    return ReportStore(database)


def test_cells_have_the_columns_of_the_totals_in_their_order() -> None:
    assert Cell._fields == ("day", *report_module._BY, *COUNTERS, "first_at", "last_at")
    assert LabelCell._fields == ("label", "route", "role", *LABEL_COUNTERS)


def a_random_entry(random: Random, minutes: int = 6 * 60) -> Entry:
    fields: dict[str, Any] = {
        "route": random.choice(("forum-reply", "triage")),
        "kind": random.choice(("live", "live", "live", "rehearsal", "probe")),
        "pinned": random.random() < 0.1,
        "team": random.choice((None, "support")),
        "key": random.choice((None, "web", "batch")),
        "tags": random.choice((None, {"feature": "checkout"}, {"feature": "search", "env": "prod"})),
        "input_tokens": random.randrange(5000),
        "cached_input_tokens": random.randrange(100),
        "output_tokens": random.randrange(500),
        "cost_nanousd": random.choice((None, 0, random.randrange(10**6))),
        "duration_ms": random.uniform(1, 5000),
        "ttft_ms": random.choice((None, random.uniform(1, 500))),
        "overhead_ms": random.choice((None, random.uniform(0, 5))),
        "usage_source": random.choice(list(UsageSource)),
        "usage_rejected": random.random() < 0.1,
        "reason": random.choice((Reason.PRIMARY, Reason.GONE)),
    }
    fields |= random.choice(({}, LUNA))
    outcome = random.choice([Outcome.OK] * 5 + list(Outcome))
    if outcome is Outcome.FAILED:
        fields |= {"failure": FailureKind.TIMEOUT, "model_answered": None}
    after = timedelta(
        minutes=random.choice((0, 0, 60, 120, *[random.randrange(minutes)] * (1 + minutes // 720))), microseconds=-5
    )
    return an_entry(after + random.choice((timedelta(), timedelta(seconds=7))), outcome=outcome, **fields)


def counted(rows: Sequence[Entry], *, days: bool) -> dict[tuple[Any, ...], list[Any]]:
    """Add rows up, one by one."""
    sums: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        key = (
            row.started_at.date() if days else None, row.route, row.target, row.role, row.provider,
            row.model_answered or row.model_asked, row.reason, row.kind, row.team or "",
        )  # fmt: skip
        known = sums.setdefault(key, [0] * len(COUNTERS) + [row.started_at, row.started_at])
        no_price = row.cost_nanousd is None and row.input_tokens + row.output_tokens > 0
        values = {
            "attempts": 1,
            "unpriced": no_price,
            "estimated": row.usage_source in (UsageSource.ESTIMATED, UsageSource.INTERRUPTED),
            "rejected": row.usage_rejected,
            "cost_nanousd": row.cost_nanousd or 0,
        } | {outcome: row.outcome == outcome for outcome in ("failed", "interrupted", "cancelled")}
        for place, name in enumerate(COUNTERS):
            known[place] += values[name] if name in values else getattr(row, name)
        known[-2], known[-1] = min(known[-2], row.started_at), max(known[-1], row.started_at)
    return sums


def spread(rows: Sequence[Entry]) -> dict[Answerer, list[Sketch]]:
    found: dict[Answerer, list[Sketch]] = defaultdict(lambda: [{}, {}, {}, {}])
    for row in rows:
        if row.kind == "live" and row.outcome is Outcome.OK:
            own = found[Answerer(row.route, row.target, row.provider, row.model_answered or row.model_asked)]
            for sketch, value in zip(
                own, (row.duration_ms, row.ttft_ms, row.overhead_ms, row.cost_nanousd), strict=True
            ):
                if value is not None:
                    add(sketch, value)
    return dict(found)


async def test_totals_and_edges_are_what_the_rows_add_up_to_in_any_period(
    store: UsageStore, reports: ReportStore
) -> None:
    random = Random(20261129)
    entries = [a_random_entry(random) for _ in range(400)]
    await store.insert_attempts(entries)
    bounds = [NOON - HOUR, NOON, NOON + HOUR, NOON + 7 * HOUR]
    moments = [NOON + timedelta(seconds=random.randrange(6 * 3600)) for _ in range(12)]
    periods = [*pairwise(bounds), *(tuple(sorted(random.sample(bounds + moments, 2))) for _ in range(10))]
    periods += [(NOON + MINUTE, NOON + 2 * MINUTE), (NOON + MINUTE, NOON + HOUR), (NOON, NOON + MINUTE)]
    for since, until in periods:
        await as_the_rows_say(reports, entries, since, until, days=random.random() < 0.5)


async def as_the_rows_say(
    reports: ReportStore,
    entries: Sequence[Entry],
    since: datetime,
    until: datetime,
    *,
    days: bool,
    now: datetime | None = None,
) -> None:
    within = [row for row in entries if since <= row.started_at < until and not row.pinned]
    used = await reports.used(since, until, now=now, days=days)
    assert {tuple(cell[:9]): list(cell[9:]) for cell in used.cells} == counted(within, days=days), (since, until)
    spreads = {who: [of.named(name) for name in SKETCHES] for who, of in used.spreads.items() if of.duration_ms}
    assert spreads == spread(within), (since, until)
    assert not used.is_cut


@pytest.mark.parametrize("whole_days_only", [False, True], ids=["any periods", "periods of whole days"])
async def test_days_hours_and_rows_are_what_the_rows_add_up_to_in_any_period(
    store: UsageStore, reports: ReportStore, database: Database, whole_days_only: bool
) -> None:
    random = Random(20261130)
    midnight = NOON.replace(hour=0)
    entries = [a_random_entry(random, minutes=4 * 24 * 60) for _ in range(300)]
    now = NOON + timedelta(days=4)
    assert max(row.started_at for row in entries) < now
    await store.insert_attempts(entries)
    ends = [midnight + timedelta(days=day) for day in range(6)]
    if whole_days_only:
        async with database.engine.begin() as connection:
            for table in (attempts, usage_hours):
                await connection.execute(delete(table))
        # What reaches now needs the day that is not over yet as a whole.
        periods = [tuple(sorted(random.sample(ends, 2))) for _ in range(6)]
        periods += [(since, now.replace(minute=0) + HOUR * later) for since in ends[:4] for later in (1, 3, 99)]
        periods += [(ends[2], now)]
    else:
        moments = [midnight + timedelta(seconds=random.randrange(5 * 86_400)) for _ in range(12)]
        hours = [midnight + HOUR * random.randrange(5 * 24) for _ in range(8)]
        periods = [tuple(sorted(random.sample([*ends, *moments, *hours], 2))) for _ in range(10)]
    for since, until in periods:
        for asked_at in (now,) if whole_days_only else (None, now):
            await as_the_rows_say(reports, entries, since, until, days=random.random() < 0.5, now=asked_at)


@pytest.mark.parametrize(
    ("since", "until", "now", "cut"),
    [
        ("23 00:00", "25 00:00", None, ["DAYS 23 00:00"]),
        ("23 22:30", "25 01:10", None, [
            "PART_OF_AN_HOUR 23 22:30", "HOURS 23 23:00", "DAYS 24 00:00", "HOURS 25 00:00", "PART_OF_AN_HOUR 25 01:00",
        ]),
        ("23 22:30", "24 01:00", None, ["PART_OF_AN_HOUR 23 22:30", "HOURS 23 23:00"]),
        ("23 22:30", "24 01:00", "24 00:37", ["PART_OF_AN_HOUR 23 22:30", "HOURS 23 23:00", "DAYS 24 00:00"]),
        ("23 02:00", "23 05:00", "23 04:37", ["HOURS 23 02:00"]),
        ("23 00:00", "23 05:00", "23 04:37", ["DAYS 23 00:00"]),
        ("23 00:00", "23 04:30", "23 04:37", ["HOURS 23 00:00", "PART_OF_AN_HOUR 23 04:00"]),
        ("23 00:10", "23 00:20", None, ["PART_OF_AN_HOUR 23 00:10"]),
    ],
)  # fmt: skip
def test_a_period_is_cut_where_totals_are(since: str, until: str, now: str | None, cut: list[str]) -> None:
    def at(said: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-{said}+00:00")

    spans = days_and_hours(at(since), at(until), at(now) if now else None)
    assert [f"{span.unit.name} {span.since:%d %H:%M}" for span in spans] == cut
    assert all(one.until == next_.since for one, next_ in pairwise(spans))
    assert spans[0].since == at(since)
    assert spans[-1].until >= at(until)


@pytest.mark.parametrize("until", [NOON + HOUR, NOON + MINUTE], ids=["whole hours", "part of an hour"])
async def test_only_the_spreads_that_are_wanted_are_read(
    store: UsageStore, reports: ReportStore, until: datetime
) -> None:
    await store.insert_attempts([an_entry(ttft_ms=5.0)])
    (costs,) = (await reports.used(NOON, until, spread=("cost_sketch",))).spreads.values()
    assert [bool(costs.named(name)) for name in SKETCHES] == [False, False, False, True]
    assert not (await reports.used(NOON, until, spread=())).spreads


async def test_routes_that_are_named_are_the_only_ones(store: UsageStore, reports: ReportStore) -> None:
    await store.insert_attempts([an_entry(), an_entry(route="triage"), an_entry(route="other", after=HOUR)])
    used = await reports.used(NOON, NOON + HOUR + MINUTE, routes=("triage", "other"))
    assert {cell.route for cell in used.cells} == {"triage", "other"}
    assert {who.route for who in used.spreads} == {"triage", "other"}


async def test_days_are_those_of_utc(store: UsageStore, reports: ReportStore) -> None:
    midnight = datetime(2026, 11, 24, tzinfo=UTC) - START
    await store.insert_attempts([an_entry(midnight - timedelta(microseconds=1)), an_entry(midnight)])
    for until in (NOON + 24 * HOUR, NOON + 12 * HOUR + MINUTE):
        used = await reports.used(NOON, until, days=True)
        assert sorted(cell.day for cell in used.cells if cell.day) == [date(2026, 11, 23), date(2026, 11, 24)]


@pytest.mark.parametrize("until", [NOON + HOUR, NOON + 59 * MINUTE], ids=["whole hours", "part of an hour"])
async def test_labels_are_those_of_live_requests(store: UsageStore, reports: ReportStore, until: datetime) -> None:
    tags = {"feature": "check-out", "env": "prod"}
    await store.insert_attempts(
        [
            an_entry(key="web", tags=tags),
            an_entry(key="web", outcome=Outcome.FAILED, failure=FailureKind.TIMEOUT, cost_nanousd=None),
            an_entry(key="batch", **LUNA, tags={"env": "prod"}, cost_nanousd=5),
            an_entry(key="web", tags=tags, pinned=True),
            an_entry(key="web", tags=tags, kind="rehearsal"),
            an_entry(key=None),
        ]
    )
    keys = await reports.labels(NOON, until, "key")
    assert [(cell.label, cell.role, cell.attempts, cell.failed, cell.unpriced, cell.cost_nanousd) for cell in keys] == [
        ("batch", Role.FALLBACK, 1, 0, 0, 5),
        ("web", Role.PRIMARY, 2, 1, 1, 495_000),
    ]
    found = await reports.labels(NOON, until, "tag", routes=("forum-reply",))
    assert [(cell.label, cell.role, cell.attempts) for cell in found] == [
        ("env=prod", Role.FALLBACK, 1),
        ("env=prod", Role.PRIMARY, 1),
        ("feature=check-out", Role.PRIMARY, 1),
    ]
    assert not await reports.labels(NOON, until, "tag", routes=("triage",))


async def test_times_of_a_crowded_part_of_an_hour_are_cut_and_that_is_said(
    store: UsageStore, reports: ReportStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "MOST_EDGE_ROWS", 3)
    await store.insert_attempts([an_entry(timedelta(seconds=step)) for step in range(5)])
    used = await reports.used(NOON, NOON + MINUTE)
    assert used.is_cut
    assert [cell.attempts for cell in used.cells] == [5]
    assert [sum(of.duration_ms.values()) for of in used.spreads.values()] == [3]
    assert not (await reports.used(NOON, NOON + HOUR)).is_cut


async def test_a_ledger_with_nothing_in_it_has_no_beginning(reports: ReportStore) -> None:
    assert await reports.began() is None
    assert await reports.routes() == frozenset()
    assert not (await reports.used(NOON, NOON + HOUR)).cells


async def test_what_a_primary_ever_served_is_by_model(store: UsageStore, reports: ReportStore) -> None:
    await store.insert_attempts(
        [
            an_entry(),
            an_entry(HOUR * 900),
            an_entry(model_answered="the-one-before"),
            an_entry(outcome=Outcome.FAILED, failure=FailureKind.TIMEOUT),
            an_entry(**LUNA),
            an_entry(kind="evaluation"),
            an_entry(pinned=True),
            an_entry(route="triage"),
        ]
    )
    assert await reports.ever_served("forum-reply") == {an_entry().model_asked: 2, "the-one-before": 1}
    assert await reports.began() == NOON
    assert await reports.routes() == {"forum-reply"}  # triage was last asked more than 31 days before


async def test_pairs_count_with_the_prompt_of_now_and_within_their_days(
    database: Database, reports: ReportStore
) -> None:
    def pair(cost: int | None, after: timedelta = MINUTE, **fields: Any) -> Pair:
        given = {"request_id": "r", "route": "forum-reply", "target": "luna", "prompt_version": "v1"} | fields
        return Pair(an_entry(after).attempt_id, cost_nanousd=cost, duration_ms=1, ttft_ms=None, agreement=None, **given)

    pairs = [
        pair(1), pair(-2, 2 * MINUTE), pair(None), pair(3, route="triage"), pair(4, target="sol"),
        pair(5, prompt_version="v0"), pair(6, HOUR), pair(7, -HOUR), pair(8, prompt_version=None),
    ]  # fmt: skip
    await RehearsalStore(database).keep(pairs)

    async def found(version: str | None, limit: int = 9) -> list[int]:
        return await reports.pair_costs("forum-reply", "luna", version, NOON, NOON + HOUR, limit=limit)

    assert await found("v1") == [-2, 1]
    assert await found("v1", limit=1) == [-2]
    assert await found(None) == [8]
