"""Ends promotions that are over, once among all replicas, and has versions say whom routes.yaml names."""

from collections.abc import Callable
from datetime import datetime

import structlog

from gateway.clock import Clock
from gateway.config.routes import Target
from gateway.execution.prepared import Snapshot
from gateway.execution.promotion_events import promotion_event
from gateway.execution.target_board import key_of
from gateway.metrics import Metrics
from gateway.policy import lifecycle
from gateway.policy.lifecycle import UNKNOWN_DATES
from gateway.policy.promotion import CANARY, Ending, Promotion, PromotionState, VersionStatus, ended, ending_of
from gateway.policy.standing import PRIMARY, may_decide
from gateway.reasons import Availability, Lifecycle
from gateway.store.event_rows import Announce
from gateway.store.promotions import PromotionStore, Telling
from gateway.store.states import Shared
from gateway.store.versions import VersionStore

log = structlog.get_logger()
BY_FILES = frozenset((Ending.IN_ROUTES, Ending.SUPERSEDED))
"""What only routes.yaml says: replicas that have not read it yet would fall back to the incumbent until they do."""


class PromotionKeeper:
    """Looks at promotions whenever the shared states were read."""

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        promotions: Callable[[], PromotionStore | None],
        versions: Callable[[], VersionStore | None],
        announce: Announce,
        clock: Clock,
        metrics: Metrics,
        instance: str,
    ) -> None:
        self._metrics = metrics
        self._snapshot, self._promotions, self._versions = snapshot, promotions, versions
        self._announce, self._clock, self._instance = announce, clock, instance
        self._followed: tuple[str, frozenset[str]] | None = None
        """The hash of the configuration whose primaries the versions say to serve, and the promotions beside it."""

    async def keep(self, shared: Shared) -> None:
        """End what is over, where this replica may decide. May raise ``DatabaseUnavailable``."""
        snapshot, store = self._snapshot(), self._promotions()
        if store is None or not may_decide(shared.living, snapshot.config_hash, snapshot.loaded_at):
            return
        now = self._clock.now()
        alike = all(config_hash == snapshot.config_hash for config_hash, _ in shared.living)
        for promotion in shared.promotions.values():
            route = snapshot.promoted.named.routes.get(promotion.route)
            because = ending_of(promotion, route, now, is_gone=_is_gone(promotion, snapshot, shared, now))
            if because is not None and (alike or because not in BY_FILES):
                await self._end(store, promotion, because, now)
        # One that was begun by another checkout has left its own primary written to serve.
        followed = (snapshot.config_hash, frozenset(each.promotion_id for each in shared.promotions.values()))
        if alike and self._followed != followed:
            await self._follow(snapshot, now)
            self._followed = followed

    async def stop(self, promotion: Promotion, because: Ending, why: str) -> bool:
        """End a promotion for what was found elsewhere; False: it is over already, or another one by now."""
        store = self._promotions()
        return store is not None and await self._end(store, promotion, because, self._clock.now(), why)

    async def _end(
        self, store: PromotionStore, promotion: Promotion, because: Ending, now: datetime, why: str | None = None
    ) -> bool:
        route = self._snapshot().promoted.named.routes.get(promotion.route)
        event = promotion_event(
            ended(promotion, because, now),
            now,
            by=self._instance,
            owner=route.owner if route is not None else None,
            why=why,
        )
        made = await store.end(promotion, because, now, told=Telling(event, self._announce))
        if made:
            self._metrics.promotions_ended.labels(promotion.route, because.value).inc()
            log.warning("promotion_ended", route=promotion.route, because=because.value, text=event.text)
        return made

    async def _follow(self, snapshot: Snapshot, now: datetime) -> None:
        """Have versions say that what routes.yaml names serves, of routes that have versions and no promotion."""
        versions = self._versions()
        if versions is None:
            return
        known = await versions.all()
        for name in {version.route for version in known}:
            route = snapshot.promoted.named.routes.get(name)
            if route is None or route.primary is None:
                continue
            serving = [(v.provider, v.model) for v in known if v.route == name and v.status is VersionStatus.SERVING]
            if serving != [(route.primary.provider.name, route.primary.model)]:
                await versions.follow_routes(route, self._instance, now)


def _is_gone(promotion: Promotion, snapshot: Snapshot, shared: Shared, now: datetime) -> bool:
    """Tell whether a promotion's model was agreed to be gone, or whether the date on which it stops has come."""
    seen = shared.targets.get((promotion.provider, promotion.model))
    if seen is not None and seen.availability is Availability.GONE:
        return True
    target = _target(promotion, snapshot)
    dates = snapshot.calendar.dates_of(target) if target is not None else UNKNOWN_DATES
    return dates.acts and lifecycle.state(dates, now) is Lifecycle.RETIRED


def _target(promotion: Promotion, snapshot: Snapshot) -> Target | None:
    """Return the target that a promotion makes, also where only this replica lacks its key; None: there is none yet."""
    route = snapshot.agreed_routes.routes.get(promotion.route)
    name = CANARY if promotion.state is PromotionState.CANARY else PRIMARY
    found = next((target for target in route.targets if target.name == name), None) if route is not None else None
    return found if found is not None and key_of(found) == (promotion.provider, promotion.model) else None
