"""Calls one token of targets that nobody has called for long, so that lost access is found before it is needed."""

from collections.abc import Callable
from datetime import datetime

import structlog

from gateway.clock import Clock
from gateway.config.routes import Target
from gateway.execution.prepared import Snapshot
from gateway.policy.upkeep import is_due
from gateway.store.database import DatabaseUnavailable
from gateway.store.usage import UsageStore

log = structlog.get_logger()
FIRST_AFTER_S = 60.0
EVERY_S = 600.0


class IdleTargets:
    """Looks every ten minutes who is due; replicas see each other's probes in the ledger."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        usage: Callable[[], UsageStore | None],
        exercise: Callable[[Target], None],
        clock: Clock,
    ) -> None:
        self._snapshot = snapshot
        self._usage = usage
        self._exercise = exercise
        self._clock = clock
        self._probed: dict[tuple[str, str], datetime] = {}

    async def run(self) -> None:
        """Keep at it."""
        await self._clock.sleep(FIRST_AFTER_S)
        while True:
            try:
                await self.look()
            except DatabaseUnavailable as error:
                log.warning("idle_targets_unknown", error=str(error))
            except Exception:
                # Nobody waits for this task: what it does not say is never heard of.
                log.exception("idle_targets_unknown")
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Probe whoever is due now."""
        usage = self._usage()
        if usage is None:
            return
        served = await usage.last_served()
        now = self._clock.now()
        for prepared in self._snapshot().prepared.values():
            for name, target in prepared.targets.items():
                last = max(
                    (seen for seen in (served.get(target.key), self._probed.get(target.key)) if seen is not None),
                    default=None,
                )
                if is_due(target.target, target.dates, last, now):
                    log.info("idle_target_probed", provider=target.key[0], model=target.key[1], target=name)
                    self._probed[target.key] = now
                    self._exercise(target.target)
