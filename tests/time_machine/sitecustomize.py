"""Moves the gateway's clock for a whole test run and every process it starts: `make future`.

Python imports this by itself where this directory is on PYTHONPATH. Only the one seam is moved, ``SystemClock.now``;
what durations and deadlines are measured with is not.
"""

import os
from datetime import UTC, datetime, timedelta

from gateway.clock import SystemClock

AHEAD = timedelta(days=int(os.environ["UNDERSTUDY_DAYS_AHEAD"]))


def later(self: SystemClock) -> datetime:
    return datetime.now(UTC) + AHEAD


SystemClock.now = later  # type: ignore[method-assign]
