"""What a span of traffic amounted to, as values: what the ledger is asked for, and a forecast reckons with. Pure.

A *request* here is an attempt that ended what its caller asked for: it answered, or broke off while it did. Attempts
that failed before their first byte led to another one, and are left out, so that no request counts twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

TargetKey = tuple[str, str]
"""The provider's name, and the model that is asked for."""


class Served(NamedTuple):
    """What one target served of one route."""

    route: str
    provider: str
    model: str
    requests: int
    priced: int
    """Requests whose cost is known; ``cost_nanousd`` is theirs alone."""
    cost_nanousd: int
    input_tokens: int
    """Of all requests, priced or not; cached input is input."""
    output_tokens: int
    longest_input_tokens: int


class Minute(NamedTuple):
    """What one route was asked in one minute."""

    route: str
    minute: int
    """Minutes since 1970-01-01 00:00 UTC."""
    requests: int
    on_primary: int
    """Requests that the primary served: on a fallback these carry its prompt on top."""
    input_tokens: int


class Exercised(NamedTuple):
    """How often one target answered for one route, whoever asked: callers, pins, rehearsals."""

    requests: int
    last_at: datetime


class Limits(NamedTuple):
    """A model's quota, as its provider last said it; None where it did not say."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Traffic:
    """A span of live traffic, and what the ledger knows beside it."""

    since: datetime
    until: datetime
    """The span ends before this; its length is what rates are reckoned from."""
    served: tuple[Served, ...] = ()
    minutes: tuple[Minute, ...] = ()
    """Ordered by minute."""
    traits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Route → traits, joined by commas, "" for none → requests; those that nobody looked at are left out."""
    exercised: Mapping[tuple[str, str, str], Exercised] = field(default_factory=dict)
    """Route, provider, model → answers in the last 90 days."""
    limits: Mapping[TargetKey, Limits] = field(default_factory=dict)

    @property
    def days(self) -> float:
        """How many days the span is long."""
        return (self.until - self.since).total_seconds() / 86_400
