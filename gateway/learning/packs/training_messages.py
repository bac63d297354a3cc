"""What a message of a training row may be: OpenAI's chat messages, without what models no longer take."""

from typing import Any

from gateway.config.findings import quoted
from gateway.learning.packs.training_json import Refused

_ROLES = ("system", "developer", "user", "assistant", "tool")
SYSTEM_ROLES = ("system", "developer")
_PARTS = ("text", "refusal", "image_url", "image", "input_audio", "file")


def check_message(message: dict[str, Any], name: str) -> None:
    """Refuse a message that is none; ``name`` is what it is called in what is told.

    Raises:
        Refused: its role, content, parts, calls or weight cannot be used.
    """
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if role not in _ROLES:
        shown = quoted(role) if isinstance(role, str) else "none"
        raise Refused(f"{name} has the role {shown}: use one of {', '.join(_ROLES)}")
    if not isinstance(message.get("name", ""), str | None):
        raise Refused(f"{name} has a name that is no text")
    if "function_call" in message:
        raise Refused(f"{name} has function_call, which models no longer take: write it as tool_calls")
    if "weight" in message and (isinstance(message["weight"], bool) or message["weight"] not in (0, 1)):
        raise Refused(f"{name} has a weight that is neither 0 nor 1")
    if calls is not None and (role != "assistant" or not isinstance(calls, list) or not all(map(_is_call, calls))):
        raise Refused(
            f"{name} has tool_calls that are no calls of an assistant: each needs a function's name and arguments"
        )
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise Refused(f"{name} has no tool_call_id: it answers no call")
    if isinstance(content, list):
        for part in content:
            _check_part(part, name, only_text=role in SYSTEM_ROLES)
    elif not isinstance(content, str) and not (content is None and role == "assistant"):
        raise Refused(f"{name} has content that is neither text nor a list of parts")


def _check_part(part: Any, name: str, *, only_text: bool) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in (("text",) if only_text else _PARTS):
        shown = quoted(kind) if isinstance(kind, str) else "without a type"
        raise Refused(f"{name} has a part {shown}: use {'text' if only_text else ', '.join(_PARTS)}")
    if kind in ("text", "refusal") and not isinstance(part.get(kind), str):
        raise Refused(f"{name} has a part of {kind} without its text")


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and all(isinstance(function.get(key), str) for key in ("name", "arguments"))


def text_of(content: Any) -> str:
    """Return a checked message's text: its parts of text joined; nothing where it has none."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if part["type"] == "text")
