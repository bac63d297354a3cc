"""What each kind of failure leads to: the whole retry and fallback policy, as one table.

Pure. The table is read top to bottom like the prose it stands for: may the same target be asked again, may another one
be asked (and under which word of ``fallback_on``), and what does the failure say of the target.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from gateway.reasons import FailureKind, Reason


class Verdict(StrEnum):
    """What to do with a request whose attempt failed before its first byte."""

    RETRY = "retry"
    """Ask the same target once more."""
    NEXT = "next"
    """Ask the next target of the plan."""
    STOP = "stop"
    """Tell the caller."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One failure, judged."""

    verdict: Verdict
    counts_against_health: bool
    """Whether the circuit breaker hears of it."""
    verify: bool
    """Whether the target is suspect until somebody looked whether its model lives."""
    rests: bool
    """Whether the target (its credential, for AUTHENTICATION) is left alone for a while."""
    reason: Reason
    """Why the next target answers; says nothing where the verdict is STOP."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of failure in the table."""

    word: str | None
    """The word of ``fallback_on`` that allows the next target; None: never another target."""
    reason: Reason = Reason.PRIMARY
    retry: bool = False
    """Whether the same target may be asked again, where the budget for retries allows it."""
    counts: bool = False
    verify: bool = False
    rests: bool = False
    needs_larger_window: bool = False
    """Another target only helps if it takes a longer prompt; then no word is needed."""


TABLE: Mapping[FailureKind, Row] = MappingProxyType(
    {
        # Nothing was sent, or nobody can have acted on it.
        FailureKind.CONNECTION: Row("connection", Reason.CONNECTION, retry=True, counts=True),
        FailureKind.TLS: Row("connection", Reason.CONNECTION, counts=True),
        # A retry would double the wait, and the bill.
        FailureKind.TIMEOUT: Row("timeout", Reason.TIMEOUT, counts=True),
        FailureKind.OVERLOADED: Row("overloaded", Reason.OVERLOADED, counts=True),
        FailureKind.SERVER_ERROR: Row("server_error", Reason.SERVER_ERROR, counts=True),
        # A healthy target that says "later".
        FailureKind.RATE_LIMITED: Row("rate_limited", Reason.RATE_LIMITED, rests=True),
        FailureKind.QUOTA: Row("quota", Reason.QUOTA, rests=True),
        # The model, not the provider: the breaker never hears of it.
        FailureKind.MODEL_GONE: Row("gone", Reason.GONE, verify=True),
        FailureKind.MODEL_NO_ACCESS: Row("no_access", Reason.NO_ACCESS, verify=True),
        FailureKind.MODEL_AMBIGUOUS: Row("no_access", Reason.SUSPECT, verify=True),
        FailureKind.AUTHENTICATION: Row("no_access", Reason.NO_ACCESS, rests=True),
        # The caller's own.
        FailureKind.CONTEXT_TOO_LONG: Row(None, Reason.LACKS_CAPABILITY, needs_larger_window=True),
        FailureKind.BAD_REQUEST: Row(None),
        FailureKind.CONTENT_REFUSED: Row(None),
        FailureKind.CLIENT_CANCELLED: Row(None),
        # After the first byte there is no way back.
        FailureKind.INTERRUPTED: Row(None, counts=True),
    }
)


def judge(
    kind: FailureKind, *, fallback_on: AbstractSet[str], retries_left: bool, larger_window: bool = False
) -> Judgement:
    """Judge one failure.

    ``retries_left`` says that this target was not retried, that nothing of the body was sent, and that the budget for
    retries has room; ``larger_window`` that the next target takes a longer prompt than this one.
    """
    row = TABLE[kind]
    return Judgement(
        verdict=_verdict(row, fallback_on, retries_left, larger_window),
        counts_against_health=row.counts,
        verify=row.verify,
        rests=row.rests,
        reason=row.reason,
    )


def _verdict(row: Row, fallback_on: AbstractSet[str], retries_left: bool, larger_window: bool) -> Verdict:
    if row.retry and retries_left:
        return Verdict.RETRY
    if row.needs_larger_window:
        return Verdict.NEXT if larger_window else Verdict.STOP
    return Verdict.NEXT if row.word in fallback_on else Verdict.STOP
