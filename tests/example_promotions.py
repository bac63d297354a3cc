"""The promotion that tests start from."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gateway.clock import time_ordered_id
from gateway.policy.promotion import Promotion, PromotionState


def a_canary(at: datetime, **changes: Any) -> Promotion:
    """Return a canary of a twentieth, begun ``at`` for a week: v2 of ``forum-reply``, ``next`` beside ``tuned``."""
    canary = Promotion(
        promotion_id=time_ordered_id(at),
        route="forum-reply",
        tenant="",
        number=2,
        provider="here",
        model="next",
        base=None,
        incumbent_provider="here",
        incumbent_model="tuned",
        incumbent_base=None,
        state=PromotionState.CANARY,
        share=0.05,
        margin=0.05,
        by="ana",
        reason="a trial",
        started_at=at,
        changed_at=at,
        expires_at=at + timedelta(days=7),
    )
    return replace(canary, **changes)
