"""``gateway report``: what routes cost, how fast they are, who answered, and whether a fine-tune paid for itself."""

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.routes import Routes
    from gateway.learning.report_reading import Read, Wanted

DIMENSIONS = ("day", "team", "target", "model", "reason", "key", "tag")


def report(
    route: Annotated[list[str] | None, typer.Argument(metavar="ROUTE", help="Routes.  (default: all)")] = None,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="WHEN", help="From when on: 24h, 7d, 4w, or 2026-11-01; 7d: from midnight UTC."
        ),
    ] = "7d",
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="Until then, not included.  (default: now)")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="|".join(DIMENSIONS), help="Add up by this instead; tag:NAME by a tag's values."),
    ] = None,
    break_even: Annotated[
        bool, typer.Option("--break-even", help="Say whether each fine-tune pays for itself, and by when.")
    ] = False,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report requests, tokens, cost, speed and fallbacks, per route and target, for any period.

    Callers' requests alone; pins are left out, and what was asked to learn (rehearsals, recordings, evaluations,
    probes) is told apart. Comes from daily and hourly totals; percentiles are true to 2 %. Needs no server.

    7d is the last 7 days from midnight UTC, and today; 24h begins with a full hour.

    --break-even compares the fine-tune with the first fallback and its prompt, by what both cost per request: measured
    where rehearsals or fallbacks ran, else computed from tokens and list prices. It needs `training.cost_usd` in
    routes.yaml. "Never" and "too little data" are answers.

    Exit codes: 0 reported, an empty ledger too; 1 the database cannot be reached; 2 the command was misused, or the
    configuration cannot be used.

    Example:  gateway report

    Example:  gateway report forum-reply --since 2026-11-01 --by day

    Example:  gateway report --by tag:feature --json

    Example:  gateway report forum-reply --since 4w --break-even
    """
    from gateway.cli.report_json import as_object
    from gateway.cli.report_period import period_of
    from gateway.cli.report_text import show, show_nothing
    from gateway.learning.report_reading import Wanted

    if by is not None:
        # Names of tags are kept in lower case.
        by = by.lower()
        _check_dimension(by)
    period = period_of(since, until, SystemClock().now())
    wanted = Wanted(tuple(dict.fromkeys(route or ())), period, by, break_even, times=by is None or as_json)
    found = _read(database, wanted, _configuration(routes, needed=break_even))
    if found.unknown is not None:
        _refuse(_no_such_route(found.unknown, found.names))
    if as_json:
        typer.echo(json.dumps(as_object(found, wanted), indent=2, ensure_ascii=False))
    elif found.report is None or found.report.is_empty:
        show_nothing(found, period)
    else:
        show(found.report, break_even=break_even)


def _check_dimension(by: str) -> None:
    from gateway.config.findings import did_you_mean

    word, colon, name = by.partition(":")
    if word in DIMENSIONS and (not colon or (word == "tag" and name)):
        return
    meant = did_you_mean(word, DIMENSIONS) if word not in DIMENSIONS else ""
    raise typer.BadParameter(f"{by!r}: one of {', '.join(DIMENSIONS)}, or tag:NAME{meant}", param_hint="--by")


def _configuration(file: Path, *, needed: bool) -> "Routes | None":
    """Load routes.yaml. Where there is none, and it is not needed, the ledger is reported without owners and dates."""
    from gateway.config.loader import load

    if not needed and not file.exists():
        typer.echo(f"without owners, dates and prices: there is no {file}", err=True)
        return None
    try:
        return load(file, environ=os.environ).routes
    except ConfigError as error:
        _refuse(str(error))


def _read(database: str | None, wanted: "Wanted", routes: "Routes | None") -> "Read":
    from gateway.config.settings import read_settings
    from gateway.learning.report_reading import read
    from gateway.store.database import DatabaseUnavailable

    try:
        return asyncio.run(read(read_settings(database_url=database).database_url, wanted, routes))
    except DatabaseUnavailable as error:
        typer.echo(f"cannot read the ledger: {error}", err=True)
        raise typer.Exit(1) from None
    except (ConfigError, ValueError) as error:
        _refuse(str(error))


def _no_such_route(name: str, names: frozenset[str]) -> str:
    from gateway.config.findings import did_you_mean, printable, quoted

    hint = did_you_mean(name, names) or (f"; there are: {', '.join(sorted(names)[:20])}" if names else "")
    return f"there is no route {quoted(printable(name))}{printable(hint)}"


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
