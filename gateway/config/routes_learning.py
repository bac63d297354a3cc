"""The frozen values of what routes.yaml says of learning: capture, rehearsals and acceptance."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Redaction = Literal["email", "phone", "card"]
RehearsalMode = Literal["shadow", "serve"]
MeasureWord = Literal[
    "exact_match",
    "label_match",
    "token_f1",
    "chrf",
    "length_ratio",
    "contract_valid",
    "json_f1",
    "tool_call_match",
    "pattern_match",
    "judge",
]
"""What answers are compared by: the words of ``learning.evaluation.measures.Measure``, and a judge."""
DEFAULT_MARGIN = 0.05


class Capture(BaseModel):
    """What is kept of live requests and answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    """Above 0: a route that keeps nothing has no ``Capture``."""
    retention_days: int = 30
    redact: tuple[Redaction, ...] = ("email", "phone", "card")
    phone_regions: tuple[str, ...] = ()
    """ISO 3166 codes."""
    patterns: Mapping[str, str] = Field(default_factory=dict)
    """Name → regular expression; each compiles."""
    max_bytes: int = 65_536


class Rehearsal(BaseModel):
    """Live traffic that runs on the fallback before that is needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    """Above 0."""
    mode: RehearsalMode = "shadow"
    max_usd_per_day: Decimal


class Acceptance(BaseModel):
    """When a fallback is good enough."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = DEFAULT_MARGIN
    measure: MeasureWord | None = None
    """None: chosen from the data."""
    pattern: str | None = None
    judge: str | None = None
    """The name of a route."""
