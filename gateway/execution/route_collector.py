"""What is known of routes and is read off the board when Prometheus asks, instead of being kept up by every request."""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.execution.exercised import Exercised
from gateway.execution.prepared import PreparedRoute, ReadyPlan, Snapshot
from gateway.execution.target_board import TargetBoard
from gateway.metrics import Gauge
from gateway.policy.lifecycle import midnight
from gateway.reasons import Availability, Reason, Role

FALLBACK_REASONS: Final = (
    Reason.NO_PRIMARY,
    Reason.SHUTDOWN_REACHED,
    Reason.DEPRECATED_RAMP,
    Reason.GONE,
    Reason.NO_ACCESS,
    Reason.SUSPECT,
    Reason.CIRCUIT_OPEN,
    Reason.RESTING,
    Reason.COMMANDED,
)
INFO: Final = Gauge(
    "gateway_route_info",
    "1 for each route; base: the model that its primary was trained from, as far as it is known.",
    ("route", "owner", "base"),
)
TARGET_INFO: Final = Gauge("gateway_route_target_info", "A route's targets.", ("route", "role", "provider", "model"))
ACTIVE: Final = Gauge(
    "gateway_route_fallback_active", "1 while a fallback answers for this reason.", ("route", "reason")
)
COMMANDED: Final = Gauge(
    "gateway_route_commanded", "1 while somebody holds the route by hand, against routes.yaml.", ("route",)
)
LIVING: Final = Gauge(
    "gateway_route_living_targets", "Targets that could answer now; 0: every request fails.", ("route",)
)
OBJECTIVE: Final = Gauge(
    "gateway_route_objective",
    "What routes.yaml says that the route owes its callers (slo): a share of 1, or seconds.",
    ("route", "objective"),
)
SUNSET: Final = Gauge(
    "gateway_route_primary_sunset_timestamp_seconds",
    "When the route's primary stops, as all sources together amount to; absent where none knows.",
    ("route", "owner", "provider", "model", "base"),
)
EXERCISED: Final = Gauge(
    "gateway_route_fallback_exercised_timestamp_seconds",
    "When a fallback of the route last answered anything: live, in a rehearsal or in an evaluation; 0: never. "
    "Absent until the ledger was read, and where there is no fallback.",
    ("route",),
)
GAUGES: Final = (INFO, TARGET_INFO, ACTIVE, COMMANDED, LIVING, OBJECTIVE, SUNSET, EXERCISED)


class Gauges(Protocol):
    """What the running gateway knows when it is scraped."""

    @property
    def snapshot(self) -> Snapshot:
        """The current configuration."""

    @property
    def board(self) -> TargetBoard:
        """This replica's view of targets."""

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Requests being answered now, by endpoint."""


class RouteCollector(Collector):
    """Says of every route who answers now, who could, what it owes, and until when its primary is there."""

    def __init__(self, gauges: Gauges, exercised: Exercised) -> None:
        self._gauges = gauges
        self._exercised = exercised

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of this moment."""
        snapshot, board = self._gauges.snapshot, self._gauges.board
        families = {gauge: gauge.family() for gauge in GAUGES}
        for name, prepared in snapshot.prepared.items():
            command = board.command(name)
            held = command is not None and command.target in prepared.targets
            families[COMMANDED].add_metric([name], float(held))
            plan = snapshot.plan(prepared, None, board, None)
            _add_plan(families, name, plan, board)
            _add_targets(families, prepared)
            _add_primary(families, prepared, snapshot)
            _add_objectives(families[OBJECTIVE], prepared)
            last = self._exercised.last(name)
            if prepared.route.fallbacks and (last or self._exercised.is_known):
                families[EXERCISED].add_metric([name], last)
        yield from families.values()


def _add_plan(families: Mapping[Gauge, GaugeMetricFamily], name: str, plan: ReadyPlan, board: TargetBoard) -> None:
    first = plan.steps[0] if plan.steps else None
    reason = first.reason if first is not None and first.prepared.role is Role.FALLBACK else None
    for known in FALLBACK_REASONS:
        families[ACTIVE].add_metric([name, known.value], 1.0 if known is reason else 0.0)
    # A suspect stands in a plan only as the last resort, and nobody counts on it.
    living = sum(board.availability(step.prepared.target) is not Availability.SUSPECT for step in plan.steps)
    families[LIVING].add_metric([name], living)


def _add_targets(families: Mapping[Gauge, GaugeMetricFamily], prepared: PreparedRoute) -> None:
    for target in prepared.route.targets:
        labels = [prepared.route.name, target.role.value, target.provider.name, target.model]
        families[TARGET_INFO].add_metric(labels, 1.0)


def _add_primary(families: Mapping[Gauge, GaugeMetricFamily], prepared: PreparedRoute, snapshot: Snapshot) -> None:
    route, primary = prepared.route, prepared.route.primary
    owner, base = route.owner or "", (snapshot.calendar.base_of(primary) or "") if primary is not None else ""
    families[INFO].add_metric([route.name, owner, base], 1.0)
    if primary is None:
        return
    shutdown = prepared.targets[primary.name].dates.shutdown
    if shutdown is not None:
        labels = [route.name, owner, primary.provider.name, primary.model, base]
        families[SUNSET].add_metric(labels, midnight(shutdown).timestamp())


def _add_objectives(family: GaugeMetricFamily, prepared: PreparedRoute) -> None:
    slo = prepared.route.slo
    family.add_metric([prepared.route.name, "availability"], slo.availability)
    family.add_metric([prepared.route.name, "intended"], slo.intended)
    if slo.first_token_s is not None:
        family.add_metric([prepared.route.name, "first_token_seconds"], slo.first_token_s)
