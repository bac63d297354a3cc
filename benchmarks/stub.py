"""The stub upstream for streams, and for plain answers where nginx is not installed: one process, one uvloop.

    python -m benchmarks.stub PORT

It reads just enough HTTP/1.1 to find the end of a request, and answers with bytes that were made at the start. A
stream goes out in groups of four events, one group per turn of the event loop: the groups of many streams interleave
on the wire, and a gateway cannot relay a whole answer with one read.
"""

import asyncio
import re
import sys
from typing import cast

import uvloop

from benchmarks.answers import EVENTS_PER_WRITE, anthropics_body, models_body, plain_body, stream_events

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def frame(events: list[bytes]) -> list[bytes]:
    """Put each event into a transfer frame of its own, and the frames into groups that are written at once."""
    frames = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    frames.append(b"0\r\n\r\n")
    return [b"".join(frames[i : i + EVENTS_PER_WRITE]) for i in range(0, len(frames), EVENTS_PER_WRITE)]


def whole(body: bytes) -> bytes:
    """Put a head before a JSON body."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


PLAIN = whole(plain_body())
MODELS = whole(models_body())
ANTHROPICS = whole(anthropics_body())
GROUPS = {usage: frame(stream_events(with_usage=usage)) for usage in (False, True)}


class Stub(asyncio.Protocol):
    """One connection: requests are answered one after the other, and read only once the last answer is out."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._answering = False
        self._writable = True
        self._waiting: tuple[list[bytes], int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class does not inherit from it

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._answering:
            self._next()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._waiting:
            waiting, self._waiting = self._waiting, None
            self._write_group(*waiting)

    def _next(self) -> None:
        request = self._take_request()
        if request is None:
            return
        if request.startswith(b"GET"):
            self._transport.write(MODELS)
        elif request.startswith(b"POST /v1/messages"):
            self._transport.write(ANTHROPICS)
        elif _STREAM.search(request) is None:
            self._transport.write(PLAIN)
        else:
            self._answering = True
            self._transport.write(_STREAM_HEAD)
            self._write_group(GROUPS[b'"include_usage"' in request], 0)

    def _take_request(self) -> bytes | None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        if match := _LENGTH.search(self._received, 0, end):
            end += 4 + int(match[1])
        elif _CHUNKED.search(self._received, 0, end):
            last = self._received.find(b"0\r\n\r\n", end)
            end = last + 5 if last > 0 else sys.maxsize
        else:
            end += 4
        if len(self._received) < end:
            return None
        request, self._received = self._received[:end], self._received[end:]
        return request

    def _write_group(self, groups: list[bytes], at: int) -> None:
        if self._transport.is_closing():
            return
        if not self._writable:
            self._waiting = (groups, at)
            return
        self._transport.write(groups[at])
        if at + 1 < len(groups):
            self._loop.call_soon(self._write_group, groups, at + 1)
        else:
            self._answering = False
            self._next()


async def serve(port: int) -> None:
    """Listen on the loopback until the process is told to end."""
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
