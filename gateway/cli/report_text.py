"""A report in a terminal: tables no wider than it is, the same words in a pipe."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from gateway.cli.forecast_text import Printer
from gateway.cli.report_numbers import amount, bar, short, times
from gateway.config.findings import printable
from gateway.lifecycle.break_even_words import sentences
from gateway.lifecycle.report_words import begins, begins_late, beside, cost, headline, notes, on_fallback, span_of
from gateway.reasons import Role

if TYPE_CHECKING:
    from gateway.learning.report_reading import Read
    from gateway.lifecycle.report_figures import (
        Percentiles,
        Period,
        Report,
        TargetUse,
        Totals,
    )

LONGEST_NAME = 30
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
    for said in (beside(report), begins_late(report.period)):
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
    below = list(notes(report))
    if below:
        out.line()
    for note in below:
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
    late = begins(found.report.period) if found.report is not None else None
    out.line(f"Nothing was asked in this period ({span_of(period)}).{f' {late}' if late is not None else ''}")


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
