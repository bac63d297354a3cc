"""YAML text as a plain tree in which every value knows its file and line.

Read from parser events, not from PyYAML's composer: nothing recurses, so a hostile file costs bounded time and memory.
Refused, each with its line: anchors and aliases, tags, duplicate keys, keys that are not text, a second document,
more than 1 MiB, more than 32 levels. Scalars follow YAML 1.2 (``no`` and ``on`` are text, ``010`` is ten), numbers with
a point are Decimal, dates are dates.
"""

import math
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

import yaml
from yaml import events

from gateway.config.findings import Finding, Findings, quoted

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32

Scalar: TypeAlias = str | int | bool | Decimal | date | None

_INTEGER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it is written; in a mapping, the line is that of its key."""

    value: "Scalar | dict[str, Node] | list[Node]"
    file: str
    line: int

    @property
    def entries(self) -> "dict[str, Node]":
        """The mapping's entries; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> "list[Node]":
        """The list's items; empty for anything else."""
        return self.value if isinstance(self.value, list) else []

    def get(self, *path: str) -> "Node | None":
        """Return the node at a path of keys, or None."""
        node: Node | None = self
        for key in path:
            node = node.entries.get(key) if node else None
        return node

    @property
    def text(self) -> str | None:
        """The value where it is text."""
        return self.value if isinstance(self.value, str) else None


def plain(node: Node) -> object:
    """Return the node's value without positions."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def parse(data: bytes, file: str, findings: Findings) -> Node | None:
    """Return the document's tree, or None where it is empty or cannot be read on; errors go to ``findings``."""
    if len(data) > MAX_BYTES:
        findings.add(Finding(file, 1, "is larger than 1 MiB"))
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        findings.add(Finding(file, data.count(b"\n", 0, error.start) + 1, "is not UTF-8"))
        return None
    builder = _Builder(file, findings)
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except _Stop:
        return None
    except yaml.YAMLError as error:
        findings.add(Finding(file, _line_of(error, text), f"is not YAML: {_problem_of(error, text)}"))
        return None
    return builder.root


class _Nothing(Enum):
    """Stands for a value that cannot be used, and was reported: its entry is left out."""

    NOTHING = 0


_NOTHING = _Nothing.NOTHING


class _Stop(Exception):
    """The rest of the file is not worth reading."""


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    value: dict[str, Node] | list[Node]
    line: int
    awaits_key: bool = False
    key: str | None = None
    """None while the entry is being skipped."""
    key_line: int = 0


class _Builder:
    def __init__(self, file: str, findings: Findings) -> None:
        self.root: Node | None = None
        self._file = file
        self._findings = findings
        self._open: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, events.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._error(line, "a second document starts here; a file holds one")
                raise _Stop
        elif isinstance(event, events.AliasEvent):
            self._error(line, f"alias *{event.anchor}: aliases are not read here; use profiles or extends")
            self._place(_NOTHING, line)
        elif isinstance(event, events.NodeEvent):
            self._refuse_properties(event, line)
            self._start(event, line)
        elif isinstance(event, events.CollectionEndEvent):
            closed = self._open.pop()
            self._place(closed.value, closed.line)

    def _refuse_properties(self, event: yaml.Event, line: int) -> None:
        if anchor := getattr(event, "anchor", None):
            self._error(line, f"anchor &{anchor}: anchors are not read here; use profiles or extends")
        if tag := getattr(event, "tag", None):
            self._error(line, f"tag {quoted(str(tag))}: tags are not read here")

    def _start(self, event: yaml.Event, line: int) -> None:
        if isinstance(event, events.ScalarEvent):
            self._place(self._scalar(event.value, plain=event.implicit[0], line=line), line)
            return
        if len(self._open) >= MAX_DEPTH:
            self._error(line, f"is nested deeper than {MAX_DEPTH} levels")
            raise _Stop
        is_mapping = isinstance(event, events.MappingStartEvent)
        self._open.append(_Open({} if is_mapping else [], line, awaits_key=is_mapping))

    def _place(self, value: Scalar | dict[str, Node] | list[Node] | _Nothing, line: int) -> None:
        top = self._open[-1] if self._open else None
        if top is None:
            self.root = Node(value, self._file, line) if value is not _NOTHING else None
        elif isinstance(top.value, list):
            if value is not _NOTHING:
                top.value.append(Node(value, self._file, line))
        elif top.awaits_key:
            top.key, top.key_line, top.awaits_key = self._key(value, line, top.value), line, False
        else:
            if top.key is not None and value is not _NOTHING:
                top.value[top.key] = Node(value, self._file, top.key_line)
            top.awaits_key = True

    def _key(self, value: object, line: int, entries: dict[str, Node]) -> str | None:
        if value is _NOTHING:
            return None
        if not isinstance(value, str):
            shown = "this key" if isinstance(value, (dict, list)) or value is None else f"key {str(value).lower()}"
            self._error(line, f"{shown} is not text; put it in quotes")
            return None
        if value in entries:
            self._error(line, f"duplicate key {quoted(value)}; it is first written on line {entries[value].line}")
            return None
        return value

    def _scalar(self, text: str, *, plain: bool, line: int) -> Scalar | _Nothing:
        if not plain:
            return self._encodable(text, line)
        if text in _WORDS:
            return _WORDS[text]
        if _DATE.fullmatch(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                self._error(line, f"{text} is no day of the calendar")
                return _NOTHING
        if _NOT_FINITE.fullmatch(text):
            self._error(line, f"{text} is not a number that can be used here")
            return _NOTHING
        if _DECIMAL.fullmatch(text):
            return self._number(text, line)
        return self._encodable(text, line)

    def _number(self, text: str, line: int) -> int | Decimal | _Nothing:
        if len(text) <= 40:
            if _INTEGER.fullmatch(text):
                if abs(int(text)) < 2**63:
                    return int(text)
            elif math.isfinite(float(text)):
                return Decimal(text)
        self._error(line, f"number {quoted(text)} is out of range")
        return _NOTHING
        return None

    def _encodable(self, text: str, line: int) -> str | _Nothing:
        try:
            text.encode()
        except UnicodeEncodeError:
            self._error(line, "text holds half a surrogate pair")
            return _NOTHING
        return text

    def _error(self, line: int, message: str) -> None:
        self._findings.add(Finding(self._file, line, message))


def _line_of(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        # The end of the file is reported as a line of its own.
        return max(1, min(int(mark.line) + 1, len(text.splitlines())))
    # A character that YAML forbids: the error knows only how many bytes in it is.
    return text.encode().count(b"\n", 0, getattr(error, "position", 0)) + 1


def _problem_of(error: yaml.YAMLError, text: str) -> str:
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed")
    mark = getattr(error, "problem_mark", None)
    if mark is not None and "cannot start any token" in problem:
        lines = text.splitlines()
        rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
        return "tabs cannot indent" if rest.startswith("\t") else f"text that starts with {rest[:1]} needs quotes"
    return problem
