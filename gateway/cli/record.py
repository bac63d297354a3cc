"""``gateway record``."""

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, load_routes
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.routes import Routes

MAX_USD = 5.0
_NANO = 10**9


def record(
    route: Annotated[str | None, typer.Argument(help="A route with a primary; none with --before-shutdown.")] = None,
    inputs: Annotated[
        str | None, typer.Option("--inputs", metavar="FILE|captured", help="What to ask: a JSONL file, or `captured`.")
    ] = None,
    second_samples: Annotated[
        float, typer.Option("--second-samples", min=0, max=1, help="The share of inputs that are asked twice.")
    ] = 0.2,
    max_usd: Annotated[
        float | None,
        typer.Option("--max-usd", min=0, max=1_000_000, help="What this run may cost at most.  (default: 5)"),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=0.01, max=1000, help="Requests a second.")] = 2.0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Requests at once.")] = 4,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first so many inputs, recorded or not.")
    ] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="By the provider's batch API: within a day, at half the price.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="With --batch: stay until the answers are here.")] = False,
    before_shutdown: Annotated[
        bool, typer.Option("--before-shutdown", help="Which routes still lack recordings, and how many days are left.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the recordings as training rows.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before spending money.")] = False,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a route's primary while it lives, and keep its answers: what its understudy learns from and is judged by.

    Inputs are training rows ({"messages": …}, the answer is left out), rows without an answer, or {"input": "text"};
    `captured` are those that the route kept of live traffic. What is recorded is not asked again, so a run that was
    stopped goes on when the same command is given once more. One that is killed outright loses what was in flight: at
    most --concurrency answers, which may be billed, and of failures the ledger's last second. One run of a route is at
    work at a time. It says beforehand what it will cost, and stops at the cap. A share is asked twice: how much the
    model differs from itself is the best that any fallback can do.

    A provider's terms may forbid training other models on its answers: read them first. An export and its manifest
    mark the rows as written by a model.

    Exit codes: 0 everything asked was answered, 1 it was not, or (--before-shutdown) a route whose primary lives lacks
    recordings, 2 the command was misused.

    Example:  gateway record --before-shutdown

    Example:  gateway record forum-reply --inputs data/forum-reply.jsonl --max-usd 2

    Example:  gateway record forum-reply --inputs captured --batch --wait --yes

    Example:  gateway record forum-reply --export recorded.jsonl
    """
    from gateway.cli.record_report import as_object, show_by_shutdown, told, write_export
    from gateway.cli.record_run import Wish, run

    if before_shutdown:
        if route is not None or inputs is not None or export is not None:
            raise typer.BadParameter("looks at every route; give it nothing else", param_hint="--before-shutdown")
        raise typer.Exit(show_by_shutdown(load_routes(routes).routes, database, as_json=as_json))
    loaded = load_routes(routes).routes
    name = _checked(route, loaded, routes)
    if export is not None:
        if inputs is not None or batch:
            raise typer.BadParameter("writes what is recorded; leave --inputs and --batch out", param_hint="--export")
        write_export(loaded.routes[name], _url(database), export, as_json=as_json)
        return
    if inputs is None:
        raise typer.BadParameter("say what to ask: --inputs FILE, or --inputs captured", param_hint="--inputs")
    if wait and not batch:
        raise typer.BadParameter("goes with --batch", param_hint="--wait")
    wish = Wish(
        name, inputs, second_samples, limit, rate, concurrency,
        cap_nanousd=int(Decimal(str(MAX_USD if max_usd is None else max_usd)) * _NANO),
        capped=max_usd is not None, agreed=yes, batch=batch, wait=wait, quiet=as_json,
    )  # fmt: skip
    from gateway.cli.logs import configure_logs

    # What asking logs belongs on stderr, and only where it is a warning.
    configure_logs("warning")
    done = asyncio.run(run(wish, loaded, _url(database), os.environ))
    typer.echo(json.dumps(as_object(done), indent=2) if as_json else told(done))
    raise typer.Exit(1 if done.run.stopped or done.run.failed else 0)


def _url(database: str | None) -> str:
    from gateway.config.settings import read_settings

    return read_settings(database_url=database).database_url


def _checked(route: str | None, loaded: "Routes", file: Path) -> str:
    """Return the route's name, where it is one that can be recorded."""
    from gateway.config.findings import did_you_mean

    if route is None:
        raise typer.BadParameter("name a route, or ask for --before-shutdown", param_hint="ROUTE")
    if route not in loaded.routes:
        known = did_you_mean(route, loaded.routes)
        raise typer.BadParameter(f"{file} has no route {route!r}{known}", param_hint="ROUTE")
    if loaded.routes[route].primary is None:
        raise ConfigError(f"{route} has no primary: there is nobody to record")
    return route
