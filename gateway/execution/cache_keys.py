"""The ``prompt_cache_key`` that sends requests with the same prefix to the same cache of their provider."""

from hashlib import blake2s
from typing import Final

from gateway.clock import Clock

REQUESTS_PER_KEY: Final = 15
"""A minute; beyond about so many one key is reported to overflow to other machines, each of which starts cold."""
_MINUTE_S: Final = 60.0


class CacheKeys:
    """Keys of one prompt: the first for a quiet route, one more for every fifteen requests of a minute.

    Counted anew each minute, so that a route uses as few caches as its traffic fills, and always the same ones. A
    tenant has caches of its own: where two have the same prompt, neither shall tell by its cached tokens what the other
    one asks.
    """

    def __init__(self, prompt_version: str, clock: Clock, tenant: str | None = None) -> None:
        whose = f"-{blake2s(tenant.encode(), digest_size=4).hexdigest()}" if tenant is not None else ""
        self._prefix = f"understudy-{prompt_version}{whose}"
        self._clock = clock
        self._minute = -1.0
        self._requests = 0

    def next(self) -> str:
        """Return the key for one more request."""
        minute = self._clock.monotonic() // _MINUTE_S
        if minute != self._minute:
            self._minute, self._requests = minute, 0
        shard = self._requests // REQUESTS_PER_KEY
        self._requests += 1
        return f"{self._prefix}-{shard}"
