"""Distributions as counts by bucket: small, added in any order, and true to two per cent.

A bucket holds the values from one power of ``GAMMA`` to the next, and is read as the value in its middle, so that no
quantile is further from the exact one than two per cent of it (DDSketch: Masson, Rim and Lee, VLDB 2019).
"""

from collections.abc import Mapping
from math import ceil, inf, log
from typing import Final

Sketch = dict[int, int]
"""How many values each bucket holds; buckets that hold none are left out."""

GAMMA: Final = 1.04
ZERO: Final = -(10**6)
"""The bucket of 0, of whatever is below it and of what is no number: lower than any other."""

_PER_LOG: Final = 1 / log(GAMMA)
# The value of a bucket that is equally far, relative to both, from its two ends.
_MIDDLE: Final = 2 / (1 + GAMMA)


def bucket_of(value: float) -> int:
    """Return the bucket that holds a value."""
    return ceil(log(value) * _PER_LOG) if 0 < value < inf else ZERO


def value_of(bucket: int) -> float:
    """Return the value that stands for all of a bucket; 0 for ``ZERO``."""
    return 0.0 if bucket == ZERO else GAMMA**bucket * _MIDDLE


def add(sketch: Sketch, value: float, count: int = 1) -> None:
    """Count a value in the sketch, which is changed."""
    bucket = bucket_of(value)
    sketch[bucket] = sketch.get(bucket, 0) + count


def merged(*sketches: Mapping[int, int]) -> Sketch:
    """Return a new sketch of all that these hold."""
    total: Sketch = {}
    for sketch in sketches:
        for bucket, count in sketch.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def quantile(sketch: Mapping[int, int], q: float) -> float | None:
    """Return the value that a share ``q`` (0 to 1) of all values do not exceed, to two per cent; None: no values.

    Of n values in order it is the one at ``ceil(q * n)``, counted from 1.
    """
    total = sum(sketch.values())
    if total <= 0:
        return None
    rank = max(1, ceil(q * total))
    seen = 0
    for bucket in sorted(sketch):
        seen += sketch[bucket]
        if seen >= rank:
            break
    return value_of(bucket)


def to_json(sketch: Mapping[int, int]) -> dict[str, int]:
    """Return the sketch as a JSON object, its keys in order: equal sketches are equal text."""
    return {str(bucket): sketch[bucket] for bucket in sorted(sketch)}


def add_to_json(obj: dict[str, int], sketch: Mapping[int, int]) -> None:
    """Add the sketch to what ``to_json`` made of another, which is changed: what costs least where it is large."""
    for bucket, count in sketch.items():
        name = str(bucket)
        obj[name] = obj.get(name, 0) + count


def from_json(obj: Mapping[str, int]) -> Sketch:
    """Return the sketch that ``to_json`` made."""
    return {int(bucket): count for bucket, count in obj.items()}
