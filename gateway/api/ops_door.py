"""What machines ask, on a port of its own: Prometheus and the kubelet have no key, and nobody else is let near it."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.guard import Guard, request_id
from gateway.api.wire import AsgiReply, new_request_id
from gateway.clock import SystemClock
from gateway.errors import GatewayError, NotFound
from gateway.execution.key_ring import KeyRing

PATHS: Final = frozenset(("/metrics", "/healthz", "/readyz"))
LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))


class OpsDoor:
    """Lets three paths through, to be read; on a loopback address only from this machine's own names."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._guard = Guard(KeyRing(None, None), SystemClock()) if host in LOOPBACK else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        try:
            if scope["path"] not in PATHS or scope["method"] not in ("GET", "HEAD"):
                raise NotFound("Here are /metrics, /healthz and /readyz; everything else is on the gateway's own port.")
            if self._guard is not None:
                self._guard.admit(scope["method"], scope["path"], scope["headers"], scope["query_string"])
        except GatewayError as error:
            id_ = request_id(scope["headers"]) or new_request_id()
            await AsgiReply(send).error(error, id_.decode())
            return
        await self._app(scope, receive, send)
