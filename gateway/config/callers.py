"""Who calls, and what they may: what a key stands for, as a frozen value. Never the key itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

DEFAULT: Final = "default"
"""The label and id of GATEWAY_KEY."""
ADMIN: Final = "admin"
"""Those of GATEWAY_ADMIN_KEY."""
RESERVED_NAMES: Final = frozenset((DEFAULT, ADMIN))
"""What no other key may be named: their rows would be taken for those keys'."""
TENANT: Final = "tenant"
"""The tag that says whose data a caller's requests are."""
NO_TAGS: Mapping[str, str] = MappingProxyType({})


class KeyRole(StrEnum):
    """What a key is for. No key that is made while the gateway runs is an admin's: nobody can promote themselves."""

    CALLER = "caller"
    """Asks models."""
    OBSERVER = "observer"
    """Reads /metrics, and nothing else."""
    REVIEWER = "reviewer"
    """A person's: opens /ui/review, and nothing else."""
    ADMIN = "admin"
    """GATEWAY_ADMIN_KEY's: everything, without limits."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a key may spend, in nano-dollars; None: as much as it likes. Days and months are UTC's."""

    day_nanousd: int | None = None
    month_nanousd: int | None = None
    total_nanousd: int | None = None

    def __bool__(self) -> bool:
        return (self.day_nanousd, self.month_nanousd, self.total_nanousd) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Caller:
    """What one key stands for. A change makes another one."""

    id: str
    """Never changes, and is no secret: what spend and holds are kept under."""
    name: str
    """Its label in rows, logs and reports; unique."""
    role: KeyRole = KeyRole.CALLER
    owner: str | None = None
    """Whom to ask about it."""
    team: str | None = None
    """Whose cost its requests are; None: the route owner's."""
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS, hash=False)
    """Of every request; what a request says itself cannot replace them."""
    routes: tuple[str, ...] | None = None
    """Routes that it may call, or review, by name or shell pattern (``forum-*``); None: all."""
    pins: bool = False
    """Whether it may choose the target (``ROUTE@primary``)."""
    residency: str | None = None
    expires_at: datetime | None = None
    """Aware, UTC: not valid from then on."""
    budget: Budget = Budget()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_output_tokens: int | None = None
    """The longest answer that its requests may ask for; a longer wish is cut to it."""
    capture: bool = False
    """Whether routes that keep answers may keep those to it."""

    is_limited: bool = field(init=False, compare=False, repr=False)
    """Whether there is anything to count before it is let through."""
    bounds_answers: bool = field(init=False, compare=False, repr=False)
    """Whether its requests must say how long their answers may get."""

    def __post_init__(self) -> None:
        # Asked of every request, so told once.
        bounds = bool(self.budget) or self.max_output_tokens is not None
        counts = self.tokens_per_minute is not None or self.requests_per_minute is not None
        object.__setattr__(self, "bounds_answers", bounds)
        object.__setattr__(self, "is_limited", bounds or counts)

    @property
    def tenant(self) -> str | None:
        """The one customer that it speaks for."""
        return self.tags.get(TENANT)

    def may_call(self, route: str) -> bool:
        """Tell whether a route is one of its own."""
        return self.routes is None or any(fnmatchcase(route, pattern) for pattern in self.routes)


@dataclass(frozen=True, slots=True)
class DeclaredKey:
    """A key of routes.yaml, where its digest stands and nothing else of it."""

    name: str
    digest: bytes
    """HMAC-SHA-256 of the key under the pepper."""
    caller: Caller


ANYBODY: Final = Caller("", "", pins=True, capture=True)
"""Who calls a gateway without keys."""
