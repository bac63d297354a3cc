"""The messages of a chat, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.sandbox.refusals import invalid_type, invalid_value, missing_parameter, openai_error

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_IMAGES = ("image_url", "input_image")


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``text`` joins the text parts of its content."""

    role: str
    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    images: int = 0


def parse_messages(raw: Any) -> tuple[Message, ...]:
    """Return the messages of a chat request.

    Raises:
        ProviderError: a 400 that names the one that is wrong.

    """
    if raw is None:
        raise missing_parameter("messages")
    if not isinstance(raw, list):
        raise invalid_type("messages", "an array of objects", raw)
    if not raw:
        raise openai_error(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            code="empty_array",
            param="messages",
        )
    messages = tuple(_message(item, f"messages[{index}]") for index, item in enumerate(raw))
    _check_calls(raw)
    return messages


def content_of(content: Any, where: str) -> tuple[str, int]:
    """Return the text of a message's content, in either API's parts, and how many images it holds."""
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise invalid_type(where, "one of a string or an array of objects", content)
    texts = [str(part.get("text") or part.get("refusal") or "") for part in content]
    return "\n".join(text for text in texts if text), sum(part.get("type") in _IMAGES for part in content)


def check_role(role: Any, roles: Sequence[str], where: str) -> None:
    """Refuse a role that is none."""
    if role is None:
        raise missing_parameter(where)
    if role not in roles:
        allowed = ", ".join(f"'{name}'" for name in roles[:-1])
        raise invalid_value(where, f"Invalid value: '{role}'. Supported values are: {allowed}, and '{roles[-1]}'.")


def _message(raw: Any, where: str) -> Message:
    if not isinstance(raw, dict):
        raise invalid_type(where, "an object", raw)
    role = raw.get("role")
    check_role(role, ROLES, f"{where}.role")
    tool_calls = raw.get("tool_calls") or []
    if not isinstance(tool_calls, list) or not all(isinstance(call, dict) for call in tool_calls):
        raise invalid_type(f"{where}.tool_calls", "an array of objects", tool_calls)
    content = raw.get("content")
    if content is None:
        if role != "assistant":
            raise invalid_type(f"{where}.content", "a string or an array of objects", None)
        return Message(role, "", tuple(tool_calls))
    text, images = content_of(content, f"{where}.content")
    return Message(str(role), text, tuple(tool_calls), images)


def _check_calls(raw_messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse an answer to a tool call that nobody made, and a call that the next messages do not answer."""
    called: set[str] = set()
    answered: set[str] = set()
    for index, message in enumerate(raw_messages):
        if message["role"] == "tool":
            call_id = str(message.get("tool_call_id"))
            if call_id not in called:
                raise openai_error(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    param=f"messages.[{index}].role",
                )
            answered.add(call_id)
            continue
        _check_answered(called, answered, index)
        called, answered = {str(call.get("id")) for call in message.get("tool_calls") or []}, set()
    _check_answered(called, answered, len(raw_messages))


def _check_answered(called: set[str], answered: set[str], index: int) -> None:
    if left := sorted(called - answered):
        raise openai_error(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(left)}",
            param=f"messages.[{index}].role",
        )
