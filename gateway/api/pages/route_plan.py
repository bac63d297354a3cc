"""A route's plan for now, or for a day to come, step by step: the planner's own object. No I/O."""

from dataclasses import dataclass
from datetime import date, datetime

from gateway.api.pages.words import reason_words
from gateway.config.routes import Target
from gateway.execution.pipeline import Pipeline
from gateway.execution.prepared import PreparedRoute, Snapshot
from gateway.policy import planner
from gateway.policy.lifecycle import midnight, share_moved
from gateway.policy.planner import Plan


@dataclass(frozen=True, slots=True)
class StepLine:
    """One target, asked or passed over."""

    name: str
    role: str
    provider: str
    model: str
    shutdown: date | None
    why: str
    prompt: str
    """Its prompt's version; empty: it has none."""


@dataclass(frozen=True, slots=True)
class PlanLines:
    """One plan."""

    at: datetime
    steps: tuple[StepLine, ...]
    skipped: tuple[StepLine, ...]
    moved: float | None
    """The share of conversations that has moved by then, on a ramp: this is the plan of one that has."""
    held_by: str
    """Who holds the route by hand then; empty: nobody."""


def plan_on(pipeline: Pipeline, prepared: PreparedRoute, day: date) -> Plan:
    """Return the plan of a day, as ``gateway explain --at`` makes it: by dates and commands, whatever is seen today."""
    now = midnight(day)
    command = pipeline.board.command(prepared.route.name)
    return planner.plan(
        prepared.route,
        observe=lambda _: planner.FRESH,
        dates_of=pipeline.snapshot.calendar.dates_of,
        now=now,
        command=command if command is not None and command.in_force(now) else None,
    )


def lines_of(snapshot: Snapshot, plan: Plan, at: datetime, command: planner.Command | None) -> PlanLines:
    """Put a plan into lines."""
    primary = plan.route.primary
    moved = share_moved(snapshot.calendar.dates_of(primary), plan.route.cutover, at) if primary is not None else 0.0
    asked = [step.target for step in plan.steps]
    return PlanLines(
        at,
        tuple(_line(snapshot, step.target, _why_asked(step)) for step in plan.steps),
        tuple(
            _line(snapshot, entry.target, reason_words(entry.reason) + (f": {entry.detail}" if entry.detail else ""))
            for entry in plan.skipped
            # On its ramp, or while another one is commanded, the primary is asked after the others.
            if entry.target not in asked
        ),
        moved if 0.0 < moved < 1.0 else None,
        command.by if command is not None and command.in_force(at) else "",
    )


def _why_asked(step: planner.Step) -> str:
    return f"because: {reason_words(step.reason)}" if step.reason is not None else "if the one before fails"


def _line(snapshot: Snapshot, target: Target, why: str) -> StepLine:
    version = target.prompt.version if target.prompt is not None else ""
    shutdown = snapshot.calendar.dates_of(target).shutdown
    return StepLine(target.name, target.role.value, target.provider.name, target.model, shutdown, why, version)
