"""The rows of an evaluation: what is asked, what is right, and what the primary answered. Pure.

==========================  =======================  ====================================================
a row                       its reference            its ceiling, measured against the reference
==========================  =======================  ====================================================
held out, with its answer   the answer of the file   the primary's recorded answer
recorded                    the primary's answer     the primary's second sample: its own variation
==========================  =======================  ====================================================
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import orjson

from gateway.config.routes import Prompt
from gateway.learning.packs.training_rows import TrainingRow
from gateway.policy.inputs import input_id
from gateway.store.recordings import Recording

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One input. ``cached_property`` needs a ``__dict__``: no slots."""

    input_id: str
    messages: tuple[Message, ...]
    """As the caller sends them, the system message included."""
    tools: list[Any] | None = None
    gold: Message | None = None
    """The answer of the held-out file."""
    first: Recording | None = None
    """The primary's recorded answer; one without ``answer`` is a batch's promise."""
    second: Recording | None = None

    @cached_property
    def primary(self) -> Message | None:
        """What the primary answered."""
        return _answer_of(self.first)

    @cached_property
    def ceiling(self) -> Message | None:
        """What is measured as the primary's own quality."""
        return self.primary if self.gold is not None else _answer_of(self.second)

    @property
    def reference(self) -> Message | None:
        """What an answer is measured against."""
        return self.gold if self.gold is not None else self.primary

    @property
    def missing_sample(self) -> int | None:
        """The sample that the primary has to be asked for, for a ceiling; None: none, or a batch is at work on it."""
        if self.gold is not None:
            return 0 if self.first is None else None
        return 1 if self.second is None else None

    def recorded(self, recording: Recording) -> "Row":
        """Return the row with one more answer of the primary's."""
        return replace(self, second=recording) if recording.sample else replace(self, first=recording)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Rows in the order of their ids, which are hashes: any first n of them are a fair sample."""

    rows: tuple[Row, ...]
    in_prompt: int = 0
    """Left out: their inputs are examples of the prompt, which would be asking with the answer in hand."""
    repeated: int = 0
    """Left out: another row of the file asks the same."""
    of_other_tenants: int = 0
    """Left out: another customer's."""


def gather(
    gold: Iterable[TrainingRow], recordings: Sequence[Recording], *, examples: frozenset[str], tenant: str | None
) -> Gathered:
    """Return the rows that may be evaluated.

    Args:
        gold: held-out rows with their answers.
        recordings: everything recorded of the route's primary.
        examples: ids of the inputs that the prompt shows.
        tenant: the route's; rows that belong to another are left out.
    """
    allowed = [recording for recording in recordings if recording.tenant in ("", tenant or "")]
    samples = {(recording.input_id, recording.sample): recording for recording in allowed}
    rows: dict[str, Row] = {}
    gold = list(gold)
    for row in gold:
        messages = messages_of(row)
        id_ = input_id(messages, row.tools)
        rows.setdefault(id_, Row(id_, messages, row.tools, row.answer, samples.get((id_, 0)), samples.get((id_, 1))))
    repeated = len(gold) - len(rows)
    for recording in allowed:
        if recording.sample == 0 and recording.answer is not None and recording.input_id not in rows:
            asked = orjson.loads(recording.request)
            messages, tools = tuple(asked["messages"]), asked.get("tools")
            second = samples.get((recording.input_id, 1))
            rows[recording.input_id] = Row(recording.input_id, messages, tools, None, first=recording, second=second)
    kept = tuple(rows[id_] for id_ in sorted(rows) if id_ not in examples)
    return Gathered(kept, len(rows) - len(kept), repeated, len(recordings) - len(allowed))


def messages_of(row: TrainingRow) -> tuple[Message, ...]:
    """Return what a training row asks, its system message first."""
    system = () if row.system is None else ({"role": "system", "content": row.system},)
    return (*system, *row.messages)


def example_ids(prompt: Prompt | None) -> frozenset[str]:
    """Return the ids of the inputs that a prompt shows: its pack's, and those of its examples in routes.yaml."""
    if prompt is None:
        return frozenset()
    written = (input_id([{"role": "user", "content": example.user}]) for example in prompt.examples)
    return frozenset(written) | frozenset(example.id for example in (prompt.pack.examples if prompt.pack else ()))


def is_for_tuning(row: Row) -> bool:
    """Say which half a row is in, by a hash of its own, independent of the order of rows."""
    return blake2b(row.input_id.encode(), digest_size=1, person=b"sweep half").digest()[0] % 2 == 0


def _answer_of(recording: Recording | None) -> Message | None:
    if recording is None or recording.answer is None:
        return None
    answer: Message = orjson.loads(recording.answer)
    return answer
