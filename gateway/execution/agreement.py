"""This replica and the others, of one mind: follows what they agreed on, and brings in what it found itself.

Once a second it reads the shared states, writes what its own verifications found, and who answers each route now.
Nothing here is on a request's way: with the database away, requests go on by what the board knows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gateway.clock import Clock
from gateway.config.routes import Route
from gateway.execution.prepared import Snapshot
from gateway.execution.target_board import TargetBoard, TargetKey, key_of
from gateway.execution.teller import new_event
from gateway.metrics import Metrics
from gateway.policy import planner
from gateway.policy.announcements import Event
from gateway.policy.availability import TargetState, may_change
from gateway.policy.lifecycle import UNKNOWN_DATES
from gateway.policy.planner import UNUSABLE, Command, Observed
from gateway.policy.promotion import Promotion
from gateway.policy.standing import PRIMARY, RouteState, Standing, change, may_decide, must_wait, standing
from gateway.reasons import Availability, EventKind, Reason
from gateway.store.database import DatabaseUnavailable
from gateway.store.event_rows import Announce
from gateway.store.states import RouteMove, Shared, StateStore

log = structlog.get_logger()
TICK_S = 1.0
REPORT_EVERY = timedelta(seconds=10)
STALE = timedelta(seconds=10)
DATABASE_S = 10.0
"""For what a tick asks of the database: one that hangs must not keep a replica from ever following again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a verification of this replica found, not yet agreed on."""

    availability: Availability
    version: int
    """The version of the shared state that was known when the look began."""
    at: datetime


class Agreement:
    """Keeps the board and the shared states together."""

    def __init__(
        self,
        *,
        board: TargetBoard,
        snapshot: Callable[[], Snapshot],
        store: Callable[[], StateStore | None],
        announce: Announce,
        changed: Callable[[TargetKey], None],
        doubt: Callable[[TargetKey], None],
        dates_polled: Callable[[], Awaitable[None]],
        clock: Clock,
        metrics: Metrics,
        instance: str,
        promote: Callable[[Mapping[str, Promotion]], None] = lambda promotions: None,
        keep_promotions: Callable[[Shared], Awaitable[None]] | None = None,
    ) -> None:
        """``promote`` is told which promotions have not ended; ``keep_promotions`` ends those that are over."""
        self._promote, self._keep_promotions = promote, keep_promotions
        self._board = board
        self._snapshot = snapshot
        self._store = store
        self._announce = announce
        self._changed = changed
        self._doubt = doubt
        self._dates_polled = dates_polled
        self._clock = clock
        self._metrics = metrics
        self._instance = instance
        self._findings: dict[TargetKey, Finding] = {}
        self._wake = asyncio.Event()
        self._away = False
        self._reported_at: datetime | None = None
        self._published_at: Mapping[str, datetime] = {}
        self.known = asyncio.Event()
        """Set once the shared states were read for the first time."""

    def found(self, key: TargetKey, availability: Availability, version: int) -> None:
        """Hear what a verification found: it counts here at once, and everywhere once it is agreed on."""
        self._board.verified(key, availability)
        self._findings[key] = Finding(availability, version, self._clock.now())
        self._wake.set()

    async def run(self) -> None:
        """Keep at it; a database that is away is tried again at every tick."""
        while True:
            await self.tick()
            self._wake.clear()
            pause = asyncio.ensure_future(self._clock.sleep(TICK_S))
            woken = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait((pause, woken), return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                woken.cancel()

    async def tick(self) -> None:
        """Read, follow, write: once."""
        store = self._store()
        if store is None:
            return
        try:
            async with asyncio.timeout(DATABASE_S):
                await self._agree(store)
        except (DatabaseUnavailable, TimeoutError) as error:
            if not self._away:
                log.warning("shared_state_unavailable", error=str(error) or f"no answer within {DATABASE_S:g} s")
            self._away = True
        except Exception:
            # Nobody waits for this task, and every replica needs it.
            log.exception("shared_state_failed")
        else:
            if self._away:
                log.info("shared_state_back")
            self._away = False
            self.known.set()

    async def _agree(self, store: StateStore) -> None:
        now, snapshot = self._clock.now(), self._snapshot()
        shared = await store.read(now)
        # Before anything is written: a database that can only be read can still be followed.
        await self._follow(shared)
        if self._reported_at is None or not timedelta(0) <= now - self._reported_at < REPORT_EVERY:
            await store.report(snapshot.config_hash, snapshot.loaded_at, now)
            self._reported_at = now
        if await self._bring_in(store, shared):
            shared = await store.read(now)
            await self._follow(shared)
        await self._move_routes(store, shared)
        if self._keep_promotions is not None:
            await self._keep_promotions(shared)

    async def _follow(self, shared: Shared) -> None:
        self._board.remember_served(shared.served)
        for key in self._board.agree(shared.targets, shared.commands):
            self._changed(key)
        self._promote(shared.promotions)
        if shared.published_at != self._published_at:
            self._published_at = shared.published_at
            await self._dates_polled()

    # What this replica found.

    async def _bring_in(self, store: StateStore, shared: Shared) -> bool:
        """Write what was found; tell whether anything was tried, so that the states must be read again."""
        now = self._clock.now()
        tried = False
        for key, finding in list(self._findings.items()):
            state = shared.targets.get(key)
            if finding.version == version_of(state) and may_change(state, finding.availability, now):
                if self._is_stale(state, finding, now):
                    # It had to wait out the minute after a return: by now it may not be true any more.
                    del self._findings[key]
                    self._doubt(key)
                    continue
                event = self._availability_event(key, finding.availability, now)
                await store.move_target(
                    key, finding.availability, version=finding.version, now=now, event=event, announce=self._announce
                )
                tried = True
            elif finding.version == version_of(state) and self._waits(state, finding):
                continue
            # Agreed on already, or others have moved on since: what they agreed on counts.
            if self._findings.get(key) is finding:
                del self._findings[key]
        return tried

    def _is_stale(self, state: TargetState | None, finding: Finding, now: datetime) -> bool:
        return self._waits(state, finding) and now - finding.at >= STALE

    @staticmethod
    def _waits(state: TargetState | None, finding: Finding) -> bool:
        return state is not None and finding.availability in UNUSABLE and state.availability is Availability.AVAILABLE

    def _availability_event(self, key: TargetKey, found: Availability, now: datetime) -> Event | None:
        """Tell of a fallback's loss or return; a primary's is told by the routes that move."""
        snapshot = self._snapshot()
        names = [
            target for route in snapshot.prepared.values() for target in route.targets.values() if target.key == key
        ]
        primaries = [route.primary for route in snapshot.agreed_routes.routes.values() if route.primary is not None]
        if not names or any(key_of(primary) == key for primary in primaries):
            return None
        reason = {Availability.GONE: Reason.GONE, Availability.NO_ACCESS: Reason.NO_ACCESS}.get(found)
        return new_event(EventKind.AVAILABILITY, now, by=self._instance, provider=key[0], model=key[1], reason=reason)

    # Who answers each route.

    async def _move_routes(self, store: StateStore, shared: Shared) -> None:
        snapshot, now = self._snapshot(), self._clock.now()
        if not may_decide(shared.living, snapshot.config_hash, snapshot.loaded_at):
            return
        moves = []
        # Not as this replica serves them: of two, one of which lacks the key for what is promoted, each would take back
        # what the other one says. What one lacks is its own trouble, as an open circuit is.
        for name, route in snapshot.agreed_routes.routes.items():
            before = shared.routes.get(name)
            command = shared.commands.get(name)
            after = self._standing(route, snapshot, shared.targets, command, now)
            if before is not None and before.standing == after and before.config_hash == snapshot.config_hash:
                continue
            kind = change(before, after)
            if before is not None and before.standing.target not in (None, *(each.name for each in route.targets)):
                # Its target was renamed or removed in routes.yaml: whoever did that knows.
                kind = None
            if not must_wait(before, after, now):
                moves.append(RouteMove(name, after, before, self._event(kind, route, before, after, command, now)))
        if not moves:
            return
        made = await store.move_routes(
            moves,
            now=now,
            config_hash=snapshot.config_hash,
            announce=self._announce,
        )
        for move in made:
            self._count(move)

    @staticmethod
    def _standing(
        route: Route,
        snapshot: Snapshot,
        states: Mapping[TargetKey, TargetState],
        command: Command | None,
        now: datetime,
    ) -> Standing:
        """Return who answers by what is agreed on, the dates and the commands alone."""
        observed = {
            target.name: Observed(states[key_of(target)].availability)
            for target in route.targets
            if key_of(target) in states
        }
        plan = planner.plan(
            route,
            observe=lambda target: observed.get(target.name, planner.FRESH),
            dates_of=snapshot.calendar.dates_of,
            now=now,
            command=command,
        )
        dates = snapshot.calendar.dates_of(route.primary) if route.primary is not None else UNKNOWN_DATES
        return standing(plan, dates, now)

    def _event(
        self,
        kind: EventKind | None,
        route: Route,
        before: RouteState | None,
        after: Standing,
        command: Command | None,
        now: datetime,
    ) -> Event | None:
        if kind is None:
            return None
        targets = {target.name: target for target in route.targets}
        model_of = {name: target.model for name, target in targets.items()}
        old = before.standing.target if before is not None else PRIMARY
        # What it is about: the model that is left or returned to; by hand, the one that is chosen.
        about = targets.get(PRIMARY) or targets.get(after.target or "")
        by_hand = command if after.reason is Reason.COMMANDED else None
        return new_event(
            kind,
            now,
            by=by_hand.by if by_hand is not None else self._instance,
            told={"why": by_hand.reason, "until": by_hand.expires_at} if by_hand is not None else None,
            reason=after.refused or after.reason,
            route=route.name,
            owner=route.owner,
            provider=about.provider.name if about is not None else None,
            model=about.model if about is not None else None,
            from_target=model_of.get(old or ""),
            to_target=model_of.get(after.target or ""),
        )

    def _count(self, move: RouteMove) -> None:
        event = move.event
        if event is None:
            return
        if event.kind is not EventKind.REFUSAL:
            self._metrics.cutovers.labels(move.route, move.standing.reason.value).inc()
        say = log.info if event.kind is EventKind.RETURN else log.warning
        say(event.kind.value, route=move.route, reason=event.reason, to=event.to_target, text=event.text)


def version_of(state: TargetState | None) -> int:
    """Return a state's version; 0 where none was ever written."""
    return state.version if state is not None else 0
