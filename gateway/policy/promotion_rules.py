"""What a person may do with a version, and what comes of it: from where a route stands to the next step. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from gateway.config.routes import Route
from gateway.policy.promotion import Ending, Promotion, PromotionState, Version, VersionStatus, ending_of
from gateway.reasons import Availability

MARGIN: Final = 0.05
"""How much worse than the incumbent a canary may be, of 1, where nobody says."""
LASTS: Final = "7d"
LONGEST_DAYS: Final = 90
"""An override is no configuration."""


class Act(StrEnum):
    """What was asked for."""

    CANARY = "canary"
    NOW = "now"
    ROLLBACK = "rollback"


class NotPromoted(ValueError):
    """Why nothing happens; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Against:
    """What may speak against sending requests to a version."""

    provider_is_known: bool = True
    stopped: date | None = None
    """The day on which its model stopped, where that has come."""
    seen: Availability = Availability.UNKNOWN
    lacks: str | None = None
    """What its provider cannot be called without, in a sentence."""
    tenant: str = ""
    """Whose the route is."""
    unfit: str | None = None
    """Why it cannot stand in this route, in a sentence: its vectors are others, its data would leave a region."""
    verdict: str | None = None
    """Of its evaluation; None: there is none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One command."""

    act: Act
    share: float = 1.0
    margin: float | None = None
    """None: nobody said."""
    in_spite: bool = False
    """Whether it is to happen although evidence speaks against it."""


class Step(StrEnum):
    """What is to be done."""

    BEGIN = "begin"
    CHANGE = "change"
    END = "end"
    PATCH_BACK = "patch_back"
    """Nothing is in force: routes.yaml itself names another version again."""


@dataclass(frozen=True, slots=True)
class Move:
    """What comes of a command."""

    step: Step
    state: PromotionState = PromotionState.ENDED
    share: float = 0.0
    margin: float = MARGIN


def refusal(version: Version, against: Against, *, in_spite: bool = False) -> str | None:
    """Say why no request may be sent to a version; None: it may.

    ``in_spite`` lets pass what a person may know better: evidence against it, and a secret that is not here.
    """
    named = f"{version.name} ({version.model})"
    if version.tenant != against.tenant:
        theirs, ours = (repr(name) if name else "nobody in particular" for name in (version.tenant, against.tenant))
        return f"{named} is of tenant {theirs}, and the route is of {ours}"
    if not against.provider_is_known:
        return f"{named} is at provider {version.provider!r}, which this configuration does not have"
    if (dead := is_dead(version, against)) is not None:
        return dead
    if against.unfit is not None:
        return f"{named} cannot stand in this route: {against.unfit}"
    if in_spite:
        return None
    if against.lacks is not None:
        return f"{named} cannot be called from here: {against.lacks}; --in-spite, where only this machine lacks it"
    if against.verdict == "reject":
        return f"the evaluation of {named} rejected it; --in-spite takes it all the same"
    if version.status is VersionStatus.REJECTED:
        return f"a canary of {named} was stopped, for it was worse or gone; --in-spite takes it all the same"
    return None


def is_dead(version: Version, against: Against) -> str | None:
    """Say why a version's model cannot answer any more; None: nobody knows a reason."""
    named = f"{version.name} ({version.model})"
    if against.stopped is not None:
        return f"{named} stopped on {against.stopped}"
    if against.seen is Availability.GONE:
        return f"{named} was seen to be gone"
    if against.seen is Availability.NO_ACCESS:
        return f"{named} is closed to our key"
    return None


def move(asked: Asked, version: Version, route: Route, current: Promotion | None, now: datetime) -> Move:
    """Return what a command comes to.

    Args:
        asked: The command.
        version: The one it names, which nothing speaks against; of a rollback, the one that answers afterwards.
        route: As routes.yaml has it.
        current: The route's promotion that has not ended; None: there is none.
        now: An instant in UTC.

    Raises:
        NotPromoted: it cannot be done, or is so already.
    """
    ended = ending_of(current, route, now) if current is not None else None
    if asked.act is Act.ROLLBACK:
        return _rollback(current, ended, route)
    if route.primary is None:
        raise NotPromoted(
            f"routes.yaml names no primary of {route.name}, and so there is nobody in whose place {version.name} could "
            "answer: write it in with --apply"
        )
    if (version.provider, version.model) == (route.primary.provider.name, route.primary.model):
        what = (
            "it is not answered by anybody else"
            if current is None or ended
            else "take back what is in force: --rollback"
        )
        raise NotPromoted(f"routes.yaml names {version.name} as the primary of {route.name} already; {what}")
    state = PromotionState.CANARY if asked.act is Act.CANARY else PromotionState.SERVING
    if state is PromotionState.CANARY and not 0.0 < asked.share < 1.0:
        raise NotPromoted("a canary answers a share of conversations between 0 and 100 %; for all of them write --now")
    margin = MARGIN if asked.margin is None else asked.margin
    same = current is not None and ended is None and current.number == version.number
    if not same or current is None:
        return Move(Step.BEGIN, state, asked.share, margin)
    if state is PromotionState.CANARY and asked.margin not in (None, current.margin):
        # What was counted was judged by another margin.
        return Move(Step.BEGIN, state, asked.share, margin)
    return Move(Step.CHANGE, state, asked.share, current.margin)


def _rollback(current: Promotion | None, ended: Ending | None, route: Route) -> Move:
    if current is None or ended is Ending.IN_ROUTES:
        return Move(Step.PATCH_BACK)
    if ended is Ending.EXPIRED:
        raise NotPromoted(
            f"the promotion of {route.name} has run out: what routes.yaml names answers already; see gateway promote "
            f"{route.name} --status"
        )
    return Move(Step.END)


def served_before(versions: Iterable[Version], route: Route) -> Version | None:
    """Return the version that served before the one that routes.yaml names; None: none is known."""
    primary = route.primary
    named = (primary.provider.name, primary.model) if primary is not None else None
    # One that serves, and is not named: routes.yaml has changed, and no server has read it yet.
    order = {VersionStatus.RETIRED: 0, VersionStatus.SERVING: 1}
    served = [v for v in versions if (v.provider, v.model) != named and v.status in order]
    return max(served, key=lambda version: (order[version.status], version.changed_at, version.number), default=None)
