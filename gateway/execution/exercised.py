"""When each route's fallback last answered anything: a fallback that nobody tries is a hope, not an understudy."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.store.database import DatabaseUnavailable
from gateway.store.usage import UsageStore

log = structlog.get_logger()
EVERY_S: Final = 300.0
UNTIL_OPEN_S: Final = 1.0
_AGAIN: Final = timedelta(days=2)
"""Totals are by the day, and another replica may bring rows late."""


class Exercised:
    """Told by live answers at once, and by the ledger's totals every five minutes."""

    def __init__(self, usage: Callable[[], UsageStore | None], clock: Clock) -> None:
        self._usage = usage
        self._clock = clock
        self._last: dict[str, float] = {}
        self._read_at: datetime | None = None

    @property
    def is_known(self) -> bool:
        """Whether the totals were read since the start; before, nobody can say never."""
        return self._read_at is not None

    def last(self, route: str) -> float:
        """Return when, in Unix time; 0: never, as far as is known."""
        return self._last.get(route, 0.0)

    def answered(self, route: str, at: float) -> None:
        """Note an answer by a fallback."""
        if at > self._last.get(route, 0.0):
            self._last[route] = at

    async def run(self) -> None:
        """Keep at it."""
        while True:
            try:
                await self.read()
            except DatabaseUnavailable as error:
                log.warning("exercised_fallbacks_unknown", error=str(error))
            except Exception:
                # Nobody waits for this task: what it does not say is never heard of.
                log.exception("exercised_fallbacks_unknown")
            await self._clock.sleep(EVERY_S if self._usage() is not None else UNTIL_OPEN_S)

    async def read(self) -> None:
        """Take over what the totals say: all of them at first, then those of the latest days."""
        usage = self._usage()
        if usage is None:
            return
        now = self._clock.now()
        since = self._read_at - _AGAIN if self._read_at is not None else None
        for route, at in (await usage.fallbacks_answered(since)).items():
            self.answered(route, at.timestamp())
        self._read_at = now
