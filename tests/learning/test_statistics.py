"""Statistics against simulation: the errors that are promised are the errors that happen."""

import math
import random
from collections.abc import Callable
from functools import cache

import pytest

from gateway.learning.evaluation.bounds import lower_bound, probability_below, upper_bound
from gateway.learning.evaluation.statistics import (
    Interval,
    Verdict,
    decide,
    mean_interval,
    paired_change,
    retained,
    rows_for_power,
)

MARGIN = 0.05
Draw = Callable[[random.Random], float]


def ternary(discordance: float, difference: float) -> Draw:
    """Rows that are right or wrong: the two differ in a share of them; the variance is about that share."""
    better, worse = (discordance + difference) / 2, (discordance - difference) / 2
    return lambda generator: 1.0 if (place := generator.random()) < better else -1.0 if place < better + worse else 0.0


def continuous(variance: float, difference: float) -> Draw:
    width = math.sqrt(12 * variance)
    return lambda generator: difference + width * (generator.random() - 0.5)


@cache
def accepts(differences: tuple[float, ...]) -> bool:
    return decide(differences, MARGIN).verdict is Verdict.ACCEPT


def accepted(draw: Draw, rows: int, trials: int, seed: int) -> float:
    """Give the share of trials in which one look at ``rows`` rows accepts."""
    generator = random.Random(seed)
    return sum(accepts(tuple(sorted(draw(generator) for _ in range(rows)))) for _ in range(trials)) / trials


def at_most(rate: float, trials: int) -> float:
    """Give what a true rate stays below in 99.9 % of simulations of so many trials."""
    return rate + 3.09 * math.sqrt(rate * (1 - rate) / trials)


@pytest.mark.rig
@pytest.mark.parametrize(
    ("draw", "rows", "trials"),
    [
        pytest.param(ternary(0.05, -MARGIN), 50, 2000, id="50 rows, the fallback only ever loses"),
        pytest.param(ternary(0.06, -MARGIN), 50, 2000, id="50 rows, 6 % discordant"),
        pytest.param(ternary(0.3, -MARGIN), 50, 2000, id="50 rows, 30 % discordant"),
        pytest.param(ternary(0.05, -MARGIN), 300, 1500, id="300 rows, the fallback only ever loses"),
        pytest.param(ternary(0.1, -MARGIN), 300, 1500, id="300 rows, 10 % discordant"),
        pytest.param(ternary(0.5, -MARGIN), 300, 1500, id="300 rows, 50 % discordant"),
        pytest.param(continuous(0.1, -MARGIN), 50, 300, id="50 rows of similarities"),
        pytest.param(continuous(0.1, -MARGIN), 300, 150, id="300 rows of similarities"),
        pytest.param(lambda g: 0.1 if g.random() < 0.85 else -0.9, 50, 2000, id="50 rows, rare and bad failures"),
    ],
)
def test_one_look_accepts_a_fallback_at_the_margin_in_at_most_one_of_twenty_cases(
    draw: Draw, rows: int, trials: int
) -> None:
    assert accepted(draw, rows, trials, seed=1) <= at_most(0.05, trials)


def test_a_normal_interval_would_accept_too_often_so_that_the_test_above_can_fail() -> None:
    generator, draw, trials = random.Random(1), ternary(0.06, -MARGIN), 1000
    hits = 0
    for _ in range(trials):
        differences = [draw(generator) for _ in range(50)]
        mean = sum(differences) / 50
        deviation = math.sqrt(sum((difference - mean) ** 2 for difference in differences) / 49 / 50)
        hits += mean - 1.645 * deviation > -MARGIN
    assert hits / trials > at_most(0.05, trials) * 1.5


@pytest.mark.rig
@pytest.mark.parametrize(
    ("variance", "rows", "least"),
    [
        pytest.param(0.1, 250, 0.70, id="the textbook's 250 rows fall a little short of 80 %"),
        pytest.param(0.1, 285, 0.76, id="285 rows do not"),
        pytest.param(0.3, 740, 0.75, id="740 rows at three times the variance"),
    ],
)
def test_an_equal_fallback_is_accepted_in_most_cases_with_the_rows_of_the_manual(
    variance: float, rows: int, least: float
) -> None:
    assert accepted(ternary(variance, 0.0), rows, trials=1500, seed=2) >= least


def test_a_fallback_that_is_clearly_worse_is_rejected() -> None:
    generator = random.Random(3)
    decision = decide([ternary(0.3, -0.2)(generator) for _ in range(300)])
    assert decision.verdict is Verdict.REJECT
    assert decision.high < -MARGIN


@pytest.mark.parametrize(
    ("rows", "verdict", "low"),
    [
        pytest.param(0, Verdict.NOT_ENOUGH_EVIDENCE, -1.0, id="no rows prove nothing"),
        pytest.param(10, Verdict.NOT_ENOUGH_EVIDENCE, -0.259, id="10 clean rows prove a failure rate below 26 %"),
        pytest.param(50, Verdict.NOT_ENOUGH_EVIDENCE, -0.058, id="50 clean rows do not prove 5 %"),
        pytest.param(58, Verdict.NOT_ENOUGH_EVIDENCE, -0.050, id="58 clean rows do not, either"),
        pytest.param(59, Verdict.ACCEPT, -0.050, id="59 clean rows do"),
    ],
)
def test_clean_rows_prove_what_clopper_and_pearson_say(rows: int, verdict: Verdict, low: float) -> None:
    decision = decide([0.0] * rows)
    assert (decision.verdict, decision.rows, decision.mean, decision.rows_needed) == (verdict, rows, 0.0, 59)
    assert decision.low == pytest.approx(low, abs=5e-4)


@pytest.mark.parametrize(
    ("rows", "successes"),
    [(2, 1), (10, 9), (50, 48), (300, 150), (300, 297), (1000, 3)],
    ids=lambda number: str(number),
)
def test_of_right_and_wrong_the_bound_is_exact(rows: int, successes: int) -> None:
    bound = lower_bound([1.0] * successes + [0.0] * (rows - successes), 0, 0.05)
    as_many_or_more = sum(
        math.comb(rows, number) * bound**number * (1 - bound) ** (rows - number)
        for number in range(successes, rows + 1)
    )
    assert as_many_or_more == pytest.approx(0.05, rel=1e-3)


def test_the_integral_agrees_with_sampling() -> None:
    generator = random.Random(4)
    groups, at = [(0.0, 4), (0.3, 20), (0.7, 11), (1.0, 60)], 0.7
    below = sum(
        sum((value - at) * generator.gammavariate(count, 1) for value, count in groups) <= 0 for _ in range(20_000)
    )
    assert probability_below(groups, at) == pytest.approx(below / 20_000, abs=0.01)


def test_the_upper_bound_mirrors_the_lower() -> None:
    values = [0.1, 0.4, 0.4, 0.9]
    assert upper_bound([-value for value in values], 0, 0.05) == pytest.approx(-lower_bound(values, 0, 0.05))


@pytest.mark.parametrize(
    ("variance", "looks", "rows"),
    [(0.1, "once", 248), (0.3, "once", 742), (0.1, "many", 417)],
    ids=["variance 0.1", "variance 0.3", "many looks cost more"],
)
def test_the_rows_for_a_power_of_80_percent(variance: float, looks: str, rows: int) -> None:
    assert rows_for_power(variance, looks="many" if looks == "many" else "once") == rows


@pytest.mark.parametrize(
    ("differences", "least", "most"),
    [
        pytest.param([1.0, -1.0] + [0.0] * 18, 290, 310, id="an equal one with a variance of 0.105"),
        pytest.param([-0.5, -0.7] * 20, 3, 40, id="a hopeless one needs few to be rejected"),
        pytest.param([-0.05] * 3000, None, None, id="one exactly at the margin is never decided"),
    ],
)
def test_a_decision_says_how_many_rows_would_do(differences: list[float], least: int | None, most: int | None) -> None:
    needed = decide(differences).rows_needed
    assert needed is None if least is None or most is None else needed is not None and least <= needed <= most


@pytest.mark.parametrize(
    ("differences", "margin"),
    [([1.5], 0.05), ([math.nan], 0.05), ([0.0], 0.0)],
    ids=["beyond 1", "no number", "no margin"],
)
def test_nonsense_is_refused(differences: list[float], margin: float) -> None:
    with pytest.raises(ValueError, match="must"):
        decide(differences, margin)


def test_the_same_rows_get_the_same_figures() -> None:
    generator = random.Random(5)
    fallback, floor, ceiling = ([generator.random() + gain for _ in range(40)] for gain in (0.2, 0.0, 0.3))
    assert retained(fallback, floor, ceiling) == retained(fallback, floor, ceiling)


@pytest.mark.rig
def test_the_interval_of_retained_quality_covers_the_truth() -> None:
    generator, trials, covered = random.Random(6), 100, 0  # means: 0.5, 0.75, 0.85
    for _ in range(trials):
        hardness = [generator.random() for _ in range(100)]
        floor, fallback, ceiling = (
            [float(generator.random() < 0.9 - loss * hard) for hard in hardness] for loss in (0.8, 0.3, 0.1)
        )
        interval = retained(fallback, floor, ceiling)
        assert interval is not None
        covered += interval.low <= 5 / 7 <= interval.high
    assert 0.88 <= covered / trials <= 1.0  # 95 %, less three standard errors


@pytest.mark.parametrize(
    ("floor", "ceiling"),
    [
        pytest.param([], [], id="there are no rows"),
        pytest.param([0.5, 0.6] * 20, [0.5, 0.6] * 20, id="the fine-tune adds nothing"),
        pytest.param([0.9] * 40, [0.5] * 40, id="the fine-tune is worse than the floor"),
        pytest.param([0.4, 0.7] * 20, [0.7, 0.4] * 19 + [0.7, 0.7], id="it may be chance"),
    ],
)
def test_nothing_is_retained_where_nothing_is_shown_to_be_added(floor: list[float], ceiling: list[float]) -> None:
    assert retained([0.6] * len(floor), floor, ceiling) is None


def test_rows_without_one_mistake_retain_no_more_than_their_difference_shows() -> None:
    decision = decide([0.0] * 37, 0.05, looks="many")
    interval = retained([1.0] * 37, [0.5] * 37, [1.0] * 37, (decision.low, decision.high))
    assert interval == Interval(1.0, 1 + decision.low / 0.5, 1 + decision.high / 0.5)
    assert interval.low < 0.9


@pytest.mark.parametrize(("rows", "told"), [(9, False), (10, True)])
def test_few_rows_tell_no_share_of_retained_quality(rows: int, told: bool) -> None:
    assert (retained([1.0] * rows, [0.5] * rows, [1.0] * rows) is not None) is told


def test_a_change_of_cost_is_the_change_of_the_mean() -> None:
    generator = random.Random(7)
    before = [generator.uniform(50, 150) for _ in range(200)]
    change = paired_change(before, [cost * generator.uniform(0.5, 0.74) for cost in before])
    assert change is not None
    assert change.low < -0.38 < change.high
    assert change.high - change.low < 0.03  # the same rows: their own size cancels


def test_no_change_is_told_where_there_is_nothing_to_compare_with() -> None:
    assert paired_change([], []) is None
    assert paired_change([0.0, 0.0], [1.0, 1.0]) is None


def test_a_mean_of_perfect_scores_keeps_an_honest_lower_bound() -> None:
    interval = mean_interval([1.0] * 20)
    assert interval is not None
    assert (interval.estimate, interval.high) == (1.0, 1.0)
    assert interval.low == pytest.approx(0.025 ** (1 / 20), abs=1e-6)
    assert mean_interval([]) is None


def test_a_mean_on_another_scale_is_the_same_interval_scaled() -> None:
    values = [0.2, 0.5, 0.5, 0.9, 0.1]
    unit, wide = mean_interval(values), mean_interval([10 * value - 5 for value in values], -5, 5)
    assert unit is not None and wide is not None
    assert (wide.low, wide.high) == pytest.approx((10 * unit.low - 5, 10 * unit.high - 5), abs=0.02)
