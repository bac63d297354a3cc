"""A provider that misbehaves as it is told: a raw socket server, one script per model, a record of every call."""

import asyncio
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

Script = Callable[["Call"], Awaitable[None]]
USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


@dataclass
class Call:
    """One request as it arrived, and the way to answer it."""

    line: "Line"
    head: bytes
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    arrived_at: float = field(default_factory=time.monotonic)
    closed_at: float = 0.0
    """When the connection was seen to end, by whichever side."""
    sent_bytes: int = 0
    keeps_alive: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)

    async def send(self, data: bytes) -> None:
        """Send bytes; returns when the other side has taken enough of them."""
        self.line.transport.write(data)
        self.sent_bytes += len(data)
        await self.line.writable.wait()
        # A script whose connection has ended is cancelled, which takes effect only where it pauses.
        await asyncio.sleep(0)

    def reset(self) -> None:
        """Cut the connection with a RST."""
        linger = struct.pack("ii", 1, 0)
        self.line.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.line.transport.abort()


class Line(asyncio.Protocol):
    """One connection; plays one script at a time."""

    transport: asyncio.Transport

    def __init__(self, provider: "FakeProvider") -> None:
        self.provider = provider
        self.writable = asyncio.Event()
        self.writable.set()
        self._received = b""
        self._call: Call | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=64 * 1024)
        self.provider.lines.add(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self.provider.lines.discard(self)
        self.writable.set()
        if self._call is not None:
            self._call.closed_at = time.monotonic()
            self._call.closed.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _next(self) -> None:
        """Start answering, where a whole request has arrived and none is being answered."""
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if self._task is not None or not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = int(next((value for name, value in headers if name == "content-length"), "0"))
        if len(rest) < length:
            return
        self._received = rest[length:]
        self._call = call = Call(self, head, method, path, headers, rest[:length])
        self.provider.calls.append(call)
        self._task = asyncio.get_running_loop().create_task(self._play(call))

    async def _play(self, call: Call) -> None:
        try:
            await self.provider.script_for(call)(call)
        except Exception as error:
            self.provider.errors.append(error)
        self._task = None
        if call.keeps_alive:
            self._next()
        else:
            self.transport.close()


class FakeProvider:
    """Calls arrive in ``calls``; ``models`` says how each model behaves, ``listed`` which ones the list shows.

    ``listing``, where it is set, answers every look at the list instead; ``paths`` what is asked at a path, before
    anything else is looked at.
    """

    def __init__(self) -> None:
        self.models: dict[str, Script] = {}
        self.paths: dict[str, Script] = {}
        self.listed: list[str] | None = []
        self.listing: Script | None = None
        self.calls: list[Call] = []
        self.lines: set[Line] = set()
        self.errors: list[Exception] = []
        self.base_url = ""

    def chats(self, model: str | None = None) -> list[Call]:
        """The calls for completions, in the order of their arrival."""
        calls = [call for call in self.calls if call.method == "POST"]
        return calls if model is None else [call for call in calls if call.json["model"] == model]

    def script_for(self, call: Call) -> Script:
        if call.path in self.paths:
            return self.paths[call.path]
        if call.method == "POST":
            return self.models.get(call.json["model"], answers)
        if self.listing is not None:
            return self.listing
        if self.listed is None:
            return says({"error": {"message": "no list here"}}, 500)
        if call.path == "/v1/models":
            return says({"object": "list", "data": [{"id": name} for name in self.listed]})
        known = call.path.removeprefix("/v1/models/") in self.listed
        return says({}) if known else says({"error": {"message": "not found", "code": "model_not_found"}}, 404)


@asynccontextmanager
async def running_provider(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeProvider]:
    """Serve on a free port of the running loop."""
    provider = FakeProvider()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Line(provider), "127.0.0.1", 0, ssl=tls, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    provider.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
    try:
        yield provider
    finally:
        server.close()
        for line in tuple(provider.lines):
            line.transport.abort()


# What providers say.


def completion(text: str = "Hello.", **changes: Any) -> dict[str, Any]:
    """A whole answer; a change to None leaves the field out."""
    message = {"role": "assistant", "content": text}
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "base",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def chunk(text: str | None = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One event of a stream."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "base", "choices": [choice]} | more


def usage_chunk(usage: object = USAGE) -> dict[str, Any]:
    """The event that only counts."""
    return chunk(choices=[], usage=usage)


WHOLE_STREAM = (chunk("Hel"), chunk("lo."), chunk(finish="stop"), usage_chunk(), DONE)


def sse(event: dict[str, Any] | bytes) -> bytes:
    return event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() + b"\n\n"


def framed(data: bytes) -> bytes:
    """One chunk of chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reply(body: object, status: int = 200, headers: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> bytes:
    """A complete response; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if not any(name == "content-type" for name, _ in pairs):
        pairs.append(("content-type", "application/json"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    return f"HTTP/1.1 {status} Said\r\n{lines}content-length: {len(data)}\r\n\r\n".encode("latin-1") + data


# Scripts.


def says(body: object = None, status: int = 200, headers: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> Script:
    """Answer completely, and keep the connection; no body: a usual answer."""

    async def script(call: Call) -> None:
        call.keeps_alive = True
        await call.send(reply(completion(model=call.json["model"]) if body is None else body, status, headers))

    return script


def streams(*events: dict[str, Any] | bytes, then: str = "end") -> Script:
    """Send events, each in a chunk of its own; then ``end`` well, ``fin``, ``reset`` or ``stall``."""

    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD)
        for event in events:
            await call.send(framed(sse(event)))
        if then == "end":
            call.keeps_alive = True
            await call.send(b"0\r\n\r\n")
        elif then == "reset":
            # What was sent must have left before the connection is cut.
            await asyncio.sleep(0.05)
            call.reset()
        elif then == "stall":
            await call.closed.wait()

    return script


def writes(*parts: bytes, then: str = "fin") -> Script:
    """Send these very bytes, then ``fin`` or ``stall``."""

    async def script(call: Call) -> None:
        for part in parts:
            await call.send(part)
        if then == "stall":
            await call.closed.wait()

    return script


def in_turn(*scripts: Script) -> Script:
    """Play one script per call, the last one for all that follow."""
    left = list(scripts)

    async def script(call: Call) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(call)

    return script


async def answers(call: Call) -> None:
    """Answer as a good provider does."""
    model = call.json["model"]
    good = streams(*(e | {"model": model} if isinstance(e, dict) else e for e in WHOLE_STREAM))
    await (good if call.json.get("stream") else says())(call)


async def hangs(call: Call) -> None:
    """Take the request, and never say a word."""
    await call.closed.wait()


def refuses(status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None) -> Script:
    """Answer with an error in OpenAI's shape."""
    return says(
        {"error": {"message": message, "type": "some_error", "param": None, "code": code}}, status, headers or ()
    )


GONE = refuses(404, "The model `tuned` does not exist or you do not have access to it.", "model_not_found")
