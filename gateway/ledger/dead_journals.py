"""The journals of a root as directories: whose process is gone, what was never finished, how much they hold."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.ledger.segments import DATABASE, LOCK, remove_journal, segment_numbers, segment_path, take_lock

HALF_MADE_S: Final = 60.0
"""A directory without a journal in it is of somebody who is about to make one, or who died at it so long ago."""
_STEP: Final = 1 << 20


@contextmanager
def locked(directory: Path) -> Iterator[bool]:
    """Hold a journal's lock; False: its process lives, another took it up first, or it is gone.

    The kernel opens the lock when its holder dies in any way.
    """
    descriptor = take_lock(directory)
    if descriptor is None:
        yield False
        return
    try:
        # Unlinked meanwhile, by who took the journal up: it locks nothing any more.
        yield os.fstat(descriptor).st_nlink > 0
    finally:
        os.close(descriptor)


def journals_in(root: Path) -> list[Path]:
    """Return the directories of journals, oldest first; removes those that never became one."""
    found = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    return [path for path in found if not _half_made(path)]


def database_of(directory: Path) -> str | None:
    """Return where a journal's rows go; None: it does not say."""
    try:
        return (directory / DATABASE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def trimmed(directory: Path) -> int:
    """Give back the room of a dead journal that was never written to; return what is left, in bytes.

    A process makes room ahead: many that died soon would otherwise fill the disk with nothing. No frame ends in a zero.
    """
    return sum(_trim(segment_path(directory, number)) for number in segment_numbers(directory))


def _half_made(directory: Path) -> bool:
    """Tell whether there is no journal in a directory (yet); removes it where nobody is making one any more."""
    with contextlib.suppress(OSError):
        names = {file.name for file in directory.iterdir()}
        # A hidden one has not got its name yet.
        if not directory.name.startswith(".") and (DATABASE in names or names - {LOCK}):
            return False
        # A file's time is the machine's, so the machine's clock tells its age.
        if time.time() - directory.stat().st_mtime > HALF_MADE_S:
            with locked(directory) as is_mine:
                if is_mine or LOCK not in names:
                    remove_journal(directory)
    return True


def _trim(segment: Path) -> int:
    with segment.open("r+b") as file:
        size = end = os.fstat(file.fileno()).st_size
        while end > 0:
            start = max(0, end - _STEP)
            if written := os.pread(file.fileno(), end - start, start).rstrip(b"\0"):
                end = start + len(written)
                break
            end = start
        if end < size:
            file.truncate(end)
        return end
