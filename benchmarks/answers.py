"""What the stub upstream answers: the same bytes to everybody, made once.

A plain answer is about 600 bytes with ``usage``. A stream is ``CHUNKS`` events that carry text, then one with the
``finish_reason``, one with ``usage`` where the caller asked for it, and ``[DONE]``.
"""

import json
from typing import Any

CHUNKS = 100
EVENTS_PER_WRITE = 4
"""How many events share one write of the stub: enough for it to keep up on half a core, few enough that a gateway
still reads a stream in 25 pieces. Every event is a chunked-transfer frame of its own, as providers send them."""

REPLY = (
    "Thank you for writing. Your parcel left our warehouse on Monday and is with the carrier now; it should reach you "
    "by Thursday evening. If it has not come by then, answer this message and we will send a second one at no cost."
)
_HEAD = {"id": "chatcmpl-bench-0123456789abcdefghij", "created": 1790000000, "system_fingerprint": "fp_bench"}
_USAGE = {
    "prompt_tokens": 58,
    "completion_tokens": 100,
    "total_tokens": 158,
    "prompt_tokens_details": {"cached_tokens": 0},
}


def plain_body() -> bytes:
    """Build the answer that is not streamed."""
    message = {"role": "assistant", "content": REPLY, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _dump({**_HEAD, "object": "chat.completion", "model": "bench-plain", "choices": [choice], "usage": _USAGE})


def stream_events(*, with_usage: bool) -> list[bytes]:
    """Build the events of a stream, in order, each ready to be framed."""
    events = [_event(_choice({"role": "assistant", "content": "word 0 "} if i == 0 else {"content": f"word {i} "}))
              for i in range(CHUNKS)]  # fmt: skip
    events.append(_event(_choice({}, finish_reason="stop")))
    if with_usage:
        events.append(_event({"choices": [], "usage": _USAGE}))
    events.append(b"data: [DONE]\n\n")
    return events


def anthropics_body() -> bytes:
    """Build the same answer in the format of Anthropic's messages."""
    message = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "claude-bench"}
    said = {"content": [{"type": "text", "text": REPLY}], "stop_reason": "end_turn", "stop_sequence": None}
    return _dump({**message, **said, "usage": {"input_tokens": 58, "output_tokens": 100}})


def models_body() -> bytes:
    """Build the list of models, for gateways that ask what there is."""
    ids = ("bench-plain", "bench-stream")
    return _dump({"object": "list", "data": [{"id": i, "object": "model", "owned_by": "bench"} for i in ids]})


def request_body(model: str, *, stream: bool) -> bytes:
    """Build the caller's request: a short conversation, about 400 bytes."""
    messages = [
        {"role": "system", "content": "You answer letters to a small shop, politely and in at most three sentences."},
        {"role": "user", "content": "Hello, I ordered two blue mugs a week ago and have not heard of them since. "
         "The number of the order is 48213. Could you please look where they are, and when they will arrive?"},
    ]  # fmt: skip
    body: dict[str, Any] = {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 200}
    return _dump({**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body)


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + _dump({**_HEAD, "object": "chat.completion.chunk", "model": "bench-stream", **fields}) + b"\n\n"


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
