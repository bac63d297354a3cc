"""``gateway impact``: which routes the end of one base hits, and who answers them then. Needs no server."""

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import forecast_words as words
from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.cli.forecast import read_ledger
from gateway.cli.forecast_json import dates_as_object, target_as_object
from gateway.cli.forecast_text import Printer
from gateway.clock import SystemClock

if TYPE_CHECKING:
    from gateway.lifecycle.impact import Hit, Impact


def impact(
    base: Annotated[str, typer.Option("--base", help="A base model; an alias stands for all its snapshots.")],
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every route that the end of a base model hits, by owner: who answers then, and what is wrong.

    Counts primaries and fallbacks that are the model, or made of it. Looks at the day it stops; today, where no date is
    known. Exit codes: 0 every route has somebody to answer, 1 one has nobody.

    Example:  gateway impact --base gpt-4o-mini
    """
    from gateway.config.loader import load
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.impact import impact as compute

    loaded = load(routes, environ=os.environ)
    now = SystemClock().now()
    known = read_ledger(database, now, traffic=False)
    found = compute(loaded.routes, base, calendar=Calendar(loaded.routes, known.published), now=now)
    if as_json:
        typer.echo(json.dumps(_as_object(found), indent=2))
    else:
        show(found)
    raise typer.Exit(1 if found.nobody else 0)


def show(found: "Impact") -> None:
    """Print what the end of one base does, by owner."""
    from gateway.lifecycle.forecast_findings import REMEDIES

    out = Printer()
    out.line(headline(found), loud=True)
    if found.dates is not None:
        out.line(words.why(found.dates))
    for owner, hits in found.by_owner():
        out.line()
        out.line(f"{owner or words.NO_OWNER}: {len(hits)}", loud=True)
        out.table(
            ["route", "loses", "then answers", "what is wrong"],
            [[hit.route.name, _losses(hit), _answers(hit, found), _troubles(hit)] for hit in hits],
            [hit.serves is None for hit in hits],
        )
    kinds = sorted({kind for hit in found.hits for kind in hit.findings})
    if kinds:
        out.line()
    for kind in kinds:
        out.line(f"{kind.replace('_', ' ')} → {REMEDIES[kind]}")


def headline(found: "Impact") -> str:
    """Say in one sentence whom the end of a base hits."""
    if not found.hits:
        return f"No route depends on {found.base}. The models in use are: {', '.join(found.bases)}."
    primaries = sum(hit.loses_primary for hit in found.hits)
    others = len(found.hits) - primaries
    parts = [f"{primaries} lose{'s' if primaries == 1 else ''} the primary"] if primaries else []
    parts += [f"{others} only a fallback"] if others else []
    day = found.dates.shutdown if found.dates else None
    stops = "if it stopped today (no date is known)" if day is None else f"which stops on {day}"
    count = len(found.hits)
    said = f"{count} route{'s' if count != 1 else ''} depend{'s' if count == 1 else ''} on {found.base}, {stops}"
    nobody = len(found.nobody)
    left = f"{nobody} {'has' if nobody == 1 else 'have'} nobody to take over" if nobody else "all are answered still"
    return f"{said}: {' and '.join(parts)}; {left}."


def _losses(hit: "Hit") -> str:
    names = ["primary" if target.name == "primary" else f"fallback {target.name}" for target in hit.loses]
    return ", ".join(names)


def _answers(hit: "Hit", found: "Impact") -> str:
    then = "NOBODY" if hit.serves is None else words.named(hit.serves)
    if hit.serves == hit.serves_today or found.dates is None:
        return then
    today = "NOBODY" if hit.serves_today is None else words.named(hit.serves_today)
    return f"{then}; {today} if today"


def _troubles(hit: "Hit") -> str:
    return ", ".join(kind.value.replace("_", " ") for kind in hit.findings)


def _as_object(found: "Impact") -> dict[str, Any]:
    return {
        "headline": headline(found),
        "base": found.base,
        "at": found.at.isoformat(),
        "dates": dates_as_object(found.dates) if found.dates else None,
        "nobody": [hit.route.name for hit in found.nobody],
        "routes": [
            {
                "route": hit.route.name,
                "owner": hit.route.owner,
                "loses": [target_as_object(target) for target in hit.loses],
                "serves": target_as_object(hit.serves),
                "serves_today": target_as_object(hit.serves_today),
                "findings": [kind.value for kind in hit.findings],
            }
            for hit in found.hits
        ],
    }
