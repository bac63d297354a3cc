"""One configuration with everything that can be built once: what a request would otherwise build each time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from gateway.clock import Clock
from gateway.config.callers import ANYBODY, Caller
from gateway.config.routes import Route, Routes, Target
from gateway.errors import PinNotAllowed
from gateway.execution.answer_headers import date_headers, identity_headers, outlives
from gateway.execution.callable_routes import CallableRoutes
from gateway.execution.endpoints import ENDPOINTS
from gateway.execution.meters import RouteMeters
from gateway.execution.pins import read_pin
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.request import Request
from gateway.execution.system_prompts import SystemPrompts
from gateway.lifecycle.calendar import Calendar
from gateway.metrics import Metrics
from gateway.policy import planner
from gateway.policy.capabilities import capabilities_of
from gateway.policy.conversations import canary_bucket
from gateway.policy.evidence import Accepted, gated
from gateway.policy.lifecycle import PublishedModels, midnight, share_moved
from gateway.policy.needs import Needs, holder
from gateway.policy.promotion import CANARY, Promoted
from gateway.providers.capability_table import capability_rows
from gateway.providers.openai_wire import Upstream
from gateway.providers.prices import PriceBook
from gateway.reasons import Reason, Role

MOST_PLANS = 10_000
"""Kept at once; what requests need can be combined in many ways."""
EMPTY: PublishedModels = MappingProxyType({})
Trained = Mapping[tuple[str, str, str], Collection[str]]
"""By route, provider and model: the system messages of the training."""
PlanKey = tuple[str, planner.Pin | None, Needs | None, bool, bool]
"""Route, pin, needs, whether it rehearses and is the canary's: what a plan depends on beside the board and the day."""


class PreparedRoute:
    """A route with its prepared targets, its checker and its meters."""

    __slots__ = (
        "_canary_salt",
        "_served_by_all",
        "_telling",
        "by_caller",
        "checker",
        "is_watched",
        "learns",
        "meters",
        "route",
        "systems",
        "targets",
    )

    def __init__(
        self,
        route: Route,
        targets: dict[str, PreparedTarget],
        checker: Any,
        metrics: Metrics,
        *,
        has_variants: bool = False,
        trained: Collection[str] = (),
    ) -> None:
        """``trained``: the system messages that its primary was trained with; empty: they are not known."""
        self.route = route
        self.by_caller = has_variants or route.tenant is not None
        """Whether who asks decides who answers, and not the name alone."""
        self.targets = targets
        self.checker = checker
        self.meters = RouteMeters(metrics, route)
        self.learns = route.capture is not None or route.rehearsal is not None
        """Whether anybody learns from its live requests."""
        self.systems = SystemPrompts(route.name, trained, metrics) if trained else None
        self.is_watched = route.canary is not None or self.systems is not None
        """Whether a request's conversation, or its system message, is of interest before it is planned."""
        canary = route.canary.target if route.canary is not None else None
        self._canary_salt = f"{route.name}\0{canary.provider.name}\0{canary.model}" if canary is not None else ""
        self._telling = frozenset[str]().union(*(target.capabilities.lackable for target in targets.values()))
        self._served_by_all = frozenset(
            endpoint.name
            for endpoint in ENDPOINTS
            if not any(self.lacked_by(target, Needs(endpoint.name)) for target in route.targets)
        )

    def lacked_by(self, target: Target, needs: Needs) -> str | None:
        """Say what a target lacks, or None."""
        return needs.lacked_by(target, self.route, self.targets[target.name].capabilities)

    def watch(self, request: Request) -> bool:
        """Look at a request of a route that is watched; tell whether its conversation is one of the canary's."""
        if self.systems is not None:
            self.systems.look(request)
        canary = self.route.canary
        if canary is None or (request.caller.budget and not self.targets[CANARY].prices):
            # Nobody could say what it costs at most, and its caller would be refused for the canary's sake.
            return False
        return canary_bucket(self._canary_salt, request.id, request.session, request.body) < canary.share

    def needs_of(self, request: Request) -> Needs | None:
        """Return what tells this route's targets apart for a request; None: nothing, as for nearly all."""
        words, held_by = request.words & self._telling, request.held_by
        if not words and held_by is None and request.residency is None and request.endpoint.name in self._served_by_all:
            return None
        held_by = holder(held_by, self.route.targets) if held_by is not None else None
        return Needs(request.endpoint.name, words, request.residency, held_by)


@dataclass(frozen=True, slots=True)
class ReadyStep:
    """A plan's step with its prepared target."""

    prepared: PreparedTarget
    reason: Reason | None
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ReadyPlan:
    """A plan whose targets are prepared."""

    route: PreparedRoute
    plan: planner.Plan
    steps: tuple[ReadyStep, ...]
    by_date: bool = False
    """Whether all traffic has left the primary by date."""


class Snapshot:
    """One configuration. A reload builds another; requests in flight keep theirs."""

    def __init__(
        self,
        routes: Routes,
        upstreams: Mapping[str, Upstream],
        *,
        metrics: Metrics,
        clock: Clock,
        published: PublishedModels = EMPTY,
        loaded_at: datetime | None = None,
        accepted: Accepted = frozenset(),
        promoted: Promoted | None = None,
        trained: Trained = MappingProxyType({}),
    ) -> None:
        """Prepare what ``routes`` say.

        Args:
            routes: As they are served, promotions put in.
            upstreams: By the provider's name.
            metrics: Where the meters of routes and targets are.
            clock: Tells the day.
            published: What providers' APIs said last.
            loaded_at: When the files were read; None: now.
            accepted: Which fallbacks were shown to be good enough, for routes that ask for it.
            promoted: What ``routes`` came of; None: no version is promoted.
            trained: By route, provider and model the system messages of the training, where they are known.
        """
        self.promoted = promoted or Promoted(routes, {}, named=routes, active={}, agreed=routes)
        """The promotions in force, those that are ignored here, and the configuration without them."""
        self._trained = trained
        self.agreed_routes = gated(self.promoted.agreed, accepted)
        """As all replicas of this configuration have them: also promotions for which only this one lacks a key."""
        routes = gated(routes, accepted)
        self.routes = routes
        self.config_hash = routes.config_hash
        self.loaded_at = loaded_at or clock.now()
        """When this configuration was read; new dates make a new snapshot of the same configuration."""
        self.calendar = Calendar(routes, published)
        self.upstreams = upstreams
        self._clock = clock
        self._metrics = metrics
        self.price_book = PriceBook.for_routes(routes, clock.now().date())
        self.prepared = {name: self._prepare(route) for name, route in routes.routes.items()}
        self.callable_routes = CallableRoutes(routes, self.prepared)
        self._plans: dict[PlanKey, tuple[int, datetime, ReadyPlan]] = {}

    def find(self, model: str, caller: Caller = ANYBODY) -> tuple[PreparedRoute, planner.Pin | None]:
        """Return the route that answers this caller's ``model``, and its pin.

        Raises:
            RouteNotFound: there is no such route that it may call; the message names the nearest.
            NoVariant: the route answers by tenant, and not to this caller's.
            PinNotAllowed: its key may not choose who answers.
            InvalidRequest: the pin is nothing that this route has.
        """
        prepared = self.prepared.get(model)
        if prepared is not None and not prepared.by_caller and caller.routes is None:
            return prepared, None
        name, at, pin = model.partition("@")
        prepared = self.callable_routes.find(name, caller)
        if not at:
            return prepared, None
        if not caller.pins:
            raise PinNotAllowed(f"This key may not choose who answers; send {name[:100]!r} alone.", param="model")
        return prepared, read_pin(prepared.route, pin)

    def plan(
        self,
        prepared: PreparedRoute,
        pin: planner.Pin | None,
        board: Any,
        bucket: float | None,
        needs: Needs | None = None,
        rehearses: bool = False,
        canary: bool = False,
    ) -> ReadyPlan:
        """Return the plan for one request: a kept one while nothing changed that it depends on.

        ``bucket`` is needed only where ``ramps`` says so.
        """
        key = (prepared.route.name, pin, needs, rehearses, canary)
        now = self._clock.now()
        kept = self._plans.get(key)
        # Before the plan is made: what passes with time may pass while it is made.
        timed = board.timed
        if kept is not None and kept[0] == board.version and now < kept[1] and bucket is None and not timed:
            return kept[2]
        command = board.command(prepared.route.name)
        made = planner.plan(
            prepared.route,
            observe=board.observe,
            dates_of=self.calendar.dates_of,
            now=now,
            bucket=bucket or 0.0,
            pin=pin,
            command=command,
            lacks=(lambda target: prepared.lacked_by(target, needs)) if needs else planner.nothing_lacked,
            held_by=needs.held_by if needs else None,
            rehearses=rehearses,
            canary=canary,
        )
        steps = tuple(ReadyStep(prepared.targets[s.target.name], s.reason, s.timeout_s) for s in made.steps)
        ready = ReadyPlan(prepared, made, steps, self._has_moved(prepared, now))
        # Plans of other days are for tests, and callers could name any number of them.
        if bucket is None and not timed and (pin is None or pin.at is None) and len(self._plans) < MOST_PLANS:
            until = midnight(now.date() + timedelta(days=1))
            if command is not None and command.expires_at is not None:
                until = min(until, command.expires_at)
            self._plans[key] = (board.version, until, ready)
        return ready

    @staticmethod
    def _has_moved(prepared: PreparedRoute, now: datetime) -> bool:
        primary = prepared.targets.get("primary")
        return primary is not None and share_moved(primary.dates, prepared.route.cutover, now) >= 1.0

    def ramps(self, prepared: PreparedRoute) -> bool:
        """Tell whether a route is on its ramp, so that a request's conversation decides its plan."""
        route = prepared.route
        if not route.cutover.ramp_days or route.primary is None:
            return False
        share = share_moved(prepared.targets[route.primary.name].dates, route.cutover, self._clock.now())
        return 0.0 < share < 1.0

    def prepare_target(self, route: Route, target: Target) -> PreparedTarget:
        """Prepare a target of a route, or one like it: with another prompt, or with none."""
        return PreparedTarget(
            route,
            target,
            self.upstreams[target.provider.name],
            self.price_book,
            self.calendar.dates_of(target),
            capabilities_of(target, route.primary, capability_rows(), self.routes.capabilities),
            self._metrics,
            self._clock,
        )

    def _prepare(self, route: Route) -> PreparedRoute:
        targets = {target.name: self.prepare_target(route, target) for target in route.targets}
        primary = targets.get("primary")
        for prepared in targets.values():
            prepared.headers = identity_headers(route, prepared.target)
            if primary is not None:
                living = [t for t in targets.values() if t.role is Role.FALLBACK and outlives(t.dates, primary.dates)]
                prepared.headers += date_headers(route, primary.dates, self.loaded_at.date(), bool(living))
        checker = None
        if route.contract is not None:
            import jsonschema_rs

            checker = jsonschema_rs.validator_for(dict(route.contract.json_schema))
        has_variants = route.name in self.routes.variants
        trained = self._trained_systems(route)
        return PreparedRoute(route, targets, checker, self._metrics, has_variants=has_variants, trained=trained)

    def _trained_systems(self, route: Route) -> Collection[str]:
        """Return the system messages of the primary's training: of its version, or else as a fallback's prompt says."""
        if route.primary is None:
            return ()
        known = self._trained.get((route.name, route.primary.provider.name, route.primary.model))
        if known:
            return known
        return next((t.prompt.trained_system for t in route.fallbacks if t.prompt and t.prompt.trained_system), ())
