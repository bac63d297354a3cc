"""How the calendar says days, doubts and what is known of a date."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Final

from gateway.lifecycle import forecast_words
from gateway.lifecycle.forecast import RouteForecast
from gateway.policy.lifecycle import Dates

_DAY: Final = re.compile(r"(?<![\w-])20\d\d-\d\d-\d\d(?![\w-])")


def in_words(said: str) -> str:
    """Write days as people do: 14 Jan 2027."""
    return _DAY.sub(_day_in_words, said)


def _day_in_words(found: re.Match[str]) -> str:
    try:
        day = date.fromisoformat(found[0])
    except ValueError:
        return found[0]
    return f"{day.day} {day:%b %Y}"


def doubt(dates: Dates) -> str:
    """Say why a day is not certain; nothing where it is."""
    if dates.disputed_by:
        return "sources disagree"
    if dates.certainty != "planned":
        return dates.certainty
    return "" if dates.acts else "nobody has confirmed it"


def title(first: RouteForecast) -> str:
    """Say when a base stops from today on, or that it is gone."""
    if first.lost and first.is_gone_early:
        return "Closed to us already" if first.gone and first.gone.availability == "no_access" else "Gone already"
    return forecast_words.in_days(first.days_left)


def facts(dates: Dates) -> Iterable[str]:
    """Say what else a source tells of a date."""
    if dates.announced:
        yield f"announced {dates.announced}"
    if dates.last_training_day:
        yield f"last training day {dates.last_training_day}"
    if dates.inherited_from:
        yield f"the date is that of {dates.inherited_from}"
    if dates.replacement:
        yield f"the vendor suggests {dates.replacement}"
