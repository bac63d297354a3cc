"""Review: which answers has nobody looked at yet, and how far is it?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request, Response

from gateway.api.deps import services_of
from gateway.api.pages import words
from gateway.api.pages.frame import ReviewersPage, render
from gateway.api.pages.review_form import message_in
from gateway.api.pages.review_messages import first_words, messages_of
from gateway.api.pages.review_queue import answer_href, chosen_of, notice_of, place_of, queue_href, scope_of
from gateway.api.pages.review_words import NOBODY, NOTHING, lead_of, mark_words, next_command, progress_of
from gateway.learning.datasets.building import FLOOR
from gateway.reasons import Label, Role
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.feedback import FeedbackCount, FeedbackStore
from gateway.store.review import Answered, Chosen, ReviewCount, ReviewStore, Show

router = APIRouter(route_class=ReviewersPage)
SHOWS: Final[Mapping[Show, str]] = {
    Show.UNMARKED: "not marked",
    Show.WRONG: "wrong",
    Show.RIGHT: "right",
    Show.ALL: "all",
}
MOST_ROUTES: Final = 40
"""Lines of the table by route."""
FRESH_S: Final = 5.0
"""What is counted; that a mark was kept shows at once."""

Counted = tuple[Mapping[str, ReviewCount], Mapping[str, FeedbackCount]]
"""By route: how far it is looked through, and what its marks make."""


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One answer in the list."""

    id: str
    href: str
    route: str
    tenant: str
    at: datetime
    question: str
    answer: str
    role: Role
    model: str
    short_model: str
    label: Label | None
    mark: str
    """What was said of it, in words; empty: nothing."""


@dataclass(frozen=True, slots=True)
class RouteLine:
    """How far one route is."""

    route: str
    href: str
    count: ReviewCount
    said: FeedbackCount
    command: str
    """What to run next; empty: there is too little."""


@dataclass(frozen=True, slots=True)
class ShowLink:
    """A part of the queue that one can look at instead."""

    href: str
    word: str
    count: int
    is_here: bool


@dataclass(frozen=True, slots=True)
class ReviewView:
    """A page of the queue."""

    lead: str
    progress: str
    """Empty: it is told by route."""
    chosen: Chosen
    shows: tuple[ShowLink, ...]
    routes: tuple[str, ...]
    """What the list can be narrowed to."""
    lines: tuple[QueueLine, ...]
    newest: str
    """The address of the first page; empty: this is it."""
    older: str
    by_route: tuple[RouteLine, ...]
    more_routes: int
    """Routes that are left out of it."""
    floor: int
    """Rows to train on that a data set needs."""
    captures: bool
    """Whether any route keeps answers, by routes.yaml."""
    command: str
    """What to run next; empty: there is too little, or it is told by route."""
    notice: str
    changed: str
    """The address of the answer that was marked last; empty: none was."""
    away: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is kept of what was chosen."""
        return not any(link.count for link in self.shows)


@router.get("/review")
async def review(request: Request) -> Response:
    """List the answers of a queue, newest first."""
    asked = request.query_params
    before, chosen = place_of(asked), chosen_of(asked)
    view = await read(request, chosen, before, notice_of(asked, Chosen(route=chosen.route)))
    return await render(request, "review.html", view, "Review", live=before is None)


async def read(request: Request, chosen: Chosen, before: str | None, came_of: tuple[str, str]) -> ReviewView:
    """Read a page of the queue; ``came_of``: what came of the form that led here, and the answer it was about."""
    services, scope = services_of(request), scope_of(request)
    now, routes = services.clock.now(), services.pipeline.snapshot.routes.routes
    lines: tuple[QueueLine, ...] = ()
    older, away = None, ""
    found: Counted = ({}, {})

    async def ask(database: Database) -> tuple[tuple[QueueLine, ...], str | None, str | None]:
        store = ReviewStore(database, scope)
        rows, older = await store.page(chosen, now, before)
        # Whole conversations are read for their first words: here, beside the loop that callers of models wait on.
        return tuple(_line(row, chosen) for row in rows), older, await store.latest()

    try:
        lines, older, latest = await services.pages.ask(ask)
        found = await counted(request, latest)
    except DatabaseUnavailable as error:
        away = str(error)
    counts, said = found
    captures = [name for name, route in routes.items() if route.capture is not None and scope.covers(name)]
    count = sum_of(counts, chosen.route)
    only = chosen.route or (next(iter(counts)) if len(counts) == 1 else None)
    by_route = () if only else tuple(_route(name, each, said) for name, each in counts.items())
    notice, changed = came_of
    return ReviewView(
        lead_of(count, len(counts) if chosen.route is None else 1),
        progress_of(said.get(only, NOTHING)) if only and count.rows else "",
        chosen,
        tuple(_link(show, chosen, count) for show in SHOWS),
        tuple(sorted({*counts, *captures, *([chosen.route] if chosen.route else ())})),
        lines,
        queue_href(chosen) if before else "",
        queue_href(chosen, older) if older else "",
        by_route[:MOST_ROUTES],
        len(by_route[MOST_ROUTES:]),
        FLOOR,
        bool(captures),
        next_command(only, said.get(only, NOTHING)) if only else "",
        notice,
        changed,
        away,
    )


async def counted(request: Request, latest: str | None) -> Counted:
    """Return what is counted of what whoever asks may see; ``latest`` is the mark that was kept last.

    Raises ``DatabaseUnavailable``.
    """
    services, scope = services_of(request), scope_of(request)
    now = services.clock.now()

    async def ask(database: Database) -> Counted:
        said = await FeedbackStore(database).counts(scope.tenant)
        return await ReviewStore(database, scope).counts(now), {
            route: count for route, count in said.items() if scope.covers(route)
        }

    return await services.pages.read(("review", latest, scope), ask, fresh_s=FRESH_S)


def sum_of(counts: Mapping[str, ReviewCount], route: str | None) -> ReviewCount:
    """Return how far one route is, or all of them (None)."""
    if route is not None:
        return counts.get(route, NOBODY)
    each: Sequence[ReviewCount] = [*counts.values()]
    return ReviewCount(
        sum(count.rows for count in each),
        sum(count.right for count in each),
        sum(count.wrong for count in each),
        sum(count.corrected for count in each),
    )


def _link(show: Show, chosen: Chosen, count: ReviewCount) -> ShowLink:
    counts = {Show.WRONG: count.wrong, Show.RIGHT: count.right, Show.ALL: count.rows}
    number = counts.get(show, count.rows - count.marked)
    return ShowLink(queue_href(Chosen(show, chosen.route)), SHOWS[show], number, show is chosen.show)


def _route(name: str, count: ReviewCount, said: Mapping[str, FeedbackCount]) -> RouteLine:
    marks = said.get(name, NOTHING)
    return RouteLine(name, queue_href(Chosen(route=name)), count, marks, next_command(name, marks))


def _line(row: Answered, chosen: Chosen) -> QueueLine:
    asked = messages_of(message_in(row.request))
    question = next((message for message in reversed(asked) if message.get("role") == "user"), None)
    return QueueLine(
        row.captured_id,
        answer_href(row.captured_id, chosen),
        row.route,
        row.tenant,
        row.captured_at,
        first_words(question or (asked[-1] if asked else {})) or "(no text)",
        first_words(message_in(row.answer)) or "(no text)",
        row.role,
        row.model,
        words.model(row.model),
        row.mark.label if row.mark else None,
        mark_words(row.mark),
    )
