"""Dates by vendor and model, also of vendors that routes.yaml has no kind for: a scan meets all of them."""

import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Final

from gateway.config.routes import Provider, Routes, Target
from gateway.config.vendors import VENDORS
from gateway.lifecycle.calendar import Calendar, shipped_dates
from gateway.lifecycle.sources import shipped_models
from gateway.policy.lifecycle import Dates, Origin
from gateway.policy.precedence import merge
from gateway.providers.litellm_map import PREFIX, bundled_map
from gateway.reasons import Role

# An alias is written without these: no other way to name a snapshot is told from a model's own name.
_DAY: Final = re.compile(r"-20\d\d-\d\d-\d\d")
_DAY_LENGTH: Final = len("-2024-07-18")

# How litellm's names of providers begin, by vendor; all others are vendors under their own name.
_LITELLM_PROVIDERS: Final = (
    ("vertex_ai", "vertex"),
    ("bedrock", "bedrock"),
    ("cohere", "cohere"),
    ("azure", "azure"),
    ("together", "together"),
    ("fireworks", "fireworks"),
    ("text-completion-openai", "openai"),
)


class KnownDates:
    """Dates by vendor and model, for vendors that routes.yaml can name and for those it cannot."""

    def __init__(self, routes: Routes | None) -> None:
        """Take a configuration for what its operator says of dates; None: only what ships."""
        self._routes = routes or Routes(config_hash="", routes={}, providers={})
        self._calendar = Calendar(self._routes)
        self._dates: dict[tuple[str, str, str | None], Dates] = {}

    @cached_property
    def models(self) -> frozenset[tuple[str, str]]:
        """Return vendor and model of everything that has a date, and of aliases whose snapshots have one."""
        return self._named | self._aliases.keys()

    def snapshot_of(self, vendor: str, model: str) -> tuple[str, date] | None:
        """Return the snapshot behind an alias that stops last, and its day; None: no alias, or one of them stays."""
        return self._aliases.get((vendor, model))

    @cached_property
    def _aliases(self) -> Mapping[tuple[str, str], tuple[str, date]]:
        """Find the aliases that nobody dates by themselves, while each of their snapshots stops."""
        found: dict[tuple[str, str], list[tuple[date, str]]] = defaultdict(list)
        for vendor, model in self._named:
            alias = (vendor, model[:-_DAY_LENGTH])
            if _DAY.fullmatch(model[-_DAY_LENGTH:]) and alias not in self._named:
                found[alias].append((self.dates_of(vendor, model).shutdown or date.max, model))
        last = ((alias, *max(snapshots)) for alias, snapshots in found.items())
        return {alias: (name, day) for alias, day, name in last if day != date.max}

    @cached_property
    def _named(self) -> frozenset[tuple[str, str]]:
        operator = (
            (self._routes.providers[provider].kind, model)
            for provider, models in self._routes.lifecycle.items()
            for model in models
            if provider in self._routes.providers and not model.startswith("ft:")
        )
        return frozenset((*shipped_models(), *self._hosts, *operator))

    def dates_of(self, vendor: str, model: str, base: str | None = None) -> Dates:
        """Return what all sources amount to; ``UNKNOWN_DATES`` where none knows it. A look-up after the first call."""
        key = (vendor, model, base)
        if key not in self._dates:
            self._dates[key] = self._merged(*key)
        return self._dates[key]

    def _merged(self, vendor: str, model: str, base: str | None) -> Dates:
        if vendor in VENDORS:
            provider = self._provider(vendor, (model, base))
            target = Target(name="scan", role=Role.PRIMARY, provider=provider, model=model, base=base)
            return self._calendar.dates_of(target)
        shipped = shipped_dates(vendor, model, base)
        if (day := self._hosts.get((vendor, model))) is None:
            return shipped
        return merge((shipped, Dates(shutdown=day, source=self._map_name, acts=False, origin=Origin.LITELLM)))

    def _provider(self, kind: str, models: tuple[str | None, ...]) -> Provider:
        """Return the provider of that kind for which the operator dates one of the models, or one of no name."""
        for name, provider in self._routes.providers.items():
            if provider.kind == kind and any(model in self._routes.lifecycle.get(name, {}) for model in models):
                return provider
        return Provider(name="", kind=kind, base_url="")

    @property
    def _map_name(self) -> str:
        return f"the map of {bundled_map().source}"

    @cached_property
    def _hosts(self) -> Mapping[tuple[str, str], date]:
        """Read litellm's dates of hosts that routes.yaml has no kind for: Bedrock, Vertex AI, Anthropic and others."""
        found: dict[tuple[str, str], date] = {}
        for key, row in bundled_map().read().items():
            provider = str(row.get("litellm_provider", ""))
            vendor = next((name for start, name in _LITELLM_PROVIDERS if provider.startswith(start)), provider)
            if vendor in PREFIX:
                continue
            try:
                day = date.fromisoformat(row.get("deprecation_date", ""))
            except (TypeError, ValueError):
                continue
            found[vendor, key.removeprefix(f"{provider}/").removeprefix("vertex_ai/")] = day
        return found
