"""JSON of one line of a training file, without what parsers silently mend: equal keys, NaN, numbers that change."""

import json
import math
from typing import Any, NoReturn

import orjson

from gateway.config.findings import quoted

MAX_DEPTH = 64


class Refused(ValueError):
    """A row cannot be used; the message ends a sentence that begins with the row."""


def read_object(line: bytes) -> dict[str, Any]:
    """Return the object that a line is.

    Raises:
        Refused: it is none, or one that could not be written again as it was read.
    """
    if line.startswith(b"\xef\xbb\xbf"):
        raise Refused("begins with a byte order mark, as files have that were joined: remove it")
    try:
        value = _DECODER.decode(line.decode())
    except Refused:
        raise
    except UnicodeDecodeError as error:
        raise Refused(f"is not UTF-8 (byte {error.start + 1}): save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise Refused(f"is not a line of JSON (column {error.colno}: {error.msg})") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise Refused("is no JSON object: each line is one row, {…}")
    _check_depth(value)
    try:
        orjson.dumps(value)
    except TypeError:
        raise Refused("holds half of a surrogate pair (\\ud800 to \\udfff alone), which is no character") from None
    return value


def _check_depth(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        items = (item for box in level for item in (box.values() if isinstance(box, dict) else box))
        level = [item for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Refused:
    return Refused(f"is nested deeper than {MAX_DEPTH} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refused(f"has the key {quoted(twice)} twice in one object: which one is meant?")
    return built


def _constant(written: str) -> NoReturn:
    raise Refused(f"holds {written}, which is not JSON: use a number or null")


def _float(written: str) -> float:
    if not math.isfinite(value := float(written)):
        raise Refused("holds a number that is too large")
    return value


def _int(written: str) -> int:
    # Not int() first: Python refuses to read thousands of digits.
    if len(written) > 20 or not -(2**63) <= (value := int(written)) < 2**63:
        raise Refused("holds a whole number beyond 64 bits, which would change on its way: write it as a text")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)
