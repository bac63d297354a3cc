"""`gateway tune` from the data set to the next version, against a real sandbox."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, Run
from gateway_server import ROOT
from job_server import KEY, Fault, running_job_server
from migrated_database import migrated
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from tuned_route import BASE, SYSTEM, TunedRoute, tuned_route, write_dataset

from gateway.clock import SystemClock
from gateway.policy.promotion import Version, VersionStatus
from gateway.store.database import Database
from gateway.store.datasets import DatasetRow, DatasetStore
from gateway.store.leases import LeaseStore
from gateway.store.versions import VersionStore


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("tuned") / "empty.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        running.sandbox.provider.training.duration_s = 0.2
        yield running


class Tune:
    """Runs the command with what every run needs."""

    def __init__(self, run: Run, made: TunedRoute) -> None:
        self._run, self.made = run, made

    def __call__(self, *arguments: str | Path) -> Ran:
        return self._run("tune", *arguments, "--routes", self.made.routes, "--database", self.made.database)

    def versions(self) -> list[Version]:
        async def read() -> list[Version]:
            database = await Database.open(self.made.database)
            try:
                return await VersionStore(database).of_route("reply")
            finally:
                await database.close()

        return asyncio.run(read())


@pytest.fixture
def tune(
    run: Run, tmp_path: Path, sandbox: RunningSandbox, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Tune:
    monkeypatch.setenv("TUNING_KEY", KEY)
    shutil.copy(empty_database, tmp_path / "state.db")
    return Tune(run, tuned_route(tmp_path, sandbox.base_url))


def jobs_at(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return [job.bill() for job in sandbox.sandbox.provider.training.newest_first()]


def test_a_data_set_becomes_the_next_version(tune: Tune, sandbox: RunningSandbox) -> None:
    ran = tune("reply", "--on", "lab", "--yes")
    assert ran.code == 0, ran.err
    assert f"trained from {BASE} at lab (sandbox), by sft, 3 epochs" in ran.err
    assert "$5 per million (the price list)" in ran.err
    (job,) = jobs_at(sandbox)
    assert f"reply: {job['fine_tuned_model']} is trained" in ran.out
    assert f"trained tokens: {job['trained_tokens']:,}, estimated" in ran.out
    assert "  gateway evaluate reply --version v2\n  gateway promote reply v2 --canary 5%" in ran.out
    first, second = tune.versions()
    assert (first.origin, first.status) == ("routes", VersionStatus.SERVING)
    assert (second.origin, second.status, second.model) == ("job", VersionStatus.CANDIDATE, job["fine_tuned_model"])
    assert (second.provider, second.base, second.trained_system) == ("lab", BASE, (SYSTEM,))
    assert second.cost_nanousd == job["billed_nanousd"]
    manifest = json.loads((tune.made.dataset / "manifest.json").read_text())
    assert second.dataset_hash == manifest["dataset_hash"]
    files = sandbox.sandbox.provider.files.newest_first()
    assert [file.name for file in files] == [f"gateway-{second.job_id}-train.jsonl"]
    assert files[0].content == (tune.made.dataset / "train.jsonl").read_bytes(), "what was uploaded is what was built"


def test_json_has_the_job_and_what_it_cost(tune: Tune, sandbox: RunningSandbox) -> None:
    ran = tune("reply", "--on", "lab", "--yes", "--json")
    assert ran.code == 0
    (job,) = jobs_at(sandbox)
    assert ran.json["state"] == "succeeded"
    assert (ran.json["version"], ran.json["model"]) == ("v2", job["fine_tuned_model"])
    assert ran.json["billed_usd"] == job["billed_nanousd"] / 10**9
    assert not ran.json["resumed"]


def test_the_same_is_not_trained_twice_unless_somebody_says_so(tune: Tune, sandbox: RunningSandbox) -> None:
    assert tune("reply", "--on", "lab", "--yes").code == 0
    again = tune("reply", "--on", "lab", "--yes")
    assert again.code == 0
    assert "v2 of reply was trained on these very rows" in again.out
    assert len(jobs_at(sandbox)) == 1
    once_more = tune("reply", "--on", "lab", "--yes", "--again", "--json")
    assert (once_more.code, once_more.json["version"]) == (0, "v3")
    other = tune("reply", "--on", "lab", "--yes", "--epochs", "2", "--suffix", "Two Epochs", "--json")
    assert (other.code, other.json["version"], other.json["epochs"]) == (0, "v4", 2)
    assert ":two-epochs:" in other.json["model"]
    assert len(jobs_at(sandbox)) == 3


def test_a_job_that_nobody_waited_for_is_gone_on_with(tune: Tune, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.training.duration_s = 3_600
    begun = tune("reply", "--on", "lab", "--yes", "--no-wait", "--json")
    assert begun.code == 0
    assert begun.json["state"] in ("validating", "queued")
    job = begun.json["job"]
    looked = tune("reply", "--status", "--json")
    assert [(row["job"], row["state"]) for row in looked.json["jobs"]] == [(job, "validating")]
    assert "validating (validating_files)" in tune("reply", "--status").out
    elsewhere = tune("reply", "--on", "words", "--yes")
    assert elsewhere.code == 1
    assert f"job {job} of reply at lab has not ended" in elsewhere.err
    sandbox.sandbox.provider.training.newest_first()[0].duration_s = 0.1
    gone_on = tune("reply")
    assert gone_on.code == 0, gone_on.err
    assert f"going on with job {job}" in gone_on.err
    assert "it is v2 of reply" in gone_on.out
    assert len(jobs_at(sandbox)) == 1
    table = tune("reply", "--status").out.splitlines()
    assert table[1].split()[0] == job
    assert table[1].split()[-1] == "v2"


def test_status_brings_a_finished_job_home(tune: Tune, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.training.duration_s = 0
    assert tune("reply", "--on", "lab", "--yes", "--no-wait").code == 0
    rows = tune("reply", "--status", "--json").json["jobs"]
    assert [(row["state"], row["version"]) for row in rows] == [("succeeded", "v2")]


def test_a_job_is_cancelled_at_the_provider(tune: Tune, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.training.duration_s = 3_600
    job = tune("reply", "--on", "lab", "--yes", "--no-wait", "--json").json["job"]
    assert tune("reply", "--cancel", "another").code == 2
    ran = tune("reply", "--cancel", job)
    assert ran.code == 0, ran.err
    assert f"job {job} of reply was cancelled" in ran.out
    assert [row["status"] for row in jobs_at(sandbox)] == ["cancelled"]
    assert tune("reply", "--cancel").code == 2, "nothing is left to cancel"
    assert tune.versions() == []


def test_a_job_that_fails_says_why_and_makes_no_version(tune: Tune, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.training.fails = "The loss is not a number."
    ran = tune("reply", "--on", "lab", "--yes")
    assert ran.code == 1
    assert "failed: The loss is not a number." in ran.out
    assert "The loss is not a number." in tune("reply", "--status").out
    assert tune.versions() == []


def test_a_closed_organisation_is_found_out_before_a_row_is_sent(tune: Tune, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.training.closed = True
    ran = tune("reply", "--on", "lab", "--yes")
    assert ran.code == 1
    assert "training_not_available" in ran.err or "not available to your organization" in ran.err
    assert "Where one can still train:" in ran.err
    assert "gateway dataset export reply --format FORMAT" in ran.err
    assert sandbox.sandbox.provider.files.newest_first() == []
    assert tune("reply", "--status").out == "reply has no fine-tuning jobs\n"


STILL_TRAINED = (
    f"lifecycle: {{lab: {{{BASE}: {{last_training_day: 2090-01-01, shutdown: 2091-01-01, source: the test}}}}}}"
)
"""Whatever the vendor's own last day was."""

REFUSED: list[tuple[str, tuple[str, ...], int, str]] = [
    ("nobody is asked about money, and nobody agreed", ("--on", "lab"), 2, "say --yes"),
    ("more than it may cost", ("--on", "lab", "--yes", "--max-usd", "0.001"), 1, "beyond --max-usd 0.001"),
    ("nobody who trains", ("--yes",), 2, "say who trains"),
    ("a provider that is not there", ("--on", "lob", "--yes"), 2, "has no provider 'lob'"),
    ("a provider with another API", ("--on", "amazon", "--yes"), 1, "gateway dataset export reply --format bedrock"),
    ("a provider that trains nothing", ("--on", "words", "--yes"), 1, "trains nothing"),
    ("a method that is none", ("--on", "lab", "--method", "rl"), 2, "neither sft nor dpo"),
    ("preferences without pairs", ("--on", "lab", "--method", "dpo", "--yes"), 1, "no training rows for openai-dpo"),
    ("a base that is not trained there", ("--on", "lab", "--base", "gpt-x", "--yes"), 1, "lab does not train gpt-x"),
    ("a data set that is not there", ("--on", "lab", "--dataset", "nowhere", "--yes"), 1, "holds no data set"),
    ("two wishes at once", ("--status", "--cancel"), 2, "two wishes"),
    ("a job without a wish to end it", ("0197-a",), 2, "a job is named with --cancel"),
    ("a deployment that nobody waits for", ("--on", "lab", "--deployment", "x"), 2, "no job of this route waits"),
    ("an adapter for who loads none", ("--on", "words", "--adapter", "."), 2, "loads no adapters"),
    ("an adapter that is none", ("--on", "own", "--adapter", "."), 1, "holds no adapter"),
    ("one's own GPU without a base", ("--on", "trl"), 2, "say what to train from"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_is_refused_before_anything_is_sent(
    tune: Tune, sandbox: RunningSandbox, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = tune("reply", *arguments)
    assert (ran.code, said in " ".join(ran.err.replace("│", " ").split())) == (code, True), ran.err
    assert sandbox.sandbox.provider.files.newest_first() == []
    assert jobs_at(sandbox) == []
    assert KEY not in ran.out + ran.err


def test_while_one_is_at_work_another_waits(tune: Tune, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.training.duration_s = 3_600
    job = tune("reply", "--on", "lab", "--yes", "--no-wait", "--json").json["job"]

    async def hold() -> None:
        database = await Database.open(tune.made.database)
        try:
            assert await LeaseStore(database).take("tune:reply", "somebody", SystemClock().now(), 60) is None
        finally:
            await database.close()

    asyncio.run(hold())
    assert "another `gateway tune reply` is at work" in tune("reply").err
    assert tune("reply", "--status", "--json").json["jobs"][0]["job"] == job, "looking needs nobody's leave"
    cancelled = tune("reply", "--cancel")
    assert cancelled.code == 0
    # Who has the lease may have been killed, and a job that runs on is paid for.
    assert "lab was asked to" in cancelled.out
    assert [row["status"] for row in jobs_at(sandbox)] == ["cancelled"]
    assert tune("reply", "--status", "--json").json["jobs"][0]["state"] == "cancelling"
    again = tune("reply", "--cancel")
    assert (again.code, "lab did not do so at once" in again.out) == (0, True), "it is cancelled there already"


def test_rows_that_changed_since_the_plan_are_not_uploaded_under_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNING_KEY", KEY)
    with running_job_server("openai", faults={"POST /files": [Fault(401)]}) as server:
        tune = Tune(run, tuned_route(tmp_path, server.base_url, kind="openai", lifecycle=STILL_TRAINED))
        stopped = tune("reply", "--on", "lab", "--yes")
        assert stopped.code == 1
        assert "the same command goes on" in stopped.err
        write_dataset(tune.made.dataset, 50)
        changed = tune("reply")
        assert changed.code == 1
        assert "holds another data set now" in changed.err
        assert server.files == {}
        assert tune("reply", "--cancel").code == 0


def test_a_model_that_has_to_be_deployed_becomes_a_version_once_it_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNING_KEY", KEY)
    with running_job_server("azure", statuses=["notRunning", "succeeded"]) as server:
        tune = Tune(run, tuned_route(tmp_path, server.base_url, kind="azure", lifecycle=STILL_TRAINED))
        trained = tune("reply", "--on", "lab", "--yes", "--base", BASE)
        assert trained.code == 0, trained.err
        assert "gateway tune reply --on lab --deployment NAME" in trained.out
        assert tune.versions() == []
        waits = tune("reply", "--on", "lab", "--yes", "--json")
        assert (waits.code, waits.json["waits_for_deployment"]) == (0, True), "it does not train again meanwhile"
        deployed = tune("reply", "--on", "lab", "--deployment", "reply-2")
        assert deployed.code == 0, deployed.err
        assert [version.model for version in tune.versions()][1:] == ["reply-2"]
        assert len(server.jobs) == 1
        assert tune("reply", "--on", "lab", "--yes", "--base", BASE, "--epochs", "1").code == 0
        again = tune("reply", "--on", "lab", "--deployment", "reply-2", "--json")
        assert (again.code, again.json["version"]) == (0, "v2"), "another model under the same name is that version"
        nothing = tune("reply", "--on", "lab", "--deployment", "reply-2")
        assert "no job of this route waits" in " ".join(nothing.err.split())


def test_what_is_written_for_one_s_own_gpu_is_known_to_a_deletion(tune: Tune) -> None:
    ran = tune("reply", "--on", "trl", "--base", "Qwen/Qwen3-4B", "--json")
    assert ran.code == 0, ran.err
    place = Path(ran.json["directory"])
    assert place == tune.made.directory / "tune" / "reply"
    assert sorted(ran.json["files"]) == sorted(
        ["README.md", "config.yaml", "data/evaluation.jsonl", "data/train.jsonl", "requirements.txt", "train.py"]
    )
    assert all((place / name).is_file() for name in ran.json["files"])
    assert (place / "data" / "train.jsonl").stat().st_mode & 0o777 == 0o600
    checked = subprocess.run(
        [sys.executable, str(place / "train.py"), "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{ran.json['rows']['train.jsonl']} rows to train on" in checked.stdout

    async def known() -> tuple[list[str], DatasetRow | None]:
        database = await Database.open(tune.made.database)
        try:
            store = DatasetStore(database)
            return [file.path for file in await store.files()], await store.find(ran.json["dataset_hash"])
        finally:
            await database.close()

    paths, built = asyncio.run(known())
    assert paths == [str(place / "data" / "manifest.json")]
    assert built is not None and built.input_ids("train.jsonl"), "whose rows the adapter will have learnt"
    again = tune("reply", "--on", "trl", "--base", "Qwen/Qwen3-4B")
    assert again.code == 1
    assert "is there already" in again.err


def test_an_adapter_comes_back_as_the_next_version(tune: Tune, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": BASE, "r": 16}))
    manifest = json.loads((tune.made.dataset / "manifest.json").read_text())
    known = {"route": "reply", "dataset_hash": manifest["dataset_hash"]}
    (adapter / "understudy.json").write_text(json.dumps(known))
    ran = tune("reply", "--on", "own", "--adapter", adapter, "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["model"], ran.json["parent"], ran.json["version"]) == ("reply-v2", BASE, "v2")
    version = tune.versions()[1]
    assert (version.origin, version.model, version.base) == ("adapter", "reply-v2", BASE)
    assert version.dataset_hash == manifest["dataset_hash"]
    told = tune("reply", "--on", "own", "--adapter", adapter, "--name", "second")
    assert "--lora-modules second=" in told.out
    assert "it is v3 of reply" in told.out
    (adapter / "understudy.json").write_text(json.dumps({"route": "triage"}))
    foreign = tune("reply", "--on", "own", "--adapter", adapter)
    assert foreign.code == 1
    assert "was trained for route 'triage'" in foreign.err


@pytest.mark.rig
def test_ctrl_c_leaves_the_job_at_the_provider(tune: Tune, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.training.duration_s = 3_600
    command = [sys.executable, "-m", "gateway", "tune", "reply", "--on", "lab", "--yes"]
    command += ["--routes", str(tune.made.routes), "--database", tune.made.database]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "TUNING_KEY": KEY}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 30
        while not jobs_at(sandbox) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert b"it goes on at lab" in out
    assert b"gateway tune reply --cancel" in out
    assert [row["status"] for row in jobs_at(sandbox)] == ["validating_files"]
