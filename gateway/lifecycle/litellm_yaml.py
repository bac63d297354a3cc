"""A LiteLLM proxy's config.yaml as a tree in which every value knows its line: what PyYAML reads there, within limits.

Unlike routes.yaml (``config.yaml_source``) it may hold anchors, aliases and merge keys, and its plain scalars follow
YAML 1.1, as LiteLLM reads them. Nothing recurses, and aliases count as much as what they stand for, so a hostile file
costs bounded time and memory. Messages never repeat what is written: it may be a key.
"""

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import yaml
from yaml import events

from gateway.config.yaml_source import MAX_BYTES, Node, Scalar
from gateway.errors import ConfigError

MAX_VALUES: Final = 200_000
"""Of one file, aliases written out."""
MAX_DEPTH: Final = 40

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = "<<"

_Value = Scalar | dict[str, Node] | list[Node]


@dataclass(frozen=True, slots=True)
class Parsed:
    """One file."""

    root: Node
    twice: tuple[Node, ...]
    """Where a key is written that its mapping has already: as for LiteLLM, the last one holds."""


def read_yaml(path: Path, label: str) -> Parsed:
    """Read one file; ``label`` is what messages call it.

    Raises:
        ConfigError: It cannot be read, is no YAML mapping, or is beyond the limits; with its line.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{label} cannot be read: {getattr(error, 'strerror', None) or 'no such path'}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{label} is larger than 1 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{label}:{line}: is not UTF-8") from None
    builder = _Builder(label)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = min(mark.line + 1, max(len(text.splitlines()), 1)) if mark else 1
        problem = getattr(error, "problem", None) or "it holds a character that YAML forbids"
        raise ConfigError(f"{label}:{line}: is not YAML: {problem}") from None
    if builder.root is None or not isinstance(builder.root.value, dict):
        raise ConfigError(f"{label}:1: is not a mapping, as LiteLLM's config.yaml is")
    return Parsed(builder.root, tuple(builder.twice))


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias stands for."""

    value: _Value
    values: int
    depth: int


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    value: dict[str, Node] | list[Node]
    line: int
    anchor: str | None
    values: int = 1
    depth: int = 1
    awaits_key: bool = False
    key: str = ""
    key_line: int = 0
    merged: list[dict[str, Node]] = field(default_factory=list)


class _Builder:
    def __init__(self, label: str) -> None:
        self.root: Node | None = None
        self.twice: list[Node] = []
        self._label = label
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._documents = 0
        self._values = 0
        self._resolver: Any = yaml.resolver.Resolver()
        self._constructor: Any = yaml.constructor.SafeConstructor()

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, events.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._error(line, "a second document starts here")
        elif isinstance(event, events.AliasEvent):
            anchored = self._anchors.get(event.anchor or "")
            if anchored is None:
                raise self._error(line, "an alias stands for nothing that ended above it")
            self._place(anchored, line)
        elif isinstance(event, events.ScalarEvent):
            anchored = _Anchored(self._scalar(event, line), 1, 0)
            if event.anchor:
                self._anchors[event.anchor] = anchored
            self._place(anchored, line)
        elif isinstance(event, events.CollectionStartEvent):
            self._begin(event, line)
        elif isinstance(event, events.CollectionEndEvent):
            self._end()

    def _begin(self, event: events.CollectionStartEvent, line: int) -> None:
        if event.tag and event.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            raise self._error(line, "tags are not read here")
        if len(self._open) >= MAX_DEPTH:
            raise self._error(line, f"is nested deeper than {MAX_DEPTH} levels")
        is_mapping = isinstance(event, events.MappingStartEvent)
        self._open.append(_Open({} if is_mapping else [], line, event.anchor, awaits_key=is_mapping))

    def _end(self) -> None:
        closed = self._open.pop()
        if isinstance(closed.value, dict):
            for merged in closed.merged:
                closed.value = {**merged, **closed.value}
        anchored = _Anchored(closed.value, closed.values, closed.depth)
        if closed.anchor:
            self._anchors[closed.anchor] = anchored
        self._place(anchored, closed.line, counted=True)

    def _place(self, placed: _Anchored, line: int, *, counted: bool = False) -> None:
        self._values += 1 if counted else placed.values
        if self._values > MAX_VALUES:
            raise self._error(line, f"holds more than {MAX_VALUES:,} values, aliases written out")
        if len(self._open) + placed.depth > MAX_DEPTH:
            raise self._error(line, f"is nested deeper than {MAX_DEPTH} levels")
        if not self._open:
            self.root = Node(placed.value, self._label, line)
            return
        top = self._open[-1]
        is_merged = isinstance(top.value, dict) and not top.awaits_key and top.key == _MERGE
        top.values += placed.values
        # What is merged lies beside the mapping's own entries, not below them.
        top.depth = max(top.depth, placed.depth + (0 if is_merged else 1))
        if isinstance(top.value, list):
            top.value.append(Node(placed.value, self._label, line))
        elif top.awaits_key:
            top.key, top.key_line, top.awaits_key = self._key(placed.value, line), line, False
        else:
            top.awaits_key = True
            if is_merged:
                self._merge(top, placed.value, line)
                return
            node = Node(placed.value, self._label, top.key_line)
            if top.key in top.value:
                self.twice.append(node)
            top.value[top.key] = node

    def _merge(self, top: _Open, value: _Value, line: int) -> None:
        parts = [node.value for node in value] if isinstance(value, list) else [value]
        for part in parts:
            if not isinstance(part, dict):
                raise self._error(line, "<< merges mappings only")
            top.merged.append(part)

    def _key(self, value: _Value, line: int) -> str:
        if isinstance(value, dict | list):
            raise self._error(line, "a key is a list or a mapping")
        return value if isinstance(value, str) else str(value).lower()

    def _scalar(self, event: events.ScalarEvent, line: int) -> Scalar:
        text = str(event.value)
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            raise self._error(line, "text holds half a surrogate pair")
        if event.tag and event.tag not in (f"{_TAG}str", "!"):
            raise self._error(line, "tags are not read here")
        if event.tag or not event.implicit[0]:
            return text
        return self._plain(text)

    def _plain(self, text: str) -> Scalar:
        """Return what YAML 1.1 makes of plain text; days, and what no number can hold, stay text."""
        tag = self._resolver.resolve(yaml.ScalarNode, text, (True, False)).removeprefix(_TAG)
        try:
            if tag == "null":
                return None
            if tag == "bool":
                return bool(self._constructor.bool_values[text.lower()])
            if tag == "int":
                number: int = self._constructor.construct_yaml_int(yaml.ScalarNode(tag, text))
                return number
            if tag == "float":
                decimal = Decimal(text.replace("_", ""))
                return decimal if decimal.is_finite() else text
        except (ValueError, InvalidOperation, KeyError):
            pass
        return text

    def _error(self, line: int, message: str) -> ConfigError:
        return ConfigError(f"{self._label}:{line}: {message}")
