"""Journals looked at from outside, by a command that changes nothing: who writes them, how full, how damaged."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.ledger import frames, records
from gateway.ledger.frames import Position
from gateway.ledger.refused import FILE as REFUSED
from gateway.ledger.replay import SegmentReport, frames_of
from gateway.ledger.segments import DATABASE, LOCK, segment_numbers, segment_path, used_bytes

DAMAGED: Final = ".damaged"


@dataclass(frozen=True, slots=True)
class JournalSeen:
    """One journal's directory."""

    name: str
    directory: Path
    live: bool
    """Whether its process runs."""
    database: str | None
    """Where its rows go; None: it does not say."""
    bytes: int
    """Written to it and not yet removed."""


@dataclass(frozen=True, slots=True)
class RootSeen:
    """Everything below a journal root."""

    root: Path
    journals: list[JournalSeen]
    damaged: list[Path]
    """Segments that were kept because something in them cannot be read."""
    refused: int
    """Rows that the database refused for their own sake."""

    @property
    def bytes(self) -> int:
        """Bytes in all journals."""
        return sum(journal.bytes for journal in self.journals)


def look(root: Path) -> RootSeen:
    """Look at a root; one that is not there has nothing in it. Raises ``OSError`` where it may not be read."""
    try:
        names = sorted(root.iterdir())
    except FileNotFoundError:
        return RootSeen(root, [], [], 0)
    journals = [seen for path in names if path.is_dir() and (seen := _seen(path)) is not None]
    return RootSeen(root, journals, [path for path in names if path.name.endswith(DAMAGED)], _lines(root / REFUSED))


def reports(journal: JournalSeen) -> Iterator[SegmentReport]:
    """Read every segment of a journal through. One that is removed meanwhile, since the database has it, is left out.

    Raises ``OSError``.
    """
    for number in segment_numbers(journal.directory):
        with suppress(FileNotFoundError):
            yield frames_of(segment_path(journal.directory, number))


def rows_behind(journal: JournalSeen, start: Position | None) -> Iterator[tuple[str, datetime]]:
    """Yield id and time of each attempt behind a position that has its row or is about to, as they were written.

    Those that were settled, by their end; where no process is left to settle the others, those too, by their start.
    Reads a segment at a time, so stop where that is enough. Raises ``OSError``.
    """
    behind = start or Position(0, 0)
    for number in segment_numbers(journal.directory):
        if number < behind.segment:
            continue
        with suppress(FileNotFoundError):
            written = segment_path(journal.directory, number).read_bytes()
            for _, payload in frames.scan(written[behind.offset if number == behind.segment else 0 :]).frames:
                with suppress(ValueError, TypeError):
                    if payload[0] == records.SETTLE:
                        settled = records.entry_of(payload)
                        yield settled.attempt_id, settled.finished_at
                    elif payload[0] == records.INTENT and not journal.live:
                        begun = records.intent_of(payload).entry
                        yield begun.attempt_id, begun.started_at


def is_live(directory: Path) -> bool:
    """Tell whether a journal's process runs: the kernel opens its lock when it dies in any way.

    The lock is asked for as a reader's, so that two who look at once do not take each other for the process. Raises
    ``OSError``.
    """
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _seen(directory: Path) -> JournalSeen | None:
    """Return what a directory holds; None: no journal (yet), or none any more."""
    try:
        if directory.name.startswith(".") or not (directory / LOCK).exists():
            return None
        database = (directory / DATABASE).read_text(encoding="utf-8", errors="replace").strip()
        return JournalSeen(directory.name, directory, is_live(directory), database or None, used_bytes(directory))
    except FileNotFoundError:
        # Taken up and removed while we looked.
        return None


def _lines(path: Path) -> int:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return sum(1 for _ in file)
    return 0
