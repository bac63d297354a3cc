"""What published dates say against a route as it is written: the warnings of ``gateway check``. No I/O."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from gateway.config.routes import Route, Target
from gateway.lifecycle.forecast import States, is_gone, main_of, who_answers
from gateway.lifecycle.forecast_aliases import Dated, alias_of, alias_words
from gateway.lifecycle.forecast_findings import named, seen_to_be, shared_base, who_says
from gateway.policy.lifecycle import Dates, midnight

NEAR: Final = timedelta(days=90)


def route_warnings(
    route: Route, *, calendar: Dated, now: datetime, states: States = MappingProxyType({})
) -> Iterator[str]:
    """Yield one sentence for each thing that is wrong, without the route's name."""
    main = main_of(route)
    dates = calendar.dates_of(main)
    part = f"its {main.role.value}"
    for target in route.targets:
        if (seen := states.get((target.provider.name, target.model))) is not None and is_gone(seen):
            who = part if target == main else f"fallback {named(target)}"
            yield f"{who} is {seen_to_be(seen)}"
    if dates.shutdown is not None:
        stops = midnight(dates.shutdown)
        serves = who_answers(route, calendar.dates_of, max(now, stops))
        left = "" if serves is not None else ", and nobody takes over"
        if serves is None or stops - now <= NEAR:
            origin = dates.origin.value if dates.origin else dates.source
            of = calendar.base_of(main) or main.model
            yield f"{part} {_when(dates, now)}{left} ({of}; {dates.certainty}, source: {origin})"
    elif (alias := alias_of(main, calendar)) is not None and _is_near(alias.dates, now):
        yield f"its {alias_words(main, alias)}"
    elif main.model.lower().startswith("ft:") and not _is_known(main, calendar):
        yield f"{part} {main.model}: no source knows its base, so no date of it is known; is the id right?"
    for other in dict.fromkeys((who_says(other, dates), other.shutdown) for other in dates.disputed_by):
        yield f"{part} stops {dates.shutdown or 'on no known date'}, but {other[0]} says {other[1]}"
    for fallback in route.fallbacks:
        if fallback == main:
            continue
        theirs = calendar.dates_of(fallback)
        if theirs.shutdown is not None and _stops_too(dates, theirs, now):
            yield f"fallback {named(fallback)} {_when(theirs, now)}{_compared(dates, theirs)}"
        elif (alias := alias_of(fallback, calendar)) is not None and _stops_too(dates, alias.dates, now):
            yield f"{alias_words(fallback, alias)}{_compared(dates, alias.dates)}"
        elif route.primary is not None and (base := shared_base(route.primary, fallback, calendar.base_of)):
            yield f"fallback {named(fallback)} shares the primary's base, {base}: what ends one ends the other"


def _is_known(target: Target, calendar: Dated) -> bool:
    """Tell whether anybody names the base of a fine-tune of OpenAI's, whose ids tell it; of others nobody need to."""
    return target.provider.kind != "openai" or calendar.base_of(target) in calendar.names_at(target.provider)


def _stops_too(primary: Dates, fallback: Dates, now: datetime) -> bool:
    if fallback.shutdown is None:
        return False
    return _is_near(fallback, now) or (primary.shutdown is not None and fallback.shutdown <= primary.shutdown)


def _is_near(dates: Dates, now: datetime) -> bool:
    return dates.shutdown is not None and midnight(dates.shutdown) - now <= NEAR


def _compared(primary: Dates, fallback: Dates) -> str:
    if primary.shutdown is None or fallback.shutdown is None or fallback.shutdown > primary.shutdown:
        return ""
    return ", as the primary does" if fallback.shutdown == primary.shutdown else ", before the primary does"


def _when(dates: Dates, now: datetime) -> str:
    assert dates.shutdown is not None
    days = (dates.shutdown - now.date()).days
    if days <= 0:
        return f"stopped on {dates.shutdown}"
    return f"stops on {dates.shutdown}, {'tomorrow' if days == 1 else f'in {days} days'}"
