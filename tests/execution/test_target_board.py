from dataclasses import dataclass, field

import pytest

from gateway.config.routes import Target
from gateway.execution.target_board import CREDENTIAL_RESTS_S, FLAPPING_S, LONGEST_REST_S, TargetBoard, key_of
from gateway.policy.breaker import FAILURES_TO_OPEN, FIRST_PAUSE_S
from gateway.policy.planner import FRESH
from gateway.reasons import Availability
from tests.example_routes import a_fallback, a_primary, a_provider
from tests.fake_clock import FakeClock

TARGET, OTHER = a_primary(), a_fallback()
ELSEWHERE = a_primary(provider=a_provider(name="elsewhere"))


@dataclass
class Bench:
    """A board, its clock, and what it had verified."""

    clock: FakeClock = field(default_factory=FakeClock)
    verifications: list[tuple[Target, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.board = TargetBoard(self.clock, lambda target, carefully: self.verifications.append((target, carefully)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_known_at_first(bench: Bench) -> None:
    assert bench.board.observe(TARGET) == FRESH
    assert not bench.board.ever_served(key_of(TARGET))
    assert not bench.board.timed


def test_an_answer_makes_a_target_available_and_is_remembered(bench: Bench) -> None:
    bench.board.answered(TARGET)
    assert bench.board.availability(TARGET) is Availability.AVAILABLE
    assert bench.board.ever_served(key_of(TARGET))
    assert not bench.board.ever_served(key_of(OTHER))
    assert bench.board.availability(ELSEWHERE) is Availability.UNKNOWN


def test_what_the_ledger_knows_is_taken_over(bench: Bench) -> None:
    bench.board.remember_served({key_of(TARGET)})
    assert bench.board.ever_served(key_of(TARGET))
    # That it once answered does not say that it does now.
    assert bench.board.availability(TARGET) is Availability.UNKNOWN


def test_the_version_rises_with_changes_and_only_with_them(bench: Bench) -> None:
    board, versions = bench.board, []
    for change in (board.answered, board.failed, board.answered, board.suspect, board.credential_refused):
        change(TARGET)
        versions.append(board.version)
    assert versions == sorted(set(versions))
    board.answered(OTHER)
    before = board.version
    board.answered(OTHER)
    board.sent(OTHER)
    board.suspect(TARGET)
    assert board.version == before


# The circuit.


def fail(bench: Bench, times: int = FAILURES_TO_OPEN) -> None:
    for _ in range(times):
        bench.board.failed(TARGET)


def test_five_failures_in_a_row_open_the_circuit_of_that_target_alone(bench: Bench) -> None:
    fail(bench, FAILURES_TO_OPEN - 1)
    assert not bench.board.observe(TARGET).circuit_open
    fail(bench, 1)
    seen = bench.board.observe(TARGET)
    assert seen.circuit_open
    assert seen.retry_after_s == FIRST_PAUSE_S
    assert not bench.board.observe(OTHER).circuit_open
    assert not bench.board.observe(ELSEWHERE).circuit_open


def test_after_the_pause_one_request_tries_and_nobody_follows_it(bench: Bench) -> None:
    fail(bench)
    bench.clock.advance(FIRST_PAUSE_S)
    assert not bench.board.observe(TARGET).circuit_open
    bench.board.sent(TARGET)
    assert bench.board.observe(TARGET).circuit_open


def test_one_that_is_sent_in_spite_of_the_pause_does_not_stand_in_for_the_trial(bench: Bench) -> None:
    fail(bench)
    bench.board.sent(TARGET)
    fail(bench, 1)
    assert bench.board.observe(TARGET).retry_after_s == FIRST_PAUSE_S
    bench.clock.advance(FIRST_PAUSE_S)
    assert not bench.board.observe(TARGET).circuit_open


def test_a_good_trial_closes_it(bench: Bench) -> None:
    fail(bench)
    bench.clock.advance(FIRST_PAUSE_S)
    bench.board.sent(TARGET)
    bench.board.answered(TARGET)
    assert not bench.board.observe(TARGET).circuit_open
    fail(bench, FAILURES_TO_OPEN - 1)
    assert not bench.board.observe(TARGET).circuit_open


def test_a_failed_trial_doubles_the_pause(bench: Bench) -> None:
    fail(bench)
    bench.clock.advance(FIRST_PAUSE_S)
    bench.board.sent(TARGET)
    fail(bench, 1)
    assert bench.board.observe(TARGET).retry_after_s == 2 * FIRST_PAUSE_S


# Rests.


def test_a_target_rests_for_as_long_as_it_asked(bench: Bench) -> None:
    bench.board.rests(TARGET, 20)
    bench.clock.advance(5)
    seen = bench.board.observe(TARGET)
    assert (seen.resting, seen.retry_after_s) == (True, 15)
    assert not bench.board.observe(OTHER).resting
    bench.clock.advance(15)
    assert bench.board.observe(TARGET) == FRESH
    assert not bench.board.timed


def test_an_absurd_rest_is_cut_short(bench: Bench) -> None:
    bench.board.rests(TARGET, 86_400)
    assert bench.board.observe(TARGET).retry_after_s == LONGEST_REST_S


def test_a_refused_credential_rests_for_every_model_of_the_provider(bench: Bench) -> None:
    bench.board.credential_refused(TARGET)
    assert bench.board.observe(TARGET).credential_refused
    assert bench.board.observe(OTHER).credential_refused
    assert not bench.board.observe(ELSEWHERE).credential_refused
    bench.clock.advance(CREDENTIAL_RESTS_S)
    assert not bench.board.observe(OTHER).credential_refused


def test_the_longest_of_several_waits_counts(bench: Bench) -> None:
    bench.board.rests(TARGET, 10)
    bench.board.credential_refused(TARGET)
    fail(bench)
    assert bench.board.observe(TARGET).retry_after_s == CREDENTIAL_RESTS_S


# Suspicion and verification.


def test_a_suspect_is_verified_once_however_many_say_so(bench: Bench) -> None:
    for _ in range(500):
        bench.board.suspect(TARGET)
    assert bench.board.availability(TARGET) is Availability.SUSPECT
    assert bench.verifications == [(TARGET, False)]


@pytest.mark.parametrize("found", [Availability.GONE, Availability.NO_ACCESS], ids=str)
def test_what_is_verified_is_not_suspected_again(found: Availability, bench: Bench) -> None:
    bench.board.suspect(TARGET)
    bench.board.verified(key_of(TARGET), found)
    bench.board.suspect(TARGET)
    assert bench.board.availability(TARGET) is found
    assert len(bench.verifications) == 1


@pytest.mark.parametrize("found", [Availability.SUSPECT, Availability.GONE, Availability.NO_ACCESS], ids=str)
def test_a_straggler_that_answers_does_not_bring_a_target_back(found: Availability, bench: Bench) -> None:
    bench.board.suspect(TARGET)
    bench.board.verified(key_of(TARGET), found)
    bench.board.answered(TARGET)
    assert bench.board.availability(TARGET) is found


@pytest.mark.parametrize(
    ("after_s", "carefully"),
    [
        pytest.param(0.0, True, id="at once"),
        pytest.param(FLAPPING_S - 1, True, id="within a minute"),
        pytest.param(FLAPPING_S, False, id="a minute later it is a new story"),
    ],
)
def test_a_target_that_fails_again_soon_after_its_return_is_verified_carefully(
    after_s: float, carefully: bool, bench: Bench
) -> None:
    bench.board.suspect(TARGET)
    bench.board.verified(key_of(TARGET), Availability.AVAILABLE)
    assert bench.board.availability(TARGET) is Availability.AVAILABLE
    bench.clock.advance(after_s)
    bench.board.suspect(TARGET)
    assert bench.verifications == [(TARGET, False), (TARGET, carefully)]
