"""The regression set: what people corrected is asked of every target, and told beside its verdict, never in it.

Corrections are there because somebody's answer was wrong, mostly the primary's: on such rows the primary does badly
whoever it is compared with, and anybody else would look better than on tomorrow's requests.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import fsum
from typing import Any, Final

import orjson

from gateway.learning.capture.redaction import Redactor
from gateway.learning.evaluation.collecting import Arm, Collector, Question
from gateway.learning.evaluation.lineage import Trained
from gateway.learning.evaluation.measures import Measure, Task, choose_measure
from gateway.learning.evaluation.outcome import JUDGE, Terms, scores
from gateway.learning.evaluation.rows import Message, Row
from gateway.learning.evaluation.text_measures import normalised, text_of
from gateway.policy.inputs import question_id
from gateway.store.feedback import Feedback

NEARLY: Final = 0.9
"""From here on a text counts as the corrected one by a measure of likeness; labels, JSON and calls have to be equal."""
_OF_LIKENESS: Final = frozenset((Measure.CHRF, Measure.TOKEN_F1, Measure.LENGTH_RATIO))


@dataclass(frozen=True)
class Correction:
    """One input, and what should have been answered. ``cached_property`` needs a ``__dict__``: no slots."""

    row: Row
    """Redacted, as it is kept; its gold is the correction."""
    given_at: datetime

    @cached_property
    def question(self) -> str:
        """What it asks, as examples of prompts are known."""
        return question_id(self.row.messages)


@dataclass(frozen=True, slots=True)
class Side:
    """Who is asked, and which corrections say something of it."""

    name: str
    arm: Arm
    never_seen: tuple[Correction, ...]
    trained_on: tuple[Correction, ...] | None
    """None: what it was trained on is not known."""
    in_prompt: int
    """Left out: the prompt shows the same input as an example."""

    @property
    def rows(self) -> list[Row]:
        """All that it is asked."""
        return [one.row for one in (*self.never_seen, *(self.trained_on or ()))]


def corrections_of(marks: Iterable[Feedback]) -> tuple[Correction, ...]:
    """Return the corrections among the marks that count, in the order of their ids: any first n are a fair sample."""
    found = []
    for mark in marks:
        if mark.correction is None or mark.request is None or mark.input_id is None:
            continue
        asked = orjson.loads(mark.request)
        row = Row(mark.input_id, tuple(asked["messages"]), asked.get("tools"), orjson.loads(mark.correction))
        found.append(Correction(row, mark.given_at))
    return tuple(sorted(found, key=lambda one: one.row.input_id))


def side_of(
    name: str,
    arm: Arm,
    corrections: Sequence[Correction],
    *,
    examples: frozenset[str],
    trained: Trained | None,
    redactor: Redactor,
) -> Side:
    """Sort corrections by what a target has seen of them: in its prompt, in its training, or not at all."""
    asked = [one for one in corrections if one.question not in examples]
    never_seen: list[Correction] = []
    seen: list[Correction] = []
    for one in asked:
        is_seen = trained is not None and trained.has(one.row, redactor, one.given_at)
        (seen if is_seen else never_seen).append(one)
    return Side(
        name=name,
        arm=arm,
        never_seen=tuple(never_seen),
        trained_on=None if trained is None else tuple(seen),
        in_prompt=len(corrections) - len(asked),
    )


async def missing(collector: Collector, sides: Iterable[Side]) -> list[Question]:
    """Return what has to be asked."""
    return [question for side in sides for question in await collector.missing(side.rows, (side.arm,), None)]


async def told(collector: Collector, sides: Sequence[Side], terms: Terms, *, has_contract: bool) -> dict[str, Any]:
    """Return what is answered of the corrections, ready for JSON; no texts in it."""
    every = {row.input_id: row for side in sides for row in side.rows}
    references = [row.gold for row in every.values() if row.gold is not None]
    measure = terms.measure if terms.measure != JUDGE else str(choose_measure(references, has_contract))
    labels = terms.task.labels
    if measure == Measure.LABEL_MATCH:
        # A label that nobody has answered yet is one all the same.
        labels |= {normalised(text_of(reference)) for reference in references}
    task = Task(terms.task.contract, labels, terms.task.pattern, terms.task.calls_tools)
    targets = []
    for side in sides:
        answers = {id_: orjson.loads(kept.answer) for id_, kept in (await collector.answers(side.arm)).items()}
        seen = None if side.trained_on is None else counts(side.trained_on, answers, measure, task)
        targets.append(
            {
                "target": side.name,
                "provider": side.arm.prepared.key[0],
                "model": side.arm.prepared.key[1],
                "in_prompt": side.in_prompt,
                "never_seen": counts(side.never_seen, answers, measure, task),
                "trained_on": seen,
            }
        )
    least = NEARLY if measure in _OF_LIKENESS else 1.0
    return {"measure": measure, "as_corrected_from": least, "targets": targets}


def counts(
    corrections: Sequence[Correction], answers: Mapping[str, Message], measure: str, task: Task
) -> dict[str, Any]:
    """Count the corrections, those that are among the answers (by input), and those answered as corrected.

    ``mean`` is the measure's, None without an answer.
    """
    found = []
    for one in corrections:
        answer = answers.get(one.row.input_id)
        if answer is not None and one.row.gold is not None:
            measured = scores(one.row.gold, answer, task)
            # Of a correction that is of another kind than the rest, such as a text among calls: word by word.
            found.append((measure, measured[measure]) if measure in measured else _exact(measured))
    met = sum(value >= (NEARLY if by in _OF_LIKENESS else 1.0) for by, value in found)
    mean = fsum(value for _, value in found) / len(found) if found else None
    return {"rows": len(corrections), "answered": len(found), "as_corrected": met, "mean": mean}


def _exact(measured: dict[str, float]) -> tuple[str, float]:
    return Measure.EXACT_MATCH, measured.get(Measure.EXACT_MATCH, measured.get(Measure.TOOL_CALL_MATCH, 0.0))
