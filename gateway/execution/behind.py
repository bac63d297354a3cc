"""Work behind the answers, in a thread of its own: the event loop hands it over in batches, and never waits for it."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from gateway.metrics import Counters

EVERY_S: Final = 0.05
AT_ONCE: Final = 64 * 1024

T = TypeVar("T")


class Behind(Generic[T]):
    """Gathers items in the event loop's thread; ``work`` takes them in its own, within ``every_s`` or ``at_once``.

    ``work`` returns how much of a batch was lost. What comes while ``most`` waits is lost at once. Sizes are in
    whatever ``put`` is told; what is lost is counted in ``dropped``, as many as ``put`` is told.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[T]], int],
        dropped: Counters,
        *,
        most: int,
        every_s: float = EVERY_S,
        at_once: int = AT_ONCE,
    ) -> None:
        self._work = work
        self._dropped = dropped
        self._most, self._every_s, self._at_once = most, every_s, at_once
        self._items: list[T] = []
        self._size = 0
        self._batches: SimpleQueue[tuple[list[T], int] | None] = SimpleQueue()
        self._handed_over = self._done = 0
        """Sizes: the first is written by the loop's thread alone, the second by the other one alone."""
        self._lost = self._told_lost = 0
        self._timer: asyncio.TimerHandle | None = None
        # Whoever takes nothing must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T, size: int, counts: int = 1) -> None:
        """Take one item; never waits."""
        if self._size + self._handed_over - self._done > self._most:
            self._dropped.inc(counts)
            return
        self._items.append(item)
        self._size += size
        if self._size >= self._at_once:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self.flush)

    def flush(self) -> None:
        """Hand over what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._items:
            self._handed_over += self._size
            self._batches.put((self._items, self._size))
            self._items, self._size = [], 0
        self._count_lost()

    def close(self, within_s: float) -> None:
        """Hand over the rest and wait for its end, but not for ever."""
        self.flush()
        self._batches.put(None)
        self._thread.join(within_s)
        self._count_lost()

    def _count_lost(self) -> None:
        lost = self._lost
        self._dropped.inc(lost - self._told_lost)
        self._told_lost = lost

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            items, size = batch
            self._lost += self._work(items)
            self._done += size
