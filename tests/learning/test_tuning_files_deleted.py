"""A training file deleted at its provider: what counts as gone, and what is told of one that is still there."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from job_server import KEY, Fault, JobServer, running_job_server

from gateway.clock import SystemClock, time_ordered_id
from gateway.config.routes import Provider
from gateway.errors import ConfigError
from gateway.learning.tuning.holdings import HeldFile, delete_at_provider
from gateway.learning.tuning.job_client import JobClient
from gateway.policy.tuning import TuningJob, TuningState
from gateway.providers.http_client import HttpClient
from gateway.providers.job_apis import JOB_APIS
from gateway.providers.openai_wire import Upstream
from gateway.store.database import Database
from gateway.store.tuning import TuningStore

pytestmark = pytest.mark.rig
CLOCK = SystemClock()


@pytest.fixture(params=sorted(JOB_APIS))
def server(request: pytest.FixtureRequest) -> Iterator[JobServer]:
    with running_job_server(request.param) as running:
        running.files["file-1"] = ("gateway-1-train.jsonl", b"")
        yield running


@pytest.fixture
async def client(server: JobServer) -> AsyncIterator[JobClient]:
    own = Provider(name="own", kind=server.api.kind, base_url=server.base_url, api_key_env="TUNING_KEY")
    http = HttpClient()
    yield JobClient(Upstream(own, http, {"TUNING_KEY": KEY}, CLOCK), server.api, CLOCK)
    http.close()


async def held(database: Database, **fields: Any) -> HeldFile:
    """A job of which ``file-1`` was the training file."""
    now = CLOCK.now()
    job = TuningJob(
        *(time_ordered_id(now), "reply", "", "own", "base", "sft", "sha256:1", TuningState.SUCCEEDED, "anna"),
        created_at=now,
        changed_at=now,
        **{"training_file": "file-1", "provider_job": "job-1", **fields},
    )
    await TuningStore(database).add(job)
    return HeldFile(job, job.file_name, job.training_file, 1)


async def is_forgotten(database: Database, file: HeldFile) -> bool:
    job = await TuningStore(database).find(file.job.job_id)
    return job is not None and job.settings.get("deleted_files") == [file.name]


async def test_it_is_deleted_once_by_every_api(database: Database, server: JobServer, client: JobClient) -> None:
    file = await held(database)
    assert await delete_at_provider(file, client, database, CLOCK)
    assert (server.files, await is_forgotten(database, file)) == ({}, True)
    assert server.asked == [f"DELETE /v1{server.api.files_path}/file-1"]
    server.jobs["job-1"] = {"training": "file-1", "statuses": ["succeeded"]}
    assert not await delete_at_provider(file, client, database, CLOCK), "a second time it was not there, and no error"


@pytest.mark.parametrize("server", ["openai"], indirect=True)
@pytest.mark.parametrize(
    ("fault", "job", "says"),
    [
        pytest.param(Fault(204, done=True, body=b""), "job-1", None, id="an answer without a body"),
        pytest.param(Fault(200, body={"id": "file-1", "deleted": False}), "job-1", "not deleted", id="not deleted"),
        pytest.param(Fault(404), "job-1", "another account's key?", id="neither file nor job is known"),
        pytest.param(Fault(404), None, "whose account this is", id="not there, and no job was ever made"),
        pytest.param(Fault(403, body={"error": {"message": f"{KEY} may not"}}), "job-1", "may not", id="refused"),
        pytest.param(Fault(500), "job-1", "answered 500: it failed", id="trouble"),
        pytest.param(Fault(0, done=True), "job-1", "127.0.0.1", id="no answer, whatever was done"),
    ],
)
async def test_it_is_forgotten_only_where_it_is_gone(
    fault: Fault, job: str | None, says: str | None, database: Database, server: JobServer, client: JobClient
) -> None:
    server.faults["DELETE *"] = [fault]
    file = await held(database, provider_job=job)
    if says is None:
        await delete_at_provider(file, client, database, CLOCK)
    else:
        with pytest.raises(ConfigError) as refused:
            await delete_at_provider(file, client, database, CLOCK)
        assert says in str(refused.value)
        assert KEY not in str(refused.value)
    assert await is_forgotten(database, file) is (says is None)
