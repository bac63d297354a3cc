"""What happened to the watched routes in three weeks: ledger rows, switches, notices, verdicts, rehearsals.

Written through the real stores, so that totals are the real ones. The same ``now`` and seed give the same history.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from watched_routes import BY_NAME, LUNA, ROUTES, UNCOUNTED, UNPRICED, Watched, price_of

from gateway.config.routes import Routes
from gateway.ledger.entry import Entry, new_attempt_id
from gateway.policy.lifecycle import midnight
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource

DAYS = 21
GONE_FOR = {"forum-reply": timedelta(hours=3, minutes=12), "call-summary": timedelta(minutes=48)}
COMMANDED_FOR = timedelta(hours=5, minutes=20)
OUTAGE = (timedelta(days=9, hours=6), timedelta(days=9, hours=5, minutes=10))
SEVERAL_ATTEMPTS = "req_5e7d02c1b94a3f6880d1c27e"
"""A request of which the third attempt answered."""
REPLICAS = ("gateway-7d9f-x2kp", "gateway-7d9f-m8qz")
MODELS = {"luna": LUNA, "comet": "comet-2", "luna-eu": "our-luna"}
# First token and whole answer, in milliseconds: medians.
_PACE = {"primary": (210, 900), "luna": (520, 1900), "luna-eu": (610, 2100), "comet": (300, 1300)}
_BUSY = (1, 1, 1, 1, 1, 2, 4, 8, 14, 16, 16, 15, 13, 15, 16, 15, 13, 10, 7, 5, 4, 3, 2, 2)


class History:
    """Draws rows; ``routes`` is the configuration as it was loaded."""

    def __init__(self, routes: Routes, now: datetime, seed: str = "watched") -> None:
        self._routes, self._now = routes, now
        self._chance = random.Random(seed)

    def rows(self) -> Iterator[Entry]:
        """Yield three weeks of every route, and the odd ones of the last minutes."""
        for route in ROUTES:
            for _ in range(route.daily * DAYS):
                yield from self._request(route, self._moment())
        for route in ("ticket-triage", "survey-coding"):
            yield from self._rehearsed(BY_NAME[route])
        yield from self._lately()

    def _moment(self) -> datetime:
        while True:
            day = self._now - timedelta(days=self._chance.uniform(0, DAYS))
            if self._chance.randrange(16) < _BUSY[day.hour] * (0.4 if day.weekday() > 4 else 1):
                return day

    def _request(self, route: Watched, at: datetime) -> Iterator[Entry]:
        """Yield the attempts of one request, as the route stood then."""
        request_id = f"req_{self._chance.getrandbits(96):024x}"
        target, reason = self._standing(route, at)
        if target is None:
            return
        fails = self._failure(route) if target == "primary" else None
        if fails is None:
            yield self._answer(route, request_id, at, target, reason)
            return
        failed = self._failed(route, request_id, at, target, fails)
        yield failed
        if route.understudy:
            then, why = failed.finished_at + timedelta(milliseconds=2), Reason(fails.value)
            yield self._answer(route, request_id, then, route.understudy, why)

    def _standing(self, route: Watched, at: datetime) -> tuple[str | None, Reason]:
        left = self._now - at
        if route.primary is None:
            return route.understudy, Reason.NO_PRIMARY
        if route.name == "forum-reply" and OUTAGE[1] < left < OUTAGE[0]:
            return route.understudy, Reason.GONE
        if route.name in GONE_FOR and left < GONE_FOR[route.name]:
            return route.understudy or None, Reason.GONE
        if route.name == "invoice-extract" and at >= midnight(self._now.date() - timedelta(2)):
            return route.understudy, Reason.SHUTDOWN_REACHED
        if route.name == "claims-summary" and left < COMMANDED_FOR:
            return route.understudy, Reason.COMMANDED
        if route.name == "refund-reason":
            begun = at - midnight(self._now.date() - timedelta(3))
            if self._chance.random() < begun / timedelta(days=7):
                return route.understudy, Reason.DEPRECATED_RAMP
        return "primary", Reason.PRIMARY

    def _failure(self, route: Watched) -> FailureKind | None:
        share = 0.04 if route.name == "review-digest" else 0.004
        if self._chance.random() >= share:
            return None
        return self._chance.choice((FailureKind.TIMEOUT, FailureKind.OVERLOADED, FailureKind.SERVER_ERROR))

    def _answer(
        self, route: Watched, request_id: str, at: datetime, target: str, reason: Reason, **fields: Any
    ) -> Entry:
        """Return an attempt that answered."""
        is_primary = target == "primary"
        model = route.primary if is_primary else MODELS[target]
        assert model is not None
        # A hundred examples in front of the question; what is asked is some post, call or letter.
        asked = self._chance.randrange(240, 2600) + (0 if is_primary else 1900)
        cached = 0 if is_primary or self._chance.random() < 0.2 else 1792
        answered = self._chance.randrange(20, 60) if not route.streams else self._chance.randrange(90, 260)
        first, whole = (median * self._chance.lognormvariate(0, 0.35) for median in _PACE[target])
        row = self._row(route, request_id, at, target, reason, model, max(whole, first + answered * 2))
        return row._replace(
            model_answered=model,
            input_tokens=asked,
            cached_input_tokens=cached,
            output_tokens=answered,
            usage_source=UsageSource.ESTIMATED if model == UNCOUNTED else UsageSource.PROVIDER,
            cost_nanousd=_cost(model, asked, cached, answered),
            ttft_ms=first if route.streams else None,
            overhead_ms=self._chance.lognormvariate(-0.7, 0.4),
        )._replace(**fields)

    def _failed(self, route: Watched, request_id: str, at: datetime, target: str, kind: FailureKind) -> Entry:
        status = {FailureKind.OVERLOADED: 503, FailureKind.SERVER_ERROR: 500, FailureKind.MODEL_GONE: 404}.get(kind)
        lasted = 15_000.0 if kind is FailureKind.TIMEOUT else self._chance.uniform(40, 400)
        model = route.primary if target == "primary" else MODELS[target]
        assert model is not None
        reason = Reason.PRIMARY if target == "primary" else Reason.TIMEOUT
        row = self._row(route, request_id, at, target, reason, model, lasted)
        return row._replace(outcome=Outcome.FAILED, failure=kind, status=status, cost_nanousd=0)

    def _row(
        self, route: Watched, request_id: str, at: datetime, target: str, reason: Reason, model: str, lasted_ms: float
    ) -> Entry:
        written = self._routes.routes[route.name]
        found = next(each for each in written.targets if each.name == target)
        return Entry(
            attempt_id=new_attempt_id(at),
            request_id=request_id,
            route=route.name,
            target=target,
            role=Role.PRIMARY if target == "primary" else Role.FALLBACK,
            provider=found.provider.name,
            model_asked=model,
            model_answered=None,
            reason=reason,
            prompt_version=found.prompt.version if found.prompt else None,
            input_tokens=0,
            cached_input_tokens=0,
            cache_write_tokens=0,
            output_tokens=0,
            reasoning_tokens=0,
            usage_source=UsageSource.NONE,
            price_version=None if model == UNPRICED else f"routes.yaml {self._routes.config_hash}",
            cost_nanousd=None,
            outcome=Outcome.OK,
            failure=None,
            endpoint="chat.completions",
            stream=route.streams,
            pinned=False,
            kind="live",
            instance=REPLICAS[int(request_id[-1], 16) % 2],
            config_hash=self._routes.config_hash,
            key=None,
            team=route.owner,
            tags={"env": self._chance.choice(("prod", "prod", "prod", "staging"))},
            service_tier=None,
            status=200,
            ttft_ms=None,
            duration_ms=lasted_ms,
            started_at=at,
            finished_at=at + timedelta(milliseconds=lasted_ms),
            substituted=False,
            traits="temperature",
        )

    def _rehearsed(self, route: Watched) -> Iterator[Entry]:
        """Yield what the fallback answered beside the primary, unseen, or in its place."""
        serves = route.name == "survey-coding"
        for _ in range(round(route.daily * DAYS * (0.05 if serves else 0.02)) + 10):
            kind, reason = ("live", Reason.REHEARSAL) if serves else ("rehearsal", Reason.REHEARSAL)
            request_id = f"req_{self._chance.getrandbits(96):024x}"
            yield self._answer(route, request_id, self._moment(), "luna", reason, kind=kind)

    def _lately(self) -> Iterator[Entry]:
        """Yield the odd requests of the last minutes: several attempts, broken off, left, refused."""
        digest, triage = BY_NAME["review-digest"], BY_NAME["ticket-triage"]
        at = self._now - timedelta(minutes=4, seconds=10)
        three = SEVERAL_ATTEMPTS
        first = self._failed(digest, three, at, "primary", FailureKind.TIMEOUT)
        second = self._failed(digest, three, first.finished_at, "comet", FailureKind.OVERLOADED)
        third = self._answer(digest, three, second.finished_at, "luna", Reason.OVERLOADED)
        yield from (row._replace(instance=REPLICAS[0]) for row in (first, second, third))
        for minutes, route, outcome, failure, status in (
            (6, digest, Outcome.INTERRUPTED, FailureKind.INTERRUPTED, 200),
            (9, BY_NAME["tone-rewrite"], Outcome.CANCELLED, FailureKind.CLIENT_CANCELLED, 200),
            (11, triage, Outcome.FAILED, FailureKind.BAD_REQUEST, 400),
            (17, triage, Outcome.FAILED, FailureKind.RATE_LIMITED, 429),
        ):
            target = "primary" if route.primary else "luna"
            reason = Reason.PRIMARY if route.primary else Reason.NO_PRIMARY
            begun = self._answer(route, f"req_{minutes:024x}", self._now - timedelta(minutes=minutes), target, reason)
            if outcome is Outcome.FAILED:
                begun = self._failed(route, begun.request_id, begun.started_at, target, failure)
            yield begun._replace(outcome=outcome, failure=failure, status=status)
        for name, since in GONE_FOR.items():
            for late in (2, 1, 0):
                dead = f"req_{name}_{late}".ljust(28, "0")
                at = self._now - since - timedelta(milliseconds=300 * late)
                yield self._failed(BY_NAME[name], dead, at, "primary", FailureKind.MODEL_GONE)


def _cost(model: str, asked: int, cached: int, answered: int) -> int | None:
    rates = price_of(model)
    if rates is None:
        return None
    # Dollars per million tokens are thousands of nano-dollars per token.
    fresh, kept, said = (round(rate * 1000) for rate in rates)
    return (asked - cached) * fresh + cached * kept + answered * said


def thinned(rows: Iterator[Entry], routes: Routes) -> Iterator[Entry]:
    """Yield rows as they would be of another configuration's routes, whose names are dealt out in turn."""
    names = list(routes.routes)
    for number, row in enumerate(rows):
        route = routes.routes[names[number % len(names)]]
        target = route.targets[0]
        yield row._replace(
            route=route.name,
            team=route.owner,
            target=target.name,
            role=target.role,
            provider=target.provider.name,
            model_asked=target.model,
            model_answered=target.model if row.outcome is Outcome.OK else None,
            reason=Reason.PRIMARY,
            prompt_version=None,
            config_hash=routes.config_hash,
        )
