"""The server of a port for machines alone: beside the gateway's own, in the same loop, until the very end."""

import asyncio
import socket
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gateway.cli.protocol import LimitedProtocol
from gateway.cli.protocol_watch import Limits, Watch

MOST_AT_ONCE = 100
"""Connections; one more closes an old one. Were it refused, who keeps so many open would have the kubelet end us."""


class LatestFirst(LimitedProtocol):
    """A connection that takes the place of another where there are too many: of one that rests, else of the oldest."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection."""
        super().connection_made(transport)
        self.made_at = self.loop.time()
        others = [other for other in self.connections if other is not self and not other.transport.is_closing()]
        if len(others) >= MOST_AT_ONCE:
            min(others, key=lambda other: (not rests(other), other.made_at)).transport.abort()  # type: ignore[union-attr]


class OpsServer:
    """Answers from ``begin`` to ``end``; it has no part in draining, since readiness is asked while that goes on."""

    def __init__(self, app: ASGIApp, listener: socket.socket, limits: Limits) -> None:
        # Of a caller too many the protocol above takes care.
        watch = Watch(limits, most=10 * MOST_AT_ONCE)
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http=partial(LatestFirst, watch=watch),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
        )
        config.load()
        self._listener = listener
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    async def begin(self) -> None:
        """Listen."""
        await self._server.startup(sockets=[self._listener])

    async def end(self) -> None:
        """Close everything."""
        self._server.force_exit = True
        await self._server.shutdown(sockets=[self._listener])


def rests(connection: Any) -> bool:
    """Tell whether nothing was asked on a connection yet, or nothing more since its last answer."""
    return connection.cycle is None or bool(connection.cycle.response_complete)
