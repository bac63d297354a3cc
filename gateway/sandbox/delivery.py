"""How an answer is sent: whole or streamed, at the model's pace, and broken off where the model is a fault."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import orjson

from gateway.clock import Clock
from gateway.sandbox.answers import Answer
from gateway.sandbox.bill import Attempt
from gateway.sandbox.catalogue import Fault, Model, Usage
from gateway.sandbox.connection import Connection
from gateway.sandbox.refusals import server_error

EVENTS_BEFORE_FAULT: Mapping[Fault, int] = {Fault.RESET: 5, Fault.STALL: 5, Fault.CUT: 5, Fault.MALFORMED: 3}
_TOKENS_PER_EVENT = (1, 2, 1, 3, 2)
_YIELD_EVERY = 32
_EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_JSON = {"content-type": "application/json"}
_BREAKS_THE_ANSWER = frozenset({Fault.RESET, Fault.STALL, Fault.CUT, Fault.MALFORMED, Fault.ERROR_IN_200})


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Everything that is sent, before it is."""

    model: Model
    """The model that was asked: its pace, and its fault."""
    served: Model
    """The model that answers: its name, and its price."""
    answer: Answer
    input_usage: Usage
    """Of the prompt alone."""
    include_usage: bool
    completion_id: str
    created: int
    headers: Mapping[str, str]

    def usage(self, output_tokens: int) -> Usage:
        """Return the usage once so many tokens are out."""
        return Usage(self.input_usage.input_tokens, self.input_usage.cached_input_tokens, output_tokens)


def usage_json(usage: Usage) -> dict[str, Any]:
    """Return a usage in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


async def send_whole(connection: Connection, attempt: Attempt, delivery: Delivery) -> None:
    """Send the answer as one JSON object, after the time that it takes to write.

    Raises:
        ClientGone: the client hung up, or the fault hung up on it.

    """
    model, output_tokens = delivery.model, delivery.answer.output_tokens
    writing_s = output_tokens / model.tokens_per_s if model.tokens_per_s else 0.0
    await connection.pause((model.latency_ms + model.first_token_ms) / 1000 + writing_s)
    if model.fault is Fault.RESET:
        await connection.reset()
    headers, body = {**_JSON, **delivery.headers}, _whole_body(delivery)
    half = len(body) // 2
    if model.fault is Fault.ERROR_IN_200:
        body = orjson.dumps(server_error().body)
    elif model.fault is Fault.MALFORMED:
        body = body[:half]
    elif model.fault is Fault.CUT:
        headers["connection"] = "close"
    await connection.start(200, {**headers, "content-length": str(len(body))})
    attempt.status = 200
    if model.fault is not Fault.ERROR_IN_200:
        _bill(attempt, delivery, output_tokens)
    if model.fault in (Fault.STALL, Fault.CUT):
        await connection.write(body[:half])
        await (connection.wait_until_gone() if model.fault is Fault.STALL else connection.close())
    await connection.write(body, last=True)
    attempt.complete = model.fault not in _BREAKS_THE_ANSWER and not connection.gone


async def send_stream(connection: Connection, clock: Clock, attempt: Attempt, delivery: Delivery) -> None:
    """Send the answer as server-sent events, a few tokens each.

    Raises:
        ClientGone: the client hung up, or the fault hung up on it.

    """
    model = delivery.model
    await connection.pause(model.latency_ms / 1000)
    headers = {**_EVENT_STREAM, **delivery.headers}
    if model.fault is Fault.CUT:
        headers["connection"] = "close"
    await connection.start(200, headers)
    attempt.status = 200
    if model.fault is Fault.ERROR_IN_200:
        await connection.pause(model.first_token_ms / 1000)
        await connection.write(b"data: " + orjson.dumps(server_error().body) + b"\n\n", last=True)
        return
    _bill(attempt, delivery, 0)
    await connection.pause(model.first_token_ms / 1000)
    events = _Events(delivery)
    await _send_tokens(connection, clock, attempt, delivery, events)
    if model.fault is Fault.CUT:
        await connection.write(b"", last=True)
        return
    await connection.write(events.end(), last=True)
    attempt.complete = model.fault not in _BREAKS_THE_ANSWER and not connection.gone


async def _send_tokens(
    connection: Connection, clock: Clock, attempt: Attempt, delivery: Delivery, events: "_Events"
) -> None:
    """Send the events that carry tokens, each when its tokens are due; stop where the fault comes in."""
    model, sent_tokens, started_s = delivery.model, 0, clock.monotonic()
    fault_after = EVENTS_BEFORE_FAULT.get(model.fault) if model.fault else None
    count = 0
    for count, (event, tokens) in enumerate(events.with_tokens()):
        if count == fault_after:
            if model.fault is not Fault.MALFORMED:
                break
            await connection.write(event[: len(event) // 2] + b"\n\n")
        if model.tokens_per_s:
            await connection.pause(started_s + sent_tokens / model.tokens_per_s - clock.monotonic())
        elif count % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
            await connection.pause(0)
        await connection.write(event)
        sent_tokens += tokens
        attempt.usage = delivery.usage(sent_tokens)
    if model.fault is Fault.RESET:
        await connection.reset()
    elif model.fault is Fault.STALL:
        await connection.wait_until_gone()


class _Events:
    """The events of one stream, as bytes; what all of them share is written once."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._head = b"data: " + orjson.dumps(_envelope(delivery, "chat.completion.chunk"))[:-1]
        self._tail = b',"usage":null}\n\n' if delivery.include_usage else b"}\n\n"

    def with_tokens(self) -> Iterator[tuple[bytes, int]]:
        """Yield each event that carries a part of the answer, and its tokens; the first names the role."""
        answer = self._delivery.answer
        if answer.function is None:
            yield self._event(b'{"role":"assistant","content":"","refusal":null}'), 0
        else:
            call = {
                "index": 0,
                "id": _call_id(self._delivery),
                "type": "function",
                "function": {"name": answer.function, "arguments": ""},
            }
            delta = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
            yield self._event(orjson.dumps(delta)), answer.function_tokens
        start, sizes = 0, cycle(_TOKENS_PER_EVENT)
        while start < len(answer.tokens):
            part = answer.tokens[start : start + next(sizes)]
            text = orjson.dumps("".join(part))
            if answer.function is None:
                yield self._event(b'{"content":' + text + b"}"), len(part)
            else:
                arguments = b'{"tool_calls":[{"index":0,"function":{"arguments":' + text + b"}}]}"
                yield self._event(arguments), len(part)
            start += len(part)

    def end(self) -> bytes:
        """Return what follows the tokens: the reason why they end, the usage if asked for, and the end itself."""
        finish = self._event(b"{}", orjson.dumps(self._delivery.answer.finish_reason))
        usage = b""
        if self._delivery.include_usage:
            counted = orjson.dumps(usage_json(self._delivery.usage(self._delivery.answer.output_tokens)))
            usage = self._head + b',"choices":[],"usage":' + counted + b"}\n\n"
        return finish + usage + b"data: [DONE]\n\n"

    def _event(self, delta: bytes, finish_reason: bytes = b"null") -> bytes:
        choice = b',"choices":[{"index":0,"delta":' + delta + b',"logprobs":null,"finish_reason":' + finish_reason
        return self._head + choice + b"}]" + self._tail


def _whole_body(delivery: Delivery) -> bytes:
    answer = delivery.answer
    text = "".join(answer.tokens)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if answer.function is not None:
        called = {"name": answer.function, "arguments": text}
        message["content"] = None
        message["tool_calls"] = [{"id": _call_id(delivery), "type": "function", "function": called}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return orjson.dumps(
        {
            **_envelope(delivery, "chat.completion"),
            "choices": [choice],
            "usage": usage_json(delivery.usage(answer.output_tokens)),
        }
    )


def _envelope(delivery: Delivery, kind: str) -> dict[str, Any]:
    return {
        "id": delivery.completion_id,
        "object": kind,
        "created": delivery.created,
        "model": delivery.served.id,
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }


def _call_id(delivery: Delivery) -> str:
    return "call_" + delivery.completion_id.removeprefix("chatcmpl-")


def _bill(attempt: Attempt, delivery: Delivery, output_tokens: int) -> None:
    """Begin to charge the attempt to the model that answers it."""
    attempt.served = delivery.served.id
    attempt.price = delivery.served.price
    attempt.usage = delivery.usage(output_tokens)
