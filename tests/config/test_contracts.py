import json
from typing import Any

import pytest

from gateway.config.contracts import build_contract
from gateway.config.findings import Findings

INNER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


OPEN = {key: value for key, value in INNER.items() if key != "additionalProperties"}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        pytest.param(_object(a=INNER), True, id="closed objects that require everything"),
        pytest.param(_object(a={"type": ["object", "null"], **{k: v for k, v in INNER.items() if k != "type"}}), True,
                     id="an object or null"),
        pytest.param({**_object(a={"$ref": "#/$defs/i"}), "$defs": {"i": INNER}}, True, id="a definition"),
        pytest.param({**_object(a={"$ref": "#/$defs/i"}), "$defs": {"i": OPEN}}, False, id="an open definition"),
        pytest.param(_object(a={"type": "array", "items": OPEN}), False, id="an open object in a list"),
        pytest.param(_object(a={"anyOf": [{"type": "null"}, OPEN]}), False, id="an open object among alternatives"),
        pytest.param({**_object(a=INNER), "required": []}, False, id="an optional property"),
        pytest.param({"type": "array", "items": INNER}, False, id="a root that is a list"),
        pytest.param({"anyOf": [INNER]}, False, id="a root of alternatives"),
        pytest.param(_object(a={"allOf": [INNER]}), False, id="composition"),
        pytest.param({"type": "object"}, False, id="an object that says nothing"),
    ],
)  # fmt: skip
def test_strict(schema: dict[str, Any], strict: bool) -> None:
    findings = Findings("routes.yaml")
    contract = build_contract("a", json.dumps(schema).encode(), "s.json", findings)
    assert findings.errors() == ()
    assert contract is not None
    assert contract.strict is strict
    assert contract.json_schema == schema


@pytest.mark.parametrize(
    ("pattern", "warns"),
    [
        pytest.param("^(a+)+$", False, id="nested repetition, which is matched in linear time"),
        pytest.param(r"^[A-Z]{2}\d{2,30}$", False, id="a usual one"),
        pytest.param("^(?!(a|aa)+b)", True, id="one that looks ahead"),
        pytest.param(r"^(a|aa)+\1$", True, id="one that refers back"),
    ],
)
def test_patterns_that_may_take_long_are_told(pattern: str, warns: bool) -> None:
    findings = Findings("routes.yaml")
    schema = _object(a={"type": "string", "pattern": pattern})
    assert build_contract("a", json.dumps(schema).encode(), "s.json", findings) is not None
    assert (findings.errors(), len(findings.warnings())) == ((), int(warns))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b'{"type":\n "object",}', "s.json:2: is not JSON: ", id="a trailing comma"),
        pytest.param(b"[]", "s.json:1: is not a JSON Schema: it must be an object", id="a list"),
        pytest.param(b'{"type": "objekt"}', "s.json:1: is not a JSON Schema that can be used: ", id="a wrong type"),
        pytest.param(b'{"$ref": "#/$defs/x"}', "s.json:1: is not a JSON Schema that can be used: ", id="a broken ref"),
        pytest.param(
            b'{"$ref": "http://127.0.0.1:9/x"}',
            "s.json:1: is not a JSON Schema that can be used: ",
            id="a reference to somewhere else, which is not fetched",
        ),
        pytest.param(b"[" * 5000, "s.json:1: is not JSON: ", id="absurd depth"),
    ],
)
def test_refused(content: bytes, expected: str) -> None:
    findings = Findings("routes.yaml")
    assert build_contract("a", content, "s.json", findings) is None
    [error] = findings.errors()
    assert str(error).startswith(expected)


def test_a_name_fits_response_format() -> None:
    contract = build_contract("team/a.b é" + "x" * 80, b'{"type": "object"}', "s.json", Findings("routes.yaml"))
    assert contract is not None
    assert contract.name == "team_a_b__" + "x" * 54
