"""Reading a caller's JSON so that what goes upstream is exactly what was checked."""

from typing import Any

import orjson

from gateway.errors import InvalidJson, InvalidRequest

MAX_DEPTH = 200
LARGEST_INTEGER = 2.0**63


def read_object(body: bytes) -> dict[str, Any]:
    """Parse a request's body.

    Raises:
        InvalidJson: it is not JSON, is nested too deeply, or holds an integer that would not survive unchanged.
        InvalidRequest: it is JSON, but no object.
    """
    if not body.strip():
        raise InvalidJson("The request has no body; send a JSON object with a 'model'.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"The body is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise InvalidRequest("The body must be a JSON object.")
    _check_values(document)
    return document


def _check_values(document: dict[str, Any]) -> None:
    """Refuse what could be read but not written again: absurd depth, and integers beyond 64 bits."""
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            for value in container.values() if isinstance(container, dict) else container:
                kind = type(value)
                if kind is dict or kind is list:
                    below.append(value)
                elif kind is float and not -LARGEST_INTEGER < value < LARGEST_INTEGER:
                    # The parser turns integers beyond 64 bits into floats: the number would change on its way.
                    raise InvalidJson("The body holds a number beyond 64 bits, which cannot be passed on unchanged.")
        if not below:
            return
        level = below
    raise InvalidJson(f"The body is nested deeper than {MAX_DEPTH} levels.")
