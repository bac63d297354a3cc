"""How well does an answer match the reference? Measures without a judge, and which of them stands for a data set. Pure.

Messages are assistant messages in OpenAI's shape (``content``, ``tool_calls``, ``refusal``). Every measure lies in
[0, 1], more is better, and whether it applies depends on the reference and the task alone: all who answer a row are
measured by the same measures, and nobody gets better by having a row left out.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from gateway.learning.evaluation.json_measures import NotJSON, calls_f1, calls_tools, is_document, json_f1, parsed
from gateway.learning.evaluation.refusals import refuses
from gateway.learning.evaluation.text_measures import chrf, exact_match, length_ratio, normalised, text_of, token_f1

MOST_LABELS: Final = 20
_LONGEST_LABEL: Final = 60
_NEARLY_ALL: Final = 0.95


class Measure(StrEnum):
    """The names of the measures, the same in every output."""

    EXACT_MATCH = "exact_match"
    LABEL_MATCH = "label_match"
    TOKEN_F1 = "token_f1"
    CHRF = "chrf"
    LENGTH_RATIO = "length_ratio"
    CONTRACT_VALID = "contract_valid"
    JSON_F1 = "json_f1"
    TOOL_CALL_MATCH = "tool_call_match"
    PATTERN_MATCH = "pattern_match"
    REFUSAL_MATCH = "refusal_match"


class Contract(Protocol):
    """A compiled JSON Schema."""

    def is_valid(self, instance: Any) -> bool:
        """Say whether a parsed document keeps the schema."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is known of all the rows of a data set, beyond their references."""

    contract: Contract | None = None
    labels: frozenset[str] = frozenset()
    """Normalised; ``labels_of`` finds them."""
    pattern: re.Pattern[str] | None = None
    """To be found somewhere in every answer."""
    calls_tools: bool = False
    """Whether tools are called in these rows, so that a row that calls none is a row where calling none is right."""


def score(reference: Mapping[str, Any], answer: Mapping[str, Any], *, task: Task) -> dict[str, float]:
    """Measure an answer against the reference with every measure that applies.

    The measures of texts apply where the reference has one; an answer without any has 0 there.
    """
    wanted, given = text_of(reference), text_of(answer)
    measured: dict[Measure, float | None] = {
        Measure.TOOL_CALL_MATCH: _tool_call_match(reference, answer, task),
        Measure.REFUSAL_MATCH: float(refuses(reference) == refuses(answer)),
    }
    if wanted.strip():
        measured |= {
            Measure.EXACT_MATCH: exact_match(wanted, given),
            Measure.LABEL_MATCH: _label_match(wanted, given, task.labels),
            Measure.TOKEN_F1: token_f1(wanted, given),
            Measure.CHRF: chrf(wanted, given),
            Measure.LENGTH_RATIO: length_ratio(wanted, given),
            Measure.JSON_F1: json_f1(wanted, given),
            Measure.CONTRACT_VALID: _contract_valid(given, task.contract),
            Measure.PATTERN_MATCH: float(task.pattern.search(given) is not None) if task.pattern else None,
        }
    return {measure: value for measure, value in measured.items() if value is not None}


def choose_measure(references: Sequence[Mapping[str, Any]], contract: bool) -> Measure:
    """Name the measure that stands for a data set: the strictest that its answers' form allows.

    What an application does with an answer decides what may differ. It runs tool calls, so that a wrong argument is a
    wrong act: where most references have them, calls are compared. It reads JSON by its fields: where nearly all
    references are JSON (most, if the route has a contract), fields are. It branches on a label: where at most 20 short
    texts cover nearly all references, each seen twice or more on average, a near miss is a miss; similarity would give
    "not spam" marks for "spam". Free text is read by people, and there is no one right wording: chrF, which needs no
    language's tokeniser, follows inflection, and agrees with people better than word overlap does.
    """
    if not references:
        return Measure.CHRF
    if sum(map(calls_tools, references)) > len(references) / 2:
        return Measure.TOOL_CALL_MATCH
    documents = sum(is_document(text_of(reference)) for reference in references)
    if documents >= len(references) * (0.5 if contract else _NEARLY_ALL):
        return Measure.JSON_F1
    return Measure.LABEL_MATCH if labels_of(references) else Measure.CHRF


def labels_of(references: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Find the closed set of labels that the references are made of, normalised; empty where they are not.

    At most 20 texts of at most 60 characters that cover 95 % of the rows, each seen twice or more on average.
    """
    seen = Counter(normalised(text_of(reference)) for reference in references)
    labels = [text for text, _ in seen.most_common(MOST_LABELS) if 0 < len(text) <= _LONGEST_LABEL]
    covered = sum(seen[label] for label in labels)
    closed = covered >= _NEARLY_ALL * len(references) and covered >= 2 * len(labels)
    return frozenset(labels) if closed else frozenset()


def _label_match(wanted: str, given: str, labels: frozenset[str]) -> float | None:
    return exact_match(wanted, given) if normalised(wanted) in labels else None


def _tool_call_match(reference: Mapping[str, Any], answer: Mapping[str, Any], task: Task) -> float | None:
    return calls_f1(reference, answer) if task.calls_tools or calls_tools(reference) else None


def _contract_valid(given: str, contract: Contract | None) -> float | None:
    if contract is None:
        return None
    try:
        return float(contract.is_valid(parsed(given)))
    except NotJSON:
        return 0.0
