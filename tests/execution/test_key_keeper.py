"""Keys that come and go, on a real database, with replicas side by side."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fake_clock import FakeClock
from migrated_database import migrated
from structlog.testing import capture_logs

from gateway.config.callers import Caller, DeclaredKey
from gateway.execution.key_file import KeyFile
from gateway.execution.key_keeper import KEYS, POLL_S, KeyKeeper
from gateway.execution.key_ring import KeyRing
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.keys import KeyStore

PEPPER = b"p" * 32
FORUM, BATCH = Caller("key_aaaaaaaa", "forum-app"), Caller("key_bbbbbbbb", "batch")


class Replica:
    """One replica's ring and keeper; its database can be away."""

    def __init__(self, directory: Path, clock: FakeClock, database: Database | None, pepper: bytes = PEPPER) -> None:
        directory.mkdir(exist_ok=True)
        self.ring = KeyRing("env", "admin", pepper=pepper)
        self.waiting_for: dict[str, str] = {}
        self.store = KeyStore(database, clock) if database is not None else None
        self.file = KeyFile(directory, self.ring.secret_for("kept keys"))
        self.keeper = KeyKeeper(self.ring, self.file, lambda: self.store, clock, lambda: self.waiting_for)

    def names(self, *keys: str) -> list[str | None]:
        found = [self.ring.find(key.encode()) for key in keys]
        return [caller.name if caller is not None else None for caller in found]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def database(empty: Path, tmp_path: Path) -> AsyncIterator[Database]:
    path = shutil.copy(empty, tmp_path / "gateway.db")
    opened = await Database.open(f"sqlite:///{path}")
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "empty.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def one(tmp_path: Path, clock: FakeClock, database: Database) -> Replica:
    return Replica(tmp_path / "one", clock, database)


@pytest.fixture
def two(tmp_path: Path, clock: FakeClock, database: Database) -> Replica:
    return Replica(tmp_path / "two", clock, database)


async def create(replica: Replica, caller: Caller, key: str) -> None:
    assert replica.store is not None
    digest = replica.ring.digest(key.encode()).hex()
    await replica.store.create(caller, digest, by="admin", through="api")


async def test_a_key_counts_at_once_where_it_was_made_and_elsewhere_with_the_next_poll(
    one: Replica, two: Replica
) -> None:
    await two.keeper.poll()
    await create(one, FORUM, "k1")
    assert one.names("k1") == [None]
    await one.keeper.refresh()
    assert one.names("k1", "env", "admin") == ["forum-app", "default", "admin"]
    assert two.names("k1") == [None]
    await two.keeper.poll()
    assert two.names("k1") == ["forum-app"]


async def test_a_revoked_key_ends_within_a_poll_on_every_replica(one: Replica, two: Replica, clock: FakeClock) -> None:
    await create(one, FORUM, "k1")
    await create(one, BATCH, "k2")
    running = asyncio.create_task(two.keeper.run())
    try:
        await _until(lambda: two.names("k1", "k2") == ["forum-app", "batch"])
        assert one.store is not None
        await one.store.revoke(FORUM.id, by="admin", through="api")
        await one.keeper.refresh()
        assert one.names("k1", "k2") == [None, "batch"]
        await _until(lambda: clock.sleepers == 1)
        clock.advance(POLL_S)
        await _until(lambda: two.names("k1", "k2") == [None, "batch"])
    finally:
        running.cancel()
    assert POLL_S <= 5


async def test_a_rotated_key_opens_by_both_until_its_grace_is_over(one: Replica, clock: FakeClock) -> None:
    await create(one, FORUM, "old")
    assert one.store is not None
    grace = timedelta(hours=1)
    await one.store.rotate(FORUM.id, one.ring.digest(b"new").hex(), grace=grace, by="admin", through="api")
    await one.keeper.refresh()
    old, new = one.ring.find(b"old"), one.ring.find(b"new")
    assert new == FORUM
    assert old == replace(FORUM, expires_at=clock.now() + grace), "from then on the guard refuses it"


async def test_a_rotation_does_not_lengthen_a_key_that_expires(one: Replica, clock: FakeClock) -> None:
    ends = clock.now() + timedelta(minutes=5)
    await create(one, replace(FORUM, expires_at=ends), "old")
    assert one.store is not None
    grace = timedelta(hours=1)
    await one.store.rotate(FORUM.id, one.ring.digest(b"new").hex(), grace=grace, by="admin", through="api")
    await one.keeper.refresh()
    for key in (b"old", b"new"):
        found = one.ring.find(key)
        assert found is not None
        assert found.expires_at == ends


async def test_one_change_among_many_keys_reads_one_row(one: Replica) -> None:
    for n in range(6):
        await create(one, Caller(f"key_{n:08}", f"app-{n}"), f"k{n}")
    await one.keeper.refresh()
    assert one.store is not None
    version = await one.store.version()
    await one.store.revoke("key_00000003", by="admin", through="api")
    assert [row.caller.name for row in await one.store.changed(version)] == ["app-3"]
    await one.keeper.refresh()
    assert one.names(*(f"k{n}" for n in range(6))) == ["app-0", "app-1", "app-2", None, "app-4", "app-5"]


async def test_a_database_that_was_set_back_is_read_anew(
    one: Replica, empty: Path, tmp_path: Path, clock: FakeClock
) -> None:
    await create(one, FORUM, "k1")
    await create(one, BATCH, "k2")
    await one.keeper.refresh()
    database = await Database.open(f"sqlite:///{shutil.copy(empty, tmp_path / 'older.db')}")
    try:
        one.store = KeyStore(database, clock)
        await create(one, BATCH, "k2")
        await one.keeper.refresh()
        assert one.names("k1", "k2") == [None, "batch"]
    finally:
        await database.close()


# Starting.


async def test_with_the_database_away_the_keys_are_those_that_were_kept(
    one: Replica, tmp_path: Path, clock: FakeClock
) -> None:
    await create(one, FORUM, "k1")
    await create(one, BATCH, "k2")
    await one.keeper.poll()

    again = Replica(tmp_path / "one", clock, None)
    await again.keeper.take_kept()
    await again.keeper.poll()

    assert again.names("k1", "k2", "env", "k3") == ["forum-app", "batch", "default", None]
    assert again.waiting_for == {}
    assert not again.ring.knows_all, "a key that was made since may be right"
    with pytest.raises(DatabaseUnavailable):
        await again.keeper.refresh()

    again.store = one.store
    await create(one, Caller("key_cccccccc", "new"), "k3")
    await again.keeper.poll()
    assert again.names("k3") == ["new"]
    assert again.ring.knows_all


async def test_without_anything_kept_a_replica_is_not_ready_until_the_database_is_there(
    one: Replica, tmp_path: Path, clock: FakeClock
) -> None:
    fresh = Replica(tmp_path / "fresh", clock, None)
    await fresh.keeper.take_kept()
    assert KEYS in fresh.waiting_for
    assert not fresh.ring.knows_all
    await fresh.keeper.poll()
    assert KEYS in fresh.waiting_for
    fresh.store = one.store
    await fresh.keeper.poll()
    assert fresh.waiting_for == {}
    assert fresh.ring.knows_all


async def test_what_was_kept_under_another_pepper_is_left_alone(one: Replica, tmp_path: Path, clock: FakeClock) -> None:
    await create(one, FORUM, "k1")
    await one.keeper.poll()
    again = Replica(tmp_path / "one", clock, None, b"q" * 32)
    await again.keeper.take_kept()
    assert KEYS in again.waiting_for
    assert again.names("k1") == [None]


async def test_what_is_kept_follows_the_database_and_holds_no_key(one: Replica, tmp_path: Path) -> None:
    await create(one, FORUM, "us_aaaaaaaa_SECRET")
    await one.keeper.poll()
    assert b"forum-app" in one.file.path.read_bytes()
    assert b"SECRET" not in one.file.path.read_bytes()
    assert one.store is not None
    await one.store.revoke(FORUM.id, by="admin", through="api")
    await one.keeper.poll()
    assert b"forum-app" not in one.file.path.read_bytes()


async def test_a_disk_that_is_full_keeps_nobody_from_a_key(one: Replica, tmp_path: Path) -> None:
    (tmp_path / "one").rmdir()
    (tmp_path / "one").write_text("no directory")
    await create(one, FORUM, "k1")
    await one.keeper.poll()
    assert one.names("k1") == ["forum-app"]
    (tmp_path / "one").unlink()
    (tmp_path / "one").mkdir()
    await one.keeper.poll()
    assert one.file.read() is not None, "it is tried again until it is written"


async def test_without_a_pepper_nothing_is_read_and_nothing_waited_for(tmp_path: Path, clock: FakeClock) -> None:
    ring = KeyRing("env", None)
    waiting_for: dict[str, str] = {}
    keeper = KeyKeeper(ring, KeyFile(tmp_path, b""), lambda: None, clock, lambda: waiting_for)
    keeper.declare({"a": DeclaredKey("a", ring.digest(b"k"), Caller("yaml:a", "a"))})
    await keeper.take_kept()
    await keeper.run()
    await keeper.refresh()
    assert waiting_for == {}
    assert ring.find(b"k") is None


async def test_without_a_pepper_keys_that_do_not_count_are_told_of(
    one: Replica, database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    ring, store = KeyRing("env", None), KeyStore(database, clock)
    keeper = KeyKeeper(ring, KeyFile(tmp_path, b""), lambda: store, clock, dict)
    with capture_logs() as before:
        await keeper.poll()
    await create(one, FORUM, "k")
    with capture_logs() as since:
        await keeper.poll()
    assert [[line["event"] for line in lines] for lines in (before, since)] == [[], ["keys_do_not_count"]]


# Those that routes.yaml declares.


def declared(replica: Replica, **keys: str) -> dict[str, DeclaredKey]:
    return {
        name: DeclaredKey(name, replica.ring.digest(key.encode()), Caller(f"yaml:{name}", name))
        for name, key in keys.items()
    }


async def test_declared_keys_count_at_once_and_need_no_database(tmp_path: Path, clock: FakeClock) -> None:
    replica = Replica(tmp_path / "fresh", clock, None)
    replica.keeper.declare(declared(replica, batch="y1", other="y2"))
    assert replica.names("y1", "y2") == ["batch", "other"]
    assert not replica.ring.knows_all
    replica.keeper.declare(declared(replica, other="y2"))
    assert replica.names("y1", "y2") == [None, "other"]


async def test_they_are_laid_over_the_databases(one: Replica) -> None:
    await create(one, FORUM, "k1")
    await create(one, BATCH, "k2")
    await one.keeper.refresh()
    one.keeper.declare(declared(one, batch="y1"))
    assert one.names("k1", "k2", "y1") == ["forum-app", None, "batch"], "of two of one name, routes.yaml's counts"
    await one.keeper.refresh()
    one.keeper.declare({})
    assert one.names("k1", "k2", "y1") == ["forum-app", "batch", None]


async def test_a_row_that_nobody_can_read_keeps_no_other_from_counting(one: Replica) -> None:
    assert one.store is not None
    await one.store.create(FORUM, "no hex", by="somebody", through="sql")
    await create(one, BATCH, "k2")
    await one.keeper.refresh()
    assert one.names("k2") == ["batch"]


@pytest.mark.parametrize("name", ["default", "admin"])
async def test_no_key_of_the_database_passes_for_the_environments(one: Replica, name: str) -> None:
    await create(one, Caller("key_cccccccc", name), "k1")
    await one.keeper.refresh()
    assert one.names("k1") == [None]


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)
