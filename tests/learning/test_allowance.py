import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from fake_clock import FakeClock
from migrated_database import migrated

from gateway.learning.allowance import LEASES_PER_DAY, Allowance, Reservation
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.rehearsals import RehearsalStore

TODAY, TOMORROW = date(2026, 11, 29), date(2026, 11, 30)
LIMIT = 10_000
LEASE = LIMIT // LEASES_PER_DAY


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    await asyncio.to_thread(migrated, url)
    opened = await Database.open(url)
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> RehearsalStore:
    return RehearsalStore(database)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 11, 29, 12, tzinfo=UTC))


@pytest.fixture
def allowance(store: RehearsalStore, clock: FakeClock) -> Allowance:
    return Allowance("reply", lambda: store, clock)


async def test_nothing_is_there_before_something_was_leased(allowance: Allowance) -> None:
    assert not allowance.take(1)


async def test_a_lease_is_a_hundredth_of_the_day_and_is_spent_without_asking(
    allowance: Allowance, store: RehearsalStore
) -> None:
    assert await allowance.secure(30, LIMIT)
    assert await store.reserved("reply", TODAY) == LEASE
    assert allowance.take(LEASE - 30)
    assert not allowance.take(1)
    assert await store.reserved("reply", TODAY) == LEASE


async def test_more_than_a_lease_is_leased_where_more_is_needed(allowance: Allowance, store: RehearsalStore) -> None:
    assert await allowance.secure(LEASE + 1, LIMIT)
    assert await store.reserved("reply", TODAY) == LEASE + 1
    assert not allowance.take(1)


async def test_a_lease_that_holds_what_is_needed_is_not_renewed(allowance: Allowance, store: RehearsalStore) -> None:
    for _ in range(50):
        assert await allowance.top_up(LEASE // 2, LIMIT)
    assert await store.reserved("reply", TODAY) == LEASE


async def test_at_the_days_end_the_rest_is_leased_to_the_last_nano_dollar(
    allowance: Allowance, store: RehearsalStore
) -> None:
    await store.reserve("reply", TODAY, LIMIT - 30, LIMIT)
    assert await allowance.secure(10, LIMIT)
    assert await allowance.secure(20, LIMIT)
    assert not await allowance.secure(1, LIMIT)
    assert await store.reserved("reply", TODAY) == LIMIT


@pytest.mark.parametrize("nanousd", [LIMIT + 1, 10**18], ids=["by a little", "by far"])
async def test_what_is_dearer_than_the_day_is_never_bought(
    allowance: Allowance, store: RehearsalStore, nanousd: int
) -> None:
    assert not await allowance.secure(nanousd, LIMIT)
    assert await store.reserved("reply", TODAY) == 0


async def test_what_was_taken_too_much_is_put_back_and_what_was_too_little_is_owed(
    allowance: Allowance, store: RehearsalStore
) -> None:
    assert await allowance.secure(LEASE, LIMIT)
    allowance.settle(Reservation(TODAY, LEASE), LEASE - 40)
    assert allowance.take(40)
    allowance.settle(Reservation(TODAY, 40), 90)
    assert not allowance.take(0)
    assert await allowance.secure(10, LIMIT)
    assert await store.reserved("reply", TODAY) == 2 * LEASE
    assert allowance.take(2 * LEASE - (LEASE - 40) - 90 - 10)
    assert not allowance.take(1)


async def test_a_new_day_has_new_money_and_the_old_days_is_gone(
    allowance: Allowance, store: RehearsalStore, clock: FakeClock
) -> None:
    assert await allowance.secure(LIMIT, LIMIT)
    assert not await allowance.secure(1, LIMIT)
    allowance.settle(Reservation(TODAY, LIMIT), 0)
    clock.advance(12 * 3600)
    assert not allowance.take(1), "a lease of yesterday is not spent today"
    assert await allowance.secure(1, LIMIT)
    assert await store.reserved("reply", TOMORROW) == LEASE
    assert not allowance.take(LEASE)


async def test_what_is_settled_after_midnight_gives_the_new_day_nothing(allowance: Allowance, clock: FakeClock) -> None:
    yesterdays = await allowance.secure(LEASE, LIMIT)
    assert yesterdays is not None
    clock.advance(12 * 3600)
    assert await allowance.secure(LEASE, LIMIT)
    allowance.settle(yesterdays, 0)
    assert not allowance.take(1)


class LateStore(RehearsalStore):
    """The database's answer takes until the next day."""

    clock: FakeClock

    async def reserve(self, route: str, day: date, nanousd: int, limit_nanousd: int) -> bool:
        granted = await super().reserve(route, day, nanousd, limit_nanousd)
        if day == TODAY:
            self.clock.advance(12 * 3600)
        return granted


async def test_a_lease_that_comes_after_midnight_is_not_spent_on_the_new_day(
    database: Database, clock: FakeClock
) -> None:
    store = LateStore(database)
    store.clock = clock
    allowance = Allowance("reply", lambda: store, clock)
    assert await allowance.secure(LEASE, LIMIT)
    assert await store.reserved("reply", TOMORROW) == LEASE
    assert not allowance.take(1)


async def test_without_a_database_nothing_is_spent(clock: FakeClock) -> None:
    allowance = Allowance("reply", lambda: None, clock)
    assert not await allowance.secure(1, LIMIT)
    await allowance.close()


async def test_a_database_that_is_away_is_said_so_and_nothing_is_spent(
    allowance: Allowance, database: Database
) -> None:
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE rehearsal_budgets")
    with pytest.raises(DatabaseUnavailable):
        await allowance.secure(1, LIMIT)
    assert not allowance.take(1)


async def test_what_is_left_at_the_end_is_given_back_once(allowance: Allowance, store: RehearsalStore) -> None:
    assert await allowance.secure(30, LIMIT)
    await allowance.close()
    await allowance.close()
    assert await store.reserved("reply", TODAY) == 30
    assert not allowance.take(1)


async def test_what_is_owed_at_the_end_counts_for_the_day(allowance: Allowance, store: RehearsalStore) -> None:
    assert await allowance.secure(LEASE, LIMIT)
    allowance.settle(Reservation(TODAY, LEASE), LEASE + 25)
    await allowance.close()
    assert await store.reserved("reply", TODAY) == LEASE + 25


async def test_many_at_once_on_many_replicas_never_pass_the_days_sum(database: Database, clock: FakeClock) -> None:
    store = RehearsalStore(database)
    replicas = [Allowance("reply", lambda: store, clock) for _ in range(4)]
    sums = [150 + 37 * (n % 11) for n in range(60)]
    at_once = asyncio.Semaphore(8)  # Sixty would wait for SQLite's lock for longer than it lets them.

    async def secure(n: int) -> bool:
        async with at_once:
            return await replicas[n % 4].secure(sums[n], LIMIT)

    secured = await asyncio.gather(*map(secure, range(60)))
    spent = sum(sum_ for sum_, ok in zip(sums, secured, strict=True) if ok)
    assert spent <= await store.reserved("reply", TODAY) <= LIMIT
    assert sum(sums) > LIMIT > spent > LIMIT - max(sums) - 4 * LEASE, "what is there is used"
