import asyncio
import gc
import json
import sqlite3
import stat
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ledger_bench import Sink, a_journal, until, write
from migrated_database import migrated
from postgres_server import RunningPostgres
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.ledger.delivery import BATCH_ROWS, Delivery
from gateway.ledger.drain import (
    BREATH_S,
    BUSY_INTERVAL_S,
    BUSY_ROWS,
    DOUBT_INTERVAL_S,
    FLUSH_INTERVAL_S,
    GIVEN_UP_AFTER,
    MAX_PAUSE_S,
    Drain,
)
from gateway.ledger.entry import Entry
from gateway.ledger.journal import Intent, Journal
from gateway.ledger.refused import RefusedRows
from gateway.reasons import Outcome
from gateway.store.database import Database
from gateway.store.usage import Checkpoint, UsageStore
from tests.store.rows import START, an_entry, entries


class ManualClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed_s)

    def monotonic(self) -> float:
        return self.elapsed_s

    async def sleep(self, seconds: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.elapsed_s + seconds, waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Move on, and let everything that this wakes run as far as it gets."""
        await settle()
        self.elapsed_s += seconds
        for due, waiter in self._sleepers:
            if due <= self.elapsed_s + 1e-9 and not waiter.done():
                waiter.set_result(None)
        await settle()

    @property
    def pauses_s(self) -> list[float]:
        """How long whoever sleeps now has still to sleep."""
        return [round(due - self.elapsed_s, 3) for due, waiter in self._sleepers if not waiter.done()]


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gateway.journal"


@pytest.fixture
async def journal(root: Path, clock: ManualClock) -> AsyncIterator[Journal]:
    journal = a_journal(root, clock)
    yield journal
    journal.close(empty=False)


@pytest.fixture
def delivery(sink: Sink, root: Path) -> Delivery:
    return Delivery(lambda: sink, RefusedRows(root))


@pytest.fixture
async def drain(journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock) -> AsyncIterator[Drain]:
    drain = Drain(journal, delivery, clock)
    drain.start()
    await settle()
    yield drain
    sink.available = True
    await closed(drain, clock, 1)


async def closed(drain: Drain, clock: ManualClock, deadline_s: float) -> bool:
    closing = asyncio.create_task(drain.close(deadline_s))
    while not closing.done():
        await clock.advance(FLUSH_INTERVAL_S)
    return await closing


async def test_rows_gather_for_a_moment_and_leave_together_with_the_place_up_to_which_all_is_there(
    drain: Drain, journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock
) -> None:
    rows = entries(3)
    write(journal, rows[:1])
    await clock.advance(FLUSH_INTERVAL_S / 2)
    write(journal, rows[1:])
    assert sink.batches == []
    assert (drain.queued, drain.oldest_age_s) == (3, pytest.approx(FLUSH_INTERVAL_S / 2))
    await clock.advance(FLUSH_INTERVAL_S / 2)
    assert sink.batches == [rows]
    assert (delivery.written, drain.queued, drain.oldest_age_s) == (3, 0, 0.0)
    assert sink.checkpoints == {journal.name: Checkpoint(journal.name, *journal.end)}


class FastCalendar(ManualClock):
    """A clock whose days pass in seconds."""

    def now(self) -> datetime:
        return START + timedelta(hours=12 * self.elapsed_s)


async def test_rows_wait_no_longer_than_has_really_passed_however_fast_the_calendar_is(
    root: Path, delivery: Delivery, sink: Sink
) -> None:
    clock = FastCalendar()
    journal = a_journal(root, clock)
    drain = Drain(journal, delivery, clock)
    drain.start()
    await settle()
    await clock.advance(90)
    write(journal, entries(1))
    await clock.advance(FLUSH_INTERVAL_S)
    assert (drain.queued, drain.oldest_age_s) == (0, 0.0)
    sink.available = False
    write(journal, entries(2)[1:])
    await clock.advance(FLUSH_INTERVAL_S)
    await clock.advance(30)
    assert drain.oldest_age_s == pytest.approx(30 + FLUSH_INTERVAL_S, abs=1)
    sink.available = True
    await closed(drain, clock, 1)


async def test_a_drain_without_rows_sleeps(drain: Drain, sink: Sink, clock: ManualClock) -> None:
    await clock.advance(60)
    assert (sink.calls, clock.pauses_s, drain.oldest_age_s) == (0, [], 0.0)


async def test_an_attempt_that_is_under_way_holds_the_checkpoint_and_no_rows(
    drain: Drain, journal: Journal, sink: Sink, clock: ManualClock
) -> None:
    long, *others = entries(4)
    begin = journal.end
    journal.intent(Intent(long, None))
    write(journal, others)
    await clock.advance(FLUSH_INTERVAL_S)
    assert sink.rows == others
    assert sink.checkpoints[journal.name] == Checkpoint(journal.name, *begin)
    journal.settle(long)
    await clock.advance(FLUSH_INTERVAL_S)
    assert sink.rows == [*others, long]
    assert sink.checkpoints[journal.name] == Checkpoint(journal.name, *journal.end)


def damage(journal: Journal, settled: Entry) -> None:
    """Make an attempt's last word unreadable."""
    with (journal.directory / "00000001.seg").open("r+b") as segment:
        segment.seek(segment.read().index(b'S["' + settled.attempt_id.encode()) + 60)
        segment.write(b"?")


async def test_a_row_that_cannot_be_read_back_is_not_waited_for(
    drain: Drain, journal: Journal, sink: Sink, clock: ManualClock
) -> None:
    rows = entries(5)
    write(journal, rows)
    damage(journal, rows[2])
    await clock.advance(FLUSH_INTERVAL_S)
    assert sink.rows == [*rows[:2], *rows[3:]]
    assert (drain.queued, journal.damaged) == (0, 1)


async def test_a_damaged_end_holds_the_checkpoint_for_an_hour_and_no_longer(
    drain: Drain, journal: Journal, sink: Sink, clock: ManualClock
) -> None:
    lost, *others = entries(3)
    begin = journal.end
    journal.intent(Intent(lost._replace(outcome=Outcome.INTERRUPTED), None))
    journal.settle(lost)
    damage(journal, lost)
    write(journal, others)
    await clock.advance(FLUSH_INTERVAL_S)
    assert (sink.rows, journal.damaged) == (others, 1)
    assert sink.checkpoints[journal.name] == Checkpoint(journal.name, *begin)
    # No row comes any more, as where the journal is full of what it holds.
    await clock.advance(GIVEN_UP_AFTER.total_seconds() - 1)
    assert sink.rows == others
    with capture_logs() as logs:
        await clock.advance(DOUBT_INTERVAL_S)
    assert [(row.attempt_id, row.outcome) for row in sink.rows[2:]] == [(lost.attempt_id, Outcome.INTERRUPTED)]
    assert sink.checkpoints[journal.name] == Checkpoint(journal.name, *journal.end)
    assert [line["attempts"] for line in logs if line["event"] == "journal_attempts_given_up"] == [[lost.attempt_id]]
    assert (drain.queued, clock.pauses_s) == (0, [])


async def test_what_ended_in_rows_that_are_still_to_be_read_is_not_given_up(
    drain: Drain, journal: Journal, sink: Sink, clock: ManualClock
) -> None:
    lost, ended, *others = entries(BATCH_ROWS + 10)
    for row in (lost, ended):
        journal.intent(Intent(row._replace(outcome=Outcome.INTERRUPTED), None))
    journal.settle(lost)
    damage(journal, lost)
    write(journal, others)
    journal.settle(ended)
    # As after an outage of hours.
    await clock.advance(2 * GIVEN_UP_AFTER.total_seconds())
    assert sink.batches == [others[:BATCH_ROWS]]
    sink.available = False
    await clock.advance(BREATH_S)
    assert sink.batches == [others[:BATCH_ROWS]]
    sink.available = True
    await clock.advance(MAX_PAUSE_S)
    assert {row.attempt_id: row.outcome for row in sink.rows} == {
        **{row.attempt_id: row.outcome for row in others},
        ended.attempt_id: Outcome.OK,
        lost.attempt_id: Outcome.INTERRUPTED,
    }
    assert sink.checkpoints[journal.name] == Checkpoint(journal.name, *journal.end)


async def test_a_backlog_leaves_in_full_batches_and_requests_have_their_turn_between_them(
    drain: Drain, journal: Journal, sink: Sink, clock: ManualClock
) -> None:
    rows = entries(2 * BATCH_ROWS + 1)
    write(journal, rows)
    await clock.advance(FLUSH_INTERVAL_S)
    assert clock.pauses_s == [BREATH_S]
    await clock.advance(BREATH_S)
    await clock.advance(BREATH_S)
    assert sink.batches == [rows[:BATCH_ROWS], rows[BATCH_ROWS:-1], rows[-1:]]


async def test_where_many_rows_came_more_are_waited_for_until_few_come_again(
    drain: Drain, journal: Journal, sink: Sink, clock: ManualClock
) -> None:
    many, more, one, last = entries(BUSY_ROWS), entries(2), entries(1), entries(1)
    write(journal, many)
    await clock.advance(FLUSH_INTERVAL_S)
    assert sink.batches == [many]
    await clock.advance(BREATH_S)
    write(journal, more)
    await clock.advance(FLUSH_INTERVAL_S)
    assert sink.batches == [many]
    await clock.advance(BUSY_INTERVAL_S - FLUSH_INTERVAL_S)
    assert sink.batches == [many, more]
    await clock.advance(BREATH_S)
    for rows in (one, last):
        write(journal, rows)
        await clock.advance(FLUSH_INTERVAL_S)
        await clock.advance(BREATH_S)
        assert sink.batches[-1] == rows


async def test_while_the_database_is_away_rows_wait_in_the_journal_and_pauses_grow(
    drain: Drain, journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock
) -> None:
    sink.available = False
    rows = entries(BATCH_ROWS + 20)
    write(journal, rows[:1])
    await clock.advance(FLUSH_INTERVAL_S)
    pauses = []
    for row in rows[1:8]:
        pauses += clock.pauses_s
        write(journal, [row])
        await clock.advance(pauses[-1])
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, MAX_PAUSE_S, MAX_PAUSE_S]
    calls = sink.calls
    write(journal, rows[8:])
    await settle()
    assert sink.calls == calls, "a journal that fills does not hurry a database that is away"
    assert drain.queued == len(rows)
    assert drain.oldest_age_s == pytest.approx(clock.elapsed_s - 1), "since the first of them finished"
    sink.available = True
    await clock.advance(MAX_PAUSE_S)
    for _ in range(3):
        await clock.advance(BREATH_S)
    assert sink.rows == rows
    assert (delivery.written, delivery.refused.kept, drain.queued) == (len(rows), 0, 0)


async def test_after_an_outage_pauses_start_short_again(
    drain: Drain, journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock
) -> None:
    for row in entries(2):
        sink.available = False
        write(journal, [row])
        await clock.advance(FLUSH_INTERVAL_S)
        assert clock.pauses_s == [FLUSH_INTERVAL_S]
        sink.available = True
        await clock.advance(FLUSH_INTERVAL_S)
        await clock.advance(BREATH_S)
    assert delivery.written == 2


async def test_a_row_that_the_database_refuses_is_kept_in_a_file_and_does_not_hold_up_the_others(
    drain: Drain, journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock, root: Path
) -> None:
    rows = entries(50)
    sink.refused = {rows[2].request_id, rows[49].request_id}
    write(journal, rows)
    await clock.advance(FLUSH_INTERVAL_S)
    await until(lambda: drain.queued == 0)
    assert sink.rows == [*rows[:2], *rows[3:49]]
    assert sink.calls < 30, "it halves what is refused, rather than trying every row alone"
    assert (delivery.written, delivery.refused.kept, delivery.refused.lost) == (48, 2, 0)
    assert sink.checkpoints[journal.name] == Checkpoint(journal.name, *journal.end)
    file = root / "refused.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["refused_by"], line["attempt_id"]) for line in kept] == [
        ("ValueError", rows[2].attempt_id),
        ("ValueError", rows[49].attempt_id),
    ]
    assert kept[0].keys() == {"refused_by", *Entry._fields}


async def test_a_refused_row_that_cannot_be_kept_either_counts_as_lost(
    drain: Drain, journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock, root: Path
) -> None:
    (root / "refused.jsonl").mkdir()
    row = an_entry()
    sink.refused = {row.request_id}
    write(journal, [row])
    await clock.advance(FLUSH_INTERVAL_S)
    await until(lambda: drain.queued == 0)
    assert (delivery.refused.kept, delivery.refused.lost) == (0, 1)


class AndThenAway(RefusedRows):
    """Keeps a row, at which moment the database goes away."""

    def __init__(self, root: Path, sink: Sink) -> None:
        super().__init__(root)
        self._sink = sink

    def keep(self, entry: Entry, error: Exception) -> None:
        super().keep(entry, error)
        self._sink.available = False


async def test_an_outage_in_the_middle_of_a_refusal_refuses_nothing_twice(
    drain: Drain, journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock, root: Path
) -> None:
    rows = entries(8)
    sink.refused = {rows[0].request_id}
    delivery.refused = AndThenAway(root, sink)
    write(journal, rows)
    await clock.advance(FLUSH_INTERVAL_S)
    await until(lambda: not sink.available)
    await until(lambda: clock.pauses_s)
    sink.available = True
    await clock.advance(MAX_PAUSE_S)
    await until(lambda: drain.queued == 0)
    assert sink.rows == rows[1:]
    assert (delivery.written, delivery.refused.kept) == (7, 1)


async def test_closing_drains_what_is_left_without_waiting_and_removes_the_journal(
    journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock
) -> None:
    drain = Drain(journal, delivery, clock)
    rows = entries(BATCH_ROWS + 7)
    write(journal, rows)
    assert await drain.close(1), "even where it was never started"
    assert sink.rows == rows
    assert clock.elapsed_s == 0
    assert sink.forgotten == [journal.name]
    assert not journal.directory.exists()


async def test_closing_a_journal_that_nothing_was_written_to_asks_no_database(
    journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock
) -> None:
    sink.available = False
    assert await Drain(journal, delivery, clock).close(1)
    assert sink.calls == 0
    assert not journal.directory.exists()


async def test_what_is_open_at_the_close_was_interrupted(
    drain: Drain, journal: Journal, sink: Sink, clock: ManualClock
) -> None:
    row = an_entry(outcome=Outcome.INTERRUPTED, output_tokens=0)
    journal.intent(Intent(row, None))
    journal.progress(row.attempt_id, 64)
    assert await closed(drain, clock, 5)
    assert [(found.attempt_id, found.output_tokens) for found in sink.rows] == [(row.attempt_id, 64)]


async def test_a_row_that_is_written_while_the_last_batch_is_on_its_way_was_not_interrupted(root: Path) -> None:
    clock, begun = ManualClock(), an_entry(request_id="last", outcome=Outcome.INTERRUPTED)
    journal = a_journal(root, clock)

    class Meanwhile(Sink):
        async def insert_attempts(self, rows: Sequence[Entry], checkpoint: Checkpoint | None = None) -> int:
            if not self.rows:
                # The last answer ends, and the process begins to stop, before the database has answered.
                journal.settle(begun._replace(outcome=Outcome.OK))
                closing.append(asyncio.create_task(drain.close(5)))
                await settle()
            return await super().insert_attempts(rows, checkpoint)

    sink, closing = Meanwhile(), list[asyncio.Task[bool]]()
    journal.intent(Intent(begun, None))
    write(journal, [an_entry(request_id="first")])
    drain = Drain(journal, Delivery(lambda: sink, RefusedRows(root)), clock)
    drain.start()
    while not closing or not closing[0].done():
        await clock.advance(FLUSH_INTERVAL_S)
    assert await closing[0]
    assert [(row.request_id, row.outcome) for row in sink.rows] == [("first", Outcome.OK), ("last", Outcome.OK)]


async def test_closing_gives_up_at_its_deadline_and_leaves_the_journal_for_the_next_start(
    journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock
) -> None:
    sink.available = False
    drain = Drain(journal, delivery, clock)
    drain.start()
    write(journal, entries(4))
    closing = asyncio.create_task(drain.close(1))
    await clock.advance(0.9)
    assert not closing.done()
    await clock.advance(0.1)
    assert not await closing
    assert (delivery.written, drain.queued) == (0, 4)
    assert {file.name for file in journal.directory.iterdir()} >= {"lock", "database", "00000001.seg"}


async def test_closing_during_an_outage_still_drains_if_it_ends_in_time(
    drain: Drain, journal: Journal, delivery: Delivery, sink: Sink, clock: ManualClock
) -> None:
    sink.available = False
    write(journal, [an_entry()])
    await clock.advance(FLUSH_INTERVAL_S)
    closing = asyncio.create_task(drain.close(5))
    await settle()
    sink.available = True
    await clock.advance(FLUSH_INTERVAL_S)
    assert await closing
    assert delivery.written == 1
    assert not journal.directory.exists()


class Forgetful(Sink):
    """Counts rows instead of keeping them, and how many are in memory while it is given some."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.most = 0

    async def insert_attempts(self, rows: Sequence[Entry], checkpoint: Checkpoint | None = None) -> int:
        self._ask()
        self.count += len(rows)
        if self.calls % 8 == 0:
            self.most = max(self.most, sum(isinstance(thing, Entry) for thing in gc.get_objects()))
        return len(rows)


@pytest.mark.rig
async def test_a_long_outages_rows_wait_in_the_journal_and_not_in_memory(root: Path) -> None:
    journal, sink = a_journal(root), Forgetful()
    drain = Drain(journal, Delivery(lambda: sink, RefusedRows(root)), SystemClock())
    sink.available = False
    drain.start()
    row = an_entry()
    for number in range(20_000):
        journal.settle(row._replace(attempt_id=f"{number:08d}{row.attempt_id[8:]}"))
        if not number % 1000:
            await asyncio.sleep(0)
    await until(lambda: sink.calls)
    segments = [*journal.directory.glob("*.seg")]
    assert len(segments) > 10
    sink.available = True
    assert await drain.close(60)
    assert (drain.drained, sink.count) == (20_000, 20_000)
    assert 0 < sink.most < 2 * BATCH_ROWS
    assert not journal.directory.exists()


async def test_a_locked_database_loses_nothing_and_stores_nothing_twice(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "gateway.db"
    await asyncio.to_thread(migrated, f"sqlite:///{path}")
    database = await Database.open(f"sqlite:///{path}")
    store, journal = UsageStore(database), a_journal(root)
    delivery = Delivery(lambda: store, RefusedRows(root))
    drain = Drain(journal, delivery, SystemClock())
    drain.start()
    rows = entries(20)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    write(journal, rows[:10])
    with capture_logs() as logged:
        await until(lambda: logged)
    assert logged[0]["event"] == "ledger_database_unavailable"
    write(journal, [*rows[10:], rows[0]])
    assert drain.queued == 21
    other.execute("ROLLBACK")
    other.close()
    await until(lambda: drain.queued == 0)
    assert await store.checkpoint(journal.name) == Checkpoint(journal.name, *journal.end)
    assert await drain.close(30)
    latest = await store.attempts(limit=100)
    assert await store.checkpoint(journal.name) is None
    await database.close()
    assert [row["request_id"] for row in reversed(latest)] == [row.request_id for row in rows]
    assert (delivery.written, delivery.refused.kept, drain.queued) == (20, 0, 0)


async def test_a_row_that_a_real_database_refuses_is_the_only_one_that_it_does_not_have(
    tmp_path: Path, root: Path, postgres: RunningPostgres
) -> None:
    database = await Database.open(await asyncio.to_thread(postgres.migrated_database))
    store, journal = UsageStore(database), a_journal(root)
    delivery = Delivery(lambda: store, RefusedRows(root))
    rows = entries(30)
    rows[7] = rows[7]._replace(route="no text holds a \0 there")
    drain = Drain(journal, delivery, SystemClock())
    write(journal, rows)
    assert await drain.close(30)
    stored = await store.attempts(limit=100)
    await database.close()
    assert {row["request_id"] for row in stored} == {row.request_id for row in rows} - {rows[7].request_id}
    [kept] = (root / "refused.jsonl").read_text().splitlines()
    assert json.loads(kept)["attempt_id"] == rows[7].attempt_id
