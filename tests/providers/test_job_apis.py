"""The table of job APIs: what is asked of each, and what its answers mean."""

from typing import Any

import pytest

from gateway.config.vendors import VENDORS
from gateway.policy.tuning import ENDED, TuningState
from gateway.providers.job_apis import JOB_APIS, SeenJob, Wanted, read_job, request_of

S = TuningState
WANTED = Wanted(base="base-1", method="sft", training_file="file-1", validation_file="file-2", epochs=3, suffix="reply")
BARE = Wanted(base="base-1", method="sft", training_file="file-1")
PAIRS = Wanted(base="base-1", method="dpo", training_file="file-1", epochs=2)
SUPERVISED = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}
LORA = {"type": "Lora"}

REQUESTS: list[tuple[str, str, Wanted, dict[str, Any]]] = [
    (
        "OpenAI is told epochs within the method",
        "openai",
        WANTED,
        {
            "model": "base-1",
            "training_file": "file-1",
            "validation_file": "file-2",
            "suffix": "reply",
            "method": SUPERVISED,
        },
    ),
    (
        "nothing is said of what nobody named",
        "openai",
        BARE,
        {"model": "base-1", "training_file": "file-1", "method": {"type": "supervised", "supervised": {}}},
    ),
    (
        "preferences are another method",
        "azure",
        PAIRS,
        {
            "model": "base-1",
            "training_file": "file-1",
            "method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 2}}},
        },
    ),
    (
        "Mistral takes lists of files, and is told to begin",
        "mistral",
        WANTED,
        {
            "model": "base-1",
            "training_files": [{"file_id": "file-1", "weight": 1}],
            "validation_files": ["file-2"],
            "suffix": "reply",
            "auto_start": True,
            "hyperparameters": {"epochs": 3},
        },
    ),
    (
        "Together takes epochs at the top, and trains adapters",
        "together",
        WANTED,
        {
            "model": "base-1",
            "training_file": "file-1",
            "validation_file": "file-2",
            "suffix": "reply",
            "n_epochs": 3,
            "training_method": {"method": "sft"},
            "training_type": LORA,
        },
    ),
    (
        "and preferences by a method of its own",
        "together",
        PAIRS,
        {
            "model": "base-1",
            "training_file": "file-1",
            "n_epochs": 2,
            "training_method": {"method": "dpo"},
            "training_type": LORA,
        },
    ),
]


@pytest.mark.parametrize(("kind", "wanted", "body"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS])
def test_what_a_job_is_asked_for_with(kind: str, wanted: Wanted, body: dict[str, Any]) -> None:
    assert request_of(JOB_APIS[kind], wanted) == body


def test_our_own_id_goes_along_where_there_is_a_place_for_it() -> None:
    wanted = Wanted(base="b", method="sft", training_file="f", metadata={"gateway_job": "0197"})
    assert request_of(JOB_APIS["openai"], wanted)["metadata"] == {"gateway_job": "0197"}
    assert "metadata" not in request_of(JOB_APIS["together"], wanted)


ANSWERS: list[tuple[str, str, dict[str, Any], SeenJob | None]] = [
    (
        "a job that runs",
        "openai",
        {"id": "ftjob-1", "status": "running", "training_file": "file-1", "estimated_finish": 1769558400},
        SeenJob("ftjob-1", "running", S.RUNNING, training_file="file-1", estimated_finish=1769558400),
    ),
    (
        "a job that succeeded",
        "openai",
        {"id": "ftjob-1", "status": "succeeded", "fine_tuned_model": "ft:x", "trained_tokens": 9, "error": {}},
        SeenJob("ftjob-1", "succeeded", S.SUCCEEDED, model="ft:x", trained_tokens=9),
    ),
    (
        "a job that failed says why",
        "openai",
        {"id": "ftjob-1", "status": "failed", "error": {"code": "x", "message": "row 3 is none"}},
        SeenJob("ftjob-1", "failed", S.FAILED, error="row 3 is none"),
    ),
    (
        "a word that nobody knows means nothing",
        "openai",
        {"id": "ftjob-1", "status": "pondering"},
        SeenJob("ftjob-1", "pondering", None),
    ),
    (
        "Azure's older words",
        "azure",
        {"id": "ftjob-1", "status": "notRunning"},
        SeenJob("ftjob-1", "notRunning", S.QUEUED),
    ),
    (
        "Mistral's capitals and lists",
        "mistral",
        {"id": "j", "status": "SUCCESS", "training_files": ["file-1"], "fine_tuned_model": "ft:m", "trained_tokens": 5},
        SeenJob("j", "SUCCESS", S.SUCCEEDED, model="ft:m", training_file="file-1", trained_tokens=5),
    ),
    (
        "lists of objects are read as well",
        "mistral",
        {"id": "j", "status": "QUEUED", "training_files": [{"file_id": "file-1"}]},
        SeenJob("j", "QUEUED", S.QUEUED, training_file="file-1"),
    ),
    (
        "Together names model, tokens and price otherwise",
        "together",
        {"id": "ft-1", "status": "completed", "model_output_name": "a/b:c", "token_count": 7, "total_price": 8_000_000},
        SeenJob("ft-1", "completed", S.SUCCEEDED, model="a/b:c", trained_tokens=7, billed_nanousd=8_000_000),
    ),
    (
        "and says in its events what went wrong",
        "together",
        {
            "id": "ft-1",
            "status": "user_error",
            "events": [{"level": "info", "message": "began"}, {"level": "Error", "message": "bad rows"}],
        },
        SeenJob("ft-1", "user_error", S.FAILED, error="bad rows"),
    ),
    ("something without an id is no job", "openai", {"status": "running"}, None),
    ("something without a status is none either", "openai", {"id": "ftjob-1"}, None),
    ("an id that no database keeps is none", "openai", {"id": "ftjob-\0", "status": "running"}, None),
    (
        "a name with a control sequence is none",
        "openai",
        {"id": "ftjob-1", "status": "succeeded", "fine_tuned_model": "ft:\x1b]0;owned\x07"},
        SeenJob("ftjob-1", "succeeded", S.SUCCEEDED),
    ),
    (
        "counts that are none are not taken",
        "openai",
        {"id": "ftjob-1", "status": "succeeded", "trained_tokens": True, "fine_tuned_model": 7, "training_file": []},
        SeenJob("ftjob-1", "succeeded", S.SUCCEEDED),
    ),
]


@pytest.mark.parametrize(("kind", "row", "seen"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_what_an_answer_means(kind: str, row: dict[str, Any], seen: SeenJob | None) -> None:
    assert read_job(JOB_APIS[kind], row) == seen


@pytest.mark.parametrize("kind", list(JOB_APIS))
def test_every_row_is_whole(kind: str) -> None:
    api = JOB_APIS[kind]
    assert kind in VENDORS
    assert set(api.words.values()) >= {S.QUEUED, S.RUNNING, *ENDED}, "a job that cannot end is waited for for ever"
    assert all(word == word.lower() for word in api.words), "words are compared in lower case"
    assert api.source.startswith("https://") or api.source == "gateway/sandbox"
    assert not api.deployment_is_named or api.deploys is not None
