"""The calendar for people: a table on a terminal, aligned lines for a pipe, and below it what is worth knowing."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import typer

from gateway.lifecycle.listing import ListedModel
from gateway.policy.lifecycle import Dates
from gateway.reasons import Lifecycle

if TYPE_CHECKING:
    from rich.console import Console

_HEADERS: Final = (
    "stops",
    "when",
    "state",
    "provider",
    "model",
    "base",
    "announced",
    "trainable until",
    "replacement",
    "according to",
    "routes",
)
_STYLES: Final = {Lifecycle.RETIRED: "red", Lifecycle.DEPRECATED: "yellow", Lifecycle.ACTIVE: ""}
_ROUTES_SHOWN: Final = 2


class Sources:
    """Numbers each source when it is first named, so that its text stands once, below."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def named(self, dates: Dates) -> str:
        """Return who says so, with the source's number, and what keeps the dates from moving traffic."""
        if dates.origin is None:
            return "nobody"
        read = f", read {dates.read}" if dates.read else ""
        number = self._numbers.setdefault(f"{dates.source}{read}", len(self._numbers) + 1)
        doubts = ["tentative"] * (dates.certainty != "planned") + ["only warns"] * (not dates.acts)
        return ", ".join([f"{dates.origin.value} [{number}]", *doubts])

    def lines(self) -> list[str]:
        """Return every source in full."""
        return [f"[{number}] {text}" for text, number in self._numbers.items()]


def print_models(models: Sequence[ListedModel]) -> None:
    """Print a list of models to stdout."""
    if not models:
        typer.echo("no such model")
        return
    sources = Sources()
    if sys.stdout.isatty():
        from rich.console import Console

        print_rich(models, sources, Console(file=sys.stdout, highlight=False))
    else:
        for line in aligned(models, sources):
            typer.echo(line)
    for title, lines in (
        ("Sources that differ", disagreements(models, sources)),
        ("Notes", notes(models)),
        ("Sources", sources.lines()),
    ):
        if lines:
            typer.echo("\n".join([f"\n{title}:", *(f"  {line}" for line in lines)]))
    typer.echo(f"\n{summary(models)}")


def aligned(models: Sequence[ListedModel], sources: Sources) -> list[str]:
    """Return one line a model, for pipes; columns that nothing stands in are left out."""
    rows = [_cells(model, sources) for model in models]
    columns = [
        (header, *values) for header, values in zip(_HEADERS, zip(*rows, strict=True), strict=True) if any(values)
    ]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(f"{value or '-':<{width}}" for value, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    ]


def print_rich(models: Sequence[ListedModel], sources: Sources, console: "Console") -> None:
    """Print a table that folds to the terminal's width: a model's id above where it is and who needs it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.HORIZONTALS, pad_edge=False, show_edge=False, padding=(0, 0))
    table.add_column("stops", no_wrap=True)
    table.add_column("model", overflow="fold", ratio=1)
    table.add_column("announced\ntrainable until", no_wrap=True)
    table.add_column("replacement", overflow="fold", max_width=18)
    table.add_column("according to", max_width=13)
    for model in models:
        stops, when, state, provider, name, base, announced, trainable, replacement, according, routes = _cells(
            model, sources
        )
        at = f"at {provider}" + (f", base {base}" if base else "") + (f" · {routes}" if routes else "")
        table.add_row(
            Text(f"{stops or '-'}\n{when or state}", style=_STYLES[model.state]),
            Text.assemble(name, "\n", (at, "dim")),
            f"{announced or '-'}\n{trainable or '-'}" if announced or trainable else "",
            Text(replacement),
            Text(according),
        )
    console.print(table)


def disagreements(models: Sequence[ListedModel], sources: Sources) -> list[str]:
    """Return a line for each source that names another day; the fine-tunes of one base share theirs."""
    found: dict[str, None] = {}
    for model in models:
        dates = model.dates
        for claim in dates.disputed_by:
            day, otherwise = dates.shutdown or "no end", claim.shutdown
            found[
                f"{_what(model)} at {model.provider}: {day} according to {sources.named(dates)}, "
                f"but {otherwise} according to {sources.named(claim)}"
            ] = None
    return list(found)


def notes(models: Sequence[ListedModel]) -> list[str]:
    """Return what sources say beside their dates, each once."""
    return list(dict.fromkeys(f"{_what(m)} at {m.provider}: {m.dates.note}" for m in models if m.dates.note))


def summary(models: Sequence[ListedModel]) -> str:
    """Return one line that says what is next."""
    past = sum(1 for model in models if model.state is Lifecycle.RETIRED)
    to_come = [model for model in models if model.state is Lifecycle.DEPRECATED]
    parts = [f"{_counted(len(models))}, {past + len(to_come)} with a day"]
    if past:
        parts.append(f"{past} past it")
    if to_come:
        day = to_come[0].dates.shutdown
        count = sum(1 for model in to_come if model.dates.shutdown == day)
        parts.append(f"next: {_counted(count)} on {day}, {_when(to_come[0])}")
    return "; ".join(parts)


def _cells(model: ListedModel, sources: Sources) -> tuple[str, ...]:
    dates = model.dates
    shown = model.routes[:_ROUTES_SHOWN]
    more = len(model.routes) - len(shown)
    return (
        str(dates.shutdown or ""),
        _when(model),
        model.state.value,
        model.provider,
        model.model,
        # A fine-tune's id that names its base says it well enough.
        "" if model.base is None or f":{model.base}:" in model.model else model.base,
        str(dates.announced or ""),
        str(dates.last_training_day or ""),
        dates.replacement or "",
        sources.named(dates),
        ", ".join([*shown, *([f"+{more}"] if more else [])]),
    )


def _what(model: ListedModel) -> str:
    """Return whom a source speaks of: the base, where its dates are inherited."""
    return f"inherited from {model.dates.inherited_from}" if model.dates.inherited_from else model.model


def _when(model: ListedModel) -> str:
    days = model.days_left
    if days is None:
        return ""
    if days == 0:
        return "today"
    return f"{_days(-days)} ago" if days < 0 else f"in {_days(days)}"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _counted(count: int) -> str:
    return "1 model" if count == 1 else f"{count} models"
