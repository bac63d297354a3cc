"""The parts of a running gateway, wired to each other: what lives as long as the process."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from gateway.clock import Clock
from gateway.config.routes import Routes, Target
from gateway.execution.accounting import Accounting
from gateway.execution.agreement import Agreement
from gateway.execution.idle_targets import IdleTargets
from gateway.execution.pipeline import Pipeline
from gateway.execution.prepared import Snapshot
from gateway.execution.route_collector import RouteCollector
from gateway.execution.target_board import TargetBoard, TargetKey
from gateway.execution.teller import Teller
from gateway.ledger.entry import new_attempt_id
from gateway.ledger.store_opener import StoreOpener
from gateway.lifecycle.herald import Herald
from gateway.lifecycle.polling import DateChange, Poller, dates_source
from gateway.lifecycle.probes import Prober
from gateway.metrics import Metrics
from gateway.policy import lifecycle
from gateway.policy.lifecycle import Published
from gateway.policy.planner import UNUSABLE, Observed
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.providers.worker_process import LitellmWorker
from gateway.reasons import Availability, FailureKind, Lifecycle
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.limits import LimitStore
from gateway.store.outbox import Outbox
from gateway.store.published import PublishedStore
from gateway.store.states import StateStore
from gateway.store.usage import UsageStore

log = structlog.get_logger()
DOUBTED = (*UNUSABLE, Availability.SUSPECT)
SAYS_GONE = (FailureKind.MODEL_GONE, FailureKind.MODEL_AMBIGUOUS, FailureKind.MODEL_NO_ACCESS)
SAVE_LIMITS_S = 60.0
LAST_WORDS_S = 2.0


class Running:
    """The request path, and what goes on behind it."""

    def __init__(
        self,
        routes: Routes,
        client: HttpClient,
        store: StoreOpener,
        metrics: Metrics,
        instance: str,
        clock: Clock,
        environ: Mapping[str, str],
    ) -> None:
        self._client, self._metrics, self._clock, self._environ = client, metrics, clock, environ
        self._instance = instance
        self._published: dict[tuple[str, str], Published] = {}
        self._states: StateStore | None = None
        self._outbox: Outbox | None = None
        self._kept: PublishedStore | None = None
        self._last_kept: dict[str, tuple[Published, ...]] = {}
        self._limits: LimitStore | None = None
        self._usage: UsageStore | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._worker: LitellmWorker | None = None
        self.teller = Teller(
            lambda: self.pipeline.snapshot,
            lambda: self._states,
            lambda target: Observed(self.board.availability(target)),
            clock,
            instance,
        )
        accounting = Accounting(store.writer.append, instance, clock, self.teller.substituted)
        self.prober = Prober(
            upstreams=lambda: self.pipeline.snapshot.upstreams,
            clock=clock,
            ever_served=lambda key: self.board.ever_served(key),
            date_passed=self._date_passed,
            doubted=self._doubted,
            agreed_version=lambda key: self.board.agreed_version(key),
            report=self._found,
            exercised=self._exercised,
            record=lambda call: accounting.settle_probe(call, self.pipeline.snapshot),
            new_attempt_id=lambda: new_attempt_id(clock.now()),
            answers_at=lambda key: self.board.answers_at(key),
        )
        self.board = TargetBoard(clock, lambda target, carefully: self.prober.verify(target, carefully=carefully))
        self.pipeline = Pipeline(
            self._snapshot(routes, clock.now()), board=self.board, accounting=accounting, metrics=metrics, clock=clock
        )
        self._poller = Poller(
            upstreams=lambda: self.pipeline.snapshot.upstreams,
            clock=clock,
            metrics=metrics,
            report=self._polled,
            left=self._left_the_list,
        )
        self.agreement = Agreement(
            board=self.board,
            snapshot=lambda: self.pipeline.snapshot,
            store=lambda: self._states,
            announce=self.teller.announce,
            changed=self._changed,
            doubt=self._doubt,
            dates_polled=self._take_kept_dates,
            clock=clock,
            metrics=metrics,
            instance=instance,
        )
        metrics.registry.register(RouteCollector(self.pipeline, store.figures))

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
        for work in (self.agreement, self._poller, herald, self.teller, idle):
            self._tasks.append(asyncio.create_task(work.run(), name=type(work).__name__))
        self._tasks.append(asyncio.create_task(self._save_limits(), name="limits"))

    async def close(self) -> None:
        """Stop it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.prober.close()
        if self._worker is not None:
            await self._worker.close()
        with contextlib.suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self.teller.tell()

    async def opened(self, database: Database, usage: UsageStore) -> None:
        """Take over what the database knows from before this start."""
        self.board.remember_served(set(await usage.served_targets()))
        self._usage, self._limits = usage, LimitStore(database)
        self._kept, self._outbox = PublishedStore(database), Outbox(database)
        self._states = StateStore(database, self._instance)
        await self.agreement.tick()

    # Configurations, and the dates that go with them.

    def replace(self, routes: Routes) -> None:
        """Put another configuration in force; requests in flight keep theirs."""
        self.pipeline.snapshot = self._snapshot(routes, self._clock.now())
        targets = self._targets()
        self.board.forget_others({(target.provider.name, target.model) for target in targets})
        for target in targets:
            # One that was removed and comes back may be doubted still, and nobody looked in the meantime.
            self._look_after(target)

    def _renew(self) -> None:
        """Build the same configuration anew, by the dates that are known now."""
        snapshot = self.pipeline.snapshot
        self.pipeline.snapshot = self._snapshot(snapshot.routes, snapshot.loaded_at)

    def _snapshot(self, routes: Routes, loaded_at: datetime) -> Snapshot:
        worker_path = self._worker_for(routes)
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
            routes, upstreams, metrics=self._metrics, clock=self._clock, published=published, loaded_at=loaded_at
        )

    def _worker_for(self, routes: Routes) -> str | None:
        """Return the socket of litellm's worker, if anybody may need it; it starts when somebody does."""
        used = [target.provider.vendor for route in routes.routes.values() for target in route.targets]
        at_once = any(vendor.litellm is not None for vendor in used)
        if self._worker is None and (at_once or any(vendor.bridge is not None for vendor in used)):
            self._worker = LitellmWorker(clock=self._clock, environ=self._environ)
        if self._worker is None:
            return None
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

    def _left_the_list(self, provider: str, models: frozenset[str]) -> None:
        """Look at those of our targets that a provider lists no more, before their callers do."""
        for target in self._targets():
            if target.provider.name == provider and target.model in models:
                self._look_at(target)

    # Verifications.

    def _date_passed(self, target: Target) -> bool:
        dates = self.pipeline.snapshot.calendar.dates_of(target)
        return lifecycle.state(dates, self._clock.now()) is Lifecycle.RETIRED

    def _doubted(self, key: TargetKey) -> bool:
        """Tell whether anybody still needs to know of a target: it is configured, and not taken for available."""
        target = self._target(key)
        return target is not None and self.board.availability(target) in DOUBTED

    def _found(self, key: TargetKey, found: Availability, version: int) -> None:
        self._metrics.probes.labels(key[0], found.value).inc()
        self.agreement.found(key, found, version)
        target = self._target(key)
        if found is Availability.GONE and target is not None and target.base is not None:
            # Fine-tunes of one base die together: look at the others before their callers find out.
            for other in self._targets():
                same = other.base == target.base and other.provider.name == target.provider.name
                if same:
                    self._look_at(other)

    def _look_at(self, target: Target) -> None:
        if self.board.availability(target) not in DOUBTED:
            self.prober.exercise(target)

    def _exercised(self, target: Target, failure: FailureKind | None) -> None:
        """Hear how a call went that was made because nobody else called."""
        self._metrics.probes.labels(target.provider.name, failure.value if failure else "available").inc()
        if failure in SAYS_GONE:
            self.board.suspect(target)

    def _changed(self, key: TargetKey) -> None:
        """Hear that other replicas found something: wait for a return as they do, or look no more."""
        target = self._target(key)
        if target is not None and self.board.availability(target) in UNUSABLE:
            self.prober.await_return(target, self.board.availability(target))
        elif target is not None and self.board.availability(target) not in DOUBTED:
            self.prober.forget(key)

    def _doubt(self, key: TargetKey) -> None:
        """Look anew at what was found some time ago."""
        self.prober.forget(key)
        target = self._target(key)
        if target is not None:
            self.prober.verify(target, carefully=True)

    def _look_after(self, target: Target) -> None:
        """Have somebody look at a target that is doubted."""
        availability = self.board.availability(target)
        if availability is Availability.SUSPECT:
            self.prober.verify(target)
        elif availability in UNUSABLE:
            self.prober.await_return(target, availability)

    def _target(self, key: TargetKey) -> Target | None:
        return next((target for target in self._targets() if (target.provider.name, target.model) == key), None)

    def _targets(self) -> list[Target]:
        return [target for route in self.pipeline.snapshot.routes.routes.values() for target in route.targets]

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
