"""What a verification's evidence amounts to. Pure.

A failed call only raises a suspicion. Before a target is believed to be gone, the gateway itself asks the provider:
does this key still see the model, and does a one-token call still work?
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.reasons import Availability, FailureKind

CALLS_TO_BELIEVE = 3


class Listing(StrEnum):
    """What the provider's own list of models says."""

    LISTED = "listed"
    ABSENT = "absent"
    KEY_REFUSED = "key_refused"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything one verification has found so far."""

    listing: Listing
    calls: tuple[FailureKind | None, ...] = ()
    """One-token calls, in order; None: it answered."""
    ever_served: bool = False
    """Whether this key was once answered by this model."""
    date_passed: bool = False


def conclude(evidence: Evidence) -> Availability | None:
    """Return what to believe, or None: one more one-token call is needed."""
    if evidence.listing is Listing.ABSENT:
        return _gone_or_no_access(evidence)
    for call in evidence.calls:
        if call is None or (call is FailureKind.BAD_REQUEST and evidence.listing is Listing.LISTED):
            # Who finds fault with a parameter has found the model.
            return Availability.AVAILABLE
        if call in (FailureKind.MODEL_NO_ACCESS, FailureKind.AUTHENTICATION):
            return Availability.NO_ACCESS
        if call not in (FailureKind.MODEL_GONE, FailureKind.MODEL_AMBIGUOUS):
            return Availability.UNKNOWN
    if len(evidence.calls) < CALLS_TO_BELIEVE:
        return None
    if all(call is FailureKind.MODEL_GONE for call in evidence.calls):
        return Availability.GONE
    if evidence.listing is Listing.LISTED:
        # It is listed, and what its calls say may mean either: not enough to believe that it is gone.
        return Availability.UNKNOWN
    return _gone_or_no_access(evidence)


def _gone_or_no_access(evidence: Evidence) -> Availability:
    return Availability.GONE if evidence.ever_served or evidence.date_passed else Availability.NO_ACCESS


RECHECK_FIRST_S = 60.0
RECHECK_LONGEST_S = 3600.0
UNKNOWN_FIRST_S = 1.0
UNKNOWN_LONGEST_S = 60.0
GOOD_PROBES_TO_RETURN = 3
GOOD_PROBES_APART_S = 30.0


def recheck_pause_s(availability: Availability, checks: int) -> float:
    """Return how long to wait before looking again, after ``checks`` looks that changed nothing."""
    if availability is Availability.UNKNOWN:
        return min(UNKNOWN_FIRST_S * 2.0 ** min(checks, 30), UNKNOWN_LONGEST_S)
    return min(RECHECK_FIRST_S * 2.0 ** min(checks, 30), RECHECK_LONGEST_S)
