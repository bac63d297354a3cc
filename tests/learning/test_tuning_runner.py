"""A job driven against an API that goes wrong: whatever happens, the provider gets one upload, and one job."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from job_server import KEY, Fault, JobServer, running_job_server

from gateway.clock import SystemClock, time_ordered_id
from gateway.config.routes import Provider
from gateway.errors import ConfigError
from gateway.learning.tuning.job_client import JobClient
from gateway.learning.tuning.runner import Progress, TuningRun
from gateway.policy.tuning import AT_PROVIDER, TuningJob, TuningState
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.store.database import Database
from gateway.store.tuning import TuningStore

S = TuningState
TRAINING, VALIDATION = b'{"messages": []}\n', b'{"messages": [1]}\n'


class HurriedClock:
    """Time passes only in sleep, and at once."""

    def __init__(self) -> None:
        self._start, self.slept = SystemClock().now(), 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        await asyncio.sleep(0)


class Rig:
    """One job, one provider, and any number of processes that drive it."""

    def __init__(self, database: Database, server: JobServer) -> None:
        self.store, self.server, self.clock = TuningStore(database), server, HurriedClock()
        self.told: list[Progress] = []
        self.client = HttpClient()

    def run(self, stop: asyncio.Event | None = None) -> TuningRun:
        provider = Provider(
            name="own", kind=self.server.api.kind, base_url=self.server.base_url, api_key_env="TUNING_KEY"
        )
        upstream = Upstream(provider, self.client, {"TUNING_KEY": KEY}, self.clock)
        client = JobClient(upstream, self.server.api, self.clock)
        return TuningRun(self.store, client, self.clock, self.files, on_progress=self.told.append, stop=stop)

    async def files(self, job: TuningJob) -> Mapping[str, bytes]:
        return {job.file_name: TRAINING, str(job.validation_name): VALIDATION}

    async def planned(self, **known: Any) -> TuningJob:
        now = self.clock.now()
        settings = {"validation": True, "epochs": 3, "suffix": "reply", "usd_per_1m": "5"} | known.pop("settings", {})
        state = known.pop("state", S.PLANNED)
        names = ("own", "base-1", "sft", "sha256:1")
        job = TuningJob(time_ordered_id(now), "reply", "", *names, state, "anna", now, now, settings, **known)
        await self.store.add(job)
        return job

    def once(self, job: TuningJob) -> None:
        """Assert that the provider was sent everything once."""
        assert self.server.uploads == [job.file_name, job.validation_name]
        assert len(self.server.jobs) == 1


@pytest.fixture
def server() -> Iterator[JobServer]:
    with running_job_server() as running:
        yield running


@pytest.fixture
def rig(database: Database, server: JobServer) -> Iterator[Rig]:
    made = Rig(database, server)
    yield made
    made.client.close()


async def test_a_job_goes_from_its_plan_to_its_model(rig: Rig) -> None:
    job = await rig.run().run(await rig.planned())
    assert (job.state, job.model, job.trained_tokens) == (S.SUCCEEDED, "ft:base:job-1", 12_345)
    assert job.billed_nanousd == 61_725_000, "12,345 tokens at $5 per million"
    rig.once(job)
    asked = rig.server.jobs["job-1"]["asked"]
    assert (asked["training_file"], asked["validation_file"]) == ("file-1", "file-2")
    assert asked["method"]["supervised"]["hyperparameters"] == {"n_epochs": 3}
    assert asked["metadata"]["gateway_job"] == job.job_id
    assert TRAINING in rig.server.files["file-1"][1]
    assert await rig.store.find(job.job_id) == job
    states = [progress.job.state for progress in rig.told]
    assert states == sorted(states, key=list(S).index), "each step was told in its order"


KINDS = ["openai", "azure", "openai-compatible", "mistral", "together", "sandbox"]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_api_brings_a_job_to_its_end(kind: str, database: Database) -> None:
    by_state = {state: word for word, state in reversed(running_words(kind).items())}
    statuses = [by_state[S.QUEUED], by_state[S.RUNNING].upper(), by_state[S.SUCCEEDED]]
    with running_job_server(kind, statuses=statuses) as server:
        rig = Rig(database, server)
        job = await rig.run().run(await rig.planned())
        rig.once(job)
        rig.client.close()
    assert (job.state, job.model, job.trained_tokens) == (S.SUCCEEDED, "ft:base:job-1", 12_345)
    assert job.billed_nanousd == (7_000_000 if kind == "together" else 61_725_000)


def running_words(kind: str) -> dict[str, TuningState]:
    from gateway.providers.job_apis import JOB_APIS

    return dict(JOB_APIS[kind].words)


FILES, JOBS, A_JOB = "/files", "/fine_tuning/jobs", "/fine_tuning/jobs/*"
FAULTS: list[tuple[str, str, Fault]] = [
    ("an upload that fails is made again", f"POST {FILES}", Fault(503)),
    ("an upload that arrived, and whose answer did not, is found", f"POST {FILES}", Fault(0, done=True)),
    ("so is one that was answered with a fault of the server", f"POST {FILES}", Fault(500, done=True)),
    ("and one whose answer nobody can read", f"POST {FILES}", Fault(200, done=True, body=b"<html>")),
    ("a job that is not made is asked for again", f"POST {JOBS}", Fault(503)),
    ("too many requests are waited for", f"POST {JOBS}", Fault(429, headers={"retry-after": "7"})),
    ("a job that was made, and whose answer got lost, is found", f"POST {JOBS}", Fault(0, done=True)),
    ("so is one behind a gateway that timed out", f"POST {JOBS}", Fault(504, done=True)),
    ("and one whose answer has no id", f"POST {JOBS}", Fault(200, done=True, body={"ok": True})),
    ("a list of files that fails is asked for again", f"GET {FILES}", Fault(500)),
    ("a list of jobs, too", f"GET {JOBS}", Fault(502)),
    ("a look that fails is taken again", f"GET {A_JOB}", Fault(500)),
    ("and one without an answer", f"GET {A_JOB}", Fault(0)),
]


@pytest.mark.parametrize(("where", "fault"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
async def test_a_fault_costs_neither_a_second_upload_nor_a_second_job(rig: Rig, where: str, fault: Fault) -> None:
    rig.server.faults = {where: [fault, fault] if not fault.done else [fault]}
    job = await rig.run().run(await rig.planned())
    assert job.state is S.SUCCEEDED
    rig.once(job)
    assert not rig.server.faults[where], "the fault was met"
    assert any(progress.trouble for progress in rig.told), "and told"


async def test_as_long_is_waited_as_the_provider_asks(rig: Rig) -> None:
    rig.server.faults = {f"POST {JOBS}": [Fault(429, headers={"retry-after": "90"})]}
    await rig.run().run(await rig.planned())
    assert rig.clock.slept >= 90


@pytest.mark.parametrize("hidden", [f"POST {FILES}", f"POST {JOBS}"], ids=["a file", "a job"])
async def test_a_list_that_lags_behind_is_asked_twice_before_anything_is_done_again(rig: Rig, hidden: str) -> None:
    rig.server.faults = {hidden: [Fault(0, done=True)]}
    run = rig.run()
    job = await rig.planned()

    async def files(job: TuningJob) -> Mapping[str, bytes]:
        rig.server.hides_files = 0
        return await rig.files(job)

    run._files = files
    # Once what was made is not in the list, and then it is.
    original = rig.server.fault

    def fault(method: str, path: str) -> Fault | None:
        found = original(method, path)
        if found is not None:
            rig.server.hides_files = 1
        return found

    rig.server.fault = fault  # type: ignore[method-assign]
    job = await run.run(job)
    assert job.state is S.SUCCEEDED
    rig.once(job)


ENDS: list[tuple[str, str, Fault, str]] = [
    ("rows that are refused", f"POST {FILES}", Fault(400, body={"error": {"message": f"no {KEY}"}}), "no [key]"),
    ("a job that is refused", f"POST {JOBS}", Fault(400, body={"error": {"message": "no such base"}}), "no such base"),
    ("a base that is not there", f"POST {JOBS}", Fault(404, body={"error": {"message": "no model"}}), "no model"),
    (
        "an organisation that was closed meanwhile",
        f"POST {JOBS}",
        Fault(403, body={"error": {"message": "closed", "code": "training_not_available"}}),
        "closed",
    ),
    (
        "a quota that is used up",
        f"POST {JOBS}",
        Fault(429, body={"error": {"message": "pay first", "code": "insufficient_quota"}}),
        "pay first",
    ),
    ("a job that is gone", f"GET {A_JOB}", Fault(404), "no longer knows the job job-1"),
]


@pytest.mark.parametrize(("where", "fault", "said"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
async def test_a_refusal_ends_the_job_with_its_words(rig: Rig, where: str, fault: Fault, said: str) -> None:
    rig.server.faults = {where: [fault]}
    job = await rig.run().run(await rig.planned())
    assert job.state is S.FAILED
    assert said in str(job.error)
    assert KEY not in str(job.error)
    assert len(rig.server.jobs) == (1 if where.startswith("GET") else 0)


async def test_what_the_provider_says_of_a_failed_job_is_kept_without_the_key(rig: Rig) -> None:
    rig.server.statuses = ["validating_files", "failed"]
    rig.server.job_error = {"message": f"row 3 is bad\n{KEY}\x1b[31m"}
    job = await rig.run().run(await rig.planned())
    assert job.state is S.FAILED
    assert job.error == "row 3 is bad [key] [31m"
    assert job.billed_nanousd is None


KEY_REFUSED = [f"GET {FILES}", f"POST {FILES}", f"POST {JOBS}", f"GET {JOBS}", f"GET {A_JOB}"]


@pytest.mark.parametrize("where", KEY_REFUSED)
async def test_a_key_that_is_refused_leaves_the_job_to_be_gone_on_with(rig: Rig, where: str) -> None:
    rig.server.faults = {where: [Fault(401)]}
    job = await rig.planned()
    with pytest.raises(ConfigError, match="the same command goes on"):
        await rig.run().run(job)
    known = await rig.store.find(job.job_id)
    assert known is not None
    done = await rig.run().run(known)
    assert done.state is S.SUCCEEDED
    rig.once(done)


async def test_nobody_waits_for_ever_for_a_provider_that_is_away(rig: Rig) -> None:
    rig.server.faults = {"GET *": [Fault(0)] * 1000}
    job = await rig.planned()
    with pytest.raises(ConfigError, match="no usable answer for 15 minutes"):
        await rig.run().run(job)
    assert 900 < rig.clock.slept < 1100
    rig.server.faults = {}
    known = await rig.store.find(job.job_id)
    assert known is not None
    assert (await rig.run().run(known)).state is S.SUCCEEDED


async def test_where_files_are_read_first_the_job_waits_for_them(database: Database) -> None:
    with running_job_server("azure", file_statuses=["pending", "running", "processed", "notRunning"]) as server:
        rig = Rig(database, server)
        job = await rig.run().run(await rig.planned())
        rig.once(job)
        rig.client.close()
        assert job.state is S.SUCCEEDED
        looks = [path for path in server.asked if path.startswith("GET /v1/files/file-")]
        assert len(looks) == 6, "both files are looked at until both are read"


async def test_a_file_that_cannot_be_read_ends_the_job(database: Database) -> None:
    with running_job_server("azure", file_statuses=["error"]) as server:
        rig = Rig(database, server)
        job = await rig.run().run(await rig.planned())
        rig.client.close()
        assert (job.state, job.error) == (S.FAILED, "/files/file-1 is error")
        assert not server.jobs


async def test_an_unknown_status_is_waited_on_and_shown(rig: Rig) -> None:
    rig.server.statuses = ["pondering", "pondering", "running", "succeeded"]
    job = await rig.run().run(await rig.planned())
    assert job.state is S.SUCCEEDED
    shown = [(told.job.state, told.job.settings.get("provider_status")) for told in rig.told]
    assert (S.VALIDATING, "pondering") in shown


async def test_without_waiting_the_job_is_left_to_the_provider(rig: Rig) -> None:
    job = await rig.run().run(await rig.planned(), wait=False)
    assert job.state in AT_PROVIDER
    assert job.provider_job == "job-1"
    assert not rig.server.looks
    looked = await rig.run().look_once(job)
    assert rig.server.looks == {"job-1": 1}
    assert (await rig.run().run(looked)).state is S.SUCCEEDED
    rig.once(job)


async def test_a_stop_leaves_the_job_at_the_provider(rig: Rig) -> None:
    rig.server.statuses = ["running"]
    stop = asyncio.Event()
    run = rig.run(stop)

    def told(progress: Progress) -> None:
        if progress.job.state is S.RUNNING:
            stop.set()

    run._on_progress = told
    job = await run.run(await rig.planned())
    assert job.state is S.RUNNING
    assert not any("cancel" in path for path in rig.server.asked)


async def test_a_wish_of_another_process_to_cancel_is_followed(rig: Rig) -> None:
    rig.server.statuses = ["running"]
    run = rig.run()
    wished = False

    async def wish(job: TuningJob) -> None:
        nonlocal wished
        wished = True
        assert await rig.store.change(job, rig.clock.now(), state=S.CANCELLING) is not None

    tasks = []

    def told(progress: Progress) -> None:
        if progress.event is not None and not wished and not tasks:
            tasks.append(asyncio.ensure_future(wish(progress.job)))

    run._on_progress = told
    job = await run.run(await rig.planned())
    await asyncio.gather(*tasks)
    assert job.state is S.CANCELLED
    assert rig.server.asked.count("POST /v1/fine_tuning/jobs/job-1/cancel") == 1
    rig.once(job)


CANCELLED_AT = [
    ("nothing was sent", {"state": S.CANCELLING}, False),
    ("the job was begun, and nobody wrote down its id", {"state": S.CANCELLING, "training_file": "file-1"}, True),
]


@pytest.mark.parametrize(("known", "has_job"), [row[1:] for row in CANCELLED_AT], ids=[row[0] for row in CANCELLED_AT])
async def test_a_job_can_be_cancelled_before_it_is_known_by_name(
    rig: Rig, known: dict[str, Any], has_job: bool
) -> None:
    if has_job:
        rig.server.files["file-1"] = ("x", b"")
        rig.server.jobs["job-1"] = {"asked": {}, "training": "file-1", "statuses": ["running"]}
    job = await rig.run().run(await rig.planned(**known))
    assert job.state is S.CANCELLED
    assert job.provider_job == ("job-1" if has_job else None)
    assert len(rig.server.jobs) == int(has_job)


async def test_a_wish_to_cancel_while_the_job_is_being_made_loses_nothing(rig: Rig) -> None:
    """The other process writes between our asking and our writing: the job's id is kept, and the job cancelled."""
    rig.server.statuses = ["running"]
    loop = asyncio.get_running_loop()
    job = await rig.planned()
    original = rig.server.answer

    async def wish() -> None:
        known = await rig.store.find(job.job_id)
        assert known is not None
        assert await rig.store.change(known, rig.clock.now(), state=S.CANCELLING) is not None

    def answer(method: str, path: str, body: bytes) -> tuple[int, Any]:
        done = original(method, path, body)
        if method == "POST" and path.endswith("/fine_tuning/jobs"):
            asyncio.run_coroutine_threadsafe(wish(), loop).result(10)
        return done

    rig.server.answer = answer  # type: ignore[method-assign]
    ended = await rig.run().run(job)
    assert (ended.state, ended.provider_job) == (S.CANCELLED, "job-1")
    rig.once(ended)


async def test_two_processes_that_write_at_once_do_not_undo_each_other(rig: Rig) -> None:
    job = await rig.planned()
    assert await rig.store.change(job, rig.clock.now(), settings={**job.settings, "note": "x"}) is not None
    done = await rig.run().run(job)
    assert done.state is S.SUCCEEDED
    rig.once(done)
