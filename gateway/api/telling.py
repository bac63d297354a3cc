"""What is told of a request once it is over, to its log and its trace: words of ours, and ids that may be repeated."""

from datetime import datetime
from typing import TYPE_CHECKING

from starlette.types import Scope

from gateway.api.guard import RawHeaders, request_id
from gateway.errors import GatewayError, GatewayStopping
from gateway.execution.request_event import RequestEvent
from gateway.metrics import OTHER

if TYPE_CHECKING:
    from gateway.api.stopping import Answering

LEFT = 499
_NEVER_TOLD = frozenset(("/healthz", "/readyz"))
"""Asked every few seconds by machines, and 503 is an answer there."""
_LONGEST_TRACEPARENT = 512
"""OpenTelemetry logs a warning for each that is longer: a caller must not fill the log."""
_TROUBLE_TOLD = ("/metrics", "/ui")
"""Asked again and again: only what went wrong is told."""


def event_of(
    endpoint: str,
    headers: RawHeaders,
    answering: "Answering",
    id_: str,
    started_at: datetime,
    duration_s: float,
    error: GatewayError | None,
) -> RequestEvent:
    """Return what became of a request to a model; without error and answer, its caller has left."""
    request, reply = answering.request, answering.reply
    begun = reply is not None and reply.begun
    if error is not None:
        status = error.status
    elif answering.was_cut and not begun:
        status = GatewayStopping.status
    else:
        status = 200 if begun else LEFT
    route = error.headers.get("x-gateway-route") if error is not None else None
    if request is None:
        return RequestEvent(id_, endpoint, route, False, status, _code(error), None, started_at, duration_s)
    return RequestEvent(
        id_,
        endpoint,
        request.settled[-1].route if request.settled else route,
        request.streamed,
        status,
        _code(error),
        request.key,
        started_at,
        duration_s,
        request.settled,
        request.adapted,
        request.bucket,
        traceparent_of(headers),
    )


def other_event(
    scope: Scope, answering: "Answering", started_at: datetime, duration_s: float, error: GatewayError | None
) -> RequestEvent | None:
    """Return what became of a request to any other endpoint; None: nobody needs to know."""
    path, status = scope["path"], error.status if error is not None else answering.status
    if path in _NEVER_TOLD or (status < 400 and path.startswith(_TROUBLE_TOLD)):
        return None
    known = getattr(scope.get("route"), "path", OTHER)
    id_ = request_id(answering.headers) or request_id(scope["headers"])
    shown = id_.decode() if id_ is not None else ""
    key = scope["gateway.caller"].name or None if "gateway.caller" in scope else None
    return RequestEvent(shown, known, None, False, status, _code(error), key, started_at, duration_s)


def traceparent_of(headers: RawHeaders) -> bytes | None:
    """Return what the caller says of the trace that the request is part of, unread; None: nothing, or far too much."""
    for name, value in headers:
        if name == b"traceparent":
            return value if len(value) <= _LONGEST_TRACEPARENT else None
    return None


def _code(error: GatewayError | None) -> str | None:
    return error.code if error is not None else None
