from typing import Any

import jsonschema_rs
import pytest

from gateway.sandbox.schema_instances import make_instance

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "children", "next"],
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, id="an object"),
        pytest.param({"type": "array", "items": {"type": "integer"}, "minItems": 3}, id="an array of at least three"),
        pytest.param({"type": "array", "items": {"type": "string"}, "maxItems": 0}, id="an array that stays empty"),
        pytest.param({"type": "string", "minLength": 12, "maxLength": 14}, id="a string within lengths"),
        pytest.param({"type": "string", "format": "date"}, id="a date"),
        pytest.param({"type": "string", "format": "email"}, id="an address"),
        pytest.param({"type": "string", "pattern": "^[A-Z]{3}$"}, id="a currency's pattern"),
        pytest.param({"type": "integer", "minimum": 5, "maximum": 7}, id="an integer within bounds"),
        pytest.param({"type": "integer", "exclusiveMinimum": 0, "multipleOf": 7}, id="a multiple"),
        pytest.param({"type": "number", "exclusiveMaximum": 0}, id="a negative number"),
        pytest.param({"type": ["string", "null"]}, id="a type or null"),
        pytest.param({"enum": ["low", "high"]}, id="one of a list"),
        pytest.param({"const": 42}, id="a constant"),
        pytest.param({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, id="any of two"),
        pytest.param({"allOf": [{"type": "object"}, {"required": ["a"], "properties": {"a": {"const": 1}}}]}, id="all"),
        pytest.param(TREE, id="a schema that contains itself"),
    ],
)
def test_an_instance_keeps_its_schema(schema: dict[str, Any]) -> None:
    jsonschema_rs.validate(schema, make_instance(schema))


def test_facts_are_used_where_they_fit_and_only_there() -> None:
    schema = {
        "type": "object",
        "properties": {
            "total": {"type": "number"},
            "currency": {"enum": ["EUR", "USD"]},
            "vendor": {"type": "integer"},
            "number": {"type": "string", "pattern": "^INV-"},
        },
    }
    facts = {"total": 12.5, "currency": "USD", "vendor": "Acme", "number": "other"}
    made = make_instance(schema, facts)
    assert (made["total"], made["currency"]) == (12.5, "USD")
    jsonschema_rs.validate(schema, made)
