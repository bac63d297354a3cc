"""A journal's directory and files: made with their room allocated, locked by the process that writes them."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from gateway.ledger.frames import Position

SEGMENT_BYTES: Final = 16 << 20
LOCK: Final = "lock"
DATABASE: Final = "database"
SUFFIX: Final = ".seg"

_sync: Final = getattr(os, "fdatasync", os.fsync)


class FileCalls:
    """The calls by which bytes get to the disk; tests let them fail, and count what was synced."""

    def allocate(self, descriptor: int, size: int) -> None:
        """Give a file all its room, so that later writes into it cannot find the disk full."""
        if not hasattr(os, "posix_fallocate"):  # macOS: for development
            os.ftruncate(descriptor, size)
            return
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            os.ftruncate(descriptor, size)

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write; returns how many bytes went in."""
        return os.pwrite(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        """Return when the file's bytes are on the disk."""
        _sync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        """Return when a directory's names are on the disk."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Segment:
    """One file that frames are written to."""

    __slots__ = ("descriptor", "end", "number", "path", "unsynced")

    def __init__(self, path: Path, number: int, descriptor: int) -> None:
        self.path = path
        self.number = number
        self.descriptor = descriptor
        self.end = 0
        """Where the next frame goes."""
        self.unsynced: list[bytes] = []
        """Frames that may not be on the disk yet, in order."""

    @classmethod
    def create(cls, directory: Path, number: int, size: int, files: FileCalls) -> "Segment":
        """Make a segment with all its room. Raises ``OSError``, and leaves nothing behind then."""
        path = segment_path(directory, number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            files.allocate(descriptor, size)
            files.sync_directory(directory)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return cls(path, number, descriptor)

    def cut(self) -> None:
        """Give back the room behind the last frame, and what a failed write left there."""
        os.ftruncate(self.descriptor, self.end)

    def close(self) -> None:
        """Let go of the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def segment_path(directory: Path, number: int) -> Path:
    """Return where a segment lies."""
    return directory / f"{number:08d}{SUFFIX}"


def segment_numbers(directory: Path) -> list[int]:
    """Return the numbers of the segments that there are, in order. Raises ``OSError``."""
    names = (name.removesuffix(SUFFIX) for name in os.listdir(directory) if name.endswith(SUFFIX))
    return sorted(int(name) for name in names if name.isdecimal())


def take_lock(directory: Path, *, create: bool = False) -> int | None:
    """Take a journal's lock; returns its descriptor, which holds it until it is closed.

    None: another process has it, or there is none (any more): the directory is nobody's to touch.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        descriptor = os.open(directory / LOCK, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def used_bytes(directory: Path) -> int:
    """Return about how many bytes a journal takes: room that was only allocated does not count.

    An upper bound: what was allocated counts once its blank rest has been read. Raises ``OSError``.
    """
    return sum(_used(segment_path(directory, number)) for number in segment_numbers(directory))


def _used(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size, at, used = os.fstat(descriptor).st_size, 0, 0
        while at < size:
            try:
                begin = os.lseek(descriptor, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but holes from here on
                    break
                raise
            at = os.lseek(descriptor, begin, os.SEEK_HOLE)
            used += at - begin
        return used
    finally:
        os.close(descriptor)


def release_segments(directory: Path, before: Position) -> None:
    """Remove the segments of a journal whose process is gone that lie wholly before a position. Raises ``OSError``."""
    for number in segment_numbers(directory):
        if number < before.segment:
            segment_path(directory, number).unlink(missing_ok=True)


def remove_journal(directory: Path) -> None:
    """Remove a journal that is empty; call it with its lock held. Its lock goes last. Raises ``OSError``."""
    for number in segment_numbers(directory):
        segment_path(directory, number).unlink(missing_ok=True)
    for name in (DATABASE, LOCK):
        (directory / name).unlink(missing_ok=True)
    directory.rmdir()


def keep_damaged(path: Path) -> Path:
    """Keep a damaged segment when its journal is gone, under a name of its own beside the journal's directory.

    By a second name of the same file, so that whoever removes the segment need not know. Raises ``OSError``.
    """
    kept = path.parent.parent / f"{path.parent.name}-{path.name}.damaged"
    if not kept.exists():
        os.link(path, kept)
    return kept
