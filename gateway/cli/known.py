"""What a gateway's database knows, for commands that need no server; nothing where there is no database yet."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gateway.policy.availability import TargetState
    from gateway.policy.lifecycle import PublishedModels
    from gateway.policy.planner import Command
    from gateway.policy.traffic import Traffic
    from gateway.store.database import Database


@dataclass(frozen=True, slots=True)
class Known:
    """What was read."""

    published: "PublishedModels" = field(default_factory=dict)
    commands: "Mapping[str, Command]" = field(default_factory=dict)
    """Route → where a person has put it; also those that have expired."""
    targets: "Mapping[tuple[str, str], TargetState]" = field(default_factory=dict)
    """Provider and model → what the replicas agree on."""
    traffic: "Traffic | None" = None
    """None: nobody asked for it, or there was none."""
    empty: str | None = None
    """The database, where nothing was kept in it yet; its password hidden."""
    nothing: bool = False
    """Whether there is no such file, or no schema in it."""


def read_known(database: str | None, *, quietly: bool = False) -> Known:
    """Read what providers said of their models, what was seen of them, and what was commanded.

    A database that cannot be reached costs just that, which is told on stderr. ``quietly``: nothing is told, and
    nothing is raised either.
    """
    from gateway.config.settings import read_settings
    from gateway.store.database import DatabaseUnavailable

    try:
        return asyncio.run(known_to(read_settings(database_url=database).database_url))
    except DatabaseUnavailable as error:
        if not quietly:
            typer.echo(f"without what a gateway has kept: {error}", err=True)
    except (ConfigError, ValueError) as error:
        if not quietly:
            raise ConfigError(str(error)) from None
    return Known()


async def known_to(url: str, traffic_until: "datetime | None" = None) -> Known:
    """Read everything that a database knows; traffic where an instant is named. May raise ``DatabaseUnavailable``."""
    from gateway.store.database import Database, to_async_url, where
    from gateway.store.published import PublishedStore
    from gateway.store.states import StateStore
    from gateway.store.traffic import TrafficStore

    opened = await Database.open_existing(url)
    if opened is None:
        return Known(empty=where(to_async_url(url)), nothing=True)
    try:
        shared = await StateStore(opened, "").read(SystemClock().now())
        published = await PublishedStore(opened).all()
        traffic = None if traffic_until is None else await TrafficStore(opened).traffic(traffic_until)
        if traffic is not None and not traffic.served:
            # A ledger in which nothing happened tells as little as none.
            traffic = None
        empty = None if published or shared.targets else where(to_async_url(url))
        return Known(published, shared.commands, shared.targets, traffic, empty)
    finally:
        await opened.close()


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
