"""One route's targets side by side, and its days in a row: the figures behind the charts. No I/O."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import sqrt
from typing import Final

from gateway.api.pages.route_kept import RouteKept
from gateway.config.routes import Route
from gateway.lifecycle.report_figures import Totals
from gateway.policy.sketch import Sketch, merged, quantile
from gateway.policy.usage import Cell
from gateway.reasons import Role
from gateway.store.rehearsals import Pair

LEAST_PAIRS: Final = 30
"""Below, an interval of means says nothing."""
_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class TargetFigures:
    """What one target did for callers in the period, whichever of its models answered."""

    name: str
    role: Role
    models: tuple[str, ...]
    requests: int
    failed: int
    attempts: int
    per_request: Decimal | None
    """Nano-dollars."""
    input_tokens: float | None
    """Per request."""
    output_tokens: float | None
    p50_ms: float | None
    p95_ms: float | None
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None
    share: float
    """Of the route's requests."""

    @property
    def errors(self) -> float | None:
        """The share of attempts without an answer."""
        return self.failed / self.attempts if self.attempts else None


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One day."""

    day: date
    primary: int
    """Requests."""
    fallback: int
    cost_nanousd: int
    fallback_nanousd: int
    """Of the cost."""

    @property
    def requests(self) -> int:
        """Of both."""
        return self.primary + self.fallback


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95 % interval; None where there are too few."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What rehearsals showed: the fallback minus the primary, on the same requests."""

    pairs: int
    target: str
    cost_nanousd: Mean | None
    duration_ms: Mean | None
    first_token_ms: Mean | None
    agreement: Mean | None
    """How much alike the answers are, from 0 to 1."""


def targets_of(route: Route, kept: RouteKept) -> tuple[TargetFigures, ...]:
    """Return every target of the route, in its order; then those that answered once and are no longer in it."""
    cells: defaultdict[tuple[Role, str], list[Cell]] = defaultdict(list)
    for cell in kept.used.cells:
        if cell.kind == "live":
            cells[cell.role, cell.target].append(cell)
    configured = [(target.role, target.name) for target in route.targets]
    total = sum(cell.requests for found in cells.values() for cell in found)
    return tuple(
        _target(role, name, cells.get((role, name), ()), kept, total)
        for role, name in dict.fromkeys((*configured, *sorted(cells)))
    )


def _target(role: Role, name: str, cells: Sequence[Cell], kept: RouteKept, total: int) -> TargetFigures:
    totals = Totals.of(cells)
    spreads = [spread for who, spread in kept.used.spreads.items() if who.target == name]
    durations: Sketch = merged(*(spread.duration_ms for spread in spreads))
    first_tokens: Sketch = merged(*(spread.ttft_ms for spread in spreads))
    requests = totals.requests
    return TargetFigures(
        name,
        role,
        tuple(dict.fromkeys(cell.model for cell in sorted(cells, key=lambda cell: cell.last_at, reverse=True))),
        requests,
        totals.failed,
        totals.attempts,
        totals.per_request,
        totals.input_tokens / requests if requests else None,
        totals.output_tokens / requests if requests else None,
        quantile(durations, 0.5),
        quantile(durations, 0.95),
        quantile(first_tokens, 0.5),
        quantile(first_tokens, 0.95),
        requests / total if total else 0.0,
    )


def days_of(kept: RouteKept) -> tuple[DayFigures, ...]:
    """Return every day of the period from the first that had requests; days without any are gaps, not missing."""
    cells: defaultdict[date, list[Cell]] = defaultdict(list)
    for cell in kept.used.cells:
        if cell.kind == "live" and cell.day is not None:
            cells[cell.day].append(cell)
    if not cells:
        return ()
    first, last = min(cells), kept.period.now.date()
    return tuple(
        _day(day, cells.get(day, ())) for day in (first + timedelta(n) for n in range((last - first).days + 1))
    )


def _day(day: date, cells: Sequence[Cell]) -> DayFigures:
    totals, fallback = Totals.of(cells), Totals.of(cell for cell in cells if cell.role is Role.FALLBACK)
    requests, cost = fallback.requests, fallback.cost_nanousd
    return DayFigures(day, totals.requests - requests, requests, totals.cost_nanousd, cost)


def rehearsed(pairs: Sequence[Pair]) -> Rehearsed | None:
    """Add rehearsals up: those of the target that rehearsed last; None: there are none."""
    if not pairs:
        return None
    target = pairs[-1].target
    of_target = [pair for pair in pairs if pair.target == target]
    return Rehearsed(
        len(of_target),
        target,
        mean_of([float(pair.cost_nanousd) for pair in of_target if pair.cost_nanousd is not None]),
        mean_of([pair.duration_ms for pair in of_target]),
        mean_of([pair.ttft_ms for pair in of_target if pair.ttft_ms is not None]),
        mean_of([pair.agreement for pair in of_target if pair.agreement is not None]),
    )


def mean_of(values: Sequence[float]) -> Mean | None:
    """Return a mean and, of enough values, its interval by the normal approximation."""
    count = len(values)
    if not count:
        return None
    mean = sum(values) / count
    if count < LEAST_PAIRS:
        return Mean(mean, None, None)
    half = _Z * sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    return Mean(mean, mean - half, mean + half)
