"""Who reviews answers with a key of their own: known by it, or by the cookie of a login with it.

The cookie names the key's id and an end, and is sealed with what the ring knows of the key's text. So it ends with the
key: revoked, expired, given another role or, once the grace is over, another text. Another pepper and another admin
key end all of them.
"""

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.config.callers import Caller, KeyRole
from gateway.execution.key_ring import HASH, KeyRing

_END_BYTES: Final = 8
_NONCE_BYTES: Final = 16
_MAC_BYTES: Final = 32
_LONGEST_ID_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class ReviewerLogin:
    """What a cookie of this gateway's own making says."""

    key_id: str
    ends: datetime
    nonce: bytes
    seal: bytes
    """Of the text of the key that it was given for."""


class Reviewers:
    """Judges reviewers by what the ring knows at that moment. The clock comes with each question."""

    def __init__(self, ring: KeyRing, admin_key: bytes | None) -> None:
        self._ring = ring
        root = hmac.digest(ring.secret_for("reviewers' cookies"), admin_key or b"", HASH)
        self._cookie_key = hmac.digest(root, b"understudy pages: reviewer's cookie", HASH)
        self._seal_key = hmac.digest(root, b"understudy pages: reviewer's key", HASH)
        self._csrf_key = hmac.digest(root, b"understudy pages: reviewer's csrf", HASH)

    @property
    def are_there(self) -> bool:
        """Whether anybody's key is a reviewer's."""
        return bool(self._ring.reviewers)

    @property
    def are_all_known(self) -> bool:
        """Whether the database's keys were read since the start: else a key that is not known may be right."""
        return self._ring.knows_all

    def by_key(self, secret: str, now: datetime) -> Caller | None:
        """Return the reviewer whose key this is; None: it is no reviewer's, or not any more."""
        caller = self._ring.find(_bytes(secret))
        return caller if caller is not None and _opens(caller, now) else None

    def new_cookie(self, reviewer: Caller, secret: str, ends: datetime) -> str:
        """Return what a browser shows from now on instead of ``secret``, the key of this reviewer."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        end = int(ends.timestamp()).to_bytes(_END_BYTES, "big")
        said = end + nonce + self._seal(nonce, self._ring.digest(_bytes(secret))) + reviewer.id.encode()
        return base64.urlsafe_b64encode(said + self._signature(said)).decode().rstrip("=")

    def login_of(self, cookie: str) -> ReviewerLogin | None:
        """Return what a cookie says; None: it is not one of ours."""
        try:
            raw = base64.b64decode(cookie + "=" * (-len(cookie) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        said, signature = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        end, nonce, seal, key_id = _parts(said)
        if not 0 < len(key_id) <= _LONGEST_ID_BYTES or not hmac.compare_digest(self._signature(said), signature):
            return None
        ends = datetime.fromtimestamp(int.from_bytes(end, "big"), UTC)
        return ReviewerLogin(key_id.decode(), ends, nonce, seal)

    def whose(self, login: ReviewerLogin, now: datetime) -> Caller | None:
        """Return whose login this is, as the key is now; None: it is over, or the key does not open any more."""
        if now >= login.ends:
            return None
        for digest, caller in self._ring.reviewers.get(login.key_id, ()):
            if hmac.compare_digest(self._seal(login.nonce, digest), login.seal) and _opens(caller, now):
                return caller
        return None

    def csrf(self, of: str) -> str:
        """Return the word that forms of a login carry."""
        return hmac.new(self._csrf_key, of.encode("utf-8", "replace"), HASH).hexdigest()

    def _signature(self, said: bytes) -> bytes:
        return hmac.digest(self._cookie_key, said, HASH)

    def _seal(self, nonce: bytes, digest: bytes) -> bytes:
        return hmac.digest(self._seal_key, nonce + digest, HASH)


def ends_of(reviewer: Caller, now: datetime, lasts: timedelta) -> datetime:
    """Return when a login of a reviewer ends at the latest."""
    return min(now + lasts, reviewer.expires_at or now + lasts)


def _opens(caller: Caller, now: datetime) -> bool:
    return caller.role is KeyRole.REVIEWER and (caller.expires_at is None or now < caller.expires_at)


def _parts(said: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    nonce_at = _END_BYTES
    seal_at = nonce_at + _NONCE_BYTES
    id_at = seal_at + _MAC_BYTES
    return said[:nonce_at], said[nonce_at:seal_at], said[seal_at:id_at], said[id_at:]


def _bytes(secret: str) -> bytes:
    return secret.strip(" \t").encode("utf-8", "replace")
