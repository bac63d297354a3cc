"""Is a fallback good enough to replace the primary? Paired non-inferiority with three answers. Pure.

Each row is answered by both, so that its difficulty cancels: what counts is the difference fallback − ceiling, where
the ceiling is the primary against its own second sample. The fallback is accepted where the mean difference is shown to
be above −margin, rejected where it is shown to be below, each with an error of at most 5 %. "Not enough evidence" is
an answer: fifty rows certify nothing. One look uses Gaffke's bound (``bounds``); many looks need a confidence sequence
(``sequences``), since a 95 % interval looked at again and again accepts what it should not in 15 to 30 % of cases.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from gateway.learning.evaluation.bounds import lower_bound, upper_bound
from gateway.learning.evaluation.sequences import ALPHA, crossings, sequence_interval

MARGIN: Final = 0.05
RESAMPLES: Final = 2000
LEAST_RETAINED: Final = 10
"""Rows below which no share of retained quality is told."""

_SEED: Final = 20270114
_NORMAL_95: Final = 1.6449
_NORMAL_80: Final = 0.8416
_SEQUENCE_COSTS: Final = 1.4
_SEQUENCE_LEARNS: Final = 3.5
"""The confidence sequence's rows for 80 % power, fitted to simulation: 1.4 times those of one look, and 3.5/δ more."""
_SEQUENCE_COSTS_ALIKE: Final = 1.3
"""The same where all rows are alike."""
_NEVER: Final = 1_000_000

Looks = Literal["once", "many"]


class Verdict(StrEnum):
    """What the rows say of a fallback."""

    ACCEPT = "accept"
    REJECT = "reject"
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and what it rests on."""

    verdict: Verdict
    rows: int
    mean: float
    """Of fallback − ceiling; 0 where there are no rows."""
    low: float
    high: float
    """Bounds of the true mean, each with an error of 5 %; with many looks they hold at all times at once."""
    margin: float
    looks: Looks
    rows_needed: int | None
    """About how many rows, in all, would decide with 80 % power. None: no number would."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its two-sided 95 % interval."""

    estimate: float
    low: float
    high: float


def decide(
    differences: Sequence[float], margin: float = MARGIN, *, looks: Looks = "once", alpha: float = ALPHA
) -> Decision:
    """Judge whether the fallback is at most ``margin`` worse than the ceiling.

    With many looks a verdict stays once it is reached, whatever the rows after it say: that is what the error is
    bounded for, and what allows to stop. Where both hypotheses were refuted on the way, the first counts.

    Args:
        differences: fallback − ceiling by row, each in [−1, 1]; with many looks all of them, in order of arrival.
        margin: greater than 0, at most 1.
        looks: ``once`` for a number of rows that was fixed beforehand, ``many`` where somebody looks as rows arrive.
        alpha: the error of each side; ``rows_needed`` takes it to be the usual one.

    Raises:
        ValueError: for a margin or a difference beyond these bounds.
    """
    if not 0 < margin <= 1:
        raise ValueError("the margin must be above 0 and at most 1")
    if not all(-1 <= difference <= 1 for difference in differences):
        raise ValueError("a difference must lie between −1 and 1")
    if looks == "many":
        low, high = sequence_interval(differences, margin, alpha)
        verdict = _first(*crossings(differences, margin, alpha))
    else:
        low, high = lower_bound(differences, -1, alpha), upper_bound(differences, 1, alpha)
        verdict = Verdict.NOT_ENOUGH_EVIDENCE
        if low > -margin:
            verdict = Verdict.ACCEPT
        elif high < -margin:
            verdict = Verdict.REJECT
    mean = math.fsum(differences) / max(1, len(differences))
    needed = _rows_needed(differences, mean, low <= 0 <= high, margin, looks)
    return Decision(verdict, len(differences), mean, low, high, margin, looks, needed)


def rows_for_power(variance: float, margin: float = MARGIN, *, looks: Looks = "once") -> int:
    """Say how many paired rows decide in four of five cases, if the true difference is ``margin`` away from the limit.

    (z₉₅ + z₈₀)² σ²/δ², the textbook's: 248 at a variance of 0.1 and a margin of 0.05, 742 at 0.3. Gaffke's bound,
    which holds without normality, has a power of 74 % with the former and 77 % with the latter; about 2/δ rows more
    make up for it, and ``Decision.rows_needed`` has them in. Many looks: 417 and 1,109.
    """
    rows = ((_NORMAL_95 + _NORMAL_80) / margin) ** 2 * variance
    return math.ceil(rows * _SEQUENCE_COSTS + _SEQUENCE_LEARNS / margin if looks == "many" else rows)


def retained(
    fallback: Sequence[float],
    floor: Sequence[float],
    ceiling: Sequence[float],
    difference: tuple[float, float] | None = None,
) -> Interval | None:
    """Give the share of what the fine-tune adds that the fallback keeps: (fallback − floor)/(ceiling − floor).

    Of means, on the same rows. The interval is the percentile bootstrap's, over rows: a resampled row brings all three
    of its scores along. It sees no spread in rows that are all alike, so it is widened to 1 + difference/(ceiling −
    floor), where ``difference`` are the bounds of the mean of fallback − ceiling. The share can be above 1 and below 0.

    Returns:
        None below ten rows, and where ceiling − floor is not shown to be above 0 (its own 95 % interval touches 0): if
        the fine-tune adds nothing that these rows can see, there is nothing to retain, and the ratio means nothing.
    """
    pairs = [
        complex(row_fallback - row_floor, row_ceiling - row_floor)
        for row_fallback, row_floor, row_ceiling in zip(fallback, floor, ceiling, strict=True)
    ]
    sums = _resampled(pairs)
    if len(pairs) < LEAST_RETAINED or _percentiles([total.imag for total in sums])[0] <= 0:
        return None
    whole = sum(pairs)
    low, high = _percentiles([total.real / total.imag for total in sums if total.imag > 0])
    if difference is not None:
        least, most = (1 + bound * len(pairs) / whole.imag for bound in difference)
        low, high = min(low, least), max(high, most)
    return Interval(whole.real / whole.imag, low, high)


def paired_change(before: Sequence[float], after: Sequence[float]) -> Interval | None:
    """Give the relative change of the mean, −0.38 for "38 % less", from pairs of positive figures: cost, time.

    Returns:
        None where there is nothing to compare with: no rows, or a mean of 0 before.
    """
    pairs = [complex(row_after, row_before) for row_before, row_after in zip(before, after, strict=True)]
    whole = sum(pairs)
    sums = [total for total in _resampled(pairs) if total.imag > 0]
    if not sums or whole.imag <= 0:
        return None
    return Interval(whole.real / whole.imag - 1, *_percentiles([total.real / total.imag - 1 for total in sums]))


def mean_interval(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> Interval | None:
    """Give the mean of values between ``low`` and ``high``, with Gaffke's bound on either side; None without values."""
    if not values:
        return None
    width = high - low
    scaled = [(value - low) / width for value in values]
    return Interval(
        math.fsum(values) / len(values),
        low + width * lower_bound(scaled, 0, ALPHA / 2),
        low + width * upper_bound(scaled, 1, ALPHA / 2),
    )


def _first(accepted: int | None, rejected: int | None) -> Verdict:
    if accepted is not None and (rejected is None or accepted < rejected):
        return Verdict.ACCEPT
    return Verdict.NOT_ENOUGH_EVIDENCE if rejected is None else Verdict.REJECT


def _rows_needed(
    differences: Sequence[float], mean: float, may_be_equal: bool, margin: float, looks: Looks
) -> int | None:
    """Plan with a true difference of 0 while that is possible, few rows saying little of the mean; then with the mean.

    To the textbook's rows come those that pay for the one worst row that Gaffke's bound adds. Never fewer than would do
    if all rows were alike (59 at a margin of 0.05), since few rows hide the rare failures.
    """
    assumed = 0.0 if may_be_equal else mean
    distance = abs(assumed + margin)
    room = 1 + assumed if assumed > -margin else 1 - assumed  # to the worst value that a row could still bring
    variance = math.fsum((difference - mean) ** 2 for difference in differences) / max(1, len(differences) - 1)
    if distance**2 * _NEVER < variance or distance * _NEVER < room:
        return None
    alike = 1 if distance >= room else math.ceil(math.log(ALPHA) / math.log1p(-distance / room))
    if looks == "many":
        return max(rows_for_power(variance, distance, looks=looks), math.ceil(alike * _SEQUENCE_COSTS_ALIKE))
    return max(rows_for_power(variance, distance) + math.ceil(2 * room / distance), alike)


def _resampled(pairs: Sequence[complex]) -> list[complex]:
    """Sum each of the bootstrap's resamples. A row's two figures travel as one complex number, added at once."""
    generator = random.Random(_SEED)
    return [sum(generator.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES)] if pairs else []


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    """Give the 2.5th and the 97.5th."""
    ordered = sorted(values)
    outside = int(0.025 * len(ordered))
    return ordered[outside], ordered[-1 - outside]
