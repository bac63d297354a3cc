"""What a mark becomes: rows to train on, to compare by and to prove with, or a note why not. Of redacted texts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

import orjson

from gateway.errors import InvalidRequest
from gateway.learning.datasets.sources import example_of
from gateway.learning.feedback_given import Said
from gateway.learning.feedback_messages import refuse_unknown_tools, say_the_same
from gateway.policy.splits import Split
from gateway.store.feedback import Feedback

NOT_PERMITTED: Final = "This key may not have texts kept, so only label, score and comment are: give it `capture`."
NOT_KNOWN: Final = "What was asked is not kept, so this becomes no row: send messages and answer along."
NO_ANSWER: Final = "The answer that was given is not kept (the same was asked before): send it along as answer."
NO_PAIR: Final = "The answer that was given is not known, so there is no preference pair: send it along as answer."
NOT_REDACTED: Final = "It cannot be redacted whole, so its texts are not kept."
ASKED_NOT_REDACTED: Final = "What was asked cannot be redacted whole, so this becomes no row."
TOO_LONG: Final = "Request and answer are longer than the route keeps (capture.max_bytes), so this becomes no row."
NO_EXAMPLE: Final = "Data sets leave it out ({why}); a correction is asked by gateway evaluate all the same."
NO_ROW: Final = "Without a better answer (correction) this becomes no row."

Becomes = Literal["training", "preference", "evaluation"]


def becomes(mark: Feedback) -> tuple[Becomes, ...]:
    """Return what a mark is for, as long as no later one says otherwise."""
    if mark.request is None or mark.split is None:
        return ()
    row: Becomes = "training" if mark.split is Split.TRAIN else "evaluation"
    return (row, "preference") if mark.correction is not None and mark.answer is not None else (row,)


def why_no_example(mark: Feedback) -> str | None:
    """Return why no data set can have the row of a mark; None where it can, or where there is no row."""
    if mark.request is None:
        return None
    example = example_of(mark.request, mark.correction or mark.answer, mark.source, 1)
    return NO_EXAMPLE.format(why=example) if isinstance(example, str) else None


def why_no_row(said: Said, *, permits: bool) -> str | None:
    """Return why a mark becomes no row, whatever is known of the request."""
    if not said.may_be_row:
        return NO_ROW
    return None if permits else NOT_PERMITTED


def as_row(
    mark: Feedback, request: Mapping[str, Any], answer: dict[str, Any] | None, better: dict[str, Any] | None
) -> tuple[Feedback, str | None]:
    """Return the mark with the row that it becomes, of texts that were redacted.

    Raises:
        InvalidRequest: the better answer is the one that was given, or calls what it could not have called.
    """
    if better is None and answer is None:
        return mark, NO_ANSWER
    if better is not None:
        refuse_unknown_tools(better, request.get("tools") or (), "correction")
        if answer is not None and say_the_same(better, answer):
            same = "'correction' says what the answer said, once both are redacted; if that is right, send label right."
            raise InvalidRequest(same, param="correction")
    given = orjson.dumps(answer).decode() if answer is not None else None
    return replace(mark, request=orjson.dumps(request).decode(), answer=given), None if given else NO_PAIR
