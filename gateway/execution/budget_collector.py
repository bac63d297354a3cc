"""How many requests this replica holds money for, read when Prometheus asks."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.execution.budgets import DatabaseBudgets
from gateway.metrics import Gauge

HOLDS: Final = Gauge(
    "gateway_budget_holds",
    "Requests for which this replica has set money aside, those included that wait to be settled.",
)
GAUGES: Final = (HOLDS,)


class BudgetCollector(Collector):
    """Says of the budgets what is held."""

    def __init__(self, budgets: DatabaseBudgets) -> None:
        self._budgets = budgets

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge of this moment."""
        yield HOLDS.of(self._budgets.holds)
