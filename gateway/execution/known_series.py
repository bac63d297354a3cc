"""Counters that exist at zero before anything is counted: Prometheus sees no rise in a series that begins with one."""

from typing import Final

from gateway.config.routes import Routes
from gateway.execution.meters import reasons_of
from gateway.lifecycle.polling import PollOutcome
from gateway.metrics import Metrics
from gateway.reasons import Availability, Label, ProtocolRefusal, Reason

RELOADS: Final = ("loaded", "refused", "waiting")
DELIVERIES: Final = ("delivered", "failed", "given_up")
REHEARSALS: Final = ("ok", "failed", "dropped", "unfunded", "unpriced")
FEEDBACK: Final = (*(label.value for label in Label), "none")
CAPTURES: Final = ("kept", "duplicate", "deleted", "dropped", "too_large", "refused")
_MOVES: Final = frozenset(
    (
        Reason.NO_PRIMARY,
        Reason.SHUTDOWN_REACHED,
        Reason.DEPRECATED_RAMP,
        Reason.GONE,
        Reason.NO_ACCESS,
        Reason.COMMANDED,
    )
)
"""What replicas agree on; a route moves for nothing else."""


def export_zeros(metrics: Metrics, routes: Routes) -> None:
    """Make what a configuration lets one expect; what is there keeps its count."""
    for outcome in RELOADS:
        metrics.config_reloads.labels(outcome)
    for refusal in ProtocolRefusal:
        metrics.protocol_refusals.labels(refusal.value)
    for webhook in routes.webhooks:
        for outcome in DELIVERIES:
            metrics.webhooks.labels(webhook, outcome)
    used = {target.provider.name for route in routes.routes.values() for target in route.targets}
    for provider in sorted(used):
        for found in Availability:
            metrics.probes.labels(provider, found.value)
        for polled in PollOutcome:
            metrics.calendar_polls.labels(provider, polled.value)
    for name, route in routes.routes.items():
        for reason in (Reason.PRIMARY, *reasons_of(route)):
            if reason is Reason.PRIMARY or reason in _MOVES:
                metrics.cutovers.labels(name, reason.value)
        if route.rehearsal is not None:
            metrics.rehearsal_cost.labels(name)
            for outcome in REHEARSALS:
                metrics.rehearsals.labels(name, route.rehearsal.mode, outcome)
        if route.capture is not None:
            for outcome in CAPTURES:
                metrics.captured.labels(name, outcome)
            for label in FEEDBACK:
                metrics.feedback.labels(name, label)
