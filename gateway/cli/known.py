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

    from gateway.config.packs import Pack
    from gateway.config.routes import Routes
    from gateway.policy.availability import TargetState
    from gateway.policy.lifecycle import PublishedModels
    from gateway.policy.planner import Command
    from gateway.policy.traffic import Traffic
    from gateway.store.database import Database
    from gateway.store.evaluations import Evaluation


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
    evaluations: "tuple[Evaluation, ...] | None" = None
    """The latest verdict on each route's target with each prompt, newest first; None: no database was read."""
    packs: "Mapping[str, Pack]" = field(default_factory=dict)
    """Those that the configuration names by their hash, by that."""
    empty: str | None = None
    """The database, where nothing was kept in it yet; its password hidden."""
    nothing: bool = False
    """Whether there is no such file, or no schema in it."""

    def as_served(self, routes: "Routes") -> "Routes":
        """Return the configuration that a server would run: packs put in, and moves held back that lack evidence.

        Raises:
            ConfigError: a pack holds examples of another customer than its route's.
        """
        from gateway.config.awaited_packs import with_packs
        from gateway.learning.knowledge import accepted_of
        from gateway.policy.evidence import gated

        return gated(with_packs(routes, self.packs), accepted_of(list(self.evaluations or ())))


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


async def known_to(url: str, traffic_until: "datetime | None" = None, routes: "Routes | None" = None) -> Known:
    """Read everything that a database knows; traffic where an instant is named. May raise ``DatabaseUnavailable``.

    Raises:
        ConfigError: a pack that the routes name is damaged.
    """
    from gateway.store.database import Database, to_async_url, where
    from gateway.store.evaluations import EvaluationStore
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
        return Known(
            published,
            shared.commands,
            shared.targets,
            traffic,
            evaluations=tuple(await EvaluationStore(opened).latest()),
            packs=await _packs_of(routes, opened) if routes is not None else {},
            empty=None if published or shared.targets else where(to_async_url(url)),
        )
    finally:
        await opened.close()


async def _packs_of(routes: "Routes", database: "Database") -> "Mapping[str, Pack]":
    from gateway.learning.knowledge import Knowledge

    knowledge = Knowledge()
    await knowledge.read(database, routes)
    return knowledge.packs


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
