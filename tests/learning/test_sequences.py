"""Looking every 20 rows, up to the first verdict: a confidence sequence errs as promised, a t-interval does not."""

import math
import random
from collections.abc import Callable, Sequence

import pytest

from gateway.learning.evaluation.sequences import crossings, sequence_interval
from gateway.learning.evaluation.statistics import Verdict, decide

MARGIN = 0.05
LAST = 600
LOOKS = range(20, LAST + 1, 20)
Draw = Callable[[random.Random], float]


def ternary(discordance: float, difference: float) -> Draw:
    better, worse = (discordance + difference) / 2, (discordance - difference) / 2
    return lambda generator: 1.0 if (place := generator.random()) < better else -1.0 if place < better + worse else 0.0


def continuous(variance: float, difference: float) -> Draw:
    width = math.sqrt(12 * variance)
    return lambda generator: difference + width * (generator.random() - 0.5)


def samples(draw: Draw, trials: int, seed: int, rows: int = LAST) -> list[list[float]]:
    generator = random.Random(seed)
    return [[draw(generator) for _ in range(rows)] for _ in range(trials)]


def at_most(rate: float, trials: int) -> float:
    """Give what a true rate stays below in 99.9 % of simulations of so many trials."""
    return rate + 3.09 * math.sqrt(rate * (1 - rate) / trials)


@pytest.mark.rig
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(ternary(0.05, -MARGIN), id="the fallback only ever loses"),
        pytest.param(ternary(0.1, -MARGIN), id="10 % discordant"),
        pytest.param(ternary(0.5, -MARGIN), id="50 % discordant"),
        pytest.param(continuous(0.1, -MARGIN), id="similarities"),
        pytest.param(lambda g: 0.1 if g.random() < 0.85 else -0.9, id="rare and bad failures"),
    ],
)
def test_a_look_at_every_row_accepts_a_fallback_at_the_margin_in_at_most_one_of_twenty_cases(draw: Draw) -> None:
    trials = 1500
    found = [crossings(rows, MARGIN) for rows in samples(draw, trials, seed=1)]
    assert sum(crossing.accepted is not None for crossing in found) / trials <= at_most(0.05, trials)
    assert sum(crossing.rejected is not None for crossing in found) / trials <= at_most(0.05, trials)


@pytest.mark.rig
def test_a_look_every_20_rows_at_an_interval_for_one_look_accepts_three_times_as_often() -> None:
    def accepts(rows: Sequence[float]) -> bool:
        total = squares = 0.0
        for count, difference in enumerate(rows, start=1):
            total += difference
            squares += difference * difference
            if count in LOOKS:
                mean = total / count
                deviation = math.sqrt(max(0.0, squares / count - mean * mean) / (count - 1))
                if mean - 1.645 * deviation > -MARGIN:
                    return True
        return False

    assert sum(map(accepts, samples(continuous(0.1, -MARGIN), 500, seed=2))) / 500 > 0.15


def test_looking_on_the_way_gives_the_verdict_that_one_call_gives_afterwards() -> None:
    for rows in samples(ternary(0.1, 0.0), 5, seed=3, rows=400):
        final = decide(rows, looks="many")
        on_the_way = [decide(rows[:seen], looks="many").verdict for seen in range(20, 401, 20)]
        reached = [verdict for verdict in on_the_way if verdict is not Verdict.NOT_ENOUGH_EVIDENCE]
        assert final.verdict is (reached[0] if reached else Verdict.NOT_ENOUGH_EVIDENCE)
        assert len(set(reached)) <= 1  # what was decided stays decided


@pytest.mark.rig
@pytest.mark.parametrize(
    ("difference", "verdict"),
    [(0.0, Verdict.ACCEPT), (-0.1, Verdict.REJECT)],
    ids=["an equal fallback is accepted", "one as far below the margin is rejected"],
)
def test_450_rows_decide_in_four_of_five_cases(difference: float, verdict: Verdict) -> None:
    trials = 400
    found = [crossings(rows, MARGIN) for rows in samples(ternary(0.1, difference), trials, seed=4, rows=450)]
    decided = sum((row.accepted if verdict is Verdict.ACCEPT else row.rejected) is not None for row in found)
    assert decided / trials >= 0.75


def test_clean_rows_are_accepted_once_they_exclude_a_failure_rate_at_the_margin() -> None:
    assert decide([0.0] * 50, looks="many").verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert crossings([0.0] * 100, MARGIN).accepted == 77


def test_the_interval_holds_the_mean_and_agrees_with_the_verdict() -> None:
    held = 0
    for rows in samples(ternary(0.1, -0.02), 100, seed=5, rows=300):
        low, high = sequence_interval(rows, MARGIN)
        crossing = crossings(rows, MARGIN)
        assert (low > -MARGIN, high < -MARGIN) == (crossing.accepted is not None, crossing.rejected is not None)
        held += low <= -0.02 <= high
    assert held >= 84  # 90 %, less two standard errors


def test_the_interval_narrows_for_ever() -> None:
    rows = samples(continuous(0.1, 0.0), 1, seed=6, rows=4000)[0]
    widths = [high - low for low, high in (sequence_interval(rows[:seen], MARGIN) for seen in (0, 100, 1000, 4000))]
    assert widths[0] == pytest.approx(2, abs=1e-4)
    assert widths[1] > 2 * widths[2] and widths[2] > 1.5 * widths[3]
