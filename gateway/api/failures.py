"""Who has shown wrong keys of late: by address, in bounded memory."""

from collections import deque
from typing import Final

WINDOW_S: Final = 60.0
MOST_PEERS: Final = 1_000
"""Whose failures are remembered: those that failed last."""


class Failures:
    """Counts an address's failures of the last minute. Others' never count, or any stranger could keep people out."""

    def __init__(self, most_a_minute: int) -> None:
        self._most = most_a_minute
        self._failed_at: dict[str, deque[float]] = {}
        """By address, the one that failed last at the end."""

    def __len__(self) -> int:
        return len(self._failed_at)

    @property
    def remembered(self) -> int:
        """How many failures are remembered, of all addresses."""
        return sum(map(len, self._failed_at.values()))

    def are_too_many(self, peer: str, monotonic: float) -> bool:
        """Tell whether an address has failed so often within a minute that its next failure is one too many."""
        return self.over_in_s(peer, monotonic) > 0

    def over_in_s(self, peer: str, monotonic: float) -> float:
        """Return in how many seconds it may fail again; 0: now."""
        failed_at = self._failed_at.get(peer)
        if failed_at is None or len(failed_at) < self._most:
            return 0.0
        return max(0.0, WINDOW_S - (monotonic - failed_at[0]))

    def add(self, peer: str, monotonic: float) -> None:
        """Remember that an address failed."""
        failed_at = self._failed_at.pop(peer, None) or deque(maxlen=self._most)
        failed_at.append(monotonic)
        self._failed_at[peer] = failed_at
        if len(self._failed_at) > MOST_PEERS:
            del self._failed_at[next(iter(self._failed_at))]
