"""What callers are told whose answers the gateway cannot finish, because it stops."""

import asyncio
import contextlib

from starlette.types import Message, Send

from gateway.api.guard import RawHeaders, request_id
from gateway.api.wire import AsgiReply, new_request_id
from gateway.errors import GatewayStopping
from gateway.execution.request import Request

EVENT_S = 0.5
"""How long a last event may wait for a caller who reads slowly."""
SAYS = "This gateway is being stopped and could not finish the answer. Send the request again: another takes it."
RETRY = {"retry-after": "1", "retry-after-ms": "500", "x-should-retry": "true", "connection": "close"}


class Answering:
    """One request from its first header on: its task, and as soon as there are such, what was asked and the reply."""

    __slots__ = ("begun", "headers", "reply", "request", "status", "task", "was_cut")

    def __init__(self) -> None:
        self.task = asyncio.current_task()
        self.begun = False
        """Whether an answer that is not of a model has begun."""
        self.status = 0
        self.headers: RawHeaders = []
        """Its status and its headers, once it has."""
        self.request: Request | None = None
        self.reply: AsgiReply | None = None
        self.was_cut = False

    def cut(self) -> None:
        """Cancel the task; ``say_why`` comes after it has cleaned up, its row included."""
        self.was_cut = True
        if self.request is not None:
            self.request.cut = True
        if self.task is not None:
            self.task.cancel()

    def watched(self, send: Send) -> Send:
        """Return a ``send`` that notes that an answer has begun."""

        async def noting(message: Message) -> None:
            if not self.begun:
                self.begun, self.status, self.headers = True, message["status"], message["headers"]
            await send(message)

        return noting

    async def say_why(self, send: Send, headers: RawHeaders) -> None:
        """Tell the caller, in the form that the answer still allows."""
        reply = self.reply or AsgiReply(send)
        if not self.begun and not reply.begun:
            id_ = self.request.id if self.request is not None else (request_id(headers) or new_request_id()).decode()
            await reply.error(GatewayStopping(SAYS, headers=dict(RETRY)), id_)
        elif self.request is not None and reply.takes_events:
            event = self.request.endpoint.error_event(SAYS, GatewayStopping.code, self.request.id)
            # A caller who takes nothing gets no end either: the server closes the connection.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVENT_S):
                    await reply.block(event)
                    await reply.end()
