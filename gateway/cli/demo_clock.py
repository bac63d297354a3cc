"""The demo's calendar: days that pass in seconds, while waits and durations stay what they are."""

from datetime import datetime, timedelta

from gateway.clock import Clock


class AcceleratedClock:
    """A clock whose dates run ahead until they have caught up with the day on which the demo was started.

    It stands still until ``begin``, then covers ``days`` in ``seconds``, and from then on goes at the usual pace.
    Only ``now`` is fast: deadlines, durations and pauses are those of ``real``, so whatever is measured is true.
    """

    def __init__(self, real: Clock, *, days: float, seconds: float) -> None:
        self._real = real
        self._days, self._seconds = timedelta(days=days), seconds
        self.starts: datetime = real.now() - self._days
        self._began: float | None = None

    @property
    def speed(self) -> float:
        """How many times faster than life its days pass."""
        return self._days.total_seconds() / self._seconds

    def begin(self) -> None:
        """Have the calendar move."""
        self._began = self._real.monotonic()

    def now(self) -> datetime:
        """Return the instant of the demo's calendar."""
        elapsed_s = 0.0 if self._began is None else self._real.monotonic() - self._began
        fast_s = min(elapsed_s, self._seconds)
        return self.starts + self._days * (fast_s / self._seconds) + timedelta(seconds=elapsed_s - fast_s)

    def monotonic(self) -> float:
        """Return real seconds."""
        return self._real.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Pause for real seconds."""
        await self._real.sleep(seconds)
