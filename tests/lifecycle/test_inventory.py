import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from scripted_api import Answer, ScriptedApi, a_job, a_model, failure, listing, scripted_api

from gateway.clock import SystemClock
from gateway.config.routes import Provider
from gateway.errors import ConfigError
from gateway.lifecycle.fine_tuning_jobs import FileState
from gateway.lifecycle.inventory import Inventory, read_inventory
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.sandbox.catalogue import default_catalogue
from tests.fake_clock import FakeClock
from tests.sandbox_server import running_sandbox

TODAY = date(2026, 11, 23)
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
BASE = "gpt-4o-mini-2024-07-18"
FORUM = f"ft:{BASE}:acme:forum-reply:A1b2C3d4"
MODELS = {"/models": (200, listing(a_model(FORUM), a_model(BASE)))}


def read(base_url: str, kind: str = "openai") -> Inventory:
    """Read an account, in a loop of its own."""

    async def reading() -> Inventory:
        client = HttpClient()
        try:
            key = "A_KEY" if kind != "sandbox" else None
            provider = Provider(name=kind, kind=kind, base_url=base_url, api_key_env=key)
            upstream = Upstream(provider, client, {"A_KEY": "sk-secret"}, SystemClock())
            return await read_inventory(upstream, TODAY, lambda what, done, total: None)
        finally:
            client.close()

    return asyncio.run(reading())


def of(answers: Mapping[str, Answer], kind: str = "openai") -> tuple[Inventory, ScriptedApi]:
    with scripted_api(answers) as api:
        return read(api.base_url, kind), api


def test_forty_fine_tunes_each_with_its_job_and_the_state_of_its_file() -> None:
    with running_sandbox(clock=FakeClock(START), catalogue=default_catalogue(START, 40)) as sandbox:
        sandbox.sandbox.provider.retire("ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7")
        inventory = read(sandbox.base_url, "sandbox")
    assert len(inventory.fine_tunes) == 39
    assert [job.suffix for job in inventory.gone] == ["inv"]
    by_model = {tune.model: tune for tune in inventory.fine_tunes}
    forum = by_model[FORUM]
    assert (forum.base, forum.trained, forum.checkpoints) == (BASE, date(2026, 1, 27), ())
    assert forum.job is not None
    assert forum.job.file is not None
    assert forum.job.file.state is FileState.EXISTS
    assert forum.job.file.size_bytes
    states = [tune.job.file.state for tune in inventory.fine_tunes if tune.job and tune.job.file]
    assert (states.count(FileState.EXISTS), states.count(FileState.DELETED)) == (32, 7)
    assert inventory.models[FORUM].dates.shutdown == date(2027, 1, 14)
    assert inventory.notes == ()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param((403, failure("training_not_available")), "closed to fine-tuning", id="a closed organisation"),
        pytest.param(
            (403, failure("insufficient_permissions")), "The key in A_KEY may not read", id="a restricted key"
        ),
        pytest.param((401, failure("no")), "The key in A_KEY may not read", id="a key for models alone"),
        pytest.param((404, failure("unknown_url")), "no API for fine-tuning jobs", id="no such API"),
        pytest.param((503, b"<html>busy</html>"), "answered 503", id="an outage"),
        pytest.param((200, b"<html>"), "no JSON", id="a page instead of JSON"),
        pytest.param((200, {"jobs": []}), "no list", id="another shape"),
        pytest.param((200, [1]), "no list", id="a bare list"),
    ],
)
def test_without_jobs_the_list_of_models_is_enough(answer: Answer, says: str) -> None:
    inventory, _ = of({**MODELS, "/fine_tuning/jobs": answer})
    assert [(tune.model, tune.base, tune.job) for tune in inventory.fine_tunes] == [(FORUM, BASE, None)]
    assert inventory.fine_tunes[0].trained == date(2026, 1, 28), "the list knows the day of creation"
    [note] = inventory.notes
    assert says in note


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param((401, failure("invalid_api_key")), "the key in A_KEY is not accepted", id="a wrong key"),
        pytest.param((403, failure("x")), "the key in A_KEY may not list models", id="a restricted key"),
        pytest.param((404, b"nothing"), "is this the right --base-url?", id="a wrong path"),
        pytest.param((500, b""), "try again later", id="an outage"),
        pytest.param((200, b"<html>"), "no JSON", id="a page instead of JSON"),
        pytest.param((200, {"data": "no"}), "no list of models", id="another shape"),
    ],
)
def test_without_a_list_of_models_there_is_nothing_to_draft(answer: Answer, says: str) -> None:
    with scripted_api({"/models": answer}) as api, pytest.raises(ConfigError) as raised:
        read(api.base_url)
    assert says in raised.value.message
    assert "sk-secret" not in raised.value.message


def test_nobody_there() -> None:
    with pytest.raises(ConfigError, match="cannot connect"):
        read("http://127.0.0.1:9/v1")


def test_rows_that_cannot_be_read_cost_themselves_only() -> None:
    odd: list[Any] = [None, 7, {}, {"id": 5}, {"id": "x\n# injected"}, {"id": FORUM, "created": "yesterday"}]
    jobs = [
        a_job(1, FORUM, finished_at=True, trained_tokens="many", hyperparameters="auto", training_file=None),
        a_job(2, FORUM, status=["succeeded"]),
        {"status": "succeeded"},
        a_job(3, FORUM, fine_tuned_model=None),
        "job",
        a_job(4, FORUM, status="failed", fine_tuned_model=None),
        a_job(5, FORUM, status="running", fine_tuned_model=None),
    ]
    inventory, _ = of({"/models": (200, listing(*odd)), "/fine_tuning/jobs": (200, listing(*jobs))})
    [tune] = inventory.fine_tunes
    assert tune.job is not None
    assert (tune.job.id, tune.job.trained_tokens, tune.job.epochs, tune.job.file) == ("ftjob-1", None, None, None)
    assert tune.trained == date(2026, 1, 27), "the day of the job's start, where its end is not told"
    assert inventory.unfinished == 1
    assert any("2 fine-tuning jobs could not be read" in note for note in inventory.notes)
    assert any("list of models" in note for note in inventory.notes)


def test_a_server_that_always_answers_its_first_page_is_asked_twice() -> None:
    inventory, api = of({**MODELS, "/fine_tuning/jobs": (200, listing(a_job(1, FORUM), has_more=True))})
    assert [path for path in api.asked if path.startswith("/fine_tuning")] == [
        "/fine_tuning/jobs?limit=100",
        "/fine_tuning/jobs?limit=100&after=ftjob-1",
    ]
    assert len(inventory.fine_tunes) == 1


def test_jobs_that_break_off_halfway_are_said_to_be_incomplete() -> None:
    answers = {
        **MODELS,
        "/fine_tuning/jobs?limit=100": (200, listing(a_job(1, FORUM), has_more=True)),
        "/fine_tuning/jobs?limit=100&after=ftjob-1": (500, b""),
    }
    inventory, _ = of(answers)
    assert inventory.fine_tunes[0].job is not None
    assert any("Only 1 fine-tuning jobs could be read" in note for note in inventory.notes)


@pytest.mark.parametrize(
    ("files", "by_id", "state"),
    [
        pytest.param((200, listing({"id": "file-1", "bytes": 9})), (404, b""), FileState.EXISTS, id="listed"),
        pytest.param(
            (200, listing()), (200, {"id": "file-1", "bytes": 9}), FileState.EXISTS, id="found by its id only"
        ),
        pytest.param((200, listing()), (404, failure("x")), FileState.DELETED, id="neither listed nor found"),
        pytest.param((200, listing()), (500, b""), FileState.UNKNOWN, id="an outage"),
        pytest.param((200, b"{"), (404, failure("x")), FileState.DELETED, id="a list that cannot be read"),
        pytest.param((403, failure("x")), (404, failure("x")), FileState.UNKNOWN, id="a key that may not look"),
    ],
)
def test_whether_a_training_file_exists(files: Answer, by_id: Answer, state: FileState) -> None:
    answers = {**MODELS, "/fine_tuning/jobs": (200, listing(a_job(1, FORUM))), "/files": files, "/files/file-1": by_id}
    inventory, _ = of(answers)
    job = inventory.fine_tunes[0].job
    assert job is not None
    assert job.file is not None
    assert job.file.state is state


def test_one_training_is_one_fine_tune_however_many_checkpoints_live() -> None:
    other = f"ft:{BASE}:acme:other:B2c3D4e5"
    first, last = f"{other}:ckpt-step-90", f"ft:{BASE}:acme:other:ZZZZ9999:ckpt-step-180"
    answers = {
        "/models": (
            200,
            listing(*map(a_model, (f"{FORUM}:ckpt-step-20", FORUM, first, last, f"ft:{BASE}:acme::C3:ckpt-step-7"))),
        ),
        "/fine_tuning/jobs": (200, listing(a_job(1, FORUM), a_job(2, other))),
        "/fine_tuning/jobs/ftjob-2/checkpoints": (200, listing({"fine_tuned_model_checkpoint": last}, 3)),
    }
    inventory, _ = of(answers)
    found = {tune.model: tune.checkpoints for tune in inventory.fine_tunes}
    assert found == {FORUM: (f"{FORUM}:ckpt-step-20",), last: (first,), f"ft:{BASE}:acme::C3:ckpt-step-7": ()}
    assert inventory.gone == (), "a training whose checkpoint lives is not gone"


def test_vllm_tells_its_adapters_by_their_parent_and_is_asked_for_nothing_else() -> None:
    rows = (a_model("tiny-base", parent=None), a_model("grader", parent="tiny-base", root="/models/grader"))
    inventory, api = of({"/models": (200, listing(*rows))}, "vllm")
    assert [(tune.model, tune.base, tune.trained) for tune in inventory.fine_tunes] == [("grader", "tiny-base", None)]
    assert api.asked == ["/models"]


def test_azures_jobs_are_its_fine_tunes_whatever_the_list_of_models_holds() -> None:
    trained = f"{BASE}.ft-0123abcd-forum-reply"
    answers = {
        "/openai/models": (200, listing(a_model(BASE, lifecycle_status="deprecating"))),
        "/fine_tuning/jobs": (200, listing(a_job(1, trained))),
    }
    inventory, api = of(answers, "azure")
    assert [(tune.model, tune.base) for tune in inventory.fine_tunes] == [(trained, BASE)]
    assert inventory.gone == ()
    assert api.keys == {"sk-secret"}, "in the header that Azure wants"
