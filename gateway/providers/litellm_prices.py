"""What litellm's map says of prices: rates by the token, for each service tier and length, and prices by the piece.

A row's keys are made of what is priced, above how much input, and in which tier:
``output_cost_per_token_above_200k_tokens_priority``. What a tier or a long context does not say holds as it stands
without that word, which is how litellm itself reads its map (``litellm_core_utils/llm_cost_calc/utils.py``).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, TypeVar, get_args

from gateway.config.routes_prices import TierWord
from gateway.policy.amounts import AmountPrice
from gateway.policy.pricing import LongContext, PartRates, Price, Rates
from gateway.policy.substitution import same_model
from gateway.providers.litellm_map import PREFIX, VERTEX, Rows, bundled_map, is_of, keys_of

_T = TypeVar("_T")
_NANO: Final = 10**9
_SUFFIXES: Final[Mapping[str, str]] = {
    word: "_batches" if word == "batch" else f"_{word}" for word in get_args(TierWord)
}
_PARTS: Final[Mapping[str, str]] = {
    "reasoning": "output_cost_per_reasoning_token",
    "input_audio": "input_cost_per_audio_token",
    "cached_audio": "cache_read_input_audio_token_cost",
    "output_audio": "output_cost_per_audio_token",
    "input_image": "input_cost_per_image_token",
    "cached_image": "cache_read_input_image_token_cost",
    "output_image": "output_cost_per_image_token",
    "hour_write": "cache_creation_input_token_cost_above_1hr",
}
_THRESHOLD: Final = re.compile(r"input_cost_per_token(_above_(\d+)k_tokens)")
_AT_THE_THRESHOLD: Final = frozenset({"xai"})
"""Kinds whose long context begins at its threshold and not behind it (litellm: ``_INCLUSIVE_THRESHOLD_PROVIDERS``)."""


class LitellmPrices:
    """The prices of litellm's map; some 30 MiB while it lives, so it lives only while a book is built."""

    @cached_property
    def _rows(self) -> Rows:
        return bundled_map().read()

    @cached_property
    def _version(self) -> str:
        return bundled_map().source

    def price(self, kind: str, ids: tuple[str, ...], region: str | None = None) -> Price | None:
        """Return the price of the first id that has one; the row of ``region``, where there is one, comes first."""
        if kind not in PREFIX:
            return None
        own = _first(self._price(kind, key, region) for id_ in ids for key in _keys(kind, id_, region))
        if own is not None or not ids[-1].startswith("ft:"):
            return own
        # A fine-tune whose base carries no snapshot: priced if every snapshot of that base costs the same.
        prices = [price for _, price in self.snapshots(kind, ids[-1], region)]
        if not prices or len({(p.input, p.cached_input, p.output) for p in prices}) > 1:
            return None
        alike = all(price.tiers == prices[0].tiers for price in prices)
        return prices[0] if alike else replace(prices[0], tiers={})

    def amounts(self, kind: str, model: str, region: str | None = None) -> AmountPrice | None:
        """Return what a model costs by the second, the character or the picture."""
        return _first(self._amounts(kind, key) for key in _keys(kind, model, region))

    def window(self, kind: str, ids: tuple[str, ...]) -> int | None:
        """Return the tokens of input that the first id that has them takes; a fine-tune's are its base's."""
        return self._limit("max_input_tokens", kind, ids)

    def longest_answer(self, kind: str, ids: tuple[str, ...]) -> int | None:
        """Return the tokens of the longest answer that the first id that has them gives, as ``window`` does."""
        return self._limit("max_output_tokens", kind, ids)

    def _limit(self, name: str, kind: str, ids: tuple[str, ...]) -> int | None:
        if kind not in PREFIX:
            return None
        known = (*ids, *(id_.removeprefix("ft:") for id_ in ids[1:]))
        rows = (self._rows.get(key) for id_ in known for key in keys_of(kind, id_))
        given = (row.get(name) for row in rows if row is not None and is_of(kind, row))
        return _first(tokens if isinstance(tokens, int) else None for tokens in given)

    def snapshots(self, kind: str, alias: str, region: str | None = None) -> Iterator[tuple[str, Price]]:
        """Yield every snapshot of an alias that has a price."""
        if (prefix := PREFIX.get(kind)) is None:
            return
        for key in self._rows:
            if key.startswith(prefix + alias + "-") and _is_snapshot(alias, key.removeprefix(prefix)):
                snapshot = key.removeprefix(prefix)
                price = _first(self._price(kind, known, region) for known in _keys(kind, snapshot, region))
                if price is not None:
                    yield snapshot, price

    def _row(self, kind: str, key: str) -> dict[str, Any] | None:
        row = self._rows.get(key)
        return row if row is not None and is_of(kind, row) else None

    def _price(self, kind: str, key: str, region: str | None) -> Price | None:
        row = self._row(kind, key)
        if row is None:
            return None
        read = _RowRates(row, self._uplift(kind, key, region), inclusive=kind in _AT_THE_THRESHOLD)
        standard = read.standard()
        if standard is None:
            return None
        return Price(
            standard.input,
            standard.cached_input,
            standard.output,
            version=self._version,
            source=_source(row),
            cache_write=standard.cache_write,
            parts=standard.parts,
            above=standard.above,
            tiers=read.tiers(standard),
        )

    def _uplift(self, kind: str, key: str, region: str | None) -> Decimal:
        """Return by what a row's prices are multiplied in a region; 1 where the map says nothing of that.

        OpenAI and Google charge more for regional addresses, and the map says by how much, model by model; of Google's
        it has some rows twice, and says it once.
        """
        named = f"regional_processing_uplift_multiplier_{region}" if kind == "openai" else ""
        if kind.startswith("vertex"):
            named = "regional_endpoint_uplift_multiplier"
        if region is None or not named:
            return Decimal(1)
        factor = _first(self._rows.get(known, {}).get(named) for known in (key, VERTEX + key))
        return Decimal(1) if factor is None else Decimal(str(factor))

    def _amounts(self, kind: str, key: str) -> AmountPrice | None:
        row = self._row(kind, key)
        if row is None:
            return None
        mode = row.get("mode")
        # Only the price of what went in: the map repeats it for some as output_cost_per_second, and it is billed once.
        second = _nano(row, "input_cost_per_second") if mode == "audio_transcription" else None
        character = _nano(row, "input_cost_per_character") if mode == "audio_speech" else None
        # What pictures cost that are made is called "input" for all but a few.
        picture = _nano(row, "output_cost_per_image", "input_cost_per_image") if mode == "image_generation" else None
        if not (second or character or picture):
            return None
        return AmountPrice(self._version, _source(row), second or None, character or None, picture or None)


class _RowRates:
    """Reads one row's rates. A zero for both input and output is as often "not known" as "free"."""

    def __init__(self, row: Mapping[str, Any], uplift: Decimal, *, inclusive: bool) -> None:
        self._row, self._uplift, self._inclusive = row, uplift, inclusive

    def standard(self) -> Rates | None:
        """Return the rates without a tier; None: the row has no price by the token."""
        plain, output = self._of("input_cost_per_token"), self._of("output_cost_per_token")
        by_kind = self._output_of_its_kind()
        if by_kind is not None:
            output = by_kind
        if plain is None or output is None or not (plain or output):
            return None
        cached = self._of("cache_read_input_token_cost")
        if cached is None:
            cached = self._of("input_cost_per_token_cache_hit")
        base = Rates(plain, plain if cached is None else cached, output)
        base = replace(base, cache_write=self._written("", plain), parts=self._parts("", base, None))
        return replace(base, above=self._above("", base))

    def tiers(self, standard: Rates) -> dict[str, Rates]:
        """Return the tiers that the row has a price for."""
        found: dict[str, Rates] = {}
        for word, suffix in _SUFFIXES.items():
            if self._of("input_cost_per_token" + suffix) is not None:
                rates = self._rates(suffix, standard)
                found[word] = replace(rates, above=self._above(suffix, rates, standard.above))
        return found

    def _rates(self, suffix: str, under: Rates) -> Rates:
        """Return the rates whose keys end so; what is not given is as in ``under``."""
        plain, output = self._of("input_cost_per_token" + suffix), self._of("output_cost_per_token" + suffix)
        cached, written = self._of("cache_read_input_token_cost" + suffix), self._written(suffix, plain or under.input)
        plain = under.input if plain is None else plain
        rates = Rates(
            plain,
            self._cached_otherwise(under, plain) if cached is None else cached,
            under.output if output is None else output,
            cache_write=under.cache_write if written is None else written,
        )
        return replace(rates, parts=self._parts(suffix, rates, under.parts))

    def _cached_otherwise(self, under: Rates, plain: Decimal) -> Decimal:
        # Reading from the cache never costs more than not to; a model without a price for it has none in its tiers.
        return min(under.cached_input, plain) if under.cached_input < under.input else plain

    def _above(self, suffix: str, under: Rates, standard: LongContext | None = None) -> LongContext | None:
        """Return the rates of a long context. In a tier that has none of its own the standard ones hold."""
        match = next(filter(None, map(_THRESHOLD.fullmatch, self._row)), None)
        if match is None:
            return None
        if standard is not None and self._of(match[0] + suffix) is None:
            return standard
        rates = self._rates(match[1] + suffix, under if standard is None else standard.rates)
        tokens = int(match[2]) * 1000
        return LongContext(tokens - 1 if self._inclusive else tokens, rates)

    def _written(self, suffix: str, plain: Decimal) -> Decimal | None:
        written = self._of("cache_creation_input_token_cost" + suffix)
        # Below the plain price it is a placeholder, or the price of reading in the wrong field.
        return written if written is not None and written > plain else None

    def _output_of_its_kind(self) -> Decimal | None:
        """Return what output costs of a model that says in pictures or sound alone, whose tokens nobody tells apart."""
        mode = self._row.get("mode")
        if mode == "image_generation" and self._row.get("output_cost_per_token") is None:
            return self._of("output_cost_per_image_token")
        return self._of("output_cost_per_audio_token") if mode == "audio_speech" else None

    def _parts(self, suffix: str, rates: Rates, under: PartRates | None) -> PartRates | None:
        """Return what parts cost, where that is not what the rest costs."""
        found: dict[str, Decimal | None] = {}
        whole = {"reasoning": "output", "input_audio": "input", "output_audio": "output"}
        whole |= {"input_image": "input", "output_image": "output", "hour_write": "cache_write"}
        for name, key in _PARTS.items():
            rate = self._of(key + suffix)
            standard = getattr(rates, whole[name]) if name in whole else None
            if rate is not None and rate == standard and not suffix:
                continue
            found[name] = rate if rate is not None else getattr(under, name) if under is not None else None
        given = {name: rate for name, rate in found.items() if rate is not None}
        return PartRates(**given) if given else None

    def _of(self, key: str) -> Decimal | None:
        rate = _nano(self._row, key)
        return None if rate is None else rate * self._uplift if self._uplift != 1 else rate


def _keys(kind: str, model: str, region: str | None) -> tuple[str, ...]:
    """Return the keys under which the map may have a model, that of the region first."""
    keys = keys_of(kind, model)
    if region is None or not keys or kind not in ("azure", "bedrock"):
        return keys
    return (f"{kind}/{region}/{model}", *keys)


def _is_snapshot(alias: str, model: str) -> bool:
    # "ft:<base>" is an alias like any other here; same_model compares fine-tunes as whole ids.
    return same_model(alias.removeprefix("ft:"), model.removeprefix("ft:"))


def _source(row: Mapping[str, Any]) -> str:
    return str(row.get("source") or "litellm's bundled price map")


def _nano(row: Mapping[str, Any], *names: str) -> Decimal | None:
    """Return the first of the named prices, dollars each, as nano-dollars; through str, to keep its digits."""
    found = _first(row.get(name) for name in names)
    return None if found is None else (Decimal(str(found)) * _NANO).normalize()


def _first(values: Iterable[_T | None]) -> _T | None:
    return next((value for value in values if value is not None), None)
