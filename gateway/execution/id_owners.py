"""Who was given which ids of stored responses: the same on every replica, with nothing remembered."""

from typing import Final

from gateway.config.callers import Caller
from gateway.errors import StoredElsewhere
from gateway.execution.key_ring import KeyRing
from gateway.execution.request import Request
from gateway.policy.stored_ids import Owner, not_given

_PURPOSE: Final = "ids of stored responses"
_MOST_KEPT: Final = 10_000


class IdOwners:
    """The owners that callers are, where there is more than one: without a pepper ids are nobody's in particular."""

    def __init__(self, ring: KeyRing) -> None:
        self._secret = ring.secret_for(_PURPOSE) if ring.is_keyed else None
        self._kept: dict[str, Owner] = {}

    def of(self, caller: Caller) -> Owner | None:
        """Return the owner that a caller is."""
        if self._secret is None:
            return None
        kept = self._kept.get(caller.id)
        if kept is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            kept = self._kept[caller.id] = Owner(self._secret, caller.id)
        return kept

    def put_on(self, request: Request) -> None:
        """Note whose a request's ids are.

        Raises:
            StoredElsewhere: it refers to what was never given to its caller; nothing was sent anywhere.
        """
        request.owner = self.of(request.caller)
        if request.owner is None or request.held_by is None:
            return
        named = not_given(request.body, request.owner)
        if named is not None:
            param, id_ = named
            raise StoredElsewhere(f"There is nothing stored as {id_[:100]!r} for this key.", param=param)
