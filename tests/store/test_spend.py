"""Money is set aside and settled exactly, on both databases."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from rows import an_entry

from gateway.config.callers import Budget
from gateway.ledger.entry import new_attempt_id
from gateway.store.database import Database
from gateway.store.settling import Charge
from gateway.store.spend import SpendStore
from gateway.store.standings import Standing
from gateway.store.tables_keys import budget_holds, key_spend
from gateway.store.usage import UsageStore

KEY = "key_00000001"


def new_id() -> str:
    return new_attempt_id(datetime.now(UTC))


async def standing(store: SpendStore) -> Standing:
    return await store.standing(KEY)


def at(database: Database, instant: datetime) -> SpendStore:
    """Return the store as it is at an instant of the database's clock."""
    text = instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    is_sqlite = database.engine.dialect.name == "sqlite"
    return SpendStore(database, f"'{text}'" if is_sqlite else f"TIMESTAMPTZ '{text}+00'")


async def test_what_fits_is_set_aside_and_what_does_not_changes_nothing(database: Database) -> None:
    store = SpendStore(database)
    budget = Budget(day_nanousd=100)
    assert await store.reserve(new_id(), KEY, 60, budget, "journal")
    assert not await store.reserve(new_id(), KEY, 41, budget, "journal")
    assert await store.reserve(new_id(), KEY, 40, budget, "journal")
    now = await standing(store)
    assert (now.day_spent, now.day_held, now.month_held, now.total_held) == (0, 100, 100, 100)


@pytest.mark.parametrize(
    "budget",
    [Budget(day_nanousd=10), Budget(month_nanousd=10), Budget(total_nanousd=10), Budget(1000, 1000, 10)],
    ids=["of a day", "of a month", "of all time", "of all time, the others larger"],
)
async def test_each_limit_holds_from_the_first_request_on(database: Database, budget: Budget) -> None:
    store = SpendStore(database)
    assert not await store.reserve(new_id(), KEY, 11, budget, "journal")
    assert (await standing(store)).total_held == 0
    assert await store.reserve(new_id(), KEY, 10, budget, "journal")
    assert not await store.reserve(new_id(), KEY, 1, budget, "journal")


async def test_a_hold_is_settled_once_whoever_comes_again(database: Database) -> None:
    store, hold_id = SpendStore(database), new_id()
    assert await store.reserve(hold_id, KEY, 60, Budget(total_nanousd=100), "journal")
    assert await store.settle({hold_id: Charge(45)}) == 1
    assert await store.settle({hold_id: Charge(45)}) == 0
    now = await standing(store)
    assert (now.total_spent, now.total_held, now.day_spent, now.day_held) == (45, 0, 45, 0)


async def test_what_nobody_can_price_counts_as_what_was_set_aside(database: Database) -> None:
    store, hold_id = SpendStore(database), new_id()
    await store.reserve(hold_id, KEY, 60, Budget(total_nanousd=100), "journal")
    await store.settle({hold_id: Charge(45, unknown=True)})
    assert (await standing(store)).total_spent == 60


async def test_more_than_was_set_aside_is_charged_in_full(database: Database) -> None:
    store, hold_id = SpendStore(database), new_id()
    await store.reserve(hold_id, KEY, 60, Budget(total_nanousd=100), "journal")
    await store.settle({hold_id: Charge(145)})
    assert (await standing(store)).total_spent == 145
    assert not await store.reserve(new_id(), KEY, 0, Budget(total_nanousd=100), "journal")


async def test_a_hold_is_raised_where_there_is_room(database: Database) -> None:
    store, hold_id, budget = SpendStore(database), new_id(), Budget(total_nanousd=100)
    await store.reserve(hold_id, KEY, 60, budget, "journal")
    assert await store.raise_to(hold_id, 90, budget)
    assert await store.raise_to(hold_id, 80, budget), "less is no reason to do anything"
    assert not await store.raise_to(hold_id, 101, budget)
    assert (await standing(store)).total_held == 90
    await store.settle({hold_id: Charge(70)})
    now = await standing(store)
    assert (now.total_spent, now.total_held, now.month_spent, now.month_held) == (70, 0, 70, 0)
    assert await store.raise_to(hold_id, 80, budget), "what is settled is not refused any more"


async def test_a_sum_that_no_database_holds_is_refused(database: Database) -> None:
    store, hold_id = SpendStore(database), new_id()
    assert not await store.reserve(new_id(), KEY, 1 << 70, Budget(total_nanousd=1 << 61), "journal")
    assert await store.reserve(hold_id, KEY, 5, Budget(total_nanousd=1 << 61), "journal")
    assert not await store.raise_to(hold_id, 1 << 70, Budget(total_nanousd=1 << 61))


EDGES = [
    (datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC), True),
    (datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC), False),
    (datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC), True),
    (datetime(2027, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC), True),
    (datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC), True),
    (datetime(2027, 3, 28, 0, 59, 59, tzinfo=UTC), datetime(2027, 3, 28, 1, 0, 0, tzinfo=UTC), None),
]


@pytest.mark.parametrize(
    ("before", "after", "new_month"),
    EDGES,
    ids=["month's end", "leap day begins", "leap day ends", "no leap day", "year's end", "summer time is no edge"],
)
async def test_a_window_begins_anew_at_its_edge_and_holds_count_where_they_were_made(
    database: Database, before: datetime, after: datetime, new_month: bool | None
) -> None:
    budget = Budget(day_nanousd=100, month_nanousd=150, total_nanousd=1000)
    old, new = at(database, before), at(database, after)
    first, second = new_id(), new_id()
    assert await old.reserve(first, KEY, 100, budget, "journal")
    assert not await old.reserve(new_id(), KEY, 1, budget, "journal")
    if new_month is None:
        assert not await new.reserve(second, KEY, 1, budget, "journal")
        return
    assert await new.reserve(second, KEY, 50, budget, "journal")
    assert await new.reserve(new_id(), KEY, 50, budget, "journal") is new_month
    await new.settle({first: Charge(70), second: Charge(20)})
    now = await standing(new)
    left = 50 if new_month else 0
    assert (now.day, now.day_spent, now.day_held) == (after.date(), 20, left)
    assert (now.month_spent, now.month_held) == ((20, 50) if new_month else (90, 0))
    assert (now.total_spent, now.total_held) == (90, left)


async def test_a_window_never_goes_back_with_the_databases_clock(database: Database) -> None:
    budget = Budget(day_nanousd=100)
    noon = datetime(2027, 5, 2, 0, 0, 1, tzinfo=UTC)
    assert await at(database, noon).reserve(new_id(), KEY, 100, budget, "journal")
    late = at(database, noon - timedelta(seconds=2))
    assert not await late.reserve(new_id(), KEY, 1, budget, "journal")
    assert (await standing(late)).day == date(2027, 5, 2)


async def test_a_raised_hold_moves_into_the_windows_of_now(database: Database) -> None:
    budget, hold_id = Budget(day_nanousd=100, total_nanousd=1000), new_id()
    eve = datetime(2027, 6, 30, 23, 59, 59, tzinfo=UTC)
    await at(database, eve).reserve(hold_id, KEY, 60, budget, "journal")
    new = at(database, eve + timedelta(seconds=2))
    assert await new.raise_to(hold_id, 90, budget)
    assert not await new.reserve(new_id(), KEY, 11, budget, "journal")
    await new.settle({hold_id: Charge(80)})
    now = await standing(new)
    assert (now.day_spent, now.day_held, now.month_spent, now.total_spent) == (80, 0, 80, 80)


async def test_a_hold_that_nobody_settles_for_a_day_is_charged_in_full(database: Database) -> None:
    budget = Budget(total_nanousd=1000)
    began = datetime(2027, 5, 1, 12, tzinfo=UTC)
    await at(database, began).reserve(new_id(), KEY, 60, budget, "lost")
    await at(database, began + timedelta(hours=2)).reserve(new_id(), KEY, 7, budget, "alive")
    later = at(database, began + timedelta(hours=24, seconds=1))
    assert await later.charge_lost() == 1
    assert await later.charge_lost() == 0
    now = await standing(later)
    assert (now.total_spent, now.total_held) == (60, 7)


async def test_the_holds_of_a_journal_are_settled_by_its_rows(database: Database) -> None:
    store, budget = SpendStore(database), Budget(total_nanousd=1000)
    sent_twice, unsent, unpriced, others = (new_id() for _ in range(4))
    for hold_id in (sent_twice, unsent, unpriced):
        await store.reserve(hold_id, KEY, 100, budget, "dead")
    await store.reserve(others, KEY, 100, budget, "alive")
    rows = ((sent_twice, 30), (sent_twice, 12), (unpriced, None), (others, 50))
    entries = [
        an_entry(timedelta(seconds=number), hold_id=hold_id, cost_nanousd=cost)
        for number, (hold_id, cost) in enumerate(rows)
    ]
    usage = UsageStore(database)
    await usage.insert_attempts(entries)
    await usage.forget_journal("dead")
    await usage.forget_journal("dead")
    now = await standing(store)
    assert (now.total_spent, now.total_held) == (42 + 100, 100)


@pytest.mark.parametrize("workers", [64])
async def test_as_many_as_fit_are_admitted_whoever_comes_first(
    database: Database, other_database: Database, workers: int
) -> None:
    stores, budget = [SpendStore(database), SpendStore(other_database)], Budget(day_nanousd=500)
    admitted = 0

    async def worker(store: SpendStore) -> None:
        nonlocal admitted
        for _ in range(3):
            is_admitted = await store.reserve(new_id(), KEY, 5, budget, "journal")
            admitted += is_admitted

    await asyncio.gather(*(worker(stores[number % 2]) for number in range(workers)))
    assert admitted == 100
    async with database.engine.connect() as connection:
        assert len((await connection.execute(budget_holds.select())).all()) == 100
        assert len((await connection.execute(key_spend.select())).all()) == 1
