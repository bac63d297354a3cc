"""What the pages of requests say of ledger rows: one line a request, and one request attempt by attempt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.api.pages.words import model as short
from gateway.api.pages.words import relative
from gateway.reasons import FailureKind, Outcome, Reason, UsageSource
from gateway.store.requests import KeptAttempt

WHY: Final[Mapping[Reason, str]] = {
    Reason.PRIMARY: "it is the route’s primary",
    Reason.DEPRECATED_RAMP: "the primary’s day is near, and the route moves over share by share",
    Reason.SHUTDOWN_REACHED: "the primary’s day had come",
    Reason.GONE: "the primary was seen to be gone",
    Reason.NO_ACCESS: "the primary was closed to the gateway’s key",
    Reason.SUSPECT: "the primary might have been gone, and was being verified",
    Reason.CIRCUIT_OPEN: "the primary had failed too often just before",
    Reason.RESTING: "the primary was resting after a rate limit",
    Reason.LACKS_CAPABILITY: "the request needed what the target before lacks",
    Reason.CONTRACT: "the answer before broke the route’s contract",
    Reason.COMMANDED: "a person had moved the route by hand",
    Reason.PINNED: "the caller asked for exactly this target",
    Reason.CONNECTION: "the attempt before could not connect",
    Reason.TIMEOUT: "the attempt before took too long",
    Reason.OVERLOADED: "the attempt before was turned away: overloaded",
    Reason.SERVER_ERROR: "the attempt before ended in the provider’s error",
    Reason.RATE_LIMITED: "the attempt before was rate limited",
    Reason.QUOTA: "the attempt before met a quota that was used up",
    Reason.NO_PRIMARY: "the route has no primary",
    Reason.REHEARSAL: "the route rehearses with a share of its traffic",
    Reason.CANARY: "its conversation is one of the canary’s",
}
COUNTED: Final[Mapping[UsageSource, str]] = {
    UsageSource.PROVIDER: "as the provider counted",
    UsageSource.ESTIMATED: "estimated: the provider sent no count",
    UsageSource.INTERRUPTED: "counted until it broke off",
    UsageSource.NONE: "nothing was used",
}
_OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.OK: "answered",
    Outcome.FAILED: "failed",
    Outcome.INTERRUPTED: "broke off",
    Outcome.CANCELLED: "caller left",
}
_SAID_BY_OUTCOME: Final = frozenset((FailureKind.INTERRUPTED, FailureKind.CLIENT_CANCELLED))
WIDTH: Final = 1000.0
_THINNEST: Final = 2.0


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One request in the list."""

    id: str
    href: str
    at: datetime
    ago: str
    """How long that is ago, in two units: of many within an hour each differs."""
    route: str
    kind: str
    role: str
    target: str
    model: str
    short_model: str
    outcome: str
    """Of its last attempt, as the ledger says it."""
    said: str
    """The same in words, with what went before."""
    failure: str
    """What the last failure was, with the upstream's status where it sent one."""
    attempts: int
    tokens: int
    cost_nanousd: int | None
    """None: nothing of it has a price."""
    is_partly_unpriced: bool
    duration_ms: float
    ttft_ms: float | None
    """From the first attempt's start."""


@dataclass(frozen=True, slots=True)
class TracedAttempt:
    """One attempt, and where it is drawn on the request's axis, in per mille."""

    row: KeptAttempt
    number: int
    said: str
    why: str
    counted: str
    after_ms: float
    x: float
    width: float
    first_token_x: float | None
    tags: tuple[str, ...]
    traits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """One request, attempt by attempt."""

    id: str
    route: str
    kind: str
    lead: str
    started_at: datetime
    total_ms: float
    attempts: tuple[TracedAttempt, ...]
    others: tuple[TracedAttempt, ...]
    """Rehearsals of the same request: their callers never saw them."""


def line_of(rows: Sequence[KeptAttempt], now: datetime) -> RequestLine:
    """Return the line of one request's attempts, which are in order."""
    first, last = rows[0], rows[-1]
    priced = [row.cost_nanousd for row in rows if row.cost_nanousd is not None]
    lacking = any(is_unpriced(row) for row in rows)
    failed = [row for row in rows if row.failure is not None and row.failure not in _SAID_BY_OUTCOME]
    offset = milliseconds(last.started_at - first.started_at)
    model = last.model_answered or last.model_asked
    return RequestLine(
        first.request_id,
        f"/ui/requests/{first.request_id}?at={last.attempt_id}",
        first.started_at,
        ago(first.started_at, now),
        first.route,
        first.kind,
        last.role,
        last.target,
        model,
        short(model),
        last.outcome,
        outcome_of(rows),
        _failure(failed[-1]) if failed else "",
        len(rows),
        sum(row.input_tokens + row.output_tokens for row in rows),
        sum(priced) if priced and not (lacking and not sum(priced)) else None,
        lacking,
        offset + last.duration_ms,
        None if last.ttft_ms is None else offset + last.ttft_ms,
    )


def ago(at: datetime, now: datetime) -> str:
    """Write how long something is ago: ``12 min ago``, ``1 h 12 min ago``, ``3 d ago``."""
    hours, rest = divmod(now - at, timedelta(hours=1))
    if not 1 <= hours < 48:
        return relative(at, now)
    return f"{hours} h {rest // timedelta(minutes=1)} min ago"


def is_unpriced(row: KeptAttempt) -> bool:
    """Tell whether an attempt used tokens that have no price: that is not the same as free."""
    return row.cost_nanousd is None and row.input_tokens + row.output_tokens > 0


def outcome_of(rows: Sequence[KeptAttempt]) -> str:
    """Say how a request ended, and what went before that."""
    last = rows[-1]
    said = _OUTCOMES[Outcome(last.outcome)] if last.outcome in set(Outcome) else last.outcome
    before = sum(row.outcome == Outcome.FAILED for row in rows[:-1])
    if not before:
        return said
    if last.outcome == Outcome.FAILED:
        return f"{said}, every one of {before + 1} attempts"
    return f"{said} after {before} failure{'' if before == 1 else 's'}"


def trace_of(rows: Sequence[KeptAttempt]) -> RequestTrace:
    """Return the trace of everything that was asked under one id; callers' attempts first."""
    live = [row for row in rows if row.kind == rows[0].kind]
    others = [row for row in rows if row.kind != rows[0].kind]
    if any(row.kind == "live" for row in rows):
        live, others = [row for row in rows if row.kind == "live"], [row for row in rows if row.kind != "live"]
    begin = min(row.started_at for row in rows)
    end = max(row.started_at + timedelta(milliseconds=row.duration_ms) for row in rows)
    total_ms = max(milliseconds(end - begin), 0.001)
    return RequestTrace(
        rows[0].request_id,
        live[0].route,
        live[0].kind,
        _lead(live),
        begin,
        total_ms,
        tuple(_traced(number, row, begin, total_ms) for number, row in enumerate(live, 1)),
        tuple(_traced(number, row, begin, total_ms) for number, row in enumerate(others, len(live) + 1)),
    )


def _lead(rows: Sequence[KeptAttempt]) -> str:
    first, last = rows[0], rows[-1]
    who = f"{last.role} {last.target}" if last.target != last.role else f"the {last.role}"
    took = milliseconds(last.started_at - first.started_at) + last.duration_ms
    match last.outcome:
        case Outcome.OK:
            said = f"{who[0].upper()}{who[1:]} answered within {_seconds(took)}"
        case Outcome.FAILED:
            said = f"Nobody answered: it failed after {_seconds(took)}"
        case Outcome.INTERRUPTED:
            said = f"{who[0].upper()}{who[1:]} began to answer, and broke off after {_seconds(took)}"
        case _:
            said = f"The caller left after {_seconds(took)}, while {who} was answering"
    before = [row for row in rows[:-1] if row.outcome == Outcome.FAILED]
    if before:
        failures = ", ".join(dict.fromkeys(_failure(row) for row in before))
        said += f"; before that {'one attempt' if len(before) == 1 else f'{len(before)} attempts'} failed ({failures})"
    return f"{said}."


def _traced(number: int, row: KeptAttempt, begin: datetime, total_ms: float) -> TracedAttempt:
    after = milliseconds(row.started_at - begin)
    scale = WIDTH / total_ms
    width = max(_THINNEST, row.duration_ms * scale)
    x = min(after * scale, WIDTH - width)
    said = _OUTCOMES[Outcome(row.outcome)] if row.outcome in set(Outcome) else row.outcome
    if row.failure is not None:
        said += f": {_failure(row)}"
    token = None if row.ttft_ms is None else round(min(WIDTH, (after + row.ttft_ms) * scale), 1)
    return TracedAttempt(
        row,
        number,
        said,
        WHY[Reason(row.reason)] if row.reason in set(Reason) else row.reason,
        COUNTED[UsageSource(row.usage_source)] if row.usage_source in set(UsageSource) else row.usage_source,
        after,
        round(max(0.0, x), 1),
        round(width, 1),
        token,
        tuple(f"{name}={value}" for name, value in (row.tags or {}).items()),
        tuple(row.traits.split(",")) if row.traits else (),
    )


def _failure(row: KeptAttempt) -> str:
    said = (row.failure or row.outcome).replace("_", " ")
    return f"{said}, {row.status}" if row.status is not None and row.failure is not None else said


def milliseconds(length: timedelta) -> float:
    """Return a length of time in milliseconds."""
    return length / timedelta(milliseconds=1)


def _seconds(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def words_of(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the values of an enum with the words that a form shows for them."""
    return tuple((name, name.replace("_", " ")) for name in names)


OUTCOME_WORDS: Final = tuple((outcome.value, word) for outcome, word in _OUTCOMES.items())
REASON_WORDS: Final = words_of(reason.value for reason in Reason)
KIND_WORDS: Final = (
    ("live", "callers’"),
    ("rehearsal", "rehearsals"),
    ("recording", "recordings"),
    ("evaluation", "evaluations"),
    ("probe", "probes"),
    ("all", "all of them"),
)
