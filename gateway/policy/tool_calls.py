"""Ids of tool calls in replayed history: each provider has its own idea of what they look like. Pure.

An id that a target would refuse becomes another one, always the same for the same id, so that a call and its result
still belong together, in this request and in the next, on the way to one target and back to another.
"""

import re
from collections.abc import Mapping
from hashlib import blake2s
from typing import Any, Final, Literal

Form = Literal["at_most_40", "at_most_64", "at_most_64_word_characters", "nine_alphanumerics"]
"""What a provider's ids look like; rows of the capabilities table name one."""

_FORMS: Final[Mapping[Form, tuple[re.Pattern[str], str, int]]] = {
    "at_most_40": (re.compile(r".{1,40}", re.DOTALL), "call_", 24),
    "at_most_64": (re.compile(r".{1,64}", re.DOTALL), "call_", 24),
    "at_most_64_word_characters": (re.compile(r"[a-zA-Z0-9_-]{1,64}"), "call_", 24),
    "nine_alphanumerics": (re.compile(r"[a-zA-Z0-9]{9}"), "", 9),
}


def fitting(id_: str, form: Form) -> str:
    """Return an id in a provider's form: itself where it fits."""
    pattern, prefix, length = _FORMS[form]
    if pattern.fullmatch(id_):
        return id_
    return prefix + blake2s(id_.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()[:length]


def map_messages(messages: list[Any], form: Form) -> list[Any]:
    """Return chat messages whose tool-call ids fit; the very list where all of them do."""
    mapped = [_mapped_message(message, form) for message in messages]
    return mapped if any(new is not old for new, old in zip(mapped, messages, strict=True)) else messages


def map_items(items: list[Any], form: Form) -> list[Any]:
    """Return items of the Responses API whose call ids fit; the very list where all of them do."""
    mapped = [_with_id(item, "call_id", form) if isinstance(item, dict) else item for item in items]
    return mapped if any(new is not old for new, old in zip(mapped, items, strict=True)) else items


def _mapped_message(message: Any, form: Form) -> Any:
    if not isinstance(message, dict):
        return message
    message = _with_id(message, "tool_call_id", form)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        fitted = [_with_id(call, "id", form) if isinstance(call, dict) else call for call in calls]
        if any(new is not old for new, old in zip(fitted, calls, strict=True)):
            return {**message, "tool_calls": fitted}
    return message


def _with_id(holder: dict[str, Any], name: str, form: Form) -> dict[str, Any]:
    id_ = holder.get(name)
    if not isinstance(id_, str) or (fitted := fitting(id_, form)) == id_:
        return holder
    return {**holder, name: fitted}
