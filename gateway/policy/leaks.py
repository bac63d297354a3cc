"""What would tell the answer of a held-out row: its conversation, and its words behind the same question. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile, pairwise, takewhile
from typing import Any, Final

from gateway.policy.inputs import folded, question_id, questions_of
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
    for turn in _turns(messages):
        answers = (message for message in turn if message.get("role") == "assistant")
        for question, answer in zip(questions_of(turn), answers, strict=True):
            if is_telling(answer):
                yield question, _said(answer)


def last_answered(messages: Sequence[Message]) -> Answered | None:
    """Return a row's own answer as ``answered_in`` would yield it; None where it tells nothing."""
    if not is_telling(messages[-1]):
        return None
    answered = [*answered_in(messages)]
    # Without a question there is none: it comes from a file that nobody has looked at yet.
    return answered[-1] if answered else None


def is_telling(answer: Message) -> bool:
    """Tell whether an answer's text is long enough to be known again."""
    return len(_said(answer)) >= TELLING


def _turns(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Yield each turn: what a user says, in one message or several, and all that follows until the next."""
    roles = [message.get("role") for message in messages]
    begins = [at for at, role in enumerate(roles) if role == "user" and (at == 0 or roles[at - 1] != "user")]
    for at, end in pairwise([*begins, len(messages)]):
        yield messages[at:end]


def _said(message: Message) -> str:
    calls = (call.get("function") or {} for call in message.get("tool_calls") or ())
    # How arguments are set out tells nothing.
    called = (f"{call.get('name')}{''.join(str(call.get('arguments')).split())}" for call in calls)
    return folded(" ".join([text_of(dict(message)), *called]))
