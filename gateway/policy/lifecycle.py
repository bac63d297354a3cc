"""What a model's dates say on a given day. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from gateway.config.routes import Cutover
from gateway.reasons import Lifecycle


class Origin(StrEnum):
    """Who says so, in the order in which they are believed."""

    OPERATOR = "routes.yaml"
    PROVIDER = "provider"
    """The provider's own API, polled."""
    CURATED = "curated"
    """Ships with the package; a person collected it."""
    FEED = "feed"
    """Ships with the package; a machine collected it."""
    LITELLM = "litellm"
    """litellm's bundled map."""


@dataclass(frozen=True, slots=True)
class Dates:
    """What one source says of a model's dates, or what all of them amount to."""

    announced: date | None = None
    shutdown: date | None = None
    """Not served from this day, 00:00 UTC."""
    replacement: str | None = None
    certainty: str = "planned"
    source: str = ""
    acts: bool = True
    """Whether these dates may move traffic; dates from feeds only warn."""
    last_training_day: date | None = None
    """The last day on which it can be fine-tuned, inclusive."""
    origin: Origin | None = None
    """None: nothing is known."""
    read: date | None = None
    """The day the source was read."""
    inherited_from: str | None = None
    """The base whose dates these are; None where they are the model's own."""
    disputed_by: tuple["Dates", ...] = ()
    """Other sources that name another day; shown, never hidden."""
    note: str | None = None
    """What the source says beside its dates, such as where its own sources differ."""


UNKNOWN_DATES = Dates()


@dataclass(frozen=True, slots=True)
class Published:
    """What a provider's own API says of one of its models."""

    model: str
    dates: Dates
    """Of the model itself; where it is a base, not yet those of its fine-tunes."""
    base: str | None = None
    """What it was trained from, where the API tells."""


PublishedModels = Mapping[tuple[str, str], Published]
"""By the provider's name in routes.yaml, and the model."""


def midnight(day: date) -> datetime:
    """Return the first instant of a day, UTC."""
    return datetime.combine(day, time.min, UTC)


def state(dates: Dates, now: datetime) -> Lifecycle:
    """Tell whether a model is active, deprecated (a date is announced) or retired (past it)."""
    if dates.shutdown is None:
        return Lifecycle.ACTIVE
    return Lifecycle.RETIRED if now >= midnight(dates.shutdown) else Lifecycle.DEPRECATED


def share_moved(dates: Dates, cutover: Cutover, now: datetime) -> float:
    """Return the share of conversations, 0.0 to 1.0, that have left the primary by rule.

    With ``days_before: 14, ramp_days: 7`` nothing has moved at D-21 00:00 UTC, everything at D-14, linear in between.
    """
    if cutover.at == "gone" or dates.shutdown is None or not dates.acts:
        return 0.0
    end = midnight(dates.shutdown) - timedelta(days=cutover.days_before)
    if now >= end:
        return 1.0
    if cutover.ramp_days == 0:
        return 0.0
    length = timedelta(days=cutover.ramp_days)
    return max(0.0, (now - (end - length)) / length)
