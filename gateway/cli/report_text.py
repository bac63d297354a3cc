"""A report in a terminal: tables no wider than it is, the same words in a pipe."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from gateway.cli.forecast_text import Printer
from gateway.cli.forecast_words import counted, money, percent, signed
from gateway.cli.ledger_findings import lacks_totals
from gateway.cli.report_break_even import per_1000, sentences
from gateway.cli.report_numbers import amount, bar, short, times
from gateway.cli.report_period import words
from gateway.config.findings import printable
from gateway.reasons import Role

if TYPE_CHECKING:
    from gateway.cli.report_reading import Read
    from gateway.lifecycle.report_figures import (
        FallbackUse,
        Percentiles,
        Period,
        Report,
        RouteUse,
        TargetUse,
        Totals,
    )

LONGEST_NAME = 30
_MOST_NAMES = 10
_LEAST_SHOWN = 100_000
"""Nano-dollars."""
Cells = Sequence[str]
Column = tuple[str, "Callable[[Totals], str]"]

_COLUMNS: tuple[Column, ...] = (
    ("requests", lambda totals: f"{totals.requests:,}"),
    ("failed", lambda totals: f"{totals.failed:,}"),
    ("input", lambda totals: amount(totals.input_tokens)),
    ("cached", lambda totals: amount(totals.cached_input_tokens)),
    ("output", lambda totals: amount(totals.output_tokens)),
    ("cost", lambda totals: cost(totals)),
)
_GIVEN_UP_FIRST = ("", "cached", "failed", "output", "input")
_SPEED_GIVEN_UP_FIRST = ("overhead", "first token")


def show(report: "Report", *, break_even: bool) -> None:
    """Print a whole report."""
    out = Printer()
    out.line(headline(report), loud=True)
    for said in (_learning(report), _begins_late(report.period)):
        if said is not None:
            out.line(said)
    if report.dimension is None:
        _routes(out, report)
        _speed(out, report)
    else:
        _by(out, report)
    for use in report.routes:
        if use.fallback is not None and report.dimension in (None, "reason"):
            out.line()
            out.line(on_fallback(use, use.fallback, report.period))
    if break_even:
        _break_even(out, report)
    notes = list(_notes(report))
    if notes:
        out.line()
    for note in notes:
        out.line(note)


def show_nothing(found: "Read", period: "Period") -> None:
    """Say that there is nothing to report."""
    out = Printer()
    if found.nothing_kept_in is not None:
        out.line(
            f"The ledger is empty: no request has been kept in {found.nothing_kept_in} yet. `gateway serve` writes it; "
            "--database names another one."
        )
        return
    begins = _begins(found.report.period) if found.report is not None else None
    out.line(f"Nothing was asked in this period ({words(period)}).{f' {begins}' if begins is not None else ''}")


def headline(report: "Report") -> str:
    """Say the period, how much was asked, what it cost, and how much of it fallbacks answered."""
    totals = report.totals
    routes = sum(1 for use in report.routes if use.totals.attempts)
    asked = f"{counted(totals.requests, 'request')} to {counted(routes)}"
    said = f"{words(report.period)}: {asked} cost {cost(totals)}"
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


def _learning(report: "Report") -> str | None:
    if not report.learning:
        return None
    parts = (f"{counted(totals.attempts, kind)} {cost(totals)}" for kind, totals in report.learning.items())
    return f"Beside these, to learn: {', '.join(parts)}."


def _begins_late(period: "Period") -> str | None:
    return None if period.began is not None and period.began <= period.since else _begins(period)


def _begins(period: "Period") -> str | None:
    if period.lacks_totals_since is not None:
        said = lacks_totals(period.lacks_totals_since)
        return f"{said[0].upper()}{said[1:]}."
    return f"The ledger begins at {period.began:%Y-%m-%d %H:%M} UTC." if period.began is not None else None


def _routes(out: Printer, report: "Report") -> None:
    rows: list[tuple[str, Totals]] = []
    for use in report.routes:
        if use.targets:
            rows.append((use.name, use.totals))
        if len(use.targets) > 1 or any(target.role is Role.FALLBACK for target in use.targets):
            rows += [(f"  {_target(target)}", target.totals) for target in use.targets]
    if sum(1 for use in report.routes if use.targets) > 1:
        rows.append(("all routes", report.totals))
    table = Table(["", *(header for header, _ in _COLUMNS)])
    for name, totals in rows:
        table.add(
            [name, *(cell(totals) for _, cell in _COLUMNS)], loud=bool(totals.unpriced) and totals is not report.totals
        )
    table.show(out, _GIVEN_UP_FIRST)


def _target(use: "TargetUse") -> str:
    who = use.answerer
    return who.target if use.role is Role.PRIMARY or who.model == who.target else f"{who.target} ({who.model})"


def _speed(out: Printer, report: "Report") -> None:
    table = Table(["p50/p95/p99", "latency", "first token", "overhead"])
    for use in report.routes:
        for target in use.targets:
            measured = (target.latency_ms, target.first_token_ms, target.overhead_ms)
            if any(measured):
                table.add([f"{use.name}: {target.answerer.target}", *map(_times, measured)])
    table.show(out, _SPEED_GIVEN_UP_FIRST)


def _times(found: "Percentiles | None") -> str:
    return "" if found is None else times(found.p50, found.p95, found.p99)


def _by(out: Printer, report: "Report") -> None:
    is_by_day = report.dimension == "day"
    most = max((line.totals.requests for line in report.lines), default=0)
    table = Table([report.dimension or "", *(header for header, _ in _COLUMNS), ""])
    for line in report.lines:
        drawn = bar(line.totals.requests, most) if is_by_day else ""
        table.add([line.label, *(cell(line.totals) for _, cell in _COLUMNS), drawn], loud=bool(line.totals.unpriced))
    if not report.lines:
        out.line()
        out.line(f"No request of this period carries a {(report.dimension or '').replace(':', ' ')}.")
        return
    table.show(out, _GIVEN_UP_FIRST, left=(0, len(_COLUMNS) + 1))


def _break_even(out: Printer, report: "Report") -> None:
    out.line()
    out.line("Break-even: the fine-tune against its base, the first fallback with its prompt", loud=True)
    for use in report.routes:
        if use.break_even is None:
            continue
        first, *rest = sentences(use.break_even)
        out.line()
        out.line(f"{use.name}: {first}", indent=1)
        for sentence in rest:
            out.line(sentence, indent=2)


def _notes(report: "Report") -> Iterable[str]:
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
    if report.dimension is None:
        yield "Percentiles are of answered requests, and true to 2 %; first tokens are those of streams."


def _some(names: Sequence[str]) -> str:
    left = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {left:,} more" if left > 0 else "")


def _model(use: "TargetUse") -> str:
    return f"{use.answerer.provider}: {use.answerer.model}"


def _ended(totals: "Totals") -> Iterable[tuple[str, int]]:
    yield "broke off", totals.interrupted
    yield "were left by their callers", totals.cancelled


class Table:
    """Rows under headers, as wide as there is room."""

    def __init__(self, headers: Cells) -> None:
        self._headers = list(headers)
        self._rows: list[list[str]] = []
        self._loud: list[bool] = []

    def add(self, cells: Cells, *, loud: bool = False) -> None:
        """Add a row; a loud one is in trouble, which its words say as well."""
        self._rows.append([short(printable(cells[0]), LONGEST_NAME), *cells[1:]])
        self._loud.append(loud)

    def show(self, out: Printer, given_up_first: Sequence[str], *, left: Sequence[int] = (0,)) -> None:
        """Print it, without the columns that there is no room for, and say which."""
        if not self._rows:
            return
        kept = [index for index in range(len(self._headers)) if any(row[index] for row in self._rows)]
        widths = {index: max(len(row[index]) for row in (self._headers, *self._rows)) for index in kept}
        dropped = []
        console = Console()
        # A terminal's table has a blank on either side, and three between columns.
        gap, edges = (3, 2) if console.is_terminal else (2, 2)
        for header in given_up_first:
            if sum(widths[index] + gap for index in kept) - gap + edges <= console.width:
                break
            gone = [index for index in kept[1:] if self._headers[index] == header]
            kept = [index for index in kept if index not in gone]
            dropped += [self._headers[index] for index in gone if self._headers[index]]

        def padded(row: Cells) -> list[str]:
            return [row[i].ljust(widths[i]) if i in left else row[i].rjust(widths[i]) for i in kept]

        out.line()
        out.table(padded(self._headers), [padded(row) for row in self._rows], self._loud)
        if dropped:
            out.line(f"Left out for want of width: {', '.join(reversed(dropped))}; --json has everything.")
