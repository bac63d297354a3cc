import asyncio
from datetime import timedelta

from gateway.store.database import Database
from gateway.store.leases import LeaseStore
from tests.store.rows import START

NAME = "record:reply"
LATER = START + timedelta(seconds=60)


async def test_a_lease_is_one_holder_s_until_it_is_given_back(database: Database) -> None:
    store = LeaseStore(database)
    assert await store.take(NAME, "a", START, 60) is None
    assert await store.take(NAME, "b", LATER - timedelta(seconds=1), 60) == "a"
    assert await store.take(NAME, "a", START, 60) == "a", "nobody takes it twice"
    assert await store.take("record:triage", "b", START, 60) is None, "another name is another lease"
    await store.release(NAME, "b")
    assert await store.take(NAME, "b", START, 60) == "a", "nobody gives back another's"
    await store.release(NAME, "a")
    assert await store.take(NAME, "b", START, 60) is None


async def test_a_lease_whose_time_is_over_is_free_and_a_renewed_one_is_not(database: Database) -> None:
    store = LeaseStore(database)
    assert await store.take(NAME, "a", START, 60) is None
    assert await store.renew(NAME, "a", START + timedelta(seconds=20), 60)
    assert await store.take(NAME, "b", LATER, 60) == "a"
    assert await store.take(NAME, "b", LATER + timedelta(seconds=20), 60) is None
    assert not await store.renew(NAME, "a", LATER + timedelta(seconds=20), 60)
    await store.release(NAME, "a")
    assert await store.take(NAME, "c", LATER + timedelta(seconds=20), 60) == "b"


async def test_a_lease_that_ran_out_is_renewed_where_nobody_took_it(database: Database) -> None:
    store = LeaseStore(database)
    assert await store.take(NAME, "a", START, 60) is None
    assert await store.renew(NAME, "a", LATER + timedelta(hours=1), 60)
    assert await store.take(NAME, "b", LATER + timedelta(hours=1), 60) == "a"


async def test_of_many_that_take_it_at_the_same_time_one_gets_it(database: Database, other_database: Database) -> None:
    stores = (LeaseStore(database), LeaseStore(other_database))
    assert await stores[0].take(NAME, "gone", START, 60) is None
    tries = (stores[n % 2].take(NAME, f"holder {n}", LATER, 60) for n in range(16))
    found = await asyncio.gather(*tries)
    winner = f"holder {found.index(None)}"
    assert sorted(other or "" for other in found) == sorted(["", *[winner] * 15])
