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

``cached_input_usd_per_1m``, ``cache_write_usd_per_1m`` and both dates may be left out; ``valid_until`` is the first day
that the row no longer holds.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

from pydantic import Field, TypeAdapter

from gateway.config.model_ids import base_of
from gateway.config.routes import Frozen, ModelPrice, Routes
from gateway.config.vendors import VENDORS
from gateway.policy.pricing import Price
from gateway.policy.substitution import same_model
from gateway.providers.litellm_map import PREFIX, Rows, bundled_map, is_of, keys_of

_T = TypeVar("_T")

TargetKey = tuple[str, str, str, str | None]
"""Kind of provider, provider's name, model, base model where known."""
RoutesPrices = Mapping[str, Mapping[str, ModelPrice]]
"""Provider's name → model → what the operator pays."""

OVERLAY_PATH: Final = Path(__file__).parent.parent / "data" / "prices_overlay.json"

# A deployment has a name of its own and answers with its base's: the answer's model says nothing of the price.
_NAMES_DEPLOYMENTS: Final = frozenset(vendor.kind for vendor in VENDORS.values() if vendor.names_deployments)
_NANO: Final = 10**9
_NANO_PER_TOKEN_FROM_USD_PER_1M: Final = 1000


class OverlayRow(Frozen):
    """One price of the overlay, in US dollars per million tokens."""

    kind: str
    model: str
    input_usd_per_1m: Decimal = Field(ge=0)
    output_usd_per_1m: Decimal = Field(ge=0)
    cached_input_usd_per_1m: Decimal | None = Field(default=None, ge=0)
    cache_write_usd_per_1m: Decimal | None = Field(default=None, ge=0)
    valid_from: date = date.min
    valid_until: date | None = None
    source: str

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
    ) -> None:
        """Take provider's name and model → price, who names deployments, and provider's name and model → window."""
        self._prices = dict(prices)
        self._deployments_of = deployments_of
        self._windows = windows

    @classmethod
    def for_routes(cls, routes: Routes, today: date) -> Self:
        """Build the book of a whole configuration; like ``for_targets``."""
        targets = (target for route in routes.routes.values() for target in route.targets)
        keys = ((target.provider.kind, target.provider.name, target.model, target.base) for target in targets)
        return cls.for_targets(keys, routes.prices, config_hash=routes.config_hash, today=today)

    @classmethod
    def for_targets(
        cls,
        targets: Iterable[TargetKey],
        routes_prices: RoutesPrices,
        *,
        config_hash: str,
        today: date,
        overlay: Overlay | None = None,
    ) -> Self:
        """Build the book; reads two files (some 50 ms) and keeps only the rows that the targets need."""
        ours = _operator_prices(routes_prices, f"routes:{config_hash}")
        dated = (overlay or read_overlay()).prices_on(today)
        litellm_prices = _LitellmPrices()
        prices, snapshots = dict(ours), dict[tuple[str, str], Price]()
        windows: dict[tuple[str, str], int] = {}
        wanted = tuple(dict.fromkeys(targets))
        for kind, provider, model, base in wanted:
            ids = _billed_as(model, base)
            if (window := litellm_prices.window(kind, ids)) is not None:
                windows[provider, model] = window
            own = _first(ours.get((provider, id_)) for id_ in ids) or _first(dated.get((kind, id_)) for id_ in ids)
            price = own or litellm_prices.price(kind, ids)
            if price is None:
                continue
            prices[provider, model] = price
            if own is None and kind not in _NAMES_DEPLOYMENTS:
                # An alias is answered by a snapshot, which may have another price than the alias has today.
                for snapshot, snapshot_price in litellm_prices.snapshots(kind, model):
                    snapshots[provider, snapshot] = snapshot_price
        deployments_of = frozenset(provider for kind, provider, *_ in wanted if kind in _NAMES_DEPLOYMENTS)
        return cls(snapshots | prices, deployments_of, windows)

    def lookup(self, provider_name: str, model: str) -> Price | None:
        """Return what the model costs at that provider; None: unpriced. One dictionary look-up."""
        return self._prices.get((provider_name, model))

    def window(self, provider_name: str, model: str) -> int | None:
        """Return how many tokens of input the model takes; None: not known."""
        return self._windows.get((provider_name, model))

    def price_of_answer(self, provider_name: str, asked: str, answered: str | None) -> Price | None:
        """Return the price of the model that answered, which need not be the one that was asked for.

        Unpriced where another model answered that this configuration does not name.
        """
        if answered is None or answered == asked or provider_name in self._deployments_of:
            return self.lookup(provider_name, asked)
        known = self.lookup(provider_name, answered)
        return self.lookup(provider_name, asked) if known is None and same_model(asked, answered) else known


class _LitellmPrices:
    """The prices of litellm's map; some 30 MiB while it lives, so it lives only while a book is built."""

    @cached_property
    def _rows(self) -> Rows:
        return bundled_map().read()

    @cached_property
    def _version(self) -> str:
        return bundled_map().source

    def price(self, kind: str, ids: tuple[str, ...]) -> Price | None:
        """Return the price of the first id that has one."""
        if kind not in PREFIX:
            return None
        own = _first(self._price(kind, key) for id_ in ids for key in keys_of(kind, id_))
        if own is not None or not ids[-1].startswith("ft:"):
            return own
        # A fine-tune whose base carries no snapshot: priced if every snapshot of that base costs the same.
        prices = [price for _, price in self.snapshots(kind, ids[-1])]
        return prices[0] if prices and len({(p.input, p.cached_input, p.output) for p in prices}) == 1 else None

    def window(self, kind: str, ids: tuple[str, ...]) -> int | None:
        """Return the tokens of input that the first id that has them takes; a fine-tune's are its base's."""
        if kind not in PREFIX:
            return None
        known = (*ids, *(id_.removeprefix("ft:") for id_ in ids[1:]))
        rows = (self._rows.get(key) for id_ in known for key in keys_of(kind, id_))
        given = (row.get("max_input_tokens") for row in rows if row is not None and is_of(kind, row))
        return _first(tokens if isinstance(tokens, int) else None for tokens in given)

    def snapshots(self, kind: str, alias: str) -> Iterator[tuple[str, Price]]:
        """Yield every snapshot of an alias that has a price."""
        if (prefix := PREFIX.get(kind)) is None:
            return
        for key in self._rows:
            if key.startswith(prefix + alias + "-") and _is_snapshot(alias, key.removeprefix(prefix)):
                price = self._price(kind, key)
                if price is not None:
                    yield key.removeprefix(prefix), price

    def _price(self, kind: str, key: str) -> Price | None:
        row = self._rows.get(key)
        if row is None or not is_of(kind, row):
            return None
        plain, output = _nano(row, "input_cost_per_token"), _nano(row, "output_cost_per_token")
        if plain is None or output is None or not (plain or output):
            return None  # A zero for both is as often "not known" as "free"; routes.yaml can say which.
        cached = _nano(row, "cache_read_input_token_cost", "input_cost_per_token_cache_hit")
        written = _nano(row, "cache_creation_input_token_cost")
        return Price(
            input=plain,
            cached_input=plain if cached is None else cached,
            output=output,
            version=self._version,
            source=str(row.get("source") or "litellm's bundled price map"),
            # Below the plain price it is a placeholder, or the price of reading in the wrong field.
            cache_write=written if written is not None and written > plain else None,
        )


def _billed_as(model: str, base: str | None) -> tuple[str, ...]:
    """Return the ids to look a model up by: its own, then, with a base known, that of the base's fine-tunes."""
    trained_on = base or base_of(model)
    return (model,) if trained_on is None else (model, f"ft:{trained_on}")


def _is_snapshot(alias: str, model: str) -> bool:
    # "ft:<base>" is an alias like any other here; same_model compares fine-tunes as whole ids.
    return same_model(alias.removeprefix("ft:"), model.removeprefix("ft:"))


def _operator_prices(routes_prices: RoutesPrices, version: str) -> dict[tuple[str, str], Price]:
    return {
        (provider, model): _price_per_1m(price, version)
        for provider, models in routes_prices.items()
        for model, price in models.items()
    }


def _price_per_1m(row: ModelPrice | OverlayRow, version: str) -> Price:
    scale = _NANO_PER_TOKEN_FROM_USD_PER_1M
    plain = row.input_usd_per_1m * scale
    cached, written = row.cached_input_usd_per_1m, getattr(row, "cache_write_usd_per_1m", None)
    return Price(
        input=plain,
        cached_input=plain if cached is None else cached * scale,
        output=row.output_usd_per_1m * scale,
        version=version,
        source=row.source,
        cache_write=None if written is None else written * scale,
    )


def _nano(row: Mapping[str, Any], *names: str) -> Decimal | None:
    """Return the first of the named prices, dollars per token, as nano-dollars; through str, to keep its digits."""
    found = _first(row.get(name) for name in names)
    return None if found is None else Decimal(str(found)) * _NANO


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)
