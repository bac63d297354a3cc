"""Reads a journal back, of this process or of one that died: rows for the database, and the attempts left open."""

import os
from contextlib import suppress
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from gateway.ledger import frames, records
from gateway.ledger.entry import Entry
from gateway.ledger.frames import Bad, Blank, Frame, Position, Short
from gateway.ledger.segments import keep_damaged, segment_numbers, segment_path

CHUNK_BYTES: Final = 256 << 10
BATCH_BYTES: Final = 1 << 20
"""A batch ends behind this much, however few rows it holds: the loop waits for it."""


class Batch(NamedTuple):
    """What was read at once."""

    entries: list[Entry]
    """Settled attempts, in order. An attempt may come twice; fewer than asked for, or none, does not mean the end."""
    checkpoint: Position
    """Everything before it is in this batch or earlier ones, and no attempt that began before it is open."""
    end: bool
    """Nothing more had been written when it was read."""


class JournalReader:
    """Reads on from a position; searches on behind damage, which it counts and logs.

    ``live``: its writer is this thread, and goes on writing. Of a journal whose process is gone, the rest of every
    segment is looked through, since nothing will come there any more.
    """

    def __init__(self, directory: Path, start: Position | None = None, *, live: bool = False) -> None:
        self.damaged = 0
        """Stretches and records that could not be read."""
        self.torn = 0
        """Writes that were cut off at the end of a dead journal, which is normal."""
        self._directory = directory
        self._live = live
        self._log = structlog.get_logger("ledger")
        self._at = start or Position(0, 0)
        self._descriptor = -1
        self._buffer = b""
        self._buffer_at = 0
        self._blank_from = Position(0, 0)
        """From here to its segment's end nothing was written, as was seen."""
        self._open: dict[bytes, tuple[Position, bytes]] = {}
        """Attempts without their last word: where they began, and their intent. In the order they began."""
        self._progress: dict[bytes, bytes] = {}
        self._doubtful: dict[bytes, None] = {}
        """Those that were open when damage was met, in the order they began, and were not heard of since: the damage
        may be their last word."""

    @property
    def checkpoint(self) -> Position:
        """Where a replay may start after all that was read so far."""
        return next(iter(self._open.values()))[0] if self._open else self._at

    def batch(self, most: int) -> Batch:
        """Read up to ``most`` rows. Raises ``OSError`` where the files cannot be read."""
        entries: list[Entry] = []
        left = BATCH_BYTES
        while len(entries) < most and left > 0:
            payload = self._next()
            if payload is None:
                return Batch(entries, self.checkpoint, True)
            position, record = payload
            left -= len(record)
            entry = self._taken(position, record)
            if entry is not None:
                entries.append(entry)
        return Batch(entries, self.checkpoint, False)

    @property
    def in_doubt(self) -> bool:
        """Whether there are attempts whose last word may be what could not be read."""
        return bool(self._doubtful)

    def expired(self, before: datetime) -> list[Entry]:
        """Give up attempts that began before an instant and whose last word may be what could not be read.

        Returned once, as interrupted rows; they hold no checkpoint any more. Without damage nothing is given up. To be
        asked when everything was read: what was not may be their last word too.
        """
        rows = []
        while self._doubtful:
            key = next(iter(self._doubtful))
            row = self._orphan(key, *self._open[key])
            if row is not None and row.started_at >= before:
                break
            self._forget(key)
            if row is not None:
                rows.append(row)
        return rows

    def orphans(self) -> list[Entry]:
        """Return the attempts left open as interrupted rows, with the output that their last progress tells of."""
        rows = (self._orphan(key, position, record) for key, (position, record) in self._open.items())
        return [row for row in rows if row is not None]

    def backlog_bytes(self, end: Position) -> int:
        """Return how many bytes were not read yet, up to an end; segments in between count by their files' size."""
        if end.segment <= self._at.segment:
            return max(0, end.offset - self._at.offset) if end.segment == self._at.segment else 0
        backlog = end.offset - self._at.offset
        for number in segment_numbers(self._directory):
            if self._at.segment <= number < end.segment:
                with suppress(FileNotFoundError):  # released meanwhile
                    backlog += segment_path(self._directory, number).stat().st_size
        return max(0, backlog)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _taken(self, position: Position, record: bytes) -> Entry | None:
        """Take note of a record; returns the row of a settle."""
        try:
            kind, key = record[0], records.attempt_id_of(record)
            if kind == records.SETTLE:
                entry = records.entry_of(record)
                self._forget(key)
                return entry
            if kind == records.INTENT:
                self._open.setdefault(key, (position, record))
            elif kind == records.PROGRESS and key in self._open:
                self._progress[key] = record
                self._doubtful.pop(key, None)
        except (ValueError, TypeError, IndexError) as error:
            self._damage(position, len(record), repr(error))
        return None

    def _forget(self, key: bytes) -> None:
        self._open.pop(key, None)
        self._progress.pop(key, None)
        self._doubtful.pop(key, None)

    def _orphan(self, key: bytes, position: Position, record: bytes) -> Entry | None:
        try:
            entry, price = records.intent_of(record)
            tokens = records.progress_of(self._progress[key]) if key in self._progress else 0
        except (ValueError, TypeError, IndexError, ArithmeticError) as error:
            self._damage(position, len(record), repr(error))
            return None
        return entry._replace(output_tokens=tokens, cost_nanousd=_cost(entry.cost_nanousd, tokens, price))

    def _next(self) -> tuple[Position, bytes] | None:
        """Return the next record and its place; None: there is none (yet)."""
        while self._descriptor >= 0 or self._opened():
            position = self._at
            got = frames.read(self._buffer, position.offset - self._buffer_at)
            if not isinstance(got, Frame) and not isinstance(got, Bad):
                got = self._read_anew()
            if isinstance(got, Frame):
                self._at = Position(position.segment, self._buffer_at + got.next)
                return position, got.payload
            if isinstance(got, Blank):
                following = self._following()
                if (self._live and following is None) or not self._more_behind():
                    if following is None:
                        return None
                    self._go_to(following)
                    continue
            self._search()
        return None

    def _read_anew(self) -> Frame | Blank | Short | Bad:
        """Read from the file what stands here now: the buffer ends here, or is older than what was written since."""
        offset = self._at.offset
        head = os.pread(self._descriptor, frames.HEADER, offset)
        got = frames.read(head, 0)
        self._buffer_at = offset
        self._buffer = head
        if isinstance(got, Blank):
            return got
        wanted = got.bytes if isinstance(got, Short) else 0
        self._buffer = os.pread(self._descriptor, max(CHUNK_BYTES, wanted), offset)
        return frames.read(self._buffer, 0)

    def _opened(self) -> bool:
        """Open the segment to read, or the first one behind it; False: there is none."""
        wanted = self._at.segment
        number = next((number for number in segment_numbers(self._directory) if number >= wanted), None)
        if number is None:
            return False
        if number != wanted:
            self._at = Position(number, 0)
        self._descriptor = os.open(segment_path(self._directory, number), os.O_RDONLY | os.O_CLOEXEC)
        self._buffer, self._buffer_at = b"", self._at.offset
        return True

    def _following(self) -> int | None:
        """Return the segment to go on with when this one holds no more; of a live journal one that was begun."""
        try:
            numbers = [number for number in segment_numbers(self._directory) if number > self._at.segment]
        except FileNotFoundError:
            if not self._live:
                raise
            # Somebody removed the directory; what is open here can be read to its end.
            return None
        return next((number for number in numbers if not self._live or self._begun(number)), None)

    def _begun(self, number: int) -> bool:
        try:
            with segment_path(self._directory, number).open("rb") as file:
                return bool(file.read(frames.HEADER).strip(b"\0"))
        except FileNotFoundError:
            # A reserve that the writer's thread could not make after all.
            return False

    def _go_to(self, number: int) -> None:
        expected = self._at.segment + 1
        self.close()
        self._at = Position(number, 0)
        if any(not segment_path(self._directory, missing).exists() for missing in range(expected, number)):
            self._met_damage()
            self._log.error("journal_segment_missing", directory=str(self._directory), first=expected, behind=number)

    def _more_behind(self) -> bool:
        """Whether something stands behind a place where nothing does: looked at once for each place."""
        if self._blank_from == self._at:
            return False
        offset = self._at.offset
        while chunk := os.pread(self._descriptor, CHUNK_BYTES, offset):
            if chunk.strip(b"\0"):
                return True
            offset += len(chunk)
        self._blank_from = self._at
        return False

    def _search(self) -> None:
        """Go on at the next good frame of this segment, or behind all that was written to it."""
        position = self._at
        size = os.fstat(self._descriptor).st_size
        rest = os.pread(self._descriptor, max(0, size - position.offset), position.offset)
        found = frames.find(rest, 1)
        if found is None:
            found = len(rest.rstrip(b"\0"))
            if not self._live and frames.is_torn(rest, 0) and not self._begun_later():
                self.torn += 1
                self._log.warning("journal_torn", file=str(self._path), offset=position.offset, bytes=found)
            else:
                self._damage(position, found, "no good record behind it")
        else:
            self._damage(position, found, "checksum or length")
        self._at = Position(position.segment, position.offset + found)
        self._buffer, self._buffer_at = b"", self._at.offset

    def _begun_later(self) -> bool:
        return any(self._begun(number) for number in segment_numbers(self._directory) if number > self._at.segment)

    @property
    def _path(self) -> Path:
        return segment_path(self._directory, self._at.segment)

    def _met_damage(self) -> None:
        self.damaged += 1
        self._doubtful |= dict.fromkeys(self._open)

    def _damage(self, position: Position, length: int, error: str) -> None:
        self._met_damage()
        path = segment_path(self._directory, position.segment)
        kept: str | None
        try:
            kept = str(keep_damaged(path))
        except OSError as failure:
            kept = None
            error = f"{error}; and not kept: {failure}"
        self._log.error("journal_damaged", file=str(path), offset=position.offset, bytes=length, kept=kept, error=error)


class SegmentReport(NamedTuple):
    """What one segment's file holds, for a person."""

    path: Path
    intents: int
    progress: int
    settled: int
    damaged: list[tuple[int, int]]
    """Stretches that cannot be read: offset and length in bytes."""
    torn: int | None
    """Where a write was cut off; normal at the end of a process's last segment."""


def frames_of(path: Path) -> SegmentReport:
    """Read one segment through, changing nothing. Raises ``OSError``."""
    scan = frames.scan(path.read_bytes())
    kinds = [payload[0] for _, payload in scan.frames]
    return SegmentReport(
        path,
        kinds.count(records.INTENT),
        kinds.count(records.PROGRESS),
        kinds.count(records.SETTLE),
        scan.damaged,
        scan.torn,
    )


def _cost(input_nanousd: int | None, output_tokens: int, price: Decimal | None) -> int | None:
    """Price an interrupted attempt; an output whose price is not known makes the whole unpriced."""
    if input_nanousd is None or (price is None and output_tokens):
        return None
    cost = input_nanousd + output_tokens * (price or Decimal())
    return int(cost.to_integral_value(ROUND_HALF_EVEN))
