import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from ledger_bench import Sink, until
from migrated_database import migrated

from gateway.ledger.retention import BREATH_S, EVERY_S, FIRST_AFTER_S, SLICE_ROWS, Retention
from gateway.store.database import Database
from gateway.store.usage import UsageStore
from tests.fake_clock import FakeClock
from tests.store.rows import START, an_entry

DAYS = 30


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START + timedelta(days=DAYS))


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def running(sink: Sink, clock: FakeClock) -> AsyncIterator[None]:
    task = asyncio.create_task(Retention(lambda: sink, lambda: DAYS, clock).run())
    await until(lambda: clock.sleepers)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def slept(clock: FakeClock, seconds: float) -> None:
    clock.advance(seconds)
    await until(lambda: clock.sleepers)


def aged(seconds: float, count: int = 1) -> dict[str, object]:
    rows = [an_entry(timedelta(seconds=seconds)) for _ in range(count)]
    return {row.attempt_id: row for row in rows}


@pytest.mark.usefixtures("running")
async def test_a_minute_after_the_start_and_then_every_hour_what_is_too_old_goes(sink: Sink, clock: FakeClock) -> None:
    old, young = aged(-1), aged(FIRST_AFTER_S + 60)
    sink.known = {**old, **young}  # type: ignore[dict-item]
    await slept(clock, FIRST_AFTER_S - 1)
    assert sink.calls == 0
    await slept(clock, 1)
    assert sink.known.keys() == young.keys()
    await slept(clock, EVERY_S)
    assert sink.known == {}


@pytest.mark.usefixtures("running")
async def test_it_deletes_in_slices_between_which_others_have_their_turn(sink: Sink, clock: FakeClock) -> None:
    sink.known = aged(-1, SLICE_ROWS + 1)  # type: ignore[assignment]
    await slept(clock, FIRST_AFTER_S)
    assert len(sink.known) == 1
    await slept(clock, BREATH_S)
    assert sink.known == {}


@pytest.mark.usefixtures("running")
async def test_a_database_that_is_away_is_asked_again_in_an_hour(sink: Sink, clock: FakeClock) -> None:
    sink.known = aged(-1)  # type: ignore[assignment]
    sink.available = False
    await slept(clock, FIRST_AFTER_S)
    assert len(sink.known) == 1
    sink.available = True
    await slept(clock, EVERY_S)
    assert sink.known == {}


async def test_two_that_delete_at_once_leave_exactly_what_is_to_be_kept(tmp_path: Path, clock: FakeClock) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    await asyncio.to_thread(migrated, url)
    database, other = await Database.open(url), await Database.open(url)
    old = [an_entry(timedelta(hours=-1), request_id="old") for _ in range(20)]
    young = [an_entry(timedelta(hours=1), request_id="young") for _ in range(3)]
    await UsageStore(database).insert_attempts([*old, *young])
    both = [Retention(partial(UsageStore, of), lambda: DAYS, clock) for of in (database, other)]
    deleted = await asyncio.gather(*(retention.delete() for retention in both))
    left = await UsageStore(database).attempts()
    await database.close()
    await other.close()
    assert sum(deleted) == 20
    assert [row["request_id"] for row in left] == ["young"] * 3
