"""What a person may do in the review: say of an answer that it is right or wrong, and write a better one.

The administrator's marks are off unless ``GATEWAY_UI_ACTIONS`` says otherwise, as in ``actions.py``; a reviewer's key
is given out for them, so theirs are kept in any case, under the key's name. The latest mark counts, so a mark is undone
by another; who saves without knowing of somebody else's is told, and may save again.
"""

from typing import ClassVar, Final

import structlog
from fastapi import APIRouter, Request, Response

from gateway.api.deps import services_of
from gateway.api.pages.actions import BY
from gateway.api.pages.frame import PageError, Place, ReviewersPage, Said, form_of, redirect, visitor_of
from gateway.api.pages.review_detail import Kept, read, shown_answer
from gateway.api.pages.review_form import Typed, WrongMark, form_as_typed, typed
from gateway.api.pages.review_queue import answer_href, away, chosen_of, gone, queue_href, scope_of, why_not
from gateway.api.pages.review_words import Did
from gateway.config.callers import ADMIN, Caller, KeyRole
from gateway.errors import FeedbackUnavailable, InvalidRequest, NotFound, NoVariant, RouteNotFound
from gateway.learning.feedback import Given, Taken
from gateway.policy.splits import Split
from gateway.reasons import Label
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.review import Chosen, ReviewStore

log = structlog.get_logger()
PREVIEW: Final = "preview"
_ADMIN: Final = Caller("", ADMIN, KeyRole.ADMIN)


class LongPage(ReviewersPage):
    """A page whose form holds a whole answer, each byte of it as three where a browser writes it out."""

    most_form_bytes: ClassVar[int] = 262_144


router = APIRouter(route_class=LongPage)


@router.post("/review/{captured_id}")
async def mark(captured_id: str, request: Request) -> Response:
    """Keep a mark, or show what was changed, and go on to the next answer."""
    form = form_of(request)
    if reason := why_not(request):
        raise PageError(403, Said("Off", (reason,)))
    chosen = chosen_of(form)
    kept = await read(request, captured_id, chosen, form.get("content", ""))
    as_typed = form_as_typed(form, kept.stands)
    if form.get("do") == PREVIEW:
        return await shown_answer(request, kept, chosen, as_typed)
    if (kept.mark.feedback_id if kept.mark else "") != form.get("seen", ""):
        return await shown_answer(request, kept, chosen, as_typed, status=409, conflict=True)
    try:
        said = typed(as_typed, kept.stands, kept.answered)
        taken = await _saved(request, kept, said, chosen, as_typed.box.content)
    except WrongMark as error:
        with_errors = form_as_typed(form, kept.stands, error.errors)
        return await shown_answer(request, kept, chosen, with_errors, status=400)
    log.info(
        "answer_reviewed",
        route=kept.answered.route,
        label=said.label,
        corrected=said.correction is not None,
        by=taken.feedback.by,
    )
    return await _led_on(request, captured_id, chosen, did_of(taken))


def did_of(taken: Taken) -> Did:
    """Return the word for what became of a mark."""
    kept = taken.feedback
    if taken.becomes:
        if kept.split is Split.EVALUATION:
            return Did.KEPT
        return Did.PAIRED if kept.correction is not None else Did.TRAINS
    return Did.WRONG if kept.label is Label.WRONG and kept.correction is None else Did.NO_ROW


async def _saved(request: Request, kept: Kept, said: Typed, chosen: Chosen, text: str) -> Taken:
    """Hand a mark to whoever keeps them.

    Raises:
        WrongMark: it is none.
        PageError: nothing was kept; what was typed (``text``) is shown.
    """
    services, answered, reviewer = services_of(request), kept.answered, visitor_of(request).reviewer
    given = Given(
        answered.request_id,
        said.label,
        comment=said.comment,
        correction=said.correction,
        model=answered.route,
        input_id=answered.input_id,
        source="review",
        by=reviewer.name if reviewer is not None else BY,
    )
    try:
        return await services.feedback.give(reviewer or _ADMIN, given)
    except InvalidRequest as error:
        field = "comment" if error.param == "comment" else "content"
        raise WrongMark({field: str(error).rstrip(".")}) from None
    except (RouteNotFound, NoVariant):
        why = f"routes.yaml does not name {answered.route} any more, so nothing more is learnt for it."
        raise PageError(
            409, Said("Not saved", (why,), (Place(queue_href(chosen), "the other answers"),), text)
        ) from None
    except NotFound:
        raise gone(chosen, text) from None
    except FeedbackUnavailable as error:
        raise PageError(503, Said("Not saved", (str(error),), (), text)) from None
    except DatabaseUnavailable as error:
        raise away(error, text) from None


async def _led_on(request: Request, captured_id: str, chosen: Chosen, did: Did) -> Response:
    """Send the browser to the next answer that nobody has marked; to the list where there is none."""
    services, scope = services_of(request), scope_of(request)
    now = services.clock.now()

    async def ask(database: Database) -> str | None:
        return await ReviewStore(database, scope).next_unmarked(chosen.route, captured_id, now)

    try:
        following = await services.pages.ask(ask)
    except DatabaseUnavailable:
        following = None
    onward = Chosen(route=chosen.route)
    if following is None:
        return redirect(queue_href(onward, did=did.value, was=captured_id))
    return redirect(answer_href(following, onward, did=did.value, was=captured_id))
