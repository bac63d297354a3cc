"""Writes what is generated from the schema: ``python -m gateway.config.reference``.

``gateway/config/routes.schema.json`` is what editors complete from; ``routes.reference.yaml`` has every key once.
"""

import json
import textwrap
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from gateway.config.schema import RoutesFile
from gateway.config.schema_routes import RouteEntry, RouteKeys, VariantEntry
from gateway.config.schema_types import Entry, unwrapped

_ROOT = Path(__file__).parents[2]
SCHEMA_PATH = Path(__file__).with_name("routes.schema.json")
REFERENCE_PATH = _ROOT / "routes.reference.yaml"
_WIDTH = 118
_HEAD = """\
# yaml-language-server: $schema=gateway/config/routes.schema.json
# Every key of routes.yaml, once, with an example. Generated from gateway/config/schema.py by
# `python -m gateway.config.reference`; change it there. A key that is commented out stands instead of the one it names.
"""


def schema_json() -> str:
    """Return the JSON Schema of routes.yaml."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **RoutesFile.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def reference_yaml() -> str:
    """Return routes.yaml with every key once, commented; it loads."""
    return _HEAD + "\n".join(_mapping(RoutesFile, 0, skip=frozenset())) + "\n"


def _mapping(model: type[Entry], depth: int, skip: frozenset[str]) -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key in skip:
            continue
        if depth == 0:
            yield ""
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        instead_of = extra.get("instead_of")
        description = field.description or ""
        yield from _comment(f"{description} Instead of `{instead_of}`." if instead_of else description, depth)
        lines = list(_field(key, field, depth))
        left_out = instead_of or "only_for" in extra
        yield from (_left_out(lines, depth) if left_out else lines)


def _left_out(lines: list[str], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for line in lines:
        # A comment within what is a comment already.
        yield f"{indent}# {line.removeprefix(indent)}"


def _field(key: str, field: FieldInfo, depth: int) -> Iterator[str]:
    """Yield one key: a mapping by name nests its example names, everything else shows its example."""
    keys, annotation = [key], unwrapped(field.annotation)
    for name in field.examples or ():
        if get_origin(annotation) is dict and isinstance(name, str):
            keys.append(name)
            annotation = unwrapped(get_args(annotation)[1])
    for above in keys[:-1]:
        yield f"{'  ' * depth}{above}:"
        depth += 1
    indent = "  " * depth
    if annotation is RouteKeys and key == "profiles":
        # The keys of a profile are those of the defaults, which have been shown.
        yield f"{indent}{keys[-1]}: {{}}"
    elif isinstance(annotation, type) and issubclass(annotation, Entry):
        yield f"{indent}{keys[-1]}:"
        shown = frozenset(RouteKeys.model_fields) if issubclass(annotation, RouteEntry | VariantEntry) else frozenset()
        yield from _mapping(annotation, depth + 1, skip=shown)
    elif not field.examples:
        yield f"{indent}{keys[-1]}:"
        yield from _item(get_args(annotation)[0], depth + 1)
    else:
        yield f"{indent}{keys[-1]}: {_flow(field.examples[0])}"


def _item(model: type[Entry], depth: int) -> Iterator[str]:
    dash = "- "
    for line in _mapping(model, depth + 1, skip=frozenset()):
        is_key = not line.lstrip().startswith("#")
        yield "  " * depth + dash + line.lstrip() if is_key and dash else line
        dash = "" if is_key else dash


def _comment(text: str, depth: int) -> list[str]:
    indent = "  " * depth + "# "
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        simple = value.replace("_", "").replace("-", "").isalpha()
        return value if simple else json.dumps(value, ensure_ascii=False)
    if isinstance(value, date | Decimal):
        return str(value)
    return json.dumps(value)


def main() -> None:
    """Write both files."""
    SCHEMA_PATH.write_text(schema_json(), encoding="utf-8")
    REFERENCE_PATH.write_text(reference_yaml(), encoding="utf-8")


if __name__ == "__main__":
    main()
