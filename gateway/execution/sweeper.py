"""One slow tick for everything that waits, instead of a timer for each of them."""

import asyncio
from typing import Protocol

TICK_S = 0.05
HELD_S = 0.2
"""A tick that comes so much too late: something held the loop, and answers that came in time are still unread."""


class Waiting(Protocol):
    """Something that is under way."""

    def sweep(self, now: float) -> None:
        """Look whether its time is over; ``now`` is the loop's time."""


class Sweeper:
    """Ticks only while something is under way. A deadline is kept to within one tick."""

    def __init__(self) -> None:
        self._waiting: set[Waiting] = set()
        self._ticking = False
        self._due = 0.0
        self._has_waited = False

    def add(self, waiting: Waiting) -> None:
        """Look after something until it is discarded."""
        self._waiting.add(waiting)
        if not self._ticking:
            self._ticking = True
            self._tick_later(asyncio.get_running_loop())

    def discard(self, waiting: Waiting) -> None:
        """Look after it no longer."""
        self._waiting.discard(waiting)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._due > HELD_S and not self._has_waited:
            # Timers come before what has arrived: one tick later it is read, and nobody is late for our own sake.
            # Only one: a loop that is always late must keep deadlines, too.
            self._has_waited = True
            self._tick_later(loop)
            return
        self._has_waited = False
        try:
            for waiting in tuple(self._waiting):
                waiting.sweep(now)
        finally:
            # Whatever one of them raised, the others still have deadlines.
            self._ticking = bool(self._waiting)
            if self._ticking:
                self._tick_later(loop)

    def _tick_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + TICK_S
        loop.call_later(TICK_S, self._tick)
