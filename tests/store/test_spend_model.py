"""Whatever happens to keys with budgets, in whatever order: the store agrees with a model, sum by sum."""

import os
import random
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from spend_model import STEPS, Model, budget_of
from sqlalchemy import text

from gateway.store.database import Database
from gateway.store.migrate import migrate
from gateway.store.settling import Charge
from gateway.store.spend import SpendStore

SEEDS = 10_000 if os.environ.get("UNDERSTUDY_SOAK") else 10
ACTS = 25
KEYS = ("one", "two")


@pytest.fixture
def migrated(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/model.db"
    migrate(url)
    return url


@pytest.fixture
async def quick_database(migrated: str) -> AsyncIterator[Database]:
    database = await Database.open(migrated)
    yield database
    await database.close()


@pytest.mark.timeout(3600 if SEEDS > 1000 else 120)
async def test_the_store_agrees_with_a_model_whatever_happens(quick_database: Database) -> None:
    admitted = refused = 0
    for seed in range(SEEDS):
        async with quick_database.engine.begin() as connection:
            await connection.execute(text("DELETE FROM key_spend"))
            await connection.execute(text("DELETE FROM budget_holds"))
        chance, model = random.Random(seed), Model()
        ids: list[str] = []
        for act in range(ACTS):
            model.now += chance.choice(STEPS) * (chance.random() < 0.3)
            store = SpendStore(quick_database, f"'{model.now:%Y-%m-%d %H:%M:%S}'")
            key, budget, amount = chance.choice(KEYS), budget_of(chance), chance.randint(0, 40)
            what = chance.choice(("reserve", "reserve", "reserve", "settle", "settle", "raise", "lost"))
            if what == "reserve" or not ids:
                ids.append(str(uuid.UUID(int=chance.getrandbits(128))))
                ours = model.reserve(ids[-1], key, amount, budget)
                assert await store.reserve(ids[-1], key, amount, budget, "journal") is ours, (seed, act)
                admitted, refused = admitted + ours, refused + (not ours)
            elif what == "settle":
                hold_id, unknown = chance.choice(ids), chance.random() < 0.2
                theirs = await store.settle({hold_id: Charge(amount, unknown)})
                assert theirs == model.settle(hold_id, amount, unknown=unknown), (seed, act)
            elif what == "raise":
                hold_id = chance.choice(ids)
                theirs = await store.raise_to(hold_id, amount, budget)
                assert theirs is model.raise_to(hold_id, amount, budget), (seed, act)
            else:
                assert await store.charge_lost() == model.charge_lost(), (seed, act)
            for name, standing in (await store.standings(KEYS)).items():
                found = (standing.day_spent, standing.day_held, standing.month_spent, standing.month_held)
                assert (*found, standing.total_spent, standing.total_held) == model.sums(name), (seed, act, what)
    assert min(admitted, refused) > SEEDS, "too little was refused, or admitted, to show anything"
