"""The keys that this replica knows, by digest: found without a database, replaced whole when any of them changes."""

import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gateway.config.callers import ADMIN, DEFAULT, Caller, KeyRole

HASH: Final = "sha256"


def digest_of(pepper: bytes, key: bytes) -> bytes:
    """Return what a key is known by: HMAC-SHA-256 under the pepper."""
    return hmac.digest(pepper, key, HASH)


class KeyRing:
    """Tells whose a credential is. The keys of the environment are always there; others come and go by ``replace``."""

    def __init__(
        self,
        key: str | None,
        admin_key: str | None,
        *,
        pepper: bytes | None = None,
        residency: str | None = None,
        pins: bool = False,
    ) -> None:
        """``residency`` and ``pins`` are those of ``key``. Without a pepper there are no other keys than these two."""
        self.is_open = key is None and pepper is None
        """Whether callers need no key."""
        self.is_keyed = pepper is not None
        """Whether keys of the database and of routes.yaml count."""
        self.has_admin = admin_key is not None
        """Whether there is a key for what only admins may do."""
        self.knows_all = pepper is None
        """Whether the database's keys were read since the start: else a key that is not known may be right."""
        self._pepper = pepper or secrets.token_bytes(32)
        # Set up once and copied: a third of the time that a new one takes, which every request pays.
        self._hmac = hmac.new(self._pepper, digestmod=HASH)
        own: dict[bytes, Caller] = {}
        if key is not None:
            own[self.digest(key.encode())] = Caller(DEFAULT, DEFAULT, residency=residency, pins=pins, capture=True)
        if admin_key is not None:
            own[self.digest(admin_key.encode())] = Caller(ADMIN, ADMIN, KeyRole.ADMIN, pins=True, capture=True)
        self._own: Mapping[bytes, Caller] = MappingProxyType(own)
        self._known: Mapping[bytes, Caller] = self._own
        self.reviewers: Mapping[str, Sequence[tuple[bytes, Caller]]] = MappingProxyType({})
        """By the key's id: the digests that open for a reviewer, and as whom; expired or not."""

    def digest(self, key: bytes) -> bytes:
        """Return what a key is known by here. About a microsecond."""
        hashed = self._hmac.copy()
        hashed.update(key)
        return hashed.digest()

    def find(self, key: bytes) -> Caller | None:
        """Return whose key this is, expired or not; None: nobody's that is known here."""
        # What is looked up is a digest, of which a guesser chooses no bit: how long it takes tells nothing of the key.
        return self._known.get(self.digest(key))

    def replace(self, others: Iterable[tuple[bytes, Caller]], *, all_of_them: bool = True) -> None:
        """Have these be the keys that there are, beside the environment's, which win.

        ``all_of_them``: the database's are among them, as they are now, so that no other key is right.
        """
        self._known = MappingProxyType({**dict(others), **self._own})
        reviewers: dict[str, list[tuple[bytes, Caller]]] = {}
        for digest, caller in self._known.items():
            if caller.role is KeyRole.REVIEWER:
                reviewers.setdefault(caller.id, []).append((digest, caller))
        self.reviewers = MappingProxyType(reviewers)
        self.knows_all = self.knows_all or all_of_them

    @property
    def callers(self) -> Iterable[Caller]:
        """Everybody whose key is known here."""
        return self._known.values()

    def secret_for(self, purpose: str) -> bytes:
        """Return a secret that follows from the pepper, the same on all replicas, for one purpose alone."""
        return self.digest(b"understudy, not a key: " + purpose.encode())
