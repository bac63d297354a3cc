"""What a request asks of a model, as words of a closed list: what tells who can answer it. Pure."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from gateway.config.request_words import (
    OPENAI_PARAMETERS,
    OTHER_PARAMETERS,
    PARAMETERS,
    REASONING_FIELDS,
    RESPONSE_PARAMETERS,
    UNLISTED,
    WORDS,
)

__all__ = [
    "OPENAI_PARAMETERS",
    "OTHER_PARAMETERS",
    "PARAMETERS",
    "REASONING_FIELDS",
    "RESPONSE_PARAMETERS",
    "UNLISTED",
    "WORDS",
    "joined",
    "traits_of",
    "words_of",
    "words_of_response",
]

_ALWAYS: Final = frozenset(("model", "messages", "input"))
_PARTS: Final[Mapping[str, str]] = {
    "file": "file",
    "image_url": "image",
    "input_audio": "audio_input",
    "input_file": "file",
    "input_image": "image",
    "video_url": "video",
}
_OWN_TOOLS: Final = frozenset(("custom", "function", "namespace"))
"""Kinds of tools of the Responses API that the caller runs itself; all others run at the provider."""
_ROLES: Final[Mapping[str, str]] = {
    "developer": "developer_message",
    "function": "tool_messages",
    "tool": "tool_messages",
}
_PLAIN_ROLES: Final = frozenset(("assistant", "system", "user"))
_MAY_BE_EMPTY: Final = ("functions", "logit_bias", "stop", "web_search_options")
_TELLING: Final = frozenset(("logprobs", "n", "parallel_tool_calls", "response_format", *_MAY_BE_EMPTY))
"""Parameters whose values tell more than their names."""
_FORMATS: Final = ("json_object", "json_schema")


def words_of(body: Mapping[str, Any]) -> frozenset[str]:
    """Return what a request's body asks for.

    A parameter counts where it is given, whatever its value, but for null, ``stream: false`` and ``logprobs: false``.
    Takes any body, and never raises: what is of the wrong type asks for nothing. Messages are looked into only where
    they are more than a role and a text.
    """
    words = PARAMETERS.intersection(body)
    if len(words) != len(body) - 2 or None in body.values():
        words = _given(body, PARAMETERS)
    if body.get("stream") is False:
        words -= {"stream"}
    # Nearly every request ends here: plain text, and parameters whose names say it all.
    try:
        messages = body["messages"]
        for message in messages:
            if message.get("content").__class__ is not str or message["role"] not in _PLAIN_ROLES or len(message) > 2:
                words |= _held_by_messages(messages)
                break
        if messages[-1]["role"] == "assistant":
            words |= {"prefill"}
    except (AttributeError, IndexError, KeyError, TypeError):
        pass
    return words if words.isdisjoint(_TELLING) else _by_values(words, body)


def words_of_response(body: Mapping[str, Any]) -> frozenset[str]:
    """Return what a body of the Responses API asks for, with ``words_of``'s words where the two mean the same."""
    words = set(_given(body, RESPONSE_PARAMETERS))
    if body.get("stream") is False:
        words.discard("stream")
    given, tools, text = body.get("input"), body.get("tools"), body.get("text")
    for item in given if isinstance(given, list) else ():
        if isinstance(item, dict):
            words |= _held_by_item(item)
    kinds = {tool.get("type") for tool in tools if isinstance(tool, dict)} if isinstance(tools, list) else set()
    if any(isinstance(kind, str) and kind not in _OWN_TOOLS for kind in kinds):
        words.add("hosted_tools")
    wanted = text.get("format") if isinstance(text, dict) else None
    return _by_values(frozenset(words), {**body, "response_format": wanted})


def traits_of(body: Mapping[str, Any]) -> str:
    """Return the words of a chat request's body, joined."""
    return joined(words_of(body))


@lru_cache(maxsize=1024)
def joined(words: frozenset[str]) -> str:
    """Return sorted words joined by commas; empty where nothing special is asked for."""
    return ",".join(sorted(words))


def _given(body: Mapping[str, Any], known: frozenset[str]) -> frozenset[str]:
    """Return the words for names of parameters, where some are null or on no list."""
    names = {name for name, value in body.items() if value is not None} - _ALWAYS
    return frozenset(names & known | ({UNLISTED} if names - known else set()))


def _held_by_messages(messages: Sequence[Mapping[str, Any]]) -> set[str]:
    held: set[str] = set()
    for message in messages:
        content, role = message.get("content"), message["role"]
        if role in _ROLES:
            held.add(_ROLES[role])
        if message.get("tool_calls"):
            held.add("tool_messages")
        if not REASONING_FIELDS.isdisjoint(message):
            held.add("reasoning_history")
        if "parsed" in message:
            held.add("parsed_history")
        held |= _held_by_parts(content)
    return held


def _held_by_item(item: Mapping[str, Any]) -> set[str]:
    kind = item.get("type", "message")
    if kind == "reasoning":
        return {"reasoning_history"}
    if kind in ("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"):
        return {"tool_messages"} | _held_by_parts(item.get("output"))
    return _held_by_parts(item.get("content")) | ({"developer_message"} if item.get("role") == "developer" else set())


def _held_by_parts(content: object) -> set[str]:
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    kinds = [part.get("type") for part in parts]
    held = {word for kind, word in _PARTS.items() if kind in kinds}
    if "image" in held and any(_is_remote(part.get("image_url")) for part in parts):
        held.add("remote_image")
    return held | {"parsed_history"} if any("parsed" in part for part in parts) else held


def _is_remote(image: object) -> bool:
    """Tell whether an image is only named by its address, which its provider would have to fetch."""
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url[:5].lower() != "data:"


def _by_values(words: frozenset[str], body: Mapping[str, Any]) -> frozenset[str]:
    held, count, wanted = set(words), body.get("n"), body.get("response_format")
    if isinstance(count, int) and count > 1:
        held.add("many_choices")
    if isinstance(wanted, dict) and (kind := wanted.get("type")) in _FORMATS:
        held.add(kind)
    if body.get("logprobs") is False:
        held.discard("logprobs")
    held.difference_update(name for name in _MAY_BE_EMPTY if body.get(name) in ({}, [], ""))
    if body.get("parallel_tool_calls") is False:
        held.add("one_call_at_a_time")
    return frozenset(held)
