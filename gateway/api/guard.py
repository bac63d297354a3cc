"""Who may call: one credential, checked in constant time; and, without keys, only this machine."""

import math
import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.types import Scope

from gateway.api.failures import Failures
from gateway.clock import Clock
from gateway.config.callers import ANYBODY, DEFAULT, Caller, KeyRole
from gateway.errors import (
    ForbiddenOrigin,
    GatewayError,
    InvalidRequest,
    KeysUnavailable,
    NotAllowed,
    NotFound,
    TooManyFailures,
    TwoCredentials,
    Unauthenticated,
    UnsupportedMediaType,
)
from gateway.execution.key_ring import KeyRing

RawHeaders = list[tuple[bytes, bytes]]
LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
OPEN_PATHS = frozenset(("/healthz", "/readyz"))
REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
CREDENTIAL_HEADERS = frozenset((b"authorization", b"api-key", b"x-api-key"))
READ_HEADERS = CREDENTIAL_HEADERS | {b"host", b"origin", b"content-type", b"content-encoding"}
BODY_TYPES = (b"application/json", b"multipart/form-data")
SEND_KEY = "Send the gateway's key as 'Authorization: Bearer …'."
NOT_A_KEY = "This is no key of this gateway, or none any more: ask whoever gave it to you for another."
NO_ADMIN = "This is the admin's, and this gateway has no admin's key: set GATEWAY_ADMIN_KEY."
KEYS_UNAVAILABLE = "Keys are in a database that cannot be reached just now; try again in some seconds."
TOO_MANY_WRONG_KEYS = "Too many wrong keys have come from this address. A right one is still taken."
KEY_PARAMETERS = frozenset(("key", "api_key", "api-key", "apikey", "access_token"))
KEY_IN_QUERY = "A key must not be in the URL, where it would be written down; send it as 'Authorization: Bearer …'."
WRONG_KEYS_A_MINUTE: Final = 20
ONE_CREDENTIAL = "Send one credential: the Authorization header, once."
FORM_TYPE = b"application/x-www-form-urlencoded"
ADMINS = frozenset((KeyRole.ADMIN,))
CALLERS = frozenset((KeyRole.CALLER, KeyRole.ADMIN))
OBSERVERS = frozenset((KeyRole.OBSERVER, KeyRole.ADMIN))
WHOSE: Final = {
    ADMINS: "the administrator's",
    CALLERS: "an application's",
    OBSERVERS: "an observer's, or the administrator's",
}
OTHERS: Final = {KeyRole.OBSERVER: "an observer's", KeyRole.REVIEWER: "a reviewer's"}
ROLES: Final = (("/v1/", CALLERS), ("/admin/", ADMINS), ("/openapi.json", CALLERS), ("/metrics", OBSERVERS))
"""Whom a path is for: all below, where it ends with /. What is not here is for nobody, whoever serves it."""


class Guard:
    """Decides from a request's head alone."""

    def __init__(self, ring: KeyRing, clock: Clock, *, admits_all: bool = False) -> None:
        """``admits_all``: without keys, whoever reaches this gateway may call, from whatever machine."""
        self._ring = ring
        self._clock = clock
        self._admits_all = admits_all
        self._failures = Failures(WRONG_KEYS_A_MINUTE)
        self._last_local_host = b""
        """A Host that was found to be this machine's: callers seldom change it."""

    def admit(self, method: str, path: str, headers: RawHeaders, query: bytes = b"", peer: str = "") -> Caller:
        """Let a request in; return who calls.

        ``peer`` is the address that it comes from.

        Raises:
            TwoCredentials: more than one credential.
            InvalidRequest: a credential in the query, which proxies and browsers write down.
            Unauthenticated: keys are configured, and this is none of them, or none any more.
            TooManyFailures: so it is, and this address has sent many such.
            KeysUnavailable: nobody can tell, since the database's keys were not read yet.
            NotAllowed: the key is right, and this path is not for it.
            NotFound: the path is nobody's.
            ForbiddenOrigin: no keys are configured, and this does not come from this machine, or from another's page.
            UnsupportedMediaType: a body of another kind, or a compressed one.
        """
        if path in OPEN_PATHS:
            return ANYBODY
        if query:
            refuse_keys_in(query)
        credentials: list[bytes] = []
        host = origin = content_type = b""
        for name, value in headers:
            if name not in READ_HEADERS:
                continue
            if name == b"host":
                host = value
            elif name in CREDENTIAL_HEADERS:
                credentials.append(value)
            elif name == b"origin":
                origin = value
            elif name == b"content-type":
                content_type = value
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise UnsupportedMediaType("Send the body as it is: compressed requests are not taken.")
        if len(credentials) > 1:
            raise TwoCredentials(ONE_CREDENTIAL)
        # Nothing is sent along to cancel something, and not every client names a type for nothing.
        bodiless = not content_type and path.endswith("/cancel")
        if method == "POST" and not bodiless and not content_type.lower().startswith(BODY_TYPES):
            raise UnsupportedMediaType("Send 'Content-Type: application/json'.")
        if self._ring.is_open:
            self._judge_origin(host, origin)
            if roles_of(path) is not ADMINS:
                return ANYBODY
        return self._caller(credentials[0] if credentials else b"", path, peer)

    def admit_page(self, method: str, headers: RawHeaders) -> None:
        """Let a request through to the pages, which ask for a login themselves; what else holds here, holds there.

        Raises:
            TwoCredentials: more than one credential.
            ForbiddenOrigin: as for any other request.
            UnsupportedMediaType: what is sent is no form, or a compressed one.
        """
        if sum(name in CREDENTIAL_HEADERS for name, _ in headers) > 1:
            raise TwoCredentials(ONE_CREDENTIAL)
        found = {name: value for name, value in headers if name in READ_HEADERS}
        if found.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMediaType("Send the body as it is: compressed requests are not taken.")
        if method not in ("GET", "HEAD") and not found.get(b"content-type", b"").lower().startswith(FORM_TYPE):
            raise UnsupportedMediaType(f"Send 'Content-Type: {FORM_TYPE.decode()}'.")
        if self._ring.is_open:
            self._judge_origin(found.get(b"host", b""), found.get(b"origin", b""))

    def _caller(self, credential: bytes, path: str, peer: str) -> Caller:
        # The parser leaves the blanks behind a value, and as many as one likes may stand behind the word.
        shown = (credential[7:] if credential[:7].lower() == b"bearer " else credential).strip(b" \t")
        caller = self._ring.find(shown)
        expired = caller is not None and caller.expires_at is not None and self._clock.now() >= caller.expires_at
        if caller is None or expired:
            raise self._refusal(bool(shown), expired, path, peer)
        if caller.role not in roles_of(path) and not (path == "/metrics" and caller.id == DEFAULT):
            if not self._ring.has_admin and roles_of(path) is ADMINS:
                raise Unauthenticated(NO_ADMIN)
            other = f", and this one is {OTHERS[caller.role]}" if caller.role in OTHERS else ""
            raise NotAllowed(f"{path[:100]} is not for this key: it takes {WHOSE[roles_of(path)]}{other}.")
        return caller

    def _refusal(self, was_shown: bool, expired: bool, path: str, peer: str) -> GatewayError:
        """Return why nobody is let in: the same, whatever was wrong with what was shown."""
        if was_shown and not expired and not self._ring.knows_all:
            return KeysUnavailable(KEYS_UNAVAILABLE, headers={"retry-after": "5"})
        if was_shown:
            now = self._clock.monotonic()
            over_in_s = self._failures.over_in_s(peer, now)
            if over_in_s > 0:
                return TooManyFailures(TOO_MANY_WRONG_KEYS, headers={"retry-after": str(math.ceil(over_in_s))})
            self._failures.add(peer, now)
        if not self._ring.has_admin and path.startswith("/admin/"):
            return Unauthenticated(NO_ADMIN)
        return Unauthenticated(NOT_A_KEY if was_shown else SEND_KEY)

    def _judge_origin(self, host: bytes, origin: bytes) -> None:
        """Without keys, keep pages of other origins out, and, unless all are welcome, other machines' names."""
        if self._admits_all:
            if origin and _authority(origin) != host.lower():
                raise ForbiddenOrigin(
                    "Without keys no page of another origin may use this gateway, and this Origin is not its Host. "
                    "Set GATEWAY_KEY."
                )
        elif origin or host != self._last_local_host:
            self._from_here(host, origin)
            self._last_local_host = host

    @staticmethod
    def _from_here(host: bytes, origin: bytes) -> None:
        """Keep pages of other origins, and names that were made to point here, from using an open gateway."""
        for what, text in (("Host", b"//" + host), ("Origin", origin)):
            if text in (b"", b"//"):
                continue
            try:
                name = urlsplit(text.decode("latin-1")).hostname
            except ValueError:
                name = None
            if name not in LOCAL_NAMES:
                raise ForbiddenOrigin(
                    f"Without keys this gateway serves its own machine only; this {what} is another's. Set GATEWAY_KEY."
                )


def refuse_keys_in(query: bytes) -> None:
    """Refuse a query that holds a credential, without repeating it.

    Raises:
        InvalidRequest: it does.
    """
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name.lower() in KEY_PARAMETERS:
            raise InvalidRequest(KEY_IN_QUERY, param=name)


def peer_of(scope: Scope) -> str:
    """Return the address that a request comes from: a proxy's, where there is one."""
    client = scope.get("client")
    return client[0] if client else ""


def _authority(origin: bytes) -> bytes:
    """Return an origin's host and port; nothing, where it has none (``null``)."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return b""


def roles_of(path: str) -> frozenset[KeyRole]:
    """Return whose keys open a path.

    Raises:
        NotFound: it is not one of this gateway's.
    """
    for beginning, roles in ROLES:
        if path.startswith(beginning) and (beginning[-1] == "/" or len(path) == len(beginning)):
            return roles
    raise NotFound(f"There is nothing at {path[:100]}; applications use /v1.")


def request_id(headers: RawHeaders) -> bytes | None:
    """Return the caller's own request id, where it is one that can be repeated safely."""
    for name, value in headers:
        if name == b"x-request-id":
            return value if REQUEST_ID.fullmatch(value) else None
    return None
