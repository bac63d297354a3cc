"""A caller's connection: uvicorn's, with limits that no middleware can keep, because it sees whole requests only.

The head is kept here until it is whole, and read strictly (``protocol_heads``); where the body ends is found here too
(``protocol_chunks``), so that the parser is given one request at a time, and what follows it only after its answer.
Deadlines are looked at by one timer for all connections (``protocol_watch``).
"""

import asyncio
import enum
import math
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.cli.protocol_chunks import Chunks
from gateway.cli.protocol_heads import CHUNKED, PartialHead, Refused, may_begin, read_head, without_upgrade
from gateway.cli.protocol_watch import Watch, answer_of
from gateway.reasons import ProtocolRefusal

MOST_UNSENT_BYTES: Final = 64 * 1024
"""Of one answer, in this process; the kernel holds as much again (``serve``), and the app one part of a stream."""
MOST_SWALLOWED_BYTES: Final = 256 * 1024
"""Of a body that nobody wants any more, so that its connection can be used again."""
MOST_DROPPED_BYTES: Final = 2 * 1024 * 1024
MOST_DROPPED_BODY_BYTES: Final = 32 * 1024 * 1024
"""Of what a refused caller still sends, so that it reads why; the latter where it has said how much there will be."""
STOPPING_LINGER_S: Final = 0.3
PAUSED_LINGER_S: Final = 1.0
"""How long a refused caller keeps its connection who is not listened to any more."""
_NEVER: Final = math.inf
_CARRIAGE_RETURN: Final = 13
_EMPTY_LINE: Final = b"\r\n\r\n"


class _Stage(enum.Enum):
    IDLE = enum.auto()
    """Nothing of a request is there."""
    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWERING = enum.auto()
    """The request is complete."""
    LINGERING = enum.auto()
    """Nothing more is said; what arrives is dropped, until the caller has read why, or its time is over."""


class _Lingering:
    """A transport that is closed only when its caller has had a chance to read what was said.

    The kernel answers bytes that nobody reads with a reset, which takes from the caller what it had not read yet.
    An answer's head waits for what follows it: both are one call of the kernel, and one packet, instead of two.
    """

    __slots__ = ("_head", "_protocol", "_transport", "abort", "get_extra_info", "is_closing", "pause_reading")

    def __init__(self, transport: asyncio.Transport, protocol: "LimitedProtocol") -> None:
        self._transport = transport
        self._protocol = protocol
        self._head: bytes | None = None
        """Of the current answer: None before it, nothing once it was sent."""
        self.is_closing, self.abort = transport.is_closing, transport.abort
        self.get_extra_info, self.pause_reading = transport.get_extra_info, transport.pause_reading

    def write(self, data: bytes) -> None:
        if self._head:
            self._transport.writelines((self._head, data))
            self._head = b""
        elif self._head is None and self._protocol.cycle.response_started:
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that nothing follows; what is written next is of another answer."""
        if self._head:
            self._transport.write(self._head)
        self._head = None

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        self._protocol.leave()


class LimitedProtocol(HttpToolsProtocol):
    """One connection; ``watch`` is what it shares with all others."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = watch
        self._limits = watch.limits
        self._stage = _Stage.IDLE
        self._due = _NEVER
        self._head: PartialHead | None = None
        self._chunks: Chunks | None = None
        self._left = 0
        """Bytes of the body that are still to come, where its length is known; while lingering, bytes to drop."""
        self._taken = 0
        """Bytes of the body that arrived."""
        self._began_at = 0.0
        self._before: Any = None
        """The cycle of the request before the current one."""
        self._next = b""
        """What arrived after the current request."""
        self._is_parsed = False
        self._unsent = 0
        self._moved_at = 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away."""
        self._real = transport
        transport.set_write_buffer_limits(high=MOST_UNSENT_BYTES)
        self._answer = _Lingering(transport, self)
        super().connection_made(self._answer)  # type: ignore[arg-type]
        self._moved_at = now = self.loop.time()
        self._due = now + self._limits.header_s
        self._watch.add(self)
        if self._watch.is_full:
            self.refuse(ProtocolRefusal.TOO_MANY_CONNECTIONS, "Too many callers are connected; try again in a second.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._watch.discard(self)
        if self._stage is _Stage.LINGERING:
            self._watch.lingering -= 1
        self._stage, self._due = _Stage.ANSWERING, _NEVER
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        try:
            match self._stage:
                case _Stage.IDLE:
                    self._begin(data)
                case _Stage.HEAD:
                    self._go_on_with_head(data)
                case _Stage.BODY:
                    self._go_on_with_body(data)
                case _Stage.ANSWERING:
                    self._keep(data)
                case _Stage.LINGERING:
                    self._drop(len(data))
        except Refused as refused:
            self.refuse(refused.refusal, refused.why)

    # A request, as it arrives.

    def _begin(self, data: bytes) -> None:
        if data[0] == _CARRIAGE_RETURN:
            # One line end before a request is no fault; older clients send it after a body.
            data = data.removeprefix(b"\r\n")
            if not data:
                return
        self._before, self._is_parsed = self.cycle, False
        end = data.find(_EMPTY_LINE)
        if end < 0:
            self._begin_partial(data)
            return
        length, offers_upgrade = read_head(data, end)
        body_at = end + len(_EMPTY_LINE)
        if body_at + length == len(data) and length != CHUNKED and not offers_upgrade:
            self._complete()
            self._parse(data)
            return
        self._chunks, self._left = (Chunks(), 0) if length == CHUNKED else (None, length)
        head, body = data[:body_at], data[body_at:]
        if offers_upgrade:
            head = without_upgrade(head)
        ends = self._end_in(body)
        if ends < 0:
            self._stage = _Stage.BODY
            self._taken, self._began_at = len(body), self.loop.time()
            self._due = self._began_at + min(self._limits.body_s, self._limits.body_grace_s)
            self._parse(head + body)
        else:
            self._complete()
            self._parse(head + body[:ends])
            if ends < len(body):
                self._keep(body[ends:])

    def _begin_partial(self, data: bytes) -> None:
        self._stage, self._head = _Stage.HEAD, PartialHead()
        if self.cycle is not None:
            self._due = self.loop.time() + self._limits.header_s
        self._go_on_with_head(data)

    def _go_on_with_head(self, data: bytes) -> None:
        assert self._head is not None
        whole = self._head.add(data)
        if whole is not None:
            self._stage, self._head = _Stage.IDLE, None
            self._begin(whole)

    def _go_on_with_body(self, data: bytes) -> None:
        self._taken += len(data)
        ends = self._end_in(data)
        if ends < 0:
            self._parse(data)
            return
        self._complete()
        self._parse(data[:ends])
        if ends < len(data):
            self._keep(data[ends:])
        if self.cycle.response_complete:
            self._rest()

    def _end_in(self, data: bytes) -> int:
        """Return where in ``data`` the body ends, or -1."""
        if self._chunks is not None:
            return self._chunks.take(data)
        ends = self._left if len(data) >= self._left else -1
        self._left -= len(data)
        return ends

    def _complete(self) -> None:
        self._stage, self._due = _Stage.ANSWERING, _NEVER

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise Refused(ProtocolRefusal.MALFORMED, "This is not an HTTP/1.1 request.") from None
        if self._is_parsed is not (self._stage is _Stage.ANSWERING):
            raise Refused(ProtocolRefusal.SMUGGLING, "Where this request ends can be read in two ways.")

    def on_message_complete(self) -> None:
        """Hear from the parser that a request ends here."""
        self._is_parsed = True
        super().on_message_complete()

    def _keep(self, data: bytes) -> None:
        """Keep what follows a request until that is answered; where it cannot be another request, end after it."""
        self._next += data
        self.flow.pause_reading()
        if not may_begin(self._next):
            self.cycle.keep_alive = False

    # Its answer.

    def on_response_complete(self) -> None:
        """Hear that an answer has been given."""
        self.server_state.total_requests += 1
        self._answer.flush()
        if self.transport.is_closing() or self._stage is _Stage.LINGERING:
            return
        self.flow.resume_reading()
        if self._stage is _Stage.ANSWERING:
            self._rest()
        elif self._chunks is not None or self._left > MOST_SWALLOWED_BYTES or self.expect_100_continue:
            self.leave()

    def _rest(self) -> None:
        """Wait for the next request, or begin with what is there of it."""
        self._stage, self._due = _Stage.IDLE, self._watch.now + self._limits.idle_s
        if self._next:
            data, self._next = self._next, b""
            self.flow.resume_reading()
            self.data_received(data)

    def refuse(self, refusal: ProtocolRefusal, why: str) -> None:
        """Say why, if nothing was said yet, and end the connection."""
        self._watch.refused(refusal)
        cycle = self.cycle if self.cycle is not self._before else None
        if cycle is None or not cycle.response_started:
            self._real.write(answer_of(refusal, why))
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._linger()

    def leave(self) -> None:
        """Close the connection when all that was said has been sent."""
        self._answer.flush()
        if self._stage is _Stage.BODY or self._next or self.flow.read_paused:
            self._linger()
        elif self._stage is not _Stage.LINGERING:
            self._real.close()

    def _linger(self) -> None:
        if self._stage is _Stage.LINGERING or self._real.is_closing():
            return
        self._answer.flush()
        if not self._watch.may_linger:
            self._due = _NEVER
            self._real.close()
            return
        is_known = self._stage is _Stage.BODY and self._chunks is None and self._left <= MOST_DROPPED_BODY_BYTES
        self._left = self._left if is_known else MOST_DROPPED_BYTES
        self._stage, self._head, self._next = _Stage.LINGERING, None, b""
        self._watch.lingering += 1
        self._due = self.loop.time() + (STOPPING_LINGER_S if self._watch.stopping else self._limits.linger_s)
        self._real.write_eof()
        self.flow.resume_reading()

    def _drop(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self._real.pause_reading()
            self._due = min(self._due, self.loop.time() + PAUSED_LINGER_S)

    # Its deadlines.

    def is_late(self, now: float) -> bool:
        """Tell whether a deadline is over; look whether the caller still takes what is sent."""
        unsent = self._real.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._moved_at = now
        self._unsent = unsent
        return self._due <= now or (unsent > 0 and now - self._moved_at >= self._limits.write_s)

    def end_if_late(self, now: float) -> None:
        """Do what the deadline is for that is over, unless it has moved in the meantime."""
        if self._due <= now:
            self._overdue(now)
        if self._unsent and now - self._moved_at >= self._limits.write_s:
            self._unsent = 0
            self._watch.refused(ProtocolRefusal.SLOW_READER)
            self._real.abort()

    def shutdown(self) -> None:
        """End it between two requests, or, where one has begun, as soon as it can be told."""
        if self._stage is _Stage.HEAD:
            self._overdue(self.loop.time())
        else:
            super().shutdown()

    def hurry(self, due: float) -> None:
        """Have a request complete until then, or an end."""
        if self._stage in (_Stage.HEAD, _Stage.BODY, _Stage.LINGERING):
            self._due = min(self._due, due)

    def _overdue(self, now: float) -> None:
        match self._stage:
            case _Stage.IDLE:
                if self.cycle is None:
                    self._watch.refused(ProtocolRefusal.HEADER_TIMEOUT)
                self._real.close()
            case _Stage.LINGERING:
                # What the caller has not taken yet has a deadline of its own.
                if not self._real.get_write_buffer_size():
                    self._real.abort()
            case _ if self._watch.stopping:
                self.refuse(ProtocolRefusal.STOPPING, "This gateway is being stopped; send the request again.")
            case _Stage.HEAD:
                why = f"The request's head was not complete after {self._limits.header_s:g} s."
                self.refuse(ProtocolRefusal.HEADER_TIMEOUT, why)
            case _Stage.BODY:
                self._body_overdue(now)

    def _body_overdue(self, now: float) -> None:
        limits, lasted_s = self._limits, now - self._began_at
        if lasted_s >= limits.body_s:
            why = f"The request's body was not complete after {limits.body_s:g} s."
        elif self._taken < limits.body_bytes_per_s * lasted_s and not self.flow.read_paused:
            why = f"The request's body came more slowly than {limits.body_bytes_per_s:,} bytes a second."
        else:
            # Looked at again with every sweep.
            return
        self.refuse(ProtocolRefusal.BODY_TIMEOUT, why)

    def resume_writing(self) -> None:
        """Hear that the caller has taken what waited for it."""
        self._moved_at = self._watch.now
        super().resume_writing()
