"""How alike are two JSON documents, or two sets of tool calls? Each measure lies in [0, 1]. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.learning.evaluation.text_measures import f1

Path = tuple[str | int, ...]
Leaf = tuple[Path, str, Any]
"""Where a value stands, its JSON type (true is not 1), and the value."""

_UNPARSABLE: Final = "unparsable"


class NotJSON(ValueError):
    """A text that is no JSON."""


def parsed(text: str) -> Any:
    """Parse JSON as the application does that reads the answer: a code fence around it is an error.

    Raises:
        NotJSON: for anything else.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotJSON(str(error)) from error


def is_document(text: str) -> bool:
    """Say whether a text is a JSON object or array: a bare number or string is a text that happens to parse."""
    try:
        return isinstance(parsed(text), dict | list)
    except NotJSON:
        return False


def json_f1(reference: str, answer: str) -> float | None:
    """Give the F1 of the fields: leaves that are equal and stand at the same path. 1 only for equal documents.

    An array's elements are told apart by their index, since order can matter; key order and 1 or 1.0 do not. None: the
    reference is no JSON object or array. 0: the answer does not parse.
    """
    if not is_document(reference):
        return None
    try:
        given = parsed(answer)
    except NotJSON:
        return 0.0
    return f1(Counter(_leaves(parsed(reference))), Counter(_leaves(given)))


def calls_tools(message: Mapping[str, Any]) -> bool:
    """Say whether an assistant's message calls a tool, also in the form before tools, ``function_call``."""
    return bool(message.get("tool_calls") or message.get("function_call"))


def calls_f1(reference: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Give the F1 of two messages' tool calls: the same function with equal arguments; ids and order do not count.

    1 where neither calls any.
    """
    return f1(_calls(reference), _calls(answer))


def _calls(message: Mapping[str, Any]) -> Counter[tuple[str, frozenset[Leaf]]]:
    calls = [call.get(call.get("type") or "function") or {} for call in message.get("tool_calls") or ()]
    if message.get("function_call"):
        calls.append(message["function_call"])
    return Counter((str(call.get("name")), _arguments(call)) for call in calls)


def _arguments(call: Mapping[str, Any]) -> frozenset[Leaf]:
    if "input" in call:  # a custom tool's: a text
        return frozenset({((), "str", call["input"])})
    arguments = call.get("arguments") or {}
    if not isinstance(arguments, str):  # some providers send the object itself
        return frozenset(_leaves(arguments))
    try:
        return frozenset(_leaves(parsed(arguments)))
    except NotJSON:
        return frozenset({((), _UNPARSABLE, arguments)})


def _leaves(document: Any) -> list[Leaf]:
    """List a document's leaves; an empty object or array is one. A loop, for nesting may exceed Python's recursion."""
    leaves: list[Leaf] = []
    waiting: list[tuple[Path, Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if value and isinstance(value, dict):
            waiting += [((*path, key), inner) for key, inner in value.items()]
        elif value and isinstance(value, list):
            waiting += [((*path, index), inner) for index, inner in enumerate(value)]
        elif isinstance(value, dict | list):
            leaves.append((path, type(value).__name__, None))
        else:
            leaves.append((path, "number" if type(value) in (int, float) else type(value).__name__, value))
    return leaves
