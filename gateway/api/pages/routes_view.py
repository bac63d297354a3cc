"""Routes: who is answering right now, and is that what we meant?"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import orjson
from fastapi import APIRouter, Request, Response

from gateway.api.deps import Services, services_of
from gateway.api.pages.evidence_cell import EvidenceCell, evidence_cell
from gateway.api.pages.frame import Page, access_of, render
from gateway.api.pages.notes import Note, notes_of
from gateway.api.pages.route_versions import promoted_note
from gateway.api.pages.routes_kept import NOTHING_KEPT, DayOfRoute, RoutesKept, read_routes
from gateway.api.pages.routes_now import Concern, RouteNow, routes_now
from gateway.api.pages.sentence import Part, short, why, written
from gateway.api.pages.sorting import Sort
from gateway.store.database import DatabaseUnavailable

router = APIRouter(route_class=Page)
SORTED_BY: Final = ("name", "owner", "fallback", "cost", "p95", "first_token", "stops")
NUMBERS: Final = ("fallback", "cost", "p95", "first_token")
SOON_DAYS: Final = 30
MOST_QUERY_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One line of the table."""

    now: RouteNow
    why: str
    """Empty: the primary answers, as always."""
    title: str
    """More of it, for who points at it."""
    day: DayOfRoute | None
    """None: nobody asked in the last day, or it is not known."""
    days_left: int | None
    stops_soon: bool
    evidence: EvidenceCell

    @property
    def per_request(self) -> Decimal | None:
        """Nano-dollars; None: not known."""
        return self.day.per_request if self.day is not None else None

    @property
    def is_unpriced(self) -> bool:
        """Whether it was asked, and no price is known."""
        return self.day is not None and self.day.requests > 0 and self.day.per_request is None


@dataclass(frozen=True, slots=True)
class RoutesView:
    """The whole view."""

    sentence: tuple[Part, ...]
    notes: tuple[Note, ...]
    rows: tuple[RouteRow, ...]
    total: int
    """Routes, shown or not."""
    query: str
    sort: Sort
    has_traffic: bool
    """Whether anybody asked anything in the last day; true where that is not known."""
    try_it: str
    """What to type for a first request."""
    routes_file: str
    away: str = ""


@router.get("")
async def routes(request: Request) -> Response:
    """Show every route as it stands."""
    asked = request.query_params
    query = asked.get("q", "").strip()[:MOST_QUERY_CHARS]
    sort = Sort.read(asked.get("sort"), SORTED_BY, falling_first=NUMBERS, kept=(("q", query),))
    view = await read(
        services_of(request), query, sort, address=request.headers.get("host", ""), keyed=is_keyed(request)
    )
    return await render(request, "routes.html", view, "Routes")


def is_keyed(request: Request) -> bool:
    """Tell whether callers need a key."""
    return not access_of(request).is_open


async def read(services: Services, query: str, sort: Sort, *, address: str, keyed: bool) -> RoutesView:
    """Gather the view: what this replica knows, and what the database adds to it."""
    now, away, kept = services.clock.now(), "", NOTHING_KEPT
    try:
        kept = await services.pages.read(("routes",), lambda database: read_routes(database, now))
    except DatabaseUnavailable as error:
        away = str(error)
    live = routes_now(services.pipeline, kept.states, now)
    rows = [_row(services, route, kept, now, known=not away) for route in live]
    shown = _sorted([row for row in rows if _matches(row, query)], sort)
    name = next(iter(services.pipeline.snapshot.prepared), "")
    return RoutesView(
        written(live, now),
        (*notes_of(services, kept, now), *promoted_note(services, now)),
        tuple(shown),
        len(rows),
        query,
        sort,
        has_traffic=bool(away) or any(row.day is not None and row.day.requests for row in rows),
        try_it=first_request(name, address, keyed=keyed),
        routes_file=services.routes_file,
        away=away,
    )


def _row(services: Services, route: RouteNow, kept: RoutesKept, now: datetime, *, known: bool) -> RouteRow:
    configured = services.pipeline.snapshot.routes.routes[route.name]
    exercised = services.exercised(route.name)
    days = route.days_left(now)
    return RouteRow(
        route,
        why(route, briefly=True) if route.concern is not Concern.NONE or not route.has_primary else "",
        _more(route, now),
        kept.days.get(route.name),
        days,
        stops_soon=days is not None and days <= SOON_DAYS and route.concern is Concern.NONE,
        evidence=evidence_cell(
            configured,
            kept.evaluations if known else None,
            route.dates,
            exercised,
        ),
    )


def _more(route: RouteNow, now: datetime) -> str:
    """Say in whose words, and for how long, a route is held by hand."""
    command = route.command
    if command is None:
        return ""
    until = f"until {short(command.expires_at, now)} UTC" if command.expires_at else "until it is taken back"
    return f"{command.by}, {until}: {command.reason}"


def _matches(row: RouteRow, query: str) -> bool:
    """Tell whether every word of a query is found in what a row says."""
    route = row.now
    said = " ".join(
        (route.name, route.owner, route.model, route.target, route.provider, row.why, route.role or "nobody")
    )
    return all(word in said.lower() for word in query.lower().split())


def _sorted(rows: list[RouteRow], sort: Sort) -> Sequence[RouteRow]:
    """Trouble first, unless another order was asked for; what is equal, by name."""
    rows.sort(key=lambda row: row.now.name)
    if not sort.key:
        return sorted(rows, key=lambda row: (row.now.concern, not row.stops_soon))
    day = {
        "fallback": lambda row: row.day.on_fallback if row.day else None,
        "cost": lambda row: row.per_request,
        "p95": lambda row: row.day.p95_ms if row.day else None,
        "first_token": lambda row: row.day.first_token_p95_ms if row.day else None,
        "stops": lambda row: row.days_left,
        "name": lambda row: row.now.name,
        "owner": lambda row: row.now.owner or None,
    }
    return sort.applied(rows, day[sort.key])


def first_request(route: str, address: str, *, keyed: bool) -> str:
    """Return a command that asks a route something, in lines of a page's width."""
    body = orjson.dumps({"model": route, "messages": [{"role": "user", "content": "Hello"}]}).decode()
    host = address if address and all(char.isalnum() or char in ".-:[]" for char in address) else "127.0.0.1:8080"
    parts = [f"curl http://{host}/v1/chat/completions"]
    if keyed:
        parts.append('-H "Authorization: Bearer $GATEWAY_KEY"')
    parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
    return " \\\n  ".join(parts)
