"""What only many rows together tell: repetitions, contradictions, system messages, the order of answers.

Of a row some 200 bytes are kept, none of its text, so that a file of a million rows fits into memory.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import orjson

from gateway.learning.datasets.tool_call_rules import Told

MOST_SYSTEMS: Final = 50
_MOST_LABELS: Final = 20
_LONGEST_LABEL: Final = 64
_FEWEST_SORTED: Final = 20
_LINES_SHOWN: Final = 20
_SHOWN_OF_SYSTEM: Final = 60


@dataclass(slots=True)
class SeenRows:
    """Rows so far."""

    rows: int = 0
    _answered: dict[int, int] = field(default_factory=dict)
    """Input with its answer → the line that it was first on."""
    _asked: dict[int, int] = field(default_factory=dict)
    """Input → the line that it was first on."""
    _conflicts: dict[int, list[int]] = field(default_factory=dict)
    systems: Counter[str] = field(default_factory=Counter)
    """Rows by system message, white space aside; empty: none. The first fifty kinds; the rest are ``other_systems``."""
    other_systems: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    """Rows by answer, as long as answers may be labels: short, and few."""
    _are_labels: bool = True
    _runs: int = 0
    _last_label: str | None = None

    def see(self, line: int, asked: Any, answer: Any, system: str, label: str | None) -> Iterator[Told]:
        """Take a row, and yield what it repeats.

        Args:
            line: its place.
            asked: everything that makes two inputs the same, as JSON values.
            answer: the same of the answer: a pair's both answers, say.
            system: the system message's text.
            label: the answer's text where it may be a label; None where it cannot.
        """
        self.rows += 1
        self._see_system(" ".join(system.split()))
        self._see_label(label)
        input_key = _digest([_normal(asked)])
        whole_key = _digest([input_key, _normal(answer)])
        if (first := self._answered.setdefault(whole_key, line)) != line:
            yield "duplicate", f"is the same row as line {first}: leave one out"
            return
        if (first := self._asked.setdefault(input_key, line)) != line:
            self._conflicts.setdefault(input_key, [first]).append(line)

    def conflicts(self) -> Iterator[list[int]]:
        """Yield the lines of rows that answer the same input differently."""
        yield from self._conflicts.values()

    @property
    def are_labels(self) -> bool:
        """Whether the answers are labels: at most 20 short ones, each twice or more on average."""
        return self._are_labels and len(self.labels) >= 2 and self.rows >= 2 * len(self.labels)

    @property
    def is_sorted(self) -> bool:
        """Whether rows come in blocks of the same answer."""
        return self.are_labels and self.rows >= _FEWEST_SORTED and self._runs == len(self.labels)

    def _see_system(self, system: str) -> None:
        # A digest stands for a long one: a file may have another one in every row.
        key = system if len(system) <= 200 else f"{system[:_SHOWN_OF_SYSTEM]}… ({_digest([system]):016x})"
        if key in self.systems or len(self.systems) < MOST_SYSTEMS:
            self.systems[key] += 1
        else:
            self.other_systems += 1

    def _see_label(self, label: str | None) -> None:
        if not self._are_labels:
            return
        if (
            label is None
            or len(label) > _LONGEST_LABEL
            or (label not in self.labels and len(self.labels) == _MOST_LABELS)
        ):
            self._are_labels = False
            self.labels.clear()
            return
        self.labels[label] += 1
        self._runs += label != self._last_label
        self._last_label = label


def lines_in_words(lines: Sequence[int]) -> str:
    """Say which lines, no more than twenty."""
    shown = ", ".join(map(str, islice(lines, _LINES_SHOWN)))
    return shown if len(lines) <= _LINES_SHOWN else f"{shown} and {len(lines) - _LINES_SHOWN:,} more"


def systems_in_words(systems: Mapping[str, int], others: int) -> str:
    """Say how many rows have which system message, the commonest five."""
    commonest = sorted(systems.items(), key=lambda item: -item[1])
    shown = [f"{count:,} × {_short(system)}" for system, count in commonest[:5]]
    more = sum(count for _, count in commonest[5:]) + others
    return ", ".join([*shown, *([f"{more:,} × others"] if more else [])])


def _short(system: str) -> str:
    if not system:
        return "none"
    return f"'{system}'" if len(system) <= _SHOWN_OF_SYSTEM else f"'{system[:_SHOWN_OF_SYSTEM]}…'"


def _digest(value: Any) -> int:
    dumped = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.blake2b(dumped, digest_size=8).digest(), "big")


def _normal(value: Any) -> Any:
    """Return a value without white space that tells nothing, and without the ids of calls, which are random."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items() if key not in ("id", "tool_call_id", "weight")}
    return value
