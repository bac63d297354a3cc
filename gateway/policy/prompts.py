"""A fallback's prompt, rendered into messages. Pure; what can be built once is built once."""

from collections.abc import Sequence
from typing import Any

from gateway.config.routes import Prompt

Message = dict[str, Any]
SYSTEM_ROLES = frozenset(("system", "developer"))


def prefix(prompt: Prompt, fixed: Sequence[Message] = ()) -> tuple[Message, ...]:
    """Render what stands before the caller's messages: instructions, then the fixed examples; byte-stable.

    ``fixed`` are the messages of its pack. Nothing in them is a template: what looks like one stays as it is.
    """
    messages: list[Message] = []
    if prompt.instructions:
        messages.append({"role": "system", "content": prompt.instructions})
    for example in prompt.examples:
        messages.append({"role": "user", "content": example.user})
        messages.append({"role": "assistant", "content": example.assistant})
    return (*messages, *fixed)


def with_prompt(
    prompt: Prompt, rendered: Sequence[Message], messages: Sequence[Message], similar: Sequence[Message] = ()
) -> list[Message]:
    """Return the caller's messages behind the prompt, their system messages kept or replaced as the prompt says.

    ``similar`` examples go between the two, so that what is the same in every request comes first.
    """
    if prompt.caller_system == "keep" or not prompt.instructions:
        return [*rendered, *similar, *messages]
    if prompt.caller_system == "replace":
        return [*rendered, *similar, *(m for m in messages if m.get("role") not in SYSTEM_ROLES)]
    return [*rendered, *similar, *(m for m in messages if not _is_trained(prompt, m))]


def with_instructions(prompt: Prompt, examples: Sequence[Message], body: dict[str, Any]) -> None:
    """Put the prompt into a request of the Responses API, at its top level only.

    Instructions go before the caller's own. Examples, in words alone, go before the input, unless it continues a stored
    response: they are stored with its beginning, while instructions are not.
    """
    own = body.get("instructions")
    if own and prompt.instructions and _is_replaced(prompt, own):
        own = None
    if prompt.instructions:
        body["instructions"] = f"{prompt.instructions}\n\n{own}" if own else prompt.instructions
    given = body.get("input")
    if isinstance(given, list) and prompt.instructions:
        given = body["input"] = [item for item in given if not _leaves(prompt, item)]
    if examples and not body.get("previous_response_id") and given is not None:
        said = given if isinstance(given, list) else [{"role": "user", "content": given}]
        body["input"] = [*examples, *said]


def _leaves(prompt: Prompt, item: object) -> bool:
    """Tell whether an item is a system message that the prompt replaces."""
    return isinstance(item, dict) and item.get("role") in SYSTEM_ROLES and _is_replaced(prompt, text_of(item))


def _is_replaced(prompt: Prompt, said: str) -> bool:
    if prompt.caller_system == "replace_if_trained":
        return _is_known(prompt, said)
    return prompt.caller_system == "replace"


def _is_trained(prompt: Prompt, message: Message) -> bool:
    """Tell whether this is a system message the fine-tune was trained with, white space aside."""
    return message.get("role") in SYSTEM_ROLES and _is_known(prompt, text_of(message))


def _is_known(prompt: Prompt, said: str) -> bool:
    words = " ".join(said.split())
    return any(words == " ".join(known.split()) for known in prompt.trained_system)


def text_of(message: Message) -> str:
    """Return a message's text; of a list of parts, the text parts joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
