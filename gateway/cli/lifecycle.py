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
    from gateway.config.routes import Routes
    from gateway.learning.known import Known
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
        known = read_known(database)
        chosen = known.as_promoted(chosen)
        models = models_of_routes(chosen, Calendar(chosen, known.published), now, known.targets)
        if (missing := not_asked(models, chosen, known)) is not None and not as_json:
            typer.echo(missing, err=True)
    show(models, now, within=within, only_to_come=everything, as_json=as_json)


def not_asked(models: "list[ListedModel]", routes: "Routes", known: "Known") -> str | None:
    """Say that nothing was kept in a database, where a provider could be asked for a day that is not known."""
    from gateway.lifecycle.forecast import main_of
    from gateway.lifecycle.forecast_words import nothing_kept

    undated = {(model.provider, model.model) for model in models if model.dates.shutdown is None}
    mains = map(main_of, routes.routes.values())
    providers = [target.provider for target in mains if (target.provider.name, target.model) in undated]
    names = sorted({provider.name for provider in providers if provider.vendor.tells_dates})
    return nothing_kept(known.empty, names) if known.empty is not None and names else None


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

        print_models(models, by_base=not only_to_come)


# Below, so that help lists it after "list".
lifecycle_app.command("refresh")(refresh)
lifecycle_app.command("events")(events)
