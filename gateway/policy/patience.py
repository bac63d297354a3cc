"""How long a canary may take before the primary is asked in its place. Pure."""

from collections.abc import Sequence

TIMES = 3.0
"""A canary may be slower than the primary, not of another kind: so many times what nearly all of its answers took."""
PERCENT = 99
FEWEST = 100
"""Of fewer answers nobody can say what 99 of 100 took."""
FLOOR_S = 10.0
"""What callers who wait for models bear anyway: beside a primary that answers at once, a canary may think."""


def canary_limit_s(bounds_s: Sequence[float], counts: Sequence[int], *, at_most_s: float) -> float:
    """Return after how many seconds without what is waited for a canary counts as failed.

    Args:
        bounds_s: The upper bounds of the buckets in which the primary's answers were counted, rising.
        counts: How many fell into each; the last of them, one more than bounds, above every bound.
        at_most_s: What holds for anybody: the route's own limit.
    """
    total = sum(counts)
    if total < FEWEST:
        return at_most_s
    seen = 0
    for bound_s, count in zip(bounds_s, counts, strict=False):
        seen += count
        if 100 * seen >= PERCENT * total:
            return min(at_most_s, max(FLOOR_S, TIMES * bound_s))
    return at_most_s
