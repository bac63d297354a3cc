"""Who answers a route, apart from passing troubles of one replica, and what it means when that changes. Pure.

A circuit that is open or a model that is suspect moves requests for moments. A standing changes when a verification, a
date or a person moved the route: that is what replicas agree on, and what people are told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.config.routes import Cutover
from gateway.policy.lifecycle import Dates, share_moved
from gateway.policy.planner import Plan
from gateway.reasons import EventKind, Reason, Role

RETURN_AFTER = timedelta(seconds=60)
"""A route that has just moved does not move back by itself before this."""
PRIMARY = "primary"


@dataclass(frozen=True, slots=True)
class Standing:
    """Who answers a route, and why."""

    target: str | None
    """The target's name; None: nobody can answer."""
    reason: Reason
    refused: Reason | None = None
    """Why the route should have moved, where nobody else can answer."""


@dataclass(frozen=True, slots=True)
class RouteState:
    """The standing that replicas agree on."""

    standing: Standing
    version: int
    since: datetime
    config_hash: str
    """Of the configuration that decided it."""


def standing(plan: Plan, dates: Dates, now: datetime) -> Standing:
    """Read a plan that was made from agreed states alone; ``dates`` are the primary's."""
    primary = plan.route.primary
    if not plan.steps:
        reason = next((skip.reason for skip in plan.skipped if skip.target is primary), Reason.GONE)
        return Standing(None, reason, refused=reason)
    first = plan.steps[0]
    reason = first.reason or Reason.PRIMARY
    refused = None
    if first.target.role is Role.PRIMARY and reason is Reason.PRIMARY and _is_over(dates, plan.route.cutover, now):
        refused = Reason.SHUTDOWN_REACHED
    return Standing(first.target.name, reason, refused)


def _is_over(dates: Dates, cutover: Cutover, now: datetime) -> bool:
    return share_moved(dates, cutover, now) >= 1.0


def change(before: RouteState | None, after: Standing) -> EventKind | None:
    """Return what kind of event leads from one standing to another; None: nothing that people are told."""
    old = before.standing if before is not None else Standing(PRIMARY, Reason.PRIMARY)
    if after.refused is not None:
        return EventKind.REFUSAL if old.refused is not after.refused or old.target != after.target else None
    if after.target == old.target:
        # The ramp is over: now everybody has moved.
        ended = old.reason is Reason.DEPRECATED_RAMP and after.reason is Reason.SHUTDOWN_REACHED
        by_hand = Reason.COMMANDED in (old.reason, after.reason) and old.reason is not after.reason
        return EventKind.CUTOVER if ended else EventKind.COMMANDED if by_hand else None
    if before is None and after.reason in (Reason.PRIMARY, Reason.NO_PRIMARY):
        return None
    if Reason.COMMANDED in (old.reason, after.reason):
        return EventKind.COMMANDED
    return EventKind.RETURN if after.target == PRIMARY else EventKind.CUTOVER


def must_wait(before: RouteState | None, after: Standing, now: datetime) -> bool:
    """Tell whether a step back comes too soon: no route goes back and forth within a minute.

    Away from what cannot answer it goes at once. People wait for nothing.
    """
    if before is None or Reason.COMMANDED in (before.standing.reason, after.reason):
        return False
    return _goes_back(before.standing, after) and timedelta(0) <= now - before.since < RETURN_AFTER


def _goes_back(old: Standing, new: Standing) -> bool:
    if new.target == PRIMARY and old.target != PRIMARY:
        return True
    ended = old.reason is Reason.SHUTDOWN_REACHED and new.reason is Reason.DEPRECATED_RAMP
    return ended or (old.refused is not None and new.refused is None and new.target == old.target)


def may_decide(living: Iterable[tuple[str, datetime]], config_hash: str, config_at: datetime) -> bool:
    """Tell whether a replica may say where routes stand: only one whose configuration is the newest that is in force.

    ``living`` are the configurations of replicas that were heard of in the last minute: hash, and when it was loaded.
    """
    newest = max(living, key=lambda config: config[1], default=None)
    return newest is None or newest[0] == config_hash or newest[1] <= config_at
