"""How a canary's requests ended, and the incumbent's: read out of the ledger by ranges of its key."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import and_, or_, select

from gateway.policy.promotion import Promotion
from gateway.reasons import FailureKind, Outcome, Reason
from gateway.store.database import Database, unavailable_as_such, where
from gateway.store.tables import attempts
from gateway.store.traffic import started_within

ROWS_AT_ONCE: Final = 500
"""A replica that takes over the watch reads hours of a busy route on the loop that serves requests."""
MAY_BE_THE_CALLERS: Final = frozenset(
    (FailureKind.BAD_REQUEST, FailureKind.CONTENT_REFUSED, FailureKind.CONTEXT_TOO_LONG)
)
_a = attempts.c


class Ended(NamedTuple):
    """One attempt that is over."""

    request_id: str
    by_canary: bool
    is_ok: bool
    may_be_the_callers: bool = False
    """It was refused for what was asked: whether that is the model's fault, only another model's answer tells."""
    broke_contract: bool = False
    """Its answer came, and was not what the route's contract promises."""


class CanaryStore:
    """Reads the table ``attempts``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ended(self, promotion: Promotion, since: datetime, until: datetime, longest: timedelta) -> list[Ended]:
        """Return the live attempts of a canary and of its incumbent that ended in a period, in that order.

        ``longest``: no attempt takes longer, so that who ended in a period began at most so long before it.
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
            select(_a.request_id, _a.reason, _a.outcome, _a.failure, _a.contract_broken)
            .where(
                # Those of before it became what it is were no part of it, however late they ended.
                started_within(max(since - longest, promotion.changed_at), until),
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
        found: list[Ended] = []
        with unavailable_as_such(where(self._database.engine.url)):
            async with self._database.engine.connect() as connection, connection.stream(query) as result:
                async for rows in result.partitions(ROWS_AT_ONCE):
                    found += (
                        Ended(id_, why == Reason.CANARY, came == Outcome.OK, failure in MAY_BE_THE_CALLERS, bool(broke))
                        for id_, why, came, failure, broke in rows
                    )
        return found
