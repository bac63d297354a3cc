"""The rows that a pack is made of: redacted, without repetitions, known by their inputs, and some of them held out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from gateway.config.packs import PackExample
from gateway.errors import ConfigError
from gateway.learning.capture.redaction import Redactor
from gateway.learning.packs.tokens import tokens_of, tokens_of_tools
from gateway.learning.packs.training_rows import InvalidTrainingFile, TrainingRow, read_rows, unique
from gateway.policy.inputs import input_id
from gateway.policy.leaks import answered_in, conversation_id, last_answered
from gateway.policy.splits import fraction_of

FEWEST_TO_HOLD_OUT: Final = 10
"""Of fewer conversations that begin differently none is held out: what is left would teach, and what is held out
prove, too little."""
_MOST_LABELS: Final = 20
_LONGEST_LABEL: Final = 64
_ROWS_PER_LABEL: Final = 2


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of one file, or of the recordings."""

    label: str
    rows: tuple[TrainingRow, ...]
    origin: str = "training"
    """As ``PackExample.origin``."""


@dataclass(frozen=True, slots=True)
class PackRow:
    """One row, redacted."""

    id: str
    """``input_id`` of its redacted messages and its tools."""
    group: str
    """``conversation_id`` of its redacted messages: rows that share it are held out together."""
    where: str
    """File and line."""
    origin: str
    row: TrainingRow

    @property
    def messages(self) -> tuple[dict[str, Any], ...]:
        """All of it but the system message."""
        return (*self.row.messages, self.row.answer)

    @property
    def input_tokens(self) -> int:
        """What a request takes that asks this: system message, messages and tools."""
        system = [{"content": self.row.system}] if self.row.system else []
        return tokens_of([*system, *self.row.messages]) + tokens_of_tools(self.row.tools)

    @property
    def answer_tokens(self) -> int:
        """What its answer takes."""
        return tokens_of([self.row.answer])

    def example(self) -> PackExample:
        """Return it as a pack's example."""
        return PackExample(self.id, self.messages, tokens_of(self.messages), self.origin)

    def training_line(self) -> bytes:
        """Return it as a line of a training file."""
        row = self.row
        system = [{"role": "system", "content": row.system}] if row.system is not None else []
        line: dict[str, Any] = {"messages": [*system, *row.messages, row.answer]}
        if row.tools:
            line["tools"] = row.tools
        if row.parallel_tool_calls is not None:
            line["parallel_tool_calls"] = row.parallel_tool_calls
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class PackRows:
    """What became of the rows."""

    kept: tuple[PackRow, ...]
    """For the pack; in an order that is not the files'."""
    held_out: tuple[PackRow, ...]
    told: tuple[PackRow, ...]
    """Left out of both: they would be held out, and a row that is kept tells their answer."""
    read: int
    repeated: tuple[tuple[str, str], ...]
    """Rows that were dropped: where, and where the one is that stays."""
    conflicting: tuple[tuple[str, ...], ...]
    """Where rows answer the same input differently; all of them stay."""
    redacted: Mapping[str, int]
    """How often each kind was found, in rows that were then dropped, too."""

    @property
    def all(self) -> tuple[PackRow, ...]:
        """Those of the pack and those that are held out."""
        return self.kept + self.held_out


def pack_rows(sources: Iterable[Source], redactor: Redactor, share: float) -> PackRows:
    """Redact rows, drop repetitions (system messages aside), and hold a share of them out.

    Which rows are held out depends on a hash of how each begins, and so stays the same as rows are added. Rows of one
    conversation stay together, since the longer ones hold the answers of the shorter.
    """
    counts: Counter[str] = Counter()
    rows = [_redacted(row, source, redactor, counts) for source in sources for row in source.rows]
    # ``unique`` tells rows by their lines, of which every file has its own.
    once = unique(replace(row.row, line=at, system=None) for at, row in enumerate(rows))
    # By content, so that the order of rows in their file does not matter.
    kept = sorted((rows[row.line] for row in once.rows), key=lambda row: (row.id, orjson.dumps(row.row.answer)))
    chosen = _held_out({row.group for row in kept}, share)
    examples = tuple(row for row in kept if row.group not in chosen)
    answered = {pair for row in examples for pair in answered_in(row.messages)}
    held: dict[bool, list[PackRow]] = {False: [], True: []}
    for row in kept:
        if row.group in chosen:
            held[last_answered(row.messages) in answered].append(row)
    return PackRows(
        kept=examples,
        held_out=tuple(held[False]),
        told=tuple(held[True]),
        read=len(rows),
        repeated=tuple((rows[line].where, rows[first].where) for line, first in once.repeated),
        conflicting=tuple(tuple(rows[line].where for line in lines) for lines in once.conflicting),
        redacted=dict(sorted(counts.items())),
    )


def _redacted(row: TrainingRow, source: Source, redactor: Redactor, counts: Counter[str]) -> PackRow:
    parts = {"system": row.system, "messages": list(row.messages), "answer": row.answer, "tools": row.tools}
    clean, found = redactor.value(parts)
    counts.update(found)
    messages = tuple(clean["messages"])
    own = replace(row, system=clean["system"], messages=messages, answer=clean["answer"], tools=clean["tools"])
    where = f"{source.label}:{row.line}"
    return PackRow(input_id(messages, clean["tools"]), conversation_id(messages), where, source.origin, own)


def _held_out(groups: Iterable[str], share: float) -> frozenset[str]:
    """Choose about a share of the groups: those whose hash, as a fraction of the largest, lies below it."""
    fractions = sorted((fraction_of(group), group) for group in groups)
    if not share or len(fractions) < FEWEST_TO_HOLD_OUT:
        return frozenset()
    below = sum(fraction < share for fraction, _ in fractions)
    return frozenset(group for _, group in fractions[: min(max(below, 1), len(fractions) - 1)])


def labels_of(rows: Sequence[PackRow]) -> list[str] | None:
    """Return each row's answer, where answers are labels: at most 20 short ones, each twice or more on average."""
    answers = [row.row.answer for row in rows]
    texts = [answer.get("content") for answer in answers if not answer.get("tool_calls")]
    labels = [" ".join(text.split()) for text in texts if isinstance(text, str)]
    kinds = set(labels)
    if len(labels) < len(rows) or not 2 <= len(kinds) <= _MOST_LABELS or len(rows) < _ROWS_PER_LABEL * len(kinds):
        return None
    return labels if max(map(len, kinds)) <= _LONGEST_LABEL else None


def recorded_rows(recorded: Iterable[tuple[str, str]], label: str) -> tuple[Source, int]:
    """Return recordings (each a request and an answer, as JSON) as rows, and how many are none.

    The lines are their places, from 1. A live request can be what a training row cannot, one with two system messages.

    Raises:
        ConfigError: none of them is a row.
    """
    rows, unusable = [], 0
    for line, (request, answer) in enumerate(recorded, 1):
        try:
            rows.append(recorded_row(request, answer, label, line))
        except InvalidTrainingFile:
            unusable += 1
    if not rows:
        raise ConfigError(f"there are no {label} that could be examples; make some with: gateway record ROUTE")
    return Source(label, tuple(rows), "recorded"), unusable


def recorded_row(request: str, answer: str, label: str, line: int) -> TrainingRow:
    """Return a request and its answer, each as JSON, as a row.

    Raises:
        InvalidTrainingFile: it is what a training row cannot be.
    """
    asked = orjson.loads(request)
    row = {**asked, "messages": [*asked["messages"], {**orjson.loads(answer), "role": "assistant"}]}
    return replace(read_rows(orjson.dumps(row), label).rows[0], line=line)
