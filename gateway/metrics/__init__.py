"""Every metric the gateway exports. Labels take values from the configuration only; anything else is ``_other``.

One process, one registry: the gateway is scaled by replicas, and Prometheus adds them up.
"""

from typing import TypeVar

from prometheus_client import CollectorRegistry, Info

from gateway.metrics.families import Counter, Counters, Described, Gauge, Histogram, Histograms

__all__ = ["OTHER", "OVERHEAD_S", "Counter", "Counters", "Described", "Gauge", "Histogram", "Histograms", "Metrics"]

OTHER = "_other"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 600)
FIRST_TOKEN_S = (0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20, 40, 60)
PER_TOKEN_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
OVERHEAD_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
TARGET = ("route", "provider", "model", "served_by")

_Family = TypeVar("_Family", Counters, Histograms)


class Metrics:
    """The metrics, built once per process and handed to whoever observes."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = into = registry or CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counters:
            return registered(Counters(name, text, labels))

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histograms:
            return registered(Histograms(name, text, labels, buckets))

        def registered(family: _Family) -> _Family:
            into.register(family)
            return family

        self.requests = counter("gateway_requests_total", "Requests answered.", "route", "endpoint", "code", "team")
        self.request_duration = histogram(
            "gateway_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            SECONDS,
            *("route", "endpoint", "served_by", "stream"),
        )
        self.first_token = histogram(
            "gateway_time_to_first_token_seconds",
            "Until the first event of a streamed answer.",
            FIRST_TOKEN_S,
            *("route", "served_by"),
        )
        self.per_output_token = histogram(
            "gateway_time_per_output_token_seconds",
            "Per output token after the first, of streamed answers.",
            PER_TOKEN_S,
            *("route", "served_by"),
        )
        self.overhead = histogram(
            "gateway_overhead_seconds",
            "What the gateway adds: total minus the wait for upstreams.",
            OVERHEAD_S,
            "endpoint",
        )
        self.attempts = counter(
            "gateway_upstream_attempts_total", "Calls to upstreams.", "provider", "model", "outcome"
        )
        self.upstream_duration = histogram(
            "gateway_upstream_duration_seconds", "Duration of calls to upstreams.", SECONDS, "provider", "model"
        )
        self.input_tokens = counter("gateway_input_tokens_total", "Input tokens, cached ones included.", *TARGET)
        self.cached_tokens = counter("gateway_cached_input_tokens_total", "Input tokens read from a cache.", *TARGET)
        self.output_tokens = counter("gateway_output_tokens_total", "Output tokens, reasoning included.", *TARGET)
        self.cost = counter("gateway_cost_usd_total", "Cost in US dollars, of priced attempts.", *TARGET, "team")
        self.unpriced = counter("gateway_unpriced_requests_total", "Attempts of models without a price.", "model")
        self.estimated = counter(
            "gateway_usage_estimated_total",
            "Attempts whose tokens the provider did not count credibly.",
            "provider",
            "model",
        )
        self.usage_rejected = counter(
            "gateway_usage_rejected_total",
            "Attempts whose provider counted what cannot be: a negative, a float, a part larger than its whole.",
            "provider",
            "model",
        )
        self.fallbacks = counter("gateway_fallbacks_total", "Requests that a fallback answered.", "route", "reason")
        self.answers = counter(
            "gateway_route_answers_total",
            "Requests answered, by whether the target that is meant to answer did; pinned ones left out.",
            *("route", "intended"),
        )
        self.rate_limited = counter(
            "gateway_upstream_rate_limited_total",
            "Calls that a provider answered with 429.",
            *("provider", "model"),
        )
        self.limited = counter(
            "gateway_rate_limited_total", "Requests that a key's own limit per minute refused, by limit.", "limit"
        )
        self.unshared = counter(
            "gateway_rate_limits_unshared_total",
            "Requests of limited keys that this replica counted alone, although GATEWAY_LIMITS_URL is set.",
        )
        self.cutovers = counter("gateway_cutovers_total", "Moves of a route to another target.", "route", "reason")
        self.substitutions = counter("gateway_substitutions_total", "Answers by another model than was asked.", "route")
        self.adaptations = counter(
            "gateway_adaptations_total", "Requests whose parameter was changed for a target.", "route", "parameter"
        )
        self.contract_violations = counter(
            "gateway_contract_violations_total", "Answers that broke the route's contract.", "route", "served_by"
        )
        self.stream_aborts = counter(
            "gateway_stream_aborts_total", "Streams that ended early, by the side that ended them.", "route", "side"
        )
        self.probes = counter("gateway_model_probes_total", "Verifications and rechecks.", "provider", "outcome")
        self.calendar_polls = counter(
            "gateway_calendar_polls_total", "Looks at providers' own dates.", "provider", "outcome"
        )
        self.webhooks = counter("gateway_webhooks_total", "Tries to deliver a message.", "webhook", "outcome")
        self.retries = counter("gateway_retries_total", "Calls repeated on a new connection.", "provider")
        self.unrecordable = counter(
            "gateway_unrecordable_requests_total", "Requests refused because the ledger could not take their rows."
        )
        self.log_lines_dropped = counter(
            "gateway_log_lines_dropped_total", "Request events that nobody took from the log in time."
        )
        self.spans_dropped = counter(
            "gateway_trace_spans_dropped_total", "Spans that the collector of traces did not take in time."
        )
        self.foreign_connections = counter(
            "gateway_connections_not_configured_total",
            "Connections that were refused because the configuration does not name their host.",
        )
        self.budget_refusals = counter(
            "gateway_budget_refusals_total", "Requests refused for the sake of their key's budget.", "reason"
        )
        self.budget_overruns = counter(
            "gateway_budget_overruns_total",
            "Requests that cost more than was set aside for them; they are charged in full.",
        )
        self.auth_failures = counter("gateway_auth_failures_total", "Requests without the right credential.")
        self.protocol_refusals = counter(
            "gateway_protocol_refusals_total", "Connections ended because of what came on them, or did not.", "reason"
        )
        self.config_reloads = counter("gateway_config_reloads_total", "Reloads of routes.yaml.", "outcome")
        self.rehearsals = counter(
            "gateway_rehearsals_total", "Requests that rehearsed, or should have.", "route", "mode", "outcome"
        )
        self.rehearsal_cost = counter("gateway_rehearsal_cost_usd_total", "Cost of rehearsals in US dollars.", "route")
        self.captured = counter("gateway_captured_total", "Requests to be captured.", "route", "outcome")
        self.feedback = counter(
            "gateway_feedback_total", "Marks on answers that were kept: right, wrong or none.", "route", "label"
        )
        self.promotions_ended = counter(
            "gateway_promotions_ended_total",
            "Canaries and promotions that this replica found to be over, by why; by hand ended ones left out.",
            *("route", "because"),
        )
        self.system_prompts = counter(
            "gateway_system_prompts_total",
            "Requests of a sample, by whether their system message is one that the primary was trained with.",
            *("route", "trained"),
        )
        self.build = Info("gateway_build", "The running version.", registry=into)
