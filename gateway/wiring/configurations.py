"""Which configuration is in force, and which waits for what it lacks."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

import structlog

from gateway.clock import Clock
from gateway.config.awaited_packs import awaited
from gateway.config.routes import Routes
from gateway.errors import ConfigError
from gateway.execution.known_series import export_zeros
from gateway.execution.prepared import Snapshot, Trained
from gateway.learning.knowledge import Knowledge
from gateway.lifecycle.polling import dates_source
from gateway.metrics import Metrics
from gateway.policy import pack_examples
from gateway.policy.evidence import Accepted
from gateway.policy.lifecycle import Published
from gateway.policy.promotion import Ending, Promoted, Promotion, ending_of, promoted
from gateway.providers.allowed_origins import AllowedOrigins
from gateway.providers.credentials import lacks_credential
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.providers.worker_destinations import destinations
from gateway.providers.worker_process import LitellmWorker
from gateway.store.database import Database
from gateway.store.versions import VersionStore

log = structlog.get_logger()
PACKS = "packs"
Holding = Mapping[str, tuple[str, int, str | None]]
"""By route the promotion that holds: its id, its version, and why it is ignored here all the same."""


class Configurations:
    """Makes a ``Snapshot`` of each configuration that has all of its packs, and anew whenever other dates, verdicts or
    promotions hold.

    Requests in flight keep the one that they began with.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        client: HttpClient,
        origins: AllowedOrigins,
        environ: Mapping[str, str],
        metrics: Metrics,
        clock: Clock,
        waiting_for: dict[str, str],
    ) -> None:
        """``origins``: where the client may connect to. ``waiting_for``: why this replica is not ready."""
        self._client, self._origins, self._environ = client, origins, environ
        self._metrics, self._clock, self._waiting_for = metrics, clock, waiting_for
        self.waits_because: str | None = None
        """Why the latest configuration is not in force yet."""
        self.published: Mapping[tuple[str, str], Published] = {}
        """What providers said last of their models, by provider and model; ``publish`` replaces it."""
        self._knowledge = Knowledge()
        self._promotions: Mapping[str, Promotion] = {}
        self._holding: Holding = {}
        self._warned: dict[str, str] = {}
        self._trained: Trained = {}
        self._built_by: tuple[Accepted, Trained] = (frozenset(), {})
        """The verdicts and the training's system messages of the latest snapshot; a look may end between the two."""
        self._worker: LitellmWorker | None = None
        self._loaded = self._in_force = routes
        """As routes.yaml says, before packs of the database are put in; and with them, before promotions are."""
        self._reloaded = False
        """Whether the latest configuration is another than that of the start."""
        self._put: Callable[[Snapshot], None] = lambda snapshot: None
        self._configured: Callable[[], None] = lambda: None
        self._loaded_at = clock.now()

    def first(self) -> Snapshot:
        """Make the snapshot of the start."""
        return self._snapshot(self._in_force, self._loaded_at)

    def tell(self, put: Callable[[Snapshot], None], configured: Callable[[], None]) -> None:
        """Have ``put`` get every snapshot from now on, and ``configured`` hear of those of another configuration."""
        self._put, self._configured = put, configured

    async def close(self) -> None:
        """Stop what runs for a configuration: litellm's worker."""
        if self._worker is not None:
            await self._worker.close()

    def replace(self, routes: Routes) -> None:
        """Put another configuration in force; requests in flight keep theirs.

        One that names packs which are not here yet comes into force with them; until then the old one holds.
        """
        self._loaded, self._reloaded, self.waits_because = routes, True, None
        try:
            whole = self._knowledge.complete(routes)
        except ConfigError as error:
            self._metrics.config_reloads.labels("waiting").inc()
            self._wait(str(error))
        else:
            self._put_in_force(whole)

    async def learn(self, database: Database) -> None:
        """Read packs and verdicts; put them in force where they are new.

        The replica is not ready while what is in force lacks a pack. It stays ready while only a reload does.
        """
        loaded, whole = self._loaded, None
        try:
            self._trained = await VersionStore(database).trained_systems()
            await self._knowledge.read(database, loaded)
            whole = self._knowledge.complete(loaded)
            await asyncio.to_thread(pack_examples.index, whole)
        except ConfigError as error:
            if loaded is self._loaded:
                self._wait(str(error))
        # Another may have been loaded meanwhile: then this one's turn is over.
        lacking = loaded.config_hash != self._in_force.config_hash or awaited(self._in_force)
        if whole is not None and lacking and loaded is self._loaded:
            self._put_in_force(whole)
        elif self._built_by != (self._knowledge.accepted, self._trained):
            self._renew()

    def _wait(self, why: str) -> None:
        if awaited(self._in_force):
            self._waiting_for[PACKS] = why
        if why != self.waits_because:
            self.waits_because = why
            log.warning("config_waits", why=why, config_hash=self._loaded.config_hash)

    def _put_in_force(self, routes: Routes) -> None:
        """Put a configuration in force that has all of its packs."""
        self._loaded_at = self._clock.now()
        self._put(self._snapshot(routes, self._loaded_at))
        self._waiting_for.pop(PACKS, None)
        self.waits_because = None
        self._configured()
        if self._reloaded:
            self._metrics.config_reloads.labels("loaded").inc()
        log.info("config_loaded", config_hash=routes.config_hash, routes=len(routes.routes))

    def publish(self, published: Mapping[tuple[str, str], Published]) -> None:
        """Have these be what providers say of their models."""
        if published != self.published:
            self.published = published
            self._renew()

    def promote(self, promotions: Mapping[str, Promotion] | None = None) -> None:
        """Have these be the promotions that have not ended; None: the known ones, some of which may be over by now."""
        if promotions is not None:
            self._promotions = promotions
        holding = self._hold_now()
        if holding != self._holding:
            self._renew()

    def _hold_now(self) -> Holding:
        """Return which promotions hold at this moment, and in which version."""
        if not self._promotions:
            return {}
        standing = self._promoted(self._in_force)
        now, routes = self._clock.now(), self._in_force.routes
        return {
            name: (promotion.promotion_id, promotion.version, standing.ignored.get(name))
            for name, promotion in self._promotions.items()
            if ending_of(promotion, routes.get(name), now) is None
        }

    def _promoted(self, routes: Routes) -> Promoted:
        return promoted(
            routes,
            self._promotions,
            self._clock.now(),
            unusable=lambda provider: lacks_credential(provider, self._environ),
        )

    def _renew(self) -> None:
        """Build the same configuration anew, by what is known now."""
        self._put(self._snapshot(self._in_force, self._loaded_at))

    def _snapshot(self, routes: Routes, loaded_at: datetime) -> Snapshot:
        self._in_force, self._built_by = routes, (self._knowledge.accepted, self._trained)
        standing, self._holding = self._promoted(routes), self._hold_now()
        self._warn(standing)
        routes = standing.routes
        export_zeros(self._metrics, routes)
        for name in standing.active:
            for because in (Ending.EVIDENCE, Ending.GONE, Ending.EXPIRED):
                self._metrics.promotions_ended.labels(name, because.value)
        worker_path = self._worker_for(routes)
        self._origins.replace(routes, self._environ, worker_path)
        upstreams = {
            name: Upstream(provider, self._client, self._environ, self._clock, worker_path)
            for name, provider in routes.providers.items()
        }
        # What was said at another address, under the same name, says nothing of this one.
        published = {
            (provider, model): said
            for (provider, model), said in self.published.items()
            if provider in upstreams and said.dates.source == dates_source(upstreams[provider])
        }
        return Snapshot(
            routes,
            upstreams,
            metrics=self._metrics,
            clock=self._clock,
            published=published,
            loaded_at=loaded_at,
            accepted=self._knowledge.accepted,
            promoted=standing,
            trained=self._trained,
        )

    def _warn(self, standing: Promoted) -> None:
        for route, why in standing.ignored.items():
            if self._warned.get(route) != why:
                log.warning("promotion_ignored", route=route, why=why)
        self._warned = dict(standing.ignored)

    def _worker_for(self, routes: Routes) -> str | None:
        """Return the socket of litellm's worker, if anybody may need it; it starts when somebody does."""
        used = [target.provider.vendor for route in routes.routes.values() for target in route.targets]
        at_once = any(vendor.litellm is not None for vendor in used)
        if self._worker is None and (at_once or any(vendor.bridge is not None for vendor in used)):
            self._worker = LitellmWorker(clock=self._clock, environ=self._environ)
        if self._worker is None:
            return None
        self._worker.permit(destinations(routes, self._environ, self._clock))
        self._worker.listen(at_once=at_once)
        return self._worker.path
