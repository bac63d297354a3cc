"""What somebody says of one answer, as it is given, and as it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.errors import InvalidRequest
from gateway.learning.feedback_messages import answer_message, asked_messages
from gateway.reasons import Label

MOST_COMMENT_CHARS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody says of one answer."""

    request_id: str
    label: Label | None = None
    score: float | None = None
    comment: str | None = None
    correction: str | Mapping[str, Any] | None = None
    """A text, or an assistant's message."""
    model: str | None = None
    """Whose request it was, as callers name routes; needed only where ``messages`` tell what was asked."""
    messages: Sequence[Mapping[str, Any]] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    answer: str | Mapping[str, Any] | None = None
    user: str | None = None
    """Whose request it was, for deletion; what the request itself said goes before."""
    input_id: str | None = None
    """Of what was captured: which one is meant, where more than one request has this id."""
    source: Literal["api", "review"] = "api"
    by: str | None = None
    """The person; None: the caller's key."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was given, read: texts as messages."""

    label: Label | None
    correction: dict[str, Any] | None
    messages: list[dict[str, Any]] | None
    answer: dict[str, Any] | None

    @property
    def may_be_row(self) -> bool:
        """Whether it is more than a number."""
        return self.correction is not None or self.label is Label.RIGHT


def read(given: Given) -> Said:
    """Read what was given.

    Raises:
        InvalidRequest: it says nothing, or contradicts itself.
    """
    correction = answer_message(given.correction, "correction") if given.correction is not None else None
    label = given.label if correction is None else Label.WRONG
    if correction is not None and given.label is Label.RIGHT:
        raise InvalidRequest("An answer that is right needs no correction: send one of the two.", param="label")
    if label is None and given.score is None and not (given.comment or "").strip():
        raise InvalidRequest("Say something of the answer: label, score, comment or correction.")
    if given.score is not None and not 0 <= given.score <= 1:
        raise InvalidRequest("'score' is a number from 0 to 1.", param="score")
    if len(given.comment or "") > MOST_COMMENT_CHARS:
        raise InvalidRequest(f"'comment' is longer than {MOST_COMMENT_CHARS:,} characters.", param="comment")
    if given.messages is not None and given.model is None:
        raise InvalidRequest("Send 'model' along with 'messages': whose request it was.", param="model")
    messages = asked_messages(given.messages) if given.messages is not None else None
    answer = answer_message(given.answer, "answer") if given.answer is not None else None
    return Said(label, correction, messages, answer)
