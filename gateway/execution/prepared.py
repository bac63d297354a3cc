"""One configuration with everything that can be built once: what a request would otherwise build each time."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from gateway.clock import Clock
from gateway.config.routes import Route, Routes, Target
from gateway.errors import InvalidRequest, RouteNotFound
from gateway.execution.meters import RouteMeters, TargetMeters
from gateway.execution.substitutes import AnswerNames
from gateway.lifecycle.calendar import Calendar
from gateway.metrics import Metrics
from gateway.policy import planner, prompts
from gateway.policy.lifecycle import Dates, PublishedModels, midnight, share_moved
from gateway.policy.parameters import response_format
from gateway.providers.openai_wire import Upstream
from gateway.providers.prices import PriceBook
from gateway.reasons import Reason, Role

Header = tuple[bytes, bytes]
EMPTY: PublishedModels = MappingProxyType({})


class PreparedTarget:
    """A target with its upstream, its price, its rendered prompt, its headers and its meters."""

    __slots__ = (
        "_headers_because",
        "answers",
        "contract_format",
        "dates",
        "headers",
        "key",
        "limits_due",
        "meters",
        "model",
        "prompt",
        "prompt_prefix",
        "prompt_version",
        "role",
        "target",
        "upstream",
        "window",
    )

    def __init__(
        self, route: Route, target: Target, upstream: Upstream, book: PriceBook, dates: Dates, metrics: Metrics
    ) -> None:
        self.target = target
        self.key = (target.provider.name, target.model)
        self.model = target.model
        self.role = target.role
        self.upstream = upstream
        self.answers = AnswerNames(target, book)
        self.window = book.window(*self.key)
        """Tokens of input that it takes; None: not known."""
        self.limits_due = 0.0
        """From when on, in monotonic seconds, an answer's headers are looked at for rate limits."""
        self.dates = dates
        self.prompt = target.prompt
        self.prompt_prefix = prompts.prefix(target.prompt) if target.prompt else ()
        self.prompt_version = target.prompt.version if target.prompt else None
        promises = route.contract is not None and target.role is Role.FALLBACK
        self.contract_format: dict[str, Any] | None = (
            response_format(route.contract) if promises and route.contract else None
        )
        self.headers: list[Header] = []
        self._headers_because: dict[tuple[Reason, bytes], list[Header]] = {}
        self.meters = TargetMeters(metrics, route, target)

    def headers_because(self, reason: Reason, content_type: bytes) -> list[Header]:
        """Return the headers of an answer by this target for this reason."""
        key = (reason, content_type)
        known = self._headers_because.get(key)
        if known is None:
            why = (b"x-gateway-reason", reason.value.encode())
            known = self._headers_because[key] = [(b"content-type", content_type), *self.headers, why]
        return known


class PreparedRoute:
    """A route with its prepared targets, its checker and its meters."""

    __slots__ = ("checker", "meters", "route", "targets")

    def __init__(self, route: Route, targets: dict[str, PreparedTarget], checker: Any, metrics: Metrics) -> None:
        self.route = route
        self.targets = targets
        self.checker = checker
        self.meters = RouteMeters(metrics, route)


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
    ) -> None:
        self.routes = routes
        self.config_hash = routes.config_hash
        self.loaded_at = loaded_at or clock.now()
        """When this configuration was read; new dates make a new snapshot of the same configuration."""
        self.calendar = Calendar(routes, published)
        self.upstreams = upstreams
        self._clock = clock
        book = PriceBook.for_routes(routes, clock.now().date())
        self.price_book = book
        self.prepared = {name: self._prepare(route, upstreams, book, metrics) for name, route in routes.routes.items()}
        self._plans: dict[tuple[str, planner.Pin | None], tuple[int, datetime, ReadyPlan]] = {}

    def find(self, model: str) -> tuple[PreparedRoute, planner.Pin | None]:
        """Return the route that ``model`` names, and its pin.

        Raises:
            RouteNotFound: there is no such route; the message names the nearest.
            InvalidRequest: the pin is nothing that this route has.
        """
        prepared = self.prepared.get(model)
        if prepared is not None:
            return prepared, None
        name, at, pin = model.partition("@")
        prepared = self.prepared.get(name)
        if prepared is None:
            raise RouteNotFound(self._no_such_route(name[:100]), param="model")
        if not at:
            return prepared, None
        return prepared, read_pin(prepared.route, pin)

    def plan(self, prepared: PreparedRoute, pin: planner.Pin | None, board: Any, bucket: float | None) -> ReadyPlan:
        """Return the plan for one request: a kept one while nothing changed that it depends on.

        ``bucket`` is needed only where ``ramps`` says so.
        """
        key = (prepared.route.name, pin)
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
        )
        steps = tuple(ReadyStep(prepared.targets[s.target.name], s.reason, s.timeout_s) for s in made.steps)
        ready = ReadyPlan(prepared, made, steps)
        # Plans of other days are for tests, and callers could name any number of them.
        if bucket is None and not timed and (pin is None or pin.at is None):
            until = midnight(now.date() + timedelta(days=1))
            if command is not None and command.expires_at is not None:
                until = min(until, command.expires_at)
            self._plans[key] = (board.version, until, ready)
        return ready

    def ramps(self, prepared: PreparedRoute) -> bool:
        """Tell whether a route is on its ramp, so that a request's conversation decides its plan."""
        route = prepared.route
        if not route.cutover.ramp_days or route.primary is None:
            return False
        share = share_moved(prepared.targets[route.primary.name].dates, route.cutover, self._clock.now())
        return 0.0 < share < 1.0

    def _prepare(
        self, route: Route, upstreams: Mapping[str, Upstream], book: PriceBook, metrics: Metrics
    ) -> PreparedRoute:
        targets = {
            target.name: PreparedTarget(
                route,
                target,
                upstreams[target.provider.name],
                book,
                self.calendar.dates_of(target),
                metrics,
            )
            for target in route.targets
        }
        primary = targets.get("primary")
        for prepared in targets.values():
            prepared.headers = identity_headers(route, prepared)
            if primary is not None:
                living = [t for t in targets.values() if t.role is Role.FALLBACK and outlives(t.dates, primary.dates)]
                prepared.headers += date_headers(route, primary.dates, self.loaded_at.date(), bool(living))
        checker = None
        if route.contract is not None:
            import jsonschema_rs

            checker = jsonschema_rs.validator_for(dict(route.contract.json_schema))
        return PreparedRoute(route, targets, checker, metrics)

    def _no_such_route(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.prepared, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists the routes."
        return f"There is no route {name!r}; 'model' names a route of this gateway.{hint}"


def read_pin(route: Route, text: str) -> planner.Pin:
    """Read what stands behind the ``@``.

    Raises:
        InvalidRequest: it is neither a target of this route nor a date.
    """
    names = [target.name for target in route.targets]
    if text in names or (text == "fallback" and route.fallbacks):
        return planner.Pin(target=text)
    try:
        if len(text) != len("2027-01-14"):
            raise ValueError(text)
        return planner.Pin(at=datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC))
    except ValueError:
        choices = ", ".join(dict.fromkeys([*names, *(["fallback"] if route.fallbacks else [])]))
        message = (
            f"Route {route.name!r} has no {text[:100]!r}; behind '@' stands one of {choices}, "
            "or a date like 2027-01-14."
        )
        raise InvalidRequest(message, param="model") from None


def identity_headers(route: Route, prepared: PreparedTarget) -> list[Header]:
    """Return the headers that say who answers."""
    headers = {
        "x-gateway-route": route.name,
        "x-gateway-provider": prepared.target.provider.name,
        "x-gateway-model": prepared.model,
        "x-gateway-served-by": prepared.role.value,
    }
    return [(name.encode(), header_value(value)) for name, value in headers.items()]


def outlives(dates: Dates, others: Dates) -> bool:
    """Tell whether a model is still served when another one stops."""
    return others.shutdown is None or dates.shutdown is None or dates.shutdown > others.shutdown


def date_headers(route: Route, dates: Dates, known_since: date, succeeded: bool) -> list[Header]:
    """Return what the primary's dates say (RFC 9745, RFC 8594).

    ``succeeded``: a fallback outlives it. Then the route does not stop, and has no ``Sunset``.
    """
    if dates.shutdown is None:
        return []
    headers = {"x-gateway-primary-shutdown": dates.shutdown.isoformat()}
    if dates.certainty == "planned":
        # Where nobody says when it was announced: since when we know, at the latest.
        announced = min(dates.announced or dates.read or known_since, dates.shutdown)
        headers["deprecation"] = f"@{int(midnight(announced).timestamp())}"
    if succeeded and route.fallback_on:
        headers["link"] = f'</v1/models/{quote(route.name)}@fallback>; rel="successor-version"'
    else:
        headers["sunset"] = midnight(dates.shutdown).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return [(name.encode(), header_value(value)) for name, value in headers.items()]


def header_value(text: str) -> bytes:
    """Return text as a header's value: whatever a header cannot carry becomes a question mark."""
    return "".join(char if " " <= char <= "~" else "?" for char in text).encode("ascii")
