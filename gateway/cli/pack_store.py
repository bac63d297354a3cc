"""``gateway pack push`` and ``remove``: packs in the database."""

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.packs import Pack


def push(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A pack's directory.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a pack into the database, for those beyond a ConfigMap's size, and print the hash that names it.

    A replica is not ready until it has every pack that routes.yaml names so.

    Example:  gateway pack push packs/forum-reply
    """
    from gateway.cli.cutover import whoami
    from gateway.config.settings import read_settings

    if not directory.is_dir():
        raise typer.BadParameter(f"there is no directory {str(directory)!r}", param_hint="DIR")
    pack = asyncio.run(_push(directory, read_settings(database_url=database).database_url, whoami()))
    if as_json:
        typer.echo(json.dumps({"hash": pack.hash, "route": pack.route, "tenant": pack.tenant}, indent=2))
        return
    typer.echo(pack.hash)
    typer.echo(f'name it in routes.yaml, under the fallback:  prompt: {{pack: "{pack.hash}"}}', err=True)


async def _push(directory: Path, url: str, by: str) -> "Pack":
    from gateway.cli.known import open_or_make
    from gateway.config.packs import BadPack
    from gateway.learning.packs.directory import read_files
    from gateway.store.database import DatabaseUnavailable
    from gateway.store.packs import PackStore

    files = read_files(directory)
    try:
        opened = await open_or_make(url)
        try:
            return await PackStore(opened).push(files, by, SystemClock().now())
        finally:
            await opened.close()
    except BadPack as problem:
        raise ConfigError(f"{directory / problem.file}:{problem.line}: {problem.message}") from None
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot push: {error}") from None


def remove(
    hash_: Annotated[str, typer.Argument(metavar="HASH", help="sha256:…, as `gateway pack push` printed it.")],
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
) -> None:
    """Take a pack out of the database, once no gateway's routes.yaml names it: after somebody's rows were deleted.

    Example:  gateway pack remove sha256:221ff1a6d0a374a467ff1de630f38e787ec8fbc0f284778df147c001fd96c33f
    """
    from gateway.config.awaited_packs import awaited
    from gateway.config.loader import load
    from gateway.config.settings import read_settings

    if routes.exists() and hash_ in awaited(load(routes, environ=os.environ).routes):
        raise ConfigError(
            f"{routes} names it: a gateway would not become ready without it; name another pack there first"
        )
    if not asyncio.run(_remove(hash_, read_settings(database_url=database).database_url)):
        raise ConfigError(f"the database has no pack {hash_}")
    typer.echo(f"{hash_} is removed; a gateway that still names it would not become ready")


async def _remove(hash_: str, url: str) -> bool:
    from gateway.cli.known import no_state_in
    from gateway.store.database import Database, DatabaseUnavailable
    from gateway.store.packs import PackStore

    try:
        opened = await Database.open_existing(url)
        if opened is None:
            raise no_state_in(url)
        try:
            return await PackStore(opened).remove(hash_)
        finally:
            await opened.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot remove: {error}") from None
