"""An assistant's message out of an answer, also out of one that came as a stream."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.execution.endpoints.chat import messages_of
from gateway.providers.sse import EventSplitter, data_of

Message = dict[str, Any]


def message_of(answer: Mapping[str, Any]) -> Message | None:
    """Return the first choice's message of a whole answer; None where it says nothing."""
    messages = messages_of(answer)
    return clean(messages[0]) or None if messages else None


def message_of_stream(blocks: Iterable[bytes]) -> Message | None:
    """Return the first choice's message of a streamed answer; None where it says nothing, or cannot be read."""
    splitter = EventSplitter()
    said: Message = {"role": "assistant"}
    calls: dict[int, dict[str, Any]] = {}
    try:
        for block in blocks:
            for event in splitter.feed(block):
                data = data_of(event)
                if data is None or data == b"[DONE]":
                    continue
                for choice in orjson.loads(data).get("choices") or ():
                    if choice.get("index", 0) == 0:
                        _add(choice.get("delta") or {}, said, calls)
        if calls:
            said["tool_calls"] = [calls[index] for index in sorted(calls)]
    except (ValueError, AttributeError, TypeError):
        # No JSON, an event too large, or JSON that is no chunk.
        return None
    return clean(said) or None


def clean(message: Mapping[str, Any]) -> Message:
    """Return what a message says, without what only its provider needs; empty where it says nothing."""
    said = {key: message[key] for key in ("content", "tool_calls", "refusal") if message.get(key)}
    return {"role": "assistant", **said} if said else {}


def _add(delta: Mapping[str, Any], said: Message, calls: dict[int, dict[str, Any]]) -> None:
    for key in ("content", "refusal"):
        if isinstance(delta.get(key), str):
            said[key] = said.get(key, "") + delta[key]
    for part in delta.get("tool_calls") or ():
        call = calls.setdefault(part.get("index", 0), {"id": None, "type": "function", "function": {}})
        call["id"] = part.get("id") or call["id"]
        function = part.get("function") or {}
        for key in ("name", "arguments"):
            if isinstance(function.get(key), str):
                call["function"][key] = call["function"].get(key, "") + function[key]
