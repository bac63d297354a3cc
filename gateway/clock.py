"""Time, injected: whoever needs it is given a ``Clock``, so that tests can stand on any day and never sleep."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the gateway asks of time."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC: for dates and records."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards: for deadlines and durations."""

    async def sleep(self, seconds: float) -> None:
        """Pause the calling task."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the system's time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the system's monotonic time."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running loop."""
        await asyncio.sleep(seconds)
