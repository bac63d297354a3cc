"""A draft of routes.yaml from LiteLLM's config: who answers which name, and who instead. Pure but for notes."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from typing import Final

from gateway.config.yaml_source import Node
from gateway.lifecycle.litellm_accounts import Account
from gateway.lifecycle.litellm_config import LitellmConfig, StandIns
from gateway.lifecycle.litellm_names import Names, names_of, variables_of
from gateway.lifecycle.litellm_notes import Notes, Place
from gateway.lifecycle.litellm_targets import Limits, Price, Reached, reach

_MOST_STAND_INS: Final = 5
"""Of names; LiteLLM's own limit."""
_PINS: Final = re.compile(r"primary|fallback|[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class DraftTarget:
    """A model at a provider of the draft."""

    provider: str
    model: str
    base: str | None
    space: str | None
    """``embedding_space``, where it has to be said."""
    defaults: tuple[tuple[str, str], ...]
    """What LiteLLM adds to requests that say nothing of it."""

    is_fine_tune: bool


@dataclass(frozen=True, slots=True)
class DraftRoute:
    """One route."""

    name: str
    primary: DraftTarget | None
    fallbacks: tuple[str, ...]
    timeouts: Mapping[str, Decimal]
    """As far as they differ from the draft's defaults."""
    at: Place


@dataclass(frozen=True, slots=True)
class ImportedDraft:
    """Everything that goes into the file."""

    source: str
    providers: Mapping[str, Account]
    fallbacks: Mapping[str, DraftTarget]
    routes: tuple[DraftRoute, ...]
    prices: Mapping[str, Mapping[str, Price]]
    timeouts: Mapping[str, Decimal]
    usual_fallbacks: tuple[str, ...]
    usual_provider: str | None
    had_key: bool
    """Whether LiteLLM asked callers for its master key."""
    tells_slack: bool
    variables: Mapping[str, str]
    """By provider: the variable that holds its key."""


def draft(config: LitellmConfig, notes: Notes) -> ImportedDraft:
    """Draft routes for every name that applications may send."""
    return _Drafter(config, notes).draft()


class _Drafter:
    def __init__(self, config: LitellmConfig, notes: Notes) -> None:
        self._config = config
        self._notes = notes
        self._reached = reach(config, notes)
        self._accounts = names_of(found.account for group in self._reached.values() for found in group)
        self._by_id = {
            identity: (found,)
            for group in self._reached.values()
            for found in group
            if (identity := config.values.text(found.deployment.info.get("id"))) is not None
        }
        self._route_names = Names()
        self._fallback_names = Names(_PINS)
        self._fallbacks: dict[DraftTarget, str] = {}
        self._limits = Limits(
            *(self._seconds(*names) for names in (("timeout", "request_timeout"), ("stream_timeout",)))
        )
        self._timeouts = self._limits.timeouts()
        if self._limits.answer_s is not None:
            self._note_timeouts(config.settings.get("timeout") or config.settings["request_timeout"])

    def draft(self) -> ImportedDraft:
        names = [*self._config.groups, *(alias for alias in self._config.aliases if alias not in self._config.groups)]
        routes = tuple(route for name in names if (route := self._route(name)) is not None)
        used = {target.provider for target in self._fallbacks}
        used |= {route.primary.provider for route in routes if route.primary}
        providers = {name: account for account, name in self._accounts.items() if name in used}
        primaries = Counter(route.primary.provider for route in routes if route.primary)
        stand_ins = Counter(route.fallbacks for route in routes if route.fallbacks)
        usual, often = next(iter(stand_ins.most_common(1)), ((), 0))
        general = self._config.sections.get("general_settings")
        alerting = general.get("alerting") if general else None
        return ImportedDraft(
            source=self._config.file,
            providers=providers,
            fallbacks={name: target for target, name in self._fallbacks.items()},
            routes=routes,
            prices=self._prices(providers),
            timeouts=self._timeouts,
            usual_fallbacks=usual if often > 1 and often * 2 > len(routes) else (),
            usual_provider=next((name for name, often in primaries.most_common(1) if often * 2 >= len(routes)), None),
            had_key=bool(general and general.get("master_key")),
            tells_slack=any(item.text == "slack" for item in alerting.items) if alerting else False,
            variables=variables_of(providers),
        )

    def _seconds(self, *names: str) -> Decimal | None:
        found = (self._config.values.seconds(self._config.settings.get(name)) for name in names)
        return next((limit for limit in found if limit is not None), None)

    def _route(self, asked: str) -> DraftRoute | None:
        at, group = self._meant(asked)
        if group is None:
            self._notes.missing("model_group_alias", "an alias of a name that model_list does not have; left out", at)
            return None
        own = self._reached.get(group, ())
        stand_ins = [found for name in self._chain(group) for found in self._stand_in(name, group)]
        if not own and not stand_ins:
            return None
        name = self._route_names.give(asked)
        if name != asked:
            self._notes.changed(
                name, "is its name here: names have at most 100 characters, none of them a space or @", at
            )
        if len(own) > 1:
            self._note_balance(group, own)
        first, others = (own[0], own[1:]) if own else (None, ())
        candidates = [*((self._fallback_label(group, found), found) for found in others), *stand_ins]
        return self._assembled(name, group, first, candidates, at)

    def _assembled(
        self, name: str, group: str, first: Reached | None, candidates: Sequence[tuple[str, Reached]], at: Node
    ) -> DraftRoute:
        space = None
        if first is not None and first.vectors:
            candidates, space = self._same_vectors(group, first, candidates)
        primary = self._target(first, space) if first else None
        seen = {(primary.provider, primary.model)} if primary else set()
        fallbacks = []
        for label, found in candidates:
            target = self._target(found, space)
            if (target.provider, target.model) not in seen:
                seen.add((target.provider, target.model))
                if target not in self._fallbacks:
                    self._fallbacks[target] = self._fallback_names.give(label)
                fallbacks.append(self._fallbacks[target])
        if primary is None:
            self._notes.changed(name, "none of its deployments can be called from here: its fallback answers", at)
        who = f"{primary.model} at {primary.provider}" if primary else "no primary"
        then = f", then {', '.join(fallbacks)}" if fallbacks else ""
        self._notes.taken(name, f"{who}{then}", at)
        timeouts = self._route_timeouts(group, first, [found for _, found in candidates])
        return DraftRoute(name, primary, tuple(fallbacks), timeouts, Place(at.file, at.line))

    def _meant(self, asked: str) -> tuple[Node, str | None]:
        """Return where a name is written, and which group answers it; None: no group does."""
        if asked in self._config.groups:
            return self._config.groups[asked][0].at, asked
        target, at = self._config.aliases[asked]
        return at, target if target in self._config.groups else None

    def _chain(self, group: str) -> list[str]:
        """Return who stands in for a group, and for those who stand in, in LiteLLM's order."""
        found: list[str] = []
        direct = self._config.fallbacks.get(group, self._config.usual_fallbacks)
        waiting = [self._names_in(direct)]
        while waiting and len(found) < _MOST_STAND_INS:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
            elif name != group and name not in found:
                found.append(name)
                waiting.append(self._names_in(self._config.fallbacks.get(name)))
        return found

    def _names_in(self, stand_ins: StandIns | None) -> Iterator[str]:
        for name in stand_ins.names if stand_ins else ():
            group = self._config.aliases[name][0] if name in self._config.aliases else name
            if group in self._config.groups or group in self._by_id:
                yield group
            elif stand_ins is not None:
                text = f"{name} is not in model_list, or only as a wildcard; left out"
                self._notes.missing("fallbacks", text, stand_ins.at)

    def _stand_in(self, name: str, group: str) -> list[tuple[str, Reached]]:
        found = self._reached.get(name) or self._by_id.get(name) or ()
        if not found:
            text = f"its fallback {name} cannot be called from here; left out"
            self._notes.missing(group, text, self._meant(group)[0])
        return [(self._fallback_label(name, one) if one is not found[0] else name, one) for one in found]

    def _fallback_label(self, group: str, found: Reached) -> str:
        return f"{group}-{self._accounts[found.account]}"

    def _same_vectors(
        self, group: str, first: Reached, candidates: Sequence[tuple[str, Reached]]
    ) -> tuple[list[tuple[str, Reached]], str | None]:
        """Return whose vectors mix with the primary's, and the name of their space where it has to be said."""
        kept, at = [], first.deployment.at
        for label, found in candidates:
            together = found.deployment.name == group and None in (found.identity, first.identity)
            if together or (found.identity is not None and found.identity == first.identity):
                kept.append((label, found))
            else:
                text = f"{found.model} cannot stand in: vectors of two models do not mix; left out"
                self._notes.missing(group, text, at)
        if all((found.base or found.model) == (first.base or first.model) for _, found in kept):
            return kept, None
        text = "its deployments are said to share an embedding_space, as LiteLLM takes for granted: see that it is so"
        self._notes.changed(group, text, at)
        return kept, Names().give(first.identity or group)

    def _target(self, found: Reached, space: str | None) -> DraftTarget:
        provider = self._accounts[found.account]
        return DraftTarget(provider, found.model, found.base, space, found.defaults, found.is_fine_tune)

    def _note_balance(self, group: str, own: Sequence[Reached]) -> None:
        self._notes.changed(
            group,
            f"LiteLLM spreads its requests over {len(own)} deployments; here {own[0].model} at "
            f"{self._accounts[own[0].account]} answers, and the others in their order when it cannot",
            own[0].deployment.at,
        )

    def _route_timeouts(self, group: str, first: Reached | None, others: Sequence[Reached]) -> Mapping[str, Decimal]:
        if first is None:
            return {}
        own = [self._effective(found.limits) for found in (first, *others)]
        if any(limits != own[0] for limits in own[1:]):
            text = "a route's time limits hold for all of its targets: the first one's were taken"
            self._notes.changed(group, text, first.deployment.at)
        timeouts = own[0].timeouts()
        if first.limits.answer_s is not None:
            self._note_timeouts(first.deployment.params["timeout"])
        return {} if timeouts == self._timeouts else timeouts

    def _note_timeouts(self, at: Node) -> None:
        self._notes.changed(
            "timeouts",
            "total_s ends a stream, too, that takes longer in all; LiteLLM's limit is one of silence there",
            at,
        )

    def _effective(self, limits: Limits) -> Limits:
        return replace(
            limits,
            answer_s=limits.answer_s or self._limits.answer_s,
            silence_s=limits.silence_s or self._limits.silence_s,
        )

    def _prices(self, providers: Mapping[str, Account]) -> dict[str, dict[str, Price]]:
        prices: dict[str, dict[str, Price]] = {}
        for found in chain.from_iterable(self._reached.values()):
            provider = self._accounts[found.account]
            if found.price is None or provider not in providers:
                continue
            known = prices.setdefault(provider, {}).setdefault(found.model, found.price)
            if known != found.price:
                self._notes.changed("prices", "of two prices of one model the first was taken", found.deployment.at)
        return prices
