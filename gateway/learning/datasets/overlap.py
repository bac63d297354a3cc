"""Whether training rows tell what evaluation rows ask: one that was trained on proves nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.learning.datasets.tool_call_rules import Told
from gateway.policy.inputs import question_id, questions_of
from gateway.policy.leaks import Answered, answered_in, conversation_id, last_answered

Message = Mapping[str, Any]


class Evaluated:
    """What rows to evaluate with ask and answer; some 400 bytes a row are kept, and none of their text."""

    def __init__(self, others: "Evaluated | None" = None) -> None:
        """``others``: rows that count as well; what is added here is not added there."""
        self._asked: dict[str, str] = dict(others._asked) if others else {}
        self._begun: dict[str, str] = dict(others._begun) if others else {}
        self._told: dict[tuple[str, int], str] = dict(others._told) if others else {}

    @property
    def rows(self) -> int:
        """How many inputs there are."""
        return len(self._asked)

    def add(self, line: int, label: str, messages: Sequence[Message], *, is_right: bool = True) -> None:
        """Take a row of a file, its answer last; whoever tells one that is not right tells nothing."""
        place = f"line {line} of {label}"
        self._asked.setdefault(question_id(messages), place)
        self._begun.setdefault(conversation_id(messages), place)
        if is_right and (answered := last_answered(messages)) is not None:
            self._told.setdefault(_key(answered), place)

    def overlaps(self, messages: Sequence[Message]) -> Iterator[Told]:
        """Yield how a training row, its answer last, meets an evaluation row: the strongest way, once."""
        if (place := self._asked.get(question_id(messages))) is not None:
            yield "overlap-input", f"asks what {place} asks (white space and case aside)"
            return
        earlier = (self._asked.get(question) for question in questions_of(messages))
        same = (self._told.get(_key(answered)) for answered in answered_in(messages))
        if (place := next((place for place in (*earlier, *same) if place is not None), None)) is not None:
            yield "answer-told", f"holds the answer of {place}"
        elif (place := self._begun.get(conversation_id(messages))) is not None:
            yield "overlap-conversation", f"is of the same conversation as {place}"


def _key(answered: Answered) -> tuple[str, int]:
    # The text's hash, so that long answers are not kept: within one process it is enough.
    return answered[0], hash(answered[1])
