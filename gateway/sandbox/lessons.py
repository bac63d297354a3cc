"""What a model learns from rows, and whether a request is one that it was trained on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from gateway.sandbox.catalogue import Lesson, Model, Task
from gateway.sandbox.messages import Message
from gateway.sandbox.skills import SKILLS, is_in_style

_INSTRUCTION_ROLES = ("system", "developer")


class Taught(NamedTuple):
    """One answer of a training row, and what precedes it."""

    before: tuple[Message, ...]
    answer: Message


def key_of(messages: Iterable[Message]) -> str:
    """Return what is equal for equal inputs: system messages, white space and case do not count."""
    return orjson.dumps(
        [
            [message.role, " ".join(message.text.split()).lower(), message.images, _calls(message)]
            for message in messages
            if message.role not in _INSTRUCTION_ROLES
        ]
    ).decode()


def learn(model: Model, rows: Sequence[Taught], epochs: int) -> tuple[Mapping[str, Lesson], tuple[Task, int] | None]:
    """Return the lessons of a model after further rows, the later of two answers to one input, and its style.

    Every epoch shows each row once more: to inputs that it never saw, the model answers like one that has as many
    examples in its prompt.
    """
    lessons = {key_of(row.before): Lesson(row.answer.text, _calls(row.answer)) for row in rows}
    shown = Counter(task for row in rows for task in SKILLS if is_in_style(task, row.answer.text))
    seen = Counter({task: number * epochs for task, number in shown.items()})
    if model.taught is not None:
        seen[model.taught[0]] += model.taught[1]
    return {**model.lessons, **lessons}, max(seen.items(), key=lambda one: one[1], default=None)


def recall(model: Model, messages: Sequence[Message]) -> Lesson | None:
    """Return what a model was trained to answer to these messages; None: it never saw them."""
    return model.lessons.get(key_of(messages)) if model.lessons else None


def _calls(message: Message) -> tuple[tuple[str, str], ...]:
    functions = (call.get("function") or {} for call in message.tool_calls)
    return tuple((str(one.get("name")), str(one.get("arguments"))) for one in functions)
