"""Writes frames to segments: on to the next where one is full or failed, with one more always allocated ahead."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from gateway.ledger.frames import Position
from gateway.ledger.group_sync import GroupSync
from gateway.ledger.segments import FileCalls, Segment

RESERVE_RETRY_S: Final = 1.0
LONGEST_WAIT_S: Final = 1.0
"""For a reserve that is being made while the segment before it is full already."""


class SegmentWriter:
    """The segment that is written to, those before it, and the reserve behind it.

    The reserve is why a full disk loses no row of a request in flight: its room was allocated before.
    """

    def __init__(self, directory: Path, size: int, files: FileCalls) -> None:
        """Make the first segment and its reserve. Raises ``OSError``."""
        self._directory = directory
        self._size = size
        self._files = files
        self._log = structlog.get_logger("ledger")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self.sync = GroupSync(files, self._thread, self._cleaned, self._failed, self._rewrite)
        first = Segment.create(directory, 1, size, files)
        try:
            self._spare: Segment | None = Segment.create(directory, 2, size, files)
        except OSError:
            first.close()
            raise
        self._current: Segment | None = first
        self._newest = 2
        self._making: Future[Segment] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._sealed: dict[int, Segment] = {}
        self._released = Position(0, 0)
        self._homeless: deque[bytes] = deque()
        """Frames that a failed sync may have lost, for which there is no segment just now."""
        self._parked: deque[bytes] = deque()
        self.wrote_parked: Callable[[], None] = lambda: None
        """Called when frames that were parked have been written."""
        self._closed = False
        self.used = 0
        """Bytes written to segments that are still there."""
        self.has_reserve = True
        """False while the disk has no room for one, or fails."""

    @property
    def end(self) -> Position:
        """Where the next frame goes."""
        if self._current is None:
            return Position(self._newest if self._spare is not None else self._newest + 1, 0)
        return Position(self._current.number, self._current.end)

    @property
    def writable(self) -> bool:
        """Whether there is a segment to write to."""
        return self._current is not None or self._spare is not None

    @property
    def largest(self) -> int:
        """How many bytes a frame may have."""
        return self._size

    def write(self, frame: bytes) -> bool:
        """Write a frame; False: there is no room, or the disk fails. Logged."""
        if self._homeless:
            # Older frames first: an intent behind its own settle would look like an attempt that never ends.
            self._write_homeless()
            if self._homeless:
                return False
        segment = self._current
        if segment is None or segment.end + len(frame) > self._size:
            segment = self._advance()
            if segment is None:
                return False
        if self._put(segment, frame):
            return True
        segment = self._advance()
        if segment is not None and self._put(segment, frame):
            return True
        # Twice in a row: it is the disk, not the file. Another try waits for a new reserve.
        self._seal(cut=True)
        return False

    def park(self, frame: bytes) -> None:
        """Keep in memory a frame that could not be written, until there is room again."""
        self._parked.append(frame)

    @property
    def parked(self) -> int:
        """Frames that wait in memory for room."""
        return len(self._parked)

    def release(self, before: Position) -> None:
        """Remove the sealed segments that lie wholly before a position."""
        self._released = max(self._released, before)
        for number in [number for number in self._sealed if number < self._released.segment]:
            segment = self._sealed[number]
            if segment.unsynced:
                continue  # its sync is under way; then
            del self._sealed[number]
            self.used -= segment.end
            if self._closed:
                self._unlink(segment.path)
            else:
                self._thread.submit(self._unlink, segment.path)

    def close(self) -> None:
        """Sync what is left and let go of the files."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._thread.shutdown(wait=True)
        if self._making is not None and self._making.exception() is None:
            self._spare = self._making.result()
        self._write_homeless()
        self._write_parked()
        self.sync.close()
        for segment in (self._current, self._spare, *self._sealed.values()):
            if segment is not None:
                segment.close()

    def _put(self, segment: Segment, frame: bytes) -> bool:
        try:
            written = self._files.write(segment.descriptor, frame, segment.end)
            if written != len(frame):
                raise OSError(f"only {written} of {len(frame)} bytes were written")
        except OSError as error:
            self._log.error("journal_write_failed", file=str(segment.path), offset=segment.end, error=str(error))
            self._seal(cut=True)
            return False
        segment.end += written
        self.used += written
        self.sync.wrote(segment, frame)
        return True

    def _advance(self) -> Segment | None:
        """Seal the current segment and begin the reserve; None: there is none."""
        self._seal(cut=False)
        if self._making is not None:
            if self.has_reserve:
                with suppress(NotInTime, OSError):
                    self._making.result(LONGEST_WAIT_S)
            self._reserve_made()
        self._current, self._spare = self._spare, None
        if self._current is not None and not self._current.path.exists():
            # Whoever removed it removed what would be written to it, too: nobody can read that back.
            self._log.error("journal_segment_gone", file=str(self._current.path))
            self._current.close()
            self._current = None
        if self._current is not None:
            self._make_reserve()
        elif self._retry is None and self._making is None:
            self.has_reserve = False
            self._retry_later()
        return self._current

    def _seal(self, *, cut: bool) -> None:
        segment, self._current = self._current, None
        if segment is None:
            return
        if cut:
            # What a failed write left behind would look like damage; the rest of its room is wanted elsewhere.
            with suppress(OSError):
                segment.cut()
        self._sealed[segment.number] = segment
        if not segment.unsynced:
            segment.close()

    def _make_reserve(self) -> None:
        if self._closed or self._making is not None or self._spare is not None:
            return
        self._retry = None
        self._making = self._thread.submit(Segment.create, self._directory, self._newest + 1, self._size, self._files)
        loop = asyncio.get_running_loop()
        self._making.add_done_callback(lambda _: self._tell(loop))

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(self._reserve_arrived)

    def _reserve_arrived(self) -> None:
        self._reserve_made()
        if self.writable:
            self._write_homeless()
            self._write_parked()

    def _reserve_made(self) -> None:
        """Take up what the thread made, if it is done; called again where it was not."""
        making = self._making
        if self._closed or making is None:
            return
        if not making.done():
            self.has_reserve = False
            return
        self._making = None
        error = making.exception()
        if error is not None:
            if self.has_reserve:
                self._log.error("journal_reserve_failed", directory=str(self._directory), error=str(error))
            self.has_reserve = False
            self._retry_later()
            return
        if not self.has_reserve:
            self._log.info("journal_reserve_back", directory=str(self._directory))
        self._spare = making.result()
        self._newest = self._spare.number
        self.has_reserve = True

    def _retry_later(self) -> None:
        if self._retry is None and not self._closed:
            self._retry = asyncio.get_running_loop().call_later(RESERVE_RETRY_S, self._make_reserve)

    def _write_homeless(self) -> None:
        frames, self._homeless = self._homeless, deque()
        while frames and self.write(frames[0]):
            frames.popleft()
        self._homeless = frames + self._homeless

    def _write_parked(self) -> None:
        if not self._parked:
            return
        while self._parked and self.write(self._parked[0]):
            self._parked.popleft()
        self.wrote_parked()

    def _cleaned(self, segment: Segment) -> None:
        if segment is not self._current:
            segment.close()
            self.release(self._released)

    def _failed(self, segment: Segment, error: OSError) -> None:
        """Let go of a segment that could not be synced; its file is not synced again."""
        self._log.error("journal_sync_failed", file=str(segment.path), offset=segment.end, error=str(error))
        if segment is self._current:
            self._seal(cut=True)
        segment.close()

    def _rewrite(self, frames: Sequence[bytes]) -> None:
        """Write to another segment what a failed one may have lost."""
        # Those that still have no place were written behind these.
        self._homeless.extendleft(reversed(frames))
        self._write_homeless()
        self.release(self._released)

    def _unlink(self, path: Path) -> None:
        try:
            os.unlink(path)
        except OSError as error:
            self._log.error("journal_segment_not_removed", file=str(path), error=str(error))
