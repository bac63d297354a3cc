"""The sentences of a report: the same in a terminal, in JSON, and on the page."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from gateway.lifecycle.break_even_words import per_1000
from gateway.lifecycle.forecast_words import counted, money, percent, signed
from gateway.policy.lifecycle import midnight

if TYPE_CHECKING:
    from gateway.lifecycle.report_figures import FallbackUse, Period, Report, RouteUse, TargetUse, Totals

_MOST_NAMES: Final = 10
_LEAST_SHOWN: Final = 100_000
"""Nano-dollars."""
_HOUR: Final = timedelta(hours=1)


def span_of(period: "Period") -> str:
    """Say which period it is: "7 days and today, 2026-11-22 00:00 to 2026-11-29 10:37 UTC"."""
    span = f"{_said(period.since)} to {_said(period.end)} UTC"
    if period.until <= period.now:
        return span
    if period.since == midnight(period.since.date()):
        days = (period.now.date() - period.since.date()).days
        return f"{counted(days, 'day')} and today, {span}" if days else f"today, {span}"
    hours = (period.end - period.since) // _HOUR
    return (
        f"{counted(hours, 'hour')}, {span}"
        if hours and period.since == period.since.replace(minute=0, second=0, microsecond=0)
        else span
    )


def headline(report: "Report") -> str:
    """Say the period, how much was asked, what it cost, and how much of it fallbacks answered."""
    totals = report.totals
    routes = sum(1 for use in report.routes if use.totals.attempts)
    asked = f"{counted(totals.requests, 'request')} to {counted(routes)}"
    said = f"{span_of(report.period)}: {asked} cost {cost(totals)}"
    if totals.requests and report.on_fallback:
        said += f"; fallbacks answered {percent(report.on_fallback, totals.requests)}"
    return said + "."


def on_fallback(use: "RouteUse", fallback: "FallbackUse", period: "Period") -> str:
    """Say how much of a route fallbacks answered, since when, why, and what that cost more."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in fallback.reasons.items())
    said = (
        f"{use.name}: {percent(fallback.requests, fallback.of)} on fallback ({fallback.requests:,} of {fallback.of:,}),"
        f" from {fallback.first_at:%Y-%m-%d %H:%M} to {fallback.last_at:%Y-%m-%d %H:%M} UTC: {reasons}."
    )
    state = use.standing
    if state is not None and state.standing.target not in (None, "primary"):
        since = f"{state.since:%Y-%m-%d %H:%M} UTC ({state.standing.reason.value})"
        said += f" Now answers {state.standing.target}, since {since}."
    extra = fallback.extra
    if extra is None and use.route is not None and use.route.primary is None:
        return said
    if extra is None:
        why = "a price is missing" if use.route is not None else "routes.yaml does not name the route"
        return f"{said} Its extra cost is not known: {why}."
    how = (
        "measured, on other requests of the same period"
        if extra.basis.value == "measured"
        else "computed: its tokens without the prompt, at the primary's price"
    )
    return (
        f"{said} Extra cost {signed(extra.nanousd)}: {per_1000(extra.fallback_per_request)} per 1,000 requests, the "
        f"primary's {per_1000(extra.primary_per_request)} ({how})."
    )


def cost(totals: "Totals") -> str:
    """Say what was paid, as far as there are prices: unpriced is not the same as free."""
    if not totals.unpriced:
        return f"<{money(_LEAST_SHOWN)}" if 0 < totals.cost_nanousd < _LEAST_SHOWN else money(totals.cost_nanousd)
    return f"≥{money(totals.cost_nanousd)}" if totals.cost_nanousd else "unpriced"


def beside(report: "Report") -> str | None:
    """Say what was asked to learn, beside the callers' requests; None: nothing."""
    if not report.learning:
        return None
    parts = (f"{counted(totals.attempts, kind)} {cost(totals)}" for kind, totals in report.learning.items())
    return f"Beside these, to learn: {', '.join(parts)}."


def begins_late(period: "Period") -> str | None:
    """Say when the ledger begins, where that is within the period; None: it covers all of it."""
    return None if period.began is not None and period.began <= period.since else begins(period)


def begins(period: "Period") -> str | None:
    """Say when the ledger begins, or that its rows have no totals yet; None: it is empty."""
    if period.lacks_totals_since is not None:
        said = lacks_totals(period.lacks_totals_since)
        return f"{said[0].upper()}{said[1:]}."
    return f"The ledger begins at {period.began:%Y-%m-%d %H:%M} UTC." if period.began is not None else None


def lacks_totals(first: datetime) -> str:
    """Say that rows of an earlier version have no totals, and what makes them."""
    return (
        f"rows from {first:%Y-%m-%d %H:%M} UTC on were kept by a version without totals, and are in no report: "
        "`gateway ledger verify --repair` makes the totals, once"
    )


def notes(report: "Report", *, times: bool = True) -> Iterable[str]:
    """Yield what a reader of the figures has to know of them; ``times``: percentiles are among them."""
    totals = report.totals
    if totals.unpriced:
        models = sorted({_model(use) for route in report.routes for use in route.targets if use.totals.unpriced})
        yield (
            f"≥: costs leave out {counted(totals.unpriced, 'attempt')} that used tokens and have no price "
            f"({_some(models)}): write `prices:` in routes.yaml."
        )
    if totals.estimated:
        yield f"Of {counted(totals.estimated, 'attempt')} the tokens are estimates: the provider sent no count."
    if totals.rejected:
        yield f"Of {counted(totals.rejected, 'attempt')} the provider's count was absurd, and estimated instead."
    ended = [f"{count:,} {word}" for word, count in _ended(totals) if count]
    if ended:
        yield f"Of the requests, {' and '.join(ended)}."
    if (report.dimension or "").startswith("tag"):
        yield "A request may carry several tags, or none: rows need not add up to the total."
    if report.dimension == "key":
        yield "Requests without a key are in no row."
    if report.is_cut:
        yield "Percentiles of an hour that the period cuts are those of some of its answers: it has too many to read."
    unknown = [use.name for use in report.routes if use.route is None]
    if unknown and len(unknown) < len(report.routes):
        yield f"Not in routes.yaml: {_some(unknown)}."
    if report.dimension is None and times:
        yield "Percentiles are of answered requests, and true to 2 %; first tokens are those of streams."


def _some(names: Sequence[str]) -> str:
    left = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {left:,} more" if left > 0 else "")


def _model(use: "TargetUse") -> str:
    return f"{use.answerer.provider}: {use.answerer.model}"


def _ended(totals: "Totals") -> Iterable[tuple[str, int]]:
    yield "broke off", totals.interrupted
    yield "were left by their callers", totals.cancelled


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
