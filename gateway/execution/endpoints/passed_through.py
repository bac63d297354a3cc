"""Moderations, images, speech, transcriptions: routed like the others, and otherwise passed through as they are."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.execution.endpoints.endpoint import JSON_TYPE, Endpoint, model_of
from gateway.execution.endpoints.multipart import Form
from gateway.execution.request import Request
from gateway.execution.streaming import STREAM_TYPE, MediaReader, RawReader, StreamReader

if TYPE_CHECKING:
    from gateway.execution.prepared_target import PreparedTarget

CONTENT_TYPE = re.compile(rb"[\w.+-]+/[\w.+-]+(?: ?; ?[\w.+-]+=[\w.+\"/-]+)*")


class PassedThrough(Endpoint):
    """Only ``model`` is ours. The answer may be JSON, or anything else, which is relayed as it comes."""

    takes_forms = True
    begins_late = True

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path

    def read(self, body: dict[str, Any]) -> Request:
        """Check the model."""
        # In a form it is a text.
        return Request(self, body, model_of(body), streamed=body.get("stream") in (True, "true"))

    def adapt(self, body: dict[str, Any], request: Request, target: "PreparedTarget") -> list[str]:
        """Leave everything as it is."""
        return []

    def encode(self, body: dict[str, Any], request: Request) -> tuple[bytes, bytes]:
        """Write a form as a form, with the target's model in it."""
        if request.form is None:
            return super().encode(body, request)
        form: Form = request.form.with_field("model", body["model"])
        return form.encoded(), form.content_type

    def input_chars(self, body: Mapping[str, Any]) -> int:
        """Estimate nothing: these are not priced by text alone."""
        return 0

    def roughly_input_chars(self, body: Mapping[str, Any], request: Request, length: int) -> int:
        """Estimate nothing."""
        return 0

    def reader(self, request: Request, target: "PreparedTarget", content_type: bytes) -> StreamReader | None:
        """Read events; relay whatever else is not JSON."""
        if content_type.startswith(STREAM_TYPE):
            return MediaReader()
        return None if content_type.startswith(JSON_TYPE) else RawReader(safe_type(content_type))

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Take any object that is no error."""
        return True


def safe_type(content_type: bytes) -> bytes:
    """Return a provider's content type, where it is one."""
    return content_type if CONTENT_TYPE.fullmatch(content_type) else b"application/octet-stream"
