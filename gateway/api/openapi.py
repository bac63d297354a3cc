"""The gateway's own OpenAPI document: FastAPI's, the endpoints that are answered ahead of it, and every error."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from gateway.errors import ConfigError, GatewayError
from gateway.execution.endpoints import ENDPOINTS
from gateway.execution.endpoints.endpoint import Endpoint

Schema = dict[str, Any]
OPEN: Final = ("/healthz", "/readyz")
"""Paths that ask for no key."""
ANYWHERE: Final = (400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503)
"""Statuses of errors that any path may answer with."""
BY_PROVIDERS: Final = (409, 422, 502, 504)
"""And those where a provider is asked: its own word where it is the caller's to mend, or that it failed."""
TEXT: Final[Schema] = {"type": "string"}
TEXTS: Final[Schema] = {"anyOf": [TEXT, {"type": "array", "minItems": 1, "items": TEXT}]}
MESSAGE: Final[Schema] = {
    "type": "object",
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
        "content": {"anyOf": [TEXT, {"type": "array", "items": {"type": "object"}}, {"type": "null"}]},
    },
    "required": ["role"],
}
MESSAGES: Final[Schema] = {"type": "array", "minItems": 1, "items": MESSAGE}
NEEDED: Final[dict[str, Schema]] = {
    "/chat/completions": {"messages": MESSAGES},
    "/completions": {"prompt": TEXTS},
    "/embeddings": {"input": TEXTS},
}
"""What the gateway itself looks for in a body beside ``model``; the rest is for the provider to judge."""
STREAMED: Final = ("/chat/completions", "/completions", "/responses")
ERROR: Final[Schema] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": TEXT,
                "type": TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "request_id": TEXT,
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


class Documented(FastAPI):
    """A FastAPI app whose document tells of all that the gateway serves, and of what it refuses with."""

    def openapi(self) -> Schema:
        """Return the document; made once."""
        if self.openapi_schema is None:
            self.openapi_schema = document(super().openapi())
        return self.openapi_schema


def document(known: Schema) -> Schema:
    """Add to FastAPI's document what it cannot know."""
    paths: Schema = known["paths"]
    for endpoint in ENDPOINTS:
        paths[f"/v1{endpoint.path}"] = {"post": _operation(endpoint)}
    components = known.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        # Its refusals leave in OpenAI's shape.
        schemas.pop(unused, None)
    schemas["Error"] = ERROR
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in paths.items():
        asks_provider = path.startswith("/v1/") and not path.startswith(("/v1/models", "/v1/feedback"))
        for operation in operations.values():
            answers = operation["responses"]
            answers.pop("422", None)
            for status in (*ANYWHERE, *(BY_PROVIDERS if asks_provider else ())):
                answers.setdefault(str(status), _refusal(status))
            operation["security"] = [] if path in OPEN else [{"key": []}]
    return known


def _operation(endpoint: Endpoint) -> Schema:
    """Describe an endpoint that takes a model."""
    needed = NEEDED.get(endpoint.path, {})
    fields: Schema = {"model": TEXT | {"description": "The name of a route."}, **needed}
    if endpoint.path in STREAMED:
        fields["stream"] = {"type": ["boolean", "null"]}
    body = {"type": "object", "properties": fields, "required": ["model", *needed]}
    content: Schema = {"application/json": {"schema": body}}
    if endpoint.takes_forms:
        content["multipart/form-data"] = {"schema": body}
    answered: Schema = {"application/json": {"schema": {}}}
    if endpoint.path in STREAMED:
        answered["text/event-stream"] = {"schema": TEXT}
    if endpoint.takes_forms:
        # Sound, and what vendors answer in other forms than JSON.
        answered["*/*"] = {"schema": {}}
    return {
        "summary": f"OpenAI's {endpoint.path}, for a route.",
        "operationId": "post" + endpoint.path.replace("/", "_"),
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "What the provider answered.", "content": answered}},
    }


def _refusal(status: int) -> Schema:
    codes = sorted({kind.code for kind in _kinds(GatewayError) if kind.status == status and kind is not ConfigError})
    return {
        "description": ", ".join(codes) or "As the provider refused it.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _kinds(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)
