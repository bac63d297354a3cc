"""Prices of every target in a configuration, from the operator, a dated overlay, and litellm's bundled map.

The map also says how long a prompt each of them takes.

Three sources, the first that knows a model wins: ``prices`` of routes.yaml, by provider; ``data/prices_overlay.json``,
by kind of provider; litellm's map, read as data. In each of them a fine-tune is looked up by its own id, then as
``ft:<base>``, which is what providers publish for the fine-tunes of a base. A fine-tune never costs what its plain base
costs, and a model that no source knows has no price: it is unpriced, which is not the same as free.

A row of the overlay::

    {"kind": "openai", "model": "ft:some-base-2026-01-01",
     "input_usd_per_1m": "0.30", "cached_input_usd_per_1m": "0.15", "output_usd_per_1m": "1.20",
     "valid_from": "2026-11-01", "valid_until": null, "source": "https://…"}

It may have every other key that a price of routes.yaml has; ``valid_until`` is the first day that the row no longer
holds.

Where litellm's map has a row, or a factor, for the region that a provider is in, that counts: Bedrock's ``region``, an
Azure ``residency`` of eu or us (rows of data zones and regional deployments), OpenAI's address (eu. or
us.api.openai.com), the location at Vertex AI.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from gateway.config.model_ids import base_of
from gateway.config.routes import Frozen, Provider, Routes
from gateway.config.routes_prices import ModelPrice, TokenPrices
from gateway.config.vendors import VENDORS
from gateway.policy.amounts import AmountPrice
from gateway.policy.pricing import LongContext, PartRates, Price, Rates
from gateway.policy.substitution import same_model
from gateway.providers.litellm_prices import LitellmPrices

_T = TypeVar("_T")

TargetKey = tuple[str, str, str, str | None]
"""Kind of provider, provider's name, model, base model where known."""
RoutesPrices = Mapping[str, Mapping[str, ModelPrice]]
"""Provider's name → model → what the operator pays."""

OVERLAY_PATH: Final = Path(__file__).parent.parent / "data" / "prices_overlay.json"

# A deployment has a name of its own and answers with its base's: the answer's model says nothing of the price.
_NAMES_DEPLOYMENTS: Final = frozenset(vendor.kind for vendor in VENDORS.values() if vendor.names_deployments)
_OF_OPENAI: Final = re.compile(r"(eu|us)\.api\.openai\.com")
_LOCATION: Final = re.compile(r"/locations/([^/]+)")
_NANO_PER_TOKEN_FROM_USD_PER_1M: Final = 1000


class OverlayRow(ModelPrice):
    """One price of the overlay, in US dollars per million tokens."""

    kind: str
    model: str
    valid_from: date = date.min
    valid_until: date | None = None

    def holds_on(self, day: date) -> bool:
        """Tell whether the price is the one of that day."""
        return self.valid_from <= day and (self.valid_until is None or day < self.valid_until)


class Overlay(Frozen):
    """The prices that we know better, or earlier, than litellm's map."""

    dated: date
    rows: tuple[OverlayRow, ...] = ()

    def prices_on(self, day: date) -> dict[tuple[str, str], Price]:
        """Return kind and model → price for the rows that hold on ``day``; the latest of several wins."""
        rows = sorted((row for row in self.rows if row.holds_on(day)), key=lambda row: row.valid_from)
        return {(row.kind, row.model): _price_per_1m(row, f"overlay-{self.dated}") for row in rows}


def read_overlay(path: Path = OVERLAY_PATH) -> Overlay:
    """Read the overlay file. Raises pydantic's ``ValidationError`` where it is not of the documented shape."""
    return TypeAdapter(Overlay).validate_json(path.read_bytes())


class PriceBook:
    """What every target of one configuration costs; built once per configuration, read by every request."""

    def __init__(
        self,
        prices: Mapping[tuple[str, str], Price],
        deployments_of: frozenset[str] = frozenset(),
        windows: Mapping[tuple[str, str], int] = MappingProxyType({}),
        amounts: Mapping[tuple[str, str], AmountPrice] = MappingProxyType({}),
        longest_answers: Mapping[tuple[str, str], int] = MappingProxyType({}),
    ) -> None:
        """Take provider's name and model → price, who names deployments, → window, → price by the piece, → answer."""
        self._prices = dict(prices)
        self._amounts = amounts
        self._deployments_of = deployments_of
        self._windows = windows
        self._longest_answers = longest_answers

    @classmethod
    def for_routes(cls, routes: Routes, today: date) -> Self:
        """Build the book of a whole configuration; like ``for_targets``."""
        targets = (target for route in routes.routes.values() for target in route.targets)
        keys = ((target.provider.kind, target.provider.name, target.model, target.base) for target in targets)
        regions = {name: region for name, one in routes.providers.items() if (region := region_of(one)) is not None}
        return cls.for_targets(keys, routes.prices, config_hash=routes.config_hash, today=today, regions=regions)

    @classmethod
    def for_targets(
        cls,
        targets: Iterable[TargetKey],
        routes_prices: RoutesPrices,
        *,
        config_hash: str,
        today: date,
        overlay: Overlay | None = None,
        regions: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Build the book; reads two files (some 50 ms) and keeps only the rows that the targets need.

        ``regions`` is the provider's name → where it is, as ``region_of`` says.
        """
        ours = _operator_prices(routes_prices, f"routes:{config_hash}")
        dated = (overlay or read_overlay()).prices_on(today)
        litellm_prices = LitellmPrices()
        prices, snapshots = dict(ours), dict[tuple[str, str], Price]()
        windows, amounts = dict[tuple[str, str], int](), dict[tuple[str, str], AmountPrice]()
        longest_answers = dict[tuple[str, str], int]()
        wanted = tuple(dict.fromkeys(targets))
        for kind, provider, model, base in wanted:
            ids, region = _billed_as(model, base), regions.get(provider)
            if (window := litellm_prices.window(kind, ids)) is not None:
                windows[provider, model] = window
            if (longest := litellm_prices.longest_answer(kind, ids)) is not None:
                longest_answers[provider, model] = longest
            own = _first(ours.get((provider, id_)) for id_ in ids) or _first(dated.get((kind, id_)) for id_ in ids)
            price = own or litellm_prices.price(kind, ids, region)
            if own is None and (by_piece := litellm_prices.amounts(kind, model, region)) is not None:
                amounts[provider, model] = by_piece
            if price is None:
                continue
            prices[provider, model] = price
            if own is None and kind not in _NAMES_DEPLOYMENTS:
                # An alias is answered by a snapshot, which may have another price than the alias has today.
                for snapshot, snapshot_price in litellm_prices.snapshots(kind, model, region):
                    snapshots[provider, snapshot] = snapshot_price
        deployments_of = frozenset(provider for kind, provider, *_ in wanted if kind in _NAMES_DEPLOYMENTS)
        return cls(snapshots | prices, deployments_of, windows, amounts, longest_answers)

    def lookup(self, provider_name: str, model: str) -> Price | None:
        """Return what the model costs at that provider; None: unpriced. One dictionary look-up."""
        return self._prices.get((provider_name, model))

    def amounts(self, provider_name: str, model: str) -> AmountPrice | None:
        """Return what the model costs by the second, the character or the picture; None: by none of them."""
        return self._amounts.get((provider_name, model))

    def window(self, provider_name: str, model: str) -> int | None:
        """Return how many tokens of input the model takes; None: not known."""
        return self._windows.get((provider_name, model))

    def longest_answer(self, provider_name: str, model: str) -> int | None:
        """Return how many tokens the model's longest answer has; None: not known."""
        return self._longest_answers.get((provider_name, model))

    def prices_of(self, provider_name: str, model: str) -> tuple[Price, ...]:
        """Return every price that an answer of the model may have: its own, and those of the names it may answer by."""
        own = self.lookup(provider_name, model)
        if own is None:
            return ()
        kin = (
            price for (name, other), price in self._prices.items() if name == provider_name and same_model(model, other)
        )
        return tuple(dict.fromkeys((own, *kin)))

    def price_of_answer(self, provider_name: str, asked: str, answered: str | None) -> Price | None:
        """Return the price of the model that answered, which need not be the one that was asked for.

        Unpriced where another model answered that this configuration does not name.
        """
        if answered is None or answered == asked or provider_name in self._deployments_of:
            return self.lookup(provider_name, asked)
        known = self.lookup(provider_name, answered)
        return self.lookup(provider_name, asked) if known is None and same_model(asked, answered) else known


def region_of(provider: Provider) -> str | None:
    """Return where a provider is, as prices differ by it; None: nowhere in particular, or it does not matter."""
    if provider.kind == "bedrock":
        return provider.region
    if provider.kind == "azure":
        residency = (provider.residency or "").lower()
        return residency if residency in ("eu", "us") else None
    if provider.kind == "openai":
        match = _OF_OPENAI.fullmatch(urlsplit(provider.base_url).hostname or "")
        return match[1] if match else None
    if provider.kind in ("vertex", "vertex-openai"):
        match = _LOCATION.search(provider.base_url)
        location = provider.location or (match[1] if match else "global")
        return None if location == "global" else location
    return None


def _billed_as(model: str, base: str | None) -> tuple[str, ...]:
    """Return the ids to look a model up by: its own, then, with a base known, that of the base's fine-tunes."""
    trained_on = base or base_of(model)
    return (model,) if trained_on is None else (model, f"ft:{trained_on}")


def _operator_prices(routes_prices: RoutesPrices, version: str) -> dict[tuple[str, str], Price]:
    return {
        (provider, model): _price_per_1m(price, version)
        for provider, models in routes_prices.items()
        for model, price in models.items()
    }


def _price_per_1m(row: ModelPrice, version: str) -> Price:
    parts = {
        "reasoning": row.reasoning_usd_per_1m,
        "input_audio": row.audio_input_usd_per_1m,
        "output_audio": row.audio_output_usd_per_1m,
        "input_image": row.image_input_usd_per_1m,
        "output_image": row.image_output_usd_per_1m,
    }
    given = {name: usd * _NANO_PER_TOKEN_FROM_USD_PER_1M for name, usd in parts.items() if usd is not None}
    own = PartRates(**given) if given else None
    standard = _rates_per_1m(row, parts=own)
    long = row.above
    above = None if long is None else LongContext(long.tokens, _rates_per_1m(long, standard, own))
    tiers: dict[str, Rates] = {
        word: replace(_rates_per_1m(tier, standard, own), above=above) for word, tier in row.tiers.items()
    }
    return Price(
        standard.input,
        standard.cached_input,
        standard.output,
        version=version,
        source=row.source,
        cache_write=standard.cache_write,
        parts=own,
        above=above,
        tiers=tiers,
    )


def _rates_per_1m(row: TokenPrices, standard: Rates | None = None, parts: PartRates | None = None) -> Rates:
    """Return one set of rates; ``standard``: those outside of a tier or of a long context, where these are of one."""
    scale = _NANO_PER_TOKEN_FROM_USD_PER_1M
    plain, cached, written = row.input_usd_per_1m * scale, row.cached_input_usd_per_1m, row.cache_write_usd_per_1m
    discounted = standard is not None and standard.cached_input < standard.input
    cached_otherwise = min(plain, standard.cached_input) if standard is not None and discounted else plain
    written_otherwise = None if standard is None else standard.cache_write
    return Rates(
        plain,
        cached_otherwise if cached is None else cached * scale,
        row.output_usd_per_1m * scale,
        cache_write=written_otherwise if written is None else written * scale,
        parts=parts,
    )


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)
