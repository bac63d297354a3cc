from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.yaml_source import Node, plain
from gateway.errors import ConfigError
from gateway.lifecycle.litellm_yaml import MAX_DEPTH, read_yaml


def read(text: str | bytes, directory: Path) -> Node:
    path = directory / "config.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(path, "config.yaml").root


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}, id="an alias is what it stands for"),
        pytest.param("a: &x v\nc: [*x, *x]", {"a": "v", "c": ["v", "v"]}, id="a scalar's alias"),
        pytest.param("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}, id="<<"),
        pytest.param("d: {<<: [{b: 1}, {b: 2, c: 3}]}", {"d": {"b": 1, "c": 3}}, id="of several << the first holds"),
        pytest.param("a: &x 1\na: 2", {"a": 2}, id="of a key twice the last holds"),
        pytest.param(
            "a: [yes, Off, null, ~, 010, 0x10, 1_000]", {"a": [True, False, None, None, 8, 16, 1000]}, id="1.1"
        ),
        pytest.param(
            "a: [1.5e-07, .5, 3e-7, .inf]", {"a": [Decimal("1.5E-7"), Decimal("0.5"), "3e-7", ".inf"]}, id="numbers"
        ),
        pytest.param("a: [2024-10-21, 2024-13-45]", {"a": ["2024-10-21", "2024-13-45"]}, id="days stay text"),
        pytest.param("a: ['1', \"yes\", !!str 5]", {"a": ["1", "yes", "5"]}, id="quoted text stays text"),
        pytest.param("5: a\nnull: b", {"5": "a", "none": "b"}, id="keys are text"),
        pytest.param(f"a: {'9' * 6000}", {"a": "9" * 6000}, id="a number that nobody can hold"),
        pytest.param("\ufeffa: 1", {"a": 1}, id="a byte order mark"),
    ],
)
def test_it_is_read_as_litellm_reads_it(text: str, value: object, tmp_path: Path) -> None:
    assert plain(read(text, tmp_path)) == value


def test_every_value_knows_its_line(tmp_path: Path) -> None:
    root = read("a:\n  - b: 1\n    c: &x\n      d: 2\ne:\n  <<: *x\n  f: *x\n", tmp_path)
    first = (root.get("a") or root).items[0]
    found = [first.get("b"), first.get("c", "d"), root.get("e"), root.get("e", "f")]
    assert [node.line for node in found if node] == [2, 4, 5, 7]


def test_a_key_that_is_written_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\nb: {c: 1,\n  c: 2}\na: 3\n")
    assert [node.line for node in read_yaml(path, "config.yaml").twice] == [3, 4]


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20)
)
LADDER = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 1000))
MERGES = "a0: &a0 {k0: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: 1}}\n" for i in range(1, 3000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: [b", "config.yaml:1: is not YAML", id="a list that does not end"),
        pytest.param("a: 1\n\tb: 2", "config.yaml:2: is not YAML", id="a tab"),
        pytest.param("api_key: 'sk-secret-1\n", "config.yaml:1: is not YAML", id="a key in text that does not end"),
        pytest.param("- a", "config.yaml:1: is not a mapping", id="a list"),
        pytest.param("", "config.yaml:1: is not a mapping", id="nothing"),
        pytest.param("a: 1\n---\nb: 1", "config.yaml:2: a second document", id="two documents"),
        pytest.param("a: !!python/object:os.system x", "config.yaml:1: tags are not read", id="a tag"),
        pytest.param("a: !!python/object {}", "config.yaml:1: tags are not read", id="a mapping's tag"),
        pytest.param("a: *b", "config.yaml:1: an alias stands for nothing", id="an alias of nothing"),
        pytest.param("a: &a [*a]", "config.yaml:1: an alias stands for nothing", id="an alias within itself"),
        pytest.param("a: {<<: 5}", "config.yaml:1: << merges mappings only", id="a merge of a number"),
        pytest.param("a: {<<: [5]}", "config.yaml:1: << merges mappings only", id="a merge of numbers"),
        pytest.param("? [a]\n: b", "config.yaml:1: a key is a list or a mapping", id="a list as a key"),
        pytest.param('a: "\\ud800"', "config.yaml:1: ", id="half a pair"),
        pytest.param("[" * 1000, f"config.yaml:1: is nested deeper than {MAX_DEPTH}", id="depth"),
        pytest.param(LADDER, f"is nested deeper than {MAX_DEPTH}", id="depth by aliases"),
        pytest.param(LAUGHS, "holds more than 200,000 values, aliases written out", id="a billion laughs"),
        pytest.param(MERGES, "holds more than 200,000 values, aliases written out", id="merges of merges"),
        pytest.param("a: " + "x" * 1_100_000, "is larger than 1 MiB", id="size"),
        pytest.param(b"a: 1\nb: \xff", "config.yaml:2: is not UTF-8", id="bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line_and_never_repeated(
    text: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text, tmp_path)
    assert message in str(refused.value)
    assert "sk-secret" not in str(refused.value)


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.yaml", tmp_path / "nul\0"):
        with pytest.raises(ConfigError, match=r"^x\.yaml cannot be read"):
            read_yaml(path, "x.yaml")
