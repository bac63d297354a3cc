import asyncio
import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from fake_clock import FakeClock
from migrated_database import migrated

from gateway.errors import ConfigError
from gateway.learning.lease import LASTS_S, held
from gateway.store.database import Database
from gateway.store.leases import LeaseStore

NAME = "record:forum-reply"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    await asyncio.to_thread(migrated, url)
    opened = await Database.open(url)
    yield opened
    await opened.close()


async def settled(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.001)


async def test_the_second_is_told_who_is_at_work_and_what_to_do(database: Database) -> None:
    clock = FakeClock()
    async with held(database, clock, NAME):
        with pytest.raises(ConfigError) as refused:
            async with held(database, clock, NAME):
                pytest.fail("two are at work")
        async with held(database, clock, "evaluate:forum-reply"):
            pass
    assert str(refused.value).startswith(
        f"another `gateway record forum-reply` is at work (by process {os.getpid()} on "
    )
    assert str(refused.value).endswith("since 2026-11-23 12:00:00 UTC); wait for it, or after a crash up to a minute")
    async with held(database, clock, NAME):
        pass


async def test_a_failure_within_gives_it_back(database: Database) -> None:
    clock = FakeClock()
    with pytest.raises(ZeroDivisionError):
        async with held(database, clock, NAME):
            raise ZeroDivisionError
    async with held(database, clock, NAME):
        pass


async def test_it_is_renewed_behind_the_work_however_long_that_takes(database: Database) -> None:
    clock = FakeClock()
    async with held(database, clock, NAME):
        for _ in range(12):
            await settled(lambda: clock.sleepers == 1)
            clock.advance(LASTS_S / 3)
        await settled(lambda: clock.sleepers == 1)
        with pytest.raises(ConfigError, match="is at work"):
            async with held(database, clock, NAME):
                pytest.fail("two are at work")


async def test_work_whose_lease_another_took_is_ended(database: Database) -> None:
    clock, others = FakeClock(), LeaseStore(database)

    async def work() -> None:
        async with held(database, clock, NAME):
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await settled(lambda: clock.sleepers == 1)
    assert await others.take(NAME, "other", clock.now() + timedelta(seconds=61), 60) is None
    clock.advance(LASTS_S / 3)
    async with asyncio.timeout(10):
        with pytest.raises(ConfigError, match="another `gateway record forum-reply` has begun"):
            await working
    assert await others.take(NAME, "third", clock.now(), 60) == "other"


async def test_whoever_stood_still_makes_sure_before_going_on(database: Database) -> None:
    clock = FakeClock()
    async with held(database, clock, NAME) as lease:
        await lease.renew()
        assert await LeaseStore(database).take(NAME, "other", clock.now() + timedelta(seconds=61), 60) is None
        with pytest.raises(ConfigError, match="has begun"):
            await lease.renew()
