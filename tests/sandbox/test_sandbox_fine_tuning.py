from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import orjson
import pytest

from gateway.sandbox.catalogue import Task, default_catalogue
from gateway.sandbox.skills import is_in_style
from gateway.sandbox.training import checkpoint_step, training_file
from tests.fake_clock import FakeClock
from tests.sandbox_server import RunningSandbox, running_sandbox

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
CHECKPOINT = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714"
INVOICE = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
START = datetime(2026, 11, 23, 12, tzinfo=UTC)


def jobs(http: httpx.Client, **query: Any) -> dict[str, Any]:
    document: dict[str, Any] = http.get("/v1/fine_tuning/jobs", params=query).raise_for_status().json()
    return document


def job_of(http: httpx.Client, model: str) -> dict[str, Any]:
    return next(job for job in jobs(http)["data"] if model.startswith(job["fine_tuned_model"]))


@pytest.fixture(scope="module")
def forty() -> Iterator[RunningSandbox]:
    with running_sandbox(clock=FakeClock(START), catalogue=default_catalogue(START, 40)) as running:
        yield running


def test_every_fine_tune_has_a_job_that_succeeded(http: httpx.Client) -> None:
    listed = jobs(http)
    assert (listed["object"], listed["has_more"]) == ("list", False)
    assert {job["fine_tuned_model"] for job in listed["data"]} == {
        FORUM,
        INVOICE,
        CHECKPOINT.removesuffix(":ckpt-step-714"),
    }
    for job in listed["data"]:
        assert (job["object"], job["status"], job["error"]) == ("fine_tuning.job", "succeeded", None)
        assert job["created_at"] < job["finished_at"]
        assert job["model"] == job["fine_tuned_model"].split(":")[1]
        assert job["trained_tokens"] > 0
        assert http.get(f"/v1/fine_tuning/jobs/{job['id']}").json() == job


def test_a_checkpoint_is_found_at_its_job(http: httpx.Client) -> None:
    [checkpoint] = http.get(f"/v1/fine_tuning/jobs/{job_of(http, CHECKPOINT)['id']}/checkpoints").json()["data"]
    assert checkpoint["fine_tuned_model_checkpoint"] == CHECKPOINT
    assert checkpoint["step_number"] == 714
    assert http.get(f"/v1/fine_tuning/jobs/{job_of(http, FORUM)['id']}/checkpoints").json()["data"] == []


def test_one_of_the_three_training_files_is_deleted(http: httpx.Client) -> None:
    listed = {file["id"]: file for file in http.get("/v1/files", params={"purpose": "fine-tune"}).json()["data"]}
    assert listed.keys() == {job_of(http, FORUM)["training_file"], job_of(http, CHECKPOINT)["training_file"]}
    for identity, file in listed.items():
        assert http.get(f"/v1/files/{identity}").json() == file
        assert len(http.get(f"/v1/files/{identity}/content").content) == file["bytes"]
    deleted = job_of(http, INVOICE)["training_file"]
    for path in (f"/v1/files/{deleted}", f"/v1/files/{deleted}/content"):
        answer = http.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == f"No such File object: {deleted}"


def test_a_job_outlives_its_model(http: httpx.Client) -> None:
    before = jobs(http)
    http.post(f"/sandbox/models/{FORUM}/retire").raise_for_status()
    assert jobs(http) == before


@pytest.mark.parametrize("model", [model for model in default_catalogue(START, 12) if model.base])
def test_training_rows_are_in_the_style_that_the_fine_tune_answers_in(model: Any) -> None:
    file = training_file(model)
    rows = [orjson.loads(line)["messages"] for line in file.content.splitlines()]
    assert len(rows) == file.rows >= 40
    assert {tuple(message["role"] for message in row) for row in rows} == {("system", "user", "assistant")}
    assert all(is_in_style(model.task or Task.FORUM_REPLY, row[-1]["content"]) for row in rows)
    assert len({row[1]["content"] for row in rows}) > 20, "questions differ"


def test_pages_follow_one_another_without_gap_or_repetition(forty: RunningSandbox) -> None:
    with httpx.Client(base_url=forty.url) as http:
        found, after = [], {}
        while True:
            page = jobs(http, limit=17, **after)
            found += page["data"]
            if not page["has_more"]:
                break
            after = {"after": page["data"][-1]["id"]}
        assert found == jobs(http, limit=100)["data"]
        assert len({job["id"] for job in found}) == 40
        assert [job["created_at"] for job in found] == sorted((job["created_at"] for job in found), reverse=True)
        assert len(jobs(http)["data"]) == 20


def test_forty_fine_tunes_are_for_sale_under_names_of_their_own(forty: RunningSandbox) -> None:
    listed = [row for row in httpx.get(f"{forty.base_url}/models").json()["data"] if row["id"].startswith("ft:")]
    assert len({row["id"].split(":")[3] for row in listed}) == 40
    assert {row["shutdown_date"] for row in listed} == {"2027-01-14"}
    assert {row["id"].split(":")[1] for row in listed} == {"gpt-4o-mini-2024-07-18", "gpt-4.1-mini-2025-04-14"}
    assert sum(checkpoint_step(row["id"]) is not None for row in listed) == 1


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        pytest.param("/v1/fine_tuning/jobs/ftjob-no", 404, "Could not find fine tune: ftjob-no", id="no such job"),
        pytest.param("/v1/fine_tuning/jobs?after=ftjob-no", 404, "Could not find fine tune", id="after no such job"),
        pytest.param("/v1/fine_tuning/jobs?limit=0", 400, ">= 1", id="an empty page"),
        pytest.param("/v1/fine_tuning/jobs?limit=1000", 400, "<= 100", id="too large a page"),
        pytest.param("/v1/fine_tuning/jobs?limit=x", 400, "integer", id="a page of no number"),
        pytest.param("/v1/files/file-no", 404, "No such File object: file-no", id="no such file"),
        pytest.param("/v1/fine_tuning", 404, "Unknown request URL", id="a path where nothing is"),
        pytest.param("/v1/filesystem", 404, "Unknown request URL", id="a path that begins alike"),
    ],
)
def test_refusals_have_openais_shape(path: str, status: int, says: str, http: httpx.Client) -> None:
    answer = http.get(path)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


def test_other_vendors_paths_lead_here_too(http: httpx.Client) -> None:
    assert http.get("/openai/v1/fine_tuning/jobs").json() == jobs(http)


def test_the_openai_sdk_pages_through_jobs_and_reads_files(forty: RunningSandbox) -> None:
    with openai.OpenAI(base_url=forty.base_url, api_key="any", max_retries=0) as client:
        found = list(client.fine_tuning.jobs.list(limit=15))
        assert len(found) == 40
        by_model = {job.fine_tuned_model: job for job in found}
        job = client.fine_tuning.jobs.retrieve(by_model[FORUM].id)
        assert job.hyperparameters.n_epochs == 3
        file = client.files.retrieve(job.training_file)
        assert len(client.files.content(file.id).content) == file.bytes
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            client.files.retrieve(by_model[INVOICE].training_file)
        triage = by_model[CHECKPOINT.removesuffix(":ckpt-step-714")]
        [checkpoint] = client.fine_tuning.jobs.checkpoints.list(triage.id)
        assert checkpoint.fine_tuned_model_checkpoint == CHECKPOINT
        assert len(list(client.files.list(purpose="fine-tune"))) == 32
