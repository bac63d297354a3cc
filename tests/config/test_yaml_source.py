from datetime import date
from decimal import Decimal

import pytest

from gateway.config.findings import Findings
from gateway.config.yaml_source import parse, plain


def _parse(text: str) -> tuple[object, list[str]]:
    findings = Findings("f.yaml")
    node = parse(text.encode(), "f.yaml", findings)
    return plain(node) if node else None, [str(finding) for finding in findings.errors()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("0.30", Decimal("0.30"), id="a number with a point is an exact decimal"),
        pytest.param("1e3", Decimal("1e3"), id="an exponent makes a decimal"),
        pytest.param("010", 10, id="a leading zero is not octal"),
        pytest.param("-5", -5, id="an integer may be negative"),
        pytest.param("1:30", "1:30", id="a time of day is text, not a number to base sixty"),
        pytest.param("no", "no", id="the word no is text"),
        pytest.param("true", True, id="true is a truth value"),
        pytest.param("'true'", "true", id="what is quoted is text"),
        pytest.param("~", None, id="a tilde is nothing"),
        pytest.param("2027-01-14", date(2027, 1, 14), id="a day is a date"),
        pytest.param("2027-01-14T00:00:00Z", "2027-01-14T00:00:00Z", id="an instant is text"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    parsed, errors = _parse(f"a: {text}")
    assert parsed == {"a": value}
    assert type(parsed["a"]) is type(value)  # type: ignore[index]
    assert errors == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: .nan", "f.yaml:1: .nan is not a number that can be used here", id="not a number"),
        pytest.param("a: 1e999", "f.yaml:1: number '1e999' is out of range", id="a number beyond any float"),
        pytest.param(
            "a: 9223372036854775808",
            "f.yaml:1: number '9223372036854775808' is out of range",
            id="an integer of more than 64 bits",
        ),
        pytest.param("a: !evil x", "f.yaml:1: tag '!evil': tags are not read here", id="a tag"),
        pytest.param("? [a]\n: b", "f.yaml:1: this key is not text; put it in quotes", id="a list as a key"),
        pytest.param("a: @b", "f.yaml:1: is not YAML: text that starts with @ needs quotes", id="a reserved sign"),
        pytest.param("a: \x07", "f.yaml:1: is not YAML: control characters are not allowed", id="a bell"),
    ],
)  # fmt: skip
def test_refused(text: str, expected: str) -> None:
    assert _parse(text)[1] == [expected]


def test_what_cannot_be_used_is_left_out_and_the_rest_is_read() -> None:
    parsed, errors = _parse("a: 1\nb: .inf\nc: [x, *y, z]\na: 2\nd: 3\n")
    assert parsed == {"a": 1, "c": ["x", "z"], "d": 3}
    assert [error.split(": ")[0] for error in errors] == ["f.yaml:2", "f.yaml:3", "f.yaml:4"]


def test_an_alias_bomb_costs_nothing() -> None:
    levels = [f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, 30)]
    parsed, errors = _parse("l0: &l0 x\n" + "\n".join(levels))
    assert len(errors) == 30 + 29
    assert parsed == {"l0": "x", **{f"l{level}": [] for level in range(1, 30)}}


def test_a_value_has_the_line_of_its_key_and_an_item_its_own() -> None:
    node = parse(b"a:\n  b: |\n    text\n  c:\n    - x\n    - y\n", "f.yaml", Findings("f.yaml"))
    assert node is not None
    at_b, at_c = node.get("a", "b"), node.get("a", "c")
    assert at_b is not None
    assert at_c is not None
    assert (at_b.line, at_c.line, [item.line for item in at_c.items]) == (2, 4, [5, 6])
