"""What a report is made of, as values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from gateway.config.routes import Route
from gateway.lifecycle.break_even import BreakEvenFinding
from gateway.policy.standing import RouteState
from gateway.policy.usage import Answerer, Cell, LabelCell
from gateway.reasons import Role


@dataclass(frozen=True, slots=True)
class Period:
    """What is looked at."""

    since: datetime
    until: datetime
    """Not included."""
    now: datetime
    began: datetime | None = None
    """The hour in which the ledger begins; None: it is empty."""
    lacks_totals_since: datetime | None = None
    """When the first row started, where rows are older than totals, and so not in the report."""

    @property
    def end(self) -> datetime:
        """How far the period is past."""
        return min(self.until, self.now)


@dataclass(frozen=True, slots=True)
class Totals:
    """A sum of attempts. Cost is that of the priced ones, in nano-dollars."""

    attempts: int = 0
    failed: int = 0
    interrupted: int = 0
    cancelled: int = 0
    unpriced: int = 0
    estimated: int = 0
    rejected: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int = 0

    @classmethod
    def of(cls, cells: Iterable[Cell | LabelCell]) -> "Totals":
        """Add up; what a cell does not count is 0."""
        sums: dict[str, int] = dict.fromkeys(cls.__dataclass_fields__, 0)
        for cell in cells:
            for name in sums.keys() & set(cell._fields):
                sums[name] += getattr(cell, name)
        return cls(**sums)

    @property
    def requests(self) -> int:
        """Attempts that began to answer: those that failed before led to another one."""
        return self.attempts - self.failed

    @property
    def priced(self) -> int:
        """Requests whose cost is known."""
        return max(0, self.requests - self.unpriced)

    @property
    def per_request(self) -> Decimal | None:
        """Nano-dollars, failed attempts at what they cost included; None: no request has a price."""
        return Decimal(self.cost_nanousd) / self.priced if self.priced else None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of answered requests, in milliseconds, true to 2 %."""

    requests: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class TargetUse:
    """What one model did for a route as one of its targets."""

    answerer: Answerer
    role: Role
    totals: Totals
    latency_ms: Percentiles | None
    first_token_ms: Percentiles | None
    """Of streams."""
    overhead_ms: Percentiles | None
    """What the gateway itself added."""


class ExtraBasis(StrEnum):
    """What the extra cost of a fallback rests on."""

    MEASURED = "measured"
    """What the primary's requests of the same period cost: other requests."""
    COMPUTED = "computed"
    """The fallback's own tokens without its prompt, at the primary's price."""


@dataclass(frozen=True, slots=True)
class ExtraCost:
    """What requests cost more, or less, because a fallback answered them; in nano-dollars."""

    nanousd: int
    basis: ExtraBasis
    fallback_per_request: Decimal
    primary_per_request: Decimal
    requests: int
    """The fallback's, as far as they are priced."""


@dataclass(frozen=True, slots=True)
class FallbackUse:
    """How much of a route its fallbacks answered, and why."""

    requests: int
    of: int
    first_at: datetime
    """In the period."""
    last_at: datetime
    reasons: Mapping[str, int]
    """Reason → requests, the most frequent first."""
    extra: ExtraCost | None
    """None: a price is missing."""


@dataclass(frozen=True, slots=True)
class RouteUse:
    """One route."""

    name: str
    route: Route | None
    """None: routes.yaml does not name it (any more)."""
    totals: Totals
    targets: tuple[TargetUse, ...]
    """The primary first."""
    fallback: FallbackUse | None
    """None: none answered."""
    standing: RouteState | None
    """Who answers now, and since when, where that is agreed on."""
    learning: Mapping[str, Totals]
    """What was asked to learn, by kind: rehearsal, recording, evaluation, probe."""
    break_even: BreakEvenFinding | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table by day, team, target, reason, key or tag."""

    label: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Report:
    """A whole period."""

    period: Period
    routes: tuple[RouteUse, ...]
    totals: Totals
    """Of live requests."""
    on_fallback: int
    """Of these requests."""
    learning: Mapping[str, Totals]
    dimension: str | None
    """What ``lines`` are by, ``tag:feature`` too."""
    lines: tuple[Line, ...]
    is_cut: bool
    """Whether times of an hour that is looked at in part are those of its first answers alone."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was asked."""
        return not self.totals.attempts and not self.learning
