"""Time, injected: whoever needs it is given a ``Clock``, so that tests can stand on any day and never sleep."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from random import getrandbits
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_VERSION_AND_VARIANT: Final = 0x7 << 76 | 0b10 << 62


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


def time_ordered_id(at: datetime) -> str:
    """Return a UUIDv7 (RFC 9562), as text, of an instant.

    It holds the time to the microsecond, then 62 random bits. Ids sort by time; it is derived from the injected clock,
    and no two are equal even when that clock stands still or is set back. As text, since that is how it travels: making
    a ``UUID`` would cost more than the rest.
    """
    milliseconds, microseconds = divmod((at - _EPOCH) // _MICROSECOND, 1000)
    # The 12 bits behind the version hold the fraction of a millisecond.
    fraction = (microseconds << 12) // 1000
    digits = "%032x" % (milliseconds << 80 | fraction << 64 | _VERSION_AND_VARIANT | getrandbits(62))
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
