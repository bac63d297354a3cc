from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from gateway.ledger.entry import Entry
from gateway.policy.traffic import Exercised, Limits, Minute, Served
from gateway.reasons import FailureKind, Outcome, Role
from gateway.store.database import Database
from gateway.store.tables import attempts, rate_limits
from gateway.store.traffic import TrafficStore, started_within
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry

NOW = START + timedelta(days=10)
PRIMARY = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
ON_LUNA = {"role": Role.FALLBACK, "target": "luna", "model_asked": "gpt-6-luna", "model_answered": "gpt-6-luna"}
FAILED = {"outcome": Outcome.FAILED, "failure": FailureKind.TIMEOUT, "model_answered": None}


def ago(**fields: Any) -> timedelta:
    return timedelta(days=10) - timedelta(**fields)


@pytest.fixture
def traffic(database: Database) -> TrafficStore:
    return TrafficStore(database)


async def test_an_empty_ledger_is_a_week_of_nothing(traffic: TrafficStore) -> None:
    found = await traffic.traffic(NOW)
    assert (found.since, found.until, found.days) == (NOW - timedelta(days=7), NOW, 7)
    assert not found.served
    assert not found.minutes
    assert not found.traits
    assert not found.exercised
    assert not found.limits


async def test_requests_are_counted_by_route_and_target_and_each_once(store: UsageStore, traffic: TrafficStore) -> None:
    await store.insert_attempts(
        [
            an_entry(ago(days=1)),
            an_entry(ago(days=2), cost_nanousd=None, input_tokens=3000),
            an_entry(ago(days=3), outcome=Outcome.INTERRUPTED, failure=FailureKind.INTERRUPTED),
            an_entry(ago(hours=1), **FAILED, request_id="fell-back"),
            an_entry(ago(hours=1), **ON_LUNA, request_id="fell-back", cost_nanousd=7),
            an_entry(ago(hours=2), route="triage", cost_nanousd=1),
        ]
    )
    assert (await traffic.traffic(NOW)).served == (
        Served("forum-reply", "openai", PRIMARY, 3, 2, 990_000, 5400, 450, 3000),
        Served("forum-reply", "openai", "gpt-6-luna", 1, 1, 7, 1200, 150, 1200),
        Served("triage", "openai", PRIMARY, 1, 1, 1, 1200, 150, 1200),
    )


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"pinned": True}, id="pinned requests are tests"),
        pytest.param({"kind": "rehearsal"}, id="rehearsals are not asked for by callers"),
        pytest.param({"kind": "probe"}, id="probes are the gateway's own"),
        pytest.param(FAILED, id="a failed attempt is no request of its own"),
    ],
)
async def test_what_is_not_traffic(fields: dict[str, Any], store: UsageStore, traffic: TrafficStore) -> None:
    await store.insert_attempts([an_entry(ago(days=1), **fields)])
    found = await traffic.traffic(NOW)
    assert (found.served, found.minutes, found.traits) == ((), (), {})


@pytest.mark.parametrize(
    ("started", "counts"),
    [
        pytest.param(NOW - timedelta(days=7), True, id="a week ago, to the microsecond"),
        pytest.param(NOW - timedelta(days=7, microseconds=1), False, id="a microsecond before that"),
        pytest.param(NOW - timedelta(microseconds=1), True, id="just now"),
        pytest.param(NOW, False, id="the end of the span is outside it"),
    ],
)
async def test_the_span_is_a_range_of_keys(
    started: datetime, counts: bool, store: UsageStore, traffic: TrafficStore
) -> None:
    await store.insert_attempts([an_entry(started - START)])
    assert bool((await traffic.traffic(NOW)).served) is counts


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_the_range_is_read_from_the_primary_key(database: Database) -> None:
    query = select(attempts.c.route).where(started_within(NOW - timedelta(days=7), NOW))
    sql = str(query.compile(database.engine.sync_engine, compile_kwargs={"literal_binds": True}))
    async with database.engine.connect() as connection:
        plan = " ".join(row[-1] for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {sql}")))
    assert "SEARCH attempts USING PRIMARY KEY (attempt_id>? AND attempt_id<?)" in plan


@pytest.mark.parametrize(
    ("oldest", "days"),
    [
        pytest.param({"days": 40}, 7.0, id="an old ledger: a week"),
        pytest.param({"days": 3}, 3.0, id="three days old: three days"),
        pytest.param({"minutes": 5}, 1.0, id="five minutes old: a day, since a rate of five minutes says nothing"),
    ],
)
async def test_a_young_ledger_gives_a_shorter_span(
    oldest: dict[str, int], days: float, store: UsageStore, traffic: TrafficStore
) -> None:
    await store.insert_attempts([an_entry(ago(**oldest))])
    assert (await traffic.traffic(NOW)).days == pytest.approx(days)


async def test_minutes_are_summed_by_route_and_come_in_order(store: UsageStore, traffic: TrafficStore) -> None:
    minute = int((NOW - timedelta(hours=1)).timestamp()) // 60
    top = START.replace(second=0, microsecond=0) - START
    await store.insert_attempts(
        [
            an_entry(ago(hours=1) + top, input_tokens=100),
            an_entry(ago(hours=1) + top + timedelta(seconds=59, milliseconds=999), **ON_LUNA, input_tokens=1000),
            an_entry(ago(hours=1) + top + timedelta(seconds=60), input_tokens=10),
            an_entry(ago(hours=1) + top, route="another", input_tokens=1),
        ]
    )
    assert (await traffic.traffic(NOW)).minutes == (
        Minute("another", minute, 1, 1, 1),
        Minute("forum-reply", minute, 2, 1, 1100),
        Minute("forum-reply", minute + 1, 1, 1, 10),
    )


async def test_traits_are_counted_as_they_came_together(store: UsageStore, traffic: TrafficStore) -> None:
    asked = ["temperature,tools", "temperature,tools", "image", "", None]
    await store.insert_attempts([an_entry(ago(hours=step + 1), traits=words) for step, words in enumerate(asked)])
    assert (await traffic.traffic(NOW)).traits == {"forum-reply": {"temperature,tools": 2, "image": 1, "": 1}}


async def test_whoever_exercised_a_target_and_when(store: UsageStore, traffic: TrafficStore) -> None:
    await store.insert_attempts(
        [
            an_entry(ago(days=89), **ON_LUNA, pinned=True),
            an_entry(ago(days=30), **ON_LUNA, kind="rehearsal"),
            an_entry(ago(days=1), **(ON_LUNA | FAILED)),
            an_entry(ago(days=91), route="long-ago", **ON_LUNA),
        ]
    )
    found = (await traffic.traffic(NOW)).exercised
    assert found == {("forum-reply", "openai", "gpt-6-luna"): Exercised(2, START + ago(days=30))}


async def test_quotas_come_as_they_were_seen(database: Database, traffic: TrafficStore) -> None:
    row = {"provider": "openai", "model": "gpt-6-luna", "tokens_per_minute": 2_000_000, "seen_at": START}
    async with database.engine.begin() as connection:
        await connection.execute(insert(rate_limits), [row])
    assert (await traffic.traffic(NOW)).limits == {("openai", "gpt-6-luna"): Limits(None, 2_000_000, START)}


def spread(count: int) -> Iterable[Entry]:
    return (an_entry(ago(days=6) + timedelta(seconds=step), route=f"route-{step % 40}") for step in range(count))


async def test_many_rows_come_back_as_few(store: UsageStore, traffic: TrafficStore) -> None:
    await store.insert_attempts(list(spread(2000)))
    found = await traffic.traffic(NOW)
    assert sum(served.requests for served in found.served) == 2000
    assert len(found.served) == 40
    assert sum(minute.input_tokens for minute in found.minutes) == 2000 * 1200
