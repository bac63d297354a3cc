"""Routes put together: layers merged, names replaced by what they name, files read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from gateway.config.contracts import build_contract
from gateway.config.findings import Findings
from gateway.config.layers import merge, without_nulls
from gateway.config.learning_entries import build_learning, check_packs
from gateway.config.model_ids import base_of, embeds
from gateway.config.prompt_files import build_prompt, read_for_route
from gateway.config.references import Tree
from gateway.config.route_names import RouteName
from gateway.config.routes import (
    Contract,
    Cutover,
    FallbackWord,
    Parameters,
    Provider,
    Route,
    Target,
    Timeouts,
    Training,
)
from gateway.config.routes_slo import Slo
from gateway.config.schema import FallbackEntry
from gateway.config.schema_routes import ParametersEntry, RouteEntry, TimeoutsEntry, TrainingEntry
from gateway.config.shape import Damage
from gateway.config.source_files import SourceFiles
from gateway.config.variants import is_answerable, laid_over_task, without_variants
from gateway.config.yaml_source import Node, plain
from gateway.reasons import Role

FALLBACK_ON: tuple[FallbackWord, ...] = ("gone", "no_access", "connection", "timeout", "overloaded", "server_error")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the values of a route come from: its own merged tree, and those of its fallbacks."""

    name: RouteName
    route: Node
    fallbacks: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that routes are built from."""

    tree: Tree
    providers: Mapping[str, Provider]
    fallbacks: Mapping[str, Node]
    """Every fallback, ``extends`` resolved."""
    files: SourceFiles
    findings: Findings
    damage: Damage
    _entries: dict[str, FallbackEntry] = field(default_factory=dict)

    def build_all(self) -> dict[str, tuple[Route, Origin]]:
        """Return every route with its origins: each task that answers callers itself, then its variants.

        They lack what could not be had; each lack is reported as an error.
        """
        written: dict[str, tuple[RouteName, Node, Node]] = {}
        for task, node in self.tree.routes.items():
            under = merge(self.tree.defaults, self._profile(node))
            if is_answerable(node):
                written[task] = (RouteName(task), node, merge(under, without_variants(node)))
            for variant in self.tree.variants.values():
                if variant.name.task == task:
                    layered = laid_over_task(under, node, variant, self.findings)
                    written[str(variant.name)] = (variant.name, variant.written, layered)
        return {name: self._build(*row, routes=written) for name, row in written.items()}

    def _build(
        self, called: RouteName, written: Node, layered: Node, *, routes: Collection[str]
    ) -> tuple[Route, Origin]:
        name, merged = str(called), without_nulls(layered)
        entry = RouteEntry.model_validate(plain(merged))
        names = entry.fallbacks or ()
        damaged = self._damaged(called.task, entry.profile)
        fallbacks = (self._fallback(fallback, called) for fallback in names)
        route = Route(
            name=name,
            primary=self._primary(called, entry, merged),
            fallbacks=tuple(target for target in fallbacks if target),
            fallback_on=frozenset(FALLBACK_ON if entry.fallback_on is None else entry.fallback_on),
            timeouts=self._timeouts(entry.timeouts, merged),
            cutover=Cutover(**(entry.cutover.model_dump(exclude_none=True) if entry.cutover else {})),
            contract=self._contract(called, merged),
            residency=entry.residency,
            owner=entry.owner,
            training=self._training(called, entry.training, merged),
            tenant=entry.tenant,
            variant_of=called.task if called.tenant is not None else None,
            slo=Slo(**entry.slo.model_dump(exclude_none=True) if entry.slo else {}),
            **build_learning(name, entry, merged, routes, self.findings, damaged=damaged),
        )
        if not damaged:
            if not entry.primary and not names:
                self.findings.error(written, f"routes.{name} has neither a primary nor a fallback: nobody can answer")
            elif "primary" not in layered.entries:
                self.findings.warning(
                    written,
                    f"routes.{name} names no primary, so its fallbacks answer everything; where that is meant, write "
                    "`primary: null`",
                )
            self._check_targets(route, written)
            check_packs(route, written, self.findings)
        return route, Origin(
            called, layered, {fallback: self.fallbacks[fallback] for fallback in names if fallback in self.fallbacks}
        )

    def check_fallbacks(self) -> None:
        """Report what fallbacks lack once everything they extend is known; used or not."""
        for name, node in self.fallbacks.items():
            for key in ("provider", "model"):
                if (key not in node.entries or node.entries[key].value is None) and not self.damage.has(
                    "fallbacks", name
                ):
                    self.findings.error(self.tree.fallbacks[name], f"fallbacks.{name} lacks `{key}`")
            prompt = without_nulls(node).get("prompt")
            if prompt is None:
                continue
            sources = [key for key in ("instructions", "instructions_file") if key in prompt.entries]
            if len(sources) > 1:
                self.findings.error(
                    prompt.entries[sources[1]],
                    f"fallbacks.{name}.prompt has both instructions and instructions_file; "
                    "keep one, and set the other to null where it is inherited",
                )
            system = prompt.get("caller_system")
            trained = prompt.get("trained_system") or prompt.get("pack")
            if system and system.text == "replace_if_trained" and not trained:
                self.findings.warning(
                    system, f"fallbacks.{name}: replace_if_trained without trained_system acts as keep"
                )

    def _damaged(self, route: str, profile: str | None) -> bool:
        return (
            self.damage.has("defaults")
            or self.damage.has("routes", route)
            or (profile is not None and (self.damage.has("profiles", profile) or profile not in self.tree.profiles))
        )

    def _profile(self, written: Node) -> Node:
        named = written.get("profile")
        profile = self.tree.profiles.get(named.text) if named and named.text else None
        return profile or Node({}, written.file, written.line)

    def _primary(self, route: RouteName, entry: RouteEntry, merged: Node) -> Target | None:
        if entry.primary is None:
            return None
        name = entry.primary.provider or entry.provider
        if name is None:
            if not self._damaged(route.task, entry.profile):
                self.findings.error(
                    merged.get("primary") or merged,
                    f"routes.{route}: its primary has no provider; name one here or under defaults",
                )
            return None
        provider = self.providers.get(name)
        if provider is None:
            return None
        return Target(
            name="primary",
            role=Role.PRIMARY,
            provider=provider,
            model=entry.primary.model,
            base=entry.primary.base or base_of(entry.primary.model),
            embedding_space=entry.primary.embedding_space,
            parameters=_parameters(entry.primary.parameters),
        )

    def _fallback(self, name: str, route: RouteName) -> Target | None:
        if name not in self.fallbacks:
            return None
        node = without_nulls(self.fallbacks[name])
        entry = self._entries.get(name) or FallbackEntry.model_validate(plain(node))
        self._entries[name] = entry
        prompt = None
        if entry.prompt:
            prompt = build_prompt(entry.prompt, node.entries["prompt"], route, self.files, self.findings)
        provider = self.providers.get(entry.provider or "")
        if provider is None or entry.model is None:
            return None
        return Target(
            name=name,
            role=Role.FALLBACK,
            provider=provider,
            model=entry.model,
            base=entry.base or base_of(entry.model),
            embedding_space=entry.embedding_space,
            prompt=prompt,
            parameters=_parameters(entry.parameters),
        )

    def _contract(self, route: RouteName, merged: Node) -> Contract | None:
        at = merged.get("contract")
        read = read_for_route("contract", at, route, self.files, self.findings) if at else None
        if at is None or read is None:
            return None
        contract = build_contract(str(route), read[1], read[0], self.findings)
        if contract and not contract.strict:
            self.findings.warning(
                at,
                f"routes.{route}: {read[0]} is outside the subset that providers enforce (every object closed by "
                "additionalProperties: false, every property required); answers are checked, not forced",
            )
        return contract

    def _timeouts(self, entry: TimeoutsEntry | None, merged: Node) -> Timeouts:
        written = {key: float(value) for key, value in (entry.model_dump(exclude_none=True) if entry else {}).items()}
        defaults = Timeouts()
        total_s = written.get("total_s", defaults.total_s)
        for key in ("first_token_s", "idle_s"):
            at = merged.get("timeouts", key)
            if at and written[key] > total_s:
                self.findings.error(at, f"timeouts.{key} ({written[key]:g}) is longer than total_s ({total_s:g})")
            written.setdefault(key, min(getattr(defaults, key), total_s))
        return Timeouts(**written)

    def _training(self, route: RouteName, entry: TrainingEntry | None, merged: Node) -> Training | None:
        if entry is None:
            return None
        at = merged.get("training", "file")
        file = str(self.files.locate(at, route.filled_in(entry.file))) if at and entry.file else None
        return Training(**entry.model_dump() | {"file": file})

    def _check_targets(self, route: Route, at: Node) -> None:
        for fallback in route.fallbacks:
            primary = route.primary
            if primary and (fallback.provider.name, fallback.model) == (primary.provider.name, primary.model):
                self.findings.error(
                    at,
                    f"routes.{route.name}: fallback '{fallback.name}' is its primary "
                    f"({primary.model} of provider '{primary.provider.name}')",
                )
            if primary and embeds(primary.model, primary.base) and fallback.space != primary.space:
                self.findings.error(
                    at,
                    f"routes.{route.name}: vectors of fallback '{fallback.name}' ({fallback.model}) do not mix with "
                    f"those of its primary ({primary.model}), so it cannot answer instead; take it out, or, where you "
                    "know that they share a space, give both the same embedding_space",
                )
        for target in route.targets if route.residency else ():
            theirs = target.provider.residency
            if theirs != route.residency:
                what = "primary" if target.role is Role.PRIMARY else f"fallback '{target.name}'"
                self.findings.error(
                    at,
                    f"routes.{route.name} stays in '{route.residency}', but the provider of its {what}, "
                    f"'{target.provider.name}', {f'is in {theirs!r}' if theirs else 'has no residency'}",
                )
        if not route.fallbacks:
            self.findings.warning(at, f"routes.{route.name} has no fallback: when its primary goes, it fails")


def _parameters(entry: ParametersEntry | None) -> Parameters:
    if entry is None:
        return Parameters()
    return Parameters(
        rename={old: new for old, new in (entry.rename or {}).items() if new is not None},
        set={name: _as_json(value) for name, value in (entry.set or {}).items()},
        drop=entry.drop or (),
    )


def _as_json(value: Any) -> Any:
    """Return a value as a request's JSON carries it: a Decimal as a number, a date as text."""
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value
