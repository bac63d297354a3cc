import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.breaker import (
    CLOSED,
    FAILURES_TO_OPEN,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    TRIAL_PATIENCE_S,
    Circuit,
    after_failure,
    after_success,
    on_trial,
)


def failed(times: int, at: float = 0.0) -> Circuit:
    circuit = CLOSED
    for _ in range(times):
        circuit = after_failure(circuit, at)
    return circuit


@pytest.mark.parametrize(
    ("failures", "flows"),
    [
        pytest.param(0, True, id="nothing has failed"),
        pytest.param(1, True, id="one failure is bad luck"),
        pytest.param(FAILURES_TO_OPEN - 1, True, id="four failures in a row still flow"),
        pytest.param(FAILURES_TO_OPEN, False, id="the fifth failure in a row opens"),
        pytest.param(FAILURES_TO_OPEN + 3, False, id="stragglers change nothing"),
    ],
)
def test_it_opens_at_the_fifth_failure_in_a_row(failures: int, flows: bool) -> None:
    assert failed(failures).lets_through(0.0) is flows


def test_a_success_between_failures_starts_the_count_anew() -> None:
    circuit = after_failure(after_success(), 0.0)
    assert circuit.failures == 1
    assert circuit.closed


def test_it_stays_open_for_five_seconds_then_lets_one_try() -> None:
    circuit = failed(FAILURES_TO_OPEN, at=100.0)
    assert not circuit.lets_through(100.0 + FIRST_PAUSE_S - 0.001)
    assert circuit.lets_through(100.0 + FIRST_PAUSE_S)


def test_only_one_trial_is_out_at_a_time() -> None:
    now = 100.0 + FIRST_PAUSE_S
    circuit = on_trial(failed(FAILURES_TO_OPEN, at=100.0), now)
    assert not circuit.lets_through(now)
    assert not circuit.lets_through(now + TRIAL_PATIENCE_S - 0.001)


def test_a_trial_that_never_reports_back_is_given_up() -> None:
    now = 100.0 + FIRST_PAUSE_S
    assert on_trial(failed(FAILURES_TO_OPEN, at=100.0), now).lets_through(now + TRIAL_PATIENCE_S)


def test_each_failed_trial_doubles_the_pause_up_to_a_minute() -> None:
    now, circuit, pauses = 0.0, failed(FAILURES_TO_OPEN), []
    for _ in range(6):
        now = circuit.open_until
        circuit = after_failure(on_trial(circuit, now), now)
        pauses.append(circuit.open_until - now)
        assert not circuit.lets_through(circuit.open_until - 0.001)
        assert circuit.lets_through(circuit.open_until)
    assert pauses == [10.0, 20.0, 40.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_stragglers_that_were_sent_before_it_opened_neither_lengthen_nor_double_the_pause() -> None:
    opened = failed(FAILURES_TO_OPEN, at=100.0)
    assert after_failure(opened, 101.0) == opened
    assert after_failure(opened, 100.0 + FIRST_PAUSE_S - 0.001) == opened


def test_a_good_answer_closes_it_at_once() -> None:
    assert after_success() == CLOSED
    assert after_success().lets_through(0.0)


@given(st.lists(st.tuples(st.sampled_from(("fail", "trial", "wait")), st.floats(0, 100)), max_size=60))
def test_whatever_happens_it_lets_through_again_within_two_minutes(events: list[tuple[str, float]]) -> None:
    now, circuit = 0.0, CLOSED
    for what, seconds in events:
        if what == "wait":
            now += seconds
        elif what == "fail":
            circuit = after_failure(circuit, now)
        elif circuit.lets_through(now) and not circuit.closed:
            circuit = on_trial(circuit, now)
    assert circuit.pause_s <= LONGEST_PAUSE_S
    assert circuit.lets_through(now + LONGEST_PAUSE_S + TRIAL_PATIENCE_S)
