"""One slow tick for everything that waits, instead of a timer for each of them."""

import asyncio
from typing import Protocol

TICK_S = 0.05


class Waiting(Protocol):
    """Something that is under way."""

    def sweep(self, now: float) -> None:
        """Look whether its time is over; ``now`` is the loop's time."""


class Sweeper:
    """Ticks only while something is under way. A deadline is kept to within one tick."""

    def __init__(self) -> None:
        self._waiting: set[Waiting] = set()
        self._ticking = False

    def add(self, waiting: Waiting) -> None:
        """Look after something until it is discarded."""
        self._waiting.add(waiting)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def discard(self, waiting: Waiting) -> None:
        """Look after it no longer."""
        self._waiting.discard(waiting)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        try:
            for waiting in tuple(self._waiting):
                waiting.sweep(now)
        finally:
            # Whatever one of them raised, the others still have deadlines.
            self._ticking = bool(self._waiting)
            if self._ticking:
                loop.call_later(TICK_S, self._tick)
