from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from gateway.config.routes import Target
from gateway.execution.target_board import (
    CREDENTIAL_RESTS_S,
    KEY_WORKS_S,
    LONGEST_REST_S,
    REFUSALS_TO_BELIEVE,
    TargetBoard,
    key_of,
)
from gateway.policy.availability import RETURN_HOLDS, TargetState
from gateway.policy.breaker import FAILURES_TO_OPEN, FIRST_PAUSE_S
from gateway.policy.planner import FRESH, Command
from gateway.reasons import Availability
from tests.example_routes import a_fallback, a_primary, a_provider
from tests.fake_clock import FakeClock

RETURN_HOLDS_S = RETURN_HOLDS.total_seconds()
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
    bench.board.answered(TARGET, "/chat/completions")
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

    def answered(target: Target) -> None:
        board.answered(target, "chat_completions")

    for change in (answered, board.failed, answered, board.suspect, board.credential_refused):
        # A key that has just worked is not doubted at once.
        bench.clock.advance(KEY_WORKS_S)
        change(TARGET)
        versions.append(board.version)
    assert versions == sorted(set(versions))
    board.answered(OTHER, "chat_completions")
    before = board.version
    board.answered(OTHER, "chat_completions")
    board.sent(OTHER)
    board.suspect(TARGET)
    assert board.version == before


@pytest.mark.parametrize(
    ("answered", "later_s", "asked", "only_elsewhere"),
    [
        pytest.param((), 0.0, "embeddings", False, id="nothing is known of it"),
        pytest.param(("chat_completions",), 0.0, "embeddings", True, id="it talks, and was never seen to make vectors"),
        pytest.param(("chat_completions",), 0.0, "chat_completions", False, id="it failed where it answers"),
        pytest.param(("chat_completions", "embeddings"), 0.0, "embeddings", False, id="it did both"),
        pytest.param(("chat_completions",), 3601.0, "embeddings", False, id="its last answer is long ago"),
    ],
)
def test_a_failure_where_a_model_never_answered_says_little(
    bench: Bench, answered: tuple[str, ...], later_s: float, asked: str, only_elsewhere: bool
) -> None:
    for endpoint in answered:
        bench.board.answered(TARGET, endpoint)
    bench.clock.advance(later_s)
    assert bench.board.answers_only_elsewhere(TARGET, asked) is only_elsewhere


def test_a_key_that_has_just_worked_is_doubted_only_after_more_than_one_refusal(bench: Bench) -> None:
    bench.board.answered(OTHER, "/chat/completions")
    for refusal in range(1, REFUSALS_TO_BELIEVE + 1):
        bench.board.credential_refused(TARGET)
        assert bench.board.observe(TARGET).credential_refused is (refusal == REFUSALS_TO_BELIEVE)


def test_an_answer_in_between_makes_refusals_those_of_their_requests(bench: Bench) -> None:
    for _ in range(2 * REFUSALS_TO_BELIEVE):
        bench.board.answered(OTHER, "/chat/completions")
        bench.board.credential_refused(TARGET)
    assert not bench.board.observe(TARGET).credential_refused


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
    bench.board.answered(TARGET, "/chat/completions")
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
    if found is not Availability.SUSPECT:
        bench.board.verified(key_of(TARGET), found)
    bench.board.answered(TARGET, "/chat/completions")
    assert bench.board.availability(TARGET) is found


@pytest.mark.parametrize(
    ("after_s", "carefully"),
    [
        pytest.param(0.0, True, id="at once"),
        pytest.param(RETURN_HOLDS_S - 1, True, id="within a minute"),
        pytest.param(RETURN_HOLDS_S, False, id="a minute later it is a new story"),
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


def test_a_target_that_has_just_returned_cannot_be_declared_gone_for_a_minute_but_is_not_called(bench: Bench) -> None:
    bench.board.verified(key_of(TARGET), Availability.GONE)
    bench.board.verified(key_of(TARGET), Availability.AVAILABLE)
    bench.clock.advance(RETURN_HOLDS_S - 1)
    assert not bench.board.verified(key_of(TARGET), Availability.GONE)
    assert bench.board.availability(TARGET) is Availability.SUSPECT
    bench.clock.advance(1)
    assert bench.board.verified(key_of(TARGET), Availability.GONE)
    assert bench.board.availability(TARGET) is Availability.GONE


# What the replicas agree on.


def state(availability: Availability, version: int, bench: Bench) -> dict[tuple[str, str], TargetState]:
    return {key_of(TARGET): TargetState(availability, version, bench.clock.now())}


def test_what_others_found_is_followed_and_named_once(bench: Bench) -> None:
    gone = state(Availability.GONE, 1, bench)
    assert bench.board.agree(gone, {}) == [key_of(TARGET)]
    assert bench.board.availability(TARGET) is Availability.GONE
    assert bench.board.agreed_version(key_of(TARGET)) == 1
    before = bench.board.version
    assert bench.board.agree(gone, {}) == []
    assert bench.board.version == before


def test_the_return_that_another_replica_saw_counts_here(bench: Bench) -> None:
    bench.board.agree(state(Availability.GONE, 1, bench), {})
    bench.board.agree(state(Availability.AVAILABLE, 2, bench), {})
    assert bench.board.availability(TARGET) is Availability.AVAILABLE
    bench.board.suspect(TARGET)
    assert bench.verifications == [(TARGET, True)], "it has just returned, so it is verified carefully"


def test_an_agreement_does_not_clear_a_newer_suspicion(bench: Bench) -> None:
    bench.board.suspect(TARGET)
    bench.board.agree(state(Availability.AVAILABLE, 2, bench), {})
    assert bench.board.availability(TARGET) is Availability.SUSPECT


def test_an_older_version_that_was_read_again_does_not_undo_what_was_found_since(bench: Bench) -> None:
    available = state(Availability.AVAILABLE, 2, bench)
    bench.board.agree(available, {})
    bench.clock.advance(RETURN_HOLDS_S)
    bench.board.verified(key_of(TARGET), Availability.GONE)
    bench.board.agree(available, {})
    assert bench.board.availability(TARGET) is Availability.GONE


def test_a_command_holds_until_it_expires_and_plans_are_made_anew_then(bench: Bench) -> None:
    command = Command("luna", "a trial", "kim", bench.clock.now(), bench.clock.now() + timedelta(hours=1))
    bench.board.agree({}, {"forum-reply": command})
    assert bench.board.command("forum-reply") == command
    assert bench.board.command("another") is None
    version = bench.board.version
    bench.clock.advance(3600)
    bench.board.agree({}, {"forum-reply": command})
    assert bench.board.command("forum-reply") is None
    assert bench.board.version > version


def test_failures_that_open_no_circuit_do_not_pass_with_time(bench: Bench) -> None:
    bench.board.failed(TARGET)
    assert not bench.board.timed, "a plan may be kept"
    for _ in range(FAILURES_TO_OPEN - 1):
        bench.board.failed(TARGET)
    assert bench.board.timed
    bench.board.verified(key_of(TARGET), Availability.GONE)
    assert not bench.board.timed, "nobody calls what is gone, so nobody would close its circuit"


def test_what_passes_of_targets_that_left_the_configuration_is_forgotten(bench: Bench) -> None:
    for _ in range(FAILURES_TO_OPEN):
        bench.board.failed(TARGET)
    bench.board.rests(OTHER, 10)
    bench.board.forget_others({key_of(OTHER)})
    assert bench.board.timed
    bench.clock.advance(11)
    bench.board.forget_others({key_of(OTHER)})
    assert not bench.board.timed


def test_a_command_expires_by_itself_while_the_database_is_away(bench: Bench) -> None:
    command = Command("luna", "a trial", "kim", bench.clock.now(), bench.clock.now() + timedelta(hours=1))
    bench.board.agree({}, {"forum-reply": command})
    bench.clock.advance(3600)
    assert bench.board.command("forum-reply") is None


def test_a_state_that_was_deleted_is_followed_anew_when_it_comes_back(bench: Bench) -> None:
    gone = state(Availability.GONE, 1, bench)
    bench.board.agree(gone, {})
    bench.board.agree({}, {})
    assert bench.board.agreed_version(key_of(TARGET)) == 0
