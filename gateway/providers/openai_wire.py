"""Calls to whoever speaks OpenAI's wire format, litellm's worker among them: bytes in, bytes out."""

import json
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from gateway import __version__
from gateway.clock import Clock
from gateway.config.routes import Provider
from gateway.providers.connection import ConnectFailed, Connection
from gateway.providers.credentials import Credential
from gateway.providers.http_client import HttpClient, Origin, Pool

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024
JSON_TYPE = b"application/json"


class Exchange:
    """The way of one endpoint's calls to one target: whose connections, and a head that is built once per secret."""

    __slots__ = ("_credential", "_head", "_lines", "_pool", "_secret", "by_worker")

    def __init__(
        self, pool: Pool, lines: tuple[str, str, str], credential: Credential, *, by_worker: bool = False
    ) -> None:
        """Take the pool, and the head's lines: those before the secret's, the secret's own, and those behind it."""
        self.by_worker = by_worker
        """Whether litellm's worker makes the call."""
        self._pool = pool
        self._lines = lines
        self._credential = credential
        self._secret: str | None = None
        self._head = b""

    async def post(self, body: bytes, attempt_id: str, content_type: bytes = JSON_TYPE) -> Connection:
        """Send a body; return the connection, its answer not yet read.

        ``attempt_id`` travels as ``X-Client-Request-Id``, so that a provider's records can be laid beside the ledger.

        Raises:
            TransportError: the request could not be sent.
        """
        secret = self._credential.current() or await self._credential.get()
        if secret != self._secret:
            self._head, self._secret = self._new_head(secret), secret
        connection = await self._pool.acquire()
        connection.start(
            b"%bcontent-type: %b\r\nx-client-request-id: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (self._head, content_type, attempt_id.encode(), len(body), body)
        )
        return connection

    def _new_head(self, secret: str) -> bytes:
        before, secrets_line, behind = self._lines
        return (before + (secrets_line.format(secret) if secret else "") + behind).encode()


class Upstream:
    """One provider's API: where it is, and the headers that every call to it carries.

    ``worker_path`` is the socket of litellm's worker: what is not spoken natively goes there, where there is one.
    """

    def __init__(
        self,
        provider: Provider,
        client: HttpClient,
        environ: Mapping[str, str],
        clock: Clock,
        worker_path: str | None = None,
    ) -> None:
        self.provider = provider
        self._pool = client.pool(Origin.of(provider.base_url))
        self._worker = client.pool(Origin.of(f"unix:{worker_path}")) if worker_path else None
        # litellm finds the cloud's identity itself.
        identity = provider.identity if provider.vendor.litellm is None else None
        token = client.tokens.of(identity, clock) if identity else None
        self._credential = Credential(provider, environ, clock, token)
        parts = urlsplit(provider.base_url)
        self._host = parts.netloc
        self._path = parts.path.rstrip("/")
        self._origin = f"{parts.scheme}://{parts.netloc}"

    @property
    def secret(self) -> str:
        """What its calls are authorised with at the moment, to be kept out of whatever a provider answers."""
        return self._credential.current()

    @property
    def needs_worker(self) -> bool:
        """Whether none of its calls can be made without the worker."""
        return self.provider.vendor.litellm is not None

    def serves(self, endpoint: str) -> bool:
        """Tell whether it has an endpoint: natively or, where there is a worker, through that."""
        if self._litellm(endpoint) is not None:
            return self._worker is not None and (not self.needs_worker or endpoint in self.provider.vendor.endpoints)
        return endpoint in self.provider.vendor.endpoints

    def exchange(self, endpoint: str, path: str, model: str) -> Exchange:
        """Return the way of one endpoint's calls to one model; made once, kept by the target.

        ``path`` is the endpoint's, behind ``/v1`` of OpenAI's API.

        Raises:
            TransportError: it takes the worker, and there is none.
        """
        name = self._litellm(endpoint)
        if name is None:
            head = _head("POST", self._target_of(path, model), self._host)
            return Exchange(self._pool, (head, self._secrets_line, self._other_lines), self._credential)
        if self._worker is None:
            raise ConnectFailed("litellm's worker does not run", body_sent=False)
        behind = f"x-litellm-provider: {name}\r\nx-litellm-options: {self._options(endpoint)}\r\n"
        lines = (_head("POST", path, "litellm"), "authorization: Bearer {}\r\n", behind)
        return Exchange(self._worker, lines, self._credential, by_worker=True)

    async def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Fetch a small document; return status, headers and body.

        Raises:
            TransportError: it could not be had.
        """
        return await self.request("GET", path)

    async def request(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Send a request without a body; return status, headers and body. The caller has escaped the path.

        Raises:
            TransportError: there is no answer.
        """
        return await self._fetch(method, self._target_of(path), MAX_ANSWER_BYTES)

    async def list_models(self) -> tuple[int, bytes]:
        """Fetch the list of models; return status and body.

        Raises:
            TransportError: it could not be had.
        """
        status, _, body = await self._fetch("GET", self._path + self.provider.vendor.list_path, MAX_ANSWER_BYTES)
        return status, body

    async def look_up(self, quoted: str) -> int:
        """Look a model up by its id, which the caller has escaped; return the status.

        Raises:
            TransportError: there is no answer.
        """
        path = self.provider.vendor.list_path.partition("?")[0]
        return (await self._fetch("GET", f"{self._path}{path}/{quoted}", MAX_ANSWER_BYTES))[0]

    async def list_dated_models(self, limit_bytes: int) -> tuple[int, bytes]:
        """Fetch the list of models that tells of their dates; return status and body.

        Raises:
            TransportError: it could not be had, or is larger than ``limit_bytes``.
        """
        status, _, body = await self._fetch("GET", self._dated_path, limit_bytes)
        return status, body

    @property
    def dated_models_url(self) -> str:
        """Where that list is, without its query."""
        return self._origin + self._dated_path.partition("?")[0]

    @property
    def _dated_path(self) -> str:
        vendor = self.provider.vendor
        if vendor.dates_path is None:
            return self._path + vendor.list_path
        # What stands before the prefix is a proxy's; what stands behind it belongs to one of the host's surfaces.
        first = "/" + vendor.path_prefix.split("/")[1]
        return self._path.partition(first)[0] + vendor.dates_path

    def _litellm(self, endpoint: str) -> str | None:
        """Return litellm's name of this kind of provider, where an endpoint's calls go through the worker."""
        vendor = self.provider.vendor
        return vendor.litellm or (vendor.bridge if endpoint == "responses" else None)

    def _target_of(self, path: str, model: str | None = None) -> str:
        """Return the request's target for a path behind ``/v1``; Azure's dated surface has one for each deployment."""
        version = self.provider.api_version
        if version is None:
            return self._path + path
        # Responses are stored beside the deployments, and name theirs in the body.
        deployment = f"/deployments/{quote(model, safe='')}" if model and not path.startswith("/responses") else ""
        return f"{self._path}{deployment}{path}{'&' if '?' in path else '?'}api-version={version}"

    def _options(self, endpoint: str) -> str:
        """Return what litellm must know of this provider beside its key, as JSON for a header."""
        provider, vendor = self.provider, self.provider.vendor
        given = vendor.litellm is None or provider.is_elsewhere
        options = {
            "api_base": provider.base_url + vendor.litellm_paths.get(endpoint, "") if given else None,
            "api_version": provider.api_version,
            "aws_region_name": provider.region,
            "vertex_location": provider.location,
            "vertex_project": provider.project,
        }
        return json.dumps({name: value for name, value in options.items() if value is not None})

    async def _fetch(self, method: str, target: str, limit_bytes: int) -> tuple[int, dict[str, str], bytes]:
        secret = await self._credential.get()
        lines = (self._secrets_line.format(secret) if secret else "") + self._other_lines
        # A POST without a body says so, or servers wait for one.
        length = "content-length: 0\r\n" if method == "POST" else ""
        connection = await self._pool.acquire()
        try:
            connection.start(f"{_head(method, target, self._host)}{lines}{length}\r\n".encode())
            await connection.wait_head()
            return connection.status, header_map(connection.headers), await connection.read(limit_bytes)
        finally:
            connection.finish()

    @property
    def _secrets_line(self) -> str:
        header = "authorization" if self.provider.identity else self.provider.vendor.key_header
        return f"{header}: {'Bearer ' if header == 'authorization' else ''}{{}}\r\n"

    @property
    def _other_lines(self) -> str:
        return "".join(f"{name}: {value}\r\n" for name, value in self.provider.vendor.headers)


def _head(method: str, target: str, host: str) -> str:
    return (
        f"{method} {target} HTTP/1.1\r\n"
        f"host: {host}\r\n"
        f"user-agent: understudy/{__version__}\r\n"
        "accept: application/json, text/event-stream\r\n"
        "accept-encoding: identity\r\n"
    )


def header_map(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as text by lower-case name; of repeated ones the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
