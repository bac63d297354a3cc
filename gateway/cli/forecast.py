"""``gateway forecast``: what stops, when, who answers then, what that costs, and what is wrong. Needs no server."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, instant
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.learning.known import Known, known_to

if TYPE_CHECKING:
    from gateway.config.routes import Routes
    from gateway.lifecycle.forecast import Forecast, Horizon

LONGEST_DAYS = 3650


def forecast(
    days: Annotated[int, typer.Option("--days", min=0, max=LONGEST_DAYS, help="How far to look ahead.")] = 90,
    at: Annotated[
        str | None, typer.Option("--at", metavar="DATE", help="The state on a day, such as 2027-01-14, instead.")
    ] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with a timeline, too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Foresee what happens to every route: what stops, when, who answers then, what it costs, and what is wrong.

    Needs no server. With a ledger it also knows last week's traffic: cost, peaks, and requests a fallback refuses.
    Exit codes: 0 every route has somebody to answer, 1 one has nobody.

    Example:  gateway forecast --days 90 --html forecast.html
    """
    from gateway.cli import forecast_text
    from gateway.lifecycle.forecast import Horizon

    now = SystemClock().now()
    if at is not None and instant(at).date() < now.date():
        raise typer.BadParameter(f"{at} is past; a forecast looks ahead", param_hint="--at")
    horizon = Horizon.of_days(now, days) if at is None else Horizon.on(now, max(now, instant(at)))
    if html is not None and html.exists() and html.samefile(routes):
        raise typer.BadParameter(f"{html} is the configuration itself", param_hint="--html")
    found = foresee(routes, horizon, database)
    if html is not None:
        _write_page(html, found, routes)
    if as_json:
        from gateway.cli.forecast_json import as_object

        typer.echo(json.dumps(as_object(found), indent=2))
    else:
        forecast_text.show(found)
    raise typer.Exit(1 if found.nobody else 0)


def foresee(routes_file: Path, horizon: "Horizon", database: str | None) -> "Forecast":
    """Read configuration and ledger, and compute the forecast.

    Raises:
        ConfigError: the configuration cannot be used; or a database that was named cannot.
    """
    from gateway.config.loader import load
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.forecast import forecast as compute
    from gateway.providers.abilities import Abilities
    from gateway.providers.prices import PriceBook

    routes = load(routes_file, environ=os.environ).routes
    known = read_ledger(database, horizon.now, routes=routes)
    routes = known.as_served(routes)
    found = compute(
        routes,
        horizon,
        calendar=Calendar(routes, known.published),
        book=PriceBook.for_routes(routes, horizon.now.date()),
        abilities=Abilities(routes.capabilities),
        traffic=known.traffic,
        states=known.targets,
    )
    return replace(found, nothing_kept_in=known.empty, evaluations=known.evaluations)


def read_ledger(database: str | None, now: datetime, *, routes: "Routes", traffic: bool = True) -> Known:
    """Read everything that a database knows, the packs that routes name, and traffic where it is wanted.

    A database that nobody named may be absent, or unreadable, which is told on stderr. Raises ``ConfigError`` for one
    that was named.
    """
    from gateway.config.settings import read_settings
    from gateway.store.database import DatabaseUnavailable

    url = read_settings(database_url=database).database_url
    if traffic and sys.stderr.isatty():
        typer.echo("reading the last 7 days of the ledger …", err=True)
    try:
        known = asyncio.run(known_to(url, now if traffic else None, routes))
    except (DatabaseUnavailable, ValueError) as error:
        if database is not None:
            raise ConfigError(f"cannot read the ledger: {error}") from None
        typer.echo(f"warning: cannot read the ledger: {error}", err=True)
        return Known()
    if known.nothing and database is not None:
        raise ConfigError(f"there is no ledger in {known.empty}")
    return known


def _write_page(file: Path, found: "Forecast", routes_file: Path) -> None:
    from gateway.cli.timeline import page

    try:
        file.write_text(page(found, str(routes_file)), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
    typer.echo(f"the timeline is in {file}", err=True)
