"""Who may call: one credential, checked in constant time; and, without keys, only this machine."""

import hmac
import re
from urllib.parse import urlsplit

from gateway.errors import ForbiddenOrigin, TwoCredentials, Unauthenticated, UnsupportedMediaType

RawHeaders = list[tuple[bytes, bytes]]
LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
OPEN_PATHS = frozenset(("/healthz", "/readyz"))
REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
CREDENTIAL_HEADERS = frozenset((b"authorization", b"api-key", b"x-api-key"))
READ_HEADERS = CREDENTIAL_HEADERS | {b"host", b"origin", b"content-type", b"content-encoding"}
BODY_TYPES = (b"application/json", b"multipart/form-data")
ONE_CREDENTIAL = "Send one credential: the Authorization header, once."
FORM_TYPE = b"application/x-www-form-urlencoded"


class Guard:
    """Decides from a request's headers alone."""

    def __init__(self, key: str | None, admin_key: str | None) -> None:
        self._key = key.encode() if key else None
        self._admin_key = admin_key.encode() if admin_key else None
        self.is_open = self._key is None
        self._last_local_host = b""
        """A Host that was found to be this machine's: callers seldom change it."""

    def admit(self, method: str, path: str, headers: RawHeaders) -> str | None:
        """Let a request in; return the label of its key.

        Raises:
            TwoCredentials: more than one credential.
            Unauthenticated: keys are configured, and this is none of them.
            ForbiddenOrigin: no keys are configured, and this does not come from this machine.
            UnsupportedMediaType: a body of another kind, or a compressed one.
        """
        if path in OPEN_PATHS:
            return None
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
        if self._key is None:
            if origin or host != self._last_local_host:
                self._from_here(host, origin)
                self._last_local_host = host
            return None
        return self._label(credentials[0] if credentials else b"", path)

    def admit_page(self, method: str, headers: RawHeaders) -> None:
        """Let a request through to the pages, which ask for a login themselves; what else holds here, holds there.

        Raises:
            TwoCredentials: more than one credential.
            ForbiddenOrigin: no keys are configured, and this does not come from this machine.
            UnsupportedMediaType: what is sent is no form, or a compressed one.
        """
        if sum(name in CREDENTIAL_HEADERS for name, _ in headers) > 1:
            raise TwoCredentials(ONE_CREDENTIAL)
        found = {name: value for name, value in headers if name in READ_HEADERS}
        if found.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMediaType("Send the body as it is: compressed requests are not taken.")
        if method not in ("GET", "HEAD") and not found.get(b"content-type", b"").lower().startswith(FORM_TYPE):
            raise UnsupportedMediaType(f"Send 'Content-Type: {FORM_TYPE.decode()}'.")
        if self._key is None:
            self._from_here(found.get(b"host", b""), found.get(b"origin", b""))

    def _label(self, credential: bytes, path: str) -> str:
        secret = credential[7:] if credential[:7].lower() == b"bearer " else credential
        is_admin = self._admin_key is not None and hmac.compare_digest(secret, self._admin_key)
        is_caller = self._key is not None and hmac.compare_digest(secret, self._key)
        if is_admin:
            return "admin"
        if is_caller and not path.startswith("/admin"):
            return "default"
        raise Unauthenticated("Send the gateway's key as 'Authorization: Bearer …'.")

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


def request_id(headers: RawHeaders) -> bytes | None:
    """Return the caller's own request id, where it is one that can be repeated safely."""
    for name, value in headers:
        if name == b"x-request-id":
            return value if REQUEST_ID.fullmatch(value) else None
    return None
