"""Break-even, by hand and by simulation."""

from decimal import Decimal
from random import Random

import pytest

from gateway.policy.economics import (
    Answer,
    Basis,
    BreakEven,
    Interval,
    InTime,
    Sample,
    Spent,
    answer_to,
    break_even,
    computed_saving,
    cost_of_base,
    cost_of_fine_tune,
    hosting_share,
    paired_saving,
    payback,
    requests_for,
    saving_apart,
)
from gateway.policy.pricing import Price
from gateway.policy.sketch import add

# gpt-4.1-mini, in nano-dollars per token: $0.40 per million is 400.
BASE = Price(Decimal(400), Decimal(100), Decimal(1600), "by-hand", "the example")
TUNED = Price(Decimal(800), Decimal(200), Decimal(3200), "by-hand", "the example")
PROMPT, QUERY, OUTPUT = 2000, Decimal(200), Decimal(150)
TRAINED_TOKENS = 200 * 700 * 3
TRAINING = TRAINED_TOKENS * 5000  # $5 per million is 5,000 nano-dollars a token


def base_at(cached_share: str) -> Decimal:
    return cost_of_base(
        BASE, prompt_tokens=PROMPT, query_tokens=QUERY, output_tokens=OUTPUT, cached_share=Decimal(cached_share)
    )


def exactly(value: Decimal | int) -> Interval:
    return Interval(*(Decimal(value),) * 3)


def test_the_example_worked_by_hand_breaks_even_at_4375_requests_uncached() -> None:
    assert TRAINED_TOKENS == 420_000
    assert TRAINING == 2_100_000_000  # $2.10
    c_base = base_at("0")
    assert c_base == 2000 * 400 + 200 * 400 + 150 * 1600 == 1_120_000  # $0.00112
    c_ft = cost_of_fine_tune(TUNED, query_tokens=QUERY, output_tokens=OUTPUT)
    assert c_ft == 200 * 800 + 150 * 3200 == 640_000  # $0.00064
    saving = exactly(c_base - c_ft)
    assert saving.estimate == 480_000  # $0.00048
    assert answer_to(saving, Basis.COMPUTED) is Answer.BREAKS_EVEN
    assert break_even(TRAINING, saving) == BreakEven(4375, 4375, 4375)


def test_the_example_worked_by_hand_never_breaks_even_at_90_percent_cache_hits() -> None:
    c_base = base_at("0.9")
    assert c_base == 2000 * (Decimal("0.9") * 100 + Decimal("0.1") * 400) + 80_000 + 240_000 == 580_000
    saving = exactly(c_base - 640_000)
    assert saving.estimate == -60_000
    assert answer_to(saving, Basis.COMPUTED) is Answer.NEVER
    assert break_even(TRAINING, saving) is None


def test_between_a_cold_and_a_warm_cache_it_depends() -> None:
    saving = computed_saving(base_at("0") - 640_000, base_at("1") - 640_000)
    assert saving == Interval(Decimal(480_000), Decimal(-120_000), Decimal(480_000))
    assert answer_to(saving, Basis.COMPUTED) is Answer.DEPENDS_ON_CACHE
    assert answer_to(saving, Basis.APART) is Answer.NEVER


def test_everything_that_was_paid_once_has_to_come_back() -> None:
    assert Spent(TRAINING, labelling=900_000_000, evaluation=1_000).total == 3_000_001_000


def test_half_a_request_pays_nothing_back() -> None:
    assert requests_for(100, Decimal(3)) == 34
    assert requests_for(0, Decimal(3)) == 0


def test_hosting_is_shared_by_the_requests_of_a_day() -> None:
    assert hosting_share(24_000, Decimal(1000)) == 24
    assert hosting_share(0, Decimal(0)) == 0
    assert hosting_share(24_000, Decimal(0)) is None


# Measured


@pytest.mark.parametrize("requests", [0, 1, 29])
def test_below_thirty_requests_nothing_is_concluded(requests: int) -> None:
    assert paired_saving([480_000] * requests) is None
    few, many = (Sample({480_000: count}, Decimal(480_000)) for count in (requests, 100))
    assert saving_apart(few, many) is None
    assert saving_apart(many, few) is None


@pytest.mark.parametrize("requests", [30, 1000])
def test_requests_that_are_all_alike_leave_no_doubt(requests: int) -> None:
    assert paired_saving([480_000] * requests) == exactly(480_000)


def test_the_same_requests_give_the_same_interval() -> None:
    random = Random(1)
    differences = [random.randrange(1_000_000) for _ in range(100)]
    assert paired_saving(differences) == paired_saving(differences)


def test_hosting_moves_the_whole_interval() -> None:
    random = Random(2)
    differences = [random.randrange(1_000_000) for _ in range(100)]
    without, share = paired_saving(differences), Decimal(1000)
    assert without is not None
    assert paired_saving(differences, share) == Interval(
        without.estimate - share, without.low - share, without.high - share
    )


@pytest.mark.parametrize("requests", [40, 1200], ids=["resampled", "drawn from the normal limit"])
def test_the_interval_holds_the_truth_as_often_as_it_says(requests: int) -> None:
    random = Random(3)
    held = 0
    for _ in range(30):
        found = paired_saving([round(random.expovariate(1) * 480_000) for _ in range(requests)])
        assert found is not None
        held += found.low <= 480_000 <= found.high
    assert held >= 25  # 95 % of 30 is 28.5; fewer than 25 come of a right interval once in 100 times


def test_an_interval_that_contains_nothing_saved_is_never() -> None:
    saving = paired_saving([-1_000_000, 1_000_001] * 50)
    assert saving is not None
    assert saving.low < 0 < saving.estimate < saving.high
    assert answer_to(saving, Basis.PAIRED) is Answer.NEVER
    assert break_even(TRAINING, saving) is None


def test_a_sketchs_two_percent_are_made_good_by_the_exact_mean() -> None:
    random = Random(4)
    costs = [[round(random.uniform(0.5, 1.5) * mean) for _ in range(400)] for mean in (1_120_000, 640_000)]
    samples = []
    for side in costs:
        sketch: dict[int, int] = {}
        for cost in side:
            add(sketch, cost)
        samples.append(Sample.of_sketch(sketch, Decimal(sum(side)) / len(side)))
    saving = saving_apart(*samples)
    assert saving is not None
    assert saving.estimate == Decimal(sum(costs[0]) - sum(costs[1])) / 400
    assert saving.low < 480_000 < saving.high
    # Two means of 400: 1.96 × √(323,316² + 184,752²) / 20.
    assert abs((saving.high - saving.low) / 2 - 36_500) < 4000


def test_what_costs_nothing_is_no_division_by_nothing() -> None:
    free = Sample.of_sketch({-(10**6): 50}, Decimal(0))
    saving = saving_apart(Sample({500: 50}, Decimal(500)), free)
    assert saving == exactly(500)


# Against the days that are left

SAVING = Interval(Decimal(480_000), Decimal(400_000), Decimal(500_000))


@pytest.mark.parametrize(
    ("served", "a_day", "days_left", "in_time"),
    [
        pytest.param(0, 100, None, InTime.UNKNOWN, id="no last day is known"),
        pytest.param(0, 100, 53, InTime.YES, id="5,300 to come, 5,250 needed at the worst"),
        pytest.param(0, 100, 52, InTime.UNKNOWN, id="5,200 to come, between 4,200 and 5,250 needed"),
        pytest.param(0, 100, 42, InTime.UNKNOWN, id="4,200 to come are enough at the best"),
        pytest.param(0, 100, 41, InTime.NO, id="4,100 to come are never enough"),
        pytest.param(1200, 100, 41, InTime.YES, id="what was served already counts"),
        pytest.param(5250, 0, 0, InTime.ALREADY, id="paid back, and gone"),
        pytest.param(4375, 0, 0, InTime.UNKNOWN, id="gone, and paid back as far as one can tell"),
        pytest.param(100, 0, 0, InTime.NO, id="gone too early"),
        pytest.param(0, 0, 50, InTime.NO, id="nobody asks"),
    ],
)
def test_it_pays_only_with_enough_requests_before_the_last_day(
    served: int, a_day: int, days_left: int | None, in_time: InTime
) -> None:
    needed = break_even(TRAINING, SAVING)
    assert needed == BreakEven(4375, 4200, 5250)
    found = payback(
        needed,
        SAVING,
        served=served,
        requests_per_day=Decimal(a_day),
        days_left=None if days_left is None else Decimal(days_left),
    )
    assert found.in_time is in_time
    assert found.saved.estimate == served * 480_000
    assert found.left.requests == max(0, 4375 - served)
    assert (found.days is None) == (a_day == 0 or served >= 4375)


def test_days_to_pay_back_follow_the_rate() -> None:
    needed = break_even(TRAINING, SAVING)
    assert needed is not None
    found = payback(needed, SAVING, served=375, requests_per_day=Decimal(100), days_left=Decimal("60.5"))
    assert found.days == Interval(Decimal(40), Decimal("38.25"), Decimal("48.75"))
    assert found.requests_to_come == 6050
