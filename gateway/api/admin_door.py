"""How JSON is read behind FastAPI: bounded, by the same rules as callers' requests; answers are not to be kept."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from gateway.api.json_guard import read_object
from gateway.api.wire import CallerLeft, read_body
from gateway.errors import UnsupportedMediaType

MOST_BYTES: Final = 64 * 1024
JSON_TYPE: Final = b"application/json"


class _ReadRequest(Request):
    """A request whose body was read, and found to be a JSON object or nothing."""

    document: dict[str, Any] | None = None
    raw = b""

    async def body(self) -> bytes:
        return self.raw

    async def json(self) -> Any:
        return self.document


class AdminRoute(APIRoute):
    """A route of the admin API. ``APIRouter(route_class=AdminRoute)`` makes every route of a module one."""

    most_bytes: ClassVar[int] = MOST_BYTES
    """Of a body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler behind the reading of the body."""
        handle = super().get_route_handler()

        async def asked(request: Request) -> Response:
            read = _ReadRequest(request.scope, request.receive)
            try:
                await _read(read, self.most_bytes)
            except CallerLeft:
                return Response(status_code=400)
            response = await handle(read)
            response.headers["cache-control"] = "no-store"
            return response

        return asked


async def _read(request: _ReadRequest, most_bytes: int) -> None:
    """Read a request's body.

    Raises:
        InvalidJson: it is no JSON that can be kept unchanged.
        InvalidRequest: it is no object.
        BodyTooLarge: it is larger than that.
        UnsupportedMediaType: it is something else than JSON.
    """
    headers = request.scope["headers"]
    request.raw = await read_body(request.receive, headers, most_bytes)
    if request.raw:
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        if kind.partition(b";")[0].strip().lower() != JSON_TYPE:
            raise UnsupportedMediaType("Send 'Content-Type: application/json'.")
        request.document = read_object(request.raw)
