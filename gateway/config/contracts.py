"""Contracts: the JSON Schema files that routes name."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.config.findings import Finding, Findings
from gateway.config.routes import Contract

# Composition that providers refuse, or do not enforce, in strict mode.
_NOT_ENFORCED = {
    "allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
    "unevaluatedProperties", "prefixItems", "contains",
}  # fmt: skip
_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions")
_MAY_TAKE_LONG = (
    "has a pattern that looks around or refers back (such as (?=…), (?!…) or \\1): an answer can be made to take it "
    "long, and the gateway answers nobody meanwhile"
)


def build_contract(route: str, content: bytes, file: str, findings: Findings) -> Contract | None:
    """Return a contract named for its route, or None where the file is no JSON Schema that stands alone."""
    try:
        schema = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        findings.add(Finding(file, error.lineno, f"is not JSON: {error.msg}"))
        return None
    if not isinstance(schema, dict):
        findings.add(Finding(file, 1, "is not a JSON Schema: it must be an object"))
        return None
    if problem := _schema_problem(schema):
        findings.add(Finding(file, 1, f"is not a JSON Schema that can be used: {problem}"))
        return None
    if _backtracks(schema):
        findings.add(Finding(file, 1, _MAY_TAKE_LONG, "warning"))
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", route)[:64]
    return Contract(name=name, json_schema=schema, strict=is_strict(schema))


def _schema_problem(schema: dict[str, Any]) -> str | None:
    # Imported here: most configurations have no contract, and `serve` should listen soon.
    import jsonschema_rs

    try:
        jsonschema_rs.meta.validate(schema)
        # Offline: a contract never makes the gateway fetch anything.
        jsonschema_rs.validator_for(schema, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return str(error).partition("\n")[0]
    return None


def _backtracks(schema: dict[str, Any]) -> bool:
    """Tell whether a pattern is beyond what is matched in time linear in an answer's length."""
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, ValueError):
        return True
    return False


def is_strict(schema: dict[str, Any]) -> bool:
    """Return whether providers enforce a schema word for word: OpenAI's subset for structured outputs.

    The root is an object; every object takes no other properties than its own and requires each of them; nothing is
    composed but by ``anyOf`` and ``$ref``.
    """
    if schema.get("type") != "object" or "anyOf" in schema:
        return False
    return all(_is_enforced(part) for part in _schemas_in(schema))


def _is_enforced(schema: Any) -> bool:
    if not isinstance(schema, dict) or _NOT_ENFORCED & schema.keys():
        return False
    kind = schema.get("type")
    if kind != "object" and "properties" not in schema and not (isinstance(kind, list) and "object" in kind):
        return True
    properties = schema.get("properties", {})
    return schema.get("additionalProperties") is False and set(properties) == set(schema.get("required", []))


def _schemas_in(root: dict[str, Any]) -> Iterator[Any]:
    # A stack, not recursion: JSON may be nested deeper than Python's calls.
    waiting: list[Any] = [root]
    while waiting:
        schema = waiting.pop()
        yield schema
        if not isinstance(schema, dict):
            continue
        for keyword in _MAPS_OF_SCHEMAS:
            waiting.extend(schema.get(keyword, {}).values())
        waiting.extend(schema.get("anyOf", []))
        if "items" in schema:
            waiting.append(schema["items"])
