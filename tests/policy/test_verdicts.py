import pytest

from gateway.policy.verdicts import TABLE, Judgement, Verdict, judge
from gateway.reasons import FailureKind as Kind
from gateway.reasons import Reason

DEFAULT = frozenset({"gone", "no_access", "connection", "timeout", "overloaded", "server_error"})
EVERY = DEFAULT | {"rate_limited", "quota"}
RETRY, NEXT, STOP = Verdict.RETRY, Verdict.NEXT, Verdict.STOP

# kind → verdict by default (a retry left, none left), with every word, with none; counts, verify, rests, reason.
ROWS = [
    (Kind.CONNECTION, (RETRY, NEXT), NEXT, STOP, True, False, False, Reason.CONNECTION),
    (Kind.TLS, (NEXT, NEXT), NEXT, STOP, True, False, False, Reason.CONNECTION),
    (Kind.TIMEOUT, (NEXT, NEXT), NEXT, STOP, True, False, False, Reason.TIMEOUT),
    (Kind.OVERLOADED, (NEXT, NEXT), NEXT, STOP, True, False, False, Reason.OVERLOADED),
    (Kind.SERVER_ERROR, (NEXT, NEXT), NEXT, STOP, True, False, False, Reason.SERVER_ERROR),
    (Kind.RATE_LIMITED, (STOP, STOP), NEXT, STOP, False, False, True, Reason.RATE_LIMITED),
    (Kind.QUOTA, (STOP, STOP), NEXT, STOP, False, False, True, Reason.QUOTA),
    (Kind.MODEL_GONE, (NEXT, NEXT), NEXT, STOP, False, True, False, Reason.GONE),
    (Kind.MODEL_NO_ACCESS, (NEXT, NEXT), NEXT, STOP, False, True, False, Reason.NO_ACCESS),
    (Kind.MODEL_AMBIGUOUS, (NEXT, NEXT), NEXT, STOP, False, True, False, Reason.SUSPECT),
    (Kind.AUTHENTICATION, (NEXT, NEXT), NEXT, STOP, False, False, True, Reason.NO_ACCESS),
    (Kind.CONTEXT_TOO_LONG, (STOP, STOP), STOP, STOP, False, False, False, Reason.LACKS_CAPABILITY),
    (Kind.BAD_REQUEST, (STOP, STOP), STOP, STOP, False, False, False, Reason.PRIMARY),
    (Kind.CONTENT_REFUSED, (STOP, STOP), STOP, STOP, False, False, False, Reason.PRIMARY),
    (Kind.CLIENT_CANCELLED, (STOP, STOP), STOP, STOP, False, False, False, Reason.PRIMARY),
    (Kind.INTERRUPTED, (STOP, STOP), STOP, STOP, True, False, False, Reason.PRIMARY),
]


@pytest.mark.parametrize(
    ("kind", "by_default", "with_every_word", "with_none", "counts", "verify", "rests", "reason"),
    ROWS,
    ids=[row[0].value for row in ROWS],
)
def test_the_table_row_by_row(
    kind: Kind,
    by_default: tuple[Verdict, Verdict],
    with_every_word: Verdict,
    with_none: Verdict,
    counts: bool,
    verify: bool,
    rests: bool,
    reason: Reason,
) -> None:
    retry_left, no_retry_left = by_default
    assert judge(kind, fallback_on=DEFAULT, retries_left=True).verdict is retry_left
    assert judge(kind, fallback_on=EVERY, retries_left=False).verdict is with_every_word
    assert judge(kind, fallback_on=frozenset(), retries_left=False).verdict is with_none
    judged = judge(kind, fallback_on=DEFAULT, retries_left=False)
    assert judged == Judgement(no_retry_left, counts, verify, rests, reason)


def test_every_kind_of_failure_has_its_row() -> None:
    assert set(TABLE) == set(Kind) == {row[0] for row in ROWS}


def test_a_prompt_too_long_goes_to_a_larger_window_whatever_the_route_falls_back_on() -> None:
    judged = judge(Kind.CONTEXT_TOO_LONG, fallback_on=frozenset(), retries_left=True, larger_window=True)
    assert judged.verdict is NEXT


@pytest.mark.parametrize("kind", [Kind.BAD_REQUEST, Kind.CONTENT_REFUSED, Kind.CLIENT_CANCELLED, Kind.INTERRUPTED])
def test_the_callers_own_never_reaches_another_target(kind: Kind) -> None:
    assert judge(kind, fallback_on=EVERY, retries_left=True, larger_window=True).verdict is STOP


@pytest.mark.parametrize("kind", list(Kind))
def test_only_a_connection_is_ever_retried(kind: Kind) -> None:
    judged = judge(kind, fallback_on=EVERY, retries_left=True)
    assert (judged.verdict is RETRY) == (kind is Kind.CONNECTION)


def test_a_connection_is_retried_even_where_nothing_may_fall_back() -> None:
    assert judge(Kind.CONNECTION, fallback_on=frozenset(), retries_left=True).verdict is RETRY


@pytest.mark.parametrize(
    ("word", "kinds"),
    [
        ("gone", {Kind.MODEL_GONE}),
        ("no_access", {Kind.MODEL_NO_ACCESS, Kind.MODEL_AMBIGUOUS, Kind.AUTHENTICATION}),
        ("connection", {Kind.CONNECTION, Kind.TLS}),
        ("timeout", {Kind.TIMEOUT}),
        ("overloaded", {Kind.OVERLOADED}),
        ("server_error", {Kind.SERVER_ERROR}),
        ("rate_limited", {Kind.RATE_LIMITED}),
        ("quota", {Kind.QUOTA}),
    ],
)
def test_a_word_of_fallback_on_allows_these_kinds_and_no_others(word: str, kinds: set[Kind]) -> None:
    allowed = {kind for kind in Kind if judge(kind, fallback_on=frozenset({word}), retries_left=False).verdict is NEXT}
    assert allowed == kinds
