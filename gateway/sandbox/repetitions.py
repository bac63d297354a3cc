"""How often the same was asked: a model that is asked again finds other words."""

from hashlib import blake2b

KEPT_PROMPTS = 100_000
"""Older ones are forgotten, and then asked for the first time again."""


class Repetitions:
    """Counts prompts by a digest of them."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}

    def next(self, prompt: bytes) -> int:
        """Return how often this was asked before."""
        digest = blake2b(prompt, digest_size=16).digest()
        count = self._counts.pop(digest, 0)
        if len(self._counts) >= KEPT_PROMPTS:
            del self._counts[next(iter(self._counts))]
        self._counts[digest] = count + 1
        return count
