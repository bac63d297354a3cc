"""What Prometheus is told of promotions."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.execution.prepared import Snapshot
from gateway.learning.canary_watch import CanaryWatch
from gateway.metrics import Gauge
from gateway.policy.promotion import PromotionState

SHARE: Final = Gauge(
    "gateway_canary_share",
    "The share of a route's conversations that a canary answers; absent without one.",
    ("route",),
)
DIFFERENCE: Final = Gauge(
    "gateway_canary_difference",
    "Canary minus incumbent since the share is what it is, from -1 to 1: of answers that came and kept the contract, "
    "of marks by people; its mean and the bounds that hold at all times. Only on the replica that watches.",
    ("route", "measure", "bound"),
)
EXPIRES: Final = Gauge(
    "gateway_promotion_expires_timestamp_seconds",
    "Until when a version answers in place of the primary that routes.yaml names; absent where none does.",
    ("route",),
)
GAUGES: Final = (SHARE, DIFFERENCE, EXPIRES)


class CanaryCollector(Collector):
    """Says of every route with a promotion how far that goes."""

    def __init__(self, snapshot: Callable[[], Snapshot], watch: CanaryWatch) -> None:
        self._snapshot, self._watch = snapshot, watch

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of this moment."""
        snapshot = self._snapshot()
        share, difference, expires = (gauge.family() for gauge in GAUGES)
        for name, route in snapshot.routes.routes.items():
            if route.canary is not None:
                share.add_metric([name], route.canary.share)
            promotion = snapshot.promoted.active.get(name)
            if promotion is None or promotion.state is not PromotionState.SERVING:
                continue
            primary = route.primary
            if primary is not None and (primary.provider.name, primary.model) == (promotion.provider, promotion.model):
                expires.add_metric([name], promotion.expires_at.timestamp())
        for name, found in self._watch.latest.items():
            for measure, decision in (("answers", found.answers), ("marks", found.marks)):
                if decision.rows:
                    for bound in ("low", "mean", "high"):
                        difference.add_metric([name, measure, bound], getattr(decision, bound))
        yield from (share, difference, expires)
