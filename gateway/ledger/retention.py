"""Deletes rows that are older than the ledger is to remember; hourly totals stay."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.ledger.delivery import Rows
from gateway.store.database import DatabaseUnavailable

FIRST_AFTER_S: Final = 60.0
"""A start has better things to do."""
EVERY_S: Final = 3600.0
SLICE_ROWS: Final = 2_000
BREATH_S: Final = 0.25
"""Between two slices: others' writes come first, and in SQLite only one can write."""

log = structlog.get_logger("ledger")


class Retention:
    """The task that deletes, on every replica: two that do it at once find less to do each."""

    def __init__(self, rows: Callable[[], Rows], days: Callable[[], int], clock: Clock) -> None:
        """``days``: returns for how long rows are kept, by the configuration in force."""
        self._rows = rows
        self._days = days
        self._clock = clock

    async def run(self) -> None:
        """Delete once an hour what has become too old."""
        await self._clock.sleep(FIRST_AFTER_S)
        while True:
            try:
                await self.delete()
            except DatabaseUnavailable as error:
                log.warning("ledger_retention_waits", error=str(error))
            except Exception:
                log.exception("ledger_retention_failed")
            await self._clock.sleep(EVERY_S)

    async def delete(self) -> int:
        """Delete all that is too old now and return how many rows were. Raises ``DatabaseUnavailable``."""
        before = self._clock.now() - timedelta(days=self._days())
        deleted = 0
        while True:
            slice_ = await self._rows().delete_older(before, SLICE_ROWS)
            deleted += slice_
            if slice_ < SLICE_ROWS:
                break
            await self._clock.sleep(BREATH_S)
        if deleted:
            log.info("ledger_rows_expired", rows=deleted, before=before.isoformat())
        return deleted
