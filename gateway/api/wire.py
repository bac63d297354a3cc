"""The endpoints that take a model: plain ASGI callables, dispatched ahead of FastAPI, which would cost a third."""

import asyncio
from collections.abc import Mapping
from random import getrandbits
from typing import TYPE_CHECKING

import orjson
import structlog
from starlette.types import Message, Receive, Scope, Send

from gateway.api.guard import Guard, RawHeaders, peer_of, request_id
from gateway.api.json_guard import read_object
from gateway.api.telling import event_of
from gateway.clock import Clock
from gateway.config.callers import ANYBODY, Caller
from gateway.errors import (
    BodyTooLarge,
    GatewayError,
    RequestError,
    TooManyFailures,
    Unauthenticated,
    UnsupportedMediaType,
)
from gateway.execution.endpoints.endpoint import Endpoint
from gateway.execution.endpoints.multipart import read_form
from gateway.execution.id_owners import IdOwners
from gateway.execution.pipeline import Pipeline
from gateway.execution.request import Request
from gateway.execution.request_event import Listener
from gateway.execution.streaming import STREAM_TYPE
from gateway.execution.sweeper import Sweeper
from gateway.metrics import OTHER, Metrics
from gateway.policy.tags import read_tags

if TYPE_CHECKING:
    from gateway.api.stopping import Answering

log = structlog.get_logger()
STALLED_CALLER_S = 60.0
"""A caller who has taken nothing of a stream for so long is given up."""


class CallerLeft(Exception):
    """The connection closed before the request was complete."""


class ModelEndpoint:
    """``POST`` to one endpoint that takes a model."""

    def __init__(
        self,
        endpoint: Endpoint,
        pipeline: Pipeline,
        guard: Guard,
        *,
        clock: Clock,
        max_body_bytes: int,
        metrics: Metrics,
        id_owners: IdOwners,
        told: Listener | None = None,
    ) -> None:
        """``told`` hears of every request when it is over."""
        self._told = told
        self._endpoint = endpoint
        self._pipeline = pipeline
        self._guard = guard
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics
        self._id_owners = id_owners if endpoint.refers else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started, started_at = self._clock.monotonic(), self._clock.now()
        headers: RawHeaders = scope["headers"]
        id_ = (request_id(headers) or new_request_id()).decode()
        reply = AsgiReply(send)
        answering: Answering = scope["gateway.answering"]
        answering.reply = reply
        error: GatewayError | None = None
        try:
            caller = self._guard.admit("POST", scope["path"], headers, scope["query_string"], peer_of(scope))
            request = self._read(headers, await read_body(receive, headers, self._max_body_bytes))
            request.id, request.session, request.tags = id_, session_of(headers), tags_of(headers, caller)
            request.caller, request.key, request.residency = caller, caller.name or None, caller.residency
            if self._id_owners is not None:
                self._id_owners.put_on(request)
            request.started, request.started_at = started, started_at
            answering.request = request
            watch = CallerWatch(receive, request, reply, answering.task, self._pipeline.sweeper)
            try:
                await self._pipeline.answer(request, reply)
            except asyncio.CancelledError:
                if not watch.caller_left:
                    raise
                asyncio.current_task().uncancel()  # type: ignore[union-attr]
            finally:
                watch.stop()
        except CallerLeft:
            return
        except GatewayError as refused:
            # Their frames hold this one, and with it the body: a cycle, which would stay until it is looked for.
            error, refused.__context__ = refused.with_traceback(None), None
            if isinstance(error, Unauthenticated | TooManyFailures):
                self._metrics.auth_failures.inc()
            if isinstance(error, RequestError) and not error.headers.get("x-gateway-route"):
                # Refused before it had a route.
                self._metrics.requests.labels(OTHER, self._endpoint.name, str(error.status), "").inc()
            await reply.error(error, id_)
        except Exception:
            log.exception("unexpected_error", request_id=id_)
            error = GatewayError("The gateway failed; its log has the details under this request id.")
            if not reply.begun:
                await reply.error(error, id_)
        finally:
            if self._told is not None:
                duration_s = self._clock.monotonic() - started
                self._told(event_of(self._endpoint.name, headers, answering, id_, started_at, duration_s, error))

    def _read(self, headers: RawHeaders, body: bytes) -> Request:
        content_type = next((value for name, value in headers if name == b"content-type"), b"")
        if not content_type.lower().startswith(b"multipart/"):
            return self._endpoint.read(read_object(body))
        if not self._endpoint.takes_forms:
            raise UnsupportedMediaType("Send 'Content-Type: application/json'; this endpoint takes no forms.")
        form = read_form(body, content_type)
        request = self._endpoint.read(form.fields())
        request.form = form
        return request


class AsgiReply:
    """Sends an answer through ASGI; ``send`` waits while the caller reads slowly."""

    __slots__ = ("_send", "begun", "blocks", "takes_events", "waiting")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.takes_events = False
        """Whether it is a stream of events that has not ended yet."""
        self.blocks = 0
        """Parts of a stream that were sent."""
        self.waiting = False
        """Whether another one waits for the caller to take what was sent."""

    async def whole(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """Send a complete answer."""
        self.begun = True
        headers.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, headers: RawHeaders) -> None:
        """Commit a streamed answer."""
        self.begun = True
        self.takes_events = any(name == b"content-type" and value == STREAM_TYPE for name, value in headers)
        headers.append((b"cache-control", b"no-cache"))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def block(self, data: bytes) -> None:
        """Send a part of a streamed answer."""
        self.waiting = True
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.waiting = False
        self.blocks += 1

    async def end(self) -> None:
        """Close a streamed answer."""
        self.takes_events = False
        await self._send({"type": "http.response.body", "body": b""})

    def cut(self) -> None:
        """Send no end: the server closes the connection, and the caller sees that something is missing."""
        self.begun = True

    async def error(self, error: GatewayError, id_: str) -> None:
        """Send an error in OpenAI's shape."""
        headers = [(b"content-type", b"application/json"), (b"x-request-id", id_.encode())]
        headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()]
        await self.whole(error.status, headers, orjson.dumps(error.body(id_)))


class CallerWatch:
    """Cancels the request's task when its caller leaves, or takes nothing any more.

    A request that is answered before the first tick never pays for a task of its own.
    """

    __slots__ = (
        "_blocks",
        "_moved_at",
        "_receive",
        "_reply",
        "_request",
        "_request_task",
        "_sweeper",
        "_task",
        "caller_left",
    )

    def __init__(
        self, receive: Receive, request: Request, reply: AsgiReply, task: asyncio.Task[None] | None, sweeper: Sweeper
    ) -> None:
        self.caller_left = False
        self._receive = receive
        self._request = request
        self._reply = reply
        self._blocks = 0
        self._moved_at = 0.0
        self._request_task = task
        self._task: asyncio.Task[None] | None = None
        self._sweeper = sweeper
        sweeper.add(self)

    def stop(self) -> None:
        """Watch no more."""
        self._sweeper.discard(self)
        if self._task is not None:
            self._task.cancel()
            # A task keeps what it was cancelled with, whose frames hold this.
            self._task = None

    def sweep(self, now: float) -> None:
        """Start watching at the first tick; at every tick look whether the caller still takes what is sent."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())
        if not self._reply.waiting or self._reply.blocks != self._blocks:
            self._blocks, self._moved_at = self._reply.blocks, now
        elif now - self._moved_at > min(STALLED_CALLER_S, self._request.timeouts.total_s):
            self._left()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        if not self.caller_left and self._request_task is not None:
            self.caller_left = True
            self._request_task.cancel()


async def read_body(receive: Receive, headers: RawHeaders, limit: int) -> bytes:
    """Receive a request's whole body.

    Raises:
        BodyTooLarge: it is longer than ``limit`` bytes; what a header claims is not relied on.
        CallerLeft: the caller closed before its end.
    """
    length = next((value for name, value in headers if name == b"content-length"), b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body") and size <= limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerLeft
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        return b"".join(parts)
    if message["type"] == "http.disconnect":
        raise CallerLeft
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limit:,} bytes.", headers={"connection": "close"})


def session_of(headers: RawHeaders) -> str | None:
    """Return the conversation that a caller named in ``x-gateway-session``."""
    for name, value in headers:
        if name == b"x-gateway-session":
            return value.decode("latin-1")
    return None


def tags_of(headers: RawHeaders, caller: Caller = ANYBODY) -> Mapping[str, str] | None:
    """Return the tags of a caller's key, and what it wrote into ``x-gateway-tags``, however many such headers.

    What the key says cannot be replaced: it tells whose cost, and whose data, this is.

    Raises:
        InvalidRequest: they are not tags.
    """
    found = [value for name, value in headers if name == b"x-gateway-tags"]
    if not found:
        return caller.tags or None
    return read_tags(b",".join(found).decode("latin-1"), caller.tags)


def new_request_id() -> bytes:
    """Return an id for a request whose caller gave none."""
    return b"req_%024x" % getrandbits(96)
