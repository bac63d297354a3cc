"""Aliases that no source dates, while every dated snapshot behind them stops. No I/O.

An alias does not inherit a snapshot's day: its vendor may point it at another model. Whether that will happen nobody
has published, so the day is told, and moves nothing.
"""

from collections.abc import Set
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from gateway.config.routes import Provider, Target
from gateway.policy.lifecycle import Dates
from gateway.policy.precedence import says_it_stays
from gateway.policy.substitution import same_model


class Dated(Protocol):
    """Whoever knows models' dates, bases and names: ``calendar.Calendar``."""

    def dates_of(self, target: Target) -> Dates:
        """Return what is known of a target's dates."""

    def base_of(self, target: Target) -> str | None:
        """Return the target's base model, or None."""

    def names_at(self, provider: Provider) -> Set[str]:
        """Return every model of a provider that some source names."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that has no day of its own, and the snapshot behind it that stops last."""

    name: str
    snapshot: str
    dates: Dates
    """Of the snapshot; its shutdown is always known."""
    snapshots: int = 1
    """How many snapshots are known; each of them stops."""

    @property
    def text(self) -> str:
        """Say which snapshot stops when."""
        which = "its dated snapshot" if self.snapshots == 1 else f"the last of its {self.snapshots} dated snapshots,"
        comma = "" if self.snapshots == 1 else ","
        return f"{which} {self.snapshot}{comma} stops {self.dates.shutdown}"


def alias_of(target: Target, calendar: Dated) -> Alias | None:
    """Return what is known of an alias; None for a model with a day of its own, and for one that is no alias.

    None as well where no day is known of one of its snapshots: it may be that one. Names that end in ``-latest`` are
    left out: vendors promise to move those on.
    """
    dates = calendar.dates_of(target)
    base = calendar.base_of(target)
    name = base or target.model
    if dates.shutdown is not None or says_it_stays(dates) or name.endswith("-latest"):
        return None
    found: list[tuple[date, str, Dates]] = []
    for snapshot in calendar.names_at(target.provider):
        if snapshot != name and same_model(name, snapshot):
            theirs = calendar.dates_of(target.model_copy(update={"base" if base else "model": snapshot}))
            if theirs.shutdown is None:
                return None
            found.append((theirs.shutdown, snapshot, theirs))
    if not found:
        return None
    _, snapshot, theirs = max(found, key=lambda one: one[:2])
    return Alias(name, snapshot, theirs, len(found))


def alias_words(target: Target, alias: Alias) -> str:
    """Say that a target is an alias, and what stands behind it."""
    who = target.role.value if target.name == "primary" else f"{target.role.value} {target.name}"
    what = "an alias" if target.name == alias.name else f"the alias {alias.name}"
    return f"{who} is {what}; {alias.text}"
