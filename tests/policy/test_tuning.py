"""Where a fine-tuning job goes: every state against whatever may be seen there."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.policy.tuning import (
    AT_PROVIDER,
    ENDED,
    LONGEST_PAUSE_S,
    Action,
    Seen,
    Trouble,
    TuningJob,
    TuningState,
    after,
    judge,
    next_action,
    pause_s,
    training_nanousd,
)

S, A = TuningState, Action
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NEW, LOOKED, ONE_OF_TWO, TWICE = Seen(), Seen(looks=1), Seen(looks=1, looks_needed=2), Seen(looks=2, looks_needed=2)
TRAINING, VALIDATION, JOB = {"training_file": "file-1"}, {"validation_file": "file-2"}, {"provider_job": "ftjob-1"}
BOTH = TRAINING | VALIDATION


def job(state: TuningState, *, validation: bool = True, **known: str) -> TuningJob:
    settings = {"dataset": "datasets/reply", "validation": validation}
    return TuningJob(
        "0197-a", "reply", "", "openai", "gpt-4.1-mini", "sft", "sha256:1", state, "anna", NOW, NOW, settings, **known
    )


STEPS = [
    ("what is planned is written as on its way before anything is sent", job(S.PLANNED), NEW, A.BEGIN_UPLOAD),
    ("a file is looked for before it is uploaded", job(S.UPLOADING), NEW, A.FIND_TRAINING_FILE),
    ("a file that is not there is uploaded", job(S.UPLOADING), LOOKED, A.UPLOAD_TRAINING_FILE),
    ("after a death it is looked for twice", job(S.UPLOADING), ONE_OF_TWO, A.FIND_TRAINING_FILE),
    ("and uploaded only then", job(S.UPLOADING), TWICE, A.UPLOAD_TRAINING_FILE),
    ("so is the second file", job(S.UPLOADING, **TRAINING), NEW, A.FIND_VALIDATION_FILE),
    ("which is uploaded once it is known to be absent", job(S.UPLOADING, **TRAINING), LOOKED, A.UPLOAD_VALIDATION_FILE),
    ("without a second file one is enough", job(S.UPLOADING, validation=False, **TRAINING), NEW, A.FILES_ARE_THERE),
    ("two files are enough", job(S.UPLOADING, **BOTH), NEW, A.FILES_ARE_THERE),
    ("the wish for a job is written before it is asked for", job(S.UPLOADED, **BOTH), NEW, A.BEGIN_SUBMIT),
    ("a job is looked for before it is made", job(S.SUBMITTING, **BOTH), NEW, A.FIND_JOB),
    ("after a death twice", job(S.SUBMITTING, **BOTH), ONE_OF_TWO, A.FIND_JOB),
    ("and made once it is known to be absent", job(S.SUBMITTING, **BOTH), LOOKED, A.CREATE_JOB),
    ("a job that validates is looked at", job(S.VALIDATING, **BOTH, **JOB), NEW, A.LOOK),
    ("one that waits, too", job(S.QUEUED, **BOTH, **JOB), NEW, A.LOOK),
    ("and one that runs", job(S.RUNNING, **BOTH, **JOB), LOOKED, A.LOOK),
    ("a wish to cancel is passed on", job(S.CANCELLING, **BOTH, **JOB), NEW, A.ASK_TO_CANCEL),
    ("and then waited for", job(S.CANCELLING, **BOTH, **JOB), Seen(asked_to_cancel=True), A.LOOK),
    ("without a file there is no job to cancel", job(S.CANCELLING), NEW, A.NOTHING_TO_CANCEL),
    ("with one there may be, so it is looked for", job(S.CANCELLING, **BOTH), NEW, A.FIND_JOB),
    ("after a death twice, too", job(S.CANCELLING, **BOTH), ONE_OF_TWO, A.FIND_JOB),
    ("a job that the provider never had is cancelled at once", job(S.CANCELLING, **BOTH), LOOKED, A.NOTHING_TO_CANCEL),
    *((f"nothing follows on {state.value}", job(state, **BOTH, **JOB), NEW, A.DONE) for state in sorted(ENDED)),
]


@pytest.mark.parametrize(("at", "seen", "action"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS])
def test_a_step_follows_from_what_is_written_and_what_was_looked_for(at: TuningJob, seen: Seen, action: Action) -> None:
    assert next_action(at, seen) is action


def test_every_state_has_a_next_step() -> None:
    assert {at.state for _, at, _, _ in STEPS} == set(TuningState)


@pytest.mark.parametrize("costly", [A.UPLOAD_TRAINING_FILE, A.UPLOAD_VALIDATION_FILE, A.CREATE_JOB])
def test_nothing_that_costs_is_done_without_a_look_for_what_was_done_already(costly: Action) -> None:
    files = ({}, TRAINING, BOTH)
    for state, known, made in itertools.product(TuningState, files, ({}, JOB)):
        for seen in (NEW, ONE_OF_TWO, Seen(looks=0, looks_needed=2), Seen(asked_to_cancel=True)):
            assert next_action(job(state, **known, **made), seen) is not costly


# What is seen, by state: for each state the row of what it becomes, in the order of WORDS.
WORDS = (None, S.VALIDATING, S.QUEUED, S.RUNNING, S.CANCELLING, S.SUCCEEDED, S.FAILED, S.CANCELLED)
SAME = WORDS[1:]
BECOMES = {
    S.PLANNED: (S.PLANNED, *SAME),
    S.UPLOADING: (S.UPLOADING, *SAME),
    S.UPLOADED: (S.UPLOADED, *SAME),
    S.SUBMITTING: (S.VALIDATING, *SAME),
    S.VALIDATING: (S.VALIDATING, *SAME),
    S.QUEUED: (S.QUEUED, *SAME),
    S.RUNNING: (S.RUNNING, *SAME),
    S.CANCELLING: (*(S.CANCELLING,) * 5, S.SUCCEEDED, S.FAILED, S.CANCELLED),
    S.SUCCEEDED: (S.SUCCEEDED,) * 8,
    S.FAILED: (S.FAILED,) * 8,
    S.CANCELLED: (S.CANCELLED,) * 8,
}


@pytest.mark.parametrize("state", list(TuningState))
@pytest.mark.parametrize(("place", "seen"), list(enumerate(WORDS)), ids=[str(word) for word in WORDS])
def test_what_a_look_makes_of_a_state(state: TuningState, place: int, seen: TuningState | None) -> None:
    assert after(state, seen) is BECOMES[state][place]


def test_a_wish_to_cancel_outlives_whatever_another_process_writes() -> None:
    for wanted in set(TuningState) - ENDED:
        assert after(S.CANCELLING, wanted) is S.CANCELLING


TROUBLES = [
    ("no answer at all", None, None, Trouble.PASSING),
    ("a timeout that the server tells", 408, None, Trouble.PASSING),
    ("a conflict with itself", 409, None, Trouble.PASSING),
    ("too many requests", 429, "rate_limit_exceeded", Trouble.PASSING),
    ("a fault of the server", 500, None, Trouble.PASSING),
    ("an overloaded server", 503, None, Trouble.PASSING),
    ("a success that nobody can read", 200, None, Trouble.PASSING),
    ("an exhausted quota, which waits for a person", 429, "insufficient_quota", Trouble.REFUSED),
    ("nothing there", 404, None, Trouble.GONE),
    ("nothing there any more", 410, None, Trouble.GONE),
    ("a request that is wrong", 400, "invalid_training_file", Trouble.REFUSED),
    ("a key that is wrong", 401, None, Trouble.REFUSED),
    ("a closed organisation", 403, "training_not_available", Trouble.REFUSED),
    ("a field that is wrong", 422, None, Trouble.REFUSED),
]


@pytest.mark.parametrize(("status", "code", "means"), [row[1:] for row in TROUBLES], ids=[row[0] for row in TROUBLES])
def test_what_a_refusal_means(status: int | None, code: str | None, means: Trouble) -> None:
    assert judge(status, code) is means


def test_pauses_grow_up_to_a_minute_and_no_further() -> None:
    pauses = [pause_s(looks) for looks in range(12)]
    assert pauses[:3] == [2.0, 3.0, 4.5]
    assert pauses == sorted(pauses)
    assert pause_s(10**9) == LONGEST_PAUSE_S
    assert pause_s(0, hurry=20.0) == 0.1


def test_files_are_named_after_the_job_alone() -> None:
    one, other = job(S.PLANNED), replace(job(S.PLANNED), job_id="0197-b")
    assert {one.file_name, one.validation_name} & {other.file_name, other.validation_name} == set()
    assert job(S.PLANNED, validation=False).validation_name is None


BILLS = [
    ("whole nano-dollars", 1_000_000, "5", "0", 5_000_000_000),
    ("half a nano-dollar goes to the even one", 1, "0.0005", "0", 0),
    ("and one and a half to two", 3, "0.0005", "0", 2),
    ("the vendor's least", 10, "5", "4", 4_000_000_000),
    ("nothing at all", 0, "5", "0", 0),
]


@pytest.mark.parametrize(("tokens", "price", "least", "nanousd"), [row[1:] for row in BILLS], ids=[r[0] for r in BILLS])
def test_a_bill_is_rounded_once(tokens: int, price: str, least: str, nanousd: int) -> None:
    assert training_nanousd(tokens, Decimal(price), Decimal(least)) == nanousd


def test_states_at_the_provider_are_no_ends() -> None:
    assert not AT_PROVIDER & ENDED
