"""A conversation as a person reads it: what was said, in order, the last of it open, and within bounds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from gateway.config.findings import printable
from gateway.policy.prompts import text_of

MOST_WEIGHT: Final = 16_384
"""Bytes that a conversation may take on the page; the last messages have them first."""
MOST_ANSWER_WEIGHT: Final = 6_144
AT_ONCE: Final = 1_200
"""Characters of a text that are read without a click."""
OPEN_TURNS: Final = 6
"""The last messages of a conversation, which are not folded."""
WORDS_CHARS: Final = 120
ROLES: Final[Mapping[str, str]] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool result",
    "function": "tool result",
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, as far as it is shown."""

    open: str
    folded: str = ""
    left_out: int = 0
    """Characters for which there is no room."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that was called."""

    name: str
    arguments: Passage


@dataclass(frozen=True, slots=True)
class Turn:
    """One message."""

    role: str
    text: Passage | None
    """None: it says nothing."""
    calls: tuple[Call, ...]
    others: tuple[str, ...]
    """What it holds that is no text, such as ``image_url``."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was asked."""

    folded: tuple[Turn, ...]
    """The earlier part of it."""
    open: tuple[Turn, ...]
    left_out: int
    """Messages before those, for which there is no room."""
    tools: tuple[str, ...]
    """The names of the tools that were offered."""


class Room:
    """What is left of a number of bytes on a page."""

    def __init__(self, weight: int) -> None:
        self._left = weight

    @property
    def is_full(self) -> bool:
        """Whether nothing fits any more."""
        return self._left <= 0

    def passage(self, text: str, at_once: int = AT_ONCE) -> Passage:
        """Take room for a text, or for its beginning."""
        said = _fitting(visible(text), self._left)
        self._left -= weight_of(said)
        left_out = len(visible(text)) - len(said)
        if len(said) <= at_once + at_once // 4:
            return Passage(said, "", left_out)
        return Passage(said[:at_once], said[at_once:], left_out)


def conversation_of(request: Mapping[str, Any]) -> Conversation:
    """Return what was asked, of ``{"messages": […], "tools": […]}``."""
    messages = messages_of(request)
    room, turns = Room(MOST_WEIGHT), []
    for message in reversed(messages):
        if room.is_full:
            break
        turns.append(turn_of(message, room))
    turns.reverse()
    split = max(0, len(turns) - OPEN_TURNS)
    return Conversation(
        tuple(turns[:split]), tuple(turns[split:]), len(messages) - len(turns), tuple(map(visible, offered(request)))
    )


def messages_of(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the messages of a request, whatever its caller sent as such."""
    messages = request.get("messages")
    return [message for message in messages if isinstance(message, Mapping)] if isinstance(messages, list) else []


def turn_of(message: Mapping[str, Any], room: Room) -> Turn:
    """Return one message."""
    role = str(message.get("role"))
    text = text_of(dict(message))
    calls = tuple(Call(visible(name)[:100], room.passage(written)) for name, written in _calls(message))
    parts = message.get("content")
    kinds = [part.get("type") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    others = tuple(visible(str(kind))[:40] for kind in kinds if kind != "text")
    return Turn(ROLES.get(role, visible(role)[:40]), room.passage(text) if text else None, calls, others)


def offered(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the tools that were offered."""
    tools = request.get("tools")
    functions = [tool.get("function") for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    return tuple(
        str(function["name"]) for function in functions if isinstance(function, Mapping) and "name" in function
    )


def first_words(message: Mapping[str, Any]) -> str:
    """Return how a message begins, on one line; of one that only calls tools, which."""
    text = " ".join(text_of(dict(message))[: 4 * WORDS_CHARS].split())
    if not text:
        names = [name for name, _ in _calls(message)]
        text = f"calls {', '.join(names)}" if names else ""
    said = visible(text)
    return said if len(said) <= WORDS_CHARS else f"{said[: WORDS_CHARS - 1]}…"


def visible(text: str) -> str:
    """Return a text with what cannot be seen escaped, but for its lines and tabs."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def weight_of(text: str) -> int:
    """Return how many bytes a text takes in a page."""
    return len(escape(text).encode("utf-8", "replace"))


def indented(written: str) -> str:
    """Return JSON with a line for each field; what is none stays as it is."""
    try:
        return json.dumps(json.loads(written), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return written


def _calls(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    calls = message.get("tool_calls")
    functions: Sequence[Any] = (
        [call.get("function") for call in calls or () if isinstance(call, Mapping)] if isinstance(calls, list) else ()
    )
    for function in (*functions, message.get("function_call")):
        if isinstance(function, Mapping):
            written = function.get("arguments")
            yield str(function.get("name")), indented(written) if isinstance(written, str) else str(written)


def _fitting(text: str, weight: int) -> str:
    """Return as much of a text's beginning as takes no more than so many bytes."""
    if weight <= 0:
        return ""
    text = text[:weight]
    while (heavy := weight_of(text)) > weight:
        text = text[: min(len(text) - 1, len(text) * weight // heavy)]
    return text
