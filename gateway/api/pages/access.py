"""Who may look at the pages, and whose forms are obeyed.

Without keys they are open like everything else on a loopback address. With keys only the admin's opens them all, and a
reviewer's the review: as a bearer token, or by a login that leaves a cookie. The cookie holds no key but a signed end,
so whoever steals it has it for hours at most, and another admin key ends every cookie at once; reviewers' are in
``reviewers.py``. A form is obeyed only from a page of the same origin, with a word that only such a page could have
read.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from gateway.api.failures import Failures
from gateway.api.pages.reviewers import Reviewers
from gateway.config.callers import Caller
from gateway.execution.key_ring import KeyRing

COOKIE: Final = "understudy_pages"
LASTS: Final = timedelta(hours=12)
FAILURES_A_MINUTE: Final = 10
HOME: Final = "/ui"
REVIEW: Final = "/ui/review"
"""The one view that reviewers' keys open."""
_MAC_BYTES: Final = 32
_NONCE_BYTES: Final = 16
_END_BYTES: Final = 8
_OWN_VIEW: Final = re.compile(
    r"/ui(?:/calendar|/cost|/requests(?:/[\w.-]+)?|/review(?:/[\w-]+)?|/keys(?:/[\w.:@-]+)?|/routes/[\w.~%-]+)?"
    r"(?:\?[\w.~=&%+:,-]*)?",
    re.ASCII,
)
_LONGEST_PATH: Final = 1000


class Standing(Enum):
    """What a request's credentials amount to."""

    OPEN = "open"
    """No keys are configured; the guard has seen to it that this comes from this machine."""
    COOKIE = "cookie"
    BEARER = "bearer"
    NOBODY = "nobody"
    """Nothing was shown, or a cookie whose time is over."""
    WRONG = "wrong"
    """Something was shown that is not, and never was, right."""
    CLOSED = "closed"
    """Callers have a key, but there is no admin's, nor a reviewer's: nobody may look."""

    @property
    def may_look(self) -> bool:
        """Whether pages are shown: all of them, or to a reviewer the review."""
        return self in (Standing.OPEN, Standing.COOKIE, Standing.BEARER)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks for a page."""

    standing: Standing
    csrf: str = ""
    """What forms of this visitor's pages carry."""
    reviewer: Caller | None = None
    """Whose key opens the review, and nothing else; None: all that ``standing`` says."""


class Access:
    """Judges requests by their headers. The clock comes with each question."""

    def __init__(self, admin_key: str | None, *, is_keyed: bool, ring: KeyRing | None = None) -> None:
        """``is_keyed``: callers need a key, so that without an admin's nobody may look.

        ``ring``: where reviewers' keys are; None: nobody is one.
        """
        self._admin_key = admin_key.encode() if admin_key else None
        self.is_open = not is_keyed and admin_key is None
        # Without a key nothing is signed that has to hold on another replica.
        root = self._admin_key or secrets.token_bytes(32)
        self._cookie_key = hmac.digest(root, b"understudy pages: cookie", "sha256")
        self._csrf_key = hmac.digest(root, b"understudy pages: csrf", "sha256")
        self.reviewers = Reviewers(ring if ring is not None else KeyRing(None, admin_key), self._admin_key)
        self.failed_logins = Failures(FAILURES_A_MINUTE)

    def visitor(self, headers: Headers, cookie: str | None, now: datetime) -> Visitor:
        """Say who asks. A credential in ``Authorization`` counts alone, right or wrong."""
        if self.is_open:
            return Visitor(Standing.OPEN, self._csrf("open"))
        if self._admin_key is None and not self.reviewers.are_there:
            return Visitor(Standing.CLOSED)
        shown = headers.get("authorization")
        if shown is not None:
            return self._bearer(shown, now)
        if cookie is None:
            return Visitor(Standing.NOBODY)
        ends = self._end_of(cookie)
        if ends is None:
            return self._reviewer_by(cookie, now)
        return Visitor(Standing.COOKIE, self._csrf(cookie)) if now < ends else Visitor(Standing.NOBODY)

    def is_admin_key(self, secret: str) -> bool:
        """Tell, in constant time, whether this is the admin's key."""
        return self._admin_key is not None and hmac.compare_digest(secret.encode("utf-8", "replace"), self._admin_key)

    def new_cookie(self, now: datetime) -> str:
        """Return what a browser shows from now on instead of the key."""
        ends = int((now + LASTS).timestamp())
        said = ends.to_bytes(_END_BYTES, "big") + secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(said + self._signature(said)).decode().rstrip("=")

    def _bearer(self, shown: str, now: datetime) -> Visitor:
        scheme, _, secret = shown.partition(" ")
        if scheme.lower() != "bearer":
            return Visitor(Standing.WRONG)
        if self.is_admin_key(secret):
            return Visitor(Standing.BEARER, self._csrf("bearer"))
        reviewer = self.reviewers.by_key(secret, now)
        if reviewer is None:
            return Visitor(Standing.WRONG)
        return Visitor(Standing.BEARER, self.reviewers.csrf("bearer"), reviewer)

    def _reviewer_by(self, cookie: str, now: datetime) -> Visitor:
        login = self.reviewers.login_of(cookie)
        if login is None:
            return Visitor(Standing.WRONG)
        reviewer = self.reviewers.whose(login, now)
        if reviewer is None:
            return Visitor(Standing.NOBODY)
        return Visitor(Standing.COOKIE, self.reviewers.csrf(cookie), reviewer)

    def _end_of(self, cookie: str) -> datetime | None:
        """Return when a cookie's time is over; None: it is not one of ours."""
        try:
            raw = base64.b64decode(cookie + "=" * (-len(cookie) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        said, signature = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(said) != _END_BYTES + _NONCE_BYTES or not hmac.compare_digest(self._signature(said), signature):
            return None
        return datetime.fromtimestamp(int.from_bytes(said[:_END_BYTES], "big"), UTC)

    def _signature(self, said: bytes) -> bytes:
        return hmac.digest(self._cookie_key, said, hashlib.sha256)

    def _csrf(self, of: str) -> str:
        return hmac.new(self._csrf_key, of.encode("utf-8", "replace"), "sha256").hexdigest()


def is_same_origin(headers: Headers) -> bool:
    """Tell whether a form was sent by a page of this very origin, as its browser says.

    ``Sec-Fetch-Site`` decides where there is one: no page can forge it, and a proxy may have changed the ``Host`` that
    an ``Origin`` would be compared with. A form without either comes from no browser of today.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin, host = headers.get("origin"), headers.get("host")
    if not origin or not host:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def is_https(headers: Headers, scheme: str) -> bool:
    """Tell whether the browser speaks https, behind whatever ends that; who lies harms only the own cookie."""
    return "https" in (scheme, headers.get("x-forwarded-proto")) or headers.get("origin", "").startswith("https://")


def own_view(path: str | None) -> str:
    """Return a path to go on to if it is one of our own views, else the first of them."""
    if path is None or len(path) > _LONGEST_PATH or not _OWN_VIEW.fullmatch(path):
        return HOME
    return path
