"""What a data set would cost to train on, wherever that is known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from gateway.config.routes import Provider
from gateway.learning.datasets.trainers import (
    PRICES,
    TRAINABLE,
    Epochs,
    Estimate,
    RoutesPrices,
    default_epochs,
    estimate,
    estimate_at,
    last_training_day,
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One trainer and base, and what it takes for a data set."""

    trainer: str
    """The provider's name in routes.yaml, else the kind of vendor."""
    base: str
    epochs: Epochs
    cost: Estimate
    last_day: date | None
    """The last day on which a job can be started; None: no end is known."""
    has_ended: bool
    """Whether that day has passed."""


def offers(
    rows: int,
    tokens: int,
    today: date,
    *,
    epochs: int | None = None,
    own: tuple[Provider, str] | None = None,
    providers: Mapping[str, Provider],
    prices: RoutesPrices,
) -> list[Offer]:
    """Return what training costs: on the route's own base first, then at the operator's prices, then at vendors'.

    Args:
        rows: training rows.
        tokens: of them, once.
        today: decides what has ended.
        epochs: how often a job goes over them; None: as each trainer does by itself.
        own: the provider and base that the route's model was trained from.
        providers: of routes.yaml, by name.
        prices: of routes.yaml.
    """
    named = dict.fromkeys((*([own] if own else []), *_operators(providers, prices)))
    found = [_offer(provider, base, rows, tokens, today, epochs, prices) for provider, base in named]
    seen = {(offer.trainer, offer.base) for offer in found}
    found += [one for one in _vendors(rows, tokens, today, epochs) if (one.trainer, one.base) not in seen]
    return found


def _operators(providers: Mapping[str, Provider], prices: RoutesPrices) -> Iterator[tuple[Provider, str]]:
    for name, models in prices.items():
        for base, price in models.items():
            if price.training_usd_per_1m is not None and name in providers:
                yield providers[name], base


def _offer(
    provider: Provider, base: str, rows: int, tokens: int, today: date, epochs: int | None, prices: RoutesPrices
) -> Offer:
    times = Epochs(epochs, "as asked for") if epochs else default_epochs(provider.kind, rows)
    last = last_training_day(provider.kind, base)[0]
    cost = estimate(tokens, times.count, provider, base, prices=prices)
    return Offer(provider.name, base, times, cost, last, last is not None and last < today)


def _vendors(rows: int, tokens: int, today: date, epochs: int | None) -> Iterator[Offer]:
    for price in PRICES:
        if "sft" not in price.methods:
            continue
        times = Epochs(epochs, "as asked for") if epochs else default_epochs(price.kind, rows)
        cost = estimate_at(tokens * times.count, price)
        if not price.bases:
            least = f"above {price.above_billions:g}B, " if price.above_billions else ""
            yield Offer(price.kind, f"{least}up to {price.up_to_billions:g}B parameters", times, cost, None, False)
            continue
        base = price.bases[0]
        last = last_training_day(price.kind, base)[0]
        if base in TRAINABLE[price.kind] and not (last is not None and last < today):
            yield Offer(price.kind, base, times, cost, last, False)
