"""What is wrong with how a route is prepared, each with what to do about it. No I/O."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.config.routes import Route, Target
from gateway.lifecycle.forecast_traffic import Demand, Load, prompt_tokens
from gateway.policy.inheritance import rule_of
from gateway.policy.lifecycle import Dates, midnight
from gateway.policy.planner import DatesOf
from gateway.policy.substitution import same_model
from gateway.policy.traffic import Traffic
from gateway.providers.prices import PriceBook
from gateway.reasons import Role

CLOSE_TO_QUOTA: Final = 0.8


class FindingKind(StrEnum):
    """What can be wrong, the worst first."""

    NOBODY = "nobody"
    NO_FALLBACK = "no_fallback"
    FALLBACK_STOPS = "fallback_stops"
    SHARES_BASE = "shares_base"
    QUOTA = "quota"
    REFUSED = "refused"
    TOO_LONG = "too_long"
    STAND_IN = "stand_in"
    NO_PROMPT = "no_prompt"
    NEVER_EXERCISED = "never_exercised"
    WARNS_ONLY = "warns_only"
    DISPUTED = "disputed"


SEVERE: Final = frozenset(
    (
        FindingKind.NOBODY,
        FindingKind.FALLBACK_STOPS,
        FindingKind.QUOTA,
        FindingKind.REFUSED,
        FindingKind.TOO_LONG,
        FindingKind.STAND_IN,
    )
)

REMEDIES: Final = {
    FindingKind.NOBODY: "give the route a fallback that outlives it",
    FindingKind.NO_FALLBACK: "give the route a fallback, or it fails with its primary",
    FindingKind.FALLBACK_STOPS: "name a fallback that outlives the primary, before or instead of this one",
    FindingKind.SHARES_BASE: "name a fallback of another base: what ends one ends the other",
    FindingKind.QUOTA: "ask the provider for a higher quota, ramp the cutover, or spread routes over several fallbacks",
    FindingKind.REFUSED: "rename or drop these under the fallback's `parameters`, or change the callers",
    FindingKind.TOO_LONG: "name a fallback with a larger window, or shorten the prompt",
    FindingKind.STAND_IN: "name a real model: the sandbox only acts as one",
    FindingKind.NO_PROMPT: "write `prompt: {instructions_file: …}`: without one the base model answers as it pleases",
    FindingKind.NEVER_EXERCISED: 'try it with your own requests: `gateway try ROUTE@fallback "…"`',
    FindingKind.WARNS_ONLY: "if the date is right, write it under `lifecycle:` in routes.yaml, and traffic moves on it",
    FindingKind.DISPUTED: "find out which day is right, and write it under `lifecycle:` in routes.yaml",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one route."""

    kind: FindingKind
    text: str
    """What is wrong, without the route's name: equal for routes with the same trouble."""

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.kind]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of one route when it is judged."""

    route: Route
    main: Target
    dates: Dates
    until: datetime
    serves: Target | None
    understudy: Target | None
    lost: bool
    demand: Demand | None
    traffic: Traffic | None
    dates_of: DatesOf
    base_of: Callable[[Target], str | None]


def findings_of(scene: Scene, book: PriceBook, loads: Sequence[Load] = ()) -> tuple[Finding, ...]:
    """Return everything that is wrong with a route, the worst first."""
    found = {
        Finding(kind, text) for judge in (_answering, _fallbacks, _preparation, _dates) for kind, text in judge(scene)
    }
    found |= {Finding(kind, text) for kind, text in _asked_for(scene, book, loads)}
    order = list(FindingKind)
    return tuple(sorted(found, key=lambda finding: (order.index(finding.kind), finding.text)))


_Found = Iterator[tuple[FindingKind, str]]


def _answering(scene: Scene) -> _Found:
    route = scene.route
    if scene.serves is None:
        if not route.fallbacks:
            why = "there is no fallback"
        elif not route.fallback_on:
            why = "`fallback_on: []` lets no fallback answer"
        elif scene.understudy is None and all(scene.dates_of(fallback).shutdown for fallback in route.fallbacks):
            stops = ", ".join(f"{named(f)} stops {scene.dates_of(f).shutdown}" for f in route.fallbacks)
            why = f"{stops} as well"
        else:
            why = "`fallback_on` lets no fallback answer for a model that is gone"
        yield FindingKind.NOBODY, f"{scene.main.role} stops {scene.dates.shutdown}, and nobody takes over: {why}"
    elif route.primary is not None and not route.fallbacks:
        yield FindingKind.NO_FALLBACK, "no fallback"


def _fallbacks(scene: Scene) -> _Found:
    if scene.serves is None:
        return
    primary = scene.route.primary
    for fallback in scene.route.fallbacks:
        if fallback == scene.main:
            continue
        dates = scene.dates_of(fallback)
        if stops_too(scene.dates if scene.lost else None, dates, scene.until):
            yield FindingKind.FALLBACK_STOPS, f"fallback {named(fallback)} stops {dates.shutdown}"
        elif primary is not None and (base := shared_base(primary, fallback, scene.base_of)) is not None:
            yield FindingKind.SHARES_BASE, f"fallback {named(fallback)} shares the primary's base, {base}"


def stops_too(primary: Dates | None, fallback: Dates, until: datetime) -> bool:
    """Tell whether a fallback stops by ``until``, or no later than the primary that it stands in for."""
    if fallback.shutdown is None:
        return False
    within = midnight(fallback.shutdown) <= until
    return within or (primary is not None and primary.shutdown is not None and fallback.shutdown <= primary.shutdown)


def shared_base(primary: Target, fallback: Target, base_of: Callable[[Target], str | None]) -> str | None:
    """Return the base of which both are made; None where they differ, or where it is the owner's to keep."""
    if rule_of(primary.provider.kind) == "own" and rule_of(fallback.provider.kind) == "own":
        return None
    theirs, ours = base_of(primary) or primary.model, base_of(fallback) or fallback.model
    return ours if same_model(theirs, ours) or same_model(ours, theirs) else None


def _preparation(scene: Scene) -> _Found:
    target = scene.serves if scene.lost else scene.understudy
    if target is None or target.role is not Role.FALLBACK or scene.route.primary is None:
        return
    prompt = target.prompt
    if prompt is None or not (prompt.instructions or prompt.examples):
        yield FindingKind.NO_PROMPT, f"fallback {named(target)} has no prompt"
    key = (scene.route.name, target.provider.name, target.model)
    if scene.traffic is not None and key not in scene.traffic.exercised:
        yield FindingKind.NEVER_EXERCISED, f"fallback {named(target)} never answered for this route in 90 days"
    if target.provider.kind == "sandbox" and scene.main.provider.kind != "sandbox":
        yield FindingKind.STAND_IN, f"fallback {named(target)} is the sandbox, which only stands in for a model"


def _dates(scene: Scene) -> _Found:
    dates = scene.dates
    if dates.shutdown is not None and not dates.acts:
        who = dates.origin.value if dates.origin else "its source"
        yield (
            FindingKind.WARNS_ONLY,
            f"{dates.shutdown} is {who}'s word alone ({dates.certainty}): traffic moves only once the model is gone",
        )
    for other in dates.disputed_by:
        said = other.origin.value if other.origin else other.source
        yield FindingKind.DISPUTED, f"{dates.shutdown or 'no date'} is believed, but {said} says {other.shutdown}"


def _asked_for(scene: Scene, book: PriceBook, loads: Sequence[Load]) -> _Found:
    target = scene.serves
    if not scene.lost or target is None or target == scene.main:
        return
    asked = scene.demand
    if asked is not None and asked.refused:
        yield FindingKind.REFUSED, f"fallback {named(target)} refuses {', '.join(asked.refused_by_trait)}"
    key, name = (target.provider.name, target.model), scene.route.name
    window = book.window(*key)
    served = [row for row in scene.traffic.served if row.route == name] if scene.traffic else []
    longest = max((row.longest_input_tokens for row in served), default=0) + prompt_tokens(target.prompt)
    if served and window is not None and longest > window:
        yield (
            FindingKind.TOO_LONG,
            f"the longest request of last week takes {longest:,} tokens with the prompt of {named(target)}, "
            f"which takes {window:,}",
        )
    for load in loads:
        if load.target == key and (share := load.share_of_quota) is not None and share > CLOSE_TO_QUOTA:
            yield FindingKind.QUOTA, f"{load.target[1]} at {load.target[0]} would be asked {share:.0%} of its quota"


def named(target: Target) -> str:
    """Name a target for people: the fallback's name in routes.yaml, and its model."""
    return target.model if target.name in ("primary", target.model) else f"{target.name} ({target.model})"
