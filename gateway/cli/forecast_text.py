"""A forecast in a terminal: Rich's tables there, plain aligned text for a pipe."""

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from gateway.cli import forecast_words as words
from gateway.config.findings import printable

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.lifecycle.forecast import Forecast, RouteForecast

WIDTH = 100
_INDENT = "  "
Column = tuple[str, Callable[["RouteForecast"], str]]

_MONEY: tuple[Column, ...] = (
    ("per 1,000", lambda row: words.per_1000(row.cost)),
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
    out.line(words.headline(found), loud=True)
    if (alone := words.left_alone(found)) is not None:
        out.line(alone)
    if (bill := words.bill(found)) is not None:
        out.line(bill)
    for group in words.by_base(found.lost):
        out.line()
        _group(out, group, found, sources)
    _others(out, found, sources)
    for load in found.loads:
        out.line()
        out.line(words.load(load))
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
        f"{len(group)} route{'s' if len(group) != 1 else ''}",
        loud=True,
    )
    out.line(f"{words.believed(dates)} {_note(dates.source, sources)}", indent=1)
    facts = [f"announced {dates.announced}"] if dates.announced else []
    facts += [f"last day to train {dates.last_training_day}"] if dates.last_training_day else []
    facts += [f"the vendor suggests {dates.replacement}"] if dates.replacement else []
    if facts:
        out.line(" · ".join(facts), indent=1)
    fallbacks = {row.serves.name: row.serves for row in group if row.serves and row.serves != row.main}
    if fallbacks:
        who = (
            f"{name} is {target.model} at {target.provider.name}"
            if name != target.model
            else f"{name} is at {target.provider.name}"
            for name, target in sorted(fallbacks.items())
        )
        out.line(" · ".join(who), indent=1)
    rows = sorted(group, key=lambda row: (not row.nobody, row.route.owner or "", row.route.name))
    columns: list[Column] = [
        ("route", lambda row: row.route.name),
        ("owner", lambda row: row.route.owner or ""),
        ("then answers", lambda row: "NOBODY" if row.serves is None else row.serves.name),
    ]
    if {words.moves(row) for row in group} != {"that day"}:
        columns.append(("moves", words.moves))
    columns += _MONEY if found.traffic is not None else ()
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
    undated = [row for row in later if row.dates.shutdown is None]
    if undated:
        out.line()
        count = len(undated)
        out.line("1 route has no known date." if count == 1 else f"{count} routes have no known date.")
        out.line(words.listed(undated), indent=1)


def _findings(out: Printer, found: "Forecast") -> None:
    findings = words.grouped(found.routes)
    if not findings:
        return
    out.line()
    out.line("What to do", loud=True)
    for finding, rows in findings:
        _finding(out, finding.text, finding.remedy, len(rows), words.listed(rows))


def _finding(out: Printer, text: str, remedy: str, count: int, names: str) -> None:
    out.line()
    out.line(f"{count} route{'s' if count != 1 else ''}: {text}", indent=1)
    out.line(names, indent=2)
    out.line(f"→ {remedy}", indent=2)
