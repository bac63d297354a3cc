import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.json_guard import MAX_DEPTH, read_object
from gateway.errors import GatewayError, InvalidJson, InvalidRequest


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    """Return an object that holds others, ``levels`` deep in all."""
    return (opening * levels + "1" + closing * levels).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" \n\t", id="white space"),
        pytest.param(b"{", id="half an object"),
        pytest.param(b'{"a": 1,}', id="a trailing comma"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": Infinity}', id="Infinity"),
        pytest.param(b'{"a": -Infinity}', id="-Infinity"),
        pytest.param(b'{"a": "\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"a": "\\ud800"}', id="half a surrogate pair"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', id="a byte order mark"),
        pytest.param(b'{"a": 1} {"a": 2}', id="two objects"),
        pytest.param(b'{"a": 18446744073709551616}', id="an integer of 65 bits"),
        pytest.param(b'{"a": -9223372036854775809}', id="a negative integer of 65 bits"),
        pytest.param(b'{"a": [[{"b": 99999999999999999999}]]}', id="an integer beyond 64 bits, deep within"),
        pytest.param(nested(MAX_DEPTH + 1), id="one level too deep"),
        pytest.param(nested(100_000), id="absurdly deep objects"),
        pytest.param(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="absurdly deep lists"),
        pytest.param(b'{"a":' + b"[" * 100_000, id="absurdly deep, and never closed"),
    ],
)
def test_what_is_no_json_that_could_be_passed_on(body: bytes) -> None:
    with pytest.raises(InvalidJson) as raised:
        read_object(body)
    assert raised.value.status == 400
    assert len(raised.value.message) < 300


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"7", id="a number"),
    ],
)
def test_json_that_is_no_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_object(body)


@pytest.mark.parametrize(
    ("body", "document"),
    [
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="of duplicate keys the last: and so does the provider"),
        pytest.param(b'{"a": 18446744073709551615}', {"a": 2**64 - 1}, id="the largest integer"),
        pytest.param(b'{"a": -9223372036854775808}', {"a": -(2**63)}, id="the smallest integer"),
        pytest.param(b'{"a": 0.7}', {"a": 0.7}, id="a temperature"),
        pytest.param(b'{"a": "\\ud83d\\ude42"}', {"a": "🙂"}, id="an emoji in two halves"),
        pytest.param(b" {} ", {}, id="white space around"),
    ],
)
def test_what_is_read(body: bytes, document: dict[str, Any]) -> None:
    assert read_object(body) == document


def test_the_deepest_that_is_taken_can_be_written_again() -> None:
    assert orjson.dumps(read_object(nested(MAX_DEPTH))) == nested(MAX_DEPTH)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6))
def test_whatever_passes_is_written_again_as_it_came(document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    try:
        read = read_object(body)
    except GatewayError:
        return
    assert json.loads(orjson.dumps(read)) == document


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else(body: bytes) -> None:
    try:
        document = read_object(body)
    except GatewayError:
        return
    assert isinstance(document, dict)


@given(st.text(alphabet='{}[]",:0123456789.-eE\\untrfalse ', max_size=60))
def test_nor_does_almost_json(text: str) -> None:
    try:
        document = read_object(text.encode())
    except GatewayError:
        return
    assert json.loads(orjson.dumps(document)) == json.loads(text)
