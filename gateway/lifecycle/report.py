"""What a period cost, and how it went: the ledger's figures held against the configuration. No I/O, no clock."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeVar

from gateway.config.routes import Route, Routes, Target
from gateway.lifecycle.forecast_traffic import ENOUGH_MEASURED, prompt_tokens
from gateway.lifecycle.report_figures import (
    ExtraBasis,
    ExtraCost,
    FallbackUse,
    Line,
    Percentiles,
    Period,
    Report,
    RouteUse,
    TargetUse,
    Totals,
)
from gateway.policy.pricing import Price
from gateway.policy.sketch import Sketch, quantile
from gateway.policy.standing import RouteState
from gateway.policy.usage import Answerer, Cell, LabelCell, Spread, Used
from gateway.providers.prices import PriceBook
from gateway.reasons import Role
from gateway.store.sums import OTHER

LIVE: Final = "live"
_T = TypeVar("_T")
_K = TypeVar("_K")


def report(
    used: Used,
    period: Period,
    *,
    routes: Routes | None = None,
    book: PriceBook | None = None,
    standings: Mapping[str, RouteState] = MappingProxyType({}),
    dimension: str | None = None,
    labels: Sequence[LabelCell] = (),
) -> Report:
    """Make the report. Without ``routes`` there are no owners, and no extra cost is computed.

    ``labels`` are needed by key and by tag; for days ``used`` must have been asked for them.
    """
    known = routes.routes if routes is not None else {}
    by_route = _grouped(used.cells, lambda cell: cell.route)
    live = [cell for cell in used.cells if cell.kind == LIVE]
    return Report(
        period,
        tuple(
            _route_use(name, known.get(name), by_route[name], used.spreads, book, standings.get(name))
            # Probes belong to no route.
            for name in sorted(by_route)
            if name
        ),
        Totals.of(live),
        sum(cell.requests for cell in live if cell.role is Role.FALLBACK),
        _learning(used.cells),
        dimension,
        _lines(dimension, live, labels),
        used.is_cut,
    )


def percentiles(sketch: Sketch) -> Percentiles | None:
    """Read them off a sketch; None: nothing is in it."""
    p50, p95, p99 = (quantile(sketch, share) for share in (0.5, 0.95, 0.99))
    if p50 is None or p95 is None or p99 is None:
        return None
    return Percentiles(sum(sketch.values()), p50, p95, p99)


def _route_use(
    name: str,
    route: Route | None,
    cells: Sequence[Cell],
    spreads: Mapping[Answerer, Spread],
    book: PriceBook | None,
    standing: RouteState | None,
) -> RouteUse:
    live = [cell for cell in cells if cell.kind == LIVE]
    by_answerer = _grouped(live, lambda cell: Answerer(cell.route, cell.target, cell.provider, cell.model))
    targets = [_target_use(answerer, found, spreads.get(answerer)) for answerer, found in by_answerer.items()]
    targets.sort(key=lambda use: (use.role is Role.FALLBACK, -use.totals.attempts, use.answerer))
    fallback = _fallback_use(route, live, book)
    return RouteUse(name, route, Totals.of(live), tuple(targets), fallback, standing, _learning(cells))


def _target_use(answerer: Answerer, cells: Sequence[Cell], spread: Spread | None) -> TargetUse:
    spread = spread or Spread()
    times = (percentiles(each) for each in (spread.duration_ms, spread.ttft_ms, spread.overhead_ms))
    return TargetUse(answerer, cells[0].role, Totals.of(cells), *times)


def _fallback_use(route: Route | None, live: Sequence[Cell], book: PriceBook | None) -> FallbackUse | None:
    answered = [cell for cell in live if cell.role is Role.FALLBACK and cell.requests]
    if not answered:
        return None
    reasons = {reason: Totals.of(cells).requests for reason, cells in _grouped(answered, lambda c: c.reason).items()}
    return FallbackUse(
        Totals.of(answered).requests,
        Totals.of(live).requests,
        min(cell.first_at for cell in answered),
        max(cell.last_at for cell in answered),
        dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        _extra_cost(route, live, answered, book),
    )


def _extra_cost(
    route: Route | None, live: Sequence[Cell], answered: Sequence[Cell], book: PriceBook | None
) -> ExtraCost | None:
    fallback = Totals.of(answered)
    primary = Totals.of(cell for cell in live if cell.role is Role.PRIMARY)
    spent, usual, basis = fallback.per_request, primary.per_request, ExtraBasis.MEASURED
    if primary.priced < ENOUGH_MEASURED or usual is None:
        usual, basis = _usual(route, answered, book), ExtraBasis.COMPUTED
    if spent is None or usual is None:
        return None
    return ExtraCost(round((spent - usual) * fallback.priced), basis, spent, usual, fallback.priced)


def _usual(route: Route | None, answered: Sequence[Cell], book: PriceBook | None) -> Decimal | None:
    """Return what a request would have cost on the primary, by the fallback's tokens without its prompt."""
    if route is None or route.primary is None or book is None:
        return None
    price = book.lookup(route.primary.provider.name, route.primary.model)
    by_name = {target.name: target for target in route.fallbacks}
    requests = sum(cell.requests for cell in answered)
    if price is None or not requests:
        return None
    cost = sum((_without_prompt(cell, by_name.get(cell.target), price) for cell in answered), Decimal(0))
    return cost / requests


def _without_prompt(cell: Cell, target: Target | None, price: Price) -> Decimal:
    prompt = prompt_tokens(target.prompt) if target is not None else 0
    asked = max(0, cell.input_tokens - cell.requests * prompt)
    return asked * price.input + cell.output_tokens * price.output


def _learning(cells: Iterable[Cell]) -> dict[str, Totals]:
    groups = _grouped((cell for cell in cells if cell.kind != LIVE), lambda cell: cell.kind)
    return {kind: Totals.of(groups[kind]) for kind in sorted(groups)}


def _lines(dimension: str | None, live: Sequence[Cell], labels: Sequence[LabelCell]) -> tuple[Line, ...]:
    if dimension is None:
        return ()
    if dimension == "day":
        days = _grouped((cell for cell in live if cell.day is not None), lambda cell: cell.day or date.min)
        span = range((max(days) - min(days)).days + 1) if days else ()
        return tuple(Line(str(day), Totals.of(days.get(day, ()))) for day in (min(days) + timedelta(n) for n in span))
    if dimension in _LABELS:
        return _by_size(_grouped(live, _LABELS[dimension]))
    _, _, name = dimension.partition(":")
    # What a day had no room for may be of this tag, too: left out, it would be missing without a word.
    kept = [cell for cell in labels if not name or cell.label == OTHER or cell.label.startswith(f"{name}=")]
    return _by_size(_grouped(kept, lambda cell: cell.label.removeprefix(f"{name}=") if name else cell.label))


_LABELS: Final[Mapping[str, Callable[[Cell], str]]] = {
    "team": lambda cell: cell.team or "(nobody's)",
    "target": lambda cell: f"{cell.provider}: {cell.model}",
    "model": lambda cell: cell.model,
    "reason": lambda cell: cell.reason,
}


def _by_size(groups: Mapping[str, Sequence[Cell]] | Mapping[str, Sequence[LabelCell]]) -> tuple[Line, ...]:
    lines = [Line(label, Totals.of(cells)) for label, cells in groups.items()]
    return tuple(sorted(lines, key=lambda line: (-line.totals.cost_nanousd, -line.totals.attempts, line.label)))


def _grouped(cells: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    groups: dict[_K, list[_T]] = defaultdict(list)
    for cell in cells:
        groups[key(cell)].append(cell)
    return groups
