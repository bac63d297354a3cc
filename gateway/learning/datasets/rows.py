"""The rows that a data set is made of: what a source gives, and what becomes of it once it is redacted and known."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.manifest import Consent, ManifestRow, Origin
from gateway.learning.packs.tokens import tokens_of, tokens_of_tools
from gateway.learning.packs.training_rows import TrainingRow, lines_of
from gateway.policy.inputs import input_id
from gateway.policy.leaks import conversation_id
from gateway.policy.splits import Split, split_of

CORRECTIONS: Final = "corrections"
APPROVED: Final = "approved"
RECORDINGS: Final = "recordings"
CAPTURED: Final = "captured"
STORED: Final = (CORRECTIONS, APPROVED, RECORDINGS, CAPTURED)
"""Sources that are no files."""
FEWEST_THAT_SHARE: Final = 3
"""Rows that have a system message, for it to be one of the route's."""
_KEYS: Final = FORMATS["openai-sft"].messages


@dataclass(frozen=True, slots=True)
class Material:
    """One row as its source has it."""

    row: TrainingRow
    source: str
    """corrections, approved, recordings, captured, or a file's name."""
    rank: int
    """0 counts most: of one input only the sources of the lowest rank stay."""
    origin: Origin
    consent: Consent
    by: str | None = None
    model: str | None = None
    feedback_id: str | None = None
    known_as: str | None = None
    """The id of its input in the store."""
    rejected: Mapping[str, Any] | None = None
    """The assistant's message that its answer is better than."""

    @property
    def where(self) -> str:
        """Its source and place."""
        return f"{self.source}:{self.row.line}"


@dataclass(frozen=True, slots=True)
class Sourced:
    """Everything that was read of the sources."""

    materials: tuple[Material, ...] = ()
    read: Mapping[str, int] = field(default_factory=dict)
    """Rows by source, usable or not."""
    unusable: tuple[tuple[str, str], ...] = ()
    """Rows that can be no examples: where, and why."""
    foreign: int = 0
    """Rows of other tenants, which were passed over."""


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row, redacted."""

    material: Material
    input_id: str
    group: str
    """``conversation_id`` of its messages: rows that share it are on the same side."""
    split: Split

    @property
    def row(self) -> TrainingRow:
        """What was asked, and the answer."""
        return self.material.row

    @property
    def messages(self) -> tuple[dict[str, Any], ...]:
        """All of it but the system message."""
        return (*self.row.messages, self.row.answer)

    @property
    def is_pair(self) -> bool:
        """Whether it says which of two answers is the better one."""
        return self.material.rejected is not None

    def example(self) -> bytes:
        """Return it as a line of OpenAI's supervised fine-tuning: earlier answers that are not trained weigh 0."""
        row = self.row
        said = [{**m, "weight": 0} if at in row.untrained else m for at, m in enumerate(_cleaned(row.messages))]
        return _line({"messages": [*_system(row), *said, *_cleaned([row.answer])], **_options(row)})

    def pair(self) -> bytes:
        """Return it as a line of OpenAI's preference fine-tuning; raise ``ValueError`` where it is no pair."""
        if self.material.rejected is None:
            raise ValueError(f"{self.material.where} has no second answer")
        row = self.row
        return _line(
            {
                "input": {"messages": [*_system(row), *_cleaned(row.messages)], **_options(row)},
                "preferred_output": _cleaned([row.answer]),
                "non_preferred_output": _cleaned([self.material.rejected]),
            }
        )

    def told(self) -> ManifestRow:
        """Return what a manifest says of it."""
        own = self.material
        return ManifestRow(
            own.known_as or self.input_id, own.source, own.origin, own.consent, own.by, own.model, own.feedback_id
        )


def redacted_row(material: Material, redactor: Redactor, counts: Counter[str]) -> DataRow:
    """Black a row out, and find which input it is and what it is for."""
    row = material.row
    parts = {
        "system": row.system,
        "messages": list(row.messages),
        "answer": row.answer,
        "tools": row.tools,
        "rejected": material.rejected,
    }
    clean, found = redactor.value(parts)
    counts.update(found)
    messages = tuple(clean["messages"])
    own = replace(row, system=clean["system"], messages=messages, answer=clean["answer"], tools=clean["tools"])
    rejected = clean["rejected"] if _differs(clean["rejected"], clean["answer"]) else None
    known = replace(material, row=own, rejected=rejected)
    return DataRow(known, input_id(messages, own.tools), conversation_id(messages), split_of(messages))


def _differs(rejected: Mapping[str, Any] | None, answer: Mapping[str, Any]) -> bool:
    """Tell whether two answers say something else; white space and the ids of calls do not count."""
    if rejected is None:
        return False
    return _said(rejected) != _said(answer)


def _said(answer: Mapping[str, Any]) -> list[Any]:
    content = answer.get("content")
    calls = [call.get("function") for call in answer.get("tool_calls") or ()]
    return [" ".join(content.split()) if isinstance(content, str) else content or "", calls]


def _cleaned(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages with the keys that OpenAI's published schema has; an absent text is an empty one."""
    cleaned = []
    for message in messages:
        keys = _KEYS[message["role"]]
        own = {key: value for key, value in message.items() if key in keys and value is not None}
        if "content" not in own and not own.get("tool_calls"):
            own["content"] = ""
        cleaned.append(own)
    return cleaned


def _system(row: TrainingRow) -> list[dict[str, Any]]:
    return [{"role": "system", "content": row.system}] if row.system is not None else []


def _options(row: TrainingRow) -> dict[str, Any]:
    options: dict[str, Any] = {"tools": row.tools} if row.tools else {}
    if row.tools and row.parallel_tool_calls is not None:
        options["parallel_tool_calls"] = row.parallel_tool_calls
    return options


def _line(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def earlier_answers(messages: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """Return the places of assistant messages: in a live conversation nobody has approved of these."""
    return frozenset(at for at, message in enumerate(messages) if message["role"] == "assistant")


def systems_in(content: bytes) -> dict[str, int]:
    """Count the rows of a file of examples by their system message; an empty text: without one.

    Only messages that several rows share: what one row alone has may be about somebody, and would outlive its row.
    """
    counts = Counter(_system_of(orjson.loads(line)["messages"]) for line in lines_of(content))
    shared = ((system, rows) for system, rows in counts.items() if rows >= FEWEST_THAT_SHARE or not system)
    return dict(sorted(shared, key=lambda item: (-item[1], item[0])))


def tokens_in(content: bytes) -> int:
    """Count the tokens of a file of examples, tools included."""
    rows = (orjson.loads(line) for line in lines_of(content))
    return sum(tokens_of(row["messages"]) + tokens_of_tools(row.get("tools")) for row in rows)


def _system_of(messages: Sequence[Mapping[str, Any]]) -> str:
    first = messages[0]
    return str(first["content"]) if first["role"] == "system" else ""
