"""A forecast in a terminal: Rich's tables there, plain aligned text for a pipe."""

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from gateway.config.findings import printable
from gateway.learning import evidence_words
from gateway.lifecycle import forecast_words as words
from gateway.lifecycle.forecast_evidence import Proof
from gateway.lifecycle.forecast_headline import bill, headline, left_alone, not_asked

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.lifecycle.forecast import Forecast, RouteForecast

WIDTH = 100
_INDENT = "  "
Column = tuple[str, Callable[["RouteForecast"], str]]

_MONEY: tuple[Column, ...] = (
    ("cost per 1,000", lambda row: words.per_1000(row.cost)),
    ("a month", lambda row: words.per_month(row.cost)),
    ("refused", lambda row: words.share(row.demand, refused=True)),
    ("altered", lambda row: words.share(row.demand, refused=False)),
)


class Printer:
    """Writes paragraphs and tables; knows whether anybody looks at a terminal."""

    def __init__(self) -> None:
        self._console = _terminal()

    def line(self, text: str = "", *, indent: int = 0, loud: bool = False) -> None:
        """Write a paragraph, wrapped for a page of a hundred columns; whatever could steer a terminal is escaped."""
        pad = _INDENT * indent
        width = min(WIDTH, self._console.width) if self._console else WIDTH
        wrapped = textwrap.fill(
            printable(text), width, initial_indent=pad, subsequent_indent=pad, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        if self._console:
            self._console.print(wrapped, style="bold" if loud else None, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(wrapped)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], loud: Sequence[bool]) -> None:
        """Write a table; ``loud`` rows are in trouble, which their words say as well."""
        cells = [[printable(cell) for cell in row] for row in rows]
        keep = [index for index in range(len(headers)) if any(row[index] for row in cells)]
        headers = [headers[index] for index in keep]
        cells = [[row[index] for index in keep] for row in cells]
        if self._console:
            self._rich(headers, cells, loud)
            return
        widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
        for row in (headers, ["-" * width for width in widths], *cells):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo((_INDENT + "  ".join(padded)).rstrip())

    def _rich(self, headers: Sequence[str], rows: Sequence[Sequence[str]], loud: Sequence[bool]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        assert self._console is not None
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
        for header in headers:
            table.add_column(header, overflow="fold")
        for row, is_loud in zip(rows, loud, strict=True):
            table.add_row(*map(Text, row), style="bold red" if is_loud else None)
        self._console.print(table)


def _terminal() -> "Console | None":
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else None


def show(found: "Forecast") -> None:
    """Print a whole forecast."""
    out = Printer()
    sources: dict[str, int] = {}
    out.line(headline(found), loud=True)
    for said in (left_alone(found), bill(found), not_asked(found)):
        if said is not None:
            out.line(said)
    for group in words.gone_groups(row for row in found.lost if row.is_gone_early):
        out.line()
        _gone_group(out, group, found, sources)
    for group in words.by_base(row for row in found.lost if not row.is_gone_early):
        out.line()
        _group(out, group, found, sources)
    _others(out, found, sources)
    for load in found.loads:
        out.line()
        out.line(words.load(load))
    _evidence(out, found)
    _findings(out, found)
    out.line()
    for source, number in sources.items():
        out.line(f"[{number}] {source}")
    if found.traffic is None:
        out.line()
        out.line(words.NOT_KNOWN)
    elif any(row.cost.basis.value == "estimated" for row in found.lost):
        out.line()
        out.line(words.ESTIMATES)


def _group(out: Printer, group: "Sequence[RouteForecast]", found: "Forecast", sources: dict[str, int]) -> None:
    first = group[0]
    dates = first.dates
    stops = "stopped" if (first.days_left or 0) <= 0 else "stops"
    base = first.base or first.main.model
    out.line(
        f"{base} at {first.main.provider.name} {stops} on {dates.shutdown}, {words.in_days(first.days_left)}: "
        f"{words.counted(len(group))}",
        loud=True,
    )
    out.line(f"{words.believed(dates)} {_note(dates.source, sources)}", indent=1)
    facts = [f"announced {dates.announced}"] if dates.announced else []
    facts += [f"last day to train {dates.last_training_day}"] if dates.last_training_day else []
    facts += [f"the vendor suggests {dates.replacement}"] if dates.replacement else []
    if facts:
        out.line(" · ".join(facts), indent=1)
    _who_they_are(out, group)
    columns: list[Column] = [("then answers", words.short_answer)]
    if {words.moves(row) for row in group if row.serves is not None} - {"that day"}:
        columns.append(("moves", words.moves))
    _rows(out, group, columns, found)


def _gone_group(out: Printer, group: "Sequence[RouteForecast]", found: "Forecast", sources: dict[str, int]) -> None:
    """Print routes whose primaries are gone although no day of theirs has come."""
    first = group[0]
    base = first.base or first.main.model
    what = "Closed to us" if {row.gone and row.gone.availability.value for row in group} == {"no_access"} else "Gone"
    out.line(f"{what} already: {base} at {first.main.provider.name}, {words.counted(len(group))}", loud=True)
    if first.dates.shutdown is not None:
        day = f"was to stop on {first.dates.shutdown}, {words.in_days(first.days_left)}"
        out.line(f"{day}; {words.believed(first.dates)} {_note(first.dates.source, sources)}", indent=1)
    _who_they_are(out, group)
    columns: list[Column] = [
        ("since", lambda row: f"{row.gone.since:%Y-%m-%d %H:%M}" if row.gone else ""),
        ("now answers", words.short_answer),
    ]
    _rows(out, group, columns, found)


def _who_they_are(out: Printer, group: "Sequence[RouteForecast]") -> None:
    """Say which model stands behind each fallback's name."""
    fallbacks = {row.serves.name: row.serves for row in group if row.serves and row.serves != row.main}
    if fallbacks:
        who = (
            f"{name} is {target.model} at {target.provider.name}"
            if name != target.model
            else f"{name} is at {target.provider.name}"
            for name, target in sorted(fallbacks.items())
        )
        out.line(" · ".join(who), indent=1)


def _rows(out: Printer, group: "Sequence[RouteForecast]", columns: list[Column], found: "Forecast") -> None:
    rows = sorted(group, key=lambda row: (not row.nobody, row.route.owner or "", row.route.name))
    money = _MONEY if found.traffic is not None else ()
    names: list[Column] = [("route", lambda row: row.route.name), ("owner", lambda row: row.route.owner or "")]
    columns = [*names, *columns, *money]
    out.table(
        [header for header, _ in columns],
        [[cell(row) for _, cell in columns] for row in rows],
        [row.nobody for row in rows],
    )


def _note(source: str, sources: dict[str, int]) -> str:
    """Return the mark of a source, which is written out once, at the end."""
    return f"[{sources.setdefault(source, len(sources) + 1)}]" if source else ""


def _others(out: Printer, found: "Forecast", sources: dict[str, int]) -> None:
    later = [row for row in found.routes if not row.lost]
    for group in words.by_base(later):
        out.line()
        first = group[0]
        out.line(
            f"Later: {first.base or first.main.model} at {first.main.provider.name} stops on {first.dates.shutdown}, "
            f"{words.in_days(first.days_left)}; {words.believed(first.dates)} {_note(first.dates.source, sources)}"
        )
        out.line(words.listed(group), indent=1)
    undated = [row for row in later if row.dates.shutdown is None and row.route.primary is not None]
    if undated:
        out.line()
        count = words.counted_of(len(undated), len(found.routes))
        out.line(f"{count[0].upper()}{count[1:]} {'has' if len(undated) == 1 else 'have'} no known date.")
        out.line(words.listed(undated), indent=1)
    without = [row for row in later if row.dates.shutdown is None and row.route.primary is None]
    if without:
        out.line()
        count = words.counted(len(without))
        out.line(f"{count} without a primary: a fallback answers, of which no end is known.")
        out.line(words.listed(without), indent=1)


def _evidence(out: Printer, found: "Forecast") -> None:
    """Print what evaluations say of each first fallback; those never evaluated together."""
    pairs = [(row, found.evidence_on(row)) for row in found.routes]
    waiting = any(evidence is not None and evidence.waits for _, evidence in pairs)
    if found.evaluations is None and not waiting:
        # Whoever keeps no database has no verdicts either, and is told so below.
        return
    never = []
    out.line()
    out.line("Evidence that fallbacks are good enough", loud=True)
    for row, evidence in pairs:
        if evidence is None:
            continue
        if evidence.proof is Proof.NEVER and not evidence.waits:
            never.append(row)
            continue
        out.line(f"{row.route.name}, {evidence_words.with_day(evidence, dated=True)}", indent=1)
        if evidence.waits:
            out.line(evidence_words.what_waits(evidence), indent=2)
    if never and found.evaluations is not None:
        out.line(f"{words.counted_of(len(never), len(found.routes))} never evaluated: gateway evaluate ROUTE", indent=1)
        out.line(words.listed(never), indent=2)


def _findings(out: Printer, found: "Forecast") -> None:
    findings = words.grouped(found.routes)
    if not findings:
        return
    out.line()
    out.line("What to do", loud=True)
    for finding, rows in findings:
        out.line()
        out.line(f"{words.counted_of(len(rows), len(found.routes))}: {finding.text}", indent=1)
        if len(rows) < len(found.routes) or len(rows) == 1:
            out.line(words.listed(rows), indent=2)
        out.line(f"→ {finding.remedy}", indent=2)
