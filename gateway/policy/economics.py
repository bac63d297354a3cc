"""Did a fine-tune pay for itself? What it saves per request, and when that has paid for its training. Pure.

Per request, with P tokens of prompt that only the base needs, q tokens of query, o of output, and h the share of P that
the base's provider reads from its cache:

- c_base = P·(h·cached + (1−h)·input) + q·input + o·output, at the base's prices;
- c_ft = q·input + o·output, at the fine-tune's prices, and the fine-tune's share of what its hosting costs a day;
- s = c_base − c_ft is what a request saves;
- N* = (training + labelling + evaluation) / s is after how many requests that is paid back; *never* where s ≤ 0, and
  where the interval of s contains 0: then it is not shown that anything is saved.

By hand (the test repeats it): gpt-4.1-mini with P = 2,000, q = 200, o = 150; $0.40 input, $0.10 cached, $1.60 output
per million, the fine-tune $0.80 and $3.20. Trained on 200 examples × 700 tokens × 3 epochs = 420,000 tokens at $5 per
million: $2.10. Uncached c_base = $0.00080 + $0.00008 + $0.00024 = $0.00112; c_ft = $0.00016 + $0.00048 = $0.00064;
s = $0.00048; N* = 2.10 / 0.00048 = 4,375. At h = 0.9 the prompt costs 2,000·(0.9·0.10 + 0.1·0.40) per million =
$0.00026, c_base = $0.00058 < c_ft: never.

s is measured where it can be. Its interval is the percentile bootstrap's, two-sided 95 %: over pairs of the same
request where rehearsals ran, else over both sides apart. A bootstrap of many values is a normal distribution to within
what anybody reads off it, so beyond ``RESAMPLED_UP_TO`` values their mean is drawn from that. The seed is fixed: the
same ledger gives the same report.

Money is in nano-dollars: whole ones where they were billed, decimals where they are means.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from math import sqrt
from random import Random
from typing import Final

from gateway.policy.pricing import Price
from gateway.policy.sketch import value_of

LEAST_REQUESTS: Final = 30
"""Requests a side below which nothing is concluded.

A percentile bootstrap of fewer values is too narrow: costs are skewed, and of 10 skewed values a nominal 95 % interval
holds the true mean in some 85 to 90 % of cases. From about 30 on it is close to what it says.
"""
RESAMPLES: Final = 1000
RESAMPLED_UP_TO: Final = 300
LEAST_CACHED_TOKENS: Final = 1024
"""Below so many equal tokens providers do not cache; as they are reported to say, not measured by us."""
_SEED: Final = 20270114


class Basis(StrEnum):
    """What a saving rests on, the best first."""

    PAIRED = "paired"
    """Measured: rehearsals, the same requests answered by both."""
    APART = "apart"
    """Measured: what the fallback billed, and what the primary did, for different requests."""
    COMPUTED = "computed"
    """The primary's tokens and the prompt's, at list prices: with a cold cache, and with a warm one."""


class Answer(StrEnum):
    """What is said of a route's break-even."""

    BREAKS_EVEN = "breaks_even"
    """After N* requests."""
    NEVER = "never"
    """The fine-tune costs as much per request, or more; or it is not shown that it costs less."""
    DEPENDS_ON_CACHE = "depends_on_cache"
    """Computed, not measured: it saves money against a cold cache, and none against a warm one."""
    TOO_LITTLE_DATA = "too_little_data"
    NOT_PRICED = "not_priced"
    """One side has no price."""
    NO_TRAINING_COST = "no_training_cost"
    """What a request saves is known; what was spent is not: ``training.cost_usd`` is missing."""
    NOTHING_TO_COMPARE = "nothing_to_compare"
    """The route has no primary, or no fallback."""


class InTime(StrEnum):
    """Whether what was spent comes back before the model's last day."""

    ALREADY = "already"
    """The requests served so far have paid it back."""
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """No last day is known, or the interval allows both."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its bounds; of what was measured a two-sided 95 % interval."""

    estimate: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Sample:
    """What requests on one side cost: how often each amount was seen, and what they cost in all."""

    counts: Mapping[int, int]
    """Nano-dollars → requests. From a sketch these are true to 2 %; ``mean`` makes good for that."""
    mean: Decimal
    """The exact mean, from sums: the distribution is scaled to it."""

    @classmethod
    def of_sketch(cls, sketch: Mapping[int, int], mean: Decimal) -> "Sample":
        """Read the ledger's distribution of costs (``policy.sketch``), in nano-dollars."""
        counts: dict[int, int] = {}
        for bucket, count in sketch.items():
            value = round(value_of(bucket))
            counts[value] = counts.get(value, 0) + count
        return cls(counts, mean)

    @property
    def requests(self) -> int:
        """How many there are."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Spent:
    """What was paid once, in nano-dollars."""

    training: int
    labelling: int = 0
    evaluation: int = 0

    @property
    def total(self) -> int:
        """What has to come back."""
        return self.training + self.labelling + self.evaluation


@dataclass(frozen=True, slots=True)
class BreakEven:
    """After how many requests it is paid back; None stands for never."""

    requests: int
    at_least: int
    """If a request saves as much as the interval allows."""
    at_most: int


@dataclass(frozen=True, slots=True)
class Payback:
    """How far paying back is, and whether it ends in time."""

    saved: Interval
    """By the requests served so far, in nano-dollars."""
    left: BreakEven
    """Requests still to come until all is paid back."""
    days: Interval | None
    """Until then, at the rate of now; None: nothing is asked, or it is paid back."""
    requests_to_come: int | None
    """Until the last day, at the rate of now; None: no last day is known."""
    in_time: InTime


def cost_of_base(
    price: Price, *, prompt_tokens: int, query_tokens: Decimal, output_tokens: Decimal, cached_share: Decimal
) -> Decimal:
    """Return c_base: what a request costs on the base with its prompt, in nano-dollars.

    ``cached_share`` is h: the share of the prompt, 0 to 1, that is read from the cache.
    """
    prompt = cached_share * price.cached_input + (1 - cached_share) * price.input
    return prompt_tokens * prompt + query_tokens * price.input + output_tokens * price.output


def cost_of_fine_tune(
    price: Price, *, query_tokens: Decimal, output_tokens: Decimal, hosting: Decimal = Decimal(0)
) -> Decimal:
    """Return c_ft in nano-dollars; ``hosting`` is a request's share of what the fine-tune costs by the day."""
    return query_tokens * price.input + output_tokens * price.output + hosting


def hosting_share(nanousd_per_day: int, requests_per_day: Decimal) -> Decimal | None:
    """Return a request's share of the hosting; None where it costs something and nobody asks."""
    if not nanousd_per_day:
        return Decimal(0)
    return nanousd_per_day / requests_per_day if requests_per_day > 0 else None


def paired_saving(base_minus_fine_tune: Sequence[int], hosting: Decimal = Decimal(0)) -> Interval | None:
    """Return s from what the same requests cost more on the base than on the fine-tune; None: too little data."""
    requests = len(base_minus_fine_tune)
    if requests < LEAST_REQUESTS:
        return None
    counts: dict[int, int] = {}
    for difference in base_minus_fine_tune:
        counts[difference] = counts.get(difference, 0) + 1
    draw = _mean_drawn(counts, Random(_SEED))
    return _interval(
        Decimal(sum(base_minus_fine_tune)) / requests - hosting, [draw() for _ in range(RESAMPLES)], hosting
    )


def saving_apart(base: Sample, fine_tune: Sample, hosting: Decimal = Decimal(0)) -> Interval | None:
    """Return s from what different requests cost on either side; None: too little data on one of them."""
    if base.requests < LEAST_REQUESTS or fine_tune.requests < LEAST_REQUESTS:
        return None
    generator = Random(_SEED)
    draw_base, draw_tuned = (_scaled(sample, _mean_drawn(sample.counts, generator)) for sample in (base, fine_tune))
    drawn = [draw_base() - draw_tuned() for _ in range(RESAMPLES)]
    return _interval(base.mean - fine_tune.mean - hosting, drawn, hosting)


def computed_saving(cold: Decimal, warm: Decimal) -> Interval:
    """Return s between a cold and a warm cache: bounds by reckoning, no interval of chance. The cold one is told."""
    return Interval(cold, min(cold, warm), max(cold, warm))


def answer_to(saving: Interval, basis: Basis) -> Answer:
    """Say whether it breaks even, were it known what was spent."""
    if saving.low > 0:
        return Answer.BREAKS_EVEN
    if basis is Basis.COMPUTED and saving.high > 0:
        return Answer.DEPENDS_ON_CACHE
    return Answer.NEVER


def break_even(spent_nanousd: int, saving: Interval) -> BreakEven | None:
    """Return N*, and from where to where; None: never, since the interval of s is not above 0."""
    if saving.low <= 0:
        return None
    return BreakEven(*(requests_for(spent_nanousd, each) for each in (saving.estimate, saving.high, saving.low)))


def requests_for(spent_nanousd: int, saving: Decimal) -> int:
    """Return the first number of requests that pays a sum back, at a saving above 0."""
    return int((spent_nanousd / saving).to_integral_value(ROUND_CEILING))


def payback(
    needed: BreakEven, saving: Interval, *, served: int, requests_per_day: Decimal, days_left: Decimal | None
) -> Payback:
    """Hold N* against what was served since the training was paid, and against the days that the model has left.

    ``days_left`` is 0 for a model that is gone; None: no last day is known.
    """
    left = BreakEven(*(max(0, n - served) for n in (needed.requests, needed.at_least, needed.at_most)))
    days = None
    if left.requests and requests_per_day > 0:
        days = Interval(*(Decimal(n) / requests_per_day for n in (left.requests, left.at_least, left.at_most)))
    to_come = None if days_left is None else int(requests_per_day * max(Decimal(0), days_left))
    saved = Interval(*(served * each for each in (saving.estimate, saving.low, saving.high)))
    return Payback(saved, left, days, to_come, _in_time(left, to_come))


def _in_time(left: BreakEven, to_come: int | None) -> InTime:
    if not left.at_most:
        return InTime.ALREADY
    if to_come is None:
        return InTime.UNKNOWN
    if to_come >= left.at_most:
        return InTime.YES
    return InTime.NO if to_come < left.at_least else InTime.UNKNOWN


def _mean_drawn(counts: Mapping[int, int], generator: Random) -> Callable[[], float]:
    """Return what draws the mean of one resample."""
    values, weights = list(counts), list(counts.values())
    size = sum(weights)
    if size <= RESAMPLED_UP_TO:
        pool = [value for value, count in counts.items() for _ in range(count)]
        return lambda: sum(generator.choices(pool, k=size)) / size
    mean = sum(value * count for value, count in zip(values, weights, strict=True)) / size
    variance = sum(count * (value - mean) ** 2 for value, count in zip(values, weights, strict=True)) / (size - 1)
    error = sqrt(variance / size)
    return lambda: generator.gauss(mean, error)


def _scaled(sample: Sample, draw: Callable[[], float]) -> Callable[[], float]:
    roughly = sum(value * count for value, count in sample.counts.items()) / sample.requests
    scale = float(sample.mean) / roughly if roughly else 1.0
    return lambda: draw() * scale


def _interval(estimate: Decimal, drawn: list[float], hosting: Decimal) -> Interval:
    """Give the 2.5th and the 97.5th percentile of what was drawn without the hosting's share."""
    ordered = sorted(drawn)
    outside = int(0.025 * len(ordered))
    low, high = (Decimal(round(value)) - hosting for value in (ordered[outside], ordered[-1 - outside]))
    return Interval(estimate, min(low, estimate), max(high, estimate))
