"""What makes two requests the same input: the id by which captured rows, recordings and examples are known."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.config.packs import Pack
from gateway.policy.prompts import SYSTEM_ROLES, text_of
from gateway.policy.unicode_forms import composed, without_unseen

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


def question_id(messages: Iterable[Message]) -> str:
    """Return 16 hex digits that name a question more loosely than ``input_id``: for what must not meet its own answer.

    A last assistant message, which is the answer, does not count, nor do the system message and the tools, nor white
    space, case, Unicode's forms, what nobody sees, marks for caches, and the random ids of tool calls.
    """
    said = [message for message in messages if message.get("role") not in SYSTEM_ROLES]
    if said and said[-1].get("role") == "assistant":
        said.pop()
    whole = hashlib.sha256()
    for message in said:
        whole.update(_folded_line(message))
    return whole.hexdigest()[:16]


def questions_of(messages: Iterable[Message]) -> Iterator[str]:
    """Yield the ``question_id`` of everything that a conversation answers: a later turn holds the earlier answers."""
    whole = hashlib.sha256()
    for message in messages:
        if message.get("role") in SYSTEM_ROLES:
            continue
        if message.get("role") == "assistant":
            yield whole.hexdigest()[:16]
        whole.update(_folded_line(message))


def question_ids(pack: Pack) -> frozenset[str]:
    """Return the ids of all questions that a pack's examples answer, in whichever turn."""
    return frozenset(question for example in pack.examples for question in questions_of(example.messages))


def folded(text: str) -> str:
    """Return a text without what does not tell two of them apart: case, white space, Unicode's forms, unseen marks."""
    if not text.isascii():
        # Twice: lower case may be composed anew.
        text = composed(composed(without_unseen(text)).casefold())
    return " ".join(text.casefold().split())


def asked_text(messages: Sequence[Message]) -> str:
    """Return what the last user message says: what similar examples are looked for by."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(dict(message))
    return ""


def _folded_line(message: Message) -> bytes:
    content = message.get("content")
    if isinstance(content, list):
        parts = [{k: v for k, v in part.items() if k != "cache_control"} for part in content if isinstance(part, dict)]
        message = {**message, "content": parts if len(parts) == len(content) else content}
    return orjson.dumps(_folded(_said(message)), option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return folded(value)
    if isinstance(value, list):
        return [_folded(item) for item in value]
    if isinstance(value, dict):
        return {key: _folded(item) for key, item in value.items() if key not in ("id", "tool_call_id")}
    return value


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
