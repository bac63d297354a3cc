"""What pages read from the database is read beside the gateway's loop, once for all who look, and ends in time."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fake_clock import FakeClock

from gateway.api.pages import data
from gateway.api.pages.data import AWAY_S, FRESH_S, PageData
from gateway.store.database import Database, DatabaseUnavailable


class Asked:
    """Counts how often, and in which threads, something is asked."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    async def __call__(self, database: Database) -> int:
        self.threads.append(threading.current_thread().name)
        await asyncio.sleep(0)
        assert await database.is_current()
        return len(self.threads)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def pages(tmp_path: Path, empty_ledger: Path, clock: FakeClock) -> AsyncIterator[PageData]:
    shutil.copy(empty_ledger, tmp_path / "ledger.db")
    opened = PageData(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    yield opened
    opened.close()


async def test_all_who_look_share_one_reading_for_ten_seconds(pages: PageData, clock: FakeClock) -> None:
    asked = Asked()
    assert await asyncio.gather(*(pages.read("key", asked) for _ in range(5))) == [1] * 5
    clock.advance(FRESH_S - 0.1)
    assert await pages.read("key", asked) == 1
    assert await pages.read("another", asked) == 2
    clock.advance(0.2)
    assert await pages.read("key", asked) == 3
    assert await pages.ask(asked) == 4, "what must not be a moment old"
    assert all(name.startswith("pages") for name in asked.threads), "never in the gateway's own thread"


async def test_who_leaves_takes_the_answer_from_nobody(pages: PageData) -> None:
    begun, release = threading.Event(), threading.Event()

    async def slow(database: Database) -> str:
        begun.set()
        await asyncio.to_thread(release.wait, 5)
        return "there"

    leaving = asyncio.create_task(pages.read("key", slow))
    staying = asyncio.create_task(pages.read("key", slow))
    await asyncio.to_thread(begun.wait, 5)
    leaving.cancel()
    release.set()
    assert await staying == "there"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_database_that_is_away_is_asked_again_after_two_seconds(
    tmp_path: Path, empty_ledger: Path, clock: FakeClock
) -> None:
    pages, asked = PageData(f"sqlite:///{tmp_path / 'later.db'}", clock), Asked()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match=r"nothing was kept in .*later\.db yet"):
            await pages.read("key", asked)
    shutil.copy(empty_ledger, tmp_path / "later.db")
    with pytest.raises(DatabaseUnavailable):
        await pages.read("key", asked)
    clock.advance(AWAY_S)
    assert await pages.read("key", asked) == 1
    pages.close()


async def test_a_database_that_hangs_is_given_up(pages: PageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "READ_S", 0.05)

    async def hangs(database: Database) -> None:
        await asyncio.Event().wait()

    with pytest.raises(DatabaseUnavailable, match="did not answer within"):
        await pages.read("key", hangs)


async def test_questions_without_end_are_not_kept_without_end(
    pages: PageData, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "MOST_KEPT", 5)

    async def nothing(database: Database) -> None:
        return None

    for number in range(data.MOST_KEPT + 2):
        if number == data.MOST_KEPT:
            clock.advance(FRESH_S)
        await pages.read(number, nothing)
    assert len(pages._kept) <= 2
