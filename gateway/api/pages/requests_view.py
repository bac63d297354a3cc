"""The requests: what happened to this one?"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages.frame import Page, PageError, Said, redirect, render
from gateway.api.pages.requests_figures import (
    KIND_WORDS,
    OUTCOME_WORDS,
    REASON_WORDS,
    RequestLine,
    RequestTrace,
    line_of,
    trace_of,
)
from gateway.config.findings import printable
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.requests import Found, RequestStore, Wanted

router = APIRouter(route_class=Page)
FRESH_S: Final = 3.0
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ATTEMPT_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """What the list is narrowed to, as its address says it; empty: anything."""

    route: str = ""
    outcome: str = ""
    reason: str = ""
    target: str = ""
    kind: str = "live"
    before: str = ""

    @property
    def wanted(self) -> Wanted:
        """The same as the store is asked for."""
        kind = None if self.kind == "all" else self.kind
        return Wanted(kind, self.route or None, self.target or None, self.reason or None, self.outcome or None)

    @property
    def is_narrow(self) -> bool:
        """Whether anything is left out."""
        return bool(self.route or self.outcome or self.reason or self.target or self.kind != "live")

    def href(self, before: str = "") -> str:
        """Return the address of the same list, from an attempt on."""
        said = {"route": self.route, "outcome": self.outcome, "reason": self.reason, "target": self.target}
        said |= {"kind": self.kind if self.kind != "live" else "", "before": before}
        said = {name: value for name, value in said.items() if value}
        return f"/ui/requests?{urlencode(said)}" if said else "/ui/requests"


@dataclass(frozen=True, slots=True)
class RequestsView:
    """A page of requests."""

    chosen: RequestFilter
    routes: tuple[str, ...]
    targets: tuple[str, ...]
    outcomes: tuple[tuple[str, str], ...]
    reasons: tuple[tuple[str, str], ...]
    kinds: tuple[tuple[str, str], ...]
    lines: tuple[RequestLine, ...]
    older: str
    """The address of the next page; empty: this is the last."""
    stopped: bool
    """Whether the search stopped before the page was full."""
    looked_back_to: datetime | None
    away: str = ""


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request."""

    id: str
    trace: RequestTrace | None
    """None: it was not found (yet)."""
    older: str
    looked_back_to: datetime | None
    retention_days: int | None
    away: str = ""


@router.get("/requests")
async def requests(request: Request) -> Response:
    """List the latest requests, or go on to the one whose id is asked for."""
    asked = request.query_params
    if wanted_id := asked.get("id", "").strip():
        return redirect(f"/ui/requests/{_id(wanted_id)}")
    view = await read(services_of(request), filter_of(dict(asked)))
    return await render(request, "requests.html", view, "Requests", live=not view.chosen.before)


@router.get("/requests/{request_id}")
async def one_request(request_id: str, request: Request) -> Response:
    """Show one request, attempt by attempt."""
    asked = request.query_params
    view = await read_one(
        services_of(request), _id(request_id), _attempt(asked.get("at")), _attempt(asked.get("before"))
    )
    found = view.trace is not None or view.away or view.older
    return await render(
        request, "request.html", view, f"Request {request_id}", status=200 if found else 404, live=False
    )


async def read(services: Services, chosen: RequestFilter) -> RequestsView:
    """Read a page of the ledger, newest first."""
    routes = services.pipeline.snapshot.routes.routes
    found, away = Found((), None, None, stopped=False), ""

    async def ask(database: Database) -> Found:
        return await RequestStore(database).latest(chosen.wanted, chosen.before or None)

    try:
        found = await services.pages.read(("requests", chosen), ask, fresh_s=FRESH_S)
    except DatabaseUnavailable as error:
        away = str(error)
    targets = {target.name for route in routes.values() for target in route.targets}
    return RequestsView(
        chosen,
        tuple(sorted({*routes, *([chosen.route] if chosen.route else ())})),
        tuple(sorted({*targets, *([chosen.target] if chosen.target else ())})),
        OUTCOME_WORDS,
        REASON_WORDS,
        KIND_WORDS,
        tuple(line_of(rows, services.clock.now()) for rows in found.requests),
        chosen.href(found.before) if found.before else "",
        found.stopped,
        found.looked_back_to,
        away,
    )


async def read_one(
    services: Services, request_id: str, at: str | None = None, before: str | None = None
) -> RequestView:
    """Find one request: at an attempt of it where that is known, else by looking back, within bounds."""
    found, away = Found((), None, None, stopped=False), ""

    async def ask(database: Database) -> Found:
        return await RequestStore(database).of_request(request_id, at, before)

    try:
        found = await services.pages.read(("request", request_id, at, before), ask, fresh_s=FRESH_S)
    except DatabaseUnavailable as error:
        away = str(error)
    older = f"/ui/requests/{request_id}?{urlencode({'before': found.before})}" if found.before else ""
    return RequestView(
        request_id,
        trace_of(found.requests[0]) if found.requests else None,
        older,
        found.looked_back_to,
        services.pipeline.snapshot.routes.ledger.retention_days,
        away,
    )


def filter_of(asked: dict[str, str]) -> RequestFilter:
    """Return what an address asks for.

    Raises:
        PageError: it names an outcome, a reason or a kind that there is not, or no attempt's id.
    """
    outcome, reason, kind = asked.get("outcome", ""), asked.get("reason", ""), asked.get("kind") or "live"
    for word, known in ((outcome, OUTCOME_WORDS), (reason, REASON_WORDS), (kind, KIND_WORDS)):
        if word and word not in dict(known):
            raise PageError(400, Said("No such filter", (f"One of {', '.join(dict(known))} was expected.",)))
    route, target = (printable(asked.get(name, "").strip()[:_LONGEST]) for name in ("route", "target"))
    return RequestFilter(route, outcome, reason, target, kind, _attempt(asked.get("before")) or "")


def _id(said: str) -> str:
    if not _REQUEST_ID.fullmatch(said):
        what = "A request’s id is what the answer’s x-request-id says: letters, digits, - and _, at most 64 of them."
        raise PageError(400, Said("No request’s id", (what,)))
    return said


def _attempt(said: str | None) -> str | None:
    if not said:
        return None
    if not _ATTEMPT_ID.fullmatch(said):
        raise PageError(400, Said("No such place", ("The address names no attempt to go on from.",)))
    return said
