"""What would tell the answer of a held-out row: its conversation, and its words behind the same question. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile, takewhile
from typing import Any, Final

from gateway.policy.inputs import folded, question_id
from gateway.policy.prompts import text_of

TELLING: Final = 20
"""Characters. Shorter answers (labels, yes and no) are many a question's, and tell nothing by themselves."""

Message = Mapping[str, Any]
Answered = tuple[str, str]
"""The ``question_id`` of a user's turn by itself, and the answer's folded text."""


def conversation_id(messages: Sequence[Message]) -> str:
    """Return 16 hex digits that all rows of one conversation share: its first user turn, white space and case aside."""
    begun = dropwhile(lambda message: message.get("role") != "user", messages)
    return question_id(takewhile(lambda message: message.get("role") != "assistant", begun))


def answered_in(messages: Sequence[Message]) -> Iterator[Answered]:
    """Yield each telling answer of a conversation, with the turn that it answers, tool results included."""
    begins = None
    for at, message in enumerate(messages):
        if message.get("role") == "user" and (begins is None or messages[at - 1].get("role") != "user"):
            begins = at
        elif message.get("role") == "assistant" and begins is not None and is_telling(message):
            yield question_id(messages[begins : at + 1]), _said(message)


def last_answered(messages: Sequence[Message]) -> Answered | None:
    """Return a row's own answer as ``answered_in`` would yield it; None where it tells nothing."""
    return [*answered_in(messages)][-1] if is_telling(messages[-1]) else None


def is_telling(answer: Message) -> bool:
    """Tell whether an answer's text is long enough to be known again."""
    return len(_said(answer)) >= TELLING


def _said(message: Message) -> str:
    calls = (call.get("function") or {} for call in message.get("tool_calls") or ())
    # How arguments are set out tells nothing.
    called = (f"{call.get('name')}{''.join(str(call.get('arguments')).split())}" for call in calls)
    return folded(" ".join([text_of(dict(message)), *called]))
