"""What makes two requests the same input: the id by which captured rows, recordings and examples are known."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.policy.prompts import SYSTEM_ROLES, text_of

Message = Mapping[str, Any]


def input_id(messages: Iterable[Message], tools: Sequence[Any] | None = None) -> str:
    """Return 16 hex digits that name what was asked: every message but the system's, and the tools.

    White space at the ends and runs of it do not count, nor does the system message, which another target replaces, nor
    whether a text comes in parts. Of a message that is no text alone everything counts. Rows that differ only so are
    one input: one is held out, or recorded, or captured for both.
    """
    said: list[Any] = [_said(message) for message in messages if message.get("role") not in SYSTEM_ROLES]
    if tools:
        said.append({"tools": list(tools)})
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def asked_text(messages: Sequence[Message]) -> str:
    """Return what the last user message says: what similar examples are looked for by."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(dict(message))
    return ""


def _said(message: Message) -> Any:
    content = message.get("content")
    if isinstance(content, list) and content and all(map(_is_text, content)):
        content = text_of(dict(message))
    rest = {
        key: value for key, value in message.items() if key not in ("content", "role", "name") and value is not None
    }
    plain = " ".join(content.split()) if isinstance(content, str) else content
    return [message.get("role"), plain, rest] if rest else [message.get("role"), plain]


def _is_text(part: object) -> bool:
    return (
        isinstance(part, dict)
        and part.keys() == {"type", "text"}
        and part["type"] == "text"
        and isinstance(part["text"], str)
    )
