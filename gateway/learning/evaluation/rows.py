"""The rows of an evaluation: what is asked, what is right, and what the primary answered. Pure.

==========================  =======================  ====================================================
a row                       its reference            its ceiling, measured against the reference
==========================  =======================  ====================================================
held out, with its answer   the answer of the file   the primary's recorded answer
recorded                    the primary's answer     the primary's second sample: its own variation
==========================  =======================  ====================================================

A pack and its held-out file are redacted, a recording may not be. Rows are told apart by what they ask once redacted,
tools and system message aside (``policy.inputs.question_id``): a row and its redacted twin are one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import orjson

from gateway.config.routes import Prompt
from gateway.learning.capture.redaction import Redactor
from gateway.learning.packs.training_rows import TrainingRow
from gateway.policy.inputs import input_id, question_id
from gateway.store.recordings import Recording

Message = Mapping[str, Any]
Asked = tuple[tuple[Message, ...], list[Any] | None]
"""Messages and tools."""


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
    """Left out: their questions are examples of the prompt, which would be asking with the answer in hand."""
    repeated: int = 0
    """Left out: another row asks the same."""
    of_other_tenants: int = 0
    """Left out: another customer's."""
    tuned_on: frozenset[str] = frozenset()
    """Rows by which a sweep chose the prompt."""
    is_tuning_left_out: bool = True
    """False: too few others are there."""
    corrected: int = 0
    """Left out: the recorded answer that would be their reference was corrected."""

    def without_tuning(self, tuned_on: frozenset[str], least: int) -> "Gathered":
        """Leave out the rows by which a sweep chose the prompt, unless fewer than ``least`` would remain."""
        chose = frozenset(row.input_id for row in self.rows if row.input_id in tuned_on)
        others = tuple(row for row in self.rows if row.input_id not in chose)
        if len(others) < least:
            return replace(self, tuned_on=chose, is_tuning_left_out=False)
        return replace(self, rows=others, tuned_on=chose)

    def without_corrected(self, questions: frozenset[str], redactor: Redactor) -> "Gathered":
        """Leave out recorded rows that ask one of these ``question_id``: somebody said that the answer is wrong."""
        if not questions:
            return self
        kept = tuple(row for row in self.rows if row.gold is not None or not _asks(row, questions, redactor))
        return replace(self, rows=kept, corrected=len(self.rows) - len(kept))


def gather(
    gold: Iterable[TrainingRow],
    recordings: Sequence[Recording],
    *,
    examples: frozenset[str],
    tenant: str | None,
    redactor: Redactor,
    gold_only: bool = False,
) -> Gathered:
    """Return the rows that may be evaluated.

    Args:
        gold: held-out rows with their answers.
        recordings: everything recorded of the route's primary.
        examples: what the prompt shows (``example_questions``).
        tenant: the route's; rows that belong to another are left out.
        redactor: the route's.
        gold_only: recordings are no rows of their own, but ceilings of the held-out ones.
    """
    allowed = [recording for recording in recordings if recording.tenant in ("", tenant or "")]
    # Of each input once: it takes a millisecond.
    asked = {recording.input_id: _asked(recording) for recording in allowed}
    clean = {id_: _redacted(*of, redactor) for id_, of in asked.items()}
    samples = _samples(allowed, clean, redactor)
    rows: dict[str, Row] = {}
    shown: set[str] = set()
    repeated = 0

    def add(row: Row, redacted: Sequence[Message]) -> None:
        nonlocal repeated
        raw, question = question_id(row.messages), question_id(redacted)
        if raw in examples or question in examples:
            shown.add(question)
        elif question not in rows:
            rows[question] = row
        elif rows[question].gold is None or row.gold is not None or rows[question].input_id != row.input_id:
            repeated += 1

    for row in gold:
        messages = messages_of(row)
        redacted, tools = _redacted(messages, row.tools, redactor)
        id_, twin = input_id(messages, row.tools), input_id(redacted, tools)
        first, second = (samples.get((id_, sample)) or samples.get((twin, sample)) for sample in (0, 1))
        add(Row(id_, messages, row.tools, row.answer, first, second), redacted)
    for recording in allowed:
        if recording.sample == 0 and recording.answer is not None and not gold_only:
            id_, second = recording.input_id, samples.get((recording.input_id, 1))
            add(Row(id_, *asked[id_], None, first=recording, second=second), clean[id_][0])
    kept = sorted(rows.values(), key=lambda row: row.input_id)
    return Gathered(tuple(kept), len(shown), repeated, len(recordings) - len(allowed))


def messages_of(row: TrainingRow) -> tuple[Message, ...]:
    """Return what a training row asks, its system message first."""
    system = () if row.system is None else ({"role": "system", "content": row.system},)
    return (*system, *row.messages)


def example_questions(prompt: Prompt | None, redactor: Redactor) -> frozenset[str]:
    """Return the questions that a prompt answers, in every turn of its pack's examples and its own; redacted, too."""
    if prompt is None:
        return frozenset()
    asked: list[list[Message]] = [[{"role": "user", "content": example.user}] for example in prompt.examples]
    for example in prompt.pack.examples if prompt.pack else ():
        answers = [at for at, message in enumerate(example.messages) if message.get("role") == "assistant"]
        asked += [list(example.messages[:at]) for at in answers]
    return frozenset(question_id(one) for messages in asked for one in (messages, redactor.value(messages)[0]))


def is_for_tuning(row: Row) -> bool:
    """Say which half a row is in, by a hash of its own, independent of the order of rows."""
    return blake2b(row.input_id.encode(), digest_size=1, person=b"sweep half").digest()[0] % 2 == 0


def _asks(row: Row, questions: frozenset[str], redactor: Redactor) -> bool:
    if question_id(row.messages) in questions:
        return True
    return question_id(_redacted(row.messages, row.tools, redactor)[0]) in questions


def _answer_of(recording: Recording | None) -> Message | None:
    if recording is None or recording.answer is None:
        return None
    answer: Message = orjson.loads(recording.answer)
    return answer


def _samples(
    recordings: Sequence[Recording], clean: Mapping[str, Asked], redactor: Redactor
) -> dict[tuple[str, int], Recording]:
    """Return recordings by input and sample, and by their redacted input, their answers redacted as well."""
    samples = {(recording.input_id, recording.sample): recording for recording in recordings}
    for recording in recordings:
        twin = input_id(*clean[recording.input_id])
        if (twin, recording.sample) not in samples:
            samples[twin, recording.sample] = replace(recording, answer=_redacted_answer(recording, redactor))
    return samples


def _asked(recording: Recording) -> Asked:
    asked = orjson.loads(recording.request)
    return tuple(asked["messages"]), asked.get("tools")


def _redacted(messages: Sequence[Message], tools: list[Any] | None, redactor: Redactor) -> Asked:
    clean, clean_tools = redactor.value([list(messages), tools])[0]
    return tuple(clean), clean_tools


def _redacted_answer(recording: Recording, redactor: Redactor) -> str | None:
    answer = _answer_of(recording)
    return None if answer is None else orjson.dumps(redactor.value(answer)[0]).decode()
