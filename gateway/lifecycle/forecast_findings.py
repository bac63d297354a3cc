"""What is wrong with how a route is prepared, each with what to do about it. No I/O."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from gateway.config.routes import Prompt, Route, Target
from gateway.lifecycle.draft_files import starter
from gateway.lifecycle.forecast_aliases import Alias, alias_words
from gateway.lifecycle.forecast_traffic import CostBasis, CostChange, Demand, Load, prompt_tokens
from gateway.policy.availability import TargetState
from gateway.policy.inheritance import rule_of
from gateway.policy.lifecycle import Dates, midnight
from gateway.policy.planner import DatesOf
from gateway.policy.substitution import same_model
from gateway.policy.traffic import Traffic
from gateway.providers.prices import PriceBook
from gateway.reasons import Availability, Role

CLOSE_TO_QUOTA: Final = 0.8


class FindingKind(StrEnum):
    """What can be wrong, the worst first."""

    NOBODY = "nobody"
    NO_FALLBACK = "no_fallback"
    FALLBACK_GONE = "fallback_gone"
    FALLBACK_STOPS = "fallback_stops"
    ALIAS = "alias"
    SHARES_BASE = "shares_base"
    QUOTA = "quota"
    REFUSED = "refused"
    TOO_LONG = "too_long"
    STAND_IN = "stand_in"
    NO_PROMPT = "no_prompt"
    UNWRITTEN = "unwritten"
    """The prompt is still what ``gateway init`` drafted."""
    NEVER_EXERCISED = "never_exercised"
    WARNS_ONLY = "warns_only"
    DISPUTED = "disputed"
    UNPRICED = "unpriced"


SEVERE: Final = frozenset(
    (
        FindingKind.NOBODY,
        FindingKind.FALLBACK_GONE,
        FindingKind.FALLBACK_STOPS,
        FindingKind.ALIAS,
        FindingKind.QUOTA,
        FindingKind.REFUSED,
        FindingKind.TOO_LONG,
        FindingKind.STAND_IN,
        FindingKind.NO_PROMPT,
        FindingKind.UNWRITTEN,
    )
)

REMEDIES: Final = {
    FindingKind.NOBODY: "give the route a fallback that outlives it",
    FindingKind.NO_FALLBACK: "give the route a fallback, or it fails with its primary",
    FindingKind.FALLBACK_GONE: "name another fallback, or take it out; the gateway goes on looking whether it is back",
    FindingKind.ALIAS: "name the snapshot, so that its day counts, or another model: an alias is moved on, or ends",
    FindingKind.FALLBACK_STOPS: "name a fallback that outlives the primary, before or instead of this one",
    FindingKind.SHARES_BASE: "name a fallback of another base: what ends one ends the other",
    FindingKind.QUOTA: "ask the provider for a higher quota, ramp the cutover, or spread routes over several fallbacks",
    FindingKind.REFUSED: "rename or drop these under the fallback's `parameters`, or change the callers",
    FindingKind.TOO_LONG: "name a fallback with a larger window, or shorten the prompt",
    FindingKind.STAND_IN: "name a real model: the sandbox only acts as one",
    FindingKind.NO_PROMPT: "write `prompt: {instructions_file: …}`: without one the base model answers as it pleases",
    FindingKind.UNWRITTEN: "write it, in the file that the fallback's `instructions_file` names, and try it",
    FindingKind.NEVER_EXERCISED: 'try it with your own requests: `gateway try ROUTE@fallback "…"`',
    FindingKind.WARNS_ONLY: "if the date is right, write it under `lifecycle:` in routes.yaml, and traffic moves on it",
    FindingKind.DISPUTED: "find out which day is right, and write it under `lifecycle:` in routes.yaml",
    FindingKind.UNPRICED: "give what you pay, in US dollars a million tokens, in routes.yaml: "
    "`prices: {PROVIDER: {MODEL: {input_usd_per_1m: 0.30, output_usd_per_1m: 1.20, source: our contract}}}`",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one route."""

    kind: FindingKind
    text: str
    """What is wrong, without the route's name: equal for routes with the same trouble."""

    instead: str | None = None
    """What to do about it, where that is not what the kind's others take."""

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.instead or REMEDIES[self.kind]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of one route when it is judged."""

    route: Route
    main: Target
    dates: Dates
    now: datetime
    until: datetime
    serves: Target | None
    understudy: Target | None
    lost: bool
    cost: CostChange
    demand: Demand | None
    traffic: Traffic | None
    gone: Mapping[str, TargetState]
    """Target's name → what it is seen to be, for targets that cannot be asked."""
    dates_of: DatesOf
    base_of: Callable[[Target], str | None]
    alias_of: Callable[[Target], Alias | None]
    ends: date | None
    set_and_refused: tuple[str, ...]
    """What the fallback's own ``parameters`` set, and its model refuses."""

    @property
    def still_answers(self) -> bool:
        """Whether the date has come, and the main target is not known to be gone: then it is called on."""
        shutdown = self.dates.shutdown
        return self.main.name not in self.gone and shutdown is not None and midnight(shutdown) <= self.now


def findings_of(scene: Scene, book: PriceBook, loads: Sequence[Load] = ()) -> tuple[Finding, ...]:
    """Return everything that is wrong with a route, the worst first."""
    found = {
        Finding(kind, text) for judge in (_answering, _fallbacks, _preparation, _dates) for kind, text in judge(scene)
    }
    found |= {*_awaits_pack(scene)}
    found |= {Finding(kind, text) for kind, text in _asked_for(scene, book, loads)}
    order = list(FindingKind)
    return tuple(sorted(found, key=lambda finding: (order.index(finding.kind), finding.text)))


_Found = Iterator[tuple[FindingKind, str]]


def _answering(scene: Scene) -> _Found:
    route = scene.route
    if scene.serves is None:
        if not route.fallbacks:
            why = "there is no fallback"
        elif all(fallback.name in scene.gone for fallback in route.fallbacks):
            are = "is" if len(route.fallbacks) == 1 else "are"
            why = f"{' and '.join(map(named, route.fallbacks))} {are} gone as well"
        elif not route.fallback_on:
            why = "`fallback_on: []` lets no fallback answer"
        elif scene.understudy is None and all(scene.dates_of(fallback).shutdown for fallback in route.fallbacks):
            stops = ", ".join(f"{named(f)} stops {scene.dates_of(f).shutdown}" for f in route.fallbacks)
            why = f"{stops} as well"
        else:
            why = "`fallback_on` lets no fallback answer for a model that is gone"
        if scene.still_answers:
            said = "no fallback left; the primary is called until it is gone"
        elif (seen := scene.gone.get(scene.main.name)) is not None:
            said = f"{scene.main.role} is {seen_to_be(seen)}, and nobody takes over"
        else:
            said = f"{scene.main.role} stops {scene.dates.shutdown}, and nobody takes over"
        yield FindingKind.NOBODY, f"{said}: {why}"
    elif scene.ends is not None:
        yield FindingKind.NOBODY, f"{named(scene.serves)} takes over, and stops {scene.ends}; nobody is behind it"
    elif route.primary is not None and not route.fallbacks:
        yield FindingKind.NO_FALLBACK, "no fallback"


def _fallbacks(scene: Scene) -> _Found:
    if scene.serves is None:
        return
    primary = scene.route.primary
    for fallback in scene.route.fallbacks:
        if fallback == scene.main:
            continue
        dates, primarys = scene.dates_of(fallback), scene.dates if scene.lost else None
        if (seen := scene.gone.get(fallback.name)) is not None:
            yield FindingKind.FALLBACK_GONE, f"fallback {named(fallback)} is {seen_to_be(seen)}"
        elif stops_too(primarys, dates, scene.until):
            yield FindingKind.FALLBACK_STOPS, f"fallback {named(fallback)} stops {dates.shutdown}"
        elif (alias := scene.alias_of(fallback)) is not None and stops_too(primarys, alias.dates, scene.until):
            yield FindingKind.ALIAS, alias_words(fallback, alias)
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


def _stands_in(scene: Scene) -> Target | None:
    target = scene.serves if scene.lost else scene.understudy
    return target if target is not None and target.role is Role.FALLBACK else None


def _awaits_pack(scene: Scene) -> Iterator[Finding]:
    target = _stands_in(scene)
    if target is None or not has_no_prompt(target.prompt) or not names_pack(target.prompt):
        return
    where, remedy = "not built yet", "build it: `gateway pack build ROUTE --from FILE`"
    if target.prompt is not None and target.prompt.awaited_pack is not None:
        where, remedy = "not known from the database", "name the database, and put it there: `gateway pack push DIR`"
    yield Finding(FindingKind.NO_PROMPT, f"fallback {named(target)} has no prompt: its pack is {where}", remedy)


def _preparation(scene: Scene) -> _Found:
    if (target := _stands_in(scene)) is None:
        return
    if has_no_prompt(target.prompt) and not names_pack(target.prompt):
        yield FindingKind.NO_PROMPT, f"fallback {named(target)} has no prompt"
    elif target.prompt is not None and target.prompt.instructions == starter(scene.route.name):
        yield FindingKind.UNWRITTEN, f"the prompt of fallback {named(target)} is still the draft of `gateway init`"
    if scene.route.primary is None:
        return
    key = (scene.route.name, target.provider.name, target.model)
    if scene.traffic is not None and key not in scene.traffic.exercised:
        yield FindingKind.NEVER_EXERCISED, f"fallback {named(target)} never answered for this route in 90 days"
    if target.provider.kind == "sandbox" and scene.main.provider.kind != "sandbox":
        yield FindingKind.STAND_IN, f"fallback {named(target)} is the sandbox, which only stands in for a model"


def has_no_prompt(prompt: Prompt | None) -> bool:
    """Tell whether a fallback has nothing to say to its model."""
    return prompt is None or not (prompt.instructions or prompt.examples)


def names_pack(prompt: Prompt | None) -> bool:
    """Tell whether a prompt's pack is still to come."""
    return prompt is not None and (prompt.missing_pack is not None or prompt.awaited_pack is not None)


def _dates(scene: Scene) -> _Found:
    dates = scene.dates
    if (alias := scene.alias_of(scene.main)) is not None and stops_too(None, alias.dates, scene.until):
        yield FindingKind.ALIAS, alias_words(scene.main, alias)
    if dates.shutdown is not None and not dates.acts:
        who = dates.origin.value if dates.origin else "its source"
        yield (
            FindingKind.WARNS_ONLY,
            f"{dates.shutdown} is {who}'s word alone ({dates.certainty}): traffic moves only once the model is gone",
        )
    for other in dates.disputed_by:
        said = who_says(other, dates)
        yield FindingKind.DISPUTED, f"{dates.shutdown or 'no date'} is believed, but {said} says {other.shutdown}"


def _asked_for(scene: Scene, book: PriceBook, loads: Sequence[Load]) -> _Found:
    target = scene.serves
    if not scene.lost or target is None or target == scene.main:
        return
    if scene.cost.basis is CostBasis.UNPRICED:
        yield FindingKind.UNPRICED, "what the move costs is not known: one of its models has no price"
    asked = scene.demand
    if scene.set_and_refused:
        names = ", ".join(scene.set_and_refused)
        yield FindingKind.REFUSED, f"fallback {named(target)} refuses every request: its own `parameters` set {names}"
    elif asked is not None and asked.refused:
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


def who_says(claim: Dates, than: Dates) -> str:
    """Name who says otherwise; of one and the same list, whose row it is that differs."""
    if claim.origin is not None and (claim.origin, claim.source) == (than.origin, than.source):
        if claim.inherited_from is not None:
            return "its base's row in the same list"
        return "its own row in the same list" if than.inherited_from else "another row of the same list"
    return claim.origin.value if claim.origin else claim.source


def seen_to_be(seen: TargetState) -> str:
    """Say what a target that cannot be asked is, and since when."""
    what = "gone" if seen.availability is Availability.GONE else "closed to us"
    return f"{what} (since {seen.since:%Y-%m-%d})"


def named(target: Target) -> str:
    """Name a target for people: the fallback's name in routes.yaml, and its model."""
    return target.model if target.name in ("primary", target.model) else f"{target.name} ({target.model})"
