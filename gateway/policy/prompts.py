"""A fallback's prompt, rendered into messages. Pure; what can be built once is built once."""

from collections.abc import Sequence
from typing import Any

from gateway.config.routes import Prompt

Message = dict[str, Any]
SYSTEM_ROLES = frozenset(("system", "developer"))


def prefix(prompt: Prompt) -> tuple[Message, ...]:
    """Render what stands before the caller's messages: instructions, then the fixed examples; byte-stable."""
    messages: list[Message] = []
    if prompt.instructions:
        messages.append({"role": "system", "content": prompt.instructions})
    for example in prompt.examples:
        messages.append({"role": "user", "content": example.user})
        messages.append({"role": "assistant", "content": example.assistant})
    return tuple(messages)


def with_prompt(prompt: Prompt, rendered: Sequence[Message], messages: Sequence[Message]) -> list[Message]:
    """Return the caller's messages behind the prompt, their system messages kept or replaced as the prompt says."""
    if prompt.caller_system == "keep" or not prompt.instructions:
        return [*rendered, *messages]
    if prompt.caller_system == "replace":
        return [*rendered, *(m for m in messages if m.get("role") not in SYSTEM_ROLES)]
    return [*rendered, *(m for m in messages if not _is_trained(prompt, m))]


def _is_trained(prompt: Prompt, message: Message) -> bool:
    """Tell whether this is a system message the fine-tune was trained with, white space aside."""
    if message.get("role") not in SYSTEM_ROLES:
        return False
    said = " ".join(text_of(message).split())
    return any(said == " ".join(known.split()) for known in prompt.trained_system)


def text_of(message: Message) -> str:
    """Return a message's text; of a list of parts, the text parts joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
