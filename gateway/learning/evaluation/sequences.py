"""Look again and again, and still err at most once in twenty: a confidence sequence by betting. Pure.

A gambler bets, row by row, that the mean difference is above some value; if it is not, the bets are fair or worse, and
her capital ever reaches 1/α with probability at most α (Ville, 1939), whatever the differences' distribution on [−1, 1]
and however often somebody looks. Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by
betting", J. R. Stat. Soc. B 86 (2024). Rows count in the order in which they arrived;
sorting them afterwards breaks the promise.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

ALPHA = 0.05
"""The error of each side."""
BOLDNESS = 0.8
"""The share of the bet that would grow fastest if the true difference were 0. Less than all of it costs next to nothing
then, and decides far sooner where the fallback is a little worse, or the variance was underestimated."""
LARGEST_STAKE = 0.9
"""Of the capital, so that no row ruins the gambler."""


class Crossings(NamedTuple):
    """After how many rows each hypothesis was refuted; None: not yet."""

    accepted: int | None
    rejected: int | None


def crossings(differences: Sequence[float], margin: float, alpha: float = ALPHA) -> Crossings:
    """Say when the capital against "mean ≤ −margin", and against "mean ≥ −margin", first reached 1/α.

    Args:
        differences: fallback − ceiling by row, each in [−1, 1], in order of arrival.
        margin: how much worse is still good enough.
        alpha: the probability of ever refuting a hypothesis that is true.
    """
    stakes = _stakes(differences, margin, alpha)
    mirrored = [-difference for difference in differences]
    return Crossings(
        accepted=_crossing(differences, -margin, stakes, alpha), rejected=_crossing(mirrored, margin, stakes, alpha)
    )


def sequence_interval(differences: Sequence[float], margin: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Give the bounds of the mean that hold at all times at once, each with error α.

    They are sharpest where it matters, around ``margin`` away from the mean. By bisection: the capital falls as the
    hypothetical mean rises.
    """
    stakes = _stakes(differences, margin, alpha)
    low = _lower_bound(differences, stakes, alpha)
    high = -_lower_bound([-difference for difference in differences], stakes, alpha)
    return low, max(low, high)


def _stakes(differences: Sequence[float], margin: float, alpha: float) -> list[float]:
    """Give the bet of each row, from the rows before it alone: that is what keeps the capital fair.

    The variance is all that has to be learnt, for the difference worth betting on is known: the margin. Against the
    plug-in of the paper (which must learn the mean's distance, too) this needs half the rows. From where on it
    would be bolder than the paper's bet for an interval of as many rows as were seen, it follows that one, so that the
    interval narrows for ever.
    """
    stakes = []
    mean, spread = 0.0, 1.0  # begun with one row of the greatest variance there is
    for seen, difference in enumerate(differences, start=1):
        variance = spread / seen
        decisive = BOLDNESS * margin / (variance + margin * margin)
        narrowing = math.sqrt(2 * math.log(1 / alpha) / (variance * seen))
        stakes.append(min(decisive, narrowing))
        mean += (difference - mean) / (seen + 1)
        spread += (difference - mean) ** 2
    return stakes


def _crossing(differences: Sequence[float], mean: float, stakes: Sequence[float], alpha: float) -> int | None:
    """Say after how many rows the capital against "the true mean is at most ``mean``" first reached 1/α."""
    largest = LARGEST_STAKE / (1 + mean) if mean > -1 else math.inf  # the worst row loses 1 + mean of each unit staked
    target = 1 / alpha
    capital = 1.0
    for row, (difference, stake) in enumerate(zip(differences, stakes, strict=True), start=1):
        capital *= 1 + (stake if stake < largest else largest) * (difference - mean)
        if capital >= target:
            return row
    return None


def _lower_bound(differences: Sequence[float], stakes: Sequence[float], alpha: float) -> float:
    refuted, open_ = -1.0, 1.0
    while open_ - refuted > 1e-5:
        middle = (refuted + open_) / 2
        if _crossing(differences, middle, stakes, alpha) is None:
            open_ = middle
        else:
            refuted = middle
    return refuted
