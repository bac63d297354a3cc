"""A route's and a target's own children of the metrics, looked up once instead of at every request."""

from gateway.config.routes import Route, Target
from gateway.metrics import OTHER, Counter, Histogram, Metrics
from gateway.reasons import Outcome, Reason, Role

CHAT = "chat_completions"


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
        self.first_token: Histogram = metrics.first_token.labels(route.name, served_by)
        self.per_output_token: Histogram = metrics.per_output_token.labels(route.name, served_by)
        self.duration: dict[bool, Histogram] = {
            stream: metrics.request_duration.labels(route.name, CHAT, served_by, str(stream).lower())
            for stream in (False, True)
        }
        self.substitutions: Counter = metrics.substitutions.labels(route.name)
        self.contract_violations: Counter = metrics.contract_violations.labels(route.name, served_by)
        self.retries: Counter = metrics.retries.labels(provider)
        self.aborts: dict[str, Counter] = {
            side: metrics.stream_aborts.labels(route.name, side) for side in ("client", "upstream")
        }
        known = {*target.parameters.rename, *target.parameters.set, *target.parameters.drop, "response_format"}
        self._adaptations = {name: metrics.adaptations.labels(route.name, name) for name in sorted(known)}
        self._fallbacks: dict[Reason, Counter] = {}
        self._is_fallback = target.role is Role.FALLBACK

    def adapted(self, parameter: str) -> None:
        """Count a changed parameter."""
        child = self._adaptations.get(parameter)
        (child or self._metrics.adaptations.labels(self._route, OTHER)).inc()

    def answered_because(self, reason: Reason) -> None:
        """Count a request that a fallback answered."""
        if self._is_fallback:
            child = self._fallbacks.get(reason)
            if child is None:
                child = self._fallbacks[reason] = self._metrics.fallbacks.labels(self._route, reason.value)
            child.inc()


class RouteMeters:
    """What is counted of one route's requests, by status."""

    def __init__(self, metrics: Metrics, route: Route) -> None:
        self._metrics = metrics
        self._labels = (route.name, CHAT, route.owner or "")
        self._by_status: dict[int, Counter] = {}

    def request(self, status: int) -> None:
        """Count a request by the status it was answered with."""
        child = self._by_status.get(status)
        if child is None:
            route, endpoint, team = self._labels
            child = self._by_status[status] = self._metrics.requests.labels(route, endpoint, str(status), team)
        child.inc()
