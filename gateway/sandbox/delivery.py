"""How an answer is sent: whole or streamed, at the model's pace, and broken off where the model is a fault."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from gateway.clock import Clock
from gateway.sandbox.bill import Attempt
from gateway.sandbox.catalogue import Fault, Model
from gateway.sandbox.connection import Connection
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import server_error

EVENTS_BEFORE_FAULT: Mapping[Fault, int] = {Fault.RESET: 5, Fault.STALL: 5, Fault.CUT: 5, Fault.MALFORMED: 3}
_JSON = "application/json"
_EVENT_STREAM = "text/event-stream; charset=utf-8"
_YIELD_EVERY = 32
_BREAKS_THE_ANSWER = frozenset({Fault.RESET, Fault.STALL, Fault.CUT, Fault.MALFORMED, Fault.ERROR_IN_200})


class Stream(Protocol):
    """What an answer looks like where it is sent part by part."""

    def begin(self) -> bytes:
        """Return what is sent with the headers, before anything is known of the answer."""

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield each part that carries something of the answer, and its tokens."""

    def end(self) -> bytes:
        """Return what follows the parts."""

    def error(self) -> bytes:
        """Return the part that says that the server failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Everything that is sent, before it is."""

    model: Model
    """The model that was asked: its pace, and its fault."""
    served: Model
    """The model that answers: its name, and its price."""
    usage: Usage
    """Of the whole answer."""
    headers: Mapping[str, str]
    whole: Callable[[], bytes]
    """Write the answer as one body."""
    stream: Stream | None = None
    """The answer in parts; None: it is sent whole."""
    content_type: str | None = None
    """None: JSON, or events."""
    when_done: Callable[[], None] | None = None
    """What happens as soon as the answer is known to its end."""

    def usage_after(self, output_tokens: int) -> Usage:
        """Return the usage once so many tokens are out."""
        return replace(self.usage, output_tokens=output_tokens)


async def send(connection: Connection, clock: Clock, attempt: Attempt, delivery: Delivery) -> None:
    """Send the answer.

    Raises:
        ClientGone: the client hung up, or the fault hung up on it.

    """
    if delivery.stream is not None:
        await _send_stream(connection, clock, attempt, delivery, delivery.stream)
    else:
        await _send_whole(connection, attempt, delivery)


async def _send_whole(connection: Connection, attempt: Attempt, delivery: Delivery) -> None:
    """Send the answer as one body, after the time that it takes to write."""
    model, output_tokens = delivery.model, delivery.usage.output_tokens
    writing_s = output_tokens / model.tokens_per_s if model.tokens_per_s else 0.0
    await connection.pause((model.latency_ms + model.first_token_ms) / 1000 + writing_s)
    if model.fault is Fault.RESET:
        await connection.reset()
    headers, body = {"content-type": delivery.content_type or _JSON, **delivery.headers}, delivery.whole()
    half = len(body) // 2
    if model.fault is Fault.ERROR_IN_200:
        headers["content-type"], body = _JSON, orjson.dumps(server_error().body)
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
    if delivery.when_done is not None:
        delivery.when_done()
    await connection.write(body, last=True)
    attempt.complete = model.fault not in _BREAKS_THE_ANSWER and not connection.gone


async def _send_stream(
    connection: Connection, clock: Clock, attempt: Attempt, delivery: Delivery, stream: Stream
) -> None:
    """Send the answer in parts, a few tokens each."""
    model = delivery.model
    await connection.pause(model.latency_ms / 1000)
    headers = {"content-type": delivery.content_type or _EVENT_STREAM, "cache-control": "no-cache", **delivery.headers}
    if model.fault is Fault.CUT:
        headers["connection"] = "close"
    await connection.start(200, headers)
    attempt.status = 200
    if begun := stream.begin():
        await connection.write(begun)
    if model.fault is Fault.ERROR_IN_200:
        await connection.pause(model.first_token_ms / 1000)
        await connection.write(stream.error(), last=True)
        return
    _bill(attempt, delivery, 0)
    await connection.pause(model.first_token_ms / 1000)
    await _send_parts(connection, clock, attempt, delivery, stream)
    if model.fault is Fault.CUT:
        await connection.write(b"", last=True)
        return
    end = stream.end()
    if delivery.when_done is not None:
        delivery.when_done()
    await connection.write(end, last=True)
    attempt.complete = model.fault not in _BREAKS_THE_ANSWER and not connection.gone


async def _send_parts(
    connection: Connection, clock: Clock, attempt: Attempt, delivery: Delivery, stream: Stream
) -> None:
    """Send the parts, each when its tokens are due; stop where the fault comes in."""
    model, sent_tokens, started_s = delivery.model, 0, clock.monotonic()
    fault_after = EVENTS_BEFORE_FAULT.get(model.fault) if model.fault else None
    for count, (part, tokens) in enumerate(stream.parts()):
        if count == fault_after:
            if model.fault is not Fault.MALFORMED:
                break
            await connection.write(part[: len(part) // 2] + b"\n\n")
        if model.tokens_per_s:
            await connection.pause(started_s + sent_tokens / model.tokens_per_s - clock.monotonic())
        elif count % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
            await connection.pause(0)
        await connection.write(part)
        sent_tokens += tokens
        attempt.usage = delivery.usage_after(sent_tokens)
    if model.fault is Fault.RESET:
        await connection.reset()
    elif model.fault is Fault.STALL:
        await connection.wait_until_gone()


def _bill(attempt: Attempt, delivery: Delivery, output_tokens: int) -> None:
    """Begin to charge the attempt to the model that answers it."""
    attempt.served = delivery.served.id
    attempt.price = delivery.served.price
    attempt.usage = delivery.usage_after(output_tokens)
