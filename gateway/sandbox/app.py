"""HTTP in and out: which path is what. Plain ASGI, for it shares a small machine with the gateway under test."""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.sandbox import adapters, batch_runs, files, fine_tuning, stored_responses, training_runs
from gateway.sandbox.admin import command, list_models, read_bill, read_training, set_batches, set_training
from gateway.sandbox.catalogue import Model, default_catalogue
from gateway.sandbox.chat import Chat
from gateway.sandbox.completions import Completions
from gateway.sandbox.connection import ClientGone, Connection, Receive, Scope, Send
from gateway.sandbox.embeddings import Embeddings
from gateway.sandbox.endpoint import answer_attempt
from gateway.sandbox.images import ImageEdits, ImageGenerations, ImageVariations
from gateway.sandbox.moderations import Moderations
from gateway.sandbox.paging import Query
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
_ADAPTER_COMMANDS = {"/v1" + adapters.LOAD: adapters.load, "/v1" + adapters.UNLOAD: adapters.unload}
_COMMAND_PATH, _BATCHES_PATH, _TRAINING_PATH = "/sandbox/models/", "/sandbox/batches", "/sandbox/training"
_POSTED = {_BATCHES_PATH: set_batches, _TRAINING_PATH: set_training, **_ADAPTER_COMMANDS}
_ROOTS = (fine_tuning.JOBS, files.FILES, batch_runs.BATCHES)
_PLAIN_PATHS = frozenset(_ENDPOINT_AT) | _LIST_PATHS | {"/", "/sandbox/models", "/sandbox/bill", _TRAINING_PATH}
_WELCOME = {
    "service": "Understudy sandbox provider",
    "speaks": "POST " + ", ".join(f"/v1{endpoint.path}" for endpoint in ENDPOINTS) + ", "
    "GET /v1/models, GET /v1/models/{id}, GET and POST /v1/fine_tuning/jobs, GET and POST /v1/files, "
    "GET and POST /v1/batches, POST /v1/load_lora_adapter, POST /v1/unload_lora_adapter",
    "commands": "GET /sandbox/models, POST /sandbox/models/{id}/retire, POST /sandbox/models/{id}/restore, "
    "POST /sandbox/models/{id}, POST /sandbox/batches, GET and POST /sandbox/training, GET /sandbox/bill",
}


class Sandbox:
    """A sandbox provider: ``provider`` is its state, and ``app`` what serves it over HTTP."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI)."""
        connection = Connection(scope, receive, send, self.provider.clock)
        method, path = scope["method"], scope["path"]
        training_runs.advance(self.provider)
        if method == "POST" and (endpoint := _ENDPOINT_AT.get(path)) is not None:
            await answer_attempt(endpoint, self.provider, connection, dict(scope["headers"]))
            return
        request_id = f"req_{uuid4().hex}"
        headers = {"x-request-id": request_id}
        try:
            await batch_runs.advance(self.provider)
            body = await self._answer(scope, connection)
            if isinstance(body, str):
                body, headers["content-type"] = body.encode(), "text/plain; charset=utf-8"
            await (connection.send_bytes if isinstance(body, bytes) else connection.send_json)(200, body, headers)
        except ProviderError as error:
            await connection.send_json(error.status, error.body, {**headers, **error.headers})
        except GatewayError as error:
            await connection.send_json(error.status, error.body(request_id), headers)
        except ClientGone:
            pass

    async def _answer(self, scope: Scope, connection: Connection) -> Any:
        method, path, query = scope["method"], scope["path"], scope["query_string"].decode("latin-1")
        model_path = _behind(path, _MODEL_PATHS)
        response_path = _behind(path, _RESPONSE_PATHS)
        kept_path = _kept_path(path)
        if response_path is not None:
            return stored_responses.answer(self.provider.responses, method, response_path, query)
        if kept_path is not None:
            return await self._answer_kept(scope, kept_path, parse_qs(query), connection)
        if path in _POSTED and (method == "POST" or path not in _PLAIN_PATHS):
            if method != "POST":
                raise method_not_allowed(method, path)
            return _POSTED[path](self.provider, await connection.body())
        if path.startswith(_COMMAND_PATH):
            if method == "POST":
                model_id, action = _split_command(path.removeprefix(_COMMAND_PATH))
                return command(self.provider, model_id, action, await connection.body())
        elif path not in _PLAIN_PATHS and model_path is None:
            raise unknown_url(method, path)
        if method != "GET" or path in _ENDPOINT_AT or path.startswith(_COMMAND_PATH):
            raise method_not_allowed(method, path)
        if path == "/sandbox/models":
            return list_models(self.provider)
        if path == "/sandbox/bill":
            return read_bill(self.provider, parse_qs(query).get("since", [None])[0])
        if path == _TRAINING_PATH:
            return read_training(self.provider)
        if path in _LIST_PATHS:
            return {"object": "list", "data": [_model_json(model) for model in self.provider.living()]}
        if model_path is not None:
            return _model_json(self.provider.find(model_path, streamed=False))
        return _WELCOME

    async def _answer_kept(self, scope: Scope, path: str, query: Query, connection: Connection) -> Any:
        """Answer a request about what is kept for a while: jobs, files and batches."""
        provider, method = self.provider, scope["method"]
        if path.startswith(batch_runs.BATCHES):
            raw = await connection.body() if method == "POST" else b""
            await batch_runs.advance(provider)
            return batch_runs.answer(provider, method, path, query, raw)
        if path.startswith(files.FILES):
            if method == "POST" and path == files.FILES:
                content_type = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
                return files.upload(provider.files, await connection.body(), content_type)
            return files.answer(provider.files, fine_tuning.training_files(provider), method, path, query)
        raw = await connection.body() if method == "POST" else b""
        return fine_tuning.answer(provider, method, path, query, raw)


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


def _kept_path(path: str) -> str | None:
    """Return the path behind the API's prefix where it is one of jobs, files or batches."""
    tails = (path.removeprefix(prefix) for prefix in _PREFIXES if path.startswith(f"{prefix}/"))
    return next((tail for tail in tails for root in _ROOTS if tail == root or tail.startswith(f"{root}/")), None)


def _model_json(model: Model) -> dict[str, Any]:
    shown = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "acme" if model.base else "sandbox",
        "shutdown_date": model.shutdown_date,
    }
    # Only an adapter tells of its base.
    return {**shown, "root": model.adapter_path, "parent": model.base} if model.adapter_path else shown
