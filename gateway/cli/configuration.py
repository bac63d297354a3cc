"""``gateway check`` and ``gateway config show``: what a configuration says, without a server."""

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
    from gateway.config.routes import Routes
    from gateway.learning.known import Known
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.forecast_evidence import Evidence

ROUTES = Path("routes.yaml")
RoutesOption = Annotated[Path, typer.Option("--routes", envvar="GATEWAY_ROUTES_FILE", help="The configuration.")]
DatabaseOption = Annotated[
    str | None, typer.Option(help="The gateway's database: a URL, or a SQLite file.  (default: state/gateway.db)")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


def check(
    file: Annotated[Path, typer.Argument(envvar="GATEWAY_ROUTES_FILE", help="The configuration.")] = ROUTES,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings, too.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check routes.yaml and every file it names; all findings at once, each with file and line.

    Exit codes: 0 it can be served, 1 there are errors (or, with --strict, warnings). A credential that is not set is a
    warning here, since other machines need not have it, and an error to `serve`. A route that names no primary is
    warned of, unless it says `primary: null`. It also warns of what published dates mean for a route: a primary that
    stops within 90 days, a fallback that stops as well or shares its base, an alias whose snapshot stops, a date that
    sources disagree on. What a gateway kept of its providers' answers counts, in the default database or
    GATEWAY_DATABASE_URL's, where it can be read; it has the verdicts of `gateway evaluate`, too. `gateway forecast`
    says more.
    """
    from gateway.cli.known import read_known
    from gateway.config.findings import InvalidRoutes
    from gateway.config.loader import load

    loaded, evidence = None, None
    try:
        loaded = load(file, environ=os.environ)
        known = read_known(database, routes=loaded.routes, quietly=database is None)
        if database is not None and known.nothing:
            typer.echo(f"nothing is kept in {known.empty} yet", err=True)
        findings, evidence = examine(loaded, SystemClock().now(), known)
    except InvalidRoutes as error:
        findings = error.findings
    can_serve = all(finding.severity == "warning" for finding in findings)
    failed = not can_serve or (strict and bool(findings))
    if as_json:
        typer.echo(json.dumps(_as_object(not failed, findings, evidence), indent=2))
    else:
        _print(file, loaded if can_serve else None, findings, evidence or [])
    raise typer.Exit(1 if failed else 0)


def examine(loaded: "Loaded", now: datetime, known: "Known") -> "tuple[tuple[Finding, ...], list[Evidence] | None]":
    """Return a configuration's warnings with what dates and evidence say against each route, and the evidence.

    Evidence is that of each route which loses its primary on a known day, or asks for it; None where no database is.
    """
    from gateway.config.findings import Finding, Findings
    from gateway.learning.evidence_words import sentence, what_waits
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.route_warnings import route_warnings

    try:
        served = known.as_served(loaded.routes)
    except ConfigError as error:
        return (Finding(loaded.routes.files[0], 1, str(error)), *loaded.warnings), None
    calendar = Calendar(served, known.published)
    evidence = _evidence(served, calendar, now, known)
    findings = Findings(loaded.routes.files[0])
    for finding in loaded.warnings:
        findings.add(finding)
    for name, route in served.routes.items():
        for warning in route_warnings(route, calendar=calendar, now=now, states=known.targets):
            findings.warning(loaded.origins[name].route, f"routes.{name}: {warning}")
    for shown in evidence or []:
        if shown.waits:
            at, name = loaded.origins[shown.route.name].route, shown.route.name
            findings.warning(at, f"routes.{name}: {what_waits(shown)} ({sentence(shown)})")
    return findings.warnings(), evidence


def _evidence(routes: "Routes", calendar: "Calendar", now: datetime, known: "Known") -> "list[Evidence] | None":
    from gateway.lifecycle.forecast import is_gone, is_retired, main_of
    from gateway.lifecycle.forecast_evidence import evidence_on

    if known.evaluations is None:
        return None
    evidence = []
    for route in routes.routes.values():
        main = main_of(route)
        dates, seen = calendar.dates_of(main), known.targets.get((main.provider.name, main.model))
        has_moved = is_retired(dates, now) or is_gone(seen)
        found = evidence_on(route, known.evaluations, dates, has_moved=has_moved)
        if found is not None and (dates.shutdown or route.cutover.require_evidence):
            evidence.append(found)
    return evidence


def _as_object(ok: bool, findings: "tuple[Finding, ...]", evidence: "list[Evidence] | None") -> dict[str, Any]:
    from gateway.learning.evidence_words import as_object

    rows = [{"file": f.file, "line": f.line, "severity": f.severity, "message": f.message} for f in findings]
    shown = None if evidence is None else [{"route": one.route.name, **(as_object(one) or {})} for one in evidence]
    return {"ok": ok, "findings": rows, "evidence": shown}


def _print(file: Path, loaded: "Loaded | None", findings: "tuple[Finding, ...]", evidence: "list[Evidence]") -> None:
    from gateway.learning.evidence_words import with_day
    from gateway.lifecycle.forecast_words import counted

    for finding in findings:
        typer.echo(_line(finding))
    for shown in evidence:
        # One that waits is among the warnings.
        if not shown.waits:
            typer.echo(f"{shown.route.name}, {with_day(shown)}")
    if loaded is not None:
        said = f"{counted(len(loaded.routes.routes))}, {counted(len(findings), 'warning')}"
        typer.echo(f"{file}: {said}; it can be served")


def _line(finding: "Finding") -> str:
    colour = typer.colors.RED if finding.severity == "error" else typer.colors.YELLOW
    word = finding.severity if "NO_COLOR" in os.environ else typer.style(finding.severity, fg=colour)
    return f"{finding.file}:{finding.line}: {word}: {finding.message}"


def show(
    route: Annotated[str, typer.Argument(help="A route.")],
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every effective value of a route, and the file and line it comes from; and where it is held by hand."""
    from gateway.cli.known import read_known
    from gateway.config.shown import ShownValue
    from gateway.config.shown import show as shown_values

    loaded = load_routes(routes)
    try:
        values = shown_values(loaded, route)
    except RouteNotFound as error:
        raise ConfigError(error.message) from None
    command = read_known(database).commands.get(route)
    if command is not None and command.in_force(SystemClock().now()):
        # Not of routes.yaml, and so the first thing to know.
        values = [ShownValue("commanded", command.target, f"by {command.by}: {command.reason}"), *values]
    if as_json:
        rows = [{"path": v.path, "value": v.value, "origin": v.origin} for v in values]
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    widths = max(len(v.path) for v in values), max(len(v.origin) for v in values)
    for value in values:
        text = json.dumps(value.value, default=str, ensure_ascii=False)
        typer.echo(f"{value.path:<{widths[0]}}  {value.origin:<{widths[1]}}  {text}")


def load_routes(path: Path) -> "Loaded":
    """Read a configuration; raise ``ConfigError`` with everything that is wrong."""
    from gateway.config.loader import load

    return load(path, environ=os.environ)


def instant(at: str | None) -> datetime:
    """Read the instant that an option names, in UTC where it says no zone; now, where it names none."""
    if at is None:
        return SystemClock().now()
    try:
        moment = datetime.fromisoformat(at)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{at!r} is no date; write 2027-01-14, or 2027-01-13T23:59+00:00") from None
