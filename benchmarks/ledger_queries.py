"""What a large ledger's questions take: those of reports and pages, of forecasts, and of retention."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from benchmarks.figures import percentile
from benchmarks.ledger_databases import Store, opened
from benchmarks.ledger_generated import DAYS, UNTIL
from gateway.ledger.retention import SLICE_ROWS
from gateway.store.database import Database
from gateway.store.ledger_status import LedgerStatus
from gateway.store.report import ReportStore
from gateway.store.traffic import TrafficStore
from gateway.store.usage import UsageStore

Say = Callable[[str], None]
_Ask = Callable[[], Awaitable[object]]
_TIMES: Final = ("duration_ms", "ttft_ms", "overhead_ms")
NOW: Final = UNTIL - timedelta(minutes=23)
"""Within the hour that a report ends with."""
ENOUGH_S: Final = 20.0
"""A question that takes this long is not asked again and again."""


def measure(store: Store, runs: int, say: Say) -> dict[str, Any]:
    """Ask each question so many times."""
    return asyncio.run(_measure(store, runs, say))


def expire(store: Store, days: int = 1) -> dict[str, Any]:
    """Delete the oldest days' rows as retention does, without its pauses."""
    return asyncio.run(_expire(store, days))


async def _measure(store: Store, runs: int, say: Say) -> dict[str, Any]:
    database = await opened(store.url)
    try:
        figures = {}
        for name, ask in _questions(database).items():
            say(f"{store.name}: {name}")
            figures[name] = await _asked(ask, runs)
        return figures
    finally:
        await database.close()


def _questions(database: Database) -> Mapping[str, _Ask]:
    """Return the questions by what they are asked for."""
    report, traffic, status = ReportStore(database), TrafficStore(database), LedgerStatus(database)

    def used(days: int, *, by_day: bool = False, spread: tuple[str, ...] = (), routes: tuple[str, ...] = ()) -> _Ask:
        since = UNTIL - timedelta(days=days)
        return lambda: report.used(since, UNTIL, now=NOW, days=by_day, spread=spread, routes=routes)

    def labels(days: int) -> _Ask:
        return lambda: report.labels(UNTIL - timedelta(days=days), UNTIL, "key")

    return {
        "report, 1 day": used(1, spread=_TIMES),
        "report, 7 days": used(7, spread=_TIMES),
        "report, 30 days": used(30, spread=_TIMES),
        "report, 90 days": used(DAYS, spread=_TIMES),
        "report, 30 days, one route": used(30, spread=_TIMES, routes=("route-07",)),
        "report, 7 days, costs": used(7),
        "report, 30 days, costs": used(30),
        "report, 30 days by day, costs": used(30, by_day=True),
        "report, 7 days by key": labels(7),
        "report, 30 days by key": labels(30),
        "report: when the ledger began": report.began,
        "report: names of routes": report.routes,
        "break-even: answers since ever, one route": lambda: report.ever_served("route-07"),
        "status: what is held": status.holding,
        "status: unpriced, 7 days": lambda: status.unpriced(UNTIL - timedelta(days=7), UNTIL),
        "verify: answered twice, 1 day": lambda: status.answered_twice(UNTIL - timedelta(days=1), UNTIL),
        "forecast: traffic, 7 days": lambda: traffic.traffic(UNTIL),
    }


async def _asked(ask: _Ask, runs: int) -> dict[str, Any]:
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < runs and (len(taken) < 2 or time.perf_counter() - began < ENOUGH_S):
        start = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - start) * 1000)
    ordered = sorted(taken)
    return {
        "runs": len(taken), "best_ms": round(ordered[0], 1), "p50_ms": _round(percentile(ordered, 0.5)),
        "p95_ms": _round(percentile(ordered, 0.95)),
    }  # fmt: skip


async def _expire(store: Store, days: int) -> dict[str, Any]:
    database = await opened(store.url)
    usage, deleted, slices = UsageStore(database), 0, []
    before = UNTIL - timedelta(days=DAYS - days)
    try:
        began = time.perf_counter()
        while True:
            start = time.perf_counter()
            count = await usage.delete_older(before, SLICE_ROWS)
            slices.append((time.perf_counter() - start) * 1000)
            deleted += count
            if count < SLICE_ROWS:
                break
        seconds = time.perf_counter() - began
    finally:
        await database.close()
    ordered = sorted(slices)
    return {
        "database": store.name, "rows": deleted, "seconds": round(seconds, 2), "slices": len(slices),
        "rows_per_s": round(deleted / seconds), "slice_p50_ms": _round(percentile(ordered, 0.5)),
        "slice_p99_ms": _round(percentile(ordered, 0.99)),
    }  # fmt: skip


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
