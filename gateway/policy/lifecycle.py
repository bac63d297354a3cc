"""What a model's dates say on a given day. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from gateway.config.routes import Cutover
from gateway.reasons import Lifecycle


@dataclass(frozen=True, slots=True)
class Dates:
    """What is published of one model at one vendor, merged from every source."""

    announced: date | None = None
    shutdown: date | None = None
    """Not served from this day, 00:00 UTC."""
    replacement: str | None = None
    certainty: str = "planned"
    source: str = ""
    acts: bool = True
    """Whether these dates may move traffic; dates from feeds only warn."""


UNKNOWN_DATES = Dates()


def midnight(day: date) -> datetime:
    """Return the first instant of a day, UTC."""
    return datetime.combine(day, time.min, UTC)


def state(dates: Dates, now: datetime) -> Lifecycle:
    """Tell whether a model is active, deprecated (a date is announced) or retired (past it)."""
    if dates.shutdown is None:
        return Lifecycle.ACTIVE
    return Lifecycle.RETIRED if now >= midnight(dates.shutdown) else Lifecycle.DEPRECATED


def share_moved(dates: Dates, cutover: Cutover, now: datetime) -> float:
    """Return the share of conversations, 0.0 to 1.0, that have left the primary by rule.

    With ``days_before: 14, ramp_days: 7`` nothing has moved at D-21 00:00 UTC, everything at D-14, linear in between.
    """
    if cutover.at == "gone" or dates.shutdown is None or not dates.acts:
        return 0.0
    end = midnight(dates.shutdown) - timedelta(days=cutover.days_before)
    if now >= end:
        return 1.0
    if cutover.ramp_days == 0:
        return 0.0
    length = timedelta(days=cutover.ramp_days)
    return max(0.0, (now - (end - length)) / length)
