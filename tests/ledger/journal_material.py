"""Journals for tests: made by hand or by a ``Journal``, on disks that fail, and damaged at will."""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from fake_clock import FakeClock

from gateway.config.routes_ledger import Ledger
from gateway.ledger import frames, records
from gateway.ledger.entry import Entry
from gateway.ledger.frames import Position
from gateway.ledger.journal import Intent, Journal
from gateway.ledger.replay import JournalReader
from gateway.ledger.segments import FileCalls, segment_path
from gateway.reasons import FailureKind, Outcome, UsageSource
from tests.store.rows import an_entry

PRICE = Decimal("600")


def an_intent(after: int = 0, *, price: Decimal | None = PRICE, **fields: Any) -> Intent:
    """Return the intent of an attempt that starts ``after`` milliseconds."""
    entry = an_entry(timedelta(milliseconds=after), request_id=f"req-{after}")
    entry = entry._replace(
        outcome=Outcome.INTERRUPTED,
        failure=FailureKind.INTERRUPTED,
        usage_source=UsageSource.INTERRUPTED,
        output_tokens=0,
        cost_nanousd=180_000,
        model_answered=None,
    )
    return Intent(entry._replace(**fields), price)


def settled(intent: Intent, **fields: Any) -> Entry:
    """Return the row with which an intent's attempt ended well."""
    return intent.entry._replace(
        outcome=Outcome.OK, failure=None, usage_source=UsageSource.PROVIDER, output_tokens=150, cost_nanousd=270_000
    )._replace(**fields)


class Record(NamedTuple):
    """One record as it is written, and what it says."""

    payload: bytes
    intent: Intent | None = None
    progress: tuple[str, int] | None = None
    entry: Entry | None = None

    @property
    def frame(self) -> bytes:
        return frames.encode(self.payload)


def mixed_records(count: int) -> list[Record]:
    """Return records of attempts of which every third stays open; short ones, since they are read a byte at a time."""
    short = {"model_asked": "m", "config_hash": "c", "instance": "i", "price_version": "p", "route": "r", "traits": ""}
    made: list[Record] = []
    number = 0
    while len(made) < count:
        intent = an_intent(number, **short)
        attempt_id = intent.entry.attempt_id
        made.append(Record(records.intent_payload(intent), intent=intent))
        made.append(Record(records.progress_payload(attempt_id, 32), progress=(attempt_id, 32)))
        if number % 3 == 1:
            made.append(Record(records.progress_payload(attempt_id, 64), progress=(attempt_id, 64)))
        else:
            entry = settled(intent)
            made.append(Record(records.settle_payload(entry), entry=entry))
        number += 1
    return made[:count]


def what_they_say(written: list[Record]) -> tuple[list[Entry], list[Entry]]:
    """Return rows and orphans of some records: the plainest reading there is, for comparison."""
    entries = [record.entry for record in written if record.entry is not None]
    ended = {entry.attempt_id for entry in entries}
    progress = dict(record.progress for record in written if record.progress is not None)
    orphans = []
    for record in written:
        if record.intent is None or record.intent.entry.attempt_id in ended:
            continue
        entry = record.intent.entry
        tokens = progress.get(entry.attempt_id, 0)
        orphans.append(entry._replace(output_tokens=tokens, cost_nanousd=180_000 + 600 * tokens))
    return entries, orphans


def written_by_hand(directory: Path, *segments: bytes, blank: int = 4096) -> Path:
    """Make a journal's directory whose segments hold these bytes, each with some room that was never written."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(segments, start=1):
        segment_path(directory, number).write_bytes(content + bytes(blank))
    return directory


class Reading(NamedTuple):
    entries: list[Entry]
    orphans: list[Entry]
    damaged: int
    torn: int
    checkpoint: Position


def read_all(directory: Path, start: Position | None = None, *, live: bool = False) -> Reading:
    """Read a journal through to its end."""
    reader = JournalReader(directory, start, live=live)
    try:
        entries: list[Entry] = []
        while True:
            batch = reader.batch(50)
            entries += batch.entries
            if batch.end:
                return Reading(entries, reader.orphans(), reader.damaged, reader.torn, batch.checkpoint)
    finally:
        reader.close()


class TestedFiles(FileCalls):
    """A real disk that fails on demand and remembers what was asked of it."""

    __test__ = False

    def __init__(self) -> None:
        self.full = False
        """No room is allocated any more."""
        self.failing_syncs = 0
        """So many syncs fail from now on."""
        self.failing_writes = 0
        self.short_writes = 0
        """So many writes stop half-way."""
        self.syncs: list[int] = []
        """The files that were asked to be synced, by inode: descriptors are given again."""
        self.failed: list[int] = []
        self.before_sync: Callable[[], None] = lambda: None

    def allocate(self, descriptor: int, size: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().allocate(descriptor, size)

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        if self.failing_writes:
            self.failing_writes -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.short_writes:
            self.short_writes -= 1
            data = data[: len(data) // 2]
        return super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        self.before_sync()
        inode = os.fstat(descriptor).st_ino
        self.syncs.append(inode)
        if self.failing_syncs:
            self.failing_syncs -= 1
            self.failed.append(inode)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)


@contextmanager
def a_journal(
    root: Path, files: FileCalls | None = None, *, segment_bytes: int = 1 << 20, **ledger: Any
) -> Iterator[Journal]:
    """Open a journal, and close it as one whose process goes on elsewhere: its directory stays."""
    journal = Journal.open(
        root,
        database="/data/ledger.db",
        clock=FakeClock(),
        ledger=Ledger(**ledger),
        files=files,
        segment_bytes=segment_bytes,
    )
    try:
        yield journal
    finally:
        journal.close(empty=False)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        await asyncio.sleep(0.005)


@contextmanager
def logged() -> Iterator[list[Any]]:
    """Collect what is logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def truncated_everywhere(directory: Path, written: list[Record]) -> None:
    """Cut a segment at every byte, from its end to its begin: what is whole before the cut must be read."""
    content = b"".join(record.frame for record in written)
    path = segment_path(written_by_hand(directory, content, blank=0), 1)
    ends = [0]
    for record in written:
        ends.append(ends[-1] + len(record.frame))
    whole, expected = len(written), what_they_say(written)
    with logged() as log:
        for size in range(len(content), -1, -1):
            os.truncate(path, size)
            reading = read_all(directory)
            if size < ends[whole]:
                whole -= 1
                expected = what_they_say(written[:whole])
            assert (reading.entries, reading.orphans) == expected, size
            assert reading.damaged == 0, size
            # A lone zero byte cannot be told from room that was never written, and holds nothing.
            assert reading.torn == (content[ends[whole] : size].strip(b"\0") != b""), size
            assert [line["event"] for line in log] == ["journal_torn"] * reading.torn, size
            log.clear()


def flipped_everywhere(directory: Path, written: list[Record], mask: Callable[[int], int]) -> None:
    """Change each byte of a segment, one at a time: all records but the one that was hit are read, and it is told."""
    content = b"".join(record.frame for record in written)
    path = segment_path(written_by_hand(directory, content), 1)
    with path.open("r+b", buffering=0) as file, logged() as log:
        begin = 0
        for hit, record in enumerate(written):
            expected = what_they_say(written[:hit] + written[hit + 1 :])
            for at in range(begin, begin + len(record.frame)):
                os.pwrite(file.fileno(), bytes((content[at] ^ mask(at),)), at)
                reading = read_all(directory)
                os.pwrite(file.fileno(), content[at : at + 1], at)
                assert (reading.entries, reading.orphans) == expected, at
                assert (reading.damaged, reading.torn) == (1, 0), at
                assert [(line["event"], line["log_level"], line["offset"]) for line in log] == [
                    ("journal_damaged", "error", begin)
                ], at
                assert log[0]["file"] == str(path)
                log.clear()
            begin += len(record.frame)
    assert (directory.parent / f"{directory.name}-{path.name}.damaged").samefile(path)
