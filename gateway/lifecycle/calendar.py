"""The dates of every model we route to, merged from everybody who says something about them.

A fine-tune inherits the fine-tune dates of its base *at its vendor*. What ships is a vendor's: it holds for no sandbox
and for no self-hosted model, however they are called.
"""

from collections.abc import Iterator
from dataclasses import replace

from gateway.config.model_ids import base_of
from gateway.config.routes import ModelDates, Provider, Routes, Target
from gateway.lifecycle.sources import claims_of_fine_tunes, claims_of_model, shipped_models
from gateway.policy.inheritance import of_fine_tunes, rule_of
from gateway.policy.lifecycle import Dates, Origin, PublishedModels
from gateway.policy.precedence import merge, ordered
from gateway.reasons import Role

_Key = tuple[str, str, str, str | None, Role]


class Calendar:
    """Dates by target, for one configuration and what providers' APIs said last."""

    def __init__(self, routes: Routes, published: PublishedModels | None = None) -> None:
        self._operator = routes.lifecycle
        self._published = published or {}
        self._claims: dict[_Key, tuple[Dates, ...]] = {}
        self._dates: dict[_Key, Dates] = {}
        self._names: dict[str, frozenset[str]] = {}

    def dates_of(self, target: Target) -> Dates:
        """Return what all sources amount to; ``UNKNOWN_DATES`` where none knows it. A look-up after the first call."""
        key = _key(target)
        known = self._dates.get(key)
        if known is None:
            known = self._dates[key] = merge(self.claims_of(target))
        return known

    def claims_of(self, target: Target) -> tuple[Dates, ...]:
        """Return what each source says, the strongest first."""
        key = _key(target)
        known = self._claims.get(key)
        if known is None:
            known = self._claims[key] = ordered(self._gather(target))
        return known

    def base_of(self, target: Target) -> str | None:
        """Return the base model: as written, as the id tells it, or as its provider's API does."""
        if target.base is not None or (parsed := base_of(target.model)) is None:
            listed = self._published.get((target.provider.name, target.model))
            return target.base or (listed.base if listed else None)
        return parsed

    def names_at(self, provider: Provider) -> frozenset[str]:
        """Return every model of a provider that some source names. A look-up after the first call."""
        if (known := self._names.get(provider.name)) is None:
            polled = (model for name, model in self._published if name == provider.name)
            shipped = (model for kind, model in shipped_models() if kind == provider.kind)
            known = frozenset((*polled, *shipped, *self._operator.get(provider.name, ())))
            self._names[provider.name] = known
        return known

    def _gather(self, target: Target) -> Iterator[Dates]:
        kind = target.provider.kind
        base = self.base_of(target)
        if base == target.model:
            base = None
        # As written, a primary is trained from its base, and a fallback is its base under a name of its own. Ids and
        # APIs name only what a model was trained from.
        trained = target.base is None or target.role is Role.PRIMARY or base_of(target.model) is not None
        if (said := self._operators(target, base, trained)) is not None:
            yield said
        if base is None or not target.provider.vendor.names_deployments:
            yield from self._of_model(target.provider.name, kind, target.model)
        if base is None:
            return
        if trained:
            yield from self._of_fine_tunes(target.provider.name, kind, base)
        else:
            for claim in self._of_model(target.provider.name, kind, base):
                yield replace(claim, inherited_from=base)

    def _operators(self, target: Target, base: str | None, trained: bool) -> Dates | None:
        """Return the operator's word on the very model, else on its base."""
        rows = self._operator.get(target.provider.name, {})
        if target.model in rows:
            return _from_operator(rows[target.model])
        if base is None or base not in rows:
            return None
        said, rule = _from_operator(rows[base]), rule_of(target.provider.kind)
        # Who serves the weights themselves, and writes a date for the base, means what is made of it.
        derived = of_fine_tunes(base, said, rule) if trained and rule != "own" else None
        return derived or replace(said, inherited_from=base)

    def _of_model(self, provider: str, kind: str, model: str) -> Iterator[Dates]:
        if (listed := self._published.get((provider, model))) is not None:
            yield listed.dates
        yield from claims_of_model(kind, model)

    def _of_fine_tunes(self, provider: str, kind: str, base: str) -> Iterator[Dates]:
        if (listed := self._published.get((provider, base))) is not None:
            derived = of_fine_tunes(base, listed.dates, rule_of(kind))
            if derived is not None:
                yield derived
        yield from claims_of_fine_tunes(kind, base)


def shipped_dates(kind: str, model: str, base: str | None = None) -> Dates:
    """Return what ships, merged, of a model, or of a fine-tune of ``base``: without a configuration."""
    base = base or base_of(model)
    inherited = claims_of_fine_tunes(kind, base) if base and base != model else ()
    return merge((*claims_of_model(kind, model), *inherited))


def _key(target: Target) -> _Key:
    return target.provider.name, target.provider.kind, target.model, target.base, target.role


def _from_operator(row: ModelDates) -> Dates:
    return Dates(
        row.announced,
        row.shutdown,
        row.replacement,
        row.certainty,
        row.source,
        last_training_day=row.last_training_day,
        origin=Origin.OPERATOR,
    )
