from datetime import timedelta

import pytest

from gateway.policy.traffic import Limits
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.limits import LimitStore
from tests.store.rows import START

HOUR = timedelta(hours=1)
LUNA = ("openai", "gpt-6-luna")


async def test_what_is_kept_comes_back(database: Database) -> None:
    store = LimitStore(database)
    assert await store.all() == {}
    await store.save([(*LUNA, 10_000, 2_000_000, START), ("groq", "llama", None, 12_000, START)])
    assert await store.all() == {
        LUNA: Limits(10_000, 2_000_000, START),
        ("groq", "llama"): Limits(None, 12_000, START),
    }


async def test_a_later_answer_replaces_an_earlier_one_whichever_is_written_last(database: Database) -> None:
    store = LimitStore(database)
    await store.save([(*LUNA, 500, 30_000, START)])
    await store.save([(*LUNA, 10_000, None, START + HOUR)])
    await store.save([(*LUNA, 500, 30_000, START + HOUR / 2)])
    assert await store.all() == {LUNA: Limits(10_000, None, START + HOUR)}


async def test_saving_nothing_needs_no_database(database: Database) -> None:
    await database.close()
    await LimitStore(database).save([])


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_database_that_is_away_is_said_so(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE rate_limits")
    with pytest.raises(DatabaseUnavailable):
        await LimitStore(database).save([(*LUNA, 1, 1, START)])
