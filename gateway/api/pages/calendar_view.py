"""The calendar: what stops next, and are we ready?"""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages.calendar_figures import DAYS, LONGEST_DAYS, CalendarView, view_of
from gateway.api.pages.frame import Page, PageError, Said, render
from gateway.learning.known import Known, known_of
from gateway.lifecycle.forecast import Horizon, forecast
from gateway.policy.availability import TargetState
from gateway.policy.lifecycle import midnight
from gateway.policy.planner import UNUSABLE
from gateway.providers.abilities import Abilities
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.traffic import TrafficStore

if TYPE_CHECKING:
    from gateway.policy.traffic import Traffic

router = APIRouter(route_class=Page)
TRAFFIC_KEPT_S: Final = 600.0
"""A week of rows is read for it: of millions that takes seconds."""
TRAFFIC_WAITED_S: Final = 2.0


@router.get("/calendar")
async def calendar(request: Request) -> Response:
    """Show what stops until a day."""
    services = services_of(request)
    until = _until(request.query_params.get("until"), services.clock.now().date())
    return await render(request, "calendar.html", await read(services, until), "Calendar")


async def read(services: Services, until: date) -> CalendarView:
    """Foresee every route until a day, by the configuration in force and what the database knows."""
    snapshot, now, away = services.pipeline.snapshot, services.clock.now(), ""
    known, traffic, note = Known(), None, ""
    try:
        known = await services.pages.read("known", known_of)
        traffic, note = await _traffic(services)
    except DatabaseUnavailable as error:
        away = str(error)
    states = known.targets or _states_here(services)
    horizon = Horizon(now, max(now, midnight(until)))

    def compute() -> CalendarView:
        found = forecast(
            snapshot.routes,
            horizon,
            calendar=snapshot.calendar,
            book=snapshot.price_book,
            abilities=Abilities(snapshot.routes.capabilities),
            traffic=traffic,
            states=states,
        )
        return view_of(replace(found, evaluations=known.evaluations), until, note, away)

    # Forty routes' plans on some days, and litellm's map: not on the loop that callers wait for.
    return await asyncio.to_thread(compute)


async def _traffic(services: Services) -> "tuple[Traffic | None, str]":
    """Return last week's traffic, or why it is not there (yet)."""
    now = services.clock.now()

    async def ask(database: Database) -> "Traffic":
        return await TrafficStore(database).traffic(now)

    reading = services.pages.read("traffic", ask, fresh_s=TRAFFIC_KEPT_S)
    try:
        found = await asyncio.wait_for(reading, TRAFFIC_WAITED_S)
    except TimeoutError:
        return None, "Last week’s traffic is still being read: costs and peaks follow in a moment."
    except DatabaseUnavailable as error:
        return None, f"Last week’s traffic could not be read ({error}): costs and peaks are not known."
    if not found.served:
        return None, "Nothing was asked in the last seven days: nobody knows what a move costs, and what it breaks."
    return found, ""


def _states_here(services: Services) -> dict[tuple[str, str], TargetState]:
    """Return what this replica knows to be gone, where nobody can be asked."""
    board, now = services.pipeline.board, services.clock.now()
    targets = (target for route in services.pipeline.snapshot.routes.routes.values() for target in route.targets)
    seen = ((target, board.availability(target)) for target in targets)
    return {(t.provider.name, t.model): TargetState(found, 0, now) for t, found in seen if found in UNUSABLE}


def _until(said: str | None, today: date) -> date:
    if not said:
        return today + timedelta(days=DAYS)
    try:
        until = date.fromisoformat(said)
    except ValueError:
        until = None
    if until is None or not today <= until <= today + timedelta(days=LONGEST_DAYS):
        what = "Name a day from today on, such as 2027-01-14, and no further than ten years ahead."
        raise PageError(400, Said("No such day", (what,)))
    return until
