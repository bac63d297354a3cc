"""Adds the ledger's rows up: by hour and day, and by callers' keys and tags. No I/O; ``rollups`` keeps the sums."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import compress, repeat
from operator import add, itemgetter
from typing import Any, Final, Protocol

import orjson

from gateway.policy.sketch import Sketch, bucket_of, merged
from gateway.reasons import Outcome, UsageSource
from gateway.store.tables import attempts
from gateway.store.tables_ledger import usage_hours, usage_labels

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
OTHER: Final = "_other"
"""The label of what a day has too many labels for, and the model where it has too many models."""
MOST_LABELS: Final = 1000
"""Labels a day, keys and tags together; each costs a row an hour and route."""
MOST_MODELS: Final = 200
"""Models a day that answer for a provider under another name than was asked; each costs a row an hour and route."""

SKETCHES: Final = ("duration_ms", "ttft_ms", "overhead_ms", "cost_sketch")
COUNTERS: Final = tuple(
    column.name
    for column in usage_hours.columns
    if not column.primary_key and column.name not in (*SKETCHES, "first_at", "last_at")
)
LABEL_COUNTERS: Final = tuple(column.name for column in usage_labels.columns if not column.primary_key)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_KEPT: Final = 7
_AT: Final = {column.name: position for position, column in enumerate(attempts.columns)}
_GROUP: Final = (
    "route", "target", "role", "provider", "model_asked", "model_answered", "reason", "kind", "pinned", "team",
)  # fmt: skip
_group_of: Final = itemgetter(*(_AT[name] for name in _GROUP))
_TOKENS: Final = tuple(name for name in COUNTERS if name.endswith("_tokens"))
_values_of: Final = itemgetter(
    *(_AT[name] for name in ("outcome", "usage_source", "usage_rejected", "cost_nanousd", "started_at")),
    *(_AT[name] for name in _TOKENS),
    *(_AT[name] for name in SKETCHES[:3]),
)
_COUNTED_BY_US: Final = (UsageSource.ESTIMATED, UsageSource.INTERRUPTED)


class AttemptRow(Protocol):
    """What can be stored: a named tuple whose fields are the columns of ``attempts``, in their order."""

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, position: int, /) -> Any: ...

    @property
    def attempt_id(self) -> str:
        """A UUIDv7 of ``started_at``, as text."""

    @property
    def provider(self) -> str:
        """The provider's name."""

    @property
    def model_asked(self) -> str:
        """The model that the attempt asked for."""

    @property
    def outcome(self) -> Outcome:
        """How the attempt ended."""

    @property
    def kind(self) -> str:
        """What it was made for; ``live``: for a caller."""

    @property
    def pinned(self) -> bool:
        """Whether the caller chose the target."""

    @property
    def route(self) -> str:
        """The route's name."""

    @property
    def role(self) -> str:
        """The target's part in it."""

    @property
    def input_tokens(self) -> int:
        """Cached ones included."""

    @property
    def cached_input_tokens(self) -> int:
        """Of the input tokens."""

    @property
    def output_tokens(self) -> int:
        """Reasoning included."""

    @property
    def cost_nanousd(self) -> int | None:
        """None: unpriced."""

    @property
    def key(self) -> str | None:
        """The caller's key by its label."""

    @property
    def tags(self) -> Mapping[str, str] | None:
        """The request's tags."""

    @property
    def started_at(self) -> datetime:
        """When it started; aware."""


HourKey = tuple[Any, ...]
"""The key of ``usage_hours``, in its columns' order."""
DayKey = tuple[Any, ...]
"""The key of ``usage_days``: the same with the day's beginning."""
LabelKey = tuple[datetime, str, str, str, str]
"""The key of ``usage_labels``: hour, dimension, label, route, role."""


@dataclass(slots=True)
class HourSums:
    """What one row of ``usage_hours``, or of ``usage_days``, holds beyond its key."""

    counters: list[int]
    """By ``COUNTERS``, in that order."""
    sketches: list[Sketch]
    """By ``SKETCHES``."""
    first_at: datetime
    last_at: datetime

    def add(self, other: "HourSums") -> None:
        """Add another's; it is left as it is."""
        self.counters = [mine + its for mine, its in zip(self.counters, other.counters, strict=True)]
        self.sketches = [merged(mine, its) for mine, its in zip(self.sketches, other.sketches, strict=True)]
        self.first_at = min(self.first_at, other.first_at)
        self.last_at = max(self.last_at, other.last_at)


def by_day(hours: Iterable[tuple[HourKey, HourSums]]) -> dict[DayKey, HourSums]:
    """Return what hours add up to by the day; they are left as they are, and a day's only hour is shared with it."""
    days: dict[DayKey, HourSums] = {}
    shared: set[DayKey] = set()
    for (hour, *group), sums in hours:
        key = (day_of(hour), *group)
        known = days.get(key)
        if known is None:
            days[key] = sums
            shared.add(key)
            continue
        if key in shared:
            shared.remove(key)
            known = days[key] = replace(known)
        known.add(sums)
    return days


def sketches_sum(texts: Sequence[str]) -> dict[str, int]:
    """Add up sketches as they are kept, in JSON. Months of them are millions of buckets: each loop here is C's own."""
    sketches = orjson.loads(f"[{','.join(texts)}]")
    buckets = list(set().union(*sketches))
    counts = zip(*(map(sketch.get, buckets, repeat(0)) for sketch in sketches), strict=True)
    return dict(zip(buckets, map(sum, counts), strict=True))


def day_of(instant: datetime) -> datetime:
    """Return the beginning of an instant's day, UTC."""
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def next_day(instant: datetime) -> datetime:
    """Return the first beginning of a day that is not before an instant, UTC."""
    day = day_of(instant)
    return day if day == instant else day + DAY


class Labels:
    """Which names have rows of their own: each day's first ones; neither callers nor providers shall fill a disk.

    Labels up to ``MOST_LABELS``, and of each provider's models up to ``MOST_MODELS``. What was admitted is known to
    this object alone: another process, or the next, admits as many.
    """

    def __init__(self, most: int = MOST_LABELS, most_models: int = MOST_MODELS) -> None:
        self._most = most
        self._most_models = most_models
        self._by_day: dict[int, defaultdict[str | None, set[tuple[str, str]]]] = {}
        """By provider, its models; by None, the labels."""

    def admitted(self, hour: datetime, dimension: str, label: str) -> str:
        """Return the label, or ``OTHER`` where the hour's day has too many."""
        return label if self._admits(hour, None, (dimension, label), self._most) else OTHER

    def admitted_model(self, hour: datetime, provider: str, model: str) -> str:
        """Return the model that answered, or ``OTHER`` where the provider has too many in the hour's day."""
        return model if self._admits(hour, provider, ("", model), self._most_models) else OTHER

    def _admits(self, hour: datetime, group: str | None, name: tuple[str, str], most: int) -> bool:
        day = hour.toordinal()
        groups = self._by_day.get(day)
        if groups is None:
            groups = self._by_day[day] = defaultdict(set)
            if len(self._by_day) > _DAYS_KEPT:
                del self._by_day[min(self._by_day)]
        known = groups[group]
        if name not in known and len(known) < most:
            known.add(name)
        return name in known


@dataclass(slots=True)
class Sums:
    """What rows add up to; rows are added any number of times, and are not kept."""

    labels: Labels
    hours: dict[HourKey, HourSums] = field(default_factory=dict)
    by_label: dict[LabelKey, list[int]] = field(default_factory=dict)
    """By ``LABEL_COUNTERS``. Live traffic alone, pinned left out."""

    def add(self, rows: Iterable[AttemptRow]) -> None:
        """Add rows, of any hours."""
        groups: defaultdict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
        hour = ends = _EPOCH
        for row in rows:
            # Most rows are of the hour of the row before.
            if not hour <= row.started_at < ends:
                hour = row.started_at.replace(minute=0, second=0, microsecond=0)
                ends = hour + HOUR
            groups[hour, _group_of(row)].append(_values_of(row))
            if row.kind == "live" and (row.key or row.tags) and not row.pinned:
                self._add_labels(hour, row)
        for (hour, group), values in groups.items():
            route, target, role, provider, asked, answered, reason, kind, pinned, team = group
            model = asked
            if answered and answered != asked:
                model = self.labels.admitted_model(hour, provider, answered)
            key = (hour, route, target, role, provider, model, reason, kind, bool(pinned), team or "")
            sums = _sums_of(values)
            known = self.hours.setdefault(key, sums)
            if known is not sums:
                known.add(sums)

    def _add_labels(self, hour: datetime, row: AttemptRow) -> None:
        cost, tokens_in, tokens_out = row.cost_nanousd, row.input_tokens, row.output_tokens
        unpriced = cost is None and tokens_in + tokens_out > 0
        one = (1, row.outcome == Outcome.FAILED, unpriced, tokens_in, row.cached_input_tokens, tokens_out, cost or 0)
        labels = [("key", row.key)] if row.key else []
        if row.tags:
            labels += [("tag", f"{name}={value}") for name, value in row.tags.items()]
        for dimension, label in labels:
            key = (hour, dimension, self.labels.admitted(hour, dimension, label), row.route, row.role)
            known = self.by_label.get(key)
            self.by_label[key] = list(map(int, one) if known is None else map(add, known, one))


def _sums_of(rows: Sequence[tuple[Any, ...]]) -> HourSums:
    """Return what a group's rows add up to; a row is what ``_values_of`` takes of it."""
    outcomes, sources, rejected, costs, started, *rest = zip(*rows, strict=True)
    tokens, timings = rest[: len(_TOKENS)], rest[len(_TOKENS) :]
    unpriced = 0
    if None in costs:
        used = map(add, tokens[_TOKENS.index("input_tokens")], tokens[_TOKENS.index("output_tokens")])
        unpriced = sum(cost is None and count > 0 for cost, count in zip(costs, used, strict=True))
    counters = [
        len(rows),
        outcomes.count(Outcome.FAILED),
        outcomes.count(Outcome.INTERRUPTED),
        outcomes.count(Outcome.CANCELLED),
        unpriced,
        sum(map(sources.count, _COUNTED_BY_US)),
        sum(rejected),
        *map(sum, tokens),
        sum(filter(None, costs)),
    ]
    if any(counters[1:4]):
        answered = [outcome == Outcome.OK for outcome in outcomes]
        timings, costs = [tuple(compress(values, answered)) for values in timings], tuple(compress(costs, answered))
    return HourSums(counters, [_sketch_of(values) for values in (*timings, costs)], min(started), max(started))


def _sketch_of(values: Iterable[float | None]) -> Sketch:
    return dict(Counter([bucket_of(value) for value in values if value is not None]))
