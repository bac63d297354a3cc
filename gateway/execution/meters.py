"""A route's and a target's own children of the metrics, looked up once instead of at every request."""

from gateway.config.model_ids import embeds
from gateway.config.routes import Route, Target
from gateway.metrics import OTHER, Counter, Histogram, Metrics
from gateway.policy.traits import WORDS
from gateway.reasons import Outcome, Reason, Role

CODES = (200, 429, 499, 500, 502, 503, 504)
"""Statuses that are exported at zero as soon as a route is asked at an endpoint: what objectives are about."""
_NEVER = frozenset((Reason.PRIMARY, Reason.CONTRACT, Reason.NO_PRIMARY, Reason.CANARY))
CHANGEABLE = WORDS | {"input", "parsed", "reasoning", "text.format", "tool_call_id"}
"""What the gateway itself may change of a request: the names that ``x-gateway-adapted`` has, and no caller's own."""


class TargetMeters:
    """What is counted of one target within one route."""

    def __init__(self, metrics: Metrics, route: Route, target: Target) -> None:
        provider, model, served_by = target.provider.name, target.model, target.role.value
        labels = (route.name, provider, model, served_by)
        self._metrics = metrics
        self._route = route.name
        self.attempts: dict[Outcome, Counter] = {
            outcome: metrics.attempts.labels(provider, model, outcome.value) for outcome in Outcome
        }
        self.upstream_duration: Histogram = metrics.upstream_duration.labels(provider, model)
        self.input_tokens: Counter = metrics.input_tokens.labels(*labels)
        self.cached_tokens: Counter = metrics.cached_tokens.labels(*labels)
        self.output_tokens: Counter = metrics.output_tokens.labels(*labels)
        self.cost: Counter = metrics.cost.labels(*labels, route.owner or "")
        self.unpriced: Counter = metrics.unpriced.labels(model)
        self.estimated: Counter = metrics.estimated.labels(provider, model)
        self.usage_rejected: Counter = metrics.usage_rejected.labels(provider, model)
        self.first_token: Histogram = metrics.first_token.labels(route.name, served_by)
        self.per_output_token: Histogram = metrics.per_output_token.labels(route.name, served_by)
        self._served_by = served_by
        self._durations: dict[tuple[str, bool], Histogram] = {}
        self.substitutions: Counter = metrics.substitutions.labels(route.name)
        self.contract_violations: Counter = metrics.contract_violations.labels(route.name, served_by)
        self.rate_limited: Counter = metrics.rate_limited.labels(provider, model)
        self.retries: Counter = metrics.retries.labels(provider)
        self.aborts: dict[str, Counter] = {
            side: metrics.stream_aborts.labels(route.name, side) for side in ("client", "upstream", "gateway")
        }
        own = {*target.parameters.rename, *target.parameters.set, *target.parameters.drop}
        self._adaptations = {name: metrics.adaptations.labels(route.name, name) for name in sorted(own)}
        self._is_fallback = target.role is Role.FALLBACK
        self._fallbacks: dict[Reason, Counter] = {
            reason: metrics.fallbacks.labels(route.name, reason.value)
            for reason in (reasons_of(route) if self._is_fallback else ())
        }

    def duration(self, endpoint: str, streamed: bool) -> Histogram:
        """Return the distribution of how long requests of one endpoint take."""
        key = (endpoint, streamed)
        child = self._durations.get(key)
        if child is None:
            labels = (self._route, endpoint, self._served_by, str(streamed).lower())
            child = self._durations[key] = self._metrics.request_duration.labels(*labels)
        return child

    def adapted(self, parameter: str) -> None:
        """Count a changed parameter."""
        child = self._adaptations.get(parameter)
        if child is None:
            label = parameter if parameter in CHANGEABLE else OTHER
            child = self._adaptations[parameter] = self._metrics.adaptations.labels(self._route, label)
        child.inc()

    def answered_because(self, reason: Reason) -> None:
        """Count a request that a fallback answered."""
        if self._is_fallback:
            child = self._fallbacks.get(reason)
            if child is None:
                child = self._fallbacks[reason] = self._metrics.fallbacks.labels(self._route, reason.value)
            child.inc()


def reasons_of(route: Route) -> tuple[Reason, ...]:
    """Return why a route's fallbacks may come to answer: exported at zero, since a rise from nothing is none."""
    if route.primary is None:
        return (Reason.NO_PRIMARY, Reason.COMMANDED, Reason.PINNED)
    return tuple(reason for reason in Reason if reason not in _NEVER)


class RouteMeters:
    """What is counted of one route's requests, by endpoint and status."""

    def __init__(self, metrics: Metrics, route: Route) -> None:
        self._metrics = metrics
        self._route, self._team = route.name, route.owner or ""
        self._children: dict[tuple[str, int], Counter] = {}
        self.answered: tuple[Counter, Counter] = (
            metrics.answers.labels(route.name, "false"),
            metrics.answers.labels(route.name, "true"),
        )
        """By whether the target that is meant to answer did."""
        embeds_only = route.primary is not None and embeds(route.primary.model, route.primary.base)
        self._expect("embeddings" if embeds_only else "chat_completions")

    def request(self, endpoint: str, status: int) -> None:
        """Count a request by the status it was answered with."""
        child = self._children.get((endpoint, status))
        if child is None:
            self._expect(endpoint)
            child = self._child(endpoint, status)
        child.inc()

    def _expect(self, endpoint: str) -> None:
        for status in CODES:
            self._child(endpoint, status)

    def _child(self, endpoint: str, status: int) -> Counter:
        child = self._metrics.requests.labels(self._route, endpoint, str(status), self._team)
        return self._children.setdefault((endpoint, status), child)
