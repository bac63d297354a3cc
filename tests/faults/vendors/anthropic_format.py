"""Anthropic's Messages API, as a server answers it.

Documented at https://platform.claude.com/docs/en/api/messages, …/build-with-claude/streaming and …/api/errors.
"""

import json
from collections.abc import Mapping
from typing import Any

from fake_provider import Call, Script, says
from vendor_server import CLOSED, compact, event_stream, whole_or_streamed

MODEL = "claude-haiku-4-5-20251001"
USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 4,
    "service_tier": "standard",
}
TEXT = {"type": "text", "text": "Hello there."}
TOOL_USE = {"type": "tool_use", "id": "toolu_01", "name": "find_order", "input": {"number": 17}}
HEADERS = {"request-id": "req_011CSHoEeqs5C35K2UUqR7Fy"}


def message(
    *content: Mapping[str, Any],
    model: str = MODEL,
    stop_reason: str = "end_turn",
    usage: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(content or (TEXT,)),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": USAGE | dict(usage or {}),
    }


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), compact({"type": kind, **fields}))


PING = event("ping")
STOP = event("message_stop")


def begun(model: str = MODEL, usage: Mapping[str, int] | None = None) -> bytes:
    """The first event: what is known before anything is said; of the output one token is counted already."""
    counted = USAGE | {"output_tokens": 1} | dict(usage or {})
    return event("message_start", message=message(model=model) | {"content": [], "stop_reason": None, "usage": counted})


def text_block(*texts: str, index: int = 0) -> list[bytes]:
    return [
        event("content_block_start", index=index, content_block={"type": "text", "text": ""}),
        *(event("content_block_delta", index=index, delta={"type": "text_delta", "text": text}) for text in texts),
        event("content_block_stop", index=index),
    ]


def tool_block(*parts: str, index: int = 0) -> list[bytes]:
    """A tool's call; its input comes as pieces of JSON."""
    return [
        event("content_block_start", index=index, content_block=TOOL_USE | {"input": {}}),
        *(
            event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": part})
            for part in ("", *parts)
        ),
        event("content_block_stop", index=index),
    ]


def ended(stop_reason: str = "end_turn", **usage: int) -> bytes:
    """The last event but one; its counts are those of the whole message."""
    return event(
        "message_delta", delta={"stop_reason": stop_reason, "stop_sequence": None}, usage={"output_tokens": 4} | usage
    )


def streamed(*events: bytes, then: str = CLOSED) -> Script:
    return event_stream(*events, content_type="text/event-stream; charset=utf-8", then=then)


def whole_stream(*blocks: bytes, stop_reason: str = "end_turn", usage: Mapping[str, int] | None = None) -> Script:
    return streamed(begun(usage=usage), PING, *(blocks or text_block("Hello", " there.")), ended(stop_reason), STOP)


def answers(*content: Mapping[str, Any], **fields: Any) -> Script:
    return says(message(*content, **fields), headers=HEADERS)


def error(kind: str, text: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": HEADERS["request-id"]}


def refuses(status: int, kind: str, text: str, headers: Mapping[str, str] | None = None) -> Script:
    return says(error(kind, text), status, HEADERS | dict(headers or {}))


def error_event(kind: str = "overloaded_error", text: str = "Overloaded") -> bytes:
    return (
        b"event: error\ndata: %b\n\n" % json.dumps({"type": "error", "error": {"type": kind, "message": text}}).encode()
    )


def _streams(call: Call) -> bool:
    return call.json.get("stream") is True


USUAL = whole_or_streamed(answers(), whole_stream(), _streams)
