"""Who answers a request, in which order, and why nobody else does. Pure: a Plan is data.

``gateway explain`` prints the very object that the server executes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.config.routes import Route, Target
from gateway.policy import lifecycle
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates, share_moved
from gateway.reasons import Availability, Lifecycle, Reason, Role


@dataclass(frozen=True, slots=True)
class Observed:
    """What this replica knows of one target at one moment."""

    availability: Availability = Availability.UNKNOWN
    circuit_open: bool = False
    resting: bool = False
    credential_refused: bool = False
    retry_after_s: float = 0.0
    """How long until a target that is left alone may be asked again."""


FRESH = Observed()
NOT_HELD = "its provider does not store what is referred to"
UNUSABLE = frozenset((Availability.GONE, Availability.NO_ACCESS))
UNUSABLE_BECAUSE = frozenset((Reason.GONE, Reason.NO_ACCESS))


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a plan."""

    target: Target
    reason: Reason | None
    """Why this target is asked; None: only because the step before it failed, and then that failure is the reason."""
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Skipped:
    """A target that this plan passes over."""

    target: Target
    reason: Reason
    detail: str = ""
    """What it lacks, in a sentence, where that is the reason."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the gateway intends for one request."""

    route: Route
    steps: tuple[Step, ...]
    skipped: tuple[Skipped, ...]
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Pin:
    """What a caller asked for behind the ``@`` of a route's name."""

    target: str | None = None
    """``primary``, ``fallback``, or the name of a fallback."""
    at: datetime | None = None
    """The day whose plan is to run."""


@dataclass(frozen=True, slots=True)
class Command:
    """Where a person has put a route by hand."""

    target: str
    """The name of one of its targets."""
    reason: str
    by: str
    at: datetime
    expires_at: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Tell whether it (still) holds."""
        return self.expires_at is None or now < self.expires_at


Observe = Callable[[Target], Observed]
DatesOf = Callable[[Target], Dates]
Lacks = Callable[[Target], str | None]


def nothing_lacked(target: Target) -> None:
    """Say that a target lacks nothing that a request needs."""


def plan(
    route: Route,
    *,
    observe: Observe,
    dates_of: DatesOf,
    now: datetime,
    bucket: float = 0.0,
    pin: Pin | None = None,
    command: Command | None = None,
    lacks: Lacks = nothing_lacked,
    held_by: str | None = None,
    rehearses: bool = False,
    canary: bool = False,
) -> Plan:
    """Decide for one request.

    ``bucket`` places its conversation in [0, 1): below the share that has moved by date, it has moved. ``lacks`` says
    what a target lacks of what the request needs. ``held_by`` names the provider that stores what it refers to: nobody
    else can answer, and neither date nor command moves it. One that ``rehearses`` goes to the first fallback although
    the primary could answer, which stands behind it; so does one of the ``canary``'s conversations to that, and does
    not rehearse. Neither dates nor failures nor commands lead to a canary.
    """
    if pin is not None and pin.target is not None:
        return _pinned(route, pin.target, observe, lacks, held_by)
    if held_by is not None:
        return _held(route, held_by, observe, lacks, canary=canary)
    at = pin.at if pin is not None and pin.at is not None else now
    made = _by_rule(route, observe, dates_of, lacks, at, bucket, pinned=pin is not None)
    if command is not None and command.in_force(at):
        return _commanded(_rehearsed(made) if rehearses else made, command, observe)
    if canary and route.canary is not None and pin is None:
        made = _with_canary(made, route.canary.target, observe, dates_of, lacks, at)
    return _rehearsed(made) if rehearses else made


def _by_rule(
    route: Route, observe: Observe, dates_of: DatesOf, lacks: Lacks, at: datetime, bucket: float, *, pinned: bool
) -> Plan:
    ordered: list[Step] = []
    skipped: list[Skipped] = []
    moved: Step | None = None
    # Whoever has moved by date stays there, also once the model is seen to be gone.
    by_date = route.primary is not None and share_moved(dates_of(route.primary), route.cutover, at) >= 1.0
    by_date = by_date and bool(route.fallback_on)
    for target in route.line_up:
        if skipped and skipped[0].target is route.primary and not by_date and not _allows(route, skipped[0].reason):
            # Rather fail than answer differently: that is what this route asks for.
            break
        reason = _skip_reason(route, target, observe(target), dates_of(target), at, bucket)
        lacked = lacks(target)
        if lacked is not None and reason not in UNUSABLE_BECAUSE:
            skipped.append(Skipped(target, Reason.LACKS_CAPABILITY, lacked))
        elif reason is Reason.DEPRECATED_RAMP:
            # It still lives, so it stands behind the fallbacks, for the case that they fail.
            moved = _step(route, target, None)
            skipped.append(Skipped(target, reason))
        elif reason is not None:
            skipped.append(Skipped(target, reason))
        else:
            ordered.append(_step(route, target, None))
    if not ordered:
        ordered, skipped = _last_resort(route, skipped)
    elif moved is not None:
        ordered.append(moved)
    return Plan(route, _with_reason(route, ordered, skipped), tuple(skipped), pinned=pinned)


def _rehearsed(made: Plan) -> Plan:
    """Put the first fallback ahead of the primary, where both could answer."""
    fallback = next((step for step in made.steps if step.target.role is Role.FALLBACK), None)
    if fallback is None or made.steps[0].reason is not Reason.PRIMARY:
        return made
    first = Step(fallback.target, Reason.REHEARSAL, fallback.timeout_s)
    return replace(made, steps=(first, *(step for step in made.steps if step is not fallback)))


def _with_canary(made: Plan, canary: Target, observe: Observe, dates_of: DatesOf, lacks: Lacks, at: datetime) -> Plan:
    """Put the canary ahead of the primary, where both could answer."""
    if not made.steps or made.steps[0].reason is not Reason.PRIMARY:
        return made
    reason, lacked = _speaks_against(observe(canary), dates_of(canary), at), lacks(canary)
    if lacked is not None and reason not in UNUSABLE_BECAUSE:
        reason = Reason.LACKS_CAPABILITY
    if reason is not None:
        detail = lacked or "" if reason is Reason.LACKS_CAPABILITY else ""
        return replace(made, skipped=(*made.skipped, Skipped(canary, reason, detail)))
    return replace(made, steps=(_step(made.route, canary, Reason.CANARY), *made.steps))


def _commanded(made: Plan, command: Command, observe: Observe) -> Plan:
    """Put the commanded target first, whatever the rules say of it, unless it was seen not to be there."""
    chosen = next((target for target in made.route.line_up if target.name == command.target), None)
    if any(entry.target is chosen and entry.reason is Reason.LACKS_CAPABILITY for entry in made.skipped):
        return made
    if chosen is None or observe(chosen).availability in (*UNUSABLE, Availability.SUSPECT):
        return made
    behind = [Step(step.target, None, step.timeout_s) for step in made.steps if step.target is not chosen]
    skipped = [entry for entry in made.skipped if entry.target is not chosen]
    primary = made.route.primary
    if primary is not None and primary is not chosen and all(entry.target is not primary for entry in skipped):
        skipped.insert(0, Skipped(primary, Reason.COMMANDED))
    first = _step(made.route, chosen, Reason.COMMANDED)
    return Plan(made.route, (first, *behind), tuple(skipped), made.pinned)


def _skip_reason(
    route: Route, target: Target, seen: Observed, dates: Dates, now: datetime, bucket: float
) -> Reason | None:
    """Say why a target is passed over, or None."""
    if target.role is Role.FALLBACK:
        found = _speaks_against(seen, dates, now)
    elif seen.availability in UNUSABLE:
        found = _speaks_against(seen, UNKNOWN_DATES, now)
    else:
        share = share_moved(dates, route.cutover, now)
        if share >= 1.0:
            return Reason.SHUTDOWN_REACHED
        if bucket < share:
            return Reason.DEPRECATED_RAMP
        found = _speaks_against(seen, UNKNOWN_DATES, now)
    return None if found is Reason.RESTING and not _allows(route, found) else found


def _speaks_against(seen: Observed, dates: Dates, now: datetime) -> Reason | None:
    """Say why a target cannot answer now, or None; what stands behind it does not count."""
    if seen.availability is Availability.GONE:
        return Reason.GONE
    if seen.availability is Availability.NO_ACCESS:
        return Reason.NO_ACCESS
    if dates.acts and lifecycle.state(dates, now) is Lifecycle.RETIRED:
        return Reason.SHUTDOWN_REACHED
    if seen.availability is Availability.SUSPECT:
        return Reason.SUSPECT
    if seen.credential_refused:
        return Reason.NO_ACCESS
    if seen.circuit_open:
        return Reason.CIRCUIT_OPEN
    return Reason.RESTING if seen.resting else None


# Which words of fallback_on let another target answer, when this is why the primary is passed over.
_ALLOWED_BY: Mapping[Reason, frozenset[str]] = {
    Reason.GONE: frozenset(("gone",)),
    Reason.NO_ACCESS: frozenset(("no_access",)),
    Reason.SUSPECT: frozenset(("gone", "no_access")),
    Reason.CIRCUIT_OPEN: frozenset(("connection", "timeout", "overloaded", "server_error")),
    Reason.RESTING: frozenset(("rate_limited", "quota")),
}


def _allows(route: Route, reason: Reason) -> bool:
    """Tell whether a route lets a fallback answer for this reason; a date needs no word, only that there is any."""
    words = _ALLOWED_BY.get(reason)
    return bool(route.fallback_on) if words is None else not words.isdisjoint(route.fallback_on)


def _last_resort(route: Route, skipped: list[Skipped]) -> tuple[list[Step], list[Skipped]]:
    """With nobody left, ask those whom only a date or a suspicion speaks against, until they are seen to be gone."""
    askable = (Reason.SHUTDOWN_REACHED, Reason.DEPRECATED_RAMP, Reason.SUSPECT)
    steps = [_step(route, entry.target, None) for entry in skipped if entry.reason in askable]
    return steps, [entry for entry in skipped if entry.reason not in askable]


def _with_reason(route: Route, ordered: list[Step], skipped: list[Skipped]) -> tuple[Step, ...]:
    """Give the first step the reason why it, and not the primary, is first."""
    if not ordered:
        return ()
    first = ordered[0]
    if first.target.role is Role.PRIMARY:
        reason = Reason.PRIMARY
    elif route.primary is None:
        reason = Reason.NO_PRIMARY
    else:
        reason = next(entry.reason for entry in skipped if entry.target is route.primary)
    return (Step(first.target, reason, first.timeout_s), *ordered[1:])


def _pinned(route: Route, name: str, observe: Observe, lacks: Lacks, held_by: str | None) -> Plan:
    """Ask exactly for whom the caller named; ``fallback`` is the fallbacks in order, as if there were no primary."""
    if name == "fallback":
        chosen = route.fallbacks
        living = tuple(t for t in chosen if observe(t).availability not in UNUSABLE)
        chosen = living or chosen
    else:
        chosen = tuple(target for target in route.targets if target.name == name)
    elsewhere = tuple(target for target in chosen if held_by is not None and target.provider.name != held_by)
    skipped = tuple(Skipped(target, Reason.LACKS_CAPABILITY, NOT_HELD) for target in elsewhere)
    skipped += _lacking([target for target in chosen if target not in elsewhere], lacks)
    able = [target for target in chosen if all(entry.target is not target for entry in skipped)]
    steps = tuple(_step(route, target, Reason.PINNED if i == 0 else None) for i, target in enumerate(able))
    return Plan(route, steps, skipped, pinned=True)


def _held(route: Route, provider: str, observe: Observe, lacks: Lacks, *, canary: bool) -> Plan:
    """Ask those of the provider that stores what the request refers to, until they are seen to be gone."""
    steps, skipped = [], []
    for target in _holders(route, provider, canary=canary):
        if target.provider.name != provider:
            skipped.append(Skipped(target, Reason.LACKS_CAPABILITY, NOT_HELD))
        elif (lacked := lacks(target)) is not None:
            skipped.append(Skipped(target, Reason.LACKS_CAPABILITY, lacked))
        elif (seen := observe(target).availability) in UNUSABLE:
            skipped.append(Skipped(target, Reason.GONE if seen is Availability.GONE else Reason.NO_ACCESS))
        else:
            steps.append(_step(route, target, None))
    if steps and route.canary is not None and steps[0].target is route.canary.target:
        first = replace(steps[0], reason=Reason.CANARY)
        behind = _with_reason(route, steps[1:], skipped)
        return Plan(route, (first, *behind), tuple(skipped))
    return Plan(route, _with_reason(route, steps, skipped), tuple(skipped))


def _holders(route: Route, provider: str, *, canary: bool) -> Sequence[Target]:
    """Return whom to look at, in order: a canary where its conversation is, or where nobody else has what is stored."""
    line_up = route.line_up
    own = route.canary.target if route.canary is not None else None
    if own is None or own.provider.name != provider:
        return line_up
    alone = all(target.provider.name != provider for target in line_up)
    return (own, *line_up) if canary or alone else line_up


def _lacking(targets: Sequence[Target], lacks: Lacks) -> tuple[Skipped, ...]:
    found = ((target, lacks(target)) for target in targets)
    return tuple(Skipped(target, Reason.LACKS_CAPABILITY, lacked) for target, lacked in found if lacked is not None)


def _step(route: Route, target: Target, reason: Reason | None) -> Step:
    return Step(target, reason, route.timeouts.total_s)
