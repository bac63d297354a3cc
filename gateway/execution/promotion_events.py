"""What people are told of promotions."""

from datetime import datetime

from gateway.execution.teller import new_event
from gateway.policy.announcements import Event
from gateway.policy.promotion import Promotion, PromotionState
from gateway.reasons import EventKind


def promotion_event(promotion: Promotion, at: datetime, *, by: str, owner: str | None, why: str | None = None) -> Event:
    """Return the event of a promotion that has just become what it is: begun, changed or ended.

    Args:
        promotion: As it is now.
        at: When that happened, an instant in UTC.
        by: Who did it: a person, or the replica that found it to be over.
        owner: The route's.
        why: What a person gave as the reason; of a canary that evidence stopped, the evidence.
    """
    pair = (promotion.incumbent_model, promotion.model)
    before, after = pair if promotion.state is not PromotionState.ENDED else reversed(pair)
    return new_event(
        EventKind.PROMOTION,
        at,
        by=by,
        told={"promotion": promotion, "why": why},
        route=promotion.route,
        owner=owner,
        provider=promotion.provider,
        model=promotion.model,
        from_target=before,
        to_target=after,
    )


def acceptance_event(promotion: Promotion, at: datetime, *, by: str, owner: str | None, why: str) -> Event:
    """Return the event of a canary that was shown to be good enough: told once for each share; it moves nothing."""
    return new_event(
        EventKind.PROMOTION,
        at,
        by=by,
        told={"promotion": promotion, "why": why, "is_accepted": True},
        route=promotion.route,
        owner=owner,
        provider=promotion.provider,
        model=promotion.model,
        to_target=promotion.model,
        once_key=f"canary_accepted:{promotion.promotion_id}:{promotion.changed_at.isoformat()}",
    )
