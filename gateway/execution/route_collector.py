"""Metrics that are read off the board when Prometheus asks, instead of being kept up to date by every request."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.execution.endpoints import ENDPOINTS
from gateway.execution.prepared import Snapshot
from gateway.execution.target_board import TargetBoard
from gateway.ledger.figures import LedgerFigures
from gateway.policy.lifecycle import midnight
from gateway.reasons import Availability, Reason, Role

AVAILABILITY = {Availability.AVAILABLE: 1.0, Availability.UNKNOWN: 1.0}
"""What has not been seen to be absent counts as there; a suspect does not."""
FALLBACK_REASONS = (
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
    """Says of every route who answers now, and of every target whether it is there and until when."""

    def __init__(self, gauges: Gauges, ledger: Callable[[], LedgerFigures]) -> None:
        self._gauges = gauges
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of this moment."""
        yield from self._routes()
        yield from self._targets()
        in_flight = GaugeMetricFamily("gateway_requests_in_flight", "Requests being answered now.", labels=["endpoint"])
        for endpoint in dict.fromkeys(endpoint.name for endpoint in ENDPOINTS):
            in_flight.add_metric([endpoint], self._gauges.in_flight.get(endpoint, 0))
        yield in_flight
        yield from _of_ledger(self._ledger())

    def _routes(self) -> Iterator[Metric]:
        snapshot, board = self._gauges.snapshot, self._gauges.board
        active = GaugeMetricFamily(
            "gateway_route_fallback_active", "1 while a fallback answers for this reason.", labels=["route", "reason"]
        )
        info = GaugeMetricFamily(
            "gateway_route_target_info", "A route's targets.", labels=["route", "role", "provider", "model"]
        )
        commanded = GaugeMetricFamily(
            "gateway_route_commanded",
            "1 while somebody holds the route by hand, against routes.yaml.",
            labels=["route"],
        )
        for name, prepared in snapshot.prepared.items():
            command = board.command(name)
            commanded.add_metric([name], float(command is not None and command.target in prepared.targets))
            plan = snapshot.plan(prepared, None, board, None)
            first = plan.steps[0] if plan.steps else None
            reason = first.reason if first is not None and first.prepared.role is Role.FALLBACK else None
            for known in FALLBACK_REASONS:
                active.add_metric([name, known.value], 1.0 if known is reason else 0.0)
            for target in prepared.route.targets:
                info.add_metric([name, target.role.value, target.provider.name, target.model], 1.0)
        yield active
        yield info
        yield commanded

    def _targets(self) -> Iterator[Metric]:
        snapshot, board = self._gauges.snapshot, self._gauges.board
        labels = ["provider", "model"]
        available = GaugeMetricFamily("gateway_model_available", "0 while a model is suspect or gone.", labels=labels)
        circuit = GaugeMetricFamily("gateway_circuit_state", "1 for the state it is in.", labels=[*labels, "state"])
        sunset = GaugeMetricFamily(
            "gateway_model_sunset_timestamp_seconds",
            "When a model stops, as this source says.",
            labels=[*labels, "source"],
        )
        targets = {t.key: t for prepared in snapshot.prepared.values() for t in prepared.targets.values()}
        for key, prepared_target in targets.items():
            seen = board.observe(prepared_target.target)
            available.add_metric(key, AVAILABILITY.get(seen.availability, 0.0))
            for state, holds in (("closed", not seen.circuit_open), ("open", seen.circuit_open)):
                circuit.add_metric([*key, state], float(holds))
            dates = prepared_target.dates
            # One series a source: where they disagree, all of them are shown. The earliest of one source counts.
            by_source: dict[str, float] = {}
            for said in (dates, *dates.disputed_by):
                if said.shutdown is not None and said.origin is not None:
                    at = midnight(said.shutdown).timestamp()
                    by_source[said.origin.value] = min(at, by_source.get(said.origin.value, at))
            for source, at in by_source.items():
                sunset.add_metric([*key, source], at)
        yield available
        yield circuit
        yield sunset


def _of_ledger(figures: LedgerFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily("gateway_ledger_queue", "Rows waiting to be written.", value=figures.queued)
    yield GaugeMetricFamily(
        "gateway_ledger_oldest_unflushed_seconds", "Age of the oldest waiting row.", value=figures.oldest_age_s
    )
    yield GaugeMetricFamily(
        "gateway_ledger_journal_bytes",
        "Of the journal on the disk, and of dead processes' until they are taken up.",
        value=figures.journal_bytes,
    )
    for name, what, count in (
        ("entries", "Rows written to the ledger.", figures.written),
        ("dropped", "Rows lost: the journal could not take them.", figures.dropped),
        ("refused", "Rows that the database refused; they are kept in a file.", figures.refused),
        ("sync_failures", "Times that the journal could not be brought to the disk.", figures.sync_failures),
        ("damaged", "Stretches of journals that could not be read back.", figures.damaged),
    ):
        yield CounterMetricFamily(f"gateway_ledger_{name}", what, value=count)
