"""Who is believed about a model's dates, when several speak. Pure.

The operator outranks the provider's word on the very model; then come, as equals, its word on the base and what a
person collected; then machines' feeds; then litellm's map. Among equals the earliest shutdown counts, and one that is
fixed before one that may still move: a tentative day must not keep a planned one from being acted on.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Final

from gateway.policy.lifecycle import UNKNOWN_DATES, Dates, Origin

_RANK: Final = {Origin.OPERATOR: 0, Origin.PROVIDER: 1, Origin.CURATED: 2, Origin.FEED: 3, Origin.LITELLM: 4}
_UNKNOWN: Final = len(_RANK)


def rank(claim: Dates) -> int:
    """Return how much a claim is believed: 0 is the most, and equals are equal."""
    if claim.origin is None:
        return _UNKNOWN
    if claim.origin is Origin.PROVIDER and claim.inherited_from is not None:
        return _RANK[Origin.CURATED]
    return _RANK[claim.origin]


def ordered(claims: Iterable[Dates]) -> tuple[Dates, ...]:
    """Return claims, the strongest first: by rank; then those with a day, that act, and are the earliest."""
    return tuple(sorted(claims, key=_strength))


def _strength(claim: Dates) -> tuple[int, bool, bool, date, int, str]:
    origin = _RANK[claim.origin] if claim.origin is not None else _UNKNOWN
    # The last two tell equals apart, so that the order in which they came makes no difference.
    return rank(claim), claim.shutdown is None, not claim.acts, claim.shutdown or date.max, origin, claim.source


def merge(claims: Iterable[Dates]) -> Dates:
    """Return what all claims amount to; ``UNKNOWN_DATES`` for none.

    The strongest that names a shutdown wins. Every other field is the strongest claim's that has it, and whoever names
    another day stands in ``disputed_by``. Only the operator can say that a model stays: by an entry with nothing in it
    but its source.
    """
    known = ordered(claims)
    if not known:
        return UNKNOWN_DATES
    stays = next((claim for claim in known if says_it_stays(claim)), None)
    if stays is not None and not any(claim.origin is Origin.OPERATOR and claim.shutdown for claim in known):
        return replace(stays, disputed_by=tuple(claim for claim in known if claim.shutdown is not None))
    winner = next((claim for claim in known if claim.shutdown is not None), known[0])
    end = winner.shutdown

    def first(field: str) -> date | None:
        days = (getattr(claim, field) for claim in known)
        return next((day for day in days if day and (end is None or day <= end)), None)

    return replace(
        winner,
        announced=first("announced"),
        last_training_day=first("last_training_day"),
        replacement=next((claim.replacement for claim in known if claim.replacement), None),
        disputed_by=tuple(claim for claim in known if claim is not winner and claim.shutdown not in (None, end)),
    )


def says_it_stays(claim: Dates) -> bool:
    """Tell whether the operator says that there is no date."""
    told = (claim.shutdown, claim.announced, claim.last_training_day, claim.replacement)
    return claim.origin is Origin.OPERATOR and not any(told)
