"""Where connections to upstreams come from: kept by origin, made when none is idle.

This is the one seam to the network in the request path. ARCHITECTURE.md has the figures that chose it over aiohttp and
pyreqwest. Origins come from the configuration, never from a request or from the environment, and each new connection is
checked against it (``allowed_origins``), whoever asks for it.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.providers.connection import ConnectFailed, Connection, TlsFailed
from gateway.providers.identity_tokens import IdentityTokens

CONNECT_TIMEOUT_S = 3.0
# Idle connections are dropped before common servers drop them: a request must not race the server's own FIN.
IDLE_PLAIN_S = 4.0
IDLE_TLS_S = 30.0
DNS_TTL_S = 30.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go: taken from the configuration only."""

    host: str
    port: int
    tls: bool
    socket_path: str | None = None
    """A Unix socket of this machine; host and port then say nothing."""

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Return the origin of an http or https URL, or of ``unix:`` with a socket's path."""
        if url.startswith("unix:"):
            return cls("the worker", 0, False, url.removeprefix("unix:"))
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        if not parts.hostname:
            raise ValueError(f"no host in {url!r}")
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls)


class NotConfigured(ConnectFailed):
    """The configuration does not name the place that a connection was wanted to."""


class Pool:
    """Connections to one origin."""

    def __init__(
        self, origin: Origin, ssl_context: ssl.SSLContext | None, permits: Callable[[Origin], bool] | None = None
    ) -> None:
        """``permits`` is asked before each new connection; None: any origin will do."""
        self.origin = origin
        self._ssl = ssl_context
        self._permits = permits
        self._idle: list[Connection] = []
        self._addresses: list[str] = []
        self._addresses_until = 0.0
        self._resolving: asyncio.Task[None] | None = None

    async def acquire(self) -> Connection:
        """Return an idle connection, or a new one.

        Raises:
            ConnectFailed: there is none to be had within ``CONNECT_TIMEOUT_S``.
            NotConfigured: the configuration does not name this origin, or not any more.
            TlsFailed: the certificate does not prove the host.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        return await self._connect()

    def put(self, connection: Connection) -> None:
        """Take a connection back."""
        connection.rest(IDLE_TLS_S if self.origin.tls else IDLE_PLAIN_S, asyncio.get_running_loop())
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Drop an idle connection that closed."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is idle."""
        for connection in tuple(self._idle):
            connection.discard()
        self._idle.clear()

    async def _connect(self) -> Connection:
        if self._permits is not None and not self._permits(self.origin):
            raise NotConfigured(f"{self.origin.host} is not in the configuration", body_sent=False)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await self._connect_any()
        except TimeoutError:
            raise ConnectFailed(
                f"no connection to {self.origin.host} within {CONNECT_TIMEOUT_S:g} s", body_sent=False
            ) from None
        except ssl.SSLError as error:
            raise TlsFailed(f"TLS with {self.origin.host} failed: {error.reason}", body_sent=False) from None
        except OSError as error:
            # The loop's own frames keep it for a while, and through it would keep whoever waits here.
            error.__traceback__ = None
            raise ConnectFailed(
                f"cannot connect to {self.origin.host}: {error.strerror or error}", body_sent=False
            ) from None

    async def _connect_any(self) -> Connection:
        loop = asyncio.get_running_loop()
        if self.origin.socket_path is not None:
            _, protocol = await loop.create_unix_connection(lambda: Connection(self), self.origin.socket_path)
            return protocol
        last: OSError | None = None
        for address in await self._resolve(loop):
            try:
                _, protocol = await loop.create_connection(
                    lambda: Connection(self),
                    address,
                    self.origin.port,
                    ssl=self._ssl,
                    server_hostname=self.origin.host if self._ssl else None,
                )
                return protocol
            except ssl.SSLError:
                raise
            except OSError as error:
                last = error
        try:
            raise last or OSError("the name has no address")
        finally:
            # It holds this frame, which holds it.
            last = None

    async def _resolve(self, loop: asyncio.AbstractEventLoop) -> list[str]:
        """Look the host up, once at a time: a slow resolver must not use up the threads that others need."""
        if loop.time() >= self._addresses_until:
            if self._resolving is None:
                self._resolving = loop.create_task(self._look_up(loop))
            await asyncio.shield(self._resolving)
        return self._addresses

    async def _look_up(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            found = await loop.getaddrinfo(self.origin.host, self.origin.port, type=1)
            self._addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
            self._addresses_until = loop.time() + DNS_TTL_S
        finally:
            self._resolving = None


class HttpClient:
    """Pools by origin, and the tokens of cloud identities: both outlive the configuration that first asked for them.

    Build it inside the running loop's lifetime; ``close`` it at its end.
    """

    def __init__(
        self, tokens: IdentityTokens | None = None, *, permits: Callable[[Origin], bool] | None = None
    ) -> None:
        """``permits`` tells where connections may go; None: anywhere, for commands whose user names the place."""
        self.tokens = tokens or IdentityTokens()
        self._permits = permits
        self._pools: dict[Origin, Pool] = {}
        self._ssl: ssl.SSLContext | None = None

    def pool(self, origin: Origin) -> Pool:
        """Return the pool of an origin; cheap after the first call."""
        pool = self._pools.get(origin)
        if pool is None:
            if origin.tls and self._ssl is None:
                self._ssl = ssl.create_default_context()
            pool = self._pools[origin] = Pool(origin, self._ssl if origin.tls else None, self._permits)
        return pool

    def close(self) -> None:
        """Close every idle connection, and renew no more tokens."""
        self.tokens.close()
        for pool in self._pools.values():
            pool.close()
