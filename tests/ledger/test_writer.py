import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.ledger.entry import Entry
from gateway.ledger.writer import BATCH_ROWS, FLUSH_INTERVAL_S, MAX_PAUSE_S, LedgerWriter
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.migrate import migrate
from gateway.store.usage import UsageStore
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
    for _ in range(20):
        await asyncio.sleep(0)


class Sink:
    """A database that does as it is told, and remembers."""

    def __init__(self) -> None:
        self.batches: list[list[Entry]] = []
        self.calls = 0
        self.available = True
        self.refused: set[str] = set()

    async def insert(self, rows: Sequence[Entry]) -> int:
        self.calls += 1
        if not self.available:
            raise DatabaseUnavailable("gateway.db: database is locked")
        if any(row.request_id in self.refused for row in rows):
            raise ValueError("this cannot be stored")
        self.batches.append(list(rows))
        return len(rows)

    @property
    def rows(self) -> list[Entry]:
        return [row for batch in self.batches for row in batch]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def writer(sink: Sink, clock: ManualClock) -> AsyncIterator[LedgerWriter]:
    writer = LedgerWriter(sink.insert, clock)
    writer.start()
    yield writer
    sink.available = True
    closing = asyncio.create_task(writer.close(1))
    await clock.advance(FLUSH_INTERVAL_S)
    await closing


async def test_rows_gather_for_a_moment_and_leave_together(
    writer: LedgerWriter, sink: Sink, clock: ManualClock
) -> None:
    rows = entries(3)
    writer.append(rows[0])
    await clock.advance(FLUSH_INTERVAL_S / 2)
    writer.append(rows[1])
    writer.append(rows[2])
    assert sink.batches == []
    await clock.advance(FLUSH_INTERVAL_S / 2)
    assert sink.batches == [rows]
    assert (writer.written, writer.queued) == (3, 0)


async def test_a_full_batch_does_not_wait(writer: LedgerWriter, sink: Sink) -> None:
    rows = entries(2 * BATCH_ROWS + 1)
    for row in rows:
        writer.append(row)
    await settle()
    assert sink.batches == [rows[:BATCH_ROWS], rows[BATCH_ROWS:-1]]
    assert writer.queued == 1


async def test_a_writer_without_rows_sleeps(writer: LedgerWriter, sink: Sink, clock: ManualClock) -> None:
    await clock.advance(60)
    assert (sink.calls, clock.pauses_s, writer.oldest_age_s) == (0, [], 0.0)


async def test_while_the_database_is_away_rows_wait_and_pauses_grow(
    writer: LedgerWriter, sink: Sink, clock: ManualClock
) -> None:
    sink.available = False
    rows = entries(2 * BATCH_ROWS)
    writer.append(rows[0])
    await clock.advance(FLUSH_INTERVAL_S)
    pauses = []
    for row in rows[1:9]:
        pauses += clock.pauses_s
        writer.append(row)
        await clock.advance(pauses[-1])
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, MAX_PAUSE_S, MAX_PAUSE_S]
    calls = sink.calls
    for row in rows[9:]:
        writer.append(row)
    await settle()
    assert sink.calls == calls, "a queue that fills does not hurry a database that is away"
    assert writer.oldest_age_s == pytest.approx(clock.elapsed_s - 1)
    sink.available = True
    await clock.advance(MAX_PAUSE_S)
    assert sink.rows == rows
    assert (writer.written, writer.dropped, writer.queued) == (len(rows), 0, 0)


async def test_after_an_outage_pauses_start_short_again(writer: LedgerWriter, sink: Sink, clock: ManualClock) -> None:
    for row in entries(2):
        sink.available = False
        writer.append(row)
        await clock.advance(FLUSH_INTERVAL_S)
        assert clock.pauses_s == [FLUSH_INTERVAL_S]
        sink.available = True
        await clock.advance(FLUSH_INTERVAL_S)
    assert writer.written == 2


async def test_a_row_that_the_database_refuses_does_not_hold_up_the_others(
    writer: LedgerWriter, sink: Sink, clock: ManualClock
) -> None:
    rows = entries(5)
    sink.refused = {rows[2].request_id}
    for row in rows:
        writer.append(row)
    await clock.advance(FLUSH_INTERVAL_S)
    assert sink.rows == [*rows[:2], *rows[3:]]
    assert (writer.written, writer.dropped, writer.queued) == (4, 1, 0)


async def test_a_full_queue_keeps_what_it_has_and_counts_what_it_cannot_take(sink: Sink, clock: ManualClock) -> None:
    writer = LedgerWriter(sink.insert, clock, max_rows=3)
    rows = entries(5)
    for row in rows:
        writer.append(row)
    assert (writer.queued, writer.dropped) == (3, 2)
    writer.start()
    await writer.close(1)
    assert sink.rows == rows[:3]


async def test_closing_writes_what_is_queued_without_waiting(sink: Sink, clock: ManualClock) -> None:
    writer = LedgerWriter(sink.insert, clock)
    writer.start()
    rows = entries(BATCH_ROWS + 7)
    for row in rows:
        writer.append(row)
    await writer.close(1)
    assert sink.rows == rows
    assert clock.elapsed_s == 0


async def test_closing_gives_up_at_its_deadline_and_says_how_much_is_lost(sink: Sink, clock: ManualClock) -> None:
    sink.available = False
    writer = LedgerWriter(sink.insert, clock)
    writer.start()
    for row in entries(4):
        writer.append(row)
    closing = asyncio.create_task(writer.close(1))
    await clock.advance(0.9)
    assert not closing.done()
    await clock.advance(0.1)
    await closing
    assert (writer.written, writer.dropped, writer.queued) == (0, 4, 0)


async def test_closing_during_an_outage_still_writes_if_it_ends_in_time(sink: Sink, clock: ManualClock) -> None:
    sink.available = False
    writer = LedgerWriter(sink.insert, clock)
    writer.start()
    writer.append(an_entry())
    await clock.advance(FLUSH_INTERVAL_S)
    closing = asyncio.create_task(writer.close(5))
    await settle()
    sink.available = True
    await clock.advance(FLUSH_INTERVAL_S)
    await closing
    assert (writer.written, writer.dropped) == (1, 0)


async def test_closing_what_was_never_started_counts_its_rows_as_lost(sink: Sink, clock: ManualClock) -> None:
    writer = LedgerWriter(sink.insert, clock)
    writer.append(an_entry())
    await writer.close(1)
    assert writer.dropped == 1


async def test_a_locked_database_loses_nothing_and_stores_nothing_twice(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "gateway.db"
    await asyncio.to_thread(migrate, f"sqlite:///{path}")
    database = await Database.open(f"sqlite:///{path}")
    store = UsageStore(database)
    refused, stored = asyncio.Event(), asyncio.Event()

    async def insert(rows: Sequence[Entry]) -> int:
        try:
            new = await store.insert_attempts(rows)
        except DatabaseUnavailable:
            refused.set()
            raise
        stored.set()
        return new

    writer = LedgerWriter(insert, clock)
    writer.start()
    rows = entries(20)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for row in rows[:10]:
        writer.append(row)
    await clock.advance(FLUSH_INTERVAL_S)
    async with asyncio.timeout(30):
        await refused.wait()
    for row in [*rows[10:], rows[0]]:
        writer.append(row)
    assert writer.queued == 21
    other.execute("ROLLBACK")
    other.close()
    await clock.advance(FLUSH_INTERVAL_S)
    async with asyncio.timeout(30):
        await stored.wait()
    await writer.close(30)
    latest = await store.attempts(limit=100)
    await database.close()
    assert [row["request_id"] for row in reversed(latest)] == [row.request_id for row in rows]
    assert (writer.written, writer.dropped, writer.queued) == (20, 0, 0)
