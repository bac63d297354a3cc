import asyncio
import random
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from fake_clock import FakeClock
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.ledger.entry import Entry
from gateway.policy.sketch import quantile
from gateway.reasons import Outcome
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.sums import COUNTERS, OTHER, Labels, Sums, by_day
from gateway.store.tables import attempts
from gateway.store.usage import Checkpoint, UsageStore
from tests.store.rows import START, an_entry, entries
from tests.store.sums import (
    a_mixed_row,
    attempts_summed,
    expected_days,
    expected_hours,
    expected_labels,
    kept_days,
    kept_hours,
    kept_labels,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize("seed", range(3))
async def test_sums_are_those_of_the_rows_however_they_came(store: UsageStore, database: Database, seed: int) -> None:
    chance = random.Random(seed)
    # Of the hours before midnight and of those after it.
    rows = [a_mixed_row(chance, hours=20) for _ in range(300)]
    left = rows.copy()
    while left:
        count = chance.randrange(1, 90)
        # Some rows come again, as they do after a commit that nobody heard of.
        again = chance.sample(rows, 20)
        await store.insert_attempts([*left[:count], *again])
        left = left[count:]
    assert await kept_hours(database) == expected_hours(rows)
    assert await kept_days(database) == expected_days(rows)
    assert await kept_labels(database) == expected_labels(rows)


def test_hours_add_up_by_the_day_and_are_left_as_they_are() -> None:
    chance = random.Random(5)
    rows = [a_mixed_row(chance, hours=40) for _ in range(200)]
    sums = Sums(Labels())
    sums.add(rows)
    before = deepcopy(sums.hours)
    days = by_day(sums.hours.items())
    assert sums.hours == before
    assert {key: dict(zip(COUNTERS, of.counters, strict=True)) for key, of in days.items()} == {
        key: {name: kept[name] for name in COUNTERS} for key, kept in expected_days(rows).items()
    }


async def test_a_batch_that_comes_twice_counts_once(store: UsageStore, database: Database) -> None:
    rows = entries(70)
    assert await store.insert_attempts([*rows, *rows]) == 70
    assert await store.insert_attempts(rows) == 0
    assert await attempts_summed(database) == 70


async def test_late_rows_of_an_old_hour_are_added_to_it(store: UsageStore, database: Database) -> None:
    old, new, late = an_entry(), an_entry(30 * HOUR), an_entry(timedelta(minutes=1), duration_ms=9000.0)
    await store.insert_attempts([old, new])
    await store.insert_attempts([late])
    assert await kept_hours(database) == expected_hours([old, new, late])
    assert await kept_days(database) == expected_days([old, new, late])


async def test_a_distribution_can_be_read_back(store: UsageStore, database: Database) -> None:
    await store.insert_attempts([an_entry(duration_ms=float(ms)) for ms in range(1, 101)])
    await store.insert_attempts([an_entry(duration_ms=1.0, outcome=Outcome.FAILED)])
    (sums,) = (await kept_hours(database)).values()
    assert quantile(sums["duration_ms"], 0.95) == pytest.approx(95, rel=0.02)
    assert sums["ttft_ms"] == {}


@pytest.mark.parametrize("same", [pytest.param(True, id="the same rows"), pytest.param(False, id="rows of one hour")])
async def test_two_writers_at_once_lose_and_double_nothing(
    database: Database, other_database: Database, same: bool
) -> None:
    stores = UsageStore(database), UsageStore(other_database)
    rounds, rows = 20, []
    for _ in range(rounds):
        mine, its = entries(12), entries(12)
        both = (mine, list(reversed(mine))) if same else (mine, its)
        new = await asyncio.gather(*(_insert(store, batch) for store, batch in zip(stores, both, strict=True)))
        rows += mine if same else [*mine, *its]
        assert sum(new) == (12 if same else 24)
    assert await kept_hours(database) == expected_hours(rows)
    assert await kept_days(database) == expected_days(rows)


async def test_two_writers_of_different_hours_of_one_day_lose_nothing(
    database: Database, other_database: Database
) -> None:
    stores = UsageStore(database), UsageStore(other_database)
    rows = []
    for _ in range(20):
        # Beginning before midnight and ending after it, in both orders.
        batches = [[an_entry(hour * HOUR) for hour in hours] for hours in ((1, 13), (14, 2))]
        await asyncio.gather(*(_insert(store, batch) for store, batch in zip(stores, batches, strict=True)))
        rows += [*batches[0], *batches[1]]
    assert await kept_days(database) == expected_days(rows)


async def test_a_checkpoint_goes_with_its_rows(store: UsageStore) -> None:
    assert await store.checkpoint("j1") is None
    await store.insert_attempts(entries(2), Checkpoint("j1", 1, 512))
    assert await store.checkpoint("j1") == Checkpoint("j1", 1, 512)
    await store.insert_attempts([], Checkpoint("j1", 2, 0))
    await store.insert_attempts([], Checkpoint("j0", 7, 2**40))
    assert [known.checkpoint for known in await store.journals_known()] == [
        Checkpoint("j0", 7, 2**40),
        Checkpoint("j1", 2, 0),
    ]
    await store.forget_journal("j1")
    assert await store.checkpoint("j1") is None


async def test_what_is_noted_of_a_journal_says_when(database: Database) -> None:
    store = UsageStore(database, FakeClock(START))
    await store.insert_attempts([], Checkpoint("j", 1, 0))
    assert [known.written_at for known in await store.journals_known()] == [START]


@pytest.mark.parametrize(
    "stage", ["INSERT INTO usage_hours", "INSERT INTO usage_days", "INSERT INTO journals", "commit"]
)
async def test_a_failure_in_the_middle_leaves_nothing(store: UsageStore, database: Database, stage: str) -> None:
    with _failing_at(database, stage), pytest.raises(DatabaseUnavailable, match="pulled"):
        await store.insert_attempts(entries(3), Checkpoint("j", 1, 9))
    assert await store.attempts() == []
    assert await kept_hours(database) == {}
    assert await kept_days(database) == {}
    assert await store.checkpoint("j") is None
    # And the same again goes through.
    assert await store.insert_attempts(entries(3), Checkpoint("j", 1, 9)) == 3
    assert await attempts_summed(database) == 3


async def test_a_commit_that_nobody_heard_of_is_tried_again_for_nothing(store: UsageStore, database: Database) -> None:
    rows = entries(3)
    with _failing_at(database, "after commit"), pytest.raises(DatabaseUnavailable, match="pulled"):
        await store.insert_attempts(rows, Checkpoint("j", 1, 9))
    assert await store.insert_attempts(rows, Checkpoint("j", 1, 9)) == 0
    assert await kept_hours(database) == expected_hours(rows)


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
@pytest.mark.parametrize(("collisions", "written"), [(3, True), (4, False)])
async def test_transactions_that_collide_are_tried_four_times(
    database: Database, sqlstate: str, collisions: int, written: bool
) -> None:
    clock = FakeClock(START)
    store = UsageStore(database, clock)
    rows = entries(3)
    with _failing_at(database, "INSERT INTO usage_hours", times=collisions, sqlstate=sqlstate) as failed:
        inserting = asyncio.create_task(_caught(store.insert_attempts(rows)))
        while not inserting.done():
            clock.advance(1)
            await asyncio.sleep(0.001)
    assert len(failed) == collisions
    if not written:
        assert isinstance(inserting.result(), DatabaseUnavailable)
        assert await kept_hours(database) == {}
    else:
        assert inserting.result() == 3
        assert await kept_hours(database) == expected_hours(rows)


async def test_of_a_deadlock_the_ledger_is_the_one_that_tries_again(database: Database, store: UsageStore) -> None:
    if database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    one, other = entries(2)
    async with database.engine.connect() as connection:
        await connection.execute(text("SET LOCAL deadlock_timeout = '20s'"))
        # Somebody who takes the rows in the wrong order: ours waits for one row, and then it for ours.
        await connection.execute(attempts.insert(), [other._asdict()])
        inserting = asyncio.create_task(store.insert_attempts([one, other]))
        await _until_somebody_waits(database)
        await connection.execute(attempts.insert(), [one._asdict()])
        await connection.rollback()
    assert await inserting == 2
    assert await kept_hours(database) == expected_hours([one, other])


async def test_a_row_that_is_refused_takes_the_sums_of_the_others_with_it(
    store: UsageStore, database: Database
) -> None:
    with pytest.raises(IntegrityError):
        await store.insert_attempts([*entries(3), an_entry(route=None)], Checkpoint("j", 1, 9))
    assert await kept_hours(database) == {}
    assert await store.checkpoint("j") is None


async def test_an_absurd_cost_does_not_keep_the_others_out(store: UsageStore, database: Database) -> None:
    for _ in range(2):
        await store.insert_attempts([an_entry(cost_nanousd=9 * 10**18)])
    assert await store.insert_attempts(entries(3)) == 3
    (sums,) = (await kept_hours(database)).values()
    assert (sums["attempts"], sums["cost_nanousd"]) == (5, 2**63 - 1)


async def test_retention_deletes_rows_and_leaves_sums(store: UsageStore, database: Database) -> None:
    rows = [an_entry(hour * HOUR + timedelta(minutes=minute)) for hour in range(3) for minute in range(50)]
    await store.insert_attempts(rows)
    kept, days = await kept_hours(database), await kept_days(database)
    before = START + 2 * HOUR + timedelta(minutes=30)
    assert await store.delete_older(before, 30) == 30
    assert [row["attempt_id"] for row in await store.attempts(limit=200)][-1] == rows[30].attempt_id
    assert await store.delete_older(before, 1000) == 70
    assert await store.delete_older(before, 1000) == 0
    assert len(await store.attempts(limit=200)) == 50
    assert await kept_hours(database) == kept
    assert await kept_days(database) == days


async def test_a_database_that_only_reads_is_unavailable(store: UsageStore, database: Database) -> None:
    if database.engine.dialect.name == "postgresql":
        async with database.engine.begin() as connection:
            name = await connection.scalar(text("SELECT current_database()"))
            await connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        await database.engine.dispose()
    else:

        @event.listens_for(database.engine.sync_engine, "connect")
        def only_read(connection: Any, _record: object) -> None:
            connection.cursor().execute("PRAGMA query_only = on")

        await database.engine.dispose()
    try:
        with pytest.raises(DatabaseUnavailable, match=r"read.?only"):
            await store.insert_attempts(entries(1), Checkpoint("j", 1, 0))
    finally:
        if database.engine.dialect.name == "postgresql":
            async with database.engine.connect() as connection:
                await connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"))
                await connection.commit()
                await connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
                await connection.commit()


async def test_a_missing_table_is_nobodys_rows_fault(store: UsageStore, database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE usage_labels RENAME TO elsewhere"))
    try:
        with pytest.raises(DatabaseUnavailable, match="usage_labels"):
            await store.insert_attempts([an_entry(key="forum")])
    finally:
        async with database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE elsewhere RENAME TO usage_labels"))
    assert await store.attempts() == []


def test_a_day_has_so_many_labels_and_no_more() -> None:
    labels = Labels(most=2)
    assert [labels.admitted(START, "tag", label) for label in "abcba"] == ["a", "b", OTHER, "b", "a"]
    assert labels.admitted(START + timedelta(days=1), "key", "c") == "c"


def test_labels_beyond_the_limit_are_added_up_as_one() -> None:
    sums = Sums(Labels(most=1))
    sums.add([an_entry(key=name, tags={"t": name}) for name in ("a", "b", "c")])
    assert {(key[1], key[2]): counters[0] for key, counters in sums.by_label.items()} == {
        ("key", "a"): 1,
        ("key", OTHER): 2,
        ("tag", OTHER): 3,
    }


def test_a_providers_models_of_a_day_are_so_many_beside_those_that_were_asked_for() -> None:
    sums = Sums(Labels(most_models=2))

    def answers(asked: str, *answered: str | None, **fields: Any) -> None:
        sums.add([an_entry(model_asked=asked, model_answered=name, **fields) for name in answered])

    answers("asked", "asked", "a", "b", None)
    answers("asked", "c", "d", "a")
    answers("also-asked", "also-asked", "e", "b")
    answers("asked", "c", provider="another")
    models = {(key[4], key[5]): of.counters[COUNTERS.index("attempts")] for key, of in sums.hours.items()}
    assert models == {
        ("openai", "asked"): 2,
        ("openai", "also-asked"): 1,
        ("openai", "a"): 2,
        ("openai", "b"): 2,
        ("openai", OTHER): 3,
        ("another", "c"): 1,
    }
    sums = Sums(Labels(most_models=1))
    sums.add(an_entry(day * DAY, model_answered=name) for day, name in enumerate("aab"))
    assert {key[5] for key in sums.hours} == {"a", "b"}, "each day begins anew"


async def _insert(store: UsageStore, rows: list[Entry]) -> int:
    """Insert as the drain does, which tries again where SQLite was locked for too long."""
    while True:
        try:
            return await store.insert_attempts(rows)
        except DatabaseUnavailable as error:
            assert "locked" in str(error)  # noqa: PT017


async def _caught(inserting: Awaitable[int]) -> int | DatabaseUnavailable:
    try:
        return await inserting
    except DatabaseUnavailable as error:
        return error


async def _until_somebody_waits(database: Database) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(5), database.engine.connect() as connection:
        while not await connection.scalar(waiting):
            await connection.commit()


class _Collision(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("collided")
        self.sqlstate = sqlstate


@contextmanager
def _failing_at(database: Database, stage: str, times: int = 1, sqlstate: str = "") -> Iterator[list[str]]:
    """Fail where a statement begins so, or at a commit: before the database has it, or after."""
    failed: list[str] = []

    def fail() -> None:
        if len(failed) < times:
            failed.append(stage)
            raise DBAPIError(stage, None, _Collision(sqlstate)) if sqlstate else OSError("the plug was pulled")

    def executes(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(stage):
            fail()

    def commits(connection: Connection) -> None:
        if stage == "after commit":
            connection.connection.commit()
        if stage in ("commit", "after commit"):
            fail()

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", executes)
    event.listen(engine, "commit", commits)
    try:
        yield failed
    finally:
        event.remove(engine, "before_cursor_execute", executes)
        event.remove(engine, "commit", commits)
