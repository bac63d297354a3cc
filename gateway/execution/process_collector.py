"""What is known of this process and its ledger, read when Prometheus asks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.execution.endpoints import ENDPOINTS
from gateway.execution.route_collector import Gauges
from gateway.ledger.figures import LedgerFigures
from gateway.metrics import Gauge

_MIB: Final = 1024 * 1024
IN_FLIGHT: Final = Gauge("gateway_requests_in_flight", "Requests being answered now.", ("endpoint",))
READY: Final = Gauge("gateway_ready", "1 while this replica wants traffic, as /readyz says.")
CONFIG: Final = Gauge("gateway_config_info", "1 for the configuration in force.", ("config_hash",))
LOADED: Final = Gauge("gateway_config_loaded_timestamp_seconds", "When the configuration in force was read.")
REFUSED: Final = Gauge(
    "gateway_config_reload_failed", "1 while routes.yaml on the disk was refused, and an earlier one is in force."
)
LAG: Final = Gauge("gateway_event_loop_lag_seconds", "How late the event loop was at worst within the last 15 s.")
JOURNAL_LIMIT: Final = Gauge(
    "gateway_ledger_journal_limit_bytes", "How large the journal may grow while the database is away."
)
QUEUE: Final = Gauge("gateway_ledger_queue", "Rows waiting to be written.")
OLDEST: Final = Gauge("gateway_ledger_oldest_unflushed_seconds", "Age of the oldest waiting row.")
JOURNAL: Final = Gauge(
    "gateway_ledger_journal_bytes",
    "Of the journal on the disk, and of dead processes' until they are taken up.",
)
ENTRIES: Final = Gauge("gateway_ledger_entries_total", "Rows written to the ledger.")
DROPPED: Final = Gauge("gateway_ledger_dropped_total", "Rows lost: the journal could not take them.")
ROWS_REFUSED: Final = Gauge("gateway_ledger_refused_total", "Rows that the database refused; they are kept in a file.")
SYNC_FAILURES: Final = Gauge(
    "gateway_ledger_sync_failures_total", "Times that the journal could not be brought to the disk."
)
LIMITS_SHARED: Final = Gauge(
    "gateway_rate_limits_shared",
    "1 while replicas count requests and tokens per minute together, 0 while each counts by itself; only where "
    "GATEWAY_LIMITS_URL is set.",
)
DAMAGED: Final = Gauge("gateway_ledger_damaged_total", "Stretches of journals that could not be read back.")
GAUGES: Final = (IN_FLIGHT, READY, CONFIG, LOADED, REFUSED, LAG, JOURNAL_LIMIT, QUEUE, OLDEST, JOURNAL, LIMITS_SHARED)
COUNTERS: Final = (ENTRIES, DROPPED, ROWS_REFUSED, SYNC_FAILURES, DAMAGED)


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """Where this process's state is asked for."""

    ledger: Callable[[], LedgerFigures]
    lag_s: Callable[[], float]
    is_ready: Callable[[], bool]
    is_refused: Callable[[], bool]
    """Whether the configuration on the disk was refused."""
    limits_shared: Callable[[], bool | None] = lambda: None
    """Whether replicas count rate limits together; None: nobody asked for that."""


class ProcessCollector(Collector):
    """Says of the process whether it is ready, by which configuration it runs, and how its ledger does."""

    def __init__(self, gauges: Gauges, facts: ProcessFacts) -> None:
        self._gauges = gauges
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges and counts of this moment."""
        snapshot, facts = self._gauges.snapshot, self._facts
        in_flight, config = IN_FLIGHT.family(), CONFIG.family()
        for endpoint in dict.fromkeys(endpoint.name for endpoint in ENDPOINTS):
            in_flight.add_metric([endpoint], self._gauges.in_flight.get(endpoint, 0))
        config.add_metric([snapshot.config_hash], 1.0)
        yield from (in_flight, config)
        yield READY.of(float(facts.is_ready()))
        yield LOADED.of(snapshot.loaded_at.timestamp())
        yield REFUSED.of(float(facts.is_refused()))
        yield LAG.of(facts.lag_s())
        yield JOURNAL_LIMIT.of(snapshot.routes.ledger.journal_mib * _MIB)
        limits_shared = facts.limits_shared()
        if limits_shared is not None:
            yield LIMITS_SHARED.of(float(limits_shared))
        yield from of_ledger(facts.ledger())


def of_ledger(figures: LedgerFigures) -> Iterator[Metric]:
    """Yield what the ledger says of itself."""
    yield QUEUE.of(figures.queued)
    yield OLDEST.of(figures.oldest_age_s)
    yield JOURNAL.of(figures.journal_bytes)
    yield ENTRIES.counted(figures.written)
    yield DROPPED.counted(figures.dropped)
    yield ROWS_REFUSED.counted(figures.refused)
    yield SYNC_FAILURES.counted(figures.sync_failures)
    yield DAMAGED.counted(figures.damaged)
