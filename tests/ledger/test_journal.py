import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_clock import FakeClock

from gateway.config.routes_ledger import Ledger
from gateway.errors import ConfigError, LedgerUnavailable
from gateway.ledger import group_sync, segments
from gateway.ledger.frames import Position
from gateway.ledger.journal import Journal
from gateway.ledger.replay import JournalReader
from tests.ledger.journal_material import TestedFiles, a_journal, an_intent, logged, read_all, settled, until
from tests.store.rows import entries

MIB = 1 << 20
SMALL = 4096


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def fill(journal: Journal, share: float) -> None:
    """Have journals of dead processes take this share of the room."""
    journal.foreign_bytes = int(journal.ledger.journal_mib * MIB * share)


async def test_rows_are_read_back_in_order_through_many_segments(tmp_path: Path) -> None:
    rows = entries(100)
    with a_journal(tmp_path, segment_bytes=SMALL) as journal:
        for row in rows:
            journal.settle(row)
        assert journal.settled == 100
        assert journal.wake.is_set()
        assert journal.end.segment > 10
        assert journal.dropped == 0
        reading = read_all(journal.directory, live=True)
    assert reading.entries == rows
    assert read_all(journal.directory).entries == rows


async def test_a_directory_is_its_users_alone_and_says_where_its_rows_go(tmp_path: Path) -> None:
    with a_journal(tmp_path / "data" / "ledger.journal") as journal:
        assert journal.directory.name.startswith("20261123T120000-")
        assert journal.name == journal.directory.name
        assert names(journal.directory) == ["00000001.seg", "00000002.seg", "database", "lock"]
        assert (journal.directory / "database").read_text() == "/data/ledger.db"
        for directory in (journal.directory, journal.directory.parent):
            assert directory.stat().st_mode & 0o777 == 0o700
        for path in journal.directory.iterdir():
            assert path.stat().st_mode & 0o777 == 0o600
        for number in (1, 2):
            status = segments.segment_path(journal.directory, number).stat()
            assert status.st_size == MIB
            assert status.st_blocks * 512 >= MIB, "its room is allocated"


async def test_a_directory_is_locked_for_as_long_as_its_journal_lives(tmp_path: Path) -> None:
    with a_journal(tmp_path) as journal, a_journal(tmp_path) as other:
        assert journal.directory != other.directory
        assert segments.take_lock(journal.directory) is None
        held = {os.readlink(f"/proc/self/fd/{name}"): int(name) for name in os.listdir("/proc/self/fd") if _open(name)}
        assert not os.get_inheritable(held[str(journal.directory / "lock")])
    lock = segments.take_lock(journal.directory)
    assert lock is not None
    os.close(lock)


def _open(name: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{name}")


def test_no_lock_is_taken_where_there_is_none(tmp_path: Path) -> None:
    assert segments.take_lock(tmp_path) is None
    assert segments.take_lock(tmp_path / "gone") is None
    assert names(tmp_path) == []


def open_one(root: Path, files: TestedFiles | None = None) -> Journal:
    return Journal.open(root, database="x", clock=FakeClock(), ledger=Ledger(), files=files, segment_bytes=SMALL)


def test_a_root_that_cannot_be_used_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="GATEWAY_JOURNAL_DIR"):
        open_one(tmp_path / "file")


def test_a_full_disk_at_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    files = TestedFiles()
    files.full = True
    with pytest.raises(ConfigError, match="No space left"):
        open_one(tmp_path / "root", files)
    assert names(tmp_path / "root") == []


@pytest.mark.parametrize("empty", [True, False], ids=["it is removed when empty", "it stays when it is not"])
async def test_a_closed_journal(tmp_path: Path, empty: bool) -> None:
    journal = open_one(tmp_path)
    journal.settle(settled(an_intent()))
    journal.close(empty=empty)
    journal.close(empty=empty)
    if empty:
        assert names(tmp_path) == []
        return
    assert read_all(journal.directory).entries == [settled(an_intent())._replace(attempt_id=_only_id(journal))]
    segments.remove_journal(journal.directory)
    assert names(tmp_path) == []


def _only_id(journal: Journal) -> str:
    return read_all(journal.directory).entries[0].attempt_id


async def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    with a_journal(tmp_path) as journal:
        pass
    assert not journal.intent(an_intent())
    with logged() as log:
        journal.settle(settled(an_intent()))
    assert journal.dropped == 1
    assert [line["event"] for line in log] == ["ledger_row_dropped"]


async def test_a_segment_is_removed_when_the_database_has_it_and_no_attempt_in_it_is_open(tmp_path: Path) -> None:
    with a_journal(tmp_path, segment_bytes=SMALL) as journal:
        reader = JournalReader(journal.directory, live=True)
        long_one = an_intent(0)
        journal.intent(long_one)
        for number in range(1, 30):
            journal.settle(settled(an_intent(number)))
        await journal_synced(journal)
        journal.release(reader.batch(100).checkpoint)
        assert segments.segment_numbers(journal.directory)[0] == 1, "an attempt that began there is open"
        used = journal.bytes_used
        journal.settle(settled(long_one))
        await journal_synced(journal)
        batch = reader.batch(100)
        assert batch.checkpoint == journal.end
        journal.release(batch.checkpoint)
        await until(lambda: segments.segment_numbers(journal.directory)[0] == journal.end.segment)
        assert journal.bytes_used == journal.end.offset < used
        reader.close()


async def journal_synced(journal: Journal) -> None:
    journal.ledger = Ledger(durability="strict")
    await journal.synced()


@pytest.mark.parametrize(
    ("on_full", "share", "refuses", "ready", "begins"),
    [
        pytest.param("refuse", 0.5, False, True, True, id="half full: all is well"),
        pytest.param("refuse", 0.94, False, True, True, id="94 %: still ready"),
        pytest.param("refuse", 0.96, False, False, True, id="95 %: not ready, and whoever comes is served"),
        pytest.param("refuse", 1.0, True, False, True, id="full: new requests are refused, those in flight go on"),
        pytest.param("serve", 0.96, False, False, True, id="serve at 95 %: not ready"),
        pytest.param("serve", 1.0, False, False, False, id="serve when full: goes on without rows"),
    ],
)
async def test_how_full_the_journal_may_get(
    tmp_path: Path, on_full: str, share: float, refuses: bool, ready: bool, begins: bool
) -> None:
    with a_journal(tmp_path, on_full=on_full, journal_mib=64) as journal:
        fill(journal, share)
        assert bool(journal.refuse_new()) is refuses
        assert bool(journal.not_ready()) is not ready
        assert journal.intent(an_intent()) is begins


async def test_rows_of_attempts_that_began_before_it_was_full_are_kept_and_others_counted(tmp_path: Path) -> None:
    with a_journal(tmp_path, on_full="serve", journal_mib=64) as journal:
        before, later, again = an_intent(1), an_intent(2), an_intent(3)
        assert journal.intent(before)
        fill(journal, 1)
        assert not journal.intent(later)
        assert not journal.intent(again)
        journal.progress(later.entry.attempt_id, 32)
        journal.settle(settled(before))
        journal.settle(settled(later))
        assert journal.dropped == 1
        fill(journal, 0.5)
        journal.settle(settled(again))
        assert journal.dropped == 1, "by now there is room for it"
        assert read_all(journal.directory, live=True).entries == [settled(before), settled(again)]


async def test_a_journal_that_fills_is_told_once_each_time(tmp_path: Path) -> None:
    with a_journal(tmp_path, journal_mib=64) as journal, logged() as log:
        for share in (0.81, 0.9, 0.5, 0.81):
            fill(journal, share)
            journal.release(Position(1, 0))
            journal.settle(settled(an_intent()))
            journal.settle(settled(an_intent()))
        assert [line["event"] for line in log] == ["journal_filling"] * 2


async def test_a_reload_changes_the_limit(tmp_path: Path) -> None:
    with a_journal(tmp_path, journal_mib=64) as journal:
        journal.foreign_bytes = 64 * MIB
        assert journal.refuse_new()
        journal.ledger = Ledger(journal_mib=128)
        assert journal.refuse_new() is None


async def test_a_full_disk_loses_no_row_in_flight_and_is_got_over(tmp_path: Path) -> None:
    files = TestedFiles()
    rows = entries(16)
    with a_journal(tmp_path, files, segment_bytes=SMALL) as journal:
        assert journal.refuse_new() is None
        files.full = True
        for row in rows[:8]:
            journal.settle(row)
        journal.settle(rows[8])
        assert journal.end.segment == 2
        await until(lambda: journal.refuse_new())
        assert journal.not_ready()
        for row in rows[9:12]:
            journal.settle(row)
        assert journal.dropped == 0, "the reserve takes them"
        files.full = False
        await until(lambda: journal.refuse_new() is None)
        assert journal.not_ready() is None
        for row in rows[12:]:
            journal.settle(row)
        assert read_all(journal.directory, live=True).entries == rows


async def test_rows_beyond_the_reserve_wait_in_memory_until_there_is_room(tmp_path: Path) -> None:
    files = TestedFiles()
    rows = entries(40)
    with a_journal(tmp_path, files, segment_bytes=SMALL, durability="strict") as journal:
        files.full = True
        for row in rows:
            journal.settle(row)
        assert 8 <= len(read_all(journal.directory, live=True).entries) <= 20
        with pytest.raises(LedgerUnavailable):
            await journal.synced()
        journal.wake.clear()
        files.full = False
        await until(lambda: journal.refuse_new() is None)
        await until(journal.wake.is_set)
        assert sorted(read_all(journal.directory, live=True).entries) == rows
        assert (journal.dropped, journal.settled) == (0, 40)


async def test_a_directory_that_somebody_removed_is_told_and_what_is_written_is_read_or_counted(tmp_path: Path) -> None:
    rows = entries(20)
    with a_journal(tmp_path, segment_bytes=SMALL) as journal:
        journal.settle(rows[0])
        reader = JournalReader(journal.directory, live=True)
        assert reader.batch(50).entries == rows[:1]
        assert journal.not_ready() is None
        shutil.rmtree(journal.directory)
        assert journal.not_ready() == "ledger: its journal's directory is gone: start it anew"
        for row in rows[1:]:
            journal.settle(row)
        read = reader.batch(50)
        assert read.entries == rows[1 : 1 + len(read.entries)] != []
        assert read.end
        assert "cannot grow" in (journal.refuse_new() or ""), "nothing more could be read back"
        journal.close(empty=False)
        assert journal.dropped == 19 - len(read.entries)
        reader.close()


async def test_rows_that_found_no_room_to_the_end_are_counted_and_told(tmp_path: Path) -> None:
    files = TestedFiles()
    with a_journal(tmp_path, files, segment_bytes=SMALL) as journal, logged() as log:
        files.full = True
        for row in entries(40):
            journal.settle(row)
        journal.close(empty=False)
        assert journal.dropped == 40 - len(read_all(journal.directory).entries) > 0
        assert log[-1]["event"] == "ledger_rows_dropped"


async def test_serve_keeps_no_rows_in_memory_of_attempts_that_began_on_a_full_disk(tmp_path: Path) -> None:
    files = TestedFiles()
    with a_journal(tmp_path, files, segment_bytes=SMALL, on_full="serve") as journal, logged() as log:
        files.full = True
        before = an_intent(0)
        assert journal.intent(before)
        count = 0
        while journal.intent(an_intent(count := count + 1)):
            pass
        assert journal.refuse_new() is None
        for number in range(count, count + 40):
            intent = an_intent(number)
            assert not journal.intent(intent)
            journal.settle(settled(intent))
        assert journal.dropped == 40
        assert sum(line["event"] == "ledger_row_dropped" for line in log) == 17, "16, then powers of two"
        journal.settle(settled(before))
        files.full = False
        await until(lambda: journal.not_ready() is None)
        assert read_all(journal.directory, live=True).entries == [settled(before)]
        assert journal.dropped == 40


@pytest.mark.parametrize("fault", ["failing_writes", "short_writes"])
async def test_a_write_that_fails_is_made_again_in_a_new_segment(tmp_path: Path, fault: str) -> None:
    files = TestedFiles()
    rows = entries(3)
    with a_journal(tmp_path, files) as journal, logged() as log:
        journal.settle(rows[0])
        setattr(files, fault, 1)
        journal.settle(rows[1])
        journal.settle(rows[2])
        assert journal.end.segment == 2
        reading = read_all(journal.directory, live=True)
        assert (reading.entries, reading.damaged, journal.dropped) == (rows, 0, 0)
        assert [line["event"] for line in log] == ["journal_write_failed"]


async def test_a_disk_that_takes_no_writes_is_tried_again(tmp_path: Path) -> None:
    files = TestedFiles()
    rows = entries(3)
    with a_journal(tmp_path, files) as journal:
        journal.settle(rows[0])
        files.failing_writes = 2
        journal.settle(rows[1])
        assert journal.refuse_new()
        await until(lambda: journal.refuse_new() is None)
        journal.settle(rows[2])
        reading = read_all(journal.directory, live=True)
        assert (reading.entries, reading.damaged, journal.dropped) == (rows, 0, 0)


async def test_what_was_written_is_synced_without_being_asked_and_nothing_else_is(tmp_path: Path) -> None:
    files = TestedFiles()
    with a_journal(tmp_path, files) as journal:
        await journal.synced()
        await asyncio.sleep(0.06)
        assert files.syncs == []
        for number in range(50):
            journal.settle(settled(an_intent(number)))
        await journal.synced()
        assert files.syncs == [], "fast waits for nothing"
        await until(lambda: files.syncs)
        await asyncio.sleep(0.06)
        assert len(files.syncs) == 1
        journal.settle(settled(an_intent(51)))
        await until(lambda: len(files.syncs) == 2)


async def test_a_file_that_failed_to_sync_is_never_synced_again_and_its_rows_go_to_another(tmp_path: Path) -> None:
    files = TestedFiles()
    rows = entries(3)
    with a_journal(tmp_path, files, durability="strict") as journal, logged() as log:
        journal.settle(rows[0])
        await journal.synced()
        files.failing_syncs = 1
        journal.settle(rows[1])
        readiness: list[str | None] = []
        files.before_sync = lambda: readiness.append(journal.not_ready())
        await journal.synced()
        assert readiness == [None, "ledger: its journal's disk failed to sync"]
        assert journal.sync_failures == 1
        assert journal.not_ready() is None
        assert journal.refuse_new() is None
        assert journal.end.segment == 2
        journal.settle(rows[2])
        await journal.synced()
        (failed,) = files.failed
        assert files.syncs.count(failed) == 2
        assert failed not in files.syncs[2:]
        assert segments.segment_path(journal.directory, 1).stat().st_size < MIB, "its room is given back"
        # The second row is in both: the database takes it once.
        reading = read_all(journal.directory, live=True)
        assert reading.entries == [rows[0], rows[1], rows[1], rows[2]]
        assert reading.damaged == 0
        assert [line["event"] for line in log] == ["journal_sync_failed"]


async def test_what_is_written_anew_leaves_no_attempt_open_that_was_settled_in_the_next_segment(tmp_path: Path) -> None:
    files = TestedFiles()
    with a_journal(tmp_path, files, segment_bytes=SMALL, durability="strict") as journal:
        intent = an_intent(0)
        journal.intent(intent)
        number = 0
        while journal.end.segment == 1:
            journal.settle(settled(an_intent(number := number + 1)))
        journal.settle(settled(intent))
        files.failing_syncs = 1
        await journal.synced()
        reading = read_all(journal.directory, live=True)
        assert reading.entries.count(settled(intent)) == 2
        assert reading.orphans == []
        assert reading.checkpoint == journal.end


@pytest.mark.parametrize("on_full", ["refuse", "serve"])
async def test_a_disk_that_keeps_failing_lets_waiters_go_and_is_got_over(tmp_path: Path, on_full: str) -> None:
    files = TestedFiles()
    with a_journal(tmp_path, files, durability="strict", on_full=on_full) as journal:
        files.failing_syncs = 2
        journal.settle(settled(an_intent()))
        if on_full == "refuse":
            with pytest.raises(LedgerUnavailable):
                await journal.synced()
            assert journal.refuse_new()
        else:
            await journal.synced()
            assert journal.refuse_new() is None
        assert journal.not_ready()
        assert journal.sync_failures == 2
        await until(lambda: journal.not_ready() is None)
        assert journal.refuse_new() is None
        await journal.synced()
        assert len(set(files.failed)) == len(files.failed) == 2


async def test_many_waiters_share_a_sync(tmp_path: Path) -> None:
    files = TestedFiles()
    with a_journal(tmp_path, files, durability="strict") as journal:
        for rounds in (1, 2):

            async def one(number: int) -> None:
                journal.settle(settled(an_intent(number)))
                await journal.synced()

            await asyncio.gather(*(one(number) for number in range(100)))
            assert len(files.syncs) == rounds


async def test_who_writes_during_a_sync_waits_for_the_next(tmp_path: Path) -> None:
    files = TestedFiles()
    entered, go_on = threading.Event(), threading.Event()

    def stand_still() -> None:
        entered.set()
        assert go_on.wait(5)

    with a_journal(tmp_path, files, durability="strict") as journal:
        files.before_sync = stand_still
        journal.settle(settled(an_intent(1)))
        first = asyncio.ensure_future(journal.synced())
        await until(entered.is_set)
        same = asyncio.ensure_future(journal.synced())
        journal.settle(settled(an_intent(2)))
        second = asyncio.ensure_future(journal.synced())
        await asyncio.sleep(0)
        files.before_sync = lambda: None
        assert not first.done()
        go_on.set()
        await asyncio.gather(first, same)
        await second
        assert len(files.syncs) == 2
        # Nothing is left over that would keep the next write from its sync.
        journal.ledger = Ledger(durability="fast")
        journal.settle(settled(an_intent(3)))
        await until(lambda: len(files.syncs) == 3)


async def test_a_disk_that_does_not_answer_gets_no_more_requests_to_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = TestedFiles()
    entered, go_on = threading.Event(), threading.Event()

    def stand_still() -> None:
        entered.set()
        assert go_on.wait(5)

    with a_journal(tmp_path, files, durability="strict") as journal:
        files.before_sync = stand_still
        journal.settle(settled(an_intent(1)))
        waiting = asyncio.ensure_future(journal.synced())
        await until(entered.is_set)
        assert (journal.not_ready(), journal.refuse_new()) == (None, None), "a slow disk is no reason yet"
        monkeypatch.setattr(group_sync, "HANGS_AFTER_S", 0.0)
        assert journal.not_ready() == "ledger: its journal's disk does not answer"
        assert "does not answer" in (journal.refuse_new() or "")
        journal.ledger = Ledger(durability="fast")
        assert journal.refuse_new() is None, "nobody waits for it"
        go_on.set()
        await waiting
        assert (journal.not_ready(), journal.refuse_new()) == (None, None)


@pytest.mark.parametrize("on_full", ["refuse", "serve"])
async def test_who_waits_for_a_disk_that_does_not_answer_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_full: str
) -> None:
    files = TestedFiles()
    entered, go_on = threading.Event(), threading.Event()

    def stand_still() -> None:
        entered.set()
        assert go_on.wait(5)

    files.before_sync = stand_still
    monkeypatch.setattr(group_sync, "HANGS_AFTER_S", 0.1)
    with a_journal(tmp_path, files, durability="strict", on_full=on_full) as journal:
        async with asyncio.timeout(4):
            journal.settle(settled(an_intent(1)))
            first = asyncio.ensure_future(journal.synced())
            await until(entered.is_set)
            journal.settle(settled(an_intent(2)))
            waited = await asyncio.gather(first, journal.synced(), return_exceptions=True)
            # It goes on hanging: whose answer ends now need not wait at all.
            waited += await asyncio.gather(journal.synced(), return_exceptions=True)
        assert [type(result) for result in waited] == [LedgerUnavailable if on_full == "refuse" else type(None)] * 3
        assert journal.not_ready() == "ledger: its journal's disk does not answer"
        monkeypatch.setattr(group_sync, "HANGS_AFTER_S", 5.0)
        go_on.set()
        await until(lambda: files.syncs)
        await journal.synced()
        assert journal.not_ready() is None
        assert journal.sync_failures == 0
        assert len(files.syncs) == 2


@pytest.mark.parametrize("failing", [0, 1, 2], ids=["and the disk is well", "on the second try", "in vain"])
async def test_a_close_syncs_what_is_left_and_lets_waiters_go(tmp_path: Path, failing: int) -> None:
    files = TestedFiles()
    journal = Journal.open(
        tmp_path, database="x", clock=FakeClock(), ledger=Ledger(durability="strict"), files=files, segment_bytes=SMALL
    )
    files.failing_syncs = failing
    row = settled(an_intent())
    journal.settle(row)
    waiting = asyncio.ensure_future(journal.synced())
    await asyncio.sleep(0)
    journal.close(empty=False)
    (result,) = await asyncio.gather(waiting, return_exceptions=True)
    assert isinstance(result, LedgerUnavailable) is (failing == 2)
    assert len(files.syncs) == len(set(files.syncs)) == min(failing + 1, 2)
    assert set(read_all(journal.directory).entries) == {row}


async def test_a_row_that_is_too_large_loses_its_tags_first(tmp_path: Path) -> None:
    with a_journal(tmp_path, segment_bytes=SMALL) as journal, logged() as log:
        large = settled(an_intent(1), tags={"large": "x" * SMALL})
        journal.settle(large)
        assert journal.dropped == 0
        hopeless = settled(an_intent(2), traits="x" * SMALL)
        assert not journal.intent(an_intent(2, traits="x" * SMALL))
        journal.settle(hopeless)
        assert journal.dropped == 1
        assert read_all(journal.directory, live=True).entries == [large._replace(tags=None)]
        assert [line["log_level"] for line in log] == ["error"] * 3


KILLED = """
import asyncio, os, resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from tests.ledger.journal_material import a_journal, an_intent, settled

async def main():
    with a_journal(Path(sys.argv[1])) as journal:
        journal.intent(an_intent(1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        journal.settle(settled(an_intent(2)))
        print("dropped", journal.dropped, journal.refuse_new() is not None, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        while journal.refuse_new():
            await asyncio.sleep(0.01)
        journal.settle(settled(an_intent(3)))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_real_limit_of_the_system_and_a_real_kill(tmp_path: Path) -> None:
    """The kernel refuses writes for a while, then kills the process: what was written is there, and unlocked."""
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), *paths], capture_output=True, timeout=30)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert b"dropped 0 True" in ended.stdout.splitlines()
    (directory,) = tmp_path.iterdir()
    lock = segments.take_lock(directory)
    assert lock is not None
    assert segments.used_bytes(directory) < 100_000, "what is only allocated does not count"
    reading = read_all(directory)
    assert [row.request_id for row in reading.entries] == ["req-2", "req-3"]
    assert [row.request_id for row in reading.orphans] == ["req-1"]
    assert (reading.damaged, reading.torn) == (0, 0)
    os.close(lock)
