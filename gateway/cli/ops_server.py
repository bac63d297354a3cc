"""The server of a port for machines alone: beside the gateway's own, in the same loop, until the very end."""

import socket

import uvicorn
from starlette.types import ASGIApp

MOST_AT_ONCE = 100


class OpsServer:
    """Answers from ``begin`` to ``end``; it has no part in draining, since readiness is asked while that goes on."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_AT_ONCE,
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
