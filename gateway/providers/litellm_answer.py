"""What litellm answers, brought the rest of the way to OpenAI's format. Pure; never imports litellm."""

from collections.abc import Mapping
from typing import Any


def as_answer(content: dict[str, Any], *, bridged: bool = False) -> dict[str, Any]:
    """Mend a whole answer; ``bridged``: a response that was made from a chat completion, which nobody stores."""
    _drop_cost(content)
    if bridged:
        content["store"] = False
    for choice in content.get("choices", ()):
        if isinstance(choice.get("message"), dict):
            # Required, and null where there are only tool calls.
            choice["message"].setdefault("content", None)
    return content


def as_chunk(chunk: dict[str, Any]) -> dict[str, Any]:
    """Mend one event of a completion: the count comes by itself, and a choice that goes on says so."""
    counts = _drop_cost(chunk)
    if counts and not any(map(_says_something, chunk.get("choices", ()))):
        chunk["choices"] = []
    for choice in chunk.get("choices", ()):
        choice.setdefault("finish_reason", None)
    return chunk


def as_response_event(event: dict[str, Any], number: int, *, bridged: bool) -> dict[str, Any]:
    """Mend one event of a response; litellm's bridge numbers only some of its own."""
    response = event.get("response")
    if isinstance(response, dict):
        as_answer(response, bridged=bridged)
    if bridged:
        event["sequence_number"] = number
    return event


def _drop_cost(content: Mapping[str, Any]) -> bool:
    """Tell whether an answer has a count, and take litellm's own estimate of the price off it: the ledger prices."""
    usage = content.get("usage")
    if not isinstance(usage, dict):
        return False
    usage.pop("cost", None)
    return True


def _says_something(choice: Mapping[str, Any]) -> bool:
    return bool(choice.get("finish_reason") or choice.get("text") or any((choice.get("delta") or {}).values()))
