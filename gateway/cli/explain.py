"""``gateway explain``: the plan for a route, without a server."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, instant, load_routes
from gateway.errors import ConfigError, RouteNotFound
from gateway.learning.evidence_words import WAITS, sentence
from gateway.learning.evidence_words import as_object as evidence_as_object
from gateway.policy.lifecycle import share_moved

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.routes import Route, Routes, Target
    from gateway.policy.planner import Command, Plan


def explain(
    route: Annotated[str, typer.Option("--route", help="A route.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="DATE", help="A day, such as 2027-01-14.  (default: now)")
    ] = None,
    routes: RoutesOption = ROUTES,
    endpoint: Annotated[str, typer.Option(help="Which endpoint is asked.", show_default=True)] = "chat_completions",
    needs: Annotated[str, typer.Option(help="What the request holds, such as tools,json_schema,image.")] = "",
    residency: Annotated[str | None, typer.Option(help="The residency of the caller's key.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant of the caller's key: which variant answers.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the plan for a route: who is asked, in which order, and why the others are not.

    It is the very plan that a server would execute. Needs no server; where a gateway's database is there, it also knows
    what providers said of their models, what was commanded, and, unless you name a day, which models are gone.

    Example:  gateway explain --route forum-reply --at 2027-01-14
    Example:  gateway explain --route forum-reply --endpoint responses --needs tools,image
    Example:  gateway explain --route forum-reply --tenant acme
    """
    from gateway.cli.known import read_known
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.forecast import is_retired, main_of
    from gateway.lifecycle.forecast_evidence import evidence_on
    from gateway.policy import planner

    written = load_routes(routes).routes
    route = _answering(written, route, tenant)
    day = instant(at)
    known = read_known(database, routes=written)
    served = known.as_served(written, day if at is not None else None)
    chosen = served.routes[route]

    def observe(target: "Target") -> planner.Observed:
        state = known.targets.get((target.provider.name, target.model))
        # What is gone today may be back on a day to come; its date says what will be.
        return planner.Observed(state.availability) if state is not None and at is None else planner.FRESH

    calendar = Calendar(served, known.published)
    command = known.commands.get(route)
    plan = planner.plan(
        chosen,
        observe=observe,
        dates_of=calendar.dates_of,
        now=day,
        command=command,
        lacks=_lacks(served, chosen, endpoint, needs, residency),
    )
    in_force = command if command is not None and command.in_force(day) else None
    # Some of it would have moved by then, had the fallback the evidence that the route asks for.
    held_back = _share(written.routes[route], calendar, day) > _share(chosen, calendar, day)
    dates = calendar.dates_of(main_of(chosen))
    evidence = evidence_on(chosen, known.evaluations or (), dates, has_moved=is_retired(dates, day))
    if as_json:
        shown = evidence_as_object(evidence) if known.evaluations is not None else None
        said = {"waits_for_evidence": held_back, "evidence": shown}
        typer.echo(json.dumps(_as_json(plan, day, calendar, in_force) | said, indent=2))
    else:
        _print(plan, day, calendar, in_force)
        if held_back and evidence is not None:
            typer.echo(f"  {WAITS} until the day: {sentence(evidence)}")


def _answering(routes: "Routes", name: str, tenant: str | None) -> str:
    """Return the name of the route that answers a caller of this tenant."""
    from gateway.config.tenants import route_for

    if name not in routes.routes and name not in routes.variants:
        raise ConfigError(f"there is no route {name!r}; there are: {', '.join(routes.routes)}")
    try:
        return route_for(routes, name, tenant)
    except RouteNotFound as error:
        raise ConfigError(error.message) from None


def _share(route: "Route", calendar: Any, at: datetime) -> float:
    return share_moved(calendar.dates_of(route.primary), route.cutover, at) if route.primary else 0.0


def _lacks(
    routes: "Routes", route: "Route", endpoint: str, needs: str, residency: str | None
) -> "Callable[[Target], str | None]":
    """Return what tells whether a target lacks something of a request, as the server does."""
    from gateway.config.findings import did_you_mean
    from gateway.config.vendor import ENDPOINTS
    from gateway.policy.capabilities import capabilities_of
    from gateway.policy.needs import Needs
    from gateway.policy.traits import WORDS
    from gateway.providers.capability_table import capability_rows

    words = frozenset(filter(None, (word.strip() for word in needs.split(","))))
    for word in sorted(words - WORDS):
        raise ConfigError(f"--needs: there is no {word!r}{did_you_mean(word, WORDS)}")
    if endpoint not in ENDPOINTS:
        raise ConfigError(f"--endpoint: there is no {endpoint!r}{did_you_mean(endpoint, ENDPOINTS)}")
    needed = Needs(endpoint, words, residency)

    def lacks(target: "Target") -> str | None:
        own = capabilities_of(target, route.primary, capability_rows(), routes.capabilities)
        return needed.lacked_by(target, route, own)

    return lacks


def _as_json(plan: "Plan", at: datetime, calendar: Any, command: "Command | None") -> dict[str, Any]:
    document: dict[str, Any] = {
        "route": plan.route.name,
        "at": at.isoformat(),
        "steps": [
            {
                **_described(step.target, calendar),
                "reason": step.reason.value if step.reason else None,
                "timeout_s": step.timeout_s,
            }
            for step in plan.steps
        ],
        "skipped": [
            {**_described(entry.target, calendar), "reason": entry.reason.value, "detail": entry.detail or None}
            for entry in plan.skipped
        ],
    }
    if command is not None:
        expires = command.expires_at.isoformat() if command.expires_at else None
        ordered = {"to": command.target, "by": command.by, "reason": command.reason, "expires_at": expires}
        document["command"] = ordered
    return document


def _described(target: "Target", calendar: Any) -> dict[str, Any]:
    dates = calendar.dates_of(target)
    return {
        "target": target.name,
        "served_by": target.role.value,
        "provider": target.provider.name,
        "model": target.model,
        "shutdown": dates.shutdown.isoformat() if dates.shutdown else None,
        "source": dates.source or None,
    }


def _print(plan: "Plan", at: datetime, calendar: Any, command: "Command | None") -> None:
    typer.echo(f"{plan.route.name} on {at:%Y-%m-%d %H:%M} UTC")
    if command is not None:
        until = f"until {command.expires_at:%Y-%m-%d %H:%M} UTC" if command.expires_at else "until it is taken back"
        typer.echo(f"  !  held by {command.by}, {until}, against routes.yaml: {command.reason}")
    for number, step in enumerate(plan.steps, 1):
        why = f"because: {step.reason.value}" if step.reason else "if the one before fails"
        typer.echo(f"  {number}. ask {_words(step.target, calendar)} ({why})")
    asked = [step.target for step in plan.steps]
    for entry in plan.skipped:
        # On its ramp, or while another one is commanded, the primary is asked after the others.
        if entry.target not in asked:
            why = f"{entry.reason.value}: {entry.detail}" if entry.detail else entry.reason.value
            typer.echo(f"  -  not {_words(entry.target, calendar)} ({why})")
    share = _share(plan.route, calendar, at)
    if 0.0 < share < 1.0:
        typer.echo(f"  {share:.0%} of conversations have moved by then: this is the plan of one that has")
    if not plan.steps:
        typer.echo("  nobody is left to ask: callers get an error that names the model")


def _words(target: "Target", calendar: Any) -> str:
    dates = calendar.dates_of(target)
    until = f", stops {dates.shutdown.isoformat()}" if dates.shutdown else ""
    return f"{target.role.value} {target.model} at {target.provider.name}{until}"
