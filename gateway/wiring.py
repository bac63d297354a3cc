"""The parts of a running gateway, wired to each other: what lives as long as the process."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from gateway.clock import Clock
from gateway.config.awaited_packs import awaited
from gateway.config.routes import Routes
from gateway.errors import ConfigError
from gateway.execution.accounting import Accounting
from gateway.execution.admission import Admission, RateLimits
from gateway.execution.agreement import Agreement
from gateway.execution.budget_collector import BudgetCollector
from gateway.execution.budgets import DatabaseBudgets
from gateway.execution.exercised import Exercised
from gateway.execution.idle_targets import IdleTargets
from gateway.execution.key_collector import KeyCollector
from gateway.execution.key_file import KeyFile
from gateway.execution.key_keeper import KeyKeeper
from gateway.execution.key_ring import KeyRing
from gateway.execution.known_series import export_zeros
from gateway.execution.loop_lag import LoopLag
from gateway.execution.pipeline import Pipeline
from gateway.execution.prepared import Snapshot
from gateway.execution.route_collector import RouteCollector
from gateway.execution.target_collector import TargetCollector
from gateway.execution.teller import Teller
from gateway.execution.verifications import Verifications
from gateway.learning.knowledge import Knowledge
from gateway.learning.live import LiveLearning
from gateway.ledger.store_opener import StoreOpener
from gateway.lifecycle.herald import Herald
from gateway.lifecycle.polling import DateChange, Poller, dates_source
from gateway.metrics import Metrics
from gateway.policy import pack_examples
from gateway.policy.lifecycle import Published
from gateway.policy.planner import Observed
from gateway.providers.allowed_origins import AllowedOrigins
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.providers.worker_destinations import destinations
from gateway.providers.worker_process import LitellmWorker
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.keys import KeyStore
from gateway.store.limits import LimitStore
from gateway.store.outbox import Outbox
from gateway.store.published import PublishedStore
from gateway.store.spend import SpendStore
from gateway.store.states import StateStore
from gateway.store.usage import UsageStore

log = structlog.get_logger()
SAVE_LIMITS_S = 60.0
LAST_WORDS_S = 1.0
LEARN_EVERY_S = 5.0
PACKS = "packs"


class Running:
    """The request path, and what goes on behind it."""

    def __init__(
        self,
        routes: Routes,
        client: HttpClient,
        origins: AllowedOrigins,
        store: StoreOpener,
        metrics: Metrics,
        instance: str,
        clock: Clock,
        environ: Mapping[str, str],
        ring: KeyRing,
        limits: RateLimits,
    ) -> None:
        """``ring``: the keys of this replica, which is kept current while it runs."""
        self._client, self._metrics, self._clock, self._environ = client, metrics, clock, environ
        self._origins = origins
        """Where the client may connect to."""
        self._knowledge = Knowledge()
        self._keys: KeyStore | None = None
        self._database: Database | None = None
        self._loaded = routes
        """As routes.yaml says, before packs and verdicts of the database are put in."""
        self.waiting_for: dict[str, str] = {}
        """Why this replica is not ready."""
        self.waits_because: str | None = None
        """Why the latest configuration is not in force yet."""
        self._reloaded = False
        """Whether the latest configuration is another than that of the start."""
        self._instance = instance
        self._published: dict[tuple[str, str], Published] = {}
        self._states: StateStore | None = None
        self._outbox: Outbox | None = None
        self._kept: PublishedStore | None = None
        self._last_kept: dict[str, tuple[Published, ...]] = {}
        self._limits: LimitStore | None = None
        self._usage: UsageStore | None = None
        self._journal = store.journal
        self._tasks: list[asyncio.Task[None]] = []
        self._worker: LitellmWorker | None = None
        self.keeper = KeyKeeper(
            ring,
            KeyFile(store.journal.directory.parent, ring.secret_for("kept keys")),
            lambda: self._keys,
            clock,
            lambda: self.waiting_for,
        )
        self.keeper.declare(routes.keys)
        self.teller = Teller(
            lambda: self.pipeline.snapshot,
            lambda: self._states,
            lambda target: Observed(self.board.availability(target)),
            clock,
            instance,
        )
        accounting = Accounting(store.journal, instance, clock, self.teller.substituted)
        self._verifications = Verifications(
            lambda: self.pipeline.snapshot,
            accounting,
            lambda key, found, version: self.agreement.found(key, found, version),
            metrics,
            clock,
        )
        self.board, self.prober = self._verifications.board, self._verifications.prober
        self.verify = self._verifications.asked_for
        self.exercised = Exercised(lambda: self._usage, clock)
        self._spend: SpendStore | None = None
        self.budgets = DatabaseBudgets(lambda: self._spend, store.journal, clock)
        self.pipeline = Pipeline(
            self._snapshot(routes, clock.now()),
            board=self.board,
            accounting=accounting,
            metrics=metrics,
            clock=clock,
            admission=Admission(limits, self.budgets, metrics),
            fallback_answered=self.exercised.answered,
        )
        self._poller = Poller(
            upstreams=lambda: self.pipeline.snapshot.upstreams,
            clock=clock,
            metrics=metrics,
            report=self._polled,
            left=self._verifications.left_the_list,
        )
        self.agreement = Agreement(
            board=self.board,
            snapshot=lambda: self.pipeline.snapshot,
            store=lambda: self._states,
            announce=self.teller.announce,
            changed=self._verifications.changed,
            doubt=self._verifications.doubt,
            dates_polled=self._take_kept_dates,
            clock=clock,
            metrics=metrics,
            instance=instance,
        )
        self._learning = LiveLearning(
            accounting, self.board, self.pipeline.sweeper, lambda: self.pipeline.snapshot, metrics, clock
        )
        self.pipeline.learner = self._learning.listener
        self.lag = LoopLag()
        for collector in (
            RouteCollector(self.pipeline, self.exercised),
            TargetCollector(self.pipeline),
            KeyCollector(self.keeper, clock),
            BudgetCollector(self.budgets),
        ):
            metrics.registry.register(collector)

    def start(self) -> None:
        """Begin what goes on behind the requests."""
        herald = Herald(
            outbox=lambda: self._outbox,
            webhooks=lambda: self.pipeline.snapshot.routes.webhooks,
            client=self._client,
            environ=self._environ,
            clock=self._clock,
            metrics=self._metrics,
        )
        idle = IdleTargets(lambda: self.pipeline.snapshot, lambda: self._usage, self.prober.exercise, self._clock)
        for work in (
            self.keeper,
            self.agreement,
            self._poller,
            herald,
            self.teller,
            idle,
            self.exercised,
            self.lag,
            self.budgets,
        ):
            self._tasks.append(asyncio.create_task(work.run(), name=type(work).__name__))
        self._tasks.append(asyncio.create_task(self._save_limits(), name="limits"))
        self._tasks.append(asyncio.create_task(self._keep_learning(), name="knowledge"))
        self._learning.start()

    async def close(self) -> None:
        """Stop it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.budgets.close(LAST_WORDS_S)
        await self.prober.close()
        await self._learning.close()
        if self._worker is not None:
            await self._worker.close()
        with contextlib.suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self.teller.tell()

    async def opened(self, database: Database, usage: UsageStore) -> None:
        """Take over what the database knows from before this start."""
        self.board.remember_served(set(await usage.served_targets()))
        self._spend = SpendStore(database)
        self._database, self._usage, self._limits = database, usage, LimitStore(database)
        self._kept, self._outbox = PublishedStore(database), Outbox(database)
        self._states = StateStore(database, self._instance)
        self._keys = KeyStore(database, self._clock)
        await self.keeper.poll()
        await self._learning.opened(database)
        await self._learn(database)
        await self.agreement.tick()

    # Configurations, and the dates that go with them.

    def replace(self, routes: Routes) -> None:
        """Put another configuration in force; requests in flight keep theirs.

        One that names packs which are not here yet comes into force with them; until then the old one holds.
        """
        self._loaded, self._reloaded, self.waits_because = routes, True, None
        # A key that was taken out must not go on for want of a pack.
        self.keeper.declare(routes.keys)
        try:
            whole = self._knowledge.complete(routes)
        except ConfigError as error:
            self._metrics.config_reloads.labels("waiting").inc()
            self._wait(str(error))
        else:
            self._put_in_force(whole)

    async def _keep_learning(self) -> None:
        """Look for packs that are awaited, and for new verdicts."""
        while True:
            await self._clock.sleep(LEARN_EVERY_S)
            try:
                if self._database is not None:
                    await self._learn(self._database)
            except DatabaseUnavailable as error:
                log.warning("packs_and_verdicts_not_read", error=str(error))
            except Exception:
                log.exception("packs_and_verdicts_not_read")

    async def _learn(self, database: Database) -> None:
        """Read packs and verdicts; put them in force where they are new.

        The replica is not ready while what is in force lacks a pack. It stays ready while only a reload does.
        """
        before, loaded, whole = self._knowledge.accepted, self._loaded, None
        try:
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
        elif before != self._knowledge.accepted:
            self._renew()

    def _wait(self, why: str) -> None:
        if awaited(self._in_force):
            self.waiting_for[PACKS] = why
        if why != self.waits_because:
            self.waits_because = why
            log.warning("config_waits", why=why, config_hash=self._loaded.config_hash)

    def _put_in_force(self, routes: Routes) -> None:
        """Put a configuration in force that has all of its packs."""
        self.pipeline.snapshot = self._snapshot(routes, self._clock.now())
        self._journal.ledger = routes.ledger
        self.waiting_for.pop(PACKS, None)
        self.waits_because = None
        self._verifications.configured()
        if self._reloaded:
            self._metrics.config_reloads.labels("loaded").inc()
        log.info("config_loaded", config_hash=routes.config_hash, routes=len(routes.routes))

    def _renew(self) -> None:
        """Build the same configuration anew, by the dates that are known now."""
        snapshot = self.pipeline.snapshot
        self.pipeline.snapshot = self._snapshot(self._in_force, snapshot.loaded_at)

    def _snapshot(self, routes: Routes, loaded_at: datetime) -> Snapshot:
        self._in_force = routes
        export_zeros(self._metrics, routes)
        worker_path = self._worker_for(routes)
        self._origins.replace(routes, self._environ, worker_path)
        upstreams = {
            name: Upstream(provider, self._client, self._environ, self._clock, worker_path)
            for name, provider in routes.providers.items()
        }
        # What was said at another address, under the same name, says nothing of this one.
        published = {
            (provider, model): said
            for (provider, model), said in self._published.items()
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
        )

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

    async def _take_kept_dates(self) -> None:
        """Take over the dates that any replica was told last."""
        if self._kept is None:
            return
        kept = await self._kept.all()
        self._poller.remember(kept)
        if kept != self._published:
            self._published = kept
            self._renew()

    async def _polled(self, provider: str, models: Sequence[Published], changes: Sequence[DateChange]) -> None:
        """Take over what a provider says of its models; keep it, and tell of what is new."""
        others = {key: model for key, model in self._published.items() if key[0] != provider}
        published = {**others, **{(provider, model.model): model for model in models}}
        if published != self._published:
            self._published = published
            self._renew()
        self.teller.dates_changed(provider, changes)
        with contextlib.suppress(DatabaseUnavailable):
            # Before the dates are kept: after a stop in between, nobody would know that they were new.
            await self.teller.tell()
        if self._kept is not None and self._last_kept.get(provider) != models:
            try:
                await self._kept.replace(provider, models, self._clock.now())
            except DatabaseUnavailable as error:
                log.warning("published_dates_not_kept", provider=provider, error=str(error))
            else:
                self._last_kept[provider] = tuple(models)

    async def _save_limits(self) -> None:
        """Keep what providers said of our quotas, for forecasts."""
        while True:
            await self._clock.sleep(SAVE_LIMITS_S)
            if self._limits is None or not (seen := self.pipeline.seen_limits.take_unsaved()):
                continue
            try:
                await self._limits.save(seen)
            except DatabaseUnavailable as error:
                self.pipeline.seen_limits.put_back(seen)
                log.warning("rate_limits_not_kept", error=str(error))
            except Exception:
                log.exception("rate_limits_not_kept")
