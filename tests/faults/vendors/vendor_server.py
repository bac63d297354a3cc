"""A vendor whose wire format is not OpenAI's, on a free port: one script per model, a record of every call."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from fake_provider import Call, FakeProvider, Line, Script, framed, says

CLOSED = "closed"
RESET = "reset"
STALLED = "stalled"


class VendorServer(FakeProvider):
    """``models`` says how each model answers; whoever is not in it is answered by ``usual``."""

    def __init__(self, model_of: Callable[[Call], str], usual: Script) -> None:
        super().__init__()
        self._model_of = model_of
        self.usual = usual

    def asked(self, model: str | None = None) -> list[Call]:
        """The calls for answers, in the order of their arrival."""
        calls = [call for call in self.calls if call.method == "POST"]
        return calls if model is None else [call for call in calls if self._model_of(call) == model]

    def sent(self, model: str | None = None) -> Any:
        """The body of the one call for an answer."""
        (call,) = self.asked(model)
        return call.json

    def script_for(self, call: Call) -> Script:
        if call.method == "POST":
            return self.models.get(self._model_of(call), self.usual)
        return self.listing or says({"error": {"message": "no list here"}}, 500)


@asynccontextmanager
async def vendor(model_of: Callable[[Call], str], usual: Script) -> AsyncIterator[VendorServer]:
    """Serve on a free port of the running loop."""
    server = VendorServer(model_of, usual)
    listening = await asyncio.get_running_loop().create_server(lambda: Line(server), "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for line in tuple(server.lines):
            line.transport.abort()
    assert server.errors == []


def model_in_body(call: Call) -> str:
    return str(call.json["model"])


def model_in_path(call: Call) -> str:
    """The model of ``/…/models/NAME:verb`` and of ``/model/NAME/verb``."""
    behind = call.path.partition("?")[0].rpartition("/models/")[2] or call.path
    name = behind.partition("/model/")[2].rpartition("/")[0] if "/model/" in behind else behind.rpartition(":")[0]
    return unquote(name)


def event_stream(*parts: bytes, content_type: str = "text/event-stream", then: str = CLOSED) -> Script:
    """Send each part in a chunk of its own; then end well (``closed``), ``reset``, or wait for the caller to leave."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()

    async def script(call: Call) -> None:
        await call.send(head)
        for part in parts:
            await call.send(framed(part))
        if then == CLOSED:
            call.keeps_alive = True
            await call.send(b"0\r\n\r\n")
        elif then == RESET:
            # What was sent must have left before the connection is cut.
            await asyncio.sleep(0.05)
            call.reset()
        else:
            await call.closed.wait()

    return script


def whole_or_streamed(whole: Script, streamed: Script, streams: Callable[[Call], bool]) -> Script:
    """Answer as the request asks."""

    async def script(call: Call) -> None:
        await (streamed if streams(call) else whole)(call)

    return script


def compact(document: object) -> bytes:
    return json.dumps(document).encode()
