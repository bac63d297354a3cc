import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import delete, text, update

from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.ledger_check import HourDifference, HourTotals, LedgerCheck, RowsMissing
from gateway.store.ledger_status import LedgerStatus
from gateway.store.sums import MOST_MODELS, OTHER
from gateway.store.tables import attempts
from gateway.store.tables_ledger import usage_days, usage_hours, usage_labels
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry, entries
from tests.store.sums import (
    a_mixed_row,
    expected_days,
    expected_hours,
    expected_labels,
    kept_days,
    kept_hours,
    kept_labels,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOON = START.replace(minute=0, second=0, microsecond=0)
MIDNIGHT = NOON.replace(hour=0)


@pytest.fixture
def check(database: Database) -> LedgerCheck:
    return LedgerCheck(database)


async def test_a_ledger_that_is_empty_has_no_differences(check: LedgerCheck) -> None:
    assert await check.whole_since() is None
    assert await check.differences(START, START + 9 * HOUR) == []


async def test_rows_and_sums_that_came_together_do_not_differ(check: LedgerCheck, store: UsageStore) -> None:
    chance = random.Random(7)
    await store.insert_attempts([a_mixed_row(chance, hours=20) for _ in range(300)])
    assert await check.differences(START, START + 24 * HOUR) == []
    assert await check.day_differences(MIDNIGHT, MIDNIGHT + 2 * DAY) == []


async def test_models_beyond_the_limit_are_one_in_the_totals_and_no_difference(
    check: LedgerCheck, store: UsageStore, database: Database
) -> None:
    rows = [an_entry(model_answered=f"model-{number}") for number in range(MOST_MODELS + 7)]
    await store.insert_attempts(rows)

    async def is_capped() -> None:
        assert await check.differences(START, START + HOUR) == []
        assert await check.day_differences(MIDNIGHT, MIDNIGHT + DAY) == []
        for kept in (await kept_hours(database), await kept_days(database)):
            assert len(kept) == MOST_MODELS + 1
            assert [sums["attempts"] for key, sums in kept.items() if key[5] == OTHER] == [7]

    await is_capped()
    await check.rebuild(NOON)
    await is_capped()
    assert {row["model_answered"] for row in await store.attempts(limit=len(rows))} == {
        row.model_answered for row in rows
    }


async def test_each_day_that_differs_from_its_hours_is_named_with_both_sides_and_mended(
    check: LedgerCheck, store: UsageStore, database: Database
) -> None:
    chance = random.Random(11)
    rows = [a_mixed_row(chance, hours=84) for _ in range(300)]
    await store.insert_attempts(rows)
    async with database.engine.begin() as connection:
        dearer = update(usage_days).where(usage_days.c.day == MIDNIGHT)
        await connection.execute(dearer.values(cost_nanousd=usage_days.c.cost_nanousd + 1, duration_ms={}))
        await connection.execute(delete(usage_days).where(usage_days.c.day == MIDNIGHT + DAY))
        # Rows are not needed: of the hours' sums nothing is missing.
        await connection.execute(delete(attempts))
    found = await check.day_differences(MIDNIGHT, MIDNIGHT + 3 * DAY)
    assert [of.day for of in found] == [MIDNIGHT, MIDNIGHT + DAY]
    assert found[0].summed.cost_nanousd > found[0].hours.cost_nanousd
    assert (found[1].hours.attempts > 0, found[1].summed) == (True, HourTotals())
    # Days that a period cuts are not looked at.
    assert await check.day_differences(MIDNIGHT + HOUR, MIDNIGHT + 2 * DAY - HOUR) == []
    for of in found:
        await check.rebuild_day(of.day)
    assert await kept_days(database) == expected_days(rows)
    assert await check.day_differences(MIDNIGHT, MIDNIGHT + 3 * DAY) == []


async def test_each_hour_that_differs_is_named_with_both_sides(
    check: LedgerCheck, store: UsageStore, database: Database
) -> None:
    rows = [an_entry(hour * HOUR) for hour in (0, 8, 8, 9, 20)]
    await store.insert_attempts(rows)
    async with database.engine.begin() as connection:
        await connection.execute(delete(attempts).where(attempts.c.attempt_id == rows[1].attempt_id))
        dearer = update(usage_hours).where(usage_hours.c.hour == NOON + 9 * HOUR)
        await connection.execute(dearer.values(cost_nanousd=usage_hours.c.cost_nanousd + 1))
        await connection.execute(delete(usage_hours).where(usage_hours.c.hour == NOON + 20 * HOUR))
    one = HourTotals(1, 1200, 150, 495_000)
    assert await check.differences(START, START + 24 * HOUR) == [
        HourDifference(NOON + 8 * HOUR, one, HourTotals(2, 2400, 300, 990_000)),
        HourDifference(NOON + 9 * HOUR, one, one._replace(cost_nanousd=495_001)),
        HourDifference(NOON + 20 * HOUR, one, HourTotals()),
    ]
    assert [found.hour for found in await check.differences(START + 9 * HOUR, START + 20 * HOUR)] == [NOON + 9 * HOUR]


async def test_hours_that_retention_has_taken_are_not_compared(
    check: LedgerCheck, store: UsageStore, database: Database
) -> None:
    await store.insert_attempts([an_entry(hour * HOUR + timedelta(minutes=m)) for hour in range(4) for m in (1, 2)])
    await store.delete_older(START + 2 * HOUR, 3)
    assert await check.whole_since() == NOON + 2 * HOUR
    assert await check.differences(START, START + 24 * HOUR) == []
    with pytest.raises(RowsMissing, match="2026-11-23 13:00"):
        await check.rebuild(NOON + HOUR)


async def test_an_hour_made_anew_is_that_of_its_rows(check: LedgerCheck, store: UsageStore, database: Database) -> None:
    chance = random.Random(3)
    rows = [a_mixed_row(chance) for _ in range(300)]
    # By a microsecond an id may say another hour than its row does.
    early = an_entry(NOON + HOUR - START - timedelta(microseconds=1))
    rows.append(early._replace(started_at=NOON + HOUR))
    await store.insert_attempts(rows)
    async with database.engine.begin() as connection:
        for table in (usage_hours, usage_days, usage_labels):
            await connection.execute(update(table).values(attempts=7))
    for hour in range(3):
        await check.rebuild(NOON + hour * HOUR)
    assert await kept_hours(database) == expected_hours(rows)
    assert await kept_days(database) == expected_days(rows)
    assert await kept_labels(database) == expected_labels(rows)


async def test_rows_from_before_there_were_sums_get_theirs(
    check: LedgerCheck, store: UsageStore, database: Database
) -> None:
    rows = entries(5)
    await store.insert_attempts(rows)
    async with database.engine.begin() as connection:
        await connection.execute(delete(usage_hours))
        await connection.execute(delete(usage_days))
    assert [found.hour for found in await check.differences(START, START + HOUR)] == [NOON]
    assert await LedgerStatus(database).lacks_totals_since() == rows[0].started_at
    await check.rebuild(NOON)
    assert await LedgerStatus(database).lacks_totals_since() is None
    assert await kept_hours(database) == expected_hours(rows)
    assert await kept_days(database) == expected_days(rows)


@pytest.mark.rig
async def test_an_hour_is_made_anew_while_others_write_it(
    check: LedgerCheck, store: UsageStore, other_database: Database
) -> None:
    other = UsageStore(other_database)
    rows = entries(400)
    await store.insert_attempts(rows[:50])

    async def write() -> None:
        for start in range(50, 400, 10):
            await _patiently(lambda start=start: other.insert_attempts(rows[start : start + 10]))

    writing = asyncio.create_task(write())
    while not writing.done():
        await _patiently(lambda: check.rebuild(NOON))
        assert await check.differences(START, START + HOUR) == []
        await _patiently(lambda: check.rebuild_day(MIDNIGHT))
        assert await check.day_differences(MIDNIGHT, MIDNIGHT + DAY) == []
    await writing
    assert await kept_hours(other_database) == expected_hours(rows)
    assert await kept_days(other_database) == expected_days(rows)


async def test_only_what_is_asked_for_is_read(check: LedgerCheck, store: UsageStore, database: Database) -> None:
    await store.insert_attempts([an_entry(), an_entry(2 * HOUR)])
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE usage_hours SET attempts = 9"))
    assert [found.hour for found in await check.differences(START, NOON + HOUR)] == [NOON]


async def _patiently(change: Callable[[], Awaitable[object]]) -> None:
    """Try again where SQLite was locked for too long, as the drain does."""
    while True:
        try:
            await change()
        except DatabaseUnavailable as error:
            assert "locked" in str(error)  # noqa: PT017
        else:
            return
