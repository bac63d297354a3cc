"""What a period of the ledger amounted to, as values: what a report is made of. Pure.

A *request* is an attempt that began to answer: those that failed before led to another one, and count only as attempts.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, NamedTuple

from gateway.policy.sketch import Sketch
from gateway.reasons import Role

Dimension = Literal["key", "tag"]


class Cell(NamedTuple):
    """What one target did for one route, for one reason; attempts of every kind, each kind a cell of its own."""

    day: date | None
    """None: days were not asked for."""
    route: str
    target: str
    role: Role
    provider: str
    model: str
    """What answered, or where nothing did, what was asked."""
    reason: str
    kind: str
    team: str
    """Empty: nobody's."""
    attempts: int
    failed: int
    """No answer; ``interrupted`` and ``cancelled`` ones began."""
    interrupted: int
    cancelled: int
    unpriced: int
    estimated: int
    rejected: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_nanousd: int
    first_at: datetime
    last_at: datetime

    @property
    def requests(self) -> int:
        """Attempts that began to answer."""
        return self.attempts - self.failed


class LabelCell(NamedTuple):
    """What requests with one key, or one tag, amounted to."""

    label: str
    """The key's label, or ``name=value``."""
    route: str
    role: Role
    attempts: int
    failed: int
    unpriced: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_nanousd: int


class Answerer(NamedTuple):
    """Who answered which route."""

    route: str
    target: str
    provider: str
    model: str


@dataclass(slots=True)
class Spread:
    """How long answers took and what they cost, as sketches."""

    duration_ms: Sketch = field(default_factory=dict)
    ttft_ms: Sketch = field(default_factory=dict)
    overhead_ms: Sketch = field(default_factory=dict)
    cost_nanousd: Sketch = field(default_factory=dict)

    def named(self, column: str) -> Sketch:
        """Return the sketch that a column of the hourly totals holds."""
        sketch: Sketch = self.cost_nanousd if column == "cost_sketch" else getattr(self, column)
        return sketch


@dataclass(frozen=True, slots=True)
class Used:
    """A period."""

    cells: tuple[Cell, ...]
    spreads: dict[Answerer, Spread]
    """Of live answers."""
    is_cut: bool
    """Whether an hour that is looked at in part held more answers than were read for ``spreads``."""
