"""Makes an instance of a JSON Schema: small, the same on every run, and valid for the schemas that providers take.

What is understood: types, ``enum``, ``const``, ``anyOf`` | ``oneOf`` | ``allOf``, ``$ref`` into the schema itself,
objects with their required properties, arrays with ``minItems``, bounds of numbers and lengths, ``multipleOf``, common
formats, and patterns that one of a handful of plain strings matches.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

_DEPTH_OF_OPTIONAL_PROPERTIES = 5
_DEPTH_LIMIT = 40
_MOST = 10_000
_FORMATS = {
    "date": "2026-11-23",
    "date-time": "2026-11-23T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "0b8f7c1e-6a52-4d3e-9f10-2c4b8a7d6e5f",
}
_PATTERN_CANDIDATES = (
    "example", "EXAMPLE", "Example", "EUR", "A1", "a1", "1", "12", "1234", "12345", "123456", "12.50", "INV-2026-0001",
    "ABC-123", "abc-123", "abc_123", "#aabbcc", "+15550100", "x", "X", "yes", *_FORMATS.values(),
)  # fmt: skip


def make_instance(schema: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> Any:
    """Return an instance of ``schema``.

    ``facts`` are values found in the prompt, by property name: one is used where a property of that name takes it.

    Raises:
        ValueError: the schema asks for more than anybody would read; other errors where it is no schema at all.

    """
    return _Maker(schema, facts or {}).value(schema, None, 0)


class _Maker:
    def __init__(self, root: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self._root = root
        self._facts = facts

    def value(self, schema: Any, name: str | None, depth: int) -> Any:
        """Return a value for a subschema; ``name`` is the property that it is for."""
        if not isinstance(schema, Mapping) or depth > _DEPTH_LIMIT:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        fact = self._facts.get(name) if name is not None else None
        if schema.get("enum"):
            return fact if fact in schema["enum"] else schema["enum"][0]
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self.value(self._branch(schema[union], depth), name, depth + 1)
        kind = _type_of(schema)
        if fact is not None and _takes(schema, kind, fact):
            return fact
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return _string(schema)
        if kind in ("number", "integer"):
            return _number(schema, integer=kind == "integer")
        return True if kind == "boolean" else None

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow references, and fold ``allOf`` in."""
        for _ in range(_DEPTH_LIMIT):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            target: Any = self._root
            for step in reference.removeprefix("#").strip("/").split("/"):
                if step:
                    target = target.get(step.replace("~1", "/").replace("~0", "~"), {})
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        if not schema.get("allOf"):
            return schema
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self._resolved, schema["allOf"]):
            for key, value in part.items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, []), *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _branch(self, branches: list[Any], depth: int) -> Any:
        """Choose a branch: the first that is not null, or null where a recursive schema has gone deep enough."""
        nulls = [branch for branch in branches if isinstance(branch, Mapping) and branch.get("type") == "null"]
        others = [branch for branch in branches if branch not in nulls]
        if nulls and (depth > _DEPTH_OF_OPTIONAL_PROPERTIES or not others):
            return nulls[0]
        if depth > _DEPTH_OF_OPTIONAL_PROPERTIES:
            plain = [branch for branch in others if isinstance(branch, Mapping) and "$ref" not in branch]
            return (plain or others)[0]
        return others[0]

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", [])
        properties = schema.get("properties", {})
        names = list(properties) if depth < _DEPTH_OF_OPTIONAL_PROPERTIES else [n for n in properties if n in required]
        made = {name: self.value(properties[name], name, depth + 1) for name in names}
        made.update({name: "example" for name in required if name not in properties})
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = [self.value(item, None, depth + 1) for item in schema.get("prefixItems", [])]
        wanted = max(schema.get("minItems", 0), 1 if depth < _DEPTH_OF_OPTIONAL_PROPERTIES else 0, len(first))
        wanted = min(wanted, schema.get("maxItems", wanted))
        _check_size(wanted)
        rest = [self.value(schema.get("items", {}), None, depth + 1) for _ in range(wanted - len(first))]
        return [*first, *rest]


def _check_size(wanted: int) -> None:
    if wanted > _MOST:
        raise ValueError(f"{wanted} items or letters are more than the sandbox makes ({_MOST})")


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if isinstance(kind, str):
        return kind
    for name, marks in (
        ("object", ("properties", "required")),
        ("array", ("items", "prefixItems")),
        ("number", ("minimum", "maximum", "multipleOf")),
    ):
        if any(mark in schema for mark in marks):
            return name
    return "string"


def _takes(schema: Mapping[str, Any], kind: str, fact: Any) -> bool:
    """Tell whether a fact can stand where the schema is; only plain strings and numbers can."""
    if kind == "string":
        return (
            isinstance(fact, str)
            and schema.get("minLength", 0) <= len(fact) <= schema.get("maxLength", len(fact))
            and re.search(schema.get("pattern", ""), fact) is not None
            and (
                "format" not in schema
                or (schema["format"] == "date" and re.fullmatch(r"\d{4}-\d\d-\d\d", fact) is not None)
            )
        )
    if isinstance(fact, int if kind == "integer" else (int, float)) and kind in ("integer", "number"):
        return bool(schema.get("minimum", fact) <= fact <= schema.get("maximum", fact))
    return False


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), "example")
    pattern = schema.get("pattern")
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if pattern is not None:
        candidates = [c for c in _PATTERN_CANDIDATES if least <= len(c) <= (len(c) if most is None else most)]
        text = next((candidate for candidate in candidates if re.search(pattern, candidate)), text)
    _check_size(least)
    text = text.ljust(least, "e")
    return text if most is None else text[:most]


def _number(schema: Mapping[str, Any], *, integer: bool) -> float | int:
    step = schema.get("multipleOf", 1 if integer else 0)
    least = schema.get("minimum", -math.inf)
    most = schema.get("maximum", math.inf)
    gap = step or 0.5
    # A boolean here is draft 4's way to make ``minimum`` exclusive; nobody sends it with a bound that matters.
    if isinstance(schema.get("exclusiveMinimum"), (int, float)):
        least = max(least, schema["exclusiveMinimum"] + gap)
    if isinstance(schema.get("exclusiveMaximum"), (int, float)):
        most = min(most, schema["exclusiveMaximum"] - gap)
    wanted = min(max(1, least), most)
    if step:
        rounded = math.ceil(wanted / step) * step
        wanted = rounded if rounded <= most else math.floor(wanted / step) * step
    return int(wanted) if integer else wanted
