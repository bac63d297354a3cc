"""Brings what was written to the disk: one ``fdatasync`` in a thread for all that was written meanwhile."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Final, NamedTuple

from gateway.errors import LedgerUnavailable
from gateway.ledger.segments import FileCalls, Segment

SYNC_AFTER_S: Final = 0.025
"""From the first write that is not on the disk to the begin of the sync that brings it there."""
RETRY_AFTER_S: Final = 1.0
"""Between syncs of a disk that keeps failing: each try takes a new segment."""
HANGS_AFTER_S: Final = 5.0
"""A sync that takes so long may never end."""
FAILURES_TO_GIVE_UP: Final = 2
"""Failed syncs in a row after which nobody waits any longer."""
_REFUSED: Final = "the journal's disk does not take the row of this request"


class _Job(NamedTuple):
    batch: list[tuple[Segment, int]]
    """Segments, and how many of their frames it brings to the disk."""
    written: int
    """How many frames had been written at its begin."""
    future: "Future[list[OSError | None]]"


class GroupSync:
    """Knows which segments have frames that are not on the disk, and who waits for them.

    ``cleaned`` is told of a segment that has none left; ``failed`` of one that could not be synced, whose file is
    never synced again: the kernel may say yes the second time without having kept the bytes. ``rewrite`` is given the
    frames to write anew then.
    """

    def __init__(
        self,
        files: FileCalls,
        thread: Executor,
        cleaned: Callable[[Segment], None],
        failed: Callable[[Segment, OSError], None],
        rewrite: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._files = files
        self._thread = thread
        self._cleaned = cleaned
        self._failed = failed
        self._rewrite = rewrite
        self._dirty: list[Segment] = []
        self._timer: asyncio.TimerHandle | None = None
        self._job: _Job | None = None
        """The sync that is under way."""
        self._begun_at = 0.0
        self._patience: asyncio.TimerHandle | None = None
        """When those who wait for it are let go."""
        self._due = False
        self._closed = False
        self._written = 0
        self._synced = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.failures = 0
        """Syncs that failed."""
        self.failing = 0
        """Of these, those since the last good one."""

    @property
    def gave_up(self) -> bool:
        """Whether the disk failed so often in a row that nobody waits for it."""
        return self.failing >= FAILURES_TO_GIVE_UP

    @property
    def hangs(self) -> bool:
        """Whether the disk has not answered for so long that nobody should begin to wait for it."""
        job = self._job
        return job is not None and not job.future.done() and time.monotonic() - self._begun_at > HANGS_AFTER_S

    def wrote(self, segment: Segment, frame: bytes) -> None:
        """Take note of a frame that was written to a segment, and see that it gets to the disk."""
        if not segment.unsynced:
            self._dirty.append(segment)
        segment.unsynced.append(frame)
        self._written += 1
        if self._timer is None and not self._due and not self._closed:
            self._schedule()

    async def done(self) -> None:
        """Return when all that was written so far is on the disk.

        Raises:
            LedgerUnavailable: the disk failed twice in a row, or has not answered for ``HANGS_AFTER_S``.
        """
        if self._synced == self._written:
            return
        if self.hangs:
            raise LedgerUnavailable(_REFUSED)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((self._written, waiter))
        self._sync_soon()
        await waiter

    def close(self) -> None:
        """Sync what is left, in this thread, and let those who wait go; call it when the sync thread has ended."""
        self._closed = True
        self._cancel_timer()
        self._cancel_patience()
        self._finished()
        for _ in range(FAILURES_TO_GIVE_UP):
            if self._dirty:
                self._begin()
                self._finished()
        self._give_up()

    def _schedule(self) -> None:
        delay = RETRY_AFTER_S if self.gave_up else SYNC_AFTER_S
        self._timer = asyncio.get_running_loop().call_later(delay, self._now)

    def _sync_soon(self) -> None:
        # In the loop's next round, so that those who come in this one share it. A failing disk keeps to its timer.
        if not self.gave_up and not self._due and not self._closed:
            self._cancel_timer()
            self._due = True
            asyncio.get_running_loop().call_soon(self._now)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _now(self) -> None:
        self._timer = None
        self._due = True
        if self._job is None and not self._closed:
            self._due = False
            if self._dirty:
                self._begin()

    def _begin(self) -> None:
        batch = [(segment, len(segment.unsynced)) for segment in self._dirty]
        descriptors = [segment.descriptor for segment, _ in batch]
        if self._closed:
            future: Future[list[OSError | None]] = Future()
            future.set_result(self._sync(descriptors))
            self._job = _Job(batch, self._written, future)
            return
        loop = asyncio.get_running_loop()
        self._begun_at = time.monotonic()
        # Not a limit for each who waits: who comes to a sync that may never end need not wait as long again.
        self._patience = loop.call_later(HANGS_AFTER_S, self._give_up)
        future = self._thread.submit(self._sync, descriptors)
        self._job = _Job(batch, self._written, future)
        future.add_done_callback(lambda _: self._tell(loop))

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(self._finished)

    def _sync(self, descriptors: Sequence[int]) -> list[OSError | None]:
        return [self._error_of(descriptor) for descriptor in descriptors]

    def _error_of(self, descriptor: int) -> OSError | None:
        try:
            self._files.sync(descriptor)
        except OSError as error:
            return error
        return None

    def _finished(self) -> None:
        job, self._job = self._job, None
        if job is None:  # ``close`` was faster
            return
        self._cancel_patience()
        due, self._due = self._due, False
        errors = job.future.result()
        again = self._to_write_again(job, errors)
        failed = False
        for (segment, count), error in zip(job.batch, errors, strict=True):
            if error is not None:
                failed = True
                self._dirty.remove(segment)
                segment.unsynced = []
                self._failed(segment, error)
                continue
            del segment.unsynced[:count]
            if not segment.unsynced:
                self._dirty.remove(segment)
                self._cleaned(segment)
        if failed:
            self.failures += 1
            self.failing += 1
            self._rewrite(again)
            if self.gave_up or not self._dirty:
                self._give_up()
        else:
            self.failing = 0
            self._synced = job.written
            self._release_waiters()
        if self._dirty and not self._closed:
            if (due or self._waiters) and not self.gave_up:
                self._sync_soon()
            elif self._timer is None:
                self._schedule()

    def _to_write_again(self, job: _Job, errors: Sequence[OSError | None]) -> list[bytes]:
        """Return the frames that a failed sync may have lost, and all that were written behind them.

        Behind them too, so that no attempt's first record comes to stand behind its last.
        """
        failed = next((segment for (segment, _), error in zip(job.batch, errors, strict=True) if error), None)
        if failed is None:
            return []
        return [frame for segment in self._dirty[self._dirty.index(failed) :] for frame in segment.unsynced]

    def _release_waiters(self) -> None:
        while self._waiters and self._waiters[0][0] <= self._synced:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _give_up(self) -> None:
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(LedgerUnavailable(_REFUSED))
        self._waiters.clear()
