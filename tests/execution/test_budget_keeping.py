"""One replica's budgets: what waits, what is given up, and what is never left behind."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from fake_clock import FakeClock
from migrated_database import migrated
from postgres_server import RunningPostgres
from sqlalchemy import text

from gateway.config.callers import Budget, Caller
from gateway.config.routes_ledger import Ledger
from gateway.errors import BudgetExceeded, BudgetUnverifiable
from gateway.execution.budgets import MOST_WAITING, DatabaseBudgets
from gateway.ledger.journal import Journal
from gateway.store.database import Database
from gateway.store.settling import Charge
from gateway.store.spend import SpendStore
from gateway.store.standings import Standing

SHOP = Caller("key_shop", "shop", budget=Budget(total_nanousd=100))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("budgets") / "empty.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def file(template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    path.write_bytes(template.read_bytes())
    return path


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SpendStore]:
    database = await Database.open(f"sqlite:///{file}")
    yield SpendStore(database)
    await database.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "journals", database="test", clock=FakeClock(), ledger=Ledger())
    yield opened
    opened.close(empty=True)


@pytest.fixture
async def budgets(store: SpendStore, journal: Journal) -> AsyncIterator[DatabaseBudgets]:
    kept = DatabaseBudgets(lambda: store, journal, FakeClock())
    running = asyncio.create_task(kept.run())
    yield kept
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def settled(store: SpendStore, held: int = 0) -> Standing:
    deadline = asyncio.get_running_loop().time() + 10
    while (now := await store.standing(SHOP.id)).total_held != held:
        assert asyncio.get_running_loop().time() < deadline, f"still held: {now}"
        await asyncio.sleep(0.01)
    return now


async def test_what_is_over_makes_room_for_who_comes_next(budgets: DatabaseBudgets, store: SpendStore) -> None:
    for _ in range(6):
        hold_id = await budgets.reserve(SHOP, 90)
        budgets.settle(hold_id, SHOP, Charge(2))
    assert (await settled(store)).total_spent == 12
    # The database is a moment ahead of what this process knows.
    deadline = asyncio.get_running_loop().time() + 10
    while budgets.holds:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_a_request_waits_for_what_another_replica_holds_but_not_for_long(
    budgets: DatabaseBudgets, store: SpendStore
) -> None:
    elsewhere = "0" * 32
    await store.reserve(elsewhere, SHOP.id, 90, SHOP.budget, "another journal")
    began = asyncio.get_running_loop().time()
    with pytest.raises(BudgetExceeded, match="set aside for requests under way"):
        await budgets.reserve(SHOP, 50)
    assert asyncio.get_running_loop().time() - began >= 0.4
    waiting = asyncio.create_task(budgets.reserve(SHOP, 50))
    await asyncio.sleep(0)
    await store.settle({elsewhere: Charge(10)})
    await waiting


async def test_what_can_never_fit_is_refused_at_once(budgets: DatabaseBudgets, store: SpendStore) -> None:
    await store.reserve("0" * 32, SHOP.id, 90, SHOP.budget, "another journal")
    began = asyncio.get_running_loop().time()
    for nanousd in (101, 1 << 80):
        with pytest.raises(BudgetExceeded):
            await budgets.reserve(SHOP, nanousd)
    assert asyncio.get_running_loop().time() - began < 0.4


@pytest.mark.parametrize("turns", range(8))
async def test_a_caller_who_leaves_while_money_is_set_aside_leaves_nothing_behind(
    budgets: DatabaseBudgets, store: SpendStore, turns: int
) -> None:
    asking = [asyncio.create_task(budgets.reserve(SHOP, 30)) for _ in range(3)]
    for _ in range(turns * turns):
        await asyncio.sleep(0)
    for task in asking:
        task.cancel()
    left = await asyncio.gather(*asking, return_exceptions=True)
    for hold_id in left:
        if isinstance(hold_id, str):
            budgets.settle(hold_id, SHOP, Charge(0))
    await budgets.close(10)
    assert (await settled(store)).total_spent == 0
    assert budgets.holds == 0


async def test_without_a_database_nothing_is_set_aside_and_nothing_waits(journal: Journal) -> None:
    budgets = DatabaseBudgets(lambda: None, journal, FakeClock())
    for _ in range(100):
        with pytest.raises(BudgetUnverifiable) as refused:
            await budgets.reserve(SHOP, 1)
    assert refused.value.headers["retry-after"] == "5"
    assert not journal.has_holds
    await budgets.close(0.1)


async def test_a_database_that_is_held_gets_what_is_over_when_it_is_free(
    budgets: DatabaseBudgets, store: SpendStore, file: Path, journal: Journal
) -> None:
    hold_id = await budgets.reserve(SHOP, 30)
    assert journal.has_holds
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        budgets.settle(hold_id, SHOP, Charge(7))
        await asyncio.sleep(0.1)
        assert (await store.standing(SHOP.id)).total_held == 30
        other.execute("ROLLBACK")
    assert (await settled(store)).total_spent == 7


async def test_closing_settles_what_waits(store: SpendStore, journal: Journal) -> None:
    budgets = DatabaseBudgets(lambda: store, journal, FakeClock())
    budgets.settle(await budgets.reserve(SHOP, 30), SHOP, Charge(7))
    await budgets.close(10)
    assert (await store.standing(SHOP.id)).total_spent == 7


async def test_what_waits_is_bounded(store: SpendStore, journal: Journal) -> None:
    budgets = DatabaseBudgets(lambda: store, journal, FakeClock())
    for number in range(MOST_WAITING):
        budgets.settle(f"{number:032x}", SHOP, Charge(0))
    with pytest.raises(BudgetUnverifiable):
        await budgets.reserve(SHOP, 1)


async def test_a_connection_that_breaks_while_money_is_set_aside_leaves_nothing_behind(
    postgres: RunningPostgres, journal: Journal
) -> None:
    database = await Database.open(await asyncio.to_thread(postgres.migrated_database))
    store = SpendStore(database)
    budgets = DatabaseBudgets(lambda: store, journal, FakeClock())
    budgets.settle(await budgets.reserve(SHOP, 30), SHOP, Charge(1))
    await budgets.close(10)
    async with database.engine.connect() as other:
        await other.execute(text("SELECT * FROM key_spend FOR UPDATE"))
        asking = asyncio.create_task(budgets.reserve(SHOP, 30))
        end = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'WITH taken%'")
        async with database.engine.connect() as third:
            ended: Sequence[object] = ()
            while not ended and not asking.done():
                ended = (await third.execute(end)).all()
                # Within one transaction the server would show the same again and again.
                await third.rollback()
                await asyncio.sleep(0.01)
        assert ended
        with pytest.raises(BudgetUnverifiable):
            await asking
        await other.rollback()
    await budgets.close(10)
    assert (await settled(store)).total_spent == 1
    await database.close()
