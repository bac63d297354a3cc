"""Where every request comes in: the endpoints that take a model first, FastAPI behind them for everything else."""

import asyncio
import contextlib

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.guard import Guard, peer_of, request_id
from gateway.api.pages import is_page
from gateway.api.stopping import Answering
from gateway.api.telling import other_event
from gateway.api.wire import AsgiReply, new_request_id
from gateway.clock import Clock
from gateway.errors import GatewayError, TooManyFailures, Unauthenticated
from gateway.execution.draining import Draining
from gateway.execution.request_event import Listener
from gateway.metrics import Metrics

HELD_AT_MOST_S = 3.0


class FrontDoor:
    """Answers one HTTP request after the other, until it is told to let nobody in any more."""

    def __init__(self, guard: Guard, rest: ASGIApp, draining: Draining, clock: Clock) -> None:
        """``rest`` is FastAPI: what takes no model."""
        self._guard, self._rest, self._draining, self._clock = guard, rest, draining, clock
        self.hot: dict[str, ASGIApp] = {}
        """Endpoints that take a model, by path."""
        self.until_known: asyncio.Event | None = None
        """Set once it is known which models are gone."""
        self.metrics: Metrics | None = None
        self.told: Listener | None = None
        """Hears of every request when it is over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answering = scope["gateway.answering"] = Answering()
        self._draining.enter(answering)
        try:
            if self._draining.over:
                await answering.say_why(send, scope["headers"])
            else:
                await self._serve(scope, receive, send, answering)
        except asyncio.CancelledError:
            if not answering.was_cut:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            await answering.say_why(send, scope["headers"])
        finally:
            self._draining.leave(answering)
            # The server keeps the scope, and this one its answer, which knows the server: a cycle, with the body.
            del scope["gateway.answering"]

    async def _serve(self, scope: Scope, receive: Receive, send: Send, answering: Answering) -> None:
        hot = self.hot.get(scope["path"])
        if hot is not None and scope["method"] == "POST":
            if self.until_known is not None:
                await self._wait_until_known(self.until_known)
            await hot(scope, receive, send)
        else:
            await self._everything_else(scope, receive, answering.watched(send), answering)

    async def _wait_until_known(self, known: asyncio.Event) -> None:
        """Hold the first requests until it is known which models are gone; with the database away, not for long."""
        if not known.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(known.wait(), HELD_AT_MOST_S)
        self.until_known = None

    async def _everything_else(self, scope: Scope, receive: Receive, send: Send, answering: Answering) -> None:
        started, started_at = self._clock.monotonic(), self._clock.now()
        refused: GatewayError | None = None
        try:
            refused = await self._by_fastapi(scope, receive, send)
        finally:
            if self.told is not None:
                duration_s = self._clock.monotonic() - started
                event = other_event(scope, answering, started_at, duration_s, refused)
                if event is not None:
                    self.told(event)

    async def _by_fastapi(self, scope: Scope, receive: Receive, send: Send) -> GatewayError | None:
        """Answer behind the guard; return why it did not let the request in."""
        try:
            if is_page(scope["path"]):
                self._guard.admit_page(scope["method"], scope["headers"])
            else:
                scope["gateway.caller"] = self._guard.admit(
                    scope["method"], scope["path"], scope["headers"], scope["query_string"], peer_of(scope)
                )
        except GatewayError as error:
            if isinstance(error, Unauthenticated | TooManyFailures) and self.metrics is not None:
                self.metrics.auth_failures.inc()
            id_ = request_id(scope["headers"]) or new_request_id()
            await AsgiReply(send).error(error, id_.decode())
            return error
        await self._rest(scope, receive, send)
        return None
