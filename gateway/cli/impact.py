"""``gateway impact``: which routes the end of one base hits, and who answers them then. Needs no server."""

import json
import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.cli.forecast import read_ledger
from gateway.cli.forecast_json import dates_as_object, target_as_object
from gateway.cli.forecast_text import Printer
from gateway.clock import SystemClock
from gateway.config.findings import printable
from gateway.lifecycle import forecast_words as words

if TYPE_CHECKING:
    from gateway.config.routes import Routes
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.impact import Hit, Impact, Stop


def impact(
    base: Annotated[str, typer.Option("--base", help="A base model; an alias stands for all its snapshots.")],
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every route that the end of a base model hits, by owner: who answers then, and what is wrong.

    Counts primaries and fallbacks that are the model, or made of it. Each is looked at on
    the day it stops; today, where no date is known.

    Exit codes: 0 every route has somebody to answer, 1 one has nobody, 2 no model has that name.

    Example:  gateway impact --base gpt-4o-mini
    """
    from gateway.config.loader import load
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.impact import impact as compute

    loaded = load(routes, environ=os.environ)
    now = SystemClock().now()
    known = read_ledger(database, now, routes=loaded.routes, traffic=False)
    served = known.as_served(loaded.routes)
    calendar = Calendar(served, known.published)
    found = compute(served, base, calendar=calendar, now=now)
    if not found.hits and (unknown := unknown_model(found, calendar, served)) is not None:
        typer.echo(unknown, err=True)
        raise typer.Exit(2)
    if as_json:
        typer.echo(json.dumps(_as_object(found), indent=2))
    else:
        show(found)
    raise typer.Exit(1 if found.nobody else 0)


def unknown_model(found: "Impact", calendar: "Calendar", routes: "Routes") -> str | None:
    """Say that no model has that name, and which have one like it; None where some source knows it."""
    from gateway.lifecycle.sources import shipped_models
    from gateway.policy.substitution import same_model

    names = {model for _, model in shipped_models()}
    names |= {name for provider in routes.providers.values() for name in calendar.names_at(provider)}
    names |= set(found.bases)
    if any(same_model(found.base, name) for name in names):
        return None
    near = get_close_matches(found.base, sorted(names), n=3)
    like = f"The nearest names: {', '.join(near)}." if near else f"The models in use are: {', '.join(found.bases)}."
    return f"No model is known as {printable(found.base)!r}, and no route depends on one.\n{printable(like)}"


def show(found: "Impact") -> None:
    """Print what the end of one base does, by owner."""
    from gateway.lifecycle.forecast_findings import REMEDIES

    out = Printer()
    out.line(headline(found), loud=True)
    for stop in found.stops:
        out.line(_stop(stop, found))
    for owner, hits in found.by_owner():
        out.line()
        out.line(f"{owner or words.NO_OWNER}: {len(hits)}", loud=True)
        several = len(found.stops) > 1
        out.table(
            ["route", "loses", "by", "then answers", "what is wrong"],
            [
                [hit.route.name, _losses(hit), words.day(hit.day) if several else "", _answers(hit), _troubles(hit)]
                for hit in hits
            ],
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
        return f"Nobody is hit: no route depends on {found.base}. The models in use are: {', '.join(found.bases)}."
    primaries = sum(hit.loses_primary for hit in found.hits)
    others = len(found.hits) - primaries
    parts = [f"{primaries} lose{'s' if primaries == 1 else ''} the primary"] if primaries else []
    parts += [f"{others} only a fallback"] if others else []
    days = sorted({stop.dates.shutdown for stop in found.stops if stop.dates.shutdown})
    if not days:
        stops = "if it stopped today (no date is known)"
    else:
        stops = f"which stops on {days[0]}" if len(days) == 1 else f"of which the first stops on {days[0]}"
    count = len(found.hits)
    said = f"{words.counted(count)} depend{'s' if count == 1 else ''} on {found.base}, {stops}"
    nobody = len(found.nobody)
    left = f"{nobody} {'has' if nobody == 1 else 'have'} nobody to take over" if nobody else "all are answered still"
    return f"{said}: {' and '.join(parts)}; {left}."


def _stop(stop: "Stop", found: "Impact") -> str:
    names = words.counted(len(stop.routes)) if len(stop.routes) > 4 else ", ".join(sorted(stop.routes))
    who = "" if len(found.stops) == 1 and len(stop.routes) == len(found.hits) else f" ({names})"
    alias = f"an alias has no day of its own; this is {stop.snapshot}'s: " if stop.snapshot else ""
    return f"{stop.dates.shutdown}{who}: {alias}{words.why(stop.dates)}"


def _losses(hit: "Hit") -> str:
    names = ["primary" if target.name == "primary" else f"fallback {target.name}" for target in hit.loses]
    return ", ".join(names)


def _answers(hit: "Hit") -> str:
    then = "NOBODY" if hit.serves is None else words.named(hit.serves)
    if hit.serves == hit.serves_today or hit.day is None:
        return then
    today = "NOBODY" if hit.serves_today is None else words.named(hit.serves_today)
    return f"{then}; {today} if today"


def _troubles(hit: "Hit") -> str:
    return ", ".join(kind.value.replace("_", " ") for kind in hit.findings)


def _as_object(found: "Impact") -> dict[str, Any]:
    return {
        "headline": headline(found),
        "base": found.base,
        "stops": [
            {**dates_as_object(stop.dates), "snapshot": stop.snapshot, "routes": list(stop.routes)}
            for stop in found.stops
        ],
        "nobody": [hit.route.name for hit in found.nobody],
        "routes": [
            {
                "route": hit.route.name,
                "owner": hit.route.owner,
                "by": hit.day and hit.day.isoformat(),
                "loses": [target_as_object(target) for target in hit.loses],
                "serves": target_as_object(hit.serves),
                "serves_today": target_as_object(hit.serves_today),
                "findings": [kind.value for kind in hit.findings],
            }
            for hit in found.hits
        ],
    }
