"""How many keys there are, and how fresh what is known of them is: read when Prometheus asks. No key has a series."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.clock import Clock
from gateway.execution.key_keeper import KeyKeeper
from gateway.metrics import Gauge
from gateway.policy.key_states import KeyState, state_of

STATE: Final = Gauge(
    "gateway_keys",
    "Keys of the database and of routes.yaml, by how they stand; expiring ones end within a week.",
    ("state",),
)
KNOWN: Final = Gauge(
    "gateway_keys_known_timestamp_seconds",
    "When the database last said which keys there are; 0: not since the start. Absent without a pepper.",
)
GAUGES: Final = (STATE, KNOWN)


class KeyCollector(Collector):
    """Counts the keys that a replica knows."""

    def __init__(self, keeper: KeyKeeper, clock: Clock) -> None:
        self._keeper, self._clock = keeper, clock

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of this moment; nothing where keys need no pepper, since there are none."""
        keeper = self._keeper
        if not keeper.ring.is_keyed:
            return
        now = self._clock.now()
        counts = Counter(state_of(end, None, now) for end in keeper.ends)
        counts[KeyState.REVOKED] = keeper.revoked
        keys = STATE.family()
        for state in KeyState:
            keys.add_metric([state], counts[state])
        yield keys
        yield KNOWN.of(keeper.read_at.timestamp() if keeper.read_at is not None else 0.0)
