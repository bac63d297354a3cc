"""Tells of counts that cannot be believed: a metric for each, a line in the log once a minute for a target."""

from typing import Final

import structlog

from gateway.clock import Clock
from gateway.execution.attempts import Attempt

log = structlog.get_logger()
EVERY_S: Final = 60.0
MOST_TARGETS: Final = 10_000


class Rejections:
    """Hears of every attempt whose provider's count was rejected."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}

    def seen(self, attempt: Attempt) -> None:
        """Count one, and log it unless this target's last one was logged within the minute; never what was counted."""
        prepared = attempt.prepared
        prepared.meters.usage_rejected.inc()
        now = self._clock.monotonic()
        told_at = self._told.get(prepared.key)
        if told_at is not None and now - told_at < EVERY_S:
            return
        if len(self._told) >= MOST_TARGETS:
            self._told.clear()
        self._told[prepared.key] = now
        provider, model = prepared.key
        log.warning("usage_rejected", provider=provider, model=model, request_id=attempt.request.id)
