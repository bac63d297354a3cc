"""What is believed of a target after something was seen of it. Pure: one table.

A replica sees signs by itself; what was verified, all replicas agree on (``follow``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.reasons import Availability

RETURN_HOLDS = timedelta(seconds=60)
"""After a return a target may not be declared gone for so long: a route switches at most once a minute by itself."""


class Sign(StrEnum):
    """What was seen."""

    ANSWERED = "answered"
    """A request got its answer."""
    SAID_GONE = "said_gone"
    """A request was told that the model is gone, or may be."""
    FOUND_GONE = "found_gone"
    """A verification found it gone."""
    FOUND_NO_ACCESS = "found_no_access"
    """A verification found that our key may not use it."""
    FOUND_AVAILABLE = "found_available"
    """A verification found it there; of one that was gone, three times over a minute."""
    FOUND_NOTHING = "found_nothing"
    """A verification could not tell."""


_AVAILABLE, _SUSPECT = Availability.AVAILABLE, Availability.SUSPECT
_GONE, _NO_ACCESS, _UNKNOWN = Availability.GONE, Availability.NO_ACCESS, Availability.UNKNOWN
_FOUND = {
    Sign.FOUND_GONE: _GONE,
    Sign.FOUND_NO_ACCESS: _NO_ACCESS,
    Sign.FOUND_AVAILABLE: _AVAILABLE,
}
# What is not here stays as it was: above all, no request's answer or error moves what a verification found.
_AFTER: Mapping[tuple[Availability, Sign], Availability] = {
    (_UNKNOWN, Sign.ANSWERED): _AVAILABLE,
    (_UNKNOWN, Sign.SAID_GONE): _SUSPECT,
    (_AVAILABLE, Sign.SAID_GONE): _SUSPECT,
    **{(before, sign): found for before in Availability for sign, found in _FOUND.items()},
}
FINDINGS: Mapping[Availability, Sign] = {found: sign for sign, found in _FOUND.items()}
"""The sign of what a verification found."""


def after(before: Availability, sign: Sign) -> Availability:
    """Return what to believe after a sign."""
    return _AFTER.get((before, sign), before)


def follow(mine: Availability, agreed: Availability) -> Availability:
    """Return what to believe where the replicas agree on ``agreed``: it counts, but does not clear a new suspicion."""
    if agreed is _AVAILABLE and mine is _SUSPECT:
        return _SUSPECT
    return agreed


@dataclass(frozen=True, slots=True)
class TargetState:
    """What the replicas agree on of one target. One that was never anything but available has none."""

    availability: Availability
    version: int
    """Rises with every change. Who changes it names the version it knows."""
    since: datetime


def may_change(state: TargetState | None, found: Availability, now: datetime) -> bool:
    """Tell whether what a verification found may be agreed on already."""
    before = state.availability if state is not None else _AVAILABLE
    if found is before or found not in FINDINGS:
        return False
    if state is not None and before is _AVAILABLE:
        # A clock that was set back must not make it wait for an hour.
        return not timedelta(0) <= now - state.since < RETURN_HOLDS
    return True
