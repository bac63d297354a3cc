"""Watches canaries while they answer, and stops those that evidence speaks against. One replica does it for all."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from gateway.clock import Clock
from gateway.execution.prepared import Snapshot
from gateway.execution.promotion_events import acceptance_event
from gateway.execution.promotion_keeper import PromotionKeeper
from gateway.learning.canary import Comparison, Evidence, words_of
from gateway.learning.evaluation.statistics import Verdict
from gateway.policy.promotion import Ending, Promotion, PromotionState
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.event_rows import Announce
from gateway.store.leases import LeaseStore
from gateway.store.states import StateStore

log = structlog.get_logger()
EVERY_S: Final = 10.0
LEASE: Final = "canaries"
LEASE_S: Final = 30.0
DATABASE_S: Final = 60.0


class CanaryWatch:
    """Reads on what is known of every canary, and decides."""

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        database: Callable[[], Database | None],
        keeper: PromotionKeeper,
        announce: Announce,
        clock: Clock,
        instance: str,
    ) -> None:
        self._snapshot, self._database, self._keeper = snapshot, database, keeper
        self._announce, self._clock, self._instance = announce, clock, instance
        self._evidence: dict[str, Evidence] = {}
        self.latest: dict[str, Comparison] = {}
        """By route what was found last; empty where another replica watches."""

    async def run(self) -> None:
        """Keep at it until cancelled."""
        while True:
            await self._clock.sleep(EVERY_S)
            try:
                async with asyncio.timeout(DATABASE_S):
                    await self.look()
            except (DatabaseUnavailable, TimeoutError) as error:
                log.warning("canaries_not_watched", error=str(error) or f"no answer within {DATABASE_S:g} s")
            except Exception:
                # Nobody waits for this task, and a bad canary would go on.
                log.exception("canaries_not_watched")

    async def look(self) -> None:
        """Read on, decide, and stop: once. May raise ``DatabaseUnavailable``."""
        canaries, database = self._canaries(), self._database()
        if not canaries or database is None or not await self._is_mine(database):
            self._evidence.clear()
            self.latest.clear()
            return
        for gone in self.latest.keys() - canaries.keys():
            del self.latest[gone]
        self._evidence = {name: self._evidence_of(promotion) for name, promotion in canaries.items()}
        for name, evidence in self._evidence.items():
            await evidence.read_on(database, self._clock.now())
            found = self.latest[name] = await asyncio.to_thread(evidence.compared)
            if found.verdict is Verdict.REJECT:
                await self._keeper.stop(evidence.promotion, Ending.EVIDENCE, words_of(found))
            elif found.verdict is Verdict.ACCEPT:
                await self._tell(database, evidence.promotion, found)

    def _canaries(self) -> dict[str, Promotion]:
        """Return the canaries that answer here."""
        snapshot = self._snapshot()
        routes = snapshot.routes.routes
        return {
            name: promotion
            for name, promotion in snapshot.promoted.active.items()
            if promotion.state is PromotionState.CANARY and name in routes and routes[name].canary is not None
        }

    async def _is_mine(self, database: Database) -> bool:
        leases, now = LeaseStore(database), self._clock.now()
        holder = await leases.take(LEASE, self._instance, now, LEASE_S)
        return holder is None or (holder == self._instance and await leases.renew(LEASE, self._instance, now, LEASE_S))

    def _evidence_of(self, promotion: Promotion) -> Evidence:
        known = self._evidence.get(promotion.route)
        if known is None or (known.promotion.promotion_id, known.promotion.changed_at) != (
            promotion.promotion_id,
            promotion.changed_at,
        ):
            return Evidence(promotion, self._snapshot().routes.routes[promotion.route].timeouts)
        # Until when it lasts, and who said so, may be others.
        known.promotion = promotion
        return known

    async def _tell(self, database: Database, promotion: Promotion, found: Comparison) -> None:
        route = self._snapshot().promoted.named.routes.get(promotion.route)
        event = acceptance_event(
            promotion,
            self._clock.now(),
            by=self._instance,
            owner=route.owner if route is not None else None,
            why=words_of(found),
        )
        for new in await StateStore(database, self._instance).record([event], self._announce):
            log.info("canary_accepted", route=promotion.route, text=new.text)
