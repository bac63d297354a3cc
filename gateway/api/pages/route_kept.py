"""What the database knows of one route: thirty days of figures, what happened, and what its fallback was seen to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.config.routes import Routes
from gateway.learning.known import known_of
from gateway.learning.report_reading import BreakEvenAsker
from gateway.lifecycle.break_even import BreakEvenFinding
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.report_figures import Period
from gateway.policy.announcements import Event
from gateway.policy.lifecycle import midnight
from gateway.policy.standing import RouteState
from gateway.policy.usage import Used
from gateway.providers.prices import PriceBook
from gateway.store.database import Database
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.rehearsals import Pair, RehearsalStore
from gateway.store.report import ReportStore
from gateway.store.states import StateStore

DAYS: Final = 30
MOST_EVENTS: Final = 30
MOST_PAIRS: Final = 1000
_SKETCHES: Final = ("duration_ms", "ttft_ms")


@dataclass(frozen=True, slots=True)
class RouteKept:
    """What was read."""

    state: RouteState | None
    period: Period
    used: Used
    """Of the route alone, by day."""
    events: Sequence[Event]
    """Newest first."""
    pairs: Sequence[Pair]
    """Rehearsals beside the live answers, the oldest first."""
    evaluations: Sequence[Evaluation]
    """Of all routes, the latest of each, newest first."""
    states: Mapping[str, RouteState]


async def read_route(database: Database, name: str, now: datetime) -> RouteKept:
    """Read it. May raise ``DatabaseUnavailable``."""
    period, store = period_of(now), ReportStore(database)
    states = StateStore(database, "")
    shared = await states.read(now)
    used = await store.used(period.since, period.until, now=now, routes=(name,), days=True, spread=_SKETCHES)
    return RouteKept(
        shared.routes.get(name),
        period,
        used,
        await states.events(limit=MOST_EVENTS, route=name),
        await RehearsalStore(database).latest(name, MOST_PAIRS),
        await EvaluationStore(database).latest(),
        shared.routes,
    )


async def read_break_even(database: Database, name: str, served: Routes, now: datetime) -> BreakEvenFinding | None:
    """Say whether a route's fine-tune pays for itself; None: the route is not there. May raise ``DatabaseUnavailable``.

    ``served`` is the configuration in force. Draws thousands of samples, so it takes longer than all the rest.
    """
    route = served.routes.get(name)
    if route is None:
        return None
    period, store = period_of(now), ReportStore(database)
    used = await store.used(period.since, period.until, now=now, routes=(name,), spread=("cost_sketch",))
    known = await known_of(database)
    book = PriceBook.for_routes(served, now.date())
    return await BreakEvenAsker(store, period, used, Calendar(served, known.published), book, known).find(route)


def period_of(now: datetime) -> Period:
    """Return the last thirty days from midnight on, and today."""
    return Period(midnight(now.date()) - timedelta(days=DAYS - 1), now, now)
