"""What the database knows of all routes: since when they stand as they do, the last day's figures, and evidence."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from gateway.lifecycle.report_figures import Totals
from gateway.policy.planner import Command
from gateway.policy.sketch import Sketch, merged, quantile
from gateway.policy.standing import RouteState
from gateway.policy.usage import Cell, Used
from gateway.reasons import Role
from gateway.store.database import Database
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.report import ReportStore
from gateway.store.states import StateStore

LOOKED_BACK: Final = timedelta(hours=24)
_TIMES: Final = ("duration_ms", "ttft_ms")


@dataclass(frozen=True, slots=True)
class DayOfRoute:
    """What a route did for callers in the last day, whole hours of it."""

    requests: int
    failed: int
    """Attempts without an answer."""
    on_fallback: float
    """Share of requests, 0 to 1."""
    per_request: Decimal | None
    """Nano-dollars; None: nothing is priced."""
    p95_ms: float | None
    first_token_p95_ms: float | None
    """Of streams."""


@dataclass(frozen=True, slots=True)
class RoutesKept:
    """What was read."""

    states: Mapping[str, RouteState] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)
    living: Sequence[tuple[str, datetime]] = ()
    """Configurations of the replicas that were heard of in the last minute."""
    days: Mapping[str, DayOfRoute] = field(default_factory=dict)
    evaluations: Sequence[Evaluation] = ()
    """The latest of each, newest first."""


NOTHING_KEPT: Final = RoutesKept()


async def read_routes(database: Database, now: datetime) -> RoutesKept:
    """Read it. May raise ``DatabaseUnavailable``."""
    since, until = last_day(now)
    shared = await StateStore(database, "").read(now)
    used = await ReportStore(database).used(since, until, spread=_TIMES)
    evaluations = await EvaluationStore(database).latest()
    return RoutesKept(shared.routes, shared.commands, shared.living, days_of(used), evaluations)


def last_day(now: datetime) -> tuple[datetime, datetime]:
    """Return the last 24 hours and the hour that runs: whole hours, so that only totals are read."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return hour - LOOKED_BACK, hour + timedelta(hours=1)


def days_of(used: Used) -> dict[str, DayOfRoute]:
    """Add up by route what was answered live."""
    cells: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in used.cells:
        if cell.kind == "live":
            cells[cell.route].append(cell)
    durations: defaultdict[str, list[Sketch]] = defaultdict(list)
    first_tokens: defaultdict[str, list[Sketch]] = defaultdict(list)
    for who, spread in used.spreads.items():
        durations[who.route].append(spread.duration_ms)
        first_tokens[who.route].append(spread.ttft_ms)
    return {
        name: _day_of(found, merged(*durations[name]), merged(*first_tokens[name])) for name, found in cells.items()
    }


def _day_of(cells: Sequence[Cell], durations: Sketch, first_tokens: Sketch) -> DayOfRoute:
    totals = Totals.of(cells)
    on_fallback = sum(cell.requests for cell in cells if cell.role is Role.FALLBACK)
    return DayOfRoute(
        totals.requests,
        totals.failed,
        on_fallback / totals.requests if totals.requests else 0.0,
        totals.per_request,
        quantile(durations, 0.95),
        quantile(first_tokens, 0.95),
    )
