"""Tokens of cloud identities: had from the vendors' own libraries, in threads, ahead of the requests that need them.

Azure's workload and managed identities, and Google's application default credentials. AWS signs each request, which
litellm does by itself in its worker.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import structlog

from gateway.clock import Clock
from gateway.config.vendors import Identity
from gateway.providers.connection import ConnectFailed

log = structlog.get_logger()
# The libraries keep a token themselves until five minutes before its end, and give a new one from then on.
RENEW_BEFORE_END_S = 270.0
SHORTEST_PAUSE_S = 30.0
RETRY_PAUSE_S = 10.0
FIRST_WAIT_S = 10.0
AZURE_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class Token(NamedTuple):
    """What stands in for a key, and until when."""

    value: str
    expires_at: float
    """In unix time, seconds."""


Fetch = Callable[[], Token]
"""Gets a token, or the one that still holds; blocks, and raises whatever its library raises."""
Source = Callable[[], Fetch]
"""Finds the identity of this process; blocks too."""


def azure_identity() -> Fetch:
    """Return what fetches tokens of Azure's workload identity, managed identity, or whatever else there is."""
    from azure.identity import DefaultAzureCredential

    credential = DefaultAzureCredential()

    def fetch() -> Token:
        token = credential.get_token(AZURE_SCOPE)
        return Token(token.token, float(token.expires_on))

    return fetch


def google_identity() -> Fetch:
    """Return what fetches tokens of Google's application default credentials."""
    import google.auth
    from google.auth.transport.requests import Request

    found: Any = google.auth.default(scopes=[GOOGLE_SCOPE])[0]

    def fetch() -> Token:
        found.refresh(Request())
        # The library's instants are UTC without saying so.
        return Token(found.token, found.expiry.replace(tzinfo=UTC).timestamp())

    return fetch


SOURCES: Final[Mapping[Identity, Source]] = MappingProxyType({"azure": azure_identity, "google": google_identity})


class IdentityToken:
    """One identity's token, renewed in the background from the first time that somebody asks for it."""

    def __init__(self, identity: Identity, source: Source, clock: Clock) -> None:
        self._identity = identity
        self._source = source
        self._clock = clock
        self._token = Token("", 0.0)
        self._problem = ""
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def current(self) -> str:
        """Return the token, or an empty string: there is none, or it has run out."""
        return self._token.value if self._clock.now().timestamp() < self._token.expires_at else ""

    async def get(self) -> str:
        """Return the token; wait for the first one, and for no other.

        Raises:
            ConnectFailed: there is none.
        """
        self.start()
        try:
            async with asyncio.timeout(FIRST_WAIT_S):
                await self._tried.wait()
        except TimeoutError:
            self._problem = self._problem or f"no answer within {FIRST_WAIT_S:g} s"
        token = self.current()
        if not token:
            raise ConnectFailed(f"no token for the {self._identity} identity: {self._problem}", body_sent=False)
        return token

    def start(self) -> None:
        """Begin to fetch and renew, unless that is under way."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"{self._identity}-identity")

    def close(self) -> None:
        """Renew no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _keep(self) -> None:
        fetch: Fetch | None = None
        while True:
            try:
                if fetch is None:
                    fetch = await asyncio.to_thread(self._source)
                self._token = await asyncio.to_thread(fetch)
                self._problem = "it has run out"
                left_s = self._token.expires_at - self._clock.now().timestamp()
                pause_s = max(left_s - RENEW_BEFORE_END_S, SHORTEST_PAUSE_S)
            except Exception as error:
                # The libraries raise errors of their own, and of those below them.
                self._problem = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]
                log.warning("identity_token_failed", identity=self._identity, error=self._problem)
                pause_s = RETRY_PAUSE_S
            self._tried.set()
            await self._clock.sleep(pause_s)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._identity})"


class IdentityTokens:
    """The tokens of this process, one for each identity."""

    def __init__(self, sources: Mapping[Identity, Source] = SOURCES) -> None:
        self._sources = sources
        self._tokens: dict[Identity, IdentityToken] = {}

    def of(self, identity: Identity, clock: Clock) -> IdentityToken:
        """Return an identity's token, which several providers may share."""
        token = self._tokens.get(identity)
        if token is None:
            token = self._tokens[identity] = IdentityToken(identity, self._sources[identity], clock)
        return token

    def close(self) -> None:
        """Renew none of them any more."""
        for token in self._tokens.values():
            token.close()
