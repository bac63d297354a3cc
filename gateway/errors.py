"""Every error the gateway itself answers with, as one tree.

::

    GatewayError                      500  gateway_error
    ├── ConfigError                   (never over HTTP: routes.yaml or a setting is wrong)
    ├── RequestError                  400  invalid_request_error
    │   ├── InvalidJson               400  invalid_json
    │   ├── InvalidRequest            400  invalid_request
    │   ├── UnsupportedRequest        400  unsupported_by_targets
    │   ├── StoredElsewhere           400  previous_response_not_found
    │   ├── TwoCredentials            400  two_credentials
    │   ├── BudgetNeedsBound          400  budget_needs_bound
    │   ├── MalformedRequest          400  malformed_request
    │   ├── Unauthenticated           401  invalid_api_key
    │   ├── ForbiddenOrigin           403  forbidden_origin
    │   ├── NotAllowed                403  not_allowed
    │   ├── PinNotAllowed             403  pin_not_allowed
    │   ├── NoVariant                 403  no_variant
    │   ├── RouteNotFound             404  route_not_found
    │   ├── NotFound                  404  not_found
    │   ├── MethodNotAllowed          405  method_not_allowed
    │   ├── RequestTimedOut           408  request_timeout
    │   ├── Conflict                  409  conflict
    │   ├── BodyTooLarge              413  body_too_large
    │   ├── TargetTooLong             414  url_too_long
    │   ├── UnsupportedMediaType      415  unsupported_media_type
    │   ├── LimitReached              429  rate_limit_exceeded
    │   ├── BudgetExceeded            429  budget_exceeded
    │   ├── TooManyFailures           429  too_many_failures
    │   └── HeadersTooLarge           431  headers_too_large
    ├── TooManyConnections            503  too_many_connections
    ├── BudgetUnverifiable            503  budget_unverifiable
    ├── KeysUnavailable               503  keys_unavailable
    ├── DatabaseAway                  503  database_unavailable
    ├── FeedbackUnavailable           503  feedback_unavailable
    ├── LedgerUnavailable             503  ledger_unavailable
    ├── GatewayStopping               503  gateway_stopping
    └── UpstreamError                 502  upstream_error
        ├── UpstreamUnreachable       502  upstream_unreachable
        ├── BadUpstream               502  bad_upstream
        ├── UpstreamRefusedKey        502  upstream_authentication
        ├── ModelGone                 404  model_gone
        ├── RateLimited               429  rate_limit_exceeded
        ├── Overloaded                503  upstream_overloaded
        └── UpstreamTimeout           504  upstream_timeout

The answer's body is OpenAI's error shape plus ``request_id``: ``code`` is stable and for machines, the message is one
sentence that a person can act on. Text from providers appears only where it is the caller's to mend.
"""

from typing import Any, ClassVar


class GatewayError(Exception):
    """The root: whatever is raised on purpose and may reach a caller."""

    status: int = 500
    type: ClassVar[str] = "api_error"
    code: ClassVar[str] = "gateway_error"

    def __init__(self, message: str, *, param: str | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = headers or {}

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the error in OpenAI's shape."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
                "request_id": request_id,
            }
        }


class ConfigError(GatewayError):
    """routes.yaml or a setting cannot be used; the message holds every finding, one a line."""

    code = "config_error"


class RequestError(GatewayError):
    """The caller's to mend."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request_error"


class InvalidJson(RequestError):
    """The body is not JSON that can be passed on unchanged."""

    code = "invalid_json"


class InvalidRequest(RequestError):
    """A field has the wrong type, or a needed one is absent."""

    code = "invalid_request"


class UnsupportedRequest(RequestError):
    """No target of the route takes what the request asks for."""

    code = "unsupported_by_targets"


class StoredElsewhere(RequestError):
    """The request refers to what a provider stores that cannot answer it; OpenAI's own code for an unknown response."""

    code = "previous_response_not_found"


class TwoCredentials(RequestError):
    """More than one credential came with one request."""

    code = "two_credentials"


class BudgetNeedsBound(RequestError):
    """The caller's key has a budget, and nobody can say beforehand what this request costs at most."""

    code = "budget_needs_bound"


class MalformedRequest(RequestError):
    """This is not HTTP/1.1, or leaves open where the request ends or whom it is for."""

    code = "malformed_request"


class Unauthenticated(RequestError):
    """No credential, or a wrong one."""

    status = 401
    code = "invalid_api_key"


class ForbiddenOrigin(RequestError):
    """A browser page of another origin, or a name that is not this machine's, calls an open loopback gateway."""

    status = 403
    code = "forbidden_origin"


class NotAllowed(RequestError):
    """The key is right, and this is not for it."""

    status = 403
    code = "not_allowed"


class PinNotAllowed(RequestError):
    """The caller's key may not choose who answers."""

    status = 403
    code = "pin_not_allowed"


class NoVariant(RequestError):
    """The route has a variant for each tenant, and none for the tenant of this key."""

    status = 403
    code = "no_variant"


class RouteNotFound(RequestError):
    """``model`` names no route."""

    status = 404
    code = "route_not_found"


class NotFound(RequestError):
    """There is nothing at this path."""

    status = 404
    code = "not_found"


class MethodNotAllowed(RequestError):
    """The path exists, for another method."""

    status = 405
    code = "method_not_allowed"


class RequestTimedOut(RequestError):
    """The request did not arrive in time."""

    status = 408
    code = "request_timeout"


class Conflict(RequestError):
    """What is there already speaks against it."""

    status = 409
    code = "conflict"


class BodyTooLarge(RequestError):
    """The body is larger than the gateway takes."""

    status = 413
    code = "body_too_large"


class TargetTooLong(RequestError):
    """The request's URL is longer than the gateway takes."""

    status = 414
    code = "url_too_long"


class UnsupportedMediaType(RequestError):
    """The body is not plain JSON: another content type, or compressed."""

    status = 415
    code = "unsupported_media_type"


class LimitReached(RequestError):
    """The caller's own key has no more requests or tokens for the moment; ``retry-after`` says when."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class BudgetExceeded(RequestError):
    """What the caller's key may spend would not suffice for this request at its most expensive."""

    status = 429
    type = "insufficient_quota"
    code = "budget_exceeded"


class TooManyFailures(RequestError):
    """Too many wrong keys came from this address; a right one is still taken."""

    status = 429
    type = "rate_limit_error"
    code = "too_many_failures"


class HeadersTooLarge(RequestError):
    """The request's headers are larger, or more, than the gateway takes."""

    status = 431
    code = "headers_too_large"


class TooManyConnections(GatewayError):
    """As many callers are connected as this gateway takes."""

    status = 503
    code = "too_many_connections"


class BudgetUnverifiable(GatewayError):
    """The caller's key has a budget, and the database that knows what is left of it is away."""

    status = 503
    code = "budget_unverifiable"


class KeysUnavailable(GatewayError):
    """Keys are in a database that is away, and were never read: nobody can tell whether this one is right."""

    status = 503
    code = "keys_unavailable"


class DatabaseAway(GatewayError):
    """What is asked for is in the database, and it is away."""

    status = 503
    code = "database_unavailable"


class FeedbackUnavailable(GatewayError):
    """A mark cannot be redacted just now, or too many wait: nothing of it was kept."""

    status = 503
    code = "feedback_unavailable"


class LedgerUnavailable(GatewayError):
    """The journal is full, or cannot be written: new requests would leave no row."""

    status = 503
    code = "ledger_unavailable"


class GatewayStopping(GatewayError):
    """The process ends before the answer does."""

    status = 503
    code = "gateway_stopping"


class UpstreamError(GatewayError):
    """Every attempt failed, and not by the caller's fault."""

    status = 502
    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider."""

    code = "upstream_unreachable"


class BadUpstream(UpstreamError):
    """The provider answered something that is no answer."""

    code = "bad_upstream"


class UpstreamRefusedKey(UpstreamError):
    """The provider refused the gateway's own credential."""

    code = "upstream_authentication"


class ModelGone(UpstreamError):
    """The model is gone, or not ours to use, and the route has nobody else to answer."""

    status = 404
    type = "invalid_request_error"
    code = "model_gone"


class RateLimited(UpstreamError):
    """The provider's rate limit or quota is reached."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class Overloaded(UpstreamError):
    """Nobody can answer just now: targets are overloaded, resting, or their circuit is open."""

    status = 503
    code = "upstream_overloaded"


class UpstreamTimeout(UpstreamError):
    """The provider did not answer in time."""

    status = 504
    code = "upstream_timeout"
