from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from gateway.ledger.entry import Entry
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.tables import attempts, served_targets
from gateway.store.usage import Total, UsageStore
from tests.store.rows import START, an_entry, entries

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def test_an_entrys_fields_are_the_columns_in_their_order() -> None:
    assert Entry._fields == tuple(column.name for column in attempts.columns)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="an ordinary answer"),
        pytest.param(
            {"cost_nanousd": None, "price_version": None, "usage_source": UsageSource.ESTIMATED}, id="an unpriced model"
        ),
        pytest.param(
            {
                "role": Role.FALLBACK,
                "reason": Reason.SHUTDOWN_REACHED,
                "outcome": Outcome.FAILED,
                "failure": FailureKind.TIMEOUT,
                "model_answered": None,
                "status": None,
            },
            id="a fallback that timed out",
        ),
        pytest.param(
            {
                "stream": True,
                "pinned": True,
                "ttft_ms": 312.25,
                "prompt_version": "a1b2c3d4e5f6",
                "key": "forum",
                "team": "ml",
                "tags": {"ticket": "4711", "étage": "ß"},
                "service_tier": "flex",
                "kind": "rehearsal",
            },
            id="everything that may be absent",
        ),
        pytest.param({"input_tokens": 10**12, "cost_nanousd": 9 * 10**18}, id="numbers that need 64 bits"),
    ],
)
async def test_a_row_comes_back_as_it_went_in(store: UsageStore, fields: dict[str, Any]) -> None:
    entry = an_entry(**fields)
    assert await store.insert_attempts([entry]) == 1
    assert await store.attempts() == [entry._asdict()]


async def test_a_row_that_is_there_already_is_skipped(store: UsageStore) -> None:
    rows = entries(3)
    assert await store.insert_attempts(rows[:2]) == 2
    assert await store.insert_attempts([*rows, rows[2]]) == 1
    assert [row["attempt_id"] for row in await store.attempts()] == [entry.attempt_id for entry in reversed(rows)]


async def test_more_rows_than_one_statement_takes_are_one_transaction(store: UsageStore) -> None:
    rows = entries(700)
    with pytest.raises(IntegrityError):
        await store.insert_attempts([*rows, an_entry(route=None)])
    assert await store.attempts() == []
    assert await store.insert_attempts(rows) == 700
    assert len(await store.attempts(limit=1000)) == 700


async def test_no_rows_are_no_trouble(store: UsageStore) -> None:
    assert await store.insert_attempts([]) == 0


async def test_a_target_that_answered_once_has_served(store: UsageStore, database: Database) -> None:
    rows = [
        an_entry(model_asked="lived"),
        an_entry(DAY, model_asked="lived"),
        an_entry(model_asked="never", model_answered=None, outcome=Outcome.FAILED, failure=FailureKind.MODEL_GONE),
    ]
    await store.insert_attempts(rows[1:])
    await store.insert_attempts(rows)
    assert await store.served_targets() == {("openai", "lived")}
    assert await UsageStore(database).served_targets() == {("openai", "lived")}


async def test_when_a_target_last_served_is_kept_to_within_ten_minutes(store: UsageStore) -> None:
    minutes = [timedelta(minutes=after) for after in (0, 3, 9, 14, 23)]
    noted = []
    for after in minutes:
        await store.insert_attempts([an_entry(after)])
        noted.append(await store.last_served())
    target = ("openai", an_entry().model_asked)
    assert [found[target] - START for found in noted] == [minutes[i] for i in (0, 0, 0, 3, 3)]


async def test_of_one_batch_the_first_and_the_last_answer_are_noted(store: UsageStore, database: Database) -> None:
    rows = [an_entry(after, model_asked=model) for after in (HOUR, timedelta(), 2 * HOUR) for model in ("b", "a")]
    failed = an_entry(3 * HOUR, model_asked="a", outcome=Outcome.FAILED, failure=FailureKind.TIMEOUT)
    await store.insert_attempts([*rows, failed])
    assert await store.last_served() == dict.fromkeys((("openai", "a"), ("openai", "b")), START + 2 * HOUR)
    async with database.engine.connect() as connection:
        first = (await connection.execute(select(served_targets.c.first_served_at))).scalars().all()
    assert first == [START, START]


async def test_a_replica_that_is_behind_sets_nothing_back(store: UsageStore, database: Database) -> None:
    await store.insert_attempts([an_entry(DAY)])
    await UsageStore(database).insert_attempts([an_entry()])
    assert list((await store.last_served()).values()) == [START + DAY]


async def test_a_target_from_before_it_was_kept_last_served_when_it_first_did(
    store: UsageStore, database: Database
) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(insert(served_targets).values(provider="p", model="m", first_served_at=START))
    assert await store.last_served() == {("p", "m"): START}
    await store.insert_attempts([an_entry(DAY, provider="p", model_asked="m")])
    assert await store.last_served() == {("p", "m"): START + DAY}


async def test_a_failed_batch_does_not_count_as_having_served(store: UsageStore) -> None:
    with pytest.raises(IntegrityError):
        await store.insert_attempts([an_entry(model_asked="m"), an_entry(route=None)])
    await store.insert_attempts([an_entry(model_asked="m")])
    assert await store.served_targets() == {("openai", "m")}


async def test_the_latest_rows_come_first_and_can_be_of_one_route(store: UsageStore) -> None:
    rows = [an_entry(timedelta(seconds=step), route=route) for step, route in enumerate("aabab")]
    await store.insert_attempts(rows)
    latest = await store.attempts(limit=2)
    assert [row["attempt_id"] for row in latest] == [rows[4].attempt_id, rows[3].attempt_id]
    assert [row["attempt_id"] for row in await store.attempts(route="b")] == [rows[4].attempt_id, rows[2].attempt_id]


async def test_totals_are_of_live_traffic_by_the_model_that_answered(store: UsageStore) -> None:
    fallback = {"role": Role.FALLBACK, "model_asked": "gpt-6-luna", "model_answered": "gpt-6-luna-2026-09-22"}
    await store.insert_attempts(
        [
            an_entry(model_answered="ft"),
            an_entry(model_answered="ft", cost_nanousd=5),
            an_entry(
                model_answered=None,
                model_asked="ft",
                outcome=Outcome.FAILED,
                input_tokens=0,
                cached_input_tokens=0,
                output_tokens=0,
                cost_nanousd=0,
            ),
            an_entry(**fallback, cost_nanousd=None, input_tokens=7, cached_input_tokens=0, output_tokens=1),
            an_entry(pinned=True),
            an_entry(kind="rehearsal"),
            an_entry(-timedelta(microseconds=1)),
            an_entry(DAY),
        ]
    )
    assert await store.totals(START, START + DAY) == [
        Total("forum-reply", "openai", "ft", "primary", 3, 1, 0, 2400, 600, 300, 495_005),
        Total("forum-reply", "openai", "gpt-6-luna-2026-09-22", "fallback", 1, 0, 1, 7, 0, 1, 0),
    ]


async def test_a_fallback_was_exercised_by_whatever_it_answered_last(store: UsageStore) -> None:
    fallback = {"role": Role.FALLBACK, "target": "luna"}
    rows = [
        an_entry(after, route=route, **fields)
        for route, after, fields in (
            ("live", HOUR, fallback),
            ("live", -3 * DAY, fallback),
            ("shadow", HOUR, fallback | {"kind": "rehearsal"}),
            ("evaluated", -40 * DAY, fallback | {"kind": "evaluation"}),
            ("probed", HOUR, fallback | {"kind": "probe"}),
            ("failed", HOUR, fallback | {"outcome": Outcome.FAILED}),
            ("its own primary", HOUR, {"role": Role.PRIMARY}),
        )
    ]
    await store.insert_attempts(rows)
    lasts = {"live": START + HOUR, "shadow": START + HOUR, "evaluated": START - 40 * DAY}
    assert await store.fallbacks_answered() == lasts
    assert (await store.fallbacks_answered(START - 2 * DAY)).keys() == {"live", "shadow"}


async def test_a_schema_that_is_missing_is_worth_another_try(path: Any) -> None:
    database = await Database.open(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable, match=r"gateway\.db: no such table: attempts"):
        await UsageStore(database).insert_attempts([an_entry()])
    await database.close()
