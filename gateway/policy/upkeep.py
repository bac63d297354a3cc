"""Which targets nobody has called for so long that the gateway should. Pure.

Access that is not used gets lost without a word: a key's project is closed, a deployment is deleted. A fallback must be
known to work before it is needed.
"""

from datetime import datetime, timedelta

from gateway.config.routes import Target
from gateway.policy.lifecycle import Dates, midnight
from gateway.reasons import Role

FALLBACK_IDLE = timedelta(hours=6)
DEPLOYMENT_IDLE = timedelta(days=7)
"""Azure deletes a fine-tuned deployment that was idle for 15 days: half of that leaves room for failures."""
DOUBTFUL_IDLE = timedelta(hours=1)
DOUBTFUL_AROUND = timedelta(days=7)


def longest_idle(target: Target, dates: Dates, now: datetime) -> timedelta | None:
    """Return for how long a target may be left alone; None: as long as callers like."""
    if dates.shutdown is not None and not dates.acts and abs(midnight(dates.shutdown) - now) <= DOUBTFUL_AROUND:
        # A date that may not move traffic: so look whether it was right.
        return DOUBTFUL_IDLE
    if target.role is Role.FALLBACK:
        return FALLBACK_IDLE
    return DEPLOYMENT_IDLE if target.provider.keep_alive else None


def is_due(target: Target, dates: Dates, last_seen: datetime | None, now: datetime) -> bool:
    """Tell whether a target should be probed now; ``last_seen`` is when it last answered or was last probed."""
    idle = longest_idle(target, dates, now)
    return idle is not None and (last_seen is None or now - last_seen >= idle)
