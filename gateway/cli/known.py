"""Opens a gateway's database for commands that need no server; nothing where there is no database yet."""

import asyncio
from typing import TYPE_CHECKING

import typer

from gateway.errors import ConfigError
from gateway.learning.known import Known, known_to

if TYPE_CHECKING:
    from gateway.config.routes import Routes
    from gateway.store.database import Database


def read_known(database: str | None, *, routes: "Routes | None" = None, quietly: bool = False) -> Known:
    """Read what providers said of their models, what was seen of them, what was commanded, and every verdict.

    With ``routes`` also the packs that they name. A database that cannot be reached costs just that, which is told on
    stderr. ``quietly``: nothing is told, and nothing is raised either.
    """
    from gateway.config.settings import read_settings
    from gateway.store.database import DatabaseUnavailable

    try:
        return asyncio.run(known_to(read_settings(database_url=database).database_url, routes=routes))
    except DatabaseUnavailable as error:
        if not quietly:
            typer.echo(f"without what a gateway has kept: {error}", err=True)
    except (ConfigError, ValueError) as error:
        if not quietly:
            raise ConfigError(str(error)) from None
    return Known()


def no_state_in(url: str) -> ConfigError:
    """Return the error of a command that needs a gateway's state, where a database has none."""
    from gateway.store.database import to_async_url, where

    return ConfigError(f"no gateway has kept its state in {where(to_async_url(url))} yet; name another with --database")


async def open_or_make(url: str) -> "Database":
    """Open the database, made and migrated where it is a SQLite file that is not there yet.

    Raises ``DatabaseUnavailable``.
    """
    from gateway.store.database import Database, DatabaseUnavailable, to_async_url, where

    database = await Database.open_existing(url)
    if database is not None:
        return database
    async_url = to_async_url(url)
    if async_url.get_backend_name() != "sqlite":
        raise DatabaseUnavailable(f"{where(async_url)}: it has no schema yet; run 'gateway migrate'")
    from gateway.store.migrate import migrate

    await asyncio.to_thread(migrate, url)
    return await Database.open(url)
