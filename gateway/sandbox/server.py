"""Serves a sandbox over real HTTP, with the transport within reach of the faults."""

import asyncio
import contextlib
import socket
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.clock import SystemClock
from gateway.sandbox.app import Sandbox, create_sandbox
from gateway.sandbox.connection import TRANSPORT_EXTENSION

_BACKLOG = 1_024
_GRACE_S = 5.0


class SandboxProtocol(HttpToolsProtocol):
    """Uvicorn's protocol; puts its transport into the scope, and writes no access log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False

    def on_message_begin(self) -> None:
        """Begin a request, whose scope carries the transport."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {TRANSPORT_EXTENSION: self.transport}


class SandboxServer(uvicorn.Server):
    """A server that stops: answers that still run when ``grace_s`` has passed are cut, stalled ones too."""

    def __init__(self, sandbox: Sandbox, *, grace_s: float = _GRACE_S) -> None:
        config = uvicorn.Config(
            sandbox.app,
            interface="asgi3",
            proxy_headers=False,
            http=SandboxProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            server_header=False,
            timeout_keep_alive=75,
        )
        super().__init__(config)
        self._grace_s = grace_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let answers end, then cut the rest."""
        cutting = asyncio.get_running_loop().call_later(self._grace_s, self._cut)
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 lets the system choose.

    Raises:
        OSError: the address is taken, or not this machine's.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def serve_sandbox(
    host: str = "127.0.0.1",
    port: int = 8081,
    *,
    sandbox: Sandbox | None = None,
    listener: socket.socket | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, on a socket that listens already or on a new one.

    Raises:
        OSError: the address is taken, or not this machine's.

    """
    listener = listener or listen(host, port)
    server = SandboxServer(sandbox or create_sandbox(clock=SystemClock()))
    # Uvicorn stops in order first, then raises the signal again.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
