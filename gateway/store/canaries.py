"""How a canary's requests ended, and the incumbent's: read out of the ledger by ranges of its key."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import and_, or_, select

from gateway.policy.promotion import Promotion
from gateway.reasons import Outcome, Reason
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables import attempts
from gateway.store.traffic import started_within

LONGEST: Final = timedelta(minutes=11)
"""No attempt takes longer, by what timeouts usually are: who ended in a period began at most so long before it."""
_a = attempts.c


class Ended(NamedTuple):
    """One attempt that is over."""

    request_id: str
    by_canary: bool
    is_ok: bool


class CanaryStore:
    """Reads the table ``attempts``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def ended(self, promotion: Promotion, since: datetime, until: datetime) -> list[Ended]:
        """Return the live attempts of a canary and of its incumbent that ended in a period, in that order.

        Left out are pinned ones, those whose callers left, and those that the gateway itself cut off: none of them says
        anything of a model.
        """
        canary = and_(_a.reason == Reason.CANARY, _a.provider == promotion.provider, _a.model_asked == promotion.model)
        incumbent = and_(
            _a.reason == Reason.PRIMARY,
            _a.provider == promotion.incumbent_provider,
            _a.model_asked == promotion.incumbent_model,
        )
        query = (
            select(_a.request_id, _a.reason, _a.outcome)
            .where(
                # Those of before it became what it is were no part of it, however late they ended.
                started_within(max(since - LONGEST, promotion.changed_at), until),
                _a.finished_at >= since,
                _a.finished_at < until,
                _a.route == promotion.route,
                _a.kind == "live",
                _a.pinned.is_(False),
                _a.outcome.in_((Outcome.OK, Outcome.FAILED)),
                or_(canary, incumbent),
            )
            .order_by(_a.finished_at, _a.attempt_id)
        )
        return [
            Ended(row["request_id"], row["reason"] == Reason.CANARY, row["outcome"] == Outcome.OK)
            for row in await self._rows.read(query)
        ]
