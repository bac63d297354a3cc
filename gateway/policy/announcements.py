"""What people are told of: events, and the notices before a base stops. Pure.

``sentences`` and ``messages`` put them into words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from gateway.config.routes import Route, Routes, Target
from gateway.policy import lifecycle
from gateway.policy.lifecycle import Dates, midnight
from gateway.policy.planner import FRESH, DatesOf, Observe, Observed, plan
from gateway.reasons import Availability, EventKind, Lifecycle, Reason, Role

NOTICE_DAYS = (90, 30, 7, 1)


@dataclass(frozen=True, slots=True)
class RouteLine:
    """A route that uses a model which stops."""

    route: str
    owner: str | None
    target: str
    """``primary``, or the fallback's name."""
    model: str
    takes_over: str | None
    """The model that answers then; None: nobody does."""


@dataclass(frozen=True, slots=True)
class BaseDate:
    """One base that stops at one provider on one day, and every route that this concerns."""

    provider: str
    kind: str
    base: str
    """The base of fine-tunes, or the model itself."""
    dates: Dates
    shutdown: date
    routes: tuple[RouteLine, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a route or a model: a row of table ``events``."""

    event_id: str
    """A UUIDv7 of ``at``."""
    at: datetime
    kind: EventKind
    reason: Reason | None
    """Of an ``availability``: gone or no_access; None: it is back."""
    route: str | None
    owner: str | None
    """The route's; None where it has none, and where the event is about no single route."""
    provider: str | None
    model: str | None
    """The model it is about: of a cutover or a refusal the one to leave, of a return the one returned to."""
    from_target: str | None
    to_target: str | None
    by: str
    text: str
    """One plain sentence: ``sentences.sentence``."""
    once_key: str | None = None
    stopping: BaseDate | None = None
    """What a shutdown notice is about; no column keeps it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One webhook message to deliver: a row of table ``notices``."""

    notice_id: str
    webhook: str
    body: str
    """JSON: exactly what is signed and sent."""
    created_at: datetime
    tries: int = 0
    """How often it was claimed, this time included."""


@dataclass(frozen=True, slots=True)
class DueNotice:
    """A base of whose end people should be told now."""

    stopping: BaseDate
    threshold: int
    """Which of ``NOTICE_DAYS`` this is."""
    days_left: int

    @property
    def once_key(self) -> str:
        """The same for every replica and on every later day, until the next threshold."""
        stopping = self.stopping
        return f"notice:{stopping.provider}:{stopping.base}:{stopping.shutdown.isoformat()}:{self.threshold}"


def base_dates(routes: Routes, dates_of: DatesOf, observe: Observe = lambda _: FRESH) -> tuple[BaseDate, ...]:
    """Return every base with a date that a route uses, the soonest first; several routes of one base are one entry."""
    found: dict[tuple[date, str, str], BaseDate] = {}
    for route in routes.routes.values():
        for target in route.line_up:
            dates = dates_of(target)
            if dates.shutdown is None:
                continue
            base, provider = dates.inherited_from or target.base or target.model, target.provider
            line = RouteLine(
                route.name,
                route.owner,
                target.name,
                target.model,
                _successor(route, target, dates.shutdown, dates_of, observe),
            )
            key = (dates.shutdown, provider.name, base)
            known = found.get(key) or BaseDate(provider.name, provider.kind, base, dates, dates.shutdown, ())
            found[key] = replace(known, routes=(*known.routes, line))
    return tuple(found[key] for key in sorted(found))


def due_notices(bases: Iterable[BaseDate], today: date) -> tuple[DueNotice, ...]:
    """Return, of each base that will stop, the notice that is due: the smallest of ``NOTICE_DAYS`` that was reached.

    Which of them were given already, only the database knows: each ``once_key`` is kept there once. None is due from
    the day on which the model is no longer served.
    """
    due = []
    for base in bases:
        days_left = (base.shutdown - today).days
        reached = [threshold for threshold in NOTICE_DAYS if days_left <= threshold]
        if reached and days_left > 0:
            due.append(DueNotice(base, min(reached), days_left))
    return tuple(due)


def _successor(route: Route, target: Target, shutdown: date, dates_of: DatesOf, observe: Observe) -> str | None:
    """Say which model answers on the day a target stops: by rule, or else once it, and those before it, are gone."""
    before = route.line_up[: route.line_up.index(target) + 1]
    leaving: Mapping[tuple[str, str], Observed] = {
        (each.provider.name, each.model): Observed(Availability.GONE) for each in before
    }

    def without_them(each: Target) -> Observed:
        return leaving.get((each.provider.name, each.model)) or observe(each)

    then = midnight(shutdown)
    # By date nobody needs to be gone; a fallback is only of use when the primary is.
    views = (observe, without_them) if target.role is Role.PRIMARY else (without_them,)
    for view in views:
        for step in plan(route, observe=view, dates_of=dates_of, now=then).steps[:1]:
            lives = lifecycle.state(dates_of(step.target), then) is not Lifecycle.RETIRED
            if lives and step.target not in before:
                return step.target.model
    return None
