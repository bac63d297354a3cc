"""One HTTP exchange: its body, its answer, and, where the server lets us at it, the transport underneath."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from gateway.clock import Clock
from gateway.sandbox.refusals import body_too_large

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TRANSPORT_EXTENSION = "sandbox.transport"
MAX_BODY_BYTES = 32 * 1024 * 1024
_SHORT_PAUSE_S = 0.25


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


class Connection:
    """Reads a request and answers it, with pauses that end when the client does."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, clock: Clock) -> None:
        self._receive = receive
        self._send = send
        self._clock = clock
        self._transport: asyncio.Transport | None = (scope.get("extensions") or {}).get(TRANSPORT_EXTENSION)
        self._disconnected = False

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._disconnected or (self._transport is not None and self._transport.is_closing())

    async def body(self) -> bytes:
        """Return the request's body.

        Raises:
            ClientGone: the client hung up before its end.
            ProviderError: 413.

        """
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            return bytes(message.get("body", b""))
        parts, size = [], 0
        while message["type"] == "http.request":
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY_BYTES:
                raise body_too_large()
            if not message.get("more_body", False):
                return b"".join(parts)
            message = await self._receive()
        self._disconnected = True
        raise ClientGone

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and the headers."""
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of the body; ``last`` ends the answer."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def send_json(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        """Send a whole answer; ``headers`` may say a content type of their own."""
        await self.send_bytes(status, orjson.dumps(body), {"content-type": "application/json", **headers})

    async def send_bytes(self, status: int, raw: bytes, headers: Mapping[str, str]) -> None:
        """Send a whole answer as it stands."""
        known = {"content-type": "application/octet-stream", **headers, "content-length": str(len(raw))}
        await self.start(status, known)
        await self.write(raw, last=True)

    async def pause(self, seconds: float) -> None:
        """Wait; a long wait ends at once when the client hangs up.

        Raises:
            ClientGone: it did.

        """
        if seconds > _SHORT_PAUSE_S:
            sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
            hanging_up = asyncio.ensure_future(self._hang_up())
            try:
                await asyncio.wait((sleeping, hanging_up), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                hanging_up.cancel()
        elif seconds > 0:
            await self._clock.sleep(seconds)
        if self.gone:
            raise ClientGone

    async def wait_until_gone(self) -> None:
        """Say nothing until the client hangs up.

        Raises:
            ClientGone: always.

        """
        await self._hang_up()
        raise ClientGone

    async def reset(self) -> None:
        """Break the connection with a TCP RST.

        Raises:
            ClientGone: always.

        """
        await self._flushed()
        if self._transport is not None:
            # Closing a socket that lingers for zero seconds sends RST instead of FIN.
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        await self.wait_until_gone()

    async def close(self) -> None:
        """Close the connection with a FIN, wherever the answer stands.

        Raises:
            ClientGone: always.

        """
        await self._flushed()
        if self._transport is not None:
            self._transport.close()
        await self.wait_until_gone()

    async def _flushed(self) -> None:
        """Let the event loop hand over what was written: an abort would drop it."""
        for _ in range(100):
            await asyncio.sleep(0)
            if self._transport is None or not self._transport.get_write_buffer_size():
                break
        await asyncio.sleep(0)

    async def _hang_up(self) -> None:
        while not self._disconnected:
            self._disconnected = (await self._receive())["type"] == "http.disconnect"
