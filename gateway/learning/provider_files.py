"""Files that go up to a provider: what a batch asks, and what a fine-tune is trained on."""

from secrets import token_hex
from typing import Any, Final

from gateway.clock import Clock
from gateway.execution.endpoints.multipart import Form, Part
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.provider_pages import Refused, post_json
from gateway.providers.openai_wire import Upstream

UPLOAD_TIMEOUT_S: Final = 600.0


async def upload(
    upstream: Upstream,
    clock: Clock,
    path: str,
    purpose: str,
    name: str,
    content: bytes,
    *,
    name_field: str | None = None,
) -> str:
    """Upload a file of JSON lines; return its id. ``name_field`` is a field of the form that repeats its name.

    Raises:
        Refused: the provider does not take it.
        ConfigError: it does not answer: the file may be there all the same.
    """
    named = (Part(name_field, name.encode()),) if name_field else ()
    file = Part("file", content, name, b"application/jsonl")
    form = Form((Part("purpose", purpose.encode()), *named, file), token_hex(16))
    answer = await post_json(
        upstream,
        path,
        form.encoded(),
        new_attempt_id(clock.now()),
        content_type=form.content_type,
        timeout_s=UPLOAD_TIMEOUT_S,
    )
    return id_of(answer, path)


def id_of(answer: Any, path: str) -> str:
    """Return the id of what was made. Raises ``Refused`` where the answer has none."""
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        raise Refused(f"{path} answered something without an id", status=200)
    return str(answer["id"])
