"""``/completions``: the legacy endpoint, where models continue a text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.errors import InvalidRequest
from gateway.execution.endpoints.endpoint import Endpoint, is_streamed, model_of, wants_usage
from gateway.execution.request import Request
from gateway.execution.streaming import ChoicesReader, StreamReader
from gateway.policy.parameters import adapt
from gateway.policy.traits import words_of

if TYPE_CHECKING:
    from gateway.execution.prepared_target import PreparedTarget


class Completions(Endpoint):
    """A text in, its continuation out. It has no messages, so a target with a prompt cannot serve it."""

    name = "completions"
    path = "/completions"
    lacks = "no choices"

    def read(self, body: dict[str, Any]) -> Request:
        """Check model, prompt and stream."""
        if body.get("prompt") is None:
            raise InvalidRequest("'prompt' must be a text, or a list of them.", param="prompt")
        # In a chat it would be a parameter; here it is what the request is about.
        words = words_of({**body, "prompt": None})
        return Request(self, body, model_of(body), is_streamed(body), wants_usage(body), words)

    def adapt(self, body: dict[str, Any], request: Request, target: "PreparedTarget") -> list[str]:
        """Change the parameters, and ask for a stream's usage."""
        changed = adapt(body, target.target.parameters)
        if not request.words.isdisjoint(target.capabilities.sensitive):
            changed += target.capabilities.adapt(body, self.name)
        if request.streamed:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return changed

    def input_chars(self, body: Mapping[str, Any]) -> int:
        """Count the prompts; tokens as four characters each."""
        return chars_of(body.get("prompt"))

    def reader(self, request: Request, target: "PreparedTarget", content_type: bytes) -> StreamReader | None:
        """Read chunks where a stream was asked for."""
        return ChoicesReader(request.wants_usage, _text_chars) if request.streamed else None

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Look for choices."""
        return isinstance(answer.get("choices"), list)

    def output_chars(self, answer: Mapping[str, Any]) -> int:
        """Count every choice's text."""
        return sum(_text_chars(choice) for choice in answer["choices"] if isinstance(choice, dict))


def chars_of(value: object) -> int:
    """Return how many characters a text has, or a list of texts, or of lists of tokens."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(chars_of, value))
    return 4 if isinstance(value, int) else 0


def _text_chars(choice: Mapping[str, Any]) -> int:
    text = choice.get("text")
    return len(text) if isinstance(text, str) else 0
