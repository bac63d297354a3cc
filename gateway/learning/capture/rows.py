"""What is kept of one live request: read, measured, redacted whole or refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import orjson

from gateway.config.routes import Route
from gateway.config.routes_learning import Capture
from gateway.learning.answers import message_of, message_of_stream
from gateway.ledger.entry import new_attempt_id
from gateway.policy.inputs import input_id
from gateway.reasons import Role
from gateway.store.captured import Captured, digest_of

_KEPT: Final = ("messages", "tools", "response_format")

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
    """A streamed answer, as its bytes came; None, with no whole answer either: it was longer than may be kept."""
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


def hold(seen: Seen, capture: Capture) -> Held | NotKept:
    """Take what may be kept of a request, and nothing that can still change. May raise on a body that is no JSON."""
    # What is much too large is not even written out: this is the one part that the event loop waits for.
    messages = seen.body.get("messages")
    if (seen.answer is None and seen.blocks is None) or _chars(messages) > capture.max_bytes:
        return "too_large"
    if not _are_messages(messages):
        return "refused"
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


def whole_answer(held: Held) -> bytes | NotKept:
    """Return the assistant's message as JSON. May raise on what nobody expects."""
    if held.answer:
        answer = held.answer
    else:
        message = message_of_stream(held.blocks)
        if message is None:
            return "refused"
        answer = orjson.dumps(message)
    return answer if len(held.request) + len(answer) <= held.capture.max_bytes else "too_large"


def captured_row(held: Held, redacted: Mapping[str, Any]) -> Captured:
    """Return the row to keep of what came back redacted; its input's id is that of the redacted request."""
    seen, request = held.seen, redacted["request"]
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
        answer=orjson.dumps(redacted["answer"]).decode(),
        redacted=redacted["redacted"],
        captured_at=seen.at,
        expires_at=seen.at + timedelta(days=held.capture.retention_days),
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
