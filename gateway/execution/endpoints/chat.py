"""``/chat/completions``: the hot endpoint."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import InvalidRequest
from gateway.execution.endpoints.endpoint import Endpoint, is_streamed, model_of, wants_usage
from gateway.execution.request import Request
from gateway.execution.streaming import ChoicesReader, StreamReader
from gateway.policy.parameters import adapt
from gateway.policy.prompts import text_of, with_prompt
from gateway.policy.traits import words_of

if TYPE_CHECKING:
    from gateway.execution.prepared_target import PreparedTarget


class ChatCompletions(Endpoint):
    """Messages in, a message out."""

    name = "chat_completions"
    path = "/chat/completions"
    lacks = "no choices"

    def read(self, body: dict[str, Any]) -> Request:
        """Check model, messages and stream."""
        model, messages = model_of(body), body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise InvalidRequest("'messages' must be a list with at least one message.", param="messages")
        for i, message in enumerate(messages):
            if not isinstance(message, dict) or not isinstance(message.get("role"), str):
                raise InvalidRequest(f"'messages[{i}]' must be an object with a 'role'.", param=f"messages[{i}]")
        return Request(self, body, model, is_streamed(body), wants_usage(body), words_of(body))

    def adapt(self, body: dict[str, Any], request: Request, target: "PreparedTarget") -> list[str]:
        """Add the prompt, change the parameters, and ask for the contract and for a stream's usage."""
        if target.prompt is not None:
            messages = body["messages"]
            body["messages"] = with_prompt(target.prompt, target.prompt_prefix, messages, target.similar_to(messages))
            if target.cache_keys is not None and body.get("prompt_cache_key") is None:
                body["prompt_cache_key"] = target.cache_keys.next()
        changed = adapt(body, target.target.parameters)
        if not request.words.isdisjoint(target.capabilities.sensitive):
            changed += target.capabilities.adapt(body, self.name)
        if target.contract_format is not None and body.get("response_format") is None:
            body["response_format"] = target.contract_format
            changed.append("response_format")
        if request.streamed:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return changed

    def input_chars(self, body: Mapping[str, Any]) -> int:
        """Count messages, the prompt included, and tools."""
        chars = sum(len(text_of(message)) for message in body.get("messages", ()))
        return chars + sum(len(orjson.dumps(body[part])) for part in ("tools", "response_format") if body.get(part))

    def reader(self, request: Request, target: "PreparedTarget", content_type: bytes) -> StreamReader | None:
        """Read chunks where a stream was asked for."""
        return ChoicesReader(request.wants_usage, _delta_chars) if request.streamed else None

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Look for choices."""
        return isinstance(answer.get("choices"), list)

    def output_chars(self, answer: Mapping[str, Any]) -> int:
        """Count every choice's message."""
        return sum(map(produced_chars, messages_of(answer)))

    def texts(self, answer: Mapping[str, Any]) -> list[str]:
        """Return the content of each message that has any; one with tool calls has none."""
        contents = (message.get("content") for message in messages_of(answer))
        return [content for content in contents if isinstance(content, str)]


def messages_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of an answer's choices."""
    messages = [choice.get("message") for choice in answer["choices"] if isinstance(choice, dict)]
    return [message for message in messages if isinstance(message, dict)]


def produced_chars(message: Mapping[str, Any]) -> int:
    """Return how many characters a message or a delta holds: the base of an estimate where nobody counted."""
    content = message.get("content")
    length = len(content) if isinstance(content, str) else 0
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        length += sum(map(_argument_chars, calls))
    return length


def _delta_chars(choice: Mapping[str, Any]) -> int:
    delta = choice.get("delta")
    return produced_chars(delta) if delta else 0


def _argument_chars(call: object) -> int:
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return len(arguments) if isinstance(arguments, str) else 0
