"""A route's primary replaced in the text of a YAML file: where it stands, and nothing else. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from gateway.config.model_ids import base_of
from gateway.lifecycle import yaml_text

_BOM: Final = "\ufeff"
_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_NULLS: Final = ("", "~", "null", "Null", "NULL")


class CannotPlace(ValueError):
    """The text is written in a way in which nobody but a person should change it; the message says which."""


@dataclass(frozen=True, slots=True)
class NewPrimary:
    """What a route's primary is to be."""

    provider: str
    model: str
    base: str | None = None
    """None: not known, but for what the model's id tells."""


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    """As ``end``: how many characters of the text are before it."""
    end: int
    text: str


def with_primary(text: str, path: Sequence[str], new: NewPrimary, *, keeps_provider: bool) -> str:
    """Return the text with another primary at the route that is found by these keys, such as ``routes, forum-reply``.

    ``keeps_provider``: it is the provider that the route has now, wherever that is written. Everything else is left as
    it is: comments, quotes, order, line ends.

    Raises:
        CannotPlace: The route is not there, or is written in a way that cannot be changed safely.
    """
    mark = _BOM if text.startswith(_BOM) else ""
    text = text.removeprefix(_BOM)
    route, in_flow = _found(text, path)
    wanted = {"model": new.model}
    if not keeps_provider:
        wanted["provider"] = new.provider
    if new.base is not None and new.base != base_of(new.model):
        wanted["base"] = new.base
    for edit in sorted(_edits(text, route, wanted, new, in_flow), key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return mark + text


def _found(text: str, path: Sequence[str]) -> tuple[yaml.Node | None, bool]:
    """Return the node at a path of keys, and whether it is written within braces."""
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    node: yaml.Node | None = yaml.compose(text, Loader=loader)
    in_flow = False
    for name in path:
        entry = _entry(node, name)
        if entry is None:
            raise CannotPlace(f"{'.'.join(path)} is not in this file")
        in_flow, node = in_flow or _in_braces(node), entry[1]
    return node, in_flow


def _in_braces(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.MappingNode) and bool(node.flow_style)


def _entry(node: yaml.Node | None, name: str) -> tuple[yaml.ScalarNode, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((entry for entry in node.value if entry[0].value == name), None)


def _edits(
    text: str, route: yaml.Node | None, wanted: Mapping[str, str], new: NewPrimary, in_flow: bool
) -> Iterator[_Edit]:
    if isinstance(route, yaml.ScalarNode):
        # One string is the primary's model.
        yield _in_place_of(route, text, wanted, in_flow, around="primary")
        return
    if not isinstance(route, yaml.MappingNode):
        raise CannotPlace("the route is a list")
    in_flow = in_flow or bool(route.flow_style)
    entry = _entry(route, "primary")
    if entry is None:
        yield _before_all(text, route, f"primary: {_value(wanted, in_flow)}")
    elif isinstance(entry[1], yaml.ScalarNode):
        yield _in_place_of(entry[1], text, wanted, in_flow)
    else:
        yield from _within(text, entry[1], wanted, new, in_flow or _in_braces(entry[1]))


def _within(
    text: str, primary: yaml.Node, wanted: Mapping[str, str], new: NewPrimary, in_flow: bool
) -> Iterator[_Edit]:
    """Change the keys of a primary that is a mapping; those that are not there follow its model."""
    model = _entry(primary, "model")
    if model is None or not isinstance(model[1], yaml.ScalarNode):
        raise CannotPlace("the primary's model is not text")
    missing = []
    for name, value in wanted.items():
        entry = _entry(primary, name)
        if entry is None:
            missing.append(f"{name}: {yaml_text.scalar(value, inner=in_flow)}")
        elif isinstance(entry[1], yaml.ScalarNode) and entry[1].value != value:
            yield _scalar_instead(entry[1], text, value, in_flow)
    base = _entry(primary, "base")
    if "base" not in wanted and base is not None and isinstance(base[1], yaml.ScalarNode):
        # Of the model before it: what is true of this one follows from its id, or is not known.
        follows = base_of(new.model)
        if base[1].value not in (*_NULLS, follows):
            yield _scalar_instead(base[1], text, follows, in_flow)
    if missing and in_flow:
        end = model[1].end_mark.index
        yield _Edit(end, end, "".join(f", {line}" for line in missing))
    elif missing:
        yield _lines_after(text, model[0], model[1], missing)


def _in_place_of(
    node: yaml.ScalarNode, text: str, wanted: Mapping[str, str], in_flow: bool, around: str | None = None
) -> _Edit:
    """Replace a model's id, or a null, by another id or by the mapping that says more."""
    if len(wanted) == 1:
        return _scalar_instead(node, text, wanted["model"], in_flow)
    value = _value(wanted, in_flow)
    return _instead(node, text, f"{{ {around}: {value} }}" if around else value)


def _scalar_instead(node: yaml.ScalarNode, text: str, value: str | None, in_flow: bool) -> _Edit:
    if value is None:
        return _instead(node, text, "null")
    if node.style == "'" and yaml_text.shown(value) == value:
        return _instead(node, text, "'" + value.replace("'", "''") + "'")
    return _instead(node, text, yaml_text.quoted(value) if node.style else yaml_text.scalar(value, inner=in_flow))


def _instead(node: yaml.ScalarNode, text: str, written: str) -> _Edit:
    if node.style in ("|", ">"):
        raise CannotPlace("it is written as a block of text")
    start, end = node.start_mark.index, node.end_mark.index
    space = ""
    if start == end:
        if not text[:start].rstrip(" ").endswith(":"):
            raise CannotPlace("it is a key without a colon")
        space = "" if text[:start].endswith(" ") else " "
    return _Edit(start, end, space + written)


def _value(wanted: Mapping[str, str], in_flow: bool) -> str:
    if len(wanted) == 1:
        return yaml_text.scalar(wanted["model"], inner=in_flow)
    return "{ " + ", ".join(f"{name}: {yaml_text.scalar(value, inner=True)}" for name, value in wanted.items()) + " }"


def _before_all(text: str, mapping: yaml.MappingNode, line: str) -> _Edit:
    """Put an entry before the others."""
    if mapping.flow_style:
        at = mapping.start_mark.index + 1
        space = " " if text[at : at + 1] == " " else ""
        return _Edit(at, at, f"{space}{line}{',' if mapping.value else ''}")
    first = mapping.value[0][0].start_mark
    before = list(_BREAK.finditer(text, 0, first.index))
    line_end = before[-1].group() if before else "\n"
    return _Edit(first.index, first.index, line + line_end + " " * first.column)


def _lines_after(text: str, key: yaml.Node, value: yaml.Node, lines: Sequence[str]) -> _Edit:
    """Put entries behind the line on which a value ends, as far in as its key is."""
    indent, found = " " * key.start_mark.column, _BREAK.search(text, value.end_mark.index)
    if found is None:
        return _Edit(len(text), len(text), "".join(f"\n{indent}{line}" for line in lines))
    return _Edit(found.end(), found.end(), "".join(f"{indent}{line}{found.group()}" for line in lines))
