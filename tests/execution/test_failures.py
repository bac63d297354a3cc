from datetime import date
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.execution.endpoints import CHAT, RESPONSES
from gateway.execution.failures import CallerError, Failure, nobody, refusal, retry_after
from gateway.execution.request import Request
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates
from gateway.policy.planner import FRESH, Observed, Plan, Skipped
from gateway.reasons import FailureKind, Reason
from tests.example_routes import FINE_TUNE, a_primary, a_route

ROUTE = a_route()
PLAN = Plan(ROUTE, (), ())
ASKED = Request(CHAT, {}, "forum-reply")
PROVIDERS_WORDS = "org-123 secret text of the provider"


def refused(kind: FailureKind, plan: Plan = PLAN, dates: Dates = UNKNOWN_DATES, **fields: Any) -> GatewayError:
    return refusal(Failure(kind, PROVIDERS_WORDS, **fields), plan, dates, FINE_TUNE, ASKED)


@pytest.mark.parametrize(
    ("kind", "status", "code", "no_retry"),
    [
        pytest.param(FailureKind.CONNECTION, 502, "upstream_unreachable", True, id="no connection"),
        pytest.param(FailureKind.TLS, 502, "upstream_unreachable", True, id="TLS"),
        pytest.param(FailureKind.TIMEOUT, 504, "upstream_timeout", True, id="a timeout"),
        pytest.param(FailureKind.OVERLOADED, 503, "upstream_overloaded", True, id="overloaded"),
        pytest.param(FailureKind.SERVER_ERROR, 502, "bad_upstream", True, id="a server's error"),
        pytest.param(FailureKind.INTERRUPTED, 502, "bad_upstream", True, id="interrupted"),
        pytest.param(FailureKind.RATE_LIMITED, 429, "rate_limit_exceeded", False, id="a rate limit: SDKs may retry"),
        pytest.param(FailureKind.QUOTA, 429, "rate_limit_exceeded", False, id="a quota"),
        pytest.param(FailureKind.MODEL_GONE, 404, "model_gone", True, id="the model is gone"),
        pytest.param(FailureKind.MODEL_NO_ACCESS, 404, "model_gone", True, id="the model is not ours"),
        pytest.param(FailureKind.MODEL_AMBIGUOUS, 404, "model_gone", True, id="gone, or not ours"),
        pytest.param(FailureKind.AUTHENTICATION, 502, "upstream_authentication", True, id="our key was refused"),
    ],
)
def test_what_the_caller_is_told(kind: FailureKind, status: int, code: str, no_retry: bool) -> None:
    error = refused(kind)
    assert (error.status, error.code) == (status, code)
    assert (error.headers.get("x-should-retry") == "false") is no_retry
    assert PROVIDERS_WORDS not in str(error.body("req_1"))


def test_every_kind_of_failure_has_an_answer() -> None:
    for kind in FailureKind:
        assert 400 <= refused(kind).status < 600


@pytest.mark.parametrize(
    ("failure", "status", "error"),
    [
        pytest.param(
            {"status": 400, "error": {"message": "m", "type": "t", "param": "p", "code": "c", "secret": "s"}},
            400,
            {"message": "m", "type": "t", "param": "p", "code": "c"},
            id="OpenAI's fields pass, others do not",
        ),
        pytest.param(
            {"status": 422, "code": "c"},
            422,
            {"message": PROVIDERS_WORDS, "type": "invalid_request_error", "param": None, "code": "c"},
            id="without an error object: what was understood of it",
        ),
        pytest.param(
            {"status": 413, "error": {"message": 7, "code": 1500}},
            413,
            {"message": PROVIDERS_WORDS, "type": "invalid_request_error", "param": None, "code": None},
            id="fields of another type do not pass",
        ),
        pytest.param(
            {"status": 200, "error": {"message": "m"}},
            400,
            {"message": "m", "type": "invalid_request_error", "param": None, "code": None},
            id="an error within a 200 becomes a 400",
        ),
        pytest.param(
            {"status": 500},
            400,
            {"message": PROVIDERS_WORDS, "type": "invalid_request_error", "param": None, "code": None},
            id="a bad request dressed as a 500 becomes a 400",
        ),
    ],
)
@pytest.mark.parametrize(
    "kind", [FailureKind.BAD_REQUEST, FailureKind.CONTENT_REFUSED, FailureKind.CONTEXT_TOO_LONG], ids=str
)
def test_the_callers_own_error_passes(
    kind: FailureKind, failure: dict[str, Any], status: int, error: dict[str, Any]
) -> None:
    answer = refused(kind, **failure)
    assert isinstance(answer, CallerError)
    assert answer.status == status
    assert answer.body("req_1") == {"error": error | {"request_id": "req_1"}}


@pytest.mark.parametrize(
    ("asked_s", "headers"),
    [
        pytest.param(None, {"retry-after": "1", "retry-after-ms": "1000"}, id="nothing asked: a second"),
        pytest.param(
            0.2, {"retry-after": "1", "retry-after-ms": "200"}, id="a fraction is rounded up, and exact in ms"
        ),
        pytest.param(20.0, {"retry-after": "20", "retry-after-ms": "20000"}, id="whole seconds"),
        pytest.param(86_400.0, {"retry-after": "60", "retry-after-ms": "60000"}, id="at most a minute"),
    ],
)
def test_a_rate_limit_keeps_its_retry_after(asked_s: float | None, headers: dict[str, str]) -> None:
    assert refused(FailureKind.RATE_LIMITED, retry_after_s=asked_s).headers == headers


def test_a_negative_wait_is_none() -> None:
    assert retry_after(-5) == {"retry-after": "0", "retry-after-ms": "0"}


# Gone: which model, since when, what instead, what to do.


def test_a_gone_model_is_named_with_its_date_and_replacement() -> None:
    error = refused(FailureKind.MODEL_GONE, dates=Dates(shutdown=date(2027, 1, 14), replacement="gpt-6-luna"))
    assert FINE_TUNE in error.message
    assert "2027-01-14" in error.message
    assert "gpt-6-luna" in error.message


@pytest.mark.parametrize(
    ("plan", "advice"),
    [
        pytest.param(Plan(a_route(fallbacks=()), (), ()), "Add a fallback", id="without a fallback"),
        pytest.param(PLAN, "fallback_on", id="with one that may not answer"),
        pytest.param(Plan(ROUTE, (), (), pinned=True), "without the pin", id="pinned"),
    ],
)
def test_what_to_do_about_it(plan: Plan, advice: str) -> None:
    assert advice in refused(FailureKind.MODEL_GONE, plan).message


# Nobody to ask.


def test_everybody_gone_is_a_gone_model() -> None:
    plan = Plan(ROUTE, (), (Skipped(a_primary(), Reason.GONE),))
    error = nobody(plan, lambda _: FRESH, UNKNOWN_DATES, ASKED)
    assert (error.status, error.code) == (404, "model_gone")


def test_everybody_left_alone_for_a_while_is_a_503_with_the_shortest_wait() -> None:
    skipped = (Skipped(a_primary(), Reason.CIRCUIT_OPEN), Skipped(ROUTE.fallbacks[0], Reason.CIRCUIT_OPEN))
    waits = {"primary": 9.0, "luna": 4.5}
    error = nobody(
        Plan(ROUTE, (), skipped), lambda target: Observed(retry_after_s=waits[target.name]), UNKNOWN_DATES, ASKED
    )
    assert (error.status, error.code) == (503, "upstream_overloaded")
    assert error.headers == {"retry-after": "5", "retry-after-ms": "4500", "x-should-retry": "false"}


def test_a_route_without_a_primary_names_its_fallback() -> None:
    plan = Plan(a_route(primary=None), (), ())
    assert "model-of-luna" in nobody(plan, lambda _: FRESH, UNKNOWN_DATES, ASKED).message


def test_who_lacks_what_is_said_target_by_target() -> None:
    luna = ROUTE.fallbacks[0]
    lacking = Skipped(luna, Reason.LACKS_CAPABILITY, "takes no tools (its page, read 2026-11-24)")
    plan = Plan(ROUTE, (), (Skipped(a_primary(), Reason.GONE), lacking))
    error = nobody(plan, lambda _: FRESH, UNKNOWN_DATES, ASKED)
    assert (error.status, error.code) == (400, "unsupported_by_targets")
    assert error.message == (
        "No target of route 'forum-reply' can serve this request to chat_completions. primary: gone; "
        "luna: takes no tools (its page, read 2026-11-24)."
    )


def test_what_is_stored_at_a_target_that_is_gone_is_no_silent_loss() -> None:
    asked = Request(RESPONSES, {"previous_response_id": "resp_1.0a0a0a0a"}, "forum-reply", held_by="0a0a0a0a")
    error = nobody(Plan(ROUTE, (), (Skipped(a_primary(), Reason.GONE),)), lambda _: FRESH, UNKNOWN_DATES, asked)
    assert (error.status, error.code, error.param) == (400, "previous_response_not_found", "previous_response_id")
    assert "Send the whole conversation" in error.message
