"""What an endpoint must say of itself, so that one pipeline serves them all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import InvalidRequest
from gateway.execution.request import Request
from gateway.execution.streaming import StreamReader

if TYPE_CHECKING:
    from gateway.execution.prepared_target import PreparedTarget

JSON_TYPE = b"application/json"
STREAM_TYPE = b"text/event-stream"
LONG_BODY_BYTES = 32 * 1024
"""Of a longer body the characters are not counted before it is sent: that would take longer than all the rest."""
MEDIA = frozenset(("audio_input", "file", "image", "video"))
"""Words for what is long in bytes, and short in tokens."""


class Endpoint(ABC):
    """One endpoint. Stateless: there is one of each in a process."""

    name: str
    """The label in metrics and in the ledger."""
    path: str
    """Behind the ``/v1`` of the gateway and the base URL of a provider."""
    lacks = "no answer"
    """What a success lacks that ``is_answer`` refuses."""
    takes_forms = False
    refers = False
    """Whether its requests refer to what a provider stores, by ids that answers gave out."""
    begins_late = False
    """Whether a stream's first event may take as long as a whole answer: it is a picture, not a token."""

    # The request.

    @abstractmethod
    def read(self, body: dict[str, Any]) -> Request:
        """Check the fields that the gateway itself relies on; the rest is for the provider to judge.

        Raises:
            InvalidRequest: one of them is absent or of the wrong type.
        """

    @abstractmethod
    def adapt(self, body: dict[str, Any], request: Request, target: "PreparedTarget") -> list[str]:
        """Make a request's body one for this target, at its top level only; return what of the caller's changed."""

    def encode(self, body: dict[str, Any], request: Request) -> tuple[bytes, bytes]:
        """Return the body as bytes, and its content type."""
        return orjson.dumps(body), JSON_TYPE

    @abstractmethod
    def input_chars(self, body: Mapping[str, Any]) -> int:
        """Return how many characters of a body count as input, where nobody counts tokens."""

    def roughly_input_chars(self, body: Mapping[str, Any], request: Request, length: int) -> int:
        """Return about as many in a few microseconds: of a long text, the ``length`` of the body as it is sent."""
        long = length > LONG_BODY_BYTES and request.words.isdisjoint(MEDIA)
        return length if long else self.input_chars(body)

    # The answer.

    def reader(self, request: Request, target: "PreparedTarget", content_type: bytes) -> StreamReader | None:
        """Return what reads a streamed answer of this type; None: it comes whole."""
        return None

    @abstractmethod
    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Tell whether a whole success holds what the caller waits for."""

    def relayed(self, answer: dict[str, Any], body: bytes, request: Request, target: "PreparedTarget") -> bytes:
        """Return the body of a whole answer as the caller gets it."""
        return body

    def output_chars(self, answer: Mapping[str, Any]) -> int:
        """Return how many characters a whole answer holds, where nobody counts tokens."""
        return 0

    def texts(self, answer: Mapping[str, Any]) -> list[str]:
        """Return what a whole answer says in words: what a contract holds for."""
        return []

    def error_event(self, message: str, code: str, request_id: str) -> bytes:
        """Return the event that ends a broken stream.

        SDKs take an end without it for success.
        """
        body = {"message": message, "type": "api_error", "param": None, "code": code, "request_id": request_id}
        return b"data: " + orjson.dumps({"error": body}) + b"\n\n"


def model_of(body: Mapping[str, Any]) -> str:
    """Return the route that a body names.

    Raises:
        InvalidRequest: it names none.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must be a string: the name of a route.", param="model")
    return model


def is_streamed(body: Mapping[str, Any]) -> bool:
    """Tell whether a body asks for a stream.

    Raises:
        InvalidRequest: ``stream`` is neither true nor false.
    """
    streamed = body.get("stream")
    if streamed is not None and not isinstance(streamed, bool):
        raise InvalidRequest("'stream' must be true or false.", param="stream")
    return bool(streamed)


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Tell whether a body asks for a stream's usage.

    Raises:
        InvalidRequest: ``stream_options`` is no object.
    """
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    return options is not None and options.get("include_usage") is True
