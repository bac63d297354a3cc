import asyncio
from pathlib import Path

import pytest
from ledger_bench import until
from migrated_database import migrated
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.ledger.store_opener import LEDGER, Opened, StoreOpener, journal_root
from gateway.store.database import Database
from gateway.store.usage import UsageStore
from tests.fake_clock import FakeClock
from tests.store.rows import an_entry

Served = set[tuple[str, str]]


class SleepingClock(FakeClock):
    """Remembers the pauses between attempts to open, not the writer's own."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name() == "ledger-open":
            self.slept.append(seconds)
        await super().sleep(seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "gateway.db"


def remembering(remembered: list[Served]) -> Opened:
    async def opened(database: Database, usage: UsageStore) -> None:
        remembered.append(set(await usage.served_targets()))

    return opened


async def stored(path: Path) -> Served:
    database = await Database.open(f"sqlite:///{path}")
    served = set(await UsageStore(database).served_targets())
    await database.close()
    return served


async def test_a_new_database_is_made_behind_the_first_requests(path: Path) -> None:
    store, waiting_for, remembered = StoreOpener(f"sqlite:///{path}", SystemClock()), dict[str, str](), list[Served]()
    store.start(waiting_for, remembering(remembered))
    assert "being opened" in waiting_for[LEDGER], "not ready before it is"
    store.journal.settle(an_entry())
    await until(lambda: not waiting_for)
    assert remembered == [set()]
    await store.close(10)
    assert (store.figures().queued, store.figures().written, store.figures().dropped) == (0, 1, 0)
    assert len(await stored(path)) == 1
    assert list(path.with_suffix(".journal").iterdir()) == [], "what the database has, no journal keeps"


async def test_whom_the_ledger_knows_to_have_answered_is_remembered(path: Path) -> None:
    await asyncio.to_thread(migrated, f"sqlite:///{path}")
    database = await Database.open(f"sqlite:///{path}")
    await UsageStore(database).insert_attempts([an_entry()])
    await database.close()
    store, waiting_for, remembered = StoreOpener(f"sqlite:///{path}", SystemClock()), dict[str, str](), list[Served]()
    store.start(waiting_for, remembering(remembered))
    await until(lambda: not waiting_for)
    await store.close(10)
    assert remembered == [{(an_entry().provider, an_entry().model_asked)}]


async def test_a_database_that_is_away_is_tried_again_at_growing_pauses_and_nothing_is_lost(
    path: Path, tmp_path: Path
) -> None:
    path.parent.write_text("a file where the directory should be")
    clock, waiting_for, remembered = SleepingClock(), dict[str, str](), list[Served]()
    store = StoreOpener(f"sqlite:///{path}", clock, tmp_path / "journals")
    store.start(waiting_for, remembering(remembered))
    store.journal.settle(an_entry())
    for pauses in range(1, 8):
        await until(lambda expected=pauses: len(clock.slept) == expected)
        assert str(path) in waiting_for[LEDGER], "whoever asks why it is not ready is told"
        if pauses == 7:
            path.parent.unlink()
        clock.advance(clock.slept[-1])
    await until(lambda: not waiting_for)
    assert clock.slept == [0.5, 1, 2, 2, 2, 2, 2]
    assert remembered == [set()]
    await until(lambda: store.figures().written or clock.advance(0.2))
    await store.close(10)
    assert (store.figures().written, store.figures().dropped) == (1, 0)
    assert len(await stored(path)) == 1


async def test_what_goes_wrong_otherwise_is_told_and_tried_again(path: Path) -> None:
    clock, waiting_for = SleepingClock(), dict[str, str]()
    store = StoreOpener(f"sqlite:///{path}", clock)
    answers: list[Served] = []

    async def fails_once(database: Database, usage: UsageStore) -> None:
        answers.append(set(await usage.served_targets()))
        if len(answers) == 1:
            raise RuntimeError("out of luck")

    store.start(waiting_for, fails_once)
    await until(lambda: clock.slept)
    assert waiting_for[LEDGER] == "ledger: RuntimeError: out of luck"
    clock.advance(0.5)
    await until(lambda: not waiting_for)
    assert len(answers) == 2
    await store.close(10)


async def test_closing_before_it_was_ever_open_leaves_the_rows_to_the_next_start(path: Path, tmp_path: Path) -> None:
    path.parent.write_text("a file where the directory should be")
    clock, root = SleepingClock(), tmp_path / "journals"
    store = StoreOpener(f"sqlite:///{path}", clock, root)
    store.start({}, remembering([]))
    store.journal.settle(an_entry())
    await until(lambda: clock.slept)
    with capture_logs() as logged:
        closing = asyncio.create_task(store.close(5))
        await until(lambda: closing.done() or clock.advance(1))
    assert (store.figures().written, store.figures().dropped) == (0, 0)
    left = [line for line in logged if line["event"] == "ledger_journal_left"]
    assert [(line["rows"], line["directory"]) for line in left] == [(1, str(store.journal.directory))]
    assert left[0]["bytes"] > 100
    path.parent.unlink()
    following = StoreOpener(f"sqlite:///{path}", SystemClock(), root)
    following.start({}, remembering([]))
    await until(lambda: not store.journal.directory.exists())
    assert following.figures().written == 1
    await following.close(10)
    assert len(await stored(path)) == 1
    assert list(root.iterdir()) == []


async def test_a_start_that_fails_before_anything_was_written_leaves_nothing_behind(path: Path) -> None:
    store = StoreOpener(f"sqlite:///{path}", FakeClock())
    await store.close(10)
    assert list(path.with_suffix(".journal").iterdir()) == []


def test_a_journal_that_cannot_be_written_is_refused_at_once(path: Path) -> None:
    path.parent.write_text("a file where the directory should be")
    with pytest.raises(ConfigError, match="GATEWAY_JOURNAL_DIR"):
        StoreOpener(f"sqlite:///{path}", FakeClock())


@pytest.mark.parametrize(
    ("url", "root"),
    [
        pytest.param("sqlite:////var/lib/understudy/gateway.db", "/var/lib/understudy/gateway.journal", id="SQLite"),
        pytest.param("sqlite:////var/lib/gateway.journal", "/var/lib/gateway.journal.journal", id="SQLite's own name"),
        pytest.param(
            "postgresql://u:s3cret@db.example/ledger", "state/ledger-34dd9918.journal", id="PostgreSQL, by its address"
        ),
        pytest.param(
            "postgres://u:another@db.example/ledger", "state/ledger-34dd9918.journal", id="whatever its password"
        ),
        pytest.param(
            "postgresql://u@db.example/le%2Fdger", "state/le_dger-239fe354.journal", id="a name that is no file's"
        ),
    ],
)
def test_where_the_journal_is_kept(url: str, root: str, tmp_path: Path) -> None:
    assert journal_root(url, None) == Path(root)
    assert journal_root(url, tmp_path) == tmp_path


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mysql://user:s3cret@host/ledger", id="a database that we do not know"),
        pytest.param("state/s3cret.db", id="no URL"),
        pytest.param("sqlite://", id="SQLite in memory"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_url_that_no_ledger_can_be_kept_at_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_DATABASE_URL") as raised:
        StoreOpener(url, FakeClock())
    assert "s3cret" not in str(raised.value)
