"""``gateway explain``: the plan for a route, without a server."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, instant, load_routes
from gateway.errors import ConfigError
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
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the plan for a route: who is asked, in which order, and why the others are not.

    It is the very plan that a server would execute. Needs no server; where a gateway's database is there, it also knows
    what providers said of their models, what was commanded, and, unless you name a day, which models are gone.

    Example:  gateway explain --route forum-reply --at 2027-01-14
    Example:  gateway explain --route forum-reply --endpoint responses --needs tools,image
    """
    from gateway.cli.known import read_known
    from gateway.lifecycle.calendar import Calendar
    from gateway.policy import planner

    loaded = load_routes(routes)
    chosen = loaded.routes.routes.get(route)
    if chosen is None:
        raise ConfigError(f"there is no route {route!r}; there are: {', '.join(loaded.routes.routes)}")
    day = instant(at)
    known = read_known(database)

    def observe(target: "Target") -> planner.Observed:
        state = known.targets.get((target.provider.name, target.model))
        # What is gone today may be back on a day to come; its date says what will be.
        return planner.Observed(state.availability) if state is not None and at is None else planner.FRESH

    calendar = Calendar(loaded.routes, known.published)
    command = known.commands.get(route)
    plan = planner.plan(
        chosen,
        observe=observe,
        dates_of=calendar.dates_of,
        now=day,
        command=command,
        lacks=_lacks(loaded.routes, chosen, endpoint, needs, residency),
    )
    in_force = command if command is not None and command.in_force(day) else None
    if as_json:
        typer.echo(json.dumps(_as_json(plan, day, calendar, in_force), indent=2))
    else:
        _print(plan, day, calendar, in_force)


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
    share = share_moved(calendar.dates_of(plan.route.primary), plan.route.cutover, at) if plan.route.primary else 0.0
    if 0.0 < share < 1.0:
        typer.echo(f"  {share:.0%} of conversations have moved by then: this is the plan of one that has")
    if not plan.steps:
        typer.echo("  nobody is left to ask: callers get an error that names the model")


def _words(target: "Target", calendar: Any) -> str:
    dates = calendar.dates_of(target)
    until = f", stops {dates.shutdown.isoformat()}" if dates.shutdown else ""
    return f"{target.role.value} {target.model} at {target.provider.name}{until}"
