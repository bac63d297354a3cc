"""The parts of a running gateway, wired to each other: what lives as long as the process."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import structlog

from gateway.clock import Clock
from gateway.config.routes import Routes
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
from gateway.execution.loop_lag import LoopLag
from gateway.execution.pipeline import Pipeline
from gateway.execution.prepared import Snapshot
from gateway.execution.promotion_keeper import PromotionKeeper
from gateway.execution.route_collector import RouteCollector
from gateway.execution.target_collector import TargetCollector
from gateway.execution.teller import Teller
from gateway.execution.verifications import Verifications
from gateway.learning.canary_collector import CanaryCollector
from gateway.learning.canary_watch import CanaryWatch
from gateway.learning.feedback import FeedbackDesk
from gateway.learning.live import LiveLearning
from gateway.ledger.store_opener import StoreOpener
from gateway.lifecycle.herald import Herald
from gateway.lifecycle.polling import DateChange, Poller
from gateway.metrics import Metrics
from gateway.policy.lifecycle import Published
from gateway.policy.planner import Observed
from gateway.providers.allowed_origins import AllowedOrigins
from gateway.providers.http_client import HttpClient
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.usage import UsageStore
from gateway.wiring.configurations import Configurations
from gateway.wiring.stores import Stores

log = structlog.get_logger()
SAVE_LIMITS_S = 60.0
LAST_WORDS_S = 1.0
LEARN_EVERY_S = 5.0


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
        self._instance, self._journal = instance, store.journal
        self._stores = Stores()
        self.waiting_for: dict[str, str] = {}
        """Why this replica is not ready."""
        self._last_kept: dict[str, tuple[Published, ...]] = {}
        """The dates of each provider as they were last written into the database."""
        self._tasks: list[asyncio.Task[None]] = []
        self.configurations = Configurations(
            routes,
            client=client,
            origins=origins,
            environ=environ,
            metrics=metrics,
            clock=clock,
            waiting_for=self.waiting_for,
        )
        self.keeper = KeyKeeper(
            ring,
            KeyFile(store.journal.directory.parent, ring.secret_for("kept keys")),
            lambda: self._stores.keys,
            clock,
            lambda: self.waiting_for,
        )
        self.keeper.declare(routes.keys)
        self.teller = Teller(
            lambda: self.pipeline.snapshot,
            lambda: self._stores.states,
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
        self.exercised = Exercised(lambda: self._stores.usage, clock)
        self.budgets = DatabaseBudgets(lambda: self._stores.spend, store.journal, clock)
        self.admission = Admission(limits, self.budgets, metrics)
        self.pipeline = Pipeline(
            self.configurations.first(),
            board=self.board,
            accounting=accounting,
            metrics=metrics,
            clock=clock,
            admission=self.admission,
            fallback_answered=self.exercised.answered,
        )
        self.configurations.tell(self._put, self._verifications.configured)
        self._poller = Poller(
            upstreams=lambda: self.pipeline.snapshot.upstreams,
            clock=clock,
            metrics=metrics,
            report=self._polled,
            left=self._verifications.left_the_list,
        )
        self.promotions = PromotionKeeper(
            snapshot=lambda: self.pipeline.snapshot,
            promotions=lambda: self._stores.promotions,
            versions=lambda: self._stores.versions,
            announce=self.teller.announce,
            clock=clock,
            metrics=metrics,
            instance=instance,
        )
        self.agreement = Agreement(
            board=self.board,
            snapshot=lambda: self.pipeline.snapshot,
            store=lambda: self._stores.states,
            announce=self.teller.announce,
            changed=self._verifications.changed,
            doubt=self._verifications.doubt,
            dates_polled=self._take_kept_dates,
            clock=clock,
            metrics=metrics,
            instance=instance,
            promote=self.configurations.promote,
            keep_promotions=self.promotions.keep,
        )
        self._learning = LiveLearning(
            accounting, self.board, self.pipeline.sweeper, lambda: self.pipeline.snapshot, metrics, clock
        )
        self.pipeline.learner = self._learning.listener
        self.feedback = FeedbackDesk(
            lambda: self._stores.database,
            lambda: self.pipeline.snapshot,
            clock,
            lambda route, label: metrics.feedback.labels(route, label).inc(),
            holds=self._learning.holds,
        )
        self.canaries = CanaryWatch(
            snapshot=lambda: self.pipeline.snapshot,
            database=lambda: self._stores.database,
            keeper=self.promotions,
            announce=self.teller.announce,
            clock=clock,
            instance=instance,
        )
        self.lag = LoopLag()
        for collector in (
            RouteCollector(self.pipeline, self.exercised),
            TargetCollector(self.pipeline),
            KeyCollector(self.keeper, clock),
            BudgetCollector(self.budgets),
            CanaryCollector(lambda: self.pipeline.snapshot, self.canaries),
        ):
            metrics.registry.register(collector)

    def start(self) -> None:
        """Begin what goes on behind the requests."""
        herald = Herald(
            outbox=lambda: self._stores.outbox,
            webhooks=lambda: self.pipeline.snapshot.routes.webhooks,
            client=self._client,
            environ=self._environ,
            clock=self._clock,
            metrics=self._metrics,
        )
        idle = IdleTargets(
            lambda: self.pipeline.snapshot, lambda: self._stores.usage, self.prober.exercise, self._clock
        )
        for work in (
            self.keeper,
            self.agreement,
            self._poller,
            herald,
            self.teller,
            idle,
            self.exercised,
            self.canaries,
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
        await self.feedback.close()
        await self.configurations.close()
        with contextlib.suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self.teller.tell()

    async def opened(self, database: Database, usage: UsageStore) -> None:
        """Take over what the database knows from before this start."""
        self.board.remember_served(set(await usage.served_targets()))
        self._stores.open(database, usage, self._instance, self._clock)
        await self.keeper.poll()
        await self._learning.opened(database)
        await self.configurations.learn(database)
        await self.agreement.tick()

    def replace(self, routes: Routes) -> None:
        """Put another configuration in force, at once or with the packs that it names."""
        # A key that was taken out must not go on for want of a pack.
        self.keeper.declare(routes.keys)
        self.configurations.replace(routes)

    def _put(self, snapshot: Snapshot) -> None:
        self.pipeline.snapshot = snapshot
        self._journal.ledger = snapshot.routes.ledger

    async def _keep_learning(self) -> None:
        """Look for packs that are awaited, and for new verdicts."""
        while True:
            await self._clock.sleep(LEARN_EVERY_S)
            try:
                # Also with the database away: promotions expire all the same.
                self.configurations.promote()
                if self._stores.database is not None:
                    await self.configurations.learn(self._stores.database)
            except DatabaseUnavailable as error:
                log.warning("packs_and_verdicts_not_read", error=str(error))
            except Exception:
                log.exception("packs_and_verdicts_not_read")

    async def _take_kept_dates(self) -> None:
        """Take over the dates that any replica was told last."""
        if self._stores.published is None:
            return
        kept = await self._stores.published.all()
        self._poller.remember(kept)
        self.configurations.publish(kept)

    async def _polled(self, provider: str, models: Sequence[Published], changes: Sequence[DateChange]) -> None:
        """Take over what a provider says of its models; keep it, and tell of what is new."""
        others = {key: model for key, model in self.configurations.published.items() if key[0] != provider}
        self.configurations.publish({**others, **{(provider, model.model): model for model in models}})
        self.teller.dates_changed(provider, changes)
        with contextlib.suppress(DatabaseUnavailable):
            # Before the dates are kept: after a stop in between, nobody would know that they were new.
            await self.teller.tell()
        kept = self._stores.published
        if kept is not None and self._last_kept.get(provider) != models:
            try:
                await kept.replace(provider, models, self._clock.now())
            except DatabaseUnavailable as error:
                log.warning("published_dates_not_kept", provider=provider, error=str(error))
            else:
                self._last_kept[provider] = tuple(models)

    async def _save_limits(self) -> None:
        """Keep what providers said of our quotas, for forecasts."""
        while True:
            await self._clock.sleep(SAVE_LIMITS_S)
            if self._stores.limits is None or not (seen := self.pipeline.seen_limits.take_unsaved()):
                continue
            try:
                await self._stores.limits.save(seen)
            except DatabaseUnavailable as error:
                self.pipeline.seen_limits.put_back(seen)
                log.warning("rate_limits_not_kept", error=str(error))
            except Exception:
                log.exception("rate_limits_not_kept")
