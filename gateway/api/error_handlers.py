"""Every error leaves in OpenAI's shape, FastAPI's own included."""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from gateway.api.guard import request_id
from gateway.api.wire import new_request_id
from gateway.errors import GatewayError, InvalidRequest, MethodNotAllowed, NotFound
from gateway.execution.endpoints import ENDPOINTS

log = structlog.get_logger()
LONGEST_PATH = 200
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
HOT_PATHS = tuple(f"/v1{endpoint.path}" for endpoint in ENDPOINTS)
NOT_KEPT = {
    "/v1/files": "files",
    "/v1/uploads": "files",
    "/v1/batches": "batches",
    "/v1/conversations": "conversations",
    "/v1/chat/completions/": "stored chat completions",
    "/v1/fine_tuning": "training jobs",
    "/v1/vector_stores": "vector stores",
    "/v1/assistants": "assistants",
    "/v1/threads": "threads",
}
"""What callers of OpenAI's API may look for here, by the beginning of its path."""


def add_error_handlers(app: FastAPI) -> None:
    """Teach an app our errors."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, GatewayError)
        return answer(request, error)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return answer(request, from_http(request, error))

    async def validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        # A field that is none of ours is named as it was sent, and may be of any length.
        where = ".".join(str(part) for part in first["loc"])[:LONGEST_PATH]
        said = "no such field" if first["type"] == "extra_forbidden" else first["msg"]
        return answer(request, InvalidRequest(f"{where}: {said}.", param=where))

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return answer(request, GatewayError("The gateway failed; its log has the details under this request id."))

    app.add_exception_handler(GatewayError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(Exception, unexpected)


def answer(request: Request, error: GatewayError) -> JSONResponse:
    """Return an error as a response."""
    id_ = (request_id(request.scope["headers"]) or new_request_id()).decode()
    return JSONResponse(error.body(id_), error.status, {"x-request-id": id_, **error.headers})


def from_http(request: Request, error: HTTPException) -> GatewayError:
    """Translate the framework's own errors."""
    path = request.url.path
    if path in HOT_PATHS:
        # Its POST is answered ahead of the framework, which therefore does not know the path.
        return MethodNotAllowed(f"{request.method} is not for {path}.", headers={"allow": "POST"})
    if error.status_code == 405:
        allowed = ", ".join(_methods_of(request))
        return MethodNotAllowed(f"{request.method} is not for {path}.", headers={"allow": allowed})
    for beginning, what in NOT_KEPT.items():
        if path.startswith(beginning):
            return NotFound(f"This gateway does not keep {what}, so there is no {path}; ask the provider itself.")
    served = ", ".join((*HOT_PATHS, "/v1/models", "/v1/feedback"))
    return NotFound(f"There is nothing at {path}. This gateway serves {served}.")


def _methods_of(request: Request) -> list[str]:
    """Return what a path takes: the framework names the methods of the first of its routes alone."""
    asked = ({**request.scope, "method": method} for method in METHODS)
    return [a["method"] for a in asked if any(route.matches(a)[0] is Match.FULL for route in request.app.routes)]
