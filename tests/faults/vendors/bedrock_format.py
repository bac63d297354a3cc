"""Amazon Bedrock's Converse API and the binary event stream of its ConverseStream, as a server answers it.

Documented at https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, the stream's events and
exceptions at …/API_runtime_ConverseStreamOutput.html, and how a message is encoded at
https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html (the latter two read 2026-11-29).
"""

import struct
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from fake_provider import Call, Script, says
from vendor_server import CLOSED, compact, event_stream, whole_or_streamed

MODEL = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
USAGE = {"inputTokens": 10, "outputTokens": 4, "totalTokens": 14}
TEXT = {"text": "Hello there."}
TOOL_USE = {"toolUse": {"toolUseId": "tooluse_01", "name": "find_order", "input": {"number": 17}}}
STREAM_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def message(
    *content: Mapping[str, Any], stop_reason: str = "end_turn", usage: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """A whole answer; it does not name its model."""
    return {
        "output": {"message": {"role": "assistant", "content": list(content or (TEXT,))}},
        "stopReason": stop_reason,
        "usage": USAGE | dict(usage or {}),
        "metrics": {"latencyMs": 312},
    }


def answers(*content: Mapping[str, Any], **fields: Any) -> Script:
    return says(message(*content, **fields), headers={"x-amzn-requestid": "3b1f0d2c"})


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message: lengths and their checksum, headers, payload, and a checksum over all that."""
    packed = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    covered = prelude + struct.pack(">I", crc32(prelude)) + packed + payload
    return covered + struct.pack(">I", crc32(covered))


def event(kind: str, **fields: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, compact(fields))


def exception(kind: str, text: str) -> bytes:
    """How a stream that has begun says that it failed."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, compact({"message": text}))


BEGUN = event("messageStart", role="assistant")


def text_block(*texts: str, index: int = 0) -> list[bytes]:
    """What is said; a text's beginning is not announced."""
    return [
        *(event("contentBlockDelta", contentBlockIndex=index, delta={"text": text}) for text in texts),
        event("contentBlockStop", contentBlockIndex=index),
    ]


def tool_block(*parts: str, index: int = 0) -> list[bytes]:
    """A tool's call; its input comes as pieces of JSON."""
    start = {"toolUse": {"toolUseId": "tooluse_01", "name": "find_order"}}
    deltas = ({"toolUse": {"input": part}} for part in parts)
    return [
        event("contentBlockStart", contentBlockIndex=index, start=start),
        *(event("contentBlockDelta", contentBlockIndex=index, delta=delta) for delta in deltas),
        event("contentBlockStop", contentBlockIndex=index),
    ]


def ended(stop_reason: str = "end_turn", usage: Mapping[str, int] | None = None) -> list[bytes]:
    return [
        event("messageStop", stopReason=stop_reason),
        event("metadata", usage=USAGE | dict(usage or {}), metrics={"latencyMs": 312}),
    ]


def streamed(*frames: bytes, then: str = CLOSED) -> Script:
    return event_stream(*frames, content_type=STREAM_TYPE, then=then)


def whole_stream(*blocks: bytes, stop_reason: str = "end_turn", usage: Mapping[str, int] | None = None) -> Script:
    return streamed(BEGUN, *(blocks or text_block("Hello", " there.")), *ended(stop_reason, usage))


def refuses(status: int, kind: str, text: str, headers: Mapping[str, str] | None = None) -> Script:
    return says({"message": text}, status, {"x-amzn-errortype": kind} | dict(headers or {}))


def _streams(call: Call) -> bool:
    return call.path.endswith("/converse-stream")


USUAL = whole_or_streamed(answers(), whole_stream(), _streams)
