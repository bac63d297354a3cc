"""One connection to an upstream: httptools over an asyncio transport, and nothing between it and its holder.

What it leaves out is left out on purpose: no redirects, no cookies, no content codings (``identity`` is asked for), no
HTTP/2.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

if TYPE_CHECKING:
    from gateway.providers.http_client import Pool

HIGH_WATER_BYTES = 64 * 1024
MAX_HEADER_BYTES = 64 * 1024
LINGER_S = 0.5


class TransportError(Exception):
    """The exchange with the upstream broke; ``body_sent`` tells whether the request may have been seen."""

    def __init__(self, message: str, *, body_sent: bool) -> None:
        super().__init__(message)
        self.body_sent = body_sent

    def anew(self) -> "TransportError":
        """Return the same error to be raised: what was raised holds frames, and whoever keeps it is in a cycle."""
        return type(self)(str(self), body_sent=self.body_sent)


class ConnectFailed(TransportError):
    """No connection: refused, unreachable, unresolvable, or not within the time for connecting."""


class TlsFailed(TransportError):
    """The other side could not prove who it is."""


class Disconnected(TransportError):
    """The connection ended before the answer did."""


class Expired(TransportError):
    """The holder's own deadline passed while it waited."""


class BadResponse(TransportError):
    """What came back is not HTTP/1.1 that this client takes."""


class Connection(asyncio.Protocol):
    """One connection, carrying one exchange at a time.

    While an exchange runs, whoever holds the connection awaits ``wait_head`` and then ``next_block`` until it returns
    None. A holder that stops early calls ``discard``; one that read to the end calls ``release``.
    """

    __slots__ = (
        "_blocks",
        "_buffered",
        "_complete",
        "_error",
        "_framed",
        "_head_bytes",
        "_idle_handle",
        "_interim",
        "_lingering",
        "_parser",
        "_paused",
        "_reusable",
        "_unparsed_bytes",
        "_waiter",
        "content_type",
        "headers",
        "pool",
        "status",
        "transport",
    )

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.transport: asyncio.Transport | None = None
        self._idle_handle: asyncio.TimerHandle | None = None
        self._parser: Any = None
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_type = b""
        self._blocks: deque[bytes] = deque()
        self._buffered = 0
        self._complete = False
        self._error: TransportError | None = None
        self._framed = False
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._interim = False
        self._lingering = False
        self._paused = False
        self._reusable = False
        self._waiter: asyncio.Future[None] | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; stop reading while too much of it waits."""
        if self._parser is None:
            # Nobody asked: an idle connection that talks is not to be trusted with the next request.
            self.discard()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._error is None:
                self._fail(BadResponse(f"malformed HTTP from upstream: {error}", body_sent=True))
        if not self.status and self._error is None:
            # The parser keeps a header that does not end to itself.
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > MAX_HEADER_BYTES:
                self._fail(BadResponse("the upstream's headers are too large", body_sent=True))
        if self._buffered > HIGH_WATER_BYTES and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Close our side too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was under way."""
        self.transport = None
        if self._parser is None:
            self.pool.forget(self)
            return
        if not self._complete and self._error is None:
            if self.status and not self._framed and exc is None:
                # Neither a length nor chunks: the end of the connection is the end of the answer.
                self._complete = True
            else:
                self._error = Disconnected("the upstream closed the connection early", body_sent=True)
        self._wake()

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request: nobody asked, and it must not be taken for the next one's."""
        if self._complete:
            self._refuse("the upstream sent more than one answer to a request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEADER_BYTES:
            self._refuse("the upstream's headers are too large")
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._framed = True
        elif name == b"content-type":
            self.content_type = self.content_type or value
        elif name == b"content-encoding" and value.lower() != b"identity":
            self._refuse("the upstream compressed its answer, unasked")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the status."""
        status = self._parser.get_status_code()
        if status < 200:
            # An interim answer (100, 103): the real one follows.
            self.headers.clear()
            self.content_type = b""
            self._interim = True
            return
        self.status = status
        self._reusable = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self._blocks.append(data)
        self._buffered += len(data)

    def on_message_complete(self) -> None:
        """End of the body."""
        if self._interim:
            self._interim = False
            return
        self._complete = True
        if self._lingering:
            self._lingering = False
            self.finish()

    # What the holder calls.

    def start(self, request: bytes) -> None:
        """Send one complete request, head and body."""
        if self._idle_handle is not None:
            self._idle_handle.cancel()
            self._idle_handle = None
        self._reset()
        self._parser = httptools.HttpResponseParser(self)
        if self.transport is None:
            raise Disconnected("the connection is closed", body_sent=False)
        self.transport.write(request)

    async def wait_head(self) -> None:
        """Wait for status and headers.

        Raises:
            TransportError: the connection ended, or what came was not HTTP.
        """
        while not self.status:
            if self._error is not None:
                raise self._error.anew()
            await self._wait()

    async def read(self, limit_bytes: int) -> bytes:
        """Return the whole body.

        Raises:
            BadResponse: it is longer than ``limit_bytes``.
            TransportError: the connection ended before the body did.
        """
        received = 0
        blocks: list[bytes] = []
        while (block := await self.next_block()) is not None:
            received += len(block)
            if received > limit_bytes:
                raise BadResponse("the upstream's answer is too large", body_sent=True)
            blocks.append(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    async def next_block(self) -> bytes | None:
        """Return what has arrived since the last call, waiting for it; None at the clean end of the body.

        Raises:
            TransportError: the connection ended before the body did.
        """
        while not self._blocks:
            if self._complete:
                return None
            if self._error is not None:
                raise self._error.anew()
            await self._wait()
        blocks = self._blocks
        block = blocks.popleft() if len(blocks) == 1 else b"".join(blocks)
        blocks.clear()
        self._buffered = 0
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        return block

    def finish(self, *, linger: bool = False) -> None:
        """Give the connection back if the answer was read to its end, else close it at once.

        ``linger``: all that matters was read, and only the end of the body is missing; wait a moment for it.
        """
        if linger and not self._complete and self._error is None and self.transport is not None:
            self._lingering = True
            self._idle_handle = asyncio.get_running_loop().call_later(LINGER_S, self.discard)
            return
        if self._idle_handle is not None:
            self._idle_handle.cancel()
            self._idle_handle = None
        if self._complete and self._reusable and self.transport is not None and not self.transport.is_closing():
            if self._paused:
                # The next exchange would wait for its answer in vain.
                self.transport.resume_reading()
            self._parser = None
            self._blocks.clear()
            self.pool.put(self)
        else:
            self.discard()

    def expire(self, message: str) -> None:
        """End the exchange from outside: whoever waits on it gets ``Expired``."""
        if not self._complete and self._error is None:
            self._fail(Expired(message, body_sent=True))
            self._wake()

    def discard(self) -> None:
        """Close at once; what was not read is lost."""
        if self._idle_handle is not None:
            self._idle_handle.cancel()
            self._idle_handle = None
        self._reusable = False
        if self.transport is not None:
            self.transport.abort()

    def rest(self, idle_s: float, loop: asyncio.AbstractEventLoop) -> None:
        """Stay open for the next exchange, for a while."""
        self._idle_handle = loop.call_later(idle_s, self.discard)

    # Inside.

    def _wait(self) -> "asyncio.Future[None]":
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and (self.status or self._error is not None):
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _refuse(self, message: str) -> None:
        """Fail within a callback of the parser, and stop it: what it has not seen yet is not taken."""
        self._fail(BadResponse(message, body_sent=True))
        raise ValueError(message)

    def _fail(self, error: TransportError) -> None:
        self._error = error
        self.discard()
