"""The calendar for people: models by day and base, or a line each, and below them what is worth knowing."""

import os
import sys
from collections.abc import Sequence
from typing import Final

import typer

from gateway.lifecycle.forecast import is_gone
from gateway.lifecycle.forecast_findings import who_says
from gateway.lifecycle.listing import ListedModel
from gateway.policy.lifecycle import Dates
from gateway.reasons import Lifecycle

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
    "availability",
    "routes",
)
_COLOURS: Final = {Lifecycle.RETIRED: typer.colors.RED, Lifecycle.DEPRECATED: typer.colors.YELLOW}
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


def print_models(models: Sequence[ListedModel], *, by_base: bool = True) -> None:
    """Print a list of models to stdout: by day and base, or one line a model."""
    if not models:
        typer.echo("no such model")
        return
    sources = Sources()
    for line in (grouped if by_base else aligned)(models, sources):
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
    """Return one line a model; columns that nothing stands in are left out."""
    rows = [_cells(model, sources) for model in models]
    columns = [
        (header, *values) for header, values in zip(_HEADERS, zip(*rows, strict=True), strict=True) if any(values)
    ]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(f"{value or '-':<{width}}" for value, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    ]


def grouped(models: Sequence[ListedModel], sources: Sources) -> list[str]:
    """Return the models that stop for the same reason below one line that says so; their ids are never broken."""
    groups: dict[tuple[object, ...], list[ListedModel]] = {}
    for model in models:
        dates = model.dates
        base = (model.base or model.model) if dates.shutdown else None
        key = (dates.shutdown, model.provider if dates.shutdown else "", base, sources.named(dates))
        groups.setdefault(key, []).append(model)
    lines = []
    for group in groups.values():
        lines += ["", _title(group[0], len(group)), *_facts(group[0], sources)]
        width = max(len(model.model) for model in group)
        at_home = group[0].dates.shutdown is None
        for model in group:
            where = f"at {model.provider}" if at_home else ""
            said = (where, _availability(model), _routes(model))
            lines.append(f"  {model.model:<{width}}  {' · '.join(part for part in said if part)}".rstrip())
    return lines[1:]


def _title(first: ListedModel, count: int) -> str:
    dates = first.dates
    if dates.shutdown is None:
        return f"No known day: {_counted(count)}"
    verb = "stopped" if first.state is Lifecycle.RETIRED else "stops"
    base = first.base or first.model
    text = f"{verb} {dates.shutdown}, {_when(first)}: {base} at {first.provider}, {_counted(count)}"
    colour = _COLOURS.get(first.state)
    plain = colour is None or not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else typer.style(text, fg=colour, bold=True)


def _facts(first: ListedModel, sources: Sources) -> list[str]:
    dates = first.dates
    if dates.shutdown is None:
        return []
    facts = [f"according to {sources.named(dates)}"]
    facts += [f"announced {dates.announced}"] if dates.announced else []
    facts += [f"trainable until {dates.last_training_day}"] if dates.last_training_day else []
    facts += [f"replacement {dates.replacement}"] if dates.replacement else []
    return [f"  {' · '.join(facts)}"]


def disagreements(models: Sequence[ListedModel], sources: Sources) -> list[str]:
    """Return a line for each source that names another day; the fine-tunes of one base share theirs."""
    found: dict[str, None] = {}
    for model in models:
        dates = model.dates
        for claim in dates.disputed_by:
            day, otherwise = dates.shutdown or "no end", claim.shutdown
            whose = who_says(claim, dates)
            same_list = whose.endswith("the same list")
            but = f"{whose} says {otherwise}" if same_list else f"{otherwise} according to {sources.named(claim)}"
            found[f"{_what(model)} at {model.provider}: {day} according to {sources.named(dates)}, but {but}"] = None
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
    if gone := sum(is_gone(model.seen) for model in models):
        parts.append(f"{gone} gone already")
    if to_come:
        day = to_come[0].dates.shutdown
        count = sum(1 for model in to_come if model.dates.shutdown == day)
        parts.append(f"next: {_counted(count)} on {day}, {_when(to_come[0])}")
    return "; ".join(parts)


def _cells(model: ListedModel, sources: Sources) -> tuple[str, ...]:
    dates = model.dates
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
        _availability(model),
        _routes(model),
    )


def _routes(model: ListedModel) -> str:
    shown = model.routes[:_ROUTES_SHOWN]
    more = len(model.routes) - len(shown)
    return ", ".join([*shown, *([f"+{more}"] if more else [])])


def _availability(model: ListedModel) -> str:
    """Say what was seen of a model, and since when it is as it is where that is bad."""
    if model.seen is None:
        return ""
    word = model.seen.availability.value
    return word if word == "available" else f"{word.replace('_', ' ')} since {model.seen.since:%Y-%m-%d}"


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
