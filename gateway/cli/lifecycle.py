"""``gateway lifecycle``: what is known of when models stop."""

import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.cli.events import events
from gateway.cli.known import read_known
from gateway.cli.refresh import refresh
from gateway.clock import SystemClock

if TYPE_CHECKING:
    from gateway.lifecycle.listing import ListedModel

lifecycle_app = typer.Typer(no_args_is_help=True, help="See when models stop, and ask providers anew.")


@lifecycle_app.command("list")
def list_models(
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All models that ship, whoever routes to them.")] = False,
    within: Annotated[int | None, typer.Option(min=0, metavar="DAYS", help="Only what stops in so many days.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show when every model that routes name stops, who says so, and who says otherwise.

    Needs no server: it reads routes.yaml, what ships with the package, and what a gateway kept in its database of its
    providers' answers, where there is one. --within N shows what stops in N days, and what routes name although it has
    stopped already.

    Example:  gateway lifecycle list --within 90
    """
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.listing import models_of_routes, shipped

    now = SystemClock().now()
    if everything:
        models = shipped(now)
    else:
        from gateway.config.loader import load

        chosen = load(routes, environ=os.environ).routes
        models = models_of_routes(chosen, Calendar(chosen, read_known(database).published), now)
    show(models, now, within=within, only_to_come=everything, as_json=as_json)


def show(models: "list[ListedModel]", now: datetime, *, within: int | None, only_to_come: bool, as_json: bool) -> None:
    """Print models as a table for people, or as JSON. ``within`` keeps what stops in so many days, or has."""
    from gateway.lifecycle.listing import as_row

    if within is not None:
        earliest = 0 if only_to_come else -1_000_000
        models = [m for m in models if m.days_left is not None and earliest <= m.days_left <= within]
    if as_json:
        rows = [as_row(model) for model in models]
        typer.echo(json.dumps({"at": now.isoformat(), "models": rows}, indent=2))
    else:
        from gateway.cli.lifecycle_table import print_models

        print_models(models)


# Below, so that help lists it after "list".
lifecycle_app.command("refresh")(refresh)
lifecycle_app.command("events")(events)
