"""``gateway check``, ``gateway config show`` and ``gateway explain``: what a configuration says, without a server."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.clock import SystemClock
from gateway.errors import ConfigError, RouteNotFound

if TYPE_CHECKING:
    from gateway.config.findings import Finding
    from gateway.config.loader import Loaded
    from gateway.config.routes import Target
    from gateway.policy.planner import Plan

ROUTES = Path("routes.yaml")
RoutesOption = Annotated[Path, typer.Option("--routes", envvar="GATEWAY_ROUTES_FILE", help="The configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


def check(
    file: Annotated[Path, typer.Argument(envvar="GATEWAY_ROUTES_FILE", help="The configuration.")] = ROUTES,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check routes.yaml and every file it names; all findings at once, each with file and line.

    Exit codes: 0 it can be served, 1 there are errors (or, with --strict, warnings). A credential that is not set is a
    warning here, since other machines need not have it, and an error to `serve`.
    """
    from gateway.config.findings import InvalidRoutes
    from gateway.config.loader import load

    loaded = None
    try:
        loaded = load(file, environ=os.environ)
        findings = loaded.warnings
    except InvalidRoutes as error:
        findings = error.findings
    failed = loaded is None or (strict and bool(findings))
    if as_json:
        rows = [{"file": f.file, "line": f.line, "severity": f.severity, "message": f.message} for f in findings]
        typer.echo(json.dumps({"ok": not failed, "findings": rows}, indent=2))
    else:
        for finding in findings:
            typer.echo(_line(finding))
        if loaded is not None:
            typer.echo(f"{file}: {len(loaded.routes.routes)} routes, {len(findings)} warnings; it can be served")
    raise typer.Exit(1 if failed else 0)


def _line(finding: "Finding") -> str:
    colour = typer.colors.RED if finding.severity == "error" else typer.colors.YELLOW
    word = finding.severity if "NO_COLOR" in os.environ else typer.style(finding.severity, fg=colour)
    return f"{finding.file}:{finding.line}: {word}: {finding.message}"


def show(
    route: Annotated[str, typer.Argument(help="A route.")],
    routes: RoutesOption = ROUTES,
    as_json: JsonOption = False,
) -> None:
    """Show every effective value of a route, and the file and line it comes from."""
    from gateway.config.shown import show as shown_values

    loaded = _load(routes)
    try:
        values = shown_values(loaded, route)
    except RouteNotFound as error:
        raise ConfigError(error.message) from None
    if as_json:
        rows = [{"path": v.path, "value": v.value, "origin": v.origin} for v in values]
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    widths = max(len(v.path) for v in values), max(len(v.origin) for v in values)
    for value in values:
        text = json.dumps(value.value, default=str, ensure_ascii=False)
        typer.echo(f"{value.path:<{widths[0]}}  {value.origin:<{widths[1]}}  {text}")


def explain(
    route: Annotated[str, typer.Option("--route", help="A route.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="DATE", help="A day, such as 2027-01-14.  [default: now]")
    ] = None,
    routes: RoutesOption = ROUTES,
    as_json: JsonOption = False,
) -> None:
    """Print the plan for a route: who is asked, in which order, and why the others are not.

    Needs no server, and so knows dates but no observations. It prints the very plan that a server would execute.

    Example:  gateway explain --route forum-reply --at 2027-01-14
    """
    from gateway.lifecycle.calendar import Calendar
    from gateway.policy import planner

    loaded = _load(routes)
    chosen = loaded.routes.routes.get(route)
    if chosen is None:
        raise ConfigError(f"there is no route {route!r}; there are: {', '.join(loaded.routes.routes)}")
    day = _instant(at)
    calendar = Calendar(loaded.routes)
    plan = planner.plan(chosen, observe=lambda _: planner.FRESH, dates_of=calendar.dates_of, now=day)
    if as_json:
        typer.echo(json.dumps(_as_json(plan, day, calendar), indent=2))
    else:
        _print(plan, day, calendar)


def _load(path: Path) -> "Loaded":
    from gateway.config.loader import load

    return load(path, environ=os.environ)


def _instant(at: str | None) -> datetime:
    if at is None:
        return SystemClock().now()
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise typer.BadParameter(f"{at!r} is no date; write 2027-01-14, or 2027-01-13T23:59+00:00") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def _as_json(plan: "Plan", at: datetime, calendar: Any) -> dict[str, Any]:
    return {
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
        "skipped": [{**_described(entry.target, calendar), "reason": entry.reason.value} for entry in plan.skipped],
    }


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


def _print(plan: "Plan", at: datetime, calendar: Any) -> None:
    typer.echo(f"{plan.route.name} on {at:%Y-%m-%d %H:%M} UTC")
    for number, step in enumerate(plan.steps, 1):
        why = f"because: {step.reason.value}" if step.reason else "if the one before fails"
        typer.echo(f"  {number}. ask {_words(step.target, calendar)} ({why})")
    for entry in plan.skipped:
        typer.echo(f"  -  not {_words(entry.target, calendar)} ({entry.reason.value})")
    if not plan.steps:
        typer.echo("  nobody is left to ask: callers get an error that names the model")


def _words(target: "Target", calendar: Any) -> str:
    dates = calendar.dates_of(target)
    until = f", stops {dates.shutdown.isoformat()}" if dates.shutdown else ""
    return f"{target.role.value} {target.model} at {target.provider.name}{until}"
