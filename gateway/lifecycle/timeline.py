"""When routes move and who serves them then, drawn: the same on the forecast's page and on the calendar.

A full bar is the primary, a thin one the fallback, a dashed line nobody. A ramp is a wedge, a date that is not certain
is hatched. What is drawn says its classes; whoever shows it gives them colours, and has ``HATCH`` on the page once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from gateway.lifecycle import forecast_words as words

if TYPE_CHECKING:
    from gateway.lifecycle.forecast import Forecast, RouteForecast

_MARGIN: Final = 0.04
"""How much of the axis lies before today."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Days laid out from left to right."""

    first: date
    last: date

    def at(self, day: date) -> float:
        """Return where a day is, in per mille of the width, kept within the axis."""
        length = (self.last - self.first).days
        return round(1000 * min(1.0, max(0.0, (day - self.first).days / length)), 1)

    def months(self) -> Iterator[date]:
        """Yield the first day of each month in sight, or of every third where there are many."""
        month = self.first.replace(day=1)
        step = 1 if (self.last - self.first).days < 400 else 3
        while month <= self.last:
            if month > self.first and (month.month - 1) % step == 0:
                yield month
            month = (month + timedelta(days=32)).replace(day=1)


HATCH: Final = (
    '<svg width="0" height="0" aria-hidden="true"><defs><pattern id="hatch" width="9" height="9" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="ground" width="9" height="9"/>'
    '<rect class="stripe" width="4" height="9"/></pattern></defs></svg>'
)


def axis_of(found: "Forecast") -> Axis:
    """Return the days from a little before today until the horizon, and a little behind the last that stops in it."""
    today, until = found.horizon.now.date(), found.horizon.until.date()
    ends = [row.dates.shutdown for row in found.lost if row.dates.shutdown]
    last = max(until, *(end + timedelta(days=14) for end in ends), today + timedelta(days=30))
    before = max(2, round((last - today).days * _MARGIN))
    return Axis(today - timedelta(days=before), last)


def when_it_stops(row: "RouteForecast") -> str:
    """Say when a route's primary stops, or why nobody knows."""
    if row.dates.shutdown is not None:
        return f"stops {row.dates.shutdown}"
    return "no primary" if row.route.primary is None else "no date known"


def shapes(row: "RouteForecast", axis: Axis) -> Iterator[str]:
    """Draw who serves: the primary's bar, the wedge of a ramp, and what comes after."""
    stops = row.dates.shutdown
    certain = row.dates.acts and row.dates.certainty == "planned" and not row.dates.disputed_by
    fill = 'class="full"' if certain or not row.lost else 'class="hatched" fill="url(#hatch)"'
    if row.gone is not None:
        stops = row.gone.since.date()
    if not row.lost or stops is None:
        yield '<rect class="full calm" x="0" y="2" width="1000" height="12"/>'
        return
    end = axis.at(stops)
    moved = axis.at(row.complete) if row.complete else end
    begins = axis.at(row.begins) if row.begins else moved
    if row.nobody or row.gone is not None:
        begins = moved = end
    yield f'<rect {fill} x="0" y="2" width="{begins}" height="12"/>'
    if moved > begins:
        yield f'<polygon {fill} points="{begins},2 {moved},14 {begins},14"/>'
        yield f'<polygon class="thin" points="{begins},2 {moved},2 {moved},14"/>'
    if row.nobody:
        yield f'<line class="none" x1="{end}" y1="8" x2="1000" y2="8"/>'
    else:
        yield f'<rect class="thin" x="{moved}" y="5.5" width="{round(1000 - moved, 1)}" height="5"/>'
    yield f'<line class="end" x1="{end}" y1="0" x2="{end}" y2="16"/>'


def spoken(row: "RouteForecast") -> str:
    """Say a row of the timeline in words, for who cannot see it, and for who points at it."""
    name, stops = row.route.name, row.dates.shutdown
    if row.gone is not None:
        then = "nobody answers" if row.serves is None else f"{words.answers(row)} answers"
        return f"{name}: {words.gone_already(row)}; {then}"
    if stops is None:
        return f"{name}: {when_it_stops(row)}"
    verb = "stopped" if (row.days_left or 0) <= 0 else "stops"
    then = "then nobody answers" if row.serves is None else f"then {words.answers(row)} answers"
    if row.nobody and row.still_answers:
        then = "no fallback is left; the primary is called until it is gone"
    tail = f"; {then}; traffic moves: {words.moves(row)}" if row.lost else ""
    return f"{name}: the primary {verb} {stops}, {words.in_days(row.days_left)} ({words.believed(row.dates)}){tail}"
