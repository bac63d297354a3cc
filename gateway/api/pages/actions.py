"""What a person may do on the pages: put a route by hand, give it back to the rules, have a model looked at now.

Off unless ``GATEWAY_UI_ACTIONS`` says otherwise and there is an admin's key. Forms are POSTs that ``Page`` has proven
to come from a page of ours; each says what will happen, and its result is one word in the address it leads to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages.data import Ask
from gateway.api.pages.frame import Page, PageError, Place, Said, access_of, can_act, form_of, redirect
from gateway.config.findings import printable
from gateway.config.routes import Route, Target
from gateway.policy.commanding import AUTO, LONGEST_WORDS, InvalidCommand, command_of
from gateway.policy.planner import Command
from gateway.store.audit import PAGE, AuditStore, audit_row
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.states import StateStore

log = structlog.get_logger()
router = APIRouter(route_class=Page)
BY: Final = "admin (ops page)"
"""Who did it, as events and ``gateway lifecycle events`` name them."""
DURATIONS: Final = (("1h", "an hour"), ("24h", "a day"), ("7d", "a week"), ("", "until it is taken back"))
_T = TypeVar("_T")


class Did(StrEnum):
    """What came of a form."""

    MOVED = "moved"
    RELEASED = "released"
    FREE_ALREADY = "free_already"
    VERIFYING = "verifying"


NOTICES: Final[Mapping[Did, str]] = {
    Did.MOVED: "It is moved by hand; every replica follows within seconds.",
    Did.RELEASED: "It follows its rules again; every replica does within seconds.",
    Did.FREE_ALREADY: "It followed its rules already.",
    Did.VERIFYING: "It is being looked at now; what is found shows here within a minute or so.",
}


@dataclass(frozen=True, slots=True)
class ActionTarget:
    """A target that a route can be moved to, or that can be looked at."""

    name: str
    role: str
    model: str
    provider: str


@dataclass(frozen=True, slots=True)
class RouteActions:
    """What the forms of one route need."""

    route: str
    targets: tuple[ActionTarget, ...]
    command: Command | None
    """Where a person has put the route, while that holds."""
    enabled: bool
    why_not: str
    """What to set so that the forms are obeyed."""
    durations: tuple[tuple[str, str], ...]
    longest_reason: int
    to_move: str
    """The command with the same effect as each form."""
    to_release: str
    to_verify: str


def actions_of(request: Request, route: Route) -> RouteActions:
    """Return what can be done for a route, and what to type instead."""
    services = services_of(request)
    fallback = route.fallbacks[0].name if route.fallbacks else "primary"
    return RouteActions(
        route.name,
        tuple(ActionTarget(t.name, t.role.value, t.model, t.provider.name) for t in route.line_up),
        services.pipeline.board.command(route.name),
        can_act(request),
        why_not(request),
        DURATIONS,
        LONGEST_WORDS,
        f'gateway cutover {route.name} --to {fallback} --reason "…" --for 24h',
        f'gateway cutover {route.name} --to {AUTO} --reason "…"',
        f'gateway try {route.name}@{fallback} "Good morning"',
    )


def notice_of(request: Request) -> str:
    """Return what came of the form that led here; nothing where none did, or the address says something else."""
    did = request.query_params.get("did", "")
    return NOTICES[Did(did)] if did in set(Did) else ""


@router.post("/actions/cutover")
async def cut_over(request: Request) -> Response:
    """Put a route at one of its targets by hand."""
    services, form = services_of(request), _allowed(request)
    route = _route(services, form)
    _confirmed(form)
    try:
        if (to := form.get("to", "")) == AUTO:
            raise InvalidCommand("to", "name one of its targets; there is another form to give it back to the rules")
        lasts = form.get("lasts", "").strip() or None
        now = services.clock.now()
        command = command_of(route, to, reason=form.get("reason", ""), lasts=lasts, by=BY, now=now)
    except InvalidCommand as error:
        raise PageError(400, Said("Not moved", (f"{str(error)[:1].upper()}{str(error)[1:]}.",), _back(route))) from None

    async def put(database: Database) -> None:
        await StateStore(database, BY).command(route.name, command, through=PAGE)

    await _written(services, put)
    lasting = (command.expires_at - now) // timedelta(minutes=1) if command.expires_at else None
    log.warning("route_moved_by_hand", route=route.name, to=to, by=BY, reason=command.reason, minutes=lasting)
    return _led_to(route, Did.MOVED)


@router.post("/actions/release")
async def release(request: Request) -> Response:
    """Give a route back to its rules."""
    services, form = services_of(request), _allowed(request)
    route = _route(services, form)
    reason = printable(form.get("reason", "").strip()[:LONGEST_WORDS]) or None

    async def take_back(database: Database) -> bool:
        return await StateStore(database, BY).release(
            route.name, by=BY, reason=reason, now=services.clock.now(), through=PAGE
        )

    was_moved = await _written(services, take_back)
    log.warning("route_given_back", route=route.name, by=BY, reason=reason, was_moved=was_moved)
    return _led_to(route, Did.RELEASED if was_moved else Did.FREE_ALREADY)


@router.post("/actions/verify")
async def verify(request: Request) -> Response:
    """Have a route's target looked at now: it is asked for one token, or verified where it is doubted."""
    services, form = services_of(request), _allowed(request)
    route = _route(services, form)
    target = _target(route, form.get("target", ""))
    changes = {"target": (None, target.name), "model": (None, target.model)}
    row = audit_row(
        services.clock.now(), by=BY, action="model_looked_at", subject=route.name, through=PAGE, changes=changes
    )

    async def keep(database: Database) -> None:
        await AuditStore(database).add(row)

    # Kept first: nothing is done by hand that leaves no trace.
    await _written(services, keep)
    services.verify(target)
    log.info("verification_asked_for", route=route.name, provider=target.provider.name, model=target.model, by=BY)
    return _led_to(route, Did.VERIFYING)


def _allowed(request: Request) -> Mapping[str, str]:
    if not can_act(request):
        raise PageError(403, Said("Off", (why_not(request),)))
    return form_of(request)


def why_not(request: Request) -> str:
    """Say what to set so that forms are obeyed; nothing where they are."""
    if can_act(request):
        return ""
    if access_of(request).is_open:
        return (
            "These forms are off, since without keys they would be anybody’s: set GATEWAY_KEY, GATEWAY_ADMIN_KEY and "
            "GATEWAY_UI_ACTIONS=true, and start the gateway again."
        )
    return "These forms are off: set GATEWAY_UI_ACTIONS=true, and start the gateway again."


def _route(services: Services, form: Mapping[str, str]) -> Route:
    route = services.pipeline.snapshot.routes.routes.get(form.get("route", ""))
    if route is None:
        raise PageError(404, Said("No such route", ("routes.yaml does not name it (any more).",)))
    return route


def _target(route: Route, name: str) -> Target:
    found = next((target for target in route.targets if target.name == name), None)
    if found is None:
        raise PageError(404, Said("No such target", ("The route does not have it (any more).",), _back(route)))
    return found


def _confirmed(form: Mapping[str, str]) -> None:
    if form.get("confirmed") != "yes":
        raise PageError(400, Said("Not moved", ("Tick the box that says what will happen.",)))


async def _written(services: Services, write: Ask[_T]) -> _T:
    try:
        return await services.pages.ask(write)
    except DatabaseUnavailable as error:
        why = "Commands go through the database, so that every replica follows; it is away."
        raise PageError(503, Said("Not done", (why, str(error)))) from None


def _path(route: Route) -> str:
    return f"/ui/routes/{quote(route.name, safe='')}"


def _back(route: Route) -> tuple[Place, ...]:
    return (Place(_path(route), route.name),)


def _led_to(route: Route, did: Did) -> Response:
    return redirect(f"{_path(route)}?did={did}#actions")
