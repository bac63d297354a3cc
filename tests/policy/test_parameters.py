from typing import Any

import pytest

from gateway.config.routes import Contract, Parameters
from gateway.policy.parameters import adapt, response_format


@pytest.mark.parametrize(
    ("parameters", "body", "expected", "changed"),
    [
        pytest.param({}, {"n": 1}, {"n": 1}, [], id="nothing to do"),
        pytest.param({"rename": {"a": "b"}}, {"a": 5}, {"b": 5}, ["a"], id="renamed, with its value"),
        pytest.param({"rename": {"a": "b"}}, {"c": 5}, {"c": 5}, [], id="what is absent is not renamed"),
        pytest.param(
            {"rename": {"a": "b"}}, {"a": 5, "b": 6}, {"b": 6}, ["a"], id="the new name, where both came, wins"
        ),
        pytest.param({"rename": {"a": "b"}}, {"a": None}, {"b": None}, ["a"], id="a null is renamed as well"),
        pytest.param({"set": {"a": 1}}, {}, {"a": 1}, ["a"], id="set where absent"),
        pytest.param({"set": {"a": 1}}, {"a": 2}, {"a": 1}, ["a"], id="set over the caller's"),
        pytest.param({"set": {"a": 1}}, {"a": 1}, {"a": 1}, [], id="set to what it was: no change"),
        pytest.param({"drop": ("a",)}, {"a": 1, "b": 2}, {"b": 2}, ["a"], id="dropped"),
        pytest.param({"drop": ("a",)}, {"b": 2}, {"b": 2}, [], id="what is absent is not dropped"),
        pytest.param(
            {"rename": {"a": "b"}, "set": {"b": 9}, "drop": ("c",)},
            {"a": 1, "c": 2},
            {"b": 9},
            ["a", "b", "c"],
            id="in the order rename, set, drop",
        ),
    ],
)
def test_adapting(
    parameters: dict[str, Any], body: dict[str, Any], expected: dict[str, Any], changed: list[str]
) -> None:
    assert adapt(body, Parameters(**parameters)) == changed
    assert body == expected


def test_a_contract_becomes_a_response_format() -> None:
    contract = Contract(name="invoice", json_schema={"type": "object"}, strict=True)
    assert response_format(contract) == {
        "type": "json_schema",
        "json_schema": {"name": "invoice", "schema": {"type": "object"}, "strict": True},
    }
