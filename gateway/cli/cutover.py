"""``gateway cutover``."""

import asyncio
import getpass
import json
import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.cli.known import no_state_in
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.policy.planner import Command

_OPTIONS = {"to": "--to", "reason": "--reason", "lasts": "--for"}


def cutover(
    route: Annotated[str, typer.Argument(help="A route.")],
    to: Annotated[
        str,
        typer.Option("--to", metavar="TARGET|auto", help="primary, a fallback's name, or auto: by the rules again."),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; everybody who looks will read it.")],
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="24h", help="For how long: 30m, 24h, 7d.  (default: until auto)")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who commands it.  (default: you, at this machine)")] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a route to one of its targets by hand, or give it back to the rules.

    Every replica on this database follows within seconds, and the event names you and your reason. It outranks dates,
    ramps and circuits; only a target that was seen to be gone is passed over. Until it ends, `explain`, `config show`
    and GET /v1/models show it as a difference from routes.yaml. `gateway keys audit` keeps who did it, and why.

    Example:  gateway cutover forum-reply --to luna --reason "trying the understudy" --for 24h
    """
    from gateway.config.findings import did_you_mean
    from gateway.config.loader import load
    from gateway.config.settings import read_settings
    from gateway.policy.commanding import AUTO, InvalidCommand, command_of

    known = None
    if to != AUTO:
        # A command for a route that is no longer there can still be taken back.
        known = load(routes, environ=os.environ).routes.routes
        if route not in known:
            raise typer.BadParameter(f"{routes} has no route {route!r}{did_you_mean(route, known)}", param_hint="ROUTE")
    try:
        command = command_of(
            known[route] if known is not None else None,
            to,
            reason=reason,
            lasts=lasts,
            by=by or whoami(),
            now=SystemClock().now(),
        )
    except InvalidCommand as error:
        raise typer.BadParameter(str(error), param_hint=_OPTIONS[error.part]) from None
    done = asyncio.run(_write(read_settings(database_url=database).database_url, route, command))
    if as_json:
        expires = command.expires_at.isoformat() if command.expires_at else None
        row = {"route": route, "to": to, "by": command.by, "reason": command.reason, "expires_at": expires}
        typer.echo(json.dumps(row, indent=2))
    else:
        typer.echo(_told(route, command, done))


def whoami() -> str:
    """Name the person at this machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()


async def _write(url: str, route: str, command: "Command") -> bool:
    """Keep or take back a command; False where there was none to take back."""
    from gateway.policy.commanding import AUTO
    from gateway.store.database import Database, DatabaseUnavailable
    from gateway.store.states import StateStore

    try:
        database = await Database.open_existing(url)
        if database is None:
            raise no_state_in(url)
        try:
            store = StateStore(database, command.by)
            if command.target == AUTO:
                return await store.release(route, by=command.by, reason=command.reason, now=command.at)
            await store.command(route, command)
            return True
        finally:
            await database.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot command: {error}") from None


def _told(route: str, command: "Command", done: bool) -> str:
    from gateway.policy.commanding import AUTO

    if command.target == AUTO:
        return f"{route} follows its rules again" if done else f"{route} followed its rules already"
    until = f"until {command.expires_at:%Y-%m-%d %H:%M} UTC" if command.expires_at else "until you say --to auto"
    return f"{route} goes to {command.target} {until}; replicas follow within seconds"
