"""What a gateway's database knows, for commands that need no server; nothing where there is no database yet."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.policy.availability import TargetState
    from gateway.policy.lifecycle import PublishedModels
    from gateway.policy.planner import Command
    from gateway.store.database import Database


@dataclass(frozen=True, slots=True)
class Known:
    """What was read."""

    published: "PublishedModels" = field(default_factory=dict)
    commands: "Mapping[str, Command]" = field(default_factory=dict)
    """Route → where a person has put it; also those that have expired."""
    targets: "Mapping[tuple[str, str], TargetState]" = field(default_factory=dict)
    """Provider and model → what the replicas agree on."""


def read_known(database: str | None) -> Known:
    """Read what providers said of their models, and what was commanded.

    A database that cannot be reached costs just that, which is told on stderr.
    """
    from gateway.config.settings import read_settings
    from gateway.store.database import Database, DatabaseUnavailable
    from gateway.store.published import PublishedStore
    from gateway.store.states import StateStore

    async def read(url: str) -> Known:
        opened = await Database.open_existing(url)
        if opened is None:
            return Known()
        try:
            shared = await StateStore(opened, "").read()
            return Known(await PublishedStore(opened).all(), shared.commands, shared.targets)
        finally:
            await opened.close()

    try:
        return asyncio.run(read(read_settings(database_url=database).database_url))
    except DatabaseUnavailable as error:
        typer.echo(f"without what a gateway has kept: {error}", err=True)
        return Known()
    except ValueError as error:
        raise ConfigError(str(error)) from None


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
