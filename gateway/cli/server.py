"""The server of ``gateway serve``: uvicorn's, with a way of stopping that callers and load balancers can live with.

Uvicorn closes its listeners at the signal, tells the app only after the last answer, and cancels what is left without
a word. Here the app is told at the signal; new connections are still taken for a while, because whoever sends traffic
learns of a stop late (Kubernetes takes a pod out of its Services beside the signal, not before it); answers run on
until the deadline; whoever is left then is told why.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn

from gateway.app import App
from gateway.cli.ops_server import OpsServer, rests
from gateway.cli.protocol import LimitedProtocol
from gateway.cli.protocol_watch import Limits, Watch
from gateway.cli.sockets import room_for_callers

log = structlog.get_logger()
POLL_S = 0.02
SETTLES_S = 0.3
"""How long a connection is idle before it is closed, once no new ones are taken."""
INCOMPLETE_S = 1.0
"""How long a request may still be incomplete then."""
LAST_WORDS_S = 0.8
"""From the deadline until the last connection is closed."""
LEAVES_S = 4.5
"""From the deadline until the process ends, whatever hangs: what the database did not take is in the journal."""
HUNG_S = 0.3
"""Beyond that, where not even the event loop goes on."""
HURRIED_S = 1.6
"""From a second signal until the process ends."""


class Server(uvicorn.Server):
    """Serves one app until it is told to stop, by ``stop`` or by SIGTERM and SIGINT.

    Args:
        drain_s: how long answers may go on.
        linger_s: how long new connections are still taken.
        ops: where machines ask for metrics and readiness, until the very end; None: nowhere of their own.
        limits: what one connection may take of us.
        most_connections: how many callers may be connected at once, as far as there are descriptors for them.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        *,
        drain_s: float,
        linger_s: float,
        ops: socket.socket | None = None,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
        most_connections: int = 10_000,
    ) -> None:
        self._watch = Watch(limits, most_connections, app.protocol_refused)
        config.http = partial(LimitedProtocol, watch=self._watch)  # type: ignore[assignment]
        super().__init__(config)
        self._ops = OpsServer(app.ops, ops, limits) if ops is not None else None
        self._draining = app.draining
        self._drain_s, self._linger_s = drain_s, min(linger_s, drain_s)
        self._began_at = self._listens_until = self._deadline = self._leaves_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal, and end in order."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen."""
        await super().startup(sockets)
        if self._ops is not None and self.started:
            await self._ops.begin()
        if (room := room_for_callers()) < self._watch.most:
            log.info("connections_limited", most=room, why="the limit of open files (ulimit -n) allows no more")
            self._watch.most = int(room)
        # What lives as long as the process need not be looked through at every collection of garbage.
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal, wherever the program is just now."""
        # Not kept for uvicorn to raise again at its end: a stop that was asked for is no failure.
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.stop, sig)

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """Begin to stop; at the second time, end at once."""
        now = asyncio.get_running_loop().time()
        if self._draining.began:
            self._draining.hurried = True
            self._listens_until = self._deadline = min(self._deadline, now)
            self._leaves_at = min(self._leaves_at, now + HURRIED_S)
            return
        self.should_exit = True
        self._began_at, self._deadline = now, now + self._drain_s
        # At a keyboard nobody has a load balancer to wait for.
        self._listens_until = now + (self._linger_s if sig == signal.SIGTERM else 0.0)
        self._leaves_at = self._deadline + LEAVES_S
        self._draining.begin(self._deadline)
        log.info("stopping", under_way=len(self._draining), deadline_s=self._drain_s)
        self._announce_close()

    def _announce_close(self) -> None:
        """Have every answer say that it is the last one on its connection.

        A connection that is idle, or whose answer has begun, is not closed yet: a caller who keeps it may be sending
        the next request at this very moment, and would get no answer.
        """
        close = (b"connection", b"close")
        self.config.encoded_headers.append(close)
        self.server_state.default_headers = [*self.server_state.default_headers, close]
        for connection in self.server_state.connections:
            cycle = connection.cycle  # type: ignore[union-attr]
            if cycle is not None and not cycle.response_started:
                cycle.default_headers = self.server_state.default_headers

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order: listeners, answers, app."""
        if not self._draining.began:
            self.stop()
        await self._until(lambda: False, lambda: self._listens_until)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await self._close_what_rests()
        if not self._is_idle():
            log.warning("answers_cut", cut=self._draining.cut())
            end = asyncio.get_running_loop().time() + LAST_WORDS_S
            await self._until(self._is_idle, lambda: end)
            for task in list(self.server_state.tasks):
                task.cancel()
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            # Their rows come before the ledger is closed.
            end = asyncio.get_running_loop().time() + LAST_WORDS_S
            await self._until(lambda: not self.server_state.tasks, lambda: end)
        await self._leave()

    async def _close_what_rests(self) -> None:
        """Close each connection once it has been idle for a moment, until none is left, or the deadline.

        Whoever reads the end of an answer that began before the stop may ask again at once; that answer is the last.
        """
        self._watch.hurry(INCOMPLETE_S)
        loop, settles_s = asyncio.get_running_loop(), SETTLES_S if self._listens_until > self._began_at else 0.0
        rests_since: dict[Any, float] = {}
        while not self._is_idle() and loop.time() < self._deadline:
            for connection in list(self.server_state.connections):
                if not rests(connection):
                    rests_since.pop(connection, None)
                elif loop.time() - rests_since.setdefault(connection, loop.time()) >= settles_s:
                    connection.shutdown()
            await self.on_tick(0)
            await asyncio.sleep(POLL_S)

    def _is_idle(self) -> bool:
        return not self.server_state.connections and not self.server_state.tasks

    async def _until(self, done: Callable[[], bool], deadline: Callable[[], float]) -> None:
        """Wait until something is so, or a deadline, which a second signal brings forward."""
        loop = asyncio.get_running_loop()
        while not done() and loop.time() < deadline():
            # Answers that begin now carry the date too.
            await self.on_tick(0)
            await asyncio.sleep(POLL_S)

    async def _leave(self) -> None:
        """Have the app end; where something in it hangs, end without it."""
        # A disk that hangs holds this very thread, when the journal is closed: then another one ends the process.
        left_s = self._leaves_at - asyncio.get_running_loop().time()
        watch = threading.Timer(max(0.0, left_s) + HUNG_S, _leave_unfinished)
        watch.daemon = True
        watch.start()
        try:
            ending = asyncio.create_task(self.lifespan.shutdown())
            await self._until(ending.done, lambda: self._leaves_at)
            if not ending.done():
                _leave_unfinished()
            await ending
            if self._ops is not None:
                await self._ops.end()
        finally:
            watch.cancel()


def _leave_unfinished() -> None:
    log.error("left_unfinished", why="the app did not end in time; what is in the journal is taken up again")
    logging.shutdown()
    os._exit(0)
