"""What a fine-tuning job costs, how often it goes over its rows, and where one can still be started.

Prices, epochs and minimum charges are facts of the vendors, each with the address that it was found under and the day
it was read; where none was found there is none, and nothing is made up in its place. ``prices`` of routes.yaml, by
provider and base, comes before everything here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Literal

from gateway.config.routes import Provider
from gateway.config.routes_prices import ModelPrice
from gateway.lifecycle.sources import claims_of_model
from gateway.policy.lifecycle import Dates
from gateway.policy.precedence import merge

Method = Literal["sft", "dpo"]
RoutesPrices = Mapping[str, Mapping[str, ModelPrice]]
"""``Routes.prices``: by the provider's name, and the model."""

READ: Final = date(2026, 11, 29)
NANO: Final = 10**9
# Not reachable itself on that day: copies of it in public repositories agree with each other.
_OPENAI: Final = "https://developers.openai.com/api/docs/pricing (read through copies of its table)"
_TOGETHER: Final = "https://www.together.ai/pricing#fine-tuning (read through copies of its table; LoRA)"
_FIREWORKS: Final = "https://fireworks.ai/pricing"
_COOKBOOK: Final = "https://github.com/openai/openai-cookbook/blob/main/examples/Chat_finetuning_data_prep.ipynb"
_SIZE: Final = re.compile(r"(?:(?P<experts>\d+)x)?(?P<billions>\d+(?:\.\d+)?)b(?![a-z0-9])", re.IGNORECASE)
_OF_OPENAI: Final = frozenset(("openai", "azure", "sandbox"))


@dataclass(frozen=True, slots=True)
class TrainingPrice:
    """What one vendor takes for tokens that are trained on."""

    kind: str
    usd_per_1m: Decimal
    source: str
    bases: tuple[str, ...] = ()
    """Ids of bases; empty where the size decides."""
    above_billions: float = 0.0
    up_to_billions: float = 0.0
    """Parameters of the base: more than the first, at most the second."""
    methods: tuple[Method, ...] = ("sft",)
    read: date = READ


def _openai(usd: str, *bases: str) -> TrainingPrice:
    return TrainingPrice("openai", Decimal(usd), _OPENAI, bases, methods=("sft", "dpo"))


def _sized(kind: str, usd: str, sizes: tuple[float, float], source: str, method: Method = "sft") -> TrainingPrice:
    return TrainingPrice(kind, Decimal(usd), source, (), *sizes, methods=(method,))


PRICES: Final[tuple[TrainingPrice, ...]] = (
    _openai("25.00", "gpt-4o-2024-08-06", "gpt-4o"),
    _openai("3.00", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
    _openai("25.00", "gpt-4.1-2025-04-14", "gpt-4.1"),
    _openai("5.00", "gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
    _openai("1.50", "gpt-4.1-nano-2025-04-14", "gpt-4.1-nano"),
    _openai("8.00", "gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
    _sized("together", "0.48", (0, 16), _TOGETHER),
    _sized("together", "1.50", (16, 69), _TOGETHER),
    _sized("together", "2.90", (69, 100), _TOGETHER),
    _sized("together", "1.20", (0, 16), _TOGETHER, "dpo"),
    _sized("together", "3.75", (16, 69), _TOGETHER, "dpo"),
    _sized("together", "7.25", (69, 100), _TOGETHER, "dpo"),
    _sized("fireworks", "0.50", (0, 16), _FIREWORKS),
    _sized("fireworks", "3.00", (16, 80), _FIREWORKS),
)
"""Azure publishes its training prices by region and tier, and none of them was found; nor were Bedrock's and Mistral's
per base."""

MINIMUM_USD: Final[Mapping[str, tuple[Decimal, str]]] = {
    "together": (Decimal(0), "https://docs.together.ai/docs/fine-tuning/pricing"),
    "mistral": (Decimal(4), "https://mistral.ai/pricing (as quoted in public repositories)"),
}
"""The least that a job costs, where the vendor says so, and where."""

TRAINABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": (
        "gpt-4o-2024-08-06",
        "gpt-4o-mini-2024-07-18",
        "gpt-4.1-2025-04-14",
        "gpt-4.1-mini-2025-04-14",
        "gpt-4.1-nano-2025-04-14",
    ),
    "azure": (
        "gpt-4o-2024-08-06",
        "gpt-4o-mini-2024-07-18",
        "gpt-4.1-2025-04-14",
        "gpt-4.1-mini-2025-04-14",
        "gpt-4.1-nano-2025-04-14",
    ),
}
"""Bases that a vendor's list of models for fine-tuning names, with dates in the shipped calendar."""

_OPEN: Final = "open-weight models"


@dataclass(frozen=True, slots=True)
class Epochs:
    """How often a trainer goes over the rows unless it is told otherwise."""

    count: int
    source: str
    """Where that is said; a sentence where nobody says so."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job is about to train on and cost."""

    tokens: int
    """Once an epoch each: what is billed."""
    nanousd: int | None
    """None: no price is known."""
    usd_per_1m: Decimal | None
    source: str
    """Of the price; where none is known, what to do about it."""
    read: date | None = None
    """The day the price was read; None for the operator's own."""
    minimum_usd: Decimal | None = None
    """What the vendor takes at least, where that decided."""


@dataclass(frozen=True, slots=True)
class Trainable:
    """Something that can still be fine-tuned."""

    kind: str
    base: str
    last_day: date | None
    """The last day on which a job can be started; None: no end is announced."""
    source: str
    note: str | None = None

    def __str__(self) -> str:
        until = f" until {self.last_day}" if self.last_day else ""
        return f"{self.base} at {self.kind}{until}{f' ({self.note})' if self.note else ''}"


_NOTES: Final[Mapping[str, str]] = {
    "openai": "only organisations that are still let in: others are answered training_not_available",
    "azure": "what comes of it must be deployed",
}


_UNDATED: Final = (
    Trainable("your own GPU", _OPEN, None, "docs/tuning.md", "a LoRA made with TRL, served by vLLM"),
    Trainable("together", _OPEN, None, "https://docs.together.ai/docs/fine-tuning/overview"),
    Trainable("fireworks", _OPEN, None, "https://docs.fireworks.ai/fine-tuning/managed-finetuning-intro"),
)


def default_epochs(kind: str, rows: int) -> Epochs:
    """Return how often a trainer goes over so many rows by itself: as its documents say, else three times."""
    if kind in _OF_OPENAI:
        # Three, but about 100 rows at least and 25,000 at most in all.
        count = 3
        if rows and rows * 3 < 100:
            count = min(25, 100 // rows)
        elif rows * 3 > 25_000:
            count = max(1, 25_000 // rows)
        return Epochs(count, _COOKBOOK)
    if kind == "together":
        return Epochs(1, "https://docs.together.ai/reference/post-fine-tunes-estimate-price")
    return Epochs(3, "taken: no document of the trainer's was found that says so")


def estimate(
    tokens: int, epochs: int, provider: Provider, base: str, *, method: Method = "sft", prices: RoutesPrices
) -> Estimate:
    """Return what a job costs.

    Args:
        tokens: of all training rows, once.
        epochs: how often the job goes over them.
        provider: who trains; its kind says by which price list, its name under which ``prices`` of routes.yaml.
        base: the model that is trained from.
        method: preference pairs (dpo) may cost more.
        prices: the operator's, which come first.
    """
    trained = tokens * epochs
    own = prices.get(provider.name, {}).get(base)
    if own is not None and own.training_usd_per_1m is not None:
        return _at(trained, own.training_usd_per_1m, own.source, None, provider.kind)
    found = _price_of(provider.kind, base, method)
    if found is None:
        missing = f"no price known; write prices.{provider.name}.{base}.training_usd_per_1m"
        return Estimate(trained, None, None, missing)
    return estimate_at(trained, found)


def estimate_at(trained: int, price: TrainingPrice) -> Estimate:
    """Return what so many tokens, each epoch counted, cost at a price."""
    return _at(trained, price.usd_per_1m, price.source, price.read, price.kind)


def _at(trained: int, usd_per_1m: Decimal, source: str, read: date | None, kind: str) -> Estimate:
    usd = usd_per_1m * trained / 1_000_000
    least = MINIMUM_USD.get(kind, (Decimal(0), ""))[0]
    is_least = least > usd
    nanousd = int((max(usd, least) * NANO).to_integral_value(ROUND_HALF_EVEN))
    return Estimate(trained, nanousd, usd_per_1m, source, read, least if is_least else None)


def _price_of(kind: str, base: str, method: Method) -> TrainingPrice | None:
    billions = billions_of(base)
    for price in PRICES:
        if price.kind != kind or method not in price.methods:
            continue
        if base in price.bases:
            return price
        if not price.bases and billions is not None and price.above_billions < billions <= price.up_to_billions:
            return price
    return None


def billions_of(base: str) -> float | None:
    """Return how many billion parameters an id names (``Llama-3.1-8B``, ``Mixtral-8x7B``); None where it names none."""
    found = _SIZE.search(base.rpartition("/")[2])
    return int(found["experts"] or 1) * float(found["billions"]) if found else None


def last_training_day(kind: str, base: str) -> tuple[date | None, Dates]:
    """Return the last day on which a base can be fine-tuned at a vendor, and all that ships of its dates.

    The vendor's own word; without one, the day before the base stops.
    """
    dates = merge(claims_of_model(kind, base))
    if dates.last_training_day is not None:
        return dates.last_training_day, dates
    return (date.fromordinal(dates.shutdown.toordinal() - 1) if dates.shutdown else None), dates


def can_train(kind: str, base: str, today: date) -> bool | None:
    """Tell whether a job on a base can still be started by its dates; None: nothing is known of it."""
    last, dates = last_training_day(kind, base)
    if last is None:
        return None if dates.origin is None else True
    return today <= last


def where_one_can_still_train(today: date) -> list[Trainable]:
    """Return what can still be fine-tuned on a day: first what has no end, then what can be trained the longest."""
    dated = [one for kind in TRAINABLE for one in _of_vendor(kind, today)]
    dated.sort(key=lambda one: (-(one.last_day or date.max).toordinal(), one.kind, one.base))
    return [*_UNDATED, *dated]


def _of_vendor(kind: str, today: date) -> Iterator[Trainable]:
    for base in TRAINABLE[kind]:
        last, dates = last_training_day(kind, base)
        if last is not None and today <= last:
            yield Trainable(kind, base, last, dates.source, _NOTES.get(kind))
