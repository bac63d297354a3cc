"""What stories of several vendors ask for, and how they look at what came back."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

TOOL_PARAMETERS = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "find_order", "description": "Find it.", "parameters": TOOL_PARAMETERS},
    }
]
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "find_order", "arguments": '{"number": 17}'}}
    ],
}
CONVERSATION = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where is order 17?"},
    CALLED,
    {"role": "tool", "tool_call_id": "call_1", "content": "On its way."},
    {"role": "user", "content": "Thanks. When does it come?"},
]
PNG = "iVBORw0KGgo="
PICTURE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        ],
    }
]


def choice(answer: Any) -> Any:
    """The one choice of a whole answer."""
    (only,) = answer.json()["choices"]
    return only


def finishes(chunks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each finish_reason that a stream names."""
    return [each["finish_reason"] for chunk in chunks for each in chunk["choices"] if each["finish_reason"]]


def tool_calls(chunks: Iterable[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """The calls that a stream makes: name and arguments, put together by their index."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for chunk in chunks:
        for each in chunk["choices"]:
            for call in each["delta"].get("tool_calls") or ():
                names[call["index"]] = names.get(call["index"], "") + (call["function"].get("name") or "")
                part = call["function"].get("arguments") or ""
                arguments[call["index"]] = arguments.get(call["index"], "") + part
    return [(names[index], json.loads(arguments[index])) for index in names]


def counts(row: Any) -> tuple[int, int, int, int, int]:
    """A ledger row's tokens: input, those of it read from a cache and written to one, output, reasoning."""
    return (
        row.input_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
    )
