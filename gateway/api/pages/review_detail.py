"""One answer: what was asked, what was answered, and is that right?"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request, Response

from gateway.api.deps import services_of
from gateway.api.pages import words
from gateway.api.pages.frame import ReviewersPage, render
from gateway.api.pages.review_diff import Change, changes, shown
from gateway.api.pages.review_form import (
    CALLS_LINE,
    MOST_COMMENT_CHARS,
    Box,
    ReviewForm,
    box_of,
    form_of_mark,
    message_in,
)
from gateway.api.pages.review_messages import (
    MOST_ANSWER_WEIGHT,
    Conversation,
    Room,
    Turn,
    conversation_of,
    messages_of,
    offered,
    turn_of,
    visible,
)
from gateway.api.pages.review_queue import (
    CAPTURED_ID,
    answer_href,
    away,
    chosen_of,
    gone,
    notice_of,
    queue_href,
    scope_of,
    why_not,
)
from gateway.api.pages.review_view import counted, sum_of
from gateway.api.pages.review_words import NOTHING, lead_of, mark_words, progress_of, purpose_of
from gateway.policy.splits import split_of
from gateway.reasons import Label
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.review import Answered, Chosen, Mark, ReviewStore

router = APIRouter(route_class=ReviewersPage)
MOST_MARK_CHARS: Final = 300
"""Of a remark, and of a better answer, in the list of what was said before."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and what is around it in the database."""

    answered: Answered
    marks: Sequence[Mark]
    """What was said of it, newest first."""
    newer: str | None
    older: str | None
    latest: str | None
    """The mark of any answer that was kept last."""

    @property
    def mark(self) -> Mark | None:
        """The latest that says right or wrong."""
        return self.answered.mark

    @property
    def stands(self) -> ReviewForm:
        """The form as it is before anybody types: as marked last, with the better answer that counts."""
        corrected = None
        for mark in self.marks:
            if mark.label is Label.RIGHT:
                break
            if mark.correction is not None:
                corrected = mark
                break
        return form_of_mark(self.answered, self.mark, corrected)


@dataclass(frozen=True, slots=True)
class MarkLine:
    """What somebody said before."""

    mark: Mark
    words: str
    comment: str
    correction: str


@dataclass(frozen=True, slots=True)
class AnswerView:
    """The page of one answer."""

    answered: Answered
    short_model: str
    asked: Conversation
    answer: Turn
    form: ReviewForm
    given: Box
    """What the boxes would hold of the answer as it was given."""
    is_given_apart: bool
    """Whether the boxes hold something else, so that a script needs what was given as well."""
    compared: bool
    """Whether a script can tell what is changed: it is in the page what was given."""
    has_box: bool
    """Whether there is room for a better answer here."""
    has_calls: bool
    """Whether an answer may call tools."""
    calls_line: str
    most_comment_chars: int
    hidden: str
    """Characters of the boxes that cannot be seen, escaped."""
    changes: tuple[Change, ...]
    calls_changes: tuple[Change, ...]
    purpose: Mapping[Label, str]
    marks: tuple[MarkLine, ...]
    seen: str
    """The latest mark, of which whoever saves has to know."""
    chosen: Chosen
    newer: str
    older: str
    queue: str
    progress: str
    conflict: bool
    """Whether somebody else has marked it meanwhile."""
    notice: str
    changed: str
    why_not: str
    """What to set so that the form is obeyed; empty: it is."""


@router.get("/review/{captured_id}")
async def one_answer(captured_id: str, request: Request) -> Response:
    """Show one answer, and the form of its mark."""
    asked = request.query_params
    chosen = chosen_of(asked)
    kept = await read(request, captured_id, chosen)
    return await shown_answer(request, kept, chosen, kept.stands, came_of=notice_of(asked, chosen))


async def read(request: Request, captured_id: str, chosen: Chosen, typed: str = "") -> Kept:
    """Read an answer that whoever asks may see, and what is around it.

    Raises:
        PageError: it is not kept, or not for them, or the database is away; what was ``typed`` is shown then.
    """
    services, scope = services_of(request), scope_of(request)
    now = services.clock.now()

    async def ask(database: Database) -> Kept | None:
        store = ReviewStore(database, scope)
        answered = await store.find(captured_id, now)
        if answered is None:
            return None
        newer, older = await store.beside(chosen, captured_id, now)
        return Kept(answered, await store.marks(answered), newer, older, await store.latest())

    try:
        kept = await services.pages.ask(ask) if CAPTURED_ID.fullmatch(captured_id) else None
    except DatabaseUnavailable as error:
        raise away(error, typed) from None
    if kept is None:
        raise gone(chosen, typed)
    return kept


async def shown_answer(
    request: Request,
    kept: Kept,
    chosen: Chosen,
    form: ReviewForm,
    *,
    status: int = 200,
    conflict: bool = False,
    came_of: tuple[str, str] = ("", ""),
) -> Response:
    """Return the page of an answer with a form as it stands, or as it was typed."""
    try:
        counts, said = await counted(request, kept.latest)
    except DatabaseUnavailable as error:
        raise away(error, form.box.content) from None
    count = sum_of(counts, kept.answered.route)
    progress = f"{lead_of(count, 1)} {progress_of(said.get(kept.answered.route, NOTHING))}"
    # Long texts are compared word by word, and callers of models wait on this loop.
    view = await asyncio.to_thread(_view, kept, chosen, form, progress, why_not(request), conflict, came_of)
    return await render(
        request, "review_answer.html", view, f"Review of {kept.answered.route}", status=status, live=False
    )


def _view(
    kept: Kept,
    chosen: Chosen,
    form: ReviewForm,
    progress: str,
    reason: str,
    conflict: bool,
    came_of: tuple[str, str],
) -> AnswerView:
    answered = kept.answered
    asked, answer = message_in(answered.request), message_in(answered.answer)
    given = box_of(answer)
    has_box = not kept.stands.box.is_too_long
    notice, changed = came_of
    return AnswerView(
        answered,
        words.model(answered.model),
        conversation_of(asked),
        turn_of(answer, Room(MOST_ANSWER_WEIGHT)),
        form,
        given,
        form.box != given and not given.is_too_long,
        not given.is_too_long,
        has_box,
        bool(given.calls or form.box.calls or offered(asked)),
        CALLS_LINE,
        MOST_COMMENT_CHARS,
        _hidden(form.box) if has_box else "",
        shown(changes(given.content, form.box.content)),
        shown(changes(given.calls, form.box.calls)),
        purpose_of(split_of(messages_of(asked))),
        tuple(map(_mark_line, kept.marks)),
        kept.mark.feedback_id if kept.mark else "",
        chosen,
        answer_href(kept.newer, chosen) if kept.newer else "",
        answer_href(kept.older, chosen) if kept.older else "",
        f"{queue_href(chosen)}#to-{answered.captured_id}",
        progress,
        conflict,
        notice,
        changed,
        reason,
    )


def _mark_line(mark: Mark) -> MarkLine:
    better = box_of(message_in(mark.correction)) if mark.correction is not None else Box("")
    said = [mark_words(mark), f"scored {mark.score:g}" if mark.score is not None else ""]
    return MarkLine(
        mark,
        ", ".join(word for word in said if word) or "said",
        _beginning(mark.comment or ""),
        _beginning(better.content or better.calls),
    )


def _beginning(text: str) -> str:
    said = visible(text[: MOST_MARK_CHARS + 1])
    return said if len(text) <= MOST_MARK_CHARS else f"{said}…"


def _hidden(box: Box) -> str:
    """Name what cannot be seen in a box, where it is shown as it is."""
    found = dict.fromkeys(char for char in box.content + box.calls if char not in "\n\t" and visible(char) != char)
    return ", ".join(map(visible, [*found][:10]))
