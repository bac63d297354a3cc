"""What learns from live traffic, as long as the server runs."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.clock import Clock
from gateway.execution.accounting import Accounting
from gateway.execution.prepared import Snapshot
from gateway.execution.sweeper import Sweeper
from gateway.execution.target_board import TargetBoard
from gateway.learning.asking import Asker
from gateway.learning.capture.worker import CaptureWorker
from gateway.learning.listener import Listener
from gateway.learning.rehearsals import Rehearsals
from gateway.metrics import Gauge, Metrics
from gateway.store.captured import CapturedStore
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.rehearsals import RehearsalStore

CLOSE_S: Final = 3.0
DIFFERENCE: Final = Gauge(
    "gateway_rehearsal_difference",
    "Mean of the latest pairs, fallback minus primary: cost_usd, duration_seconds, first_token_seconds; and their "
    "agreement, from 0 to 1.",
    ("route", "measure"),
)
PAIRS: Final = Gauge("gateway_rehearsal_pairs", "Pairs that gateway_rehearsal_difference is the mean of.", ("route",))
GAUGES: Final = (DIFFERENCE, PAIRS)


class LiveLearning:
    """Capture and rehearsals behind the requests of one replica."""

    def __init__(
        self,
        accounting: Accounting,
        board: TargetBoard,
        sweeper: Sweeper,
        snapshot: Callable[[], Snapshot],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._captured: CapturedStore | None = None
        self._rehearsed: RehearsalStore | None = None
        self._snapshot = snapshot
        self._tasks: list[asyncio.Task[None]] = []
        self._capture = CaptureWorker(
            lambda: self._captured, clock, lambda route, outcome: metrics.captured.labels(route, outcome).inc()
        )
        self._rehearsals = Rehearsals(Asker(accounting, clock, sweeper), board, lambda: self._rehearsed, metrics, clock)
        self.listener = Listener(self._capture, self._rehearsals)
        self.holds = self._capture.holds
        """Tells whether a request with this id is about to be captured."""
        metrics.registry.register(RehearsalCollector(self._rehearsals))

    def start(self) -> None:
        """Begin to work on what the listener hears."""
        self._tasks = [
            asyncio.create_task(self._capture.run(), name="capture"),
            asyncio.create_task(self._rehearsals.run(), name="rehearsals"),
        ]

    async def opened(self, database: Database) -> None:
        """Take over a database that is there now. May raise ``DatabaseUnavailable``."""
        self._captured, self._rehearsed = CapturedStore(database), RehearsalStore(database)
        routes = self._snapshot().routes.routes
        await self._rehearsals.remember([name for name, route in routes.items() if route.rehearsal is not None])

    async def close(self) -> None:
        """Stop, and write what waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            with contextlib.suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._rehearsals.close()
        finally:
            # Whatever went wrong, its process must not outlive this one.
            await self._capture.close(CLOSE_S)


class RehearsalCollector(Collector):
    """Says of every route that rehearses how its fallback compares with its primary, request by request."""

    def __init__(self, rehearsals: Rehearsals) -> None:
        self._rehearsals = rehearsals

    def collect(self) -> Iterator[Metric]:
        """Yield the means of the latest pairs."""
        difference, pairs = (gauge.family() for gauge in GAUGES)
        for route, measure, mean in self._rehearsals.means():
            difference.add_metric([route, measure], mean)
        for route, latest in self._rehearsals.pairs.items():
            pairs.add_metric([route], len(latest))
        yield from (difference, pairs)
