"""HTTP in and out: which path is what. Plain ASGI, for it shares a small machine with the gateway under test."""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.sandbox import fine_tuning, stored_responses
from gateway.sandbox.admin import command, list_models, read_bill
from gateway.sandbox.catalogue import Model, default_catalogue
from gateway.sandbox.chat import Chat
from gateway.sandbox.completions import Completions
from gateway.sandbox.connection import ClientGone, Connection, Receive, Scope, Send
from gateway.sandbox.embeddings import Embeddings
from gateway.sandbox.endpoint import answer_attempt
from gateway.sandbox.images import ImageEdits, ImageGenerations, ImageVariations
from gateway.sandbox.moderations import Moderations
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import ProviderError, method_not_allowed, unknown_url
from gateway.sandbox.responses import Responses
from gateway.sandbox.speech import Speech
from gateway.sandbox.transcriptions import Transcriptions, Translations

# Other OpenAI-compatible providers have the endpoints elsewhere; a client of any kind can be pointed here.
_PREFIXES = ("/v1", "/openai/v1", "/api/v1", "/inference/v1", "/serving-endpoints")
ENDPOINTS: Final = (
    Chat(), Responses(), Embeddings(), Completions(), Moderations(), ImageGenerations(), ImageEdits(),
    ImageVariations(), Speech(), Transcriptions(), Translations(),
)  # fmt: skip
_ENDPOINT_AT = {f"{prefix}{endpoint.path}": endpoint for prefix in _PREFIXES for endpoint in ENDPOINTS}
_LIST_PATHS = frozenset(f"{prefix}/models" for prefix in _PREFIXES)
_MODEL_PATHS = tuple(f"{prefix}/models/" for prefix in _PREFIXES)
_RESPONSE_PATHS = tuple(f"{prefix}/responses/" for prefix in _PREFIXES)
_COMMAND_PATH = "/sandbox/models/"
_PLAIN_PATHS = frozenset(_ENDPOINT_AT) | _LIST_PATHS | {"/", "/sandbox/models", "/sandbox/bill"}
_WELCOME = {
    "service": "Understudy sandbox provider",
    "speaks": "POST " + ", ".join(f"/v1{endpoint.path}" for endpoint in ENDPOINTS) + ", "
    "GET /v1/models, GET /v1/models/{id}, GET /v1/fine_tuning/jobs, GET /v1/files",
    "commands": "GET /sandbox/models, POST /sandbox/models/{id}/retire, POST /sandbox/models/{id}/restore, "
    "POST /sandbox/models/{id}, GET /sandbox/bill",
}


class Sandbox:
    """A sandbox provider: ``provider`` is its state, and ``app`` what serves it over HTTP."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI)."""
        connection = Connection(scope, receive, send, self.provider.clock)
        method, path = scope["method"], scope["path"]
        if method == "POST" and (endpoint := _ENDPOINT_AT.get(path)) is not None:
            await answer_attempt(endpoint, self.provider, connection, dict(scope["headers"]))
            return
        request_id = f"req_{uuid4().hex}"
        headers = {"x-request-id": request_id}
        try:
            body = await self._answer(method, path, scope["query_string"], connection)
            await (connection.send_bytes if isinstance(body, bytes) else connection.send_json)(200, body, headers)
        except ProviderError as error:
            await connection.send_json(error.status, error.body, {**headers, **error.headers})
        except GatewayError as error:
            await connection.send_json(error.status, error.body(request_id), headers)
        except ClientGone:
            pass

    async def _answer(self, method: str, path: str, query: bytes, connection: Connection) -> Any:
        model_path = _behind(path, _MODEL_PATHS)
        response_path = _behind(path, _RESPONSE_PATHS)
        training_path = _training_path(path)
        if response_path is not None:
            return stored_responses.answer(self.provider.responses, method, response_path, query.decode("latin-1"))
        if path.startswith(_COMMAND_PATH):
            if method == "POST":
                model_id, action = _split_command(path.removeprefix(_COMMAND_PATH))
                return command(self.provider, model_id, action, await connection.body())
        elif path not in _PLAIN_PATHS and model_path is None and training_path is None:
            raise unknown_url(method, path)
        if method != "GET" or path in _ENDPOINT_AT or path.startswith(_COMMAND_PATH):
            raise method_not_allowed(method, path)
        if training_path is not None:
            return fine_tuning.answer(self.provider, training_path, parse_qs(query.decode("latin-1")))
        if path == "/sandbox/models":
            return list_models(self.provider)
        if path == "/sandbox/bill":
            return read_bill(self.provider, parse_qs(query.decode("latin-1")).get("since", [None])[0])
        if path in _LIST_PATHS:
            return {"object": "list", "data": [_model_json(model) for model in self.provider.living()]}
        if model_path is not None:
            return _model_json(self.provider.find(model_path, streamed=False))
        return _WELCOME


def create_sandbox(*, clock: Clock, catalogue: Iterable[Model] | None = None, seed: str = "sandbox") -> Sandbox:
    """Return a sandbox whose dates count from ``clock.now()``; the same seed gives the same answers."""
    models = default_catalogue(clock.now()) if catalogue is None else catalogue
    return Sandbox(Provider(clock, models, seed))


def _split_command(rest: str) -> tuple[str, str]:
    """Return the model's id, which may hold any character, and the action; empty: adjust."""
    for action in ("retire", "restore"):
        if rest.endswith(f"/{action}"):
            return rest.removesuffix(f"/{action}"), action
    return rest, ""


def _behind(path: str, prefixes: Iterable[str]) -> str | None:
    """Return what follows one of these prefixes."""
    return next((path.removeprefix(prefix) for prefix in prefixes if path.startswith(prefix)), None)


def _training_path(path: str) -> str | None:
    """Return the path behind the API's prefix where it is one of jobs or files."""
    tails = (path.removeprefix(prefix) for prefix in _PREFIXES if path.startswith(f"{prefix}/"))
    return next((tail for tail in tails if fine_tuning.answers_path(tail)), None)


def _model_json(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "acme" if model.base else "sandbox",
        "shutdown_date": model.shutdown_date,
    }
