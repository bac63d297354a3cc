"""What is kept of one live request: read, measured, redacted whole or refused."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import orjson

from gateway.config.routes import Route
from gateway.config.routes_learning import Capture
from gateway.learning.answers import message_of, message_of_stream
from gateway.learning.capture.redaction import Redactor
from gateway.ledger.entry import new_attempt_id
from gateway.policy.inputs import input_id
from gateway.reasons import Role
from gateway.store.captured import Captured, digest_of

_KEPT: Final = ("messages", "tools", "response_format")
_MOST_REDACTORS: Final = 64
# JSON in JSON in JSON: as deep as the redactor looks.
_DEEPEST: Final = 4

NotKept = Literal["too_large", "refused"]
"""refused: it is no conversation, has no answer, or cannot be redacted whole."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One answered chat request of a route that captures, and of the share that it captures."""

    route: Route
    request_id: str
    body: Mapping[str, Any]
    """As the caller sent it."""
    answer: Mapping[str, Any] | None
    """A whole answer."""
    blocks: Sequence[bytes] | None
    """A streamed answer, as its bytes came."""
    role: Role
    provider: str
    model: str
    prompt_version: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of it until its turn comes: bytes, so that what it takes is known. Never written anywhere."""

    seen: Seen
    """Without body and answer."""
    capture: Capture
    request: bytes
    """JSON: messages, tools and response_format."""
    answer: bytes
    """JSON: the assistant's message; empty where it was streamed."""
    blocks: tuple[bytes, ...]
    user_digest: str | None

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.request) + len(self.answer) + sum(map(len, self.blocks))


class Redactors:
    """One redactor for each way in which routes redact; built once, since that takes a tenth of a second."""

    def __init__(self) -> None:
        self._built: dict[Any, Redactor] = {}

    def of(self, capture: Capture) -> Redactor:
        """Return the redactor of a route's settings. Raises ``ValueError`` where they cannot be used."""
        key = (capture.redact, capture.phone_regions, tuple(capture.patterns.items()))
        if key not in self._built:
            if len(self._built) >= _MOST_REDACTORS:
                self._built.clear()
            self._built[key] = Redactor(capture.redact, capture.patterns, capture.phone_regions)
        return self._built[key]


def hold(seen: Seen, capture: Capture) -> Held | NotKept:
    """Take what may be kept of a request, and nothing that can still change. May raise on a body that is no JSON."""
    # What is much too large is not even written out: this is the one part that the event loop waits for.
    if _chars(seen.body.get("messages")) > capture.max_bytes:
        return "too_large"
    request = orjson.dumps({key: seen.body[key] for key in _KEPT if seen.body.get(key)})
    if len(request) > capture.max_bytes:
        return "too_large"
    answer, blocks = b"", tuple(seen.blocks or ())
    if seen.answer is not None:
        message = message_of(seen.answer)
        if message is None:
            return "refused"
        answer, blocks = orjson.dumps(message), ()
    bare = replace(seen, body={}, answer=None, blocks=None)
    return Held(bare, capture, request, answer, blocks, user_digest(seen.body))


def user_digest(body: Mapping[str, Any]) -> str | None:
    """Return the digest of what a request names as its user, for deletion; None where it names nobody.

    ``user``, else ``safety_identifier``, else ``metadata.user_id``. A pseudonym, not a secret (``digest_of``).
    """
    metadata = body.get("metadata")
    named = (
        body.get("user"),
        body.get("safety_identifier"),
        metadata.get("user_id") if isinstance(metadata, Mapping) else None,
    )
    return next((digest_of(name) for name in named if isinstance(name, str) and name), None)


def captured_row(held: Held, redactor: Redactor) -> Captured | NotKept:
    """Return the row to keep; its input's id is that of the redacted request. May raise on what nobody expects."""
    seen, capture = held.seen, held.capture
    request = orjson.loads(held.request)
    answer = orjson.loads(held.answer) if held.answer else message_of_stream(held.blocks)
    if answer is None or not _are_messages(request.get("messages")):
        return "refused"
    if len(held.request) + len(orjson.dumps(answer)) > capture.max_bytes:
        return "too_large"
    if (capture.redact or capture.patterns) and not _is_redactable([*request["messages"], answer], request, redactor):
        return "refused"
    (request, answer), redacted = redactor.value([request, answer])
    return Captured(
        captured_id=new_attempt_id(seen.at),
        route=seen.route.name,
        tenant=seen.route.tenant or "",
        input_id=input_id(request["messages"], request.get("tools")),
        request_id=seen.request_id,
        user_digest=held.user_digest,
        role=seen.role,
        provider=seen.provider,
        model=seen.model,
        prompt_version=seen.prompt_version,
        request=orjson.dumps(request).decode(),
        answer=orjson.dumps(answer).decode(),
        redacted=dict(redacted),
        captured_at=seen.at,
        expires_at=seen.at + timedelta(days=capture.retention_days),
    )


def _chars(messages: Any) -> int:
    """Return how many characters the texts of messages have; texts and pictures' URLs within parts as well."""
    chars = 0
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ({"text": content},):
            text = part.get("text") or part.get("image_url") if isinstance(part, dict) else None
            text = text.get("url") if isinstance(text, dict) else text
            chars += len(text) if isinstance(text, str) else 0
    return chars


def _are_messages(messages: Any) -> bool:
    return isinstance(messages, list) and bool(messages) and all(isinstance(message, dict) for message in messages)


def _is_redactable(messages: Sequence[Mapping[str, Any]], request: Mapping[str, Any], redactor: Redactor) -> bool:
    """Whether the redactor sees all there is: not within pictures, sound and files, and it leaves keys as they are."""
    parts = (part for message in messages if isinstance(message.get("content"), list) for part in message["content"])
    if any(isinstance(part, dict) and part.get("type") not in ("text", "refusal", "image_url") for part in parts):
        return False
    keys: set[str] = set()
    for key, text in _texts([request, *messages]):
        keys.add(key)
        if text.lstrip()[:5].lower() == "data:":
            return False
    return not any(map(redactor.find, keys))


def _texts(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield every key with the text under it (empty where that is none), also within texts that are JSON."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, ""
            yield from _texts(item, depth)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth)
    elif isinstance(value, str):
        yield "", value
        if depth < _DEEPEST and value.lstrip()[:1] in ("{", "[", '"'):
            try:
                inner = json.loads(value)
            except ValueError:
                return
            yield from _texts(inner, depth + 1)
