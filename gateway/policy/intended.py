"""Whether whoever answered is meant to answer: a route's objective beside its availability. Pure."""

from typing import Final

from gateway.reasons import Reason

INTENDED: Final = frozenset(
    (
        Reason.PRIMARY,
        Reason.NO_PRIMARY,
        Reason.SHUTDOWN_REACHED,
        Reason.DEPRECATED_RAMP,
        Reason.COMMANDED,
        Reason.REHEARSAL,
        Reason.CANARY,
    )
)
"""The primary, its canary, or whom a date, a person or routes.yaml put there; everybody else stands in for trouble."""


def is_intended(reason: Reason, *, first_after_date: bool) -> bool:
    """Tell whether an answer for this reason is by the target that is meant to answer.

    ``first_after_date``: it is by the first of the plan, on a route that had left its primary by date. There the
    primary's end is no trouble any more, also once it is seen, and is the reason that is told.
    """
    return first_after_date or reason in INTENDED
