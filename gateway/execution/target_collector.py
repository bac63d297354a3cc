"""What is known of targets, whichever routes they serve, read off the board when Prometheus asks."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.execution.route_collector import Gauges
from gateway.metrics import Gauge
from gateway.policy.lifecycle import Dates, midnight
from gateway.reasons import Availability

_VALUE: Final = {Availability.AVAILABLE: 1.0, Availability.UNKNOWN: 1.0}
"""What has not been seen to be absent counts as there; a suspect does not."""
AVAILABLE: Final = Gauge(
    "gateway_model_available", "0 while a model is suspect, gone or closed to us.", ("provider", "model")
)
CIRCUIT: Final = Gauge("gateway_circuit_state", "1 for the state it is in.", ("provider", "model", "state"))
SUNSET: Final = Gauge(
    "gateway_model_sunset_timestamp_seconds",
    "When a model stops, as this source says.",
    ("provider", "model", "source"),
)
GAUGES: Final = (AVAILABLE, CIRCUIT, SUNSET)


class TargetCollector(Collector):
    """Says of every target whether it is there, whether it is healthy, and until when it will be there."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of this moment; routes that share a target have one series of it."""
        available, circuit, sunset = (gauge.family() for gauge in GAUGES)
        prepared = self._gauges.snapshot.prepared.values()
        targets = {target.key: target for route in prepared for target in route.targets.values()}
        for key, target in targets.items():
            seen = self._gauges.board.observe(target.target)
            available.add_metric(key, _VALUE.get(seen.availability, 0.0))
            for state, holds in (("closed", not seen.circuit_open), ("open", seen.circuit_open)):
                circuit.add_metric([*key, state], float(holds))
            for source, at in _by_source(target.dates).items():
                sunset.add_metric([*key, source], at)
        yield from (available, circuit, sunset)


def _by_source(dates: Dates) -> dict[str, float]:
    """Return one instant a source: where they disagree, all are shown. The earliest of one source counts."""
    found: dict[str, float] = {}
    for said in (dates, *dates.disputed_by):
        if said.shutdown is not None and said.origin is not None:
            at = midnight(said.shutdown).timestamp()
            found[said.origin.value] = min(at, found.get(said.origin.value, at))
    return found
