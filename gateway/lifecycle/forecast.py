"""What will happen to every route, and when: the published dates, the plans of days to come, and last week's traffic.

Computes over what it is handed: no I/O, no clock. Who answers on a day is read off the very plan that the server would
execute then, by a server that has not observed anything; where that plan still asks a model whose date has passed, off
the plan that follows once the model is seen to be gone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType

from gateway.config.routes import Route, Routes, Target
from gateway.lifecycle.forecast_aliases import Dated, alias_of
from gateway.lifecycle.forecast_evidence import Evidence, evidence_on
from gateway.lifecycle.forecast_findings import SEVERE, Finding, FindingKind, Scene, findings_of, stops_too
from gateway.lifecycle.forecast_traffic import CostChange, Demand, Load, cost_change, demand, loads, set_and_refused
from gateway.policy.availability import TargetState
from gateway.policy.lifecycle import Dates, midnight, state
from gateway.policy.planner import FRESH, DatesOf, Observed, Plan, plan
from gateway.policy.traffic import Traffic
from gateway.providers.abilities import Abilities
from gateway.providers.prices import PriceBook
from gateway.reasons import Availability, Lifecycle
from gateway.store.evaluations import Evaluation

States = Mapping[tuple[str, str], TargetState]
"""Provider's name and model → what the replicas agree on."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far is looked, and from where."""

    now: datetime
    until: datetime
    day: bool = False
    """Whether the state on ``until`` is asked for, rather than what happens before it."""

    @classmethod
    def of_days(cls, now: datetime, days: int) -> "Horizon":
        """Look at everything that stops by the day that many days ahead, that day included."""
        return cls(now, max(now, midnight(now.date() + timedelta(days=days))))

    @classmethod
    def on(cls, now: datetime, at: datetime) -> "Horizon":
        """Look at the state at one instant."""
        return cls(now, at, day=True)

    @property
    def today(self) -> date:
        """The day that days are counted from."""
        return (self.until if self.day else self.now).date()


@dataclass(frozen=True, slots=True)
class RouteForecast:
    """What happens to one route within the horizon."""

    route: Route
    main: Target
    """The primary; for a route without one, the fallback that plays its part."""
    base: str | None
    dates: Dates
    """Of ``main``."""
    days_left: int | None
    """Negative once it has stopped; None where no date is known."""
    lost: bool
    """Whether ``main`` stops within the horizon, has stopped, or is gone."""
    gone: TargetState | None
    """What ``main`` is seen to be, where it cannot be asked any more, whatever its date says."""
    begins: date | None
    """The first day on which some traffic moves by rule; None: no rule moves it."""
    complete: date | None
    """The day from which all of it has moved by rule."""
    at: datetime
    """What the plan is of: the shutdown, where that is within the horizon, else the horizon's end."""
    plan: Plan
    serves: Target | None
    """Who answers then; None: nobody can."""
    ends: date | None
    """The day within the horizon on which who answers then stops as well, with nobody behind it."""
    understudy: Target | None
    """Who would answer then if ``main`` were gone; None: nobody could."""
    on_alias: bool
    """Whether who answers then is an alias all of whose dated snapshots stop by the horizon's end, or with ``main``."""
    still_answers: bool
    """Whether the date has come, and ``main`` is not known to be gone."""
    cost: CostChange
    demand: Demand | None
    """What of last week's requests the fallback would not take as they are; None: nothing to compare."""
    findings: tuple[Finding, ...]

    @property
    def nobody(self) -> bool:
        """Whether callers get errors, once ``main`` is gone, or later within the horizon."""
        return self.serves is None or self.ends is not None

    @property
    def is_gone_early(self) -> bool:
        """Whether ``main`` is gone although no date of it has come."""
        return self.gone is not None and (self.days_left is None or self.days_left > 0)

    @property
    def unwritten(self) -> bool:
        """Whether a fallback will answer, or does, from a prompt that nobody has written."""
        moves = self.lost or self.route.primary is None
        return moves and any(f.kind in (FindingKind.NO_PROMPT, FindingKind.UNWRITTEN) for f in self.findings)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What happens to a whole configuration. Routes in trouble come first, then by date, then by name."""

    horizon: Horizon
    routes: tuple[RouteForecast, ...]
    loads: tuple[Load, ...]
    """Of every target that gains traffic, the heaviest first; empty without a ledger."""
    traffic: Traffic | None
    nothing_kept_in: str | None = None
    """The database that was looked at, where nothing was kept in it yet."""
    evaluations: tuple[Evaluation, ...] | None = None
    """The latest verdicts, newest first; None: not known."""

    @property
    def lost(self) -> tuple[RouteForecast, ...]:
        """The routes whose primary stops within the horizon."""
        return tuple(found for found in self.routes if found.lost)

    @property
    def nobody(self) -> tuple[RouteForecast, ...]:
        """The routes that nobody answers."""
        return tuple(found for found in self.routes if found.nobody)

    def evidence_on(self, row: RouteForecast) -> Evidence | None:
        """Return what is known of how good a route's first fallback is; None: it has nothing to keep up with."""
        has_moved = row.gone is not None or is_retired(row.dates, self.horizon.now)
        return evidence_on(row.route, self.evaluations or (), row.dates, has_moved=has_moved)


def forecast(
    routes: Routes,
    horizon: Horizon,
    *,
    calendar: Dated,
    book: PriceBook,
    abilities: Abilities,
    traffic: Traffic | None = None,
    states: States = MappingProxyType({}),
) -> Forecast:
    """Foresee every route.

    ``traffic``: a week of the ledger; None where there is none. ``states``: what replicas agree on; of models that they
    have not seen, nothing.
    """
    dates_of = calendar.dates_of
    at_the_end = {
        name: who_answers(route, dates_of, horizon.until, gone=_gone(route, states))
        for name, route in routes.routes.items()
    }
    lost = {
        name: target
        for name, target in at_the_end.items()
        if target is not None and _is_lost(main_of(routes.routes[name]), calendar, horizon, states)
    }
    target_loads = loads(routes.routes.values(), at_the_end, lost, traffic) if traffic else ()
    found = [
        _route_forecast(route, horizon, calendar, book, abilities, traffic, target_loads, states)
        for route in routes.routes.values()
    ]
    return Forecast(horizon, tuple(sorted(found, key=_order)), target_loads, traffic)


def main_of(route: Route) -> Target:
    """Return the target that a route is about: its primary, else its first fallback."""
    return route.primary or route.fallbacks[0]


def who_answers(route: Route, dates_of: DatesOf, at: datetime, gone: Iterable[Target] = ()) -> Target | None:
    """Return who answers a route at that instant, with some targets gone; None: nobody."""
    dead = list(gone)
    for _ in range(2):
        made = plan(route, observe=_observing(dead), dates_of=dates_of, now=at)
        first = made.steps[0].target if made.steps else None
        if first is None or not is_retired(dates_of(first), at):
            return first
        # The server asks it, for want of proof that it is gone, and then has the proof.
        dead += [target for target in route.line_up if is_retired(dates_of(target), at)]
    return None


def is_retired(dates: Dates, at: datetime) -> bool:
    """Tell whether a model's date has passed, whoever named it."""
    return state(dates, at) is Lifecycle.RETIRED


def _observing(gone: list[Target]) -> Callable[[Target], Observed]:
    return lambda target: Observed(Availability.GONE) if target in gone else FRESH


def _route_forecast(
    route: Route,
    horizon: Horizon,
    calendar: Dated,
    book: PriceBook,
    abilities: Abilities,
    traffic: Traffic | None,
    target_loads: tuple[Load, ...],
    states: States,
) -> RouteForecast:
    main, dead, seen = main_of(route), _gone(route, states), _seen_gone(route, states)
    dates, gone = calendar.dates_of(main), seen.get(main.name)
    lost = _is_lost(main, calendar, horizon, states)
    at = horizon.until
    if lost and not horizon.day:
        at = horizon.now if gone or dates.shutdown is None else max(horizon.now, midnight(dates.shutdown))
    serves = who_answers(route, calendar.dates_of, at, gone=dead)
    ends = None
    if serves is not None and who_answers(route, calendar.dates_of, horizon.until, gone=dead) is None:
        ends = calendar.dates_of(serves).shutdown
    understudy = who_answers(route, calendar.dates_of, at, gone=(main, *dead))
    moved_to = serves if lost and serves is not None and serves != main else None
    refused = abilities.refused_by(moved_to) if moved_to else {}
    asked = demand(route, moved_to, refused, abilities.adapted_by(moved_to), traffic) if moved_to and traffic else None
    cost = cost_change(route, main, moved_to, book, traffic)
    begins, complete = (None, None) if gone else _moves(route, dates)
    scene = Scene(
        route, main, dates, horizon.now, horizon.until, serves, understudy, lost, cost, asked, traffic,
        seen, calendar.dates_of, calendar.base_of, lambda target: alias_of(target, calendar), ends,
        tuple(set_and_refused(moved_to, refused)) if moved_to else (),
    )  # fmt: skip
    alias = alias_of(serves, calendar) if serves else None
    return RouteForecast(
        route,
        main,
        calendar.base_of(main),
        dates,
        None if dates.shutdown is None else (dates.shutdown - horizon.today).days,
        lost,
        gone,
        begins,
        complete,
        at,
        plan(route, observe=_observing(dead), dates_of=calendar.dates_of, now=at),
        serves,
        ends,
        understudy,
        alias is not None and stops_too(dates if lost else None, alias.dates, horizon.until),
        scene.still_answers,
        cost,
        asked,
        findings_of(scene, book, target_loads),
    )


def _is_lost(main: Target, calendar: Dated, horizon: Horizon, states: States) -> bool:
    return is_retired(calendar.dates_of(main), horizon.until) or is_gone(states.get(_key(main)))


def is_gone(seen: TargetState | None) -> bool:
    """Tell whether a target is verified to be gone, or closed to us."""
    return seen is not None and seen.availability in (Availability.GONE, Availability.NO_ACCESS)


def _gone(route: Route, states: States) -> list[Target]:
    return [target for target in route.line_up if is_gone(states.get(_key(target)))]


def _seen_gone(route: Route, states: States) -> dict[str, TargetState]:
    """Return what the targets that cannot be asked any more are seen to be, by their names."""
    return {target.name: states[_key(target)] for target in _gone(route, states)}


def _key(target: Target) -> tuple[str, str]:
    return target.provider.name, target.model


def _moves(route: Route, dates: Dates) -> tuple[date | None, date | None]:
    """Return the days on which traffic begins to leave the primary by rule, and on which all of it has left."""
    if dates.shutdown is None or not dates.acts or (route.primary is not None and route.cutover.at == "gone"):
        return None, None
    if route.primary is None:
        return dates.shutdown, dates.shutdown
    complete = dates.shutdown - timedelta(days=route.cutover.days_before)
    return complete - timedelta(days=route.cutover.ramp_days), complete


def _order(found: RouteForecast) -> tuple[bool, bool, date, str]:
    severe = any(finding.kind in SEVERE for finding in found.findings)
    return (not found.nobody, not (found.lost and severe), found.dates.shutdown or date.max, found.route.name)
