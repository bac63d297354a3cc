"""Bounds of a bounded mean that hold at any number of rows and for any distribution: Gaffke's. Pure.

A normal or bootstrap interval of ten clean rows is a point, and claims that nothing can go wrong. Gaffke's bound never
forgets the worst that could happen: one more row of the worst possible value is added, and the rows are weighted
uniformly on the simplex; the α-quantile of the weighted sum is the bound. For rows of two values, one of them the
worst, it is Clopper & Pearson's exact bound: k clean rows prove a failure rate below 1 − α^(1/k).

Sources: N. Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative
variable" (2005); Learned-Miller & Thomas, "A new confidence interval for the mean of a bounded random variable" (2020);
Phan, Thomas & Learned-Miller, "Towards practical mean bounds for small samples" (2021). That it
holds for every distribution is conjectured, not proved; no simulation, theirs or ours, contradicts it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

GRID = 1000
"""Values are rounded to thousandths, toward the worst: honest, and at most 2,001 groups of equal rows."""

_NORMAL = NormalDist()
_STEP = 0.1  # of the integral, in the logarithm of its variable

Groups = Sequence[tuple[float, int]]
"""Values, each with the number of rows that have it."""


def lower_bound(values: Sequence[float], worst: float, alpha: float) -> float:
    """Give the value that the true mean exceeds with confidence 1 − α.

    Args:
        values: one per row, none below ``worst``.
        worst: the least value that a row could have had.
        alpha: the error of this one side.
    """
    if not values:
        return worst
    counts = Counter(math.floor((value - worst) * GRID + 1e-6) for value in values)
    least, most = min(counts), max(counts)
    if least == most:
        return worst + most / GRID * math.exp(math.log(alpha) / len(values))
    groups = [(steps / GRID, count) for steps, count in (counts + Counter({0: 1})).items()]
    return worst + _quantile(groups, alpha)


def upper_bound(values: Sequence[float], worst: float, alpha: float) -> float:
    """Give the value that the true mean stays below with confidence 1 − α; ``worst`` is the greatest possible value."""
    return -lower_bound([-value for value in values], -worst, alpha)


def _quantile(groups: Groups, alpha: float) -> float:
    """Solve P(Σ W z ≤ q) = α for q: a secant on the normal scale, where the curve is nearly straight, in a bracket."""
    rows = sum(count for _, count in groups)
    mean = sum(value * count for value, count in groups) / rows
    deviation = math.sqrt(sum(count * (value - mean) ** 2 for value, count in groups) / (rows * (rows + 1)))
    low, high = min(value for value, _ in groups), max(value for value, _ in groups)
    aim = _NORMAL.inv_cdf(alpha)
    guess, slope = mean + aim * deviation, 1 / deviation
    before: tuple[float, float] | None = None
    while high - low > 1e-6:
        guess = guess if low < guess < high else (low + high) / 2
        error = _NORMAL.inv_cdf(min(max(probability_below(groups, guess), 1e-9), 1 - 1e-9)) - aim
        if abs(error) < 1e-5:
            break
        low, high = (guess, high) if error < 0 else (low, guess)
        if before is not None and error != before[1]:
            slope = (error - before[1]) / (guess - before[0])
        before = guess, error
        guess -= error / slope
    return guess


def probability_below(groups: Groups, at: float) -> float:
    """Give P(Σ W z ≤ at), with W uniform on the simplex of as many parts as there are rows.

    W is a vector of exponential variates over their sum, so this is P(Σ E (z − at) ≤ 0): a weighted sum of gamma
    variates, whose characteristic function is inverted by one integral (Imhof, "Computing the distribution of
    quadratic forms in normal variables", Biometrika 48, 1961). To 1e-5, and the same every time, where
    sampling would err by 0.003.
    """
    distances = [(value - at, count) for value, count in groups]
    scale = math.sqrt(sum(count * distance * distance for distance, count in distances))
    if not scale:
        return 1.0
    terms = [(distance / scale, count) for distance, count in distances]
    centre = sum(term * count for term, count in terms)
    if abs(centre) > 8:  # in standard deviations; the density is log-concave, so that less than 0.001 lies beyond
        return 0.0 if centre > 0 else 1.0
    logarithm = -6.0
    integral = centre * math.exp(logarithm) * _STEP / math.expm1(_STEP)  # of all steps before: a straight line's sum
    while True:
        at_point = math.exp(logarithm)
        angle = damping = 0.0
        for term, count in terms:
            product = term * at_point
            angle += count * math.atan(product)
            damping += count * math.log1p(product * product)
        integral += _STEP * math.sin(angle) * math.exp(-damping / 2)
        if damping > 40:
            return 0.5 - integral / math.pi
        logarithm += _STEP
