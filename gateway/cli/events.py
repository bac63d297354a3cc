"""``gateway lifecycle events``: what happened to routes and models."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import DatabaseOption, JsonOption
from gateway.cli.known import no_state_in
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.policy.announcements import Event


def events(
    route: Annotated[str | None, typer.Option("--route", help="Only of this route.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=10_000, help="How many, the newest.")] = 20,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happened: cutovers, returns, refusals, commands, notices, dates that moved, models substituted.

    Each event is there once, however many replicas saw it. Oldest first, so that the last line is the latest news.

    Example:  gateway lifecycle events --route forum-reply
    """
    found = _read(database, route, last)
    if as_json:
        rows = [{name: value for name, value in asdict(event).items() if name != "stopping"} for event in found]
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    for event in found:
        typer.echo(f"{event.at:%Y-%m-%d %H:%M:%S} UTC  {event.kind.value:<15}  {event.text}")
    if not found:
        typer.echo("nothing has happened yet" + (f" to {route}" if route else ""), err=True)


def _read(database: str | None, route: str | None, last: int) -> "list[Event]":
    from gateway.config.settings import read_settings
    from gateway.store.database import Database, DatabaseUnavailable
    from gateway.store.states import StateStore

    async def read(url: str) -> "list[Event]":
        opened = await Database.open_existing(url)
        if opened is None:
            raise no_state_in(url)
        try:
            return await StateStore(opened, "").events(limit=last, route=route)
        finally:
            await opened.close()

    try:
        return asyncio.run(read(read_settings(database_url=database).database_url))[::-1]
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot read events: {error}") from None
