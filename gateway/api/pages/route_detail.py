"""One route: why this target, and would the other one do?"""

import difflib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages.actions import RouteActions, actions_of, notice_of
from gateway.api.pages.charts import Amount, Chart, Compared, columns, compared
from gateway.api.pages.frame import Page, PageError, Place, Said, render
from gateway.api.pages.route_figures import DayFigures, Rehearsed, TargetFigures, days_of, rehearsed, targets_of
from gateway.api.pages.route_kept import DAYS, RouteKept, read_break_even, read_route
from gateway.api.pages.route_objectives import Objective, objectives_of
from gateway.api.pages.route_plan import PlanLines, lines_of, plan_on
from gateway.api.pages.route_versions import RouteVersions, versions_of
from gateway.api.pages.route_words import said_of, tells_date
from gateway.api.pages.routes_now import RouteNow, route_now
from gateway.api.pages.sentence import Part
from gateway.api.pages.words import count, ms, usd, usd_per_1000
from gateway.config.routes import Route
from gateway.errors import ConfigError
from gateway.execution.prepared import PreparedRoute
from gateway.learning.evidence_words import sentence as evidence_sentence
from gateway.learning.evidence_words import what_waits
from gateway.lifecycle import break_even_words
from gateway.lifecycle.forecast_evidence import evidence_on
from gateway.lifecycle.forecast_words import believed, signed
from gateway.policy.announcements import Event
from gateway.store.database import DatabaseUnavailable
from gateway.store.evaluations import Evaluation

router = APIRouter(route_class=Page)
BREAK_EVEN_FRESH_S: Final = 300.0
MOST_NEAR: Final = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """What the database adds; empty where it is away."""

    targets: tuple[TargetFigures, ...] = ()
    days: tuple[DayFigures, ...] = ()
    events: tuple[Event, ...] = ()
    rehearsed: Rehearsed | None = None
    evaluations: tuple[Evaluation, ...] = ()
    """Of this route, newest first."""
    evidence: str = ""
    waits: str = ""
    """When it moves without the evidence that it asks for; empty: nothing waits."""
    break_even: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteView:
    """The whole view."""

    now: RouteNow
    route: Route
    sentence: tuple[Part, ...]
    dates: str
    """How certain the date is, and who says so; empty: there is none."""
    plan_now: PlanLines
    plan_then: PlanLines | None
    at: str
    """The chosen day, as the form shows it."""
    at_error: str
    kept: Kept
    comparisons: tuple[Compared, ...]
    cost: Chart | None
    requests: Chart | None
    exercised: float | None
    """When a fallback last answered anything, in Unix time; 0: never, None: not known."""
    exercised_at: datetime | None
    objectives: tuple[Objective, ...]
    since: datetime
    """When this replica started: what its own counts begin with."""
    days: int
    commands: tuple[tuple[str, str], ...]
    """What each is for, and the command."""
    versions: RouteVersions
    away: str = ""
    actions: RouteActions | None = None
    """The forms; put in by whoever knows the visitor."""
    notice: str = ""
    """What came of a form that was sent."""

    @staticmethod
    def write_cost(nanousd: float) -> str:
        """Write a difference of 1,000 requests, of what one costs in nano-dollars."""
        return signed(round(nanousd * 1000))

    @staticmethod
    def write_ms(value: float) -> str:
        """Write a difference in time."""
        return f"{'−' if value < 0 else '+'}{ms(abs(value))}"

    @staticmethod
    def write_share(value: float) -> str:
        """Write a likeness."""
        return f"{value:.2f}"


@router.get("/routes/{name:path}")
async def route_detail(name: str, request: Request) -> Response:
    """Show one route."""
    view = await read(services_of(request), name, request.query_params.get("at", "").strip())
    view = replace(view, actions=actions_of(request, view.route), notice=notice_of(request))
    return await render(request, "route_detail.html", view, name)


async def read(services: Services, name: str, at: str) -> RouteView:
    """Gather the view.

    Raises:
        PageError: there is no such route; it names those that are spelt like it.
    """
    pipeline, now = services.pipeline, services.clock.now()
    snapshot = pipeline.snapshot
    prepared = snapshot.prepared.get(name)
    if prepared is None:
        raise PageError(404, _no_such(name, list(snapshot.prepared)))
    away, state, kept, versions = "", None, Kept(), RouteVersions()
    try:
        versions = await versions_of(services, name, now)
        read_ = await services.pages.read(("route", name), lambda database: read_route(database, name, now))
        state, kept = read_.state, _kept(prepared.route, read_, await _break_even(services, name, now), prepared, now)
    except DatabaseUnavailable as error:
        away = str(error)
    live = route_now(pipeline, snapshot, prepared, state, now)
    day, at_error = _day_of(at, live.shutdown, now)
    then = plan_on(pipeline, prepared, live.shutdown) if live.shutdown is not None else None
    exercised = services.exercised(name)
    streams = [target.first_token_p95_ms for target in kept.targets if target.first_token_p95_ms is not None]
    return RouteView(
        live,
        prepared.route,
        tuple(said_of(live, now, then)),
        believed(live.dates) if tells_date(live) else "",
        lines_of(snapshot, snapshot.plan(prepared, None, pipeline.board, None).plan, now, live.command),
        lines_of(snapshot, plan_on(pipeline, prepared, day), _midnight(day), live.command) if day is not None else None,
        day.isoformat() if day is not None and not at_error else at,
        at_error,
        kept,
        _comparisons(kept.targets),
        columns([_cost_of(day_) for day_ in kept.days]),
        columns([_requests_of(day_) for day_ in kept.days]),
        exercised,
        datetime.fromtimestamp(exercised, UTC) if exercised else None,
        objectives_of(services, prepared.route, max(streams, default=None)),
        services.started_at,
        DAYS,
        tuple(_commands(prepared.route, live)),
        versions,
        away,
    )


async def _break_even(services: Services, name: str, now: datetime) -> tuple[str, ...]:
    served = services.pipeline.snapshot.routes
    key = ("break-even", name, served.config_hash)
    try:
        found = await services.pages.read(
            key, lambda database: read_break_even(database, name, served, now), fresh_s=BREAK_EVEN_FRESH_S
        )
    except ConfigError as error:
        return (str(error),)
    return tuple(break_even_words.sentences(found)) if found is not None else ()


def _kept(route: Route, read_: RouteKept, break_even: tuple[str, ...], prepared: PreparedRoute, now: datetime) -> Kept:
    primary = prepared.targets.get("primary")
    evidence = evidence_on(route, read_.evaluations, primary.dates) if primary is not None else None
    return Kept(
        targets_of(route, read_),
        days_of(read_),
        tuple(_here(event, route) for event in read_.events),
        rehearsed(read_.pairs),
        tuple(found for found in read_.evaluations if found.route == route.name),
        evidence_sentence(evidence).replace(" %", "\u00a0%") if evidence is not None else "",
        what_waits(evidence) if evidence is not None and evidence.waits else "",
        break_even,
    )


def _here(event: Event, route: Route) -> Event:
    """Say an event as it is said on the route's own page: without its name, and without the primary's long id."""
    text = event.text.removeprefix(f"{route.name} ")
    if route.primary is not None:
        text = text.replace(route.primary.model, "its primary").replace("its primary its primary", "its primary")
    return replace(event, text=text)


def _day_of(at: str, shutdown: date | None, now: datetime) -> tuple[date | None, str]:
    """Return the day to plan for, and what is wrong with the one that was typed."""
    if not at:
        return (shutdown if shutdown is not None and shutdown > now.date() else None), ""
    try:
        day = date.fromisoformat(at)
    except ValueError:
        return None, "That is no day: write it as 2027-01-14."
    return (day, "") if 2000 <= day.year <= 2100 else (None, "Choose a day between 2000 and 2100.")


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _no_such(name: str, names: list[str]) -> Said:
    near = difflib.get_close_matches(name[:100], names, n=MOST_NEAR, cutoff=0.5)
    return Said(
        "No such route",
        (f"There is no route “{name[:100]}” in the configuration that is in force.",),
        tuple(Place(f"/ui/routes/{quote(each, safe='')}", each) for each in near) or (Place("/ui", "all routes"),),
    )


def _comparisons(targets: tuple[TargetFigures, ...]) -> tuple[Compared, ...]:
    """Hold targets against each other, each measure on one scale; nothing where none has answered."""
    if not any(target.requests for target in targets):
        return ()
    costs = [(target, target.per_request) for target in targets]
    measures = (
        ("p95 until the answer’s end", [(t, t.p95_ms, ms(t.p95_ms)) for t in targets]),
        ("p95 until the first token", [(t, t.first_token_p95_ms, ms(t.first_token_p95_ms)) for t in targets]),
        ("cost of 1,000 requests", [(t, None if c is None else float(c), usd_per_1000(c)) for t, c in costs]),
    )
    return tuple(
        compared(label, [(target.role.value, target.name, value, said) for target, value, said in rows])
        for label, rows in measures
        if any(value is not None for _, value, _ in rows)
    )


def _cost_of(day: DayFigures) -> Amount:
    said = f"{day.day}: {usd(day.cost_nanousd)}"
    parts = (("primary", float(day.cost_nanousd - day.fallback_nanousd)), ("fallback", float(day.fallback_nanousd)))
    return Amount(day.day, parts, said, usd(day.cost_nanousd))


def _requests_of(day: DayFigures) -> Amount:
    said = f"{day.day}: {count(day.requests)} requests, {count(day.fallback)} of them on a fallback"
    parts = (("primary", float(day.primary)), ("fallback", float(day.fallback)))
    return Amount(day.day, parts, said, count(day.requests))


def _commands(route: Route, now: RouteNow) -> list[tuple[str, str]]:
    """Say what could be typed next, the most useful first."""
    name, typed = route.name, []
    if now.shutdown is not None:
        typed.append(("the same plan in a terminal", f"gateway explain --route {name} --at {now.shutdown}"))
    if route.fallbacks and route.primary is not None:
        typed.append(("keep the primary’s answers while it lives", f"gateway record {name}"))
        typed.append(("find out whether the fallback is good enough", f"gateway evaluate {name}"))
    typed.append(("what it cost, and whether its training pays back", f"gateway report {name} --since 4w --break-even"))
    return typed
