"""A route's and a target's own children of the metrics, looked up once instead of at every request."""

from gateway.config.routes import Route, Target
from gateway.metrics import OTHER, Counter, Histogram, Metrics
from gateway.policy.traits import WORDS
from gateway.reasons import Outcome, Reason, Role

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
        self.retries: Counter = metrics.retries.labels(provider)
        self.aborts: dict[str, Counter] = {
            side: metrics.stream_aborts.labels(route.name, side) for side in ("client", "upstream", "gateway")
        }
        own = {*target.parameters.rename, *target.parameters.set, *target.parameters.drop}
        self._adaptations = {name: metrics.adaptations.labels(route.name, name) for name in sorted(own)}
        self._fallbacks: dict[Reason, Counter] = {}
        self._is_fallback = target.role is Role.FALLBACK

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


class RouteMeters:
    """What is counted of one route's requests, by endpoint and status."""

    def __init__(self, metrics: Metrics, route: Route) -> None:
        self._metrics = metrics
        self._route, self._team = route.name, route.owner or ""
        self._children: dict[tuple[str, int], Counter] = {}

    def request(self, endpoint: str, status: int) -> None:
        """Count a request by the status it was answered with."""
        child = self._children.get((endpoint, status))
        if child is None:
            child = self._metrics.requests.labels(self._route, endpoint, str(status), self._team)
            self._children[endpoint, status] = child
        child.inc()
