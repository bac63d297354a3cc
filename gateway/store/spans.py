"""Cuts a period where the ledger's totals do: into whole days, whole hours, and parts of hours. No I/O."""

from datetime import datetime
from enum import Enum
from typing import NamedTuple

from gateway.store.sums import HOUR, day_of, next_day


class Unit(Enum):
    """What a span consists of, and so where it is read."""

    DAYS = "usage_days"
    HOURS = "usage_hours"
    PART_OF_AN_HOUR = "attempts"


class Span(NamedTuple):
    """Part of a period, from ``since`` until, and without, ``until``."""

    unit: Unit
    since: datetime
    until: datetime


def days_and_hours(since: datetime, until: datetime, now: datetime | None) -> list[Span]:
    """Cut a period into whole days, whole hours around them, and parts of hours around those; in order.

    A period that reaches ``now`` has its last day whole: there is nothing yet of what it leaves of it.
    """
    if now is not None and until >= now:
        until = next_day(until)
    first, last = next_day(since), day_of(until)
    if first >= last:
        return hours(since, until)
    return [*hours(since, first), Span(Unit.DAYS, first, last), *hours(last, until)]


def hours(since: datetime, until: datetime) -> list[Span]:
    """Cut a period into whole hours and the parts of hours around them; in order."""
    first, last = _next_hour(since), _hour_of(until)
    if first > last:
        return [Span(Unit.PART_OF_AN_HOUR, since, until)]
    cut = (
        Span(Unit.PART_OF_AN_HOUR, since, first),
        Span(Unit.HOURS, first, last),
        Span(Unit.PART_OF_AN_HOUR, last, until),
    )
    return [span for span in cut if span.since < span.until]


def _hour_of(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _next_hour(instant: datetime) -> datetime:
    hour = _hour_of(instant)
    return hour if hour == instant else hour + HOUR
