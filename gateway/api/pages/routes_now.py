"""Who answers each route right now, as this replica would decide it, and since when, as all of them agree. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum

from gateway.execution.pipeline import Pipeline
from gateway.execution.prepared import PreparedRoute, Snapshot
from gateway.policy.intended import is_intended
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates, share_moved
from gateway.policy.planner import Command, Plan
from gateway.policy.standing import RouteState, Standing, standing
from gateway.reasons import Reason, Role


class Concern(IntEnum):
    """How much a route needs a person: the smaller, the more."""

    NOBODY = 0
    """Nobody can answer, or only a primary whose day has passed."""
    UNINTENDED = 1
    """A fallback stands in for trouble."""
    MOVED = 2
    """A fallback answers because a date, a person or routes.yaml put it there; or a person holds the route."""
    NONE = 3


@dataclass(frozen=True, slots=True)
class RouteNow:
    """One route."""

    name: str
    owner: str
    """Empty: nobody's."""
    concern: Concern
    role: Role | None
    """None: nobody can answer."""
    target: str
    model: str
    provider: str
    reason: Reason
    """Why this target; where nobody can answer, why the primary cannot."""
    refused: Reason | None
    """Why traffic should have left the primary, where nobody else can answer."""
    since: datetime | None
    """None: not known, or of this replica alone and for moments."""
    moved: float | None
    """The share of conversations that has left the primary; None: the route is on no ramp."""
    command: Command | None
    dates: Dates
    """Of the primary, or where there is none, of who answers."""
    has_primary: bool
    has_fallback: bool

    @property
    def shutdown(self) -> date | None:
        """The primary's last midnight, as the calendar knows it."""
        return self.dates.shutdown

    def days_left(self, now: datetime) -> int | None:
        """Until the shutdown; negative: since."""
        return None if self.shutdown is None else (self.shutdown - now.date()).days


def routes_now(pipeline: Pipeline, states: Mapping[str, RouteState], now: datetime) -> list[RouteNow]:
    """Return every route, in the order of routes.yaml. ``states`` are what replicas agree on, empty if not known."""
    snapshot = pipeline.snapshot
    return [
        route_now(pipeline, snapshot, prepared, states.get(name), now) for name, prepared in snapshot.prepared.items()
    ]


def route_now(
    pipeline: Pipeline, snapshot: Snapshot, prepared: PreparedRoute, state: RouteState | None, now: datetime
) -> RouteNow:
    """Return one route; it is asked for as a request without special needs would be."""
    ready = snapshot.plan(prepared, None, pipeline.board, None)
    route, plan = prepared.route, ready.plan
    primary = prepared.targets.get("primary")
    first = ready.steps[0].prepared if ready.steps else None
    main = primary or first or next(iter(prepared.targets.values()), None)
    dates = main.dates if main is not None else UNKNOWN_DATES
    at = standing(plan, primary.dates if primary is not None else UNKNOWN_DATES, now)
    command = pipeline.board.command(route.name)
    if command is not None and command.target not in prepared.targets:
        command = None
    moved = share_moved(dates, route.cutover, now) if primary is not None else 0.0
    return RouteNow(
        name=route.name,
        owner=route.owner or "",
        concern=_concern(plan, at, by_date=ready.by_date, is_held=command is not None),
        role=first.role if first is not None else None,
        target=at.target or "",
        model=first.model if first is not None else (main.model if main is not None else ""),
        provider=first.key[0] if first is not None else "",
        reason=at.reason,
        refused=at.refused,
        since=_since(at, state),
        moved=moved if 0.0 < moved < 1.0 and at.reason is Reason.DEPRECATED_RAMP else None,
        command=command,
        dates=dates,
        has_primary=primary is not None,
        has_fallback=bool(route.fallbacks),
    )


def _concern(plan: Plan, at: Standing, *, by_date: bool, is_held: bool) -> Concern:
    if at.target is None or at.refused is not None:
        return Concern.NOBODY
    if not is_intended(at.reason, first_after_date=by_date):
        return Concern.UNINTENDED
    if is_held or (plan.steps[0].target.role is Role.FALLBACK and at.reason is not Reason.NO_PRIMARY):
        return Concern.MOVED
    return Concern.NONE


def _since(at: Standing, state: RouteState | None) -> datetime | None:
    """A circuit that has just opened here is not what replicas agreed on an hour ago."""
    if state is None or state.standing.target != at.target:
        return None
    return state.since
