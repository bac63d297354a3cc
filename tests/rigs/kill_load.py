"""Callers of gateways that are killed under them, and what each one saw."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

CRLF = "\r\n"
LONGEST_S = 30.0
ROUTE = "reply"
PLAIN_TOKENS = 40
# Each is one token to the sandbox and, with its space, four characters to whoever estimates.
_WORDS = ("ask", "bag", "cup", "day", "ear", "fan", "gas", "hat", "ice", "jam", "key", "leg", "map", "net", "oil")


class Gateway(Protocol):
    """Where a gateway listens, for as long as it does."""

    port: int


class Call(NamedTuple):
    """One request, as its caller saw it."""

    request_id: str
    streamed: bool
    status: int
    """0: no answer began."""
    ended: bool
    """Whether the whole answer came, to its end."""
    code: str | None = None
    """The error's code, in an answer or within a stream."""


@dataclass
class Seen:
    """Everything that callers saw; a refused connection is not a call."""

    calls: list[Call] = field(default_factory=list)
    refused: int = 0
    """Connections that no gateway took."""

    @property
    def ended(self) -> list[Call]:
        return [call for call in self.calls if call.ended and call.status == 200 and call.code is None]

    @property
    def failed(self) -> list[Call]:
        return [call for call in self.calls if not call.ended or call.status != 200 or call.code is not None]


def words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(_WORDS, k=count))


def plain_body(chance: random.Random) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words(chance, 20)}], "max_tokens": PLAIN_TOKENS}


def short_stream_body(chance: random.Random) -> dict[str, Any]:
    return {**plain_body(chance), "stream": True}


def long_stream_body(chance: random.Random) -> dict[str, Any]:
    """Return a request with so many answers that they take some four seconds to write."""
    return {"messages": [{"role": "user", "content": words(chance, 20)}], "n": 4, "stream": True}


KINDS = (plain_body, plain_body, short_stream_body, long_stream_body)


async def get(port: int, path: str) -> tuple[int, bytes]:
    """Return the status and the body of a page; raises OSError where nobody answers."""
    return (await _exchange(port, f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode()))[:2]


async def ask(port: int, request_id: str, body: Mapping[str, Any], key: str | None = None) -> Call:
    """Send one request over a connection of its own, and read what comes.

    Raises:
        ConnectionRefusedError: nobody listens there; nothing was sent.
    """
    document = json.dumps({"model": ROUTE, **body}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        "content-type: application/json\r\nx-gateway-tags: desk=returns\r\n"
        f"{'' if key is None else f'authorization: Bearer {key}{CRLF}'}"
        f"x-request-id: {request_id}\r\ncontent-length: {len(document)}\r\n\r\n"
    )
    streamed = bool(body.get("stream"))
    try:
        async with asyncio.timeout(LONGEST_S):
            status, answer, whole = await _exchange(port, head.encode() + document)
    except ConnectionRefusedError:
        raise
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return Call(request_id, streamed, 0, ended=False)
    if not streamed or status != 200:
        code = json.loads(answer)["error"]["code"] if whole and status != 200 else None
        return Call(request_id, streamed, status, whole, code)
    errors = [
        json.loads(line[6:])["error"]["code"] for line in answer.split(b"\n") if line.startswith(b'data: {"error')
    ]
    # A caller of a stream is served once it has seen its last event, whatever becomes of the connection.
    return Call(request_id, streamed, status, b"data: [DONE]" in answer, errors[0] if errors else None)


async def _exchange(port: int, request: bytes) -> tuple[int, bytes, bool]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        writer.write(request)
        received = bytearray()
        try:
            while part := await reader.read(1 << 16):
                received += part
        except ConnectionError:
            if not received:
                raise
        return _parsed(bytes(received))
    finally:
        writer.transport.abort()


def _parsed(received: bytes) -> tuple[int, bytes, bool]:
    head, separator, rest = received.partition(b"\r\n\r\n")
    if not separator:
        raise ConnectionResetError("the answer ended before its headers did")
    status = int(head.split(b" ", 2)[1])
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in headers:
        return status, rest, len(rest) == int(headers[b"content-length"])
    whole, body = rest.endswith(b"0\r\n\r\n"), bytearray()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size or b"0", 16)
        body += rest[:length]
        rest = rest[length + 2 :]
    return status, bytes(body), whole


@asynccontextmanager
async def load(
    gateways: Sequence[Gateway],
    chance: random.Random,
    *,
    callers: int,
    pause_s: float = 0.0,
    name: str = "r",
    key: str | None = None,
) -> AsyncIterator[Seen]:
    """Keep so many callers asking, each one request after another, now of one gateway and now of another."""
    seen, stopping = Seen(), asyncio.Event()
    numbers = iter(range(10**9))

    async def caller(chance: random.Random) -> None:
        while not stopping.is_set():
            gateway, body = chance.choice(gateways), chance.choice(KINDS)(chance)
            try:
                call = await ask(gateway.port, f"{name}-{next(numbers)}", body, key)
                seen.calls.append(call)
                if call.status not in (0, 200):
                    await asyncio.sleep(0.2)
            except OSError:
                seen.refused += 1
                await asyncio.sleep(0.03)
            if pause_s:
                await asyncio.sleep(pause_s * chance.uniform(0.5, 1.5))

    tasks = [asyncio.create_task(caller(random.Random(chance.random()))) for _ in range(callers)]
    try:
        yield seen
    finally:
        stopping.set()
        await asyncio.gather(*tasks)
