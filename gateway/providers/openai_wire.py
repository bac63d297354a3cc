"""Calls to whoever speaks OpenAI's wire format: bytes in, bytes out."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway import __version__
from gateway.clock import Clock
from gateway.config.routes import Provider
from gateway.providers.connection import Connection
from gateway.providers.credentials import Credential
from gateway.providers.http_client import HttpClient, Origin

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024


class Upstream:
    """One provider's API: where it is, and the headers that every call to it carries."""

    def __init__(self, provider: Provider, client: HttpClient, environ: Mapping[str, str], clock: Clock) -> None:
        self.provider = provider
        self._pool = client.pool(Origin.of(provider.base_url))
        self._credential = Credential(provider, environ, clock)
        parts = urlsplit(provider.base_url)
        self._host = parts.netloc
        self._path = parts.path.rstrip("/")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._heads: dict[tuple[str, str], tuple[str, bytes]] = {}

    async def post(self, path: str, body: bytes, attempt_id: str) -> Connection:
        """Send a JSON body; return the connection, its answer not yet read.

        ``attempt_id`` travels as ``X-Client-Request-Id``, so that a provider's records can be laid beside the ledger.

        Raises:
            TransportError: the request could not be sent.
        """
        connection = await self._pool.acquire()
        connection.start(
            b"%bx-client-request-id: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (self._head("POST", path), attempt_id.encode(), len(body), body)
        )
        return connection

    async def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Fetch a small document; return status, headers and body.

        Raises:
            TransportError: it could not be had.
        """
        return await self._fetch(self._head("GET", path), MAX_ANSWER_BYTES)

    async def list_dated_models(self, limit_bytes: int) -> tuple[int, bytes]:
        """Fetch the list of models that tells of their dates; return status and body.

        Raises:
            TransportError: it could not be had, or is larger than ``limit_bytes``.
        """
        head = self._new_head("GET", self._dated_path, self._credential.current())
        status, _, body = await self._fetch(head, limit_bytes)
        return status, body

    @property
    def dated_models_url(self) -> str:
        """Where that list is, without its query."""
        return self._origin + self._dated_path.partition("?")[0]

    @property
    def _dated_path(self) -> str:
        vendor = self.provider.vendor
        if vendor.dates_path is None:
            return f"{self._path}/models"
        # What stands before the prefix is a proxy's; a path without the prefix is some other surface of the host's.
        prefixed = self._path.endswith(vendor.path_prefix)
        return (self._path.removesuffix(vendor.path_prefix) if prefixed else "") + vendor.dates_path

    async def _fetch(self, head: bytes, limit_bytes: int) -> tuple[int, dict[str, str], bytes]:
        connection = await self._pool.acquire()
        try:
            connection.start(head + b"\r\n")
            await connection.wait_head()
            return connection.status, header_map(connection.headers), await connection.read(limit_bytes)
        finally:
            connection.finish()

    def _head(self, method: str, path: str) -> bytes:
        """Return the request's head without its last lines; built anew only when the credential changed."""
        secret = self._credential.current()
        known = self._heads.get((method, path))
        if known is not None and known[0] == secret:
            return known[1]
        head = self._new_head(method, self._path + path, secret)
        if len(self._heads) < 64:
            self._heads[method, path] = (secret, head)
        return head

    def _new_head(self, method: str, target: str, secret: str) -> bytes:
        lines = [
            f"{method} {target} HTTP/1.1",
            f"host: {self._host}",
            f"user-agent: understudy/{__version__}",
            "accept: application/json, text/event-stream",
            "accept-encoding: identity",
        ]
        if method == "POST":
            lines.append("content-type: application/json")
        if secret:
            header = self.provider.vendor.key_header
            lines.append(f"{header}: {f'Bearer {secret}' if header == 'authorization' else secret}")
        return "\r\n".join(lines).encode() + b"\r\n"


def header_map(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as text by lower-case name; of repeated ones the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
