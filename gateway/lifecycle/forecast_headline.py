"""The sentences at the top of a forecast: what is lost and when, who takes over, what is bad about that, the bill."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

from gateway.lifecycle import forecast_words as words
from gateway.reasons import Availability

if TYPE_CHECKING:
    from gateway.lifecycle.forecast import Forecast, RouteForecast
    from gateway.lifecycle.forecast_traffic import CostChange


def headline(found: "Forecast") -> str:
    """Say in one sentence how many routes lose their primary and when, who takes over, and the worst of it."""
    return f"{'; '.join((*_losses(found), *_troubles(found)))}."


def left_alone(found: "Forecast") -> str | None:
    """Name the routes that nobody answers, by owner; None where there are none."""
    return f"Nobody takes over for {words.listed(found.nobody)}." if found.nobody else None


def not_asked(found: "Forecast") -> str | None:
    """Say that nothing was kept in a database, where a provider could be asked for a date that is not known."""
    undated = (row.main.provider for row in found.routes if row.dates.shutdown is None)
    names = sorted({provider.name for provider in undated if provider.vendor.tells_dates})
    return words.nothing_kept(found.nothing_kept_in, names) if found.nothing_kept_in and names else None


def bill(found: "Forecast") -> str | None:
    """Say what the moves do to the monthly bill; None where nothing can be said."""
    priced = [row.cost for row in found.lost if row.cost.change_nanousd_per_month is not None]
    if not priced or found.traffic is None:
        return None
    before = sum(_per_month(cost, cost.before_nanousd_per_1000) for cost in priced)
    after = sum(_per_month(cost, cost.after_nanousd_per_1000) for cost in priced)
    left_out = len(found.lost) - len(priced)
    omitted = f", {left_out} of them left out for want of a price or of traffic" if left_out else ""
    span = words.the_last(found.traffic.days)
    return f"At the traffic of {span} their bill goes {words.from_to(before, after)}{omitted}."


def _per_month(cost: "CostChange", per_1000: int | None) -> int:
    return (per_1000 or 0) * (cost.requests_per_month or 0) // 1000


def _losses(found: "Forecast") -> Iterator[str]:
    lost, horizon = found.lost, found.horizon
    if not lost:
        yield from _nothing_stops(found)
        return
    gone = [row for row in lost if row.is_gone_early]
    if horizon.day:
        said = f"On {words.when(horizon)}, {_of(len(lost), found)} {_have(len(lost))} lost {_their(len(lost))} primary"
        already = "" if not gone else f", {len(gone)} of them already: {_it_is(gone)}"
        yield f"{said}{already}"
    else:
        yield from _by_and_by(found, gone)
    nobody = len(found.nobody)
    if nobody:
        yield f"{nobody} {_have(nobody)} nobody to take over"
    else:
        yield f"somebody takes {'it over' if len(lost) == 1 else 'over each of them'}"


def _by_and_by(found: "Forecast", gone: "Sequence[RouteForecast]") -> Iterator[str]:
    """Tell apart what is gone early, what has stopped on its day, and what will."""
    rest = sorted((row for row in found.lost if not row.is_gone_early), key=_shutdown)
    stopped = [row for row in rest if _shutdown(row) <= found.horizon.today]
    coming = [row for row in rest if row not in stopped]
    if gone:
        yield f"{_of(len(gone), found)} {_have(len(gone))} lost {_their(len(gone))} primary already: {_it_is(gone)}"
    if stopped:
        who = f"{len(stopped)} more" if gone else _of(len(stopped), found)
        yield f"{who} {_have(len(stopped))} lost {_their(len(stopped))} primary, since {_shutdown(stopped[0])}"
    if coming:
        count, when = len(coming), f"{words.within(found.horizon)}, {_first(coming)}"
        if gone or stopped:
            yield f"{count} more {_verb(count, 'follow')} {when}"
        else:
            yield f"{_of(count, found)} {_verb(count, 'lose')} {_their(count)} primary {when}"


def _nothing_stops(found: "Forecast") -> Iterator[str]:
    total, horizon = words.counted(len(found.routes)), found.horizon
    dated = sorted((row for row in found.routes if row.dates.shutdown), key=_shutdown)
    if not dated:
        none = "1 route has no known date" if len(found.routes) == 1 else f"all {total} have no known date"
        look = f"on {words.when(horizon)}" if horizon.day else words.within(horizon)
        yield f"{none[0].upper()}{none[1:]}: nobody can say what stops {look}"
        return
    if horizon.day:
        yield f"On {words.when(horizon)}, none of {total} has lost its primary"
    else:
        yield f"None of {total} loses its primary {words.within(horizon)}"
    yield f"the next to stop does on {_shutdown(dated[0])}, {words.in_days(dated[0].days_left)}"


def _troubles(found: "Forecast") -> Iterator[str]:
    """Say what is bad although somebody answers, each in a few words."""
    if on_alias := sum(row.on_alias for row in found.routes):
        yield f"{on_alias} {_verb(on_alias, 'rest')} on an alias whose dated snapshot stops by then"
    if refused := sum(row.demand is not None and row.demand.refused > 0 for row in found.lost):
        yield f"{refused} will be refused requests"
    if unwritten := sum(row.unwritten for row in found.routes):
        yield f"{unwritten} {_verb(unwritten, 'answer')} from a prompt that nobody has written"


def _it_is(gone: "Sequence[RouteForecast]") -> str:
    kinds = {row.gone.availability for row in gone if row.gone is not None}
    what = "gone" if kinds == {Availability.GONE} else "closed to us" if len(kinds) == 1 else "gone, or closed to us"
    return f"{'it is' if len(gone) == 1 else 'they are'} {what}"


def _shutdown(row: "RouteForecast") -> date:
    return row.dates.shutdown or date.max


def _first(coming: "Sequence[RouteForecast]") -> str:
    first = "the first" if len(coming) > 1 and _shutdown(coming[0]) != _shutdown(coming[-1]) else "all"
    first = "" if len(coming) == 1 else f"{first} "
    return f"{first}on {_shutdown(coming[0])}, {words.in_days(coming[0].days_left)}"


def _of(count: int, found: "Forecast") -> str:
    return f"{count} of {words.counted(len(found.routes))}"


def _their(count: int) -> str:
    return "its" if count == 1 else "their"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _verb(count: int, plural: str) -> str:
    return f"{plural}s" if count == 1 else plural
