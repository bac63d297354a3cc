"""What a gateway's database knows, for commands that need no server and for pages; nothing where there is none yet."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from gateway.config.packs import Pack
    from gateway.config.routes import Routes
    from gateway.policy.availability import TargetState
    from gateway.policy.lifecycle import PublishedModels
    from gateway.policy.planner import Command
    from gateway.policy.promotion import Promotion
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
    promotions: "Mapping[str, Promotion]" = field(default_factory=dict)
    """By route, those that have not ended."""
    nothing: bool = False
    """Whether there is no such file, or no schema in it."""

    def as_promoted(self, routes: "Routes", at: "datetime | None" = None) -> "Routes":
        """Return the configuration with the versions that answer in place of what it names, or beside it.

        ``at``: on which day; None: now.
        """
        from gateway.policy.promotion import promoted

        return promoted(routes, self.promotions, at or SystemClock().now()).routes

    def as_served(self, routes: "Routes", at: "datetime | None" = None) -> "Routes":
        """Return the configuration that a server would run, or would at an instant, as far as is known today.

        Packs and promotions are put in, and moves held back that lack evidence.

        Raises:
            ConfigError: a pack holds examples of another customer than its route's.
        """
        from gateway.config.awaited_packs import with_packs
        from gateway.learning.knowledge import accepted_of
        from gateway.policy.evidence import gated

        whole = self.as_promoted(with_packs(routes, self.packs), at)
        return gated(whole, accepted_of(list(self.evaluations or ())))


async def known_to(url: str, traffic_until: "datetime | None" = None, routes: "Routes | None" = None) -> Known:
    """Open a database and read everything that it knows. May raise ``DatabaseUnavailable``.

    Raises:
        ConfigError: a pack that the routes name is damaged.
    """
    from gateway.store.database import Database, to_async_url, where

    opened = await Database.open_existing(url)
    if opened is None:
        return Known(empty=where(to_async_url(url)), nothing=True)
    try:
        return await known_of(opened, traffic_until, routes)
    finally:
        await opened.close()


async def known_of(
    database: "Database", traffic_until: "datetime | None" = None, routes: "Routes | None" = None
) -> Known:
    """Read everything that an open database knows; traffic where an instant is named, packs where routes are.

    May raise ``DatabaseUnavailable``, and ``ConfigError`` where a pack that the routes name is damaged.
    """
    from gateway.store.database import where
    from gateway.store.evaluations import EvaluationStore
    from gateway.store.published import PublishedStore
    from gateway.store.states import StateStore
    from gateway.store.traffic import TrafficStore

    shared = await StateStore(database, "").read(SystemClock().now())
    published = await PublishedStore(database).all()
    traffic = None if traffic_until is None else await TrafficStore(database).traffic(traffic_until)
    if traffic is not None and not traffic.served:
        # A ledger in which nothing happened tells as little as none.
        traffic = None
    return Known(
        published,
        shared.commands,
        shared.targets,
        traffic,
        evaluations=tuple(await EvaluationStore(database).latest()),
        packs=await _packs_of(routes, database) if routes is not None else {},
        promotions=shared.promotions,
        empty=None if published or shared.targets else where(database.engine.url),
    )


async def _packs_of(routes: "Routes", database: "Database") -> "Mapping[str, Pack]":
    from gateway.learning.knowledge import Knowledge

    knowledge = Knowledge()
    await knowledge.read(database, routes)
    return knowledge.packs
