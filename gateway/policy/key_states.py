"""Whether a key still opens anything, and for how long. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

EXPIRING_WITHIN: Final = timedelta(days=7)


class KeyState(StrEnum):
    """How a key stands. Expiring ones are active, too."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    """It ends within a week."""
    EXPIRED = "expired"
    REVOKED = "revoked"

    @property
    def opens(self) -> bool:
        """Whether whoever sends it is let in."""
        return self in (KeyState.ACTIVE, KeyState.EXPIRING)


def state_of(expires_at: datetime | None, revoked_at: datetime | None, now: datetime) -> KeyState:
    """Return how a key stands now."""
    if revoked_at is not None:
        return KeyState.REVOKED
    if expires_at is None or now < expires_at - EXPIRING_WITHIN:
        return KeyState.ACTIVE
    return KeyState.EXPIRING if now < expires_at else KeyState.EXPIRED
