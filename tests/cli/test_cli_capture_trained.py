"""A deletion names the training files at providers and the versions that learnt the rows, and deletes the files."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from command_line import Ran, Run
from migrated_database import migrated
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from tuned_route import BASE, TunedRoute, routes_yaml, tuned_route

from gateway.clock import SystemClock, time_ordered_id
from gateway.learning.datasets.building import EVALUATION, TRAIN
from gateway.learning.datasets.manifest import parse_manifest
from gateway.learning.tuning.holdings import lineage_row
from gateway.policy.tuning import TuningJob, TuningState
from gateway.reasons import Role
from gateway.store.captured import Captured, CapturedStore, digest_of
from gateway.store.database import Database
from gateway.store.datasets import DatasetStore
from gateway.store.tables_training import versions
from gateway.store.tuning import TuningStore

T = TypeVar("T")
NOW = SystemClock().now()


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(NOW)) as running:
        running.sandbox.provider.training.duration_s = 0.05
        yield running


class Trial:
    """A route whose data set holds what jane and kim asked, the one to train on, the other to evaluate with."""

    def __init__(self, run: Run, made: TunedRoute) -> None:
        self._run, self.made = run, made
        manifest = made.dataset / "manifest.json"
        self.manifest = parse_manifest(manifest.read_bytes(), "manifest")
        asked = {"jane": self.manifest.rows(TRAIN)[0].input_id, "kim": self.manifest.rows(EVALUATION)[0].input_id}
        rows = [_captured(user, input_id) for user, input_id in asked.items()]
        self.on_database(lambda database: CapturedStore(database).add(rows))

    def on_database(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async def opened() -> T:
            database = await Database.open(self.made.database)
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(opened())

    def tune(self, *arguments: str) -> Ran:
        return self._run("tune", "reply", *arguments, "--routes", self.made.routes, "--database", self.made.database)

    def delete(self, *arguments: str, user: str = "jane") -> Ran:
        where = ("--routes", self.made.routes, "--database", self.made.database)
        return self._run("capture", "delete", "--user", user, "--yes", *arguments, *where)

    def add_job(self, state: TuningState, **fields: Any) -> TuningJob:
        job = TuningJob(
            *(time_ordered_id(NOW), "reply", "", "lab", BASE, "sft", self.manifest.dataset_hash, state, "anna"),
            created_at=NOW,
            changed_at=NOW,
            **fields,
        )

        async def work(database: Database) -> None:
            await DatasetStore(database).keep(lineage_row(self.manifest))
            await TuningStore(database).add(job)

        self.on_database(work)
        return job


def _captured(user: str, input_id: str) -> Captured:
    return Captured(
        captured_id=time_ordered_id(NOW),
        route="reply",
        tenant="",
        input_id=input_id,
        request_id=f"req-{user}",
        user_digest=digest_of(user),
        role=Role.PRIMARY,
        provider="lab",
        model=BASE,
        prompt_version=None,
        request='{"messages": []}',
        answer='{"role": "assistant", "content": "so"}',
        redacted={},
        captured_at=NOW,
        expires_at=NOW + timedelta(days=30),
    )


@pytest.fixture
def trial(run: Run, tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """The provider does not answer."""
    monkeypatch.setenv("TUNING_KEY", "sk-very-secret-0123456789abcdef")
    migrated(f"sqlite:///{tmp_path / 'state.db'}")
    return Trial(run, tuned_route(tmp_path, f"http://127.0.0.1:{unused_tcp_port}/v1"))


@pytest.fixture
def served(trial: Trial, sandbox: RunningSandbox) -> Trial:
    """The provider is a sandbox."""
    trial.made.routes.write_text(routes_yaml(sandbox.base_url))
    return trial


def files_at(sandbox: RunningSandbox) -> list[str]:
    return [file.id for file in sandbox.sandbox.provider.files.newest_first()]


@pytest.mark.rig
def test_an_uploaded_file_and_the_version_are_named_until_the_file_is_deleted(
    served: Trial, sandbox: RunningSandbox
) -> None:
    tuned = served.tune("--on", "lab", "--yes", "--json")
    assert tuned.code == 0, tuned.err
    (file_id,) = files_at(sandbox)
    told = served.delete()
    assert told.code == 1, told.err
    short = served.manifest.dataset_hash[:19]
    assert f"  {file_id} at lab: 1 row; job {tuned.json['job']} of reply (succeeded), data set {short}" in told.out
    assert f"--training-files, or do it by hand and say --deleted-file {file_id}" in told.out
    model = tuned.json["model"]
    assert f"  v2 of reply (candidate), {model} at lab: trained on 1 such row, data set {short}" in told.out
    again = served.delete("--json")
    assert again.code == 1, "it is listed until it is gone"
    kept = again.json["receipt"]["out_of_reach"]
    assert [one["file"] for one in kept["training_files"]] == [file_id]
    assert [one["version"] for one in kept["versions"]] == ["v2"]
    assert files_at(sandbox) == [file_id], "nothing is deleted at a provider unasked"
    deleted = served.delete("--training-files", "--json")
    assert deleted.code == 0
    assert files_at(sandbox) == []
    (shown,) = deleted.json["training_files"]
    assert shown == {
        "file": file_id,
        "provider": "lab",
        "route": "reply",
        "job": tuned.json["job"],
        "job_state": "succeeded",
        "dataset_hash": served.manifest.dataset_hash,
        "rows": 1,
        "deleted": True,
        "what_to_do": None,
    }
    afterwards = served.delete("--training-files", "--json")
    assert (afterwards.code, afterwards.json["training_files"]) == (0, [])
    assert [(one["version"], one["status"], one["rows"]) for one in afterwards.json["versions"]] == [
        ("v2", "candidate", 1)
    ], "what a model has learnt stays learnt"


@pytest.mark.rig
def test_somebody_whose_rows_were_not_uploaded_hears_of_no_file_and_no_version(served: Trial) -> None:
    assert served.tune("--on", "lab", "--yes").code == 0
    kim = served.delete("--json", user="kim")
    assert (kim.code, kim.json["training_files"], kim.json["versions"]) == (0, [], []), "too few rows to validate with"
    nobody = served.delete("--json", user="lee")
    assert (nobody.code, nobody.json["training_files"], nobody.json["versions"]) == (0, [], [])


def test_a_validation_file_is_a_file_and_teaches_nothing(trial: Trial) -> None:
    settings = {"validation": True}
    trial.add_job(TuningState.SUCCEEDED, training_file="file-t", validation_file="file-v", settings=settings)
    told = trial.delete("--json", user="kim")
    assert ([one["file"] for one in told.json["training_files"]], told.json["versions"]) == (["file-v"], [])


@pytest.mark.rig
def test_the_file_of_a_job_under_way_is_not_deleted(served: Trial, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.training.duration_s = 3_600
    assert served.tune("--on", "lab", "--yes", "--no-wait").code == 0
    (file_id,) = files_at(sandbox)
    refused = served.delete("--training-files", "--deleted-file", file_id)
    assert refused.code == 1
    assert (
        "its job has not ended: wait, or gateway tune reply --cancel; then --training-files deletes it" in refused.out
    )
    assert files_at(sandbox) == [file_id]
    assert served.tune("--cancel").code == 0
    assert served.delete("--training-files").code == 0
    assert files_at(sandbox) == []


@pytest.mark.rig
def test_a_file_that_was_deleted_by_hand_is_no_error(served: Trial, sandbox: RunningSandbox) -> None:
    assert served.tune("--on", "lab", "--yes").code == 0
    sandbox.sandbox.provider.files.forget(files_at(sandbox)[0])
    assert served.delete("--training-files").code == 0


@pytest.mark.rig
def test_a_file_that_the_account_never_had_is_not_taken_for_deleted(served: Trial) -> None:
    served.add_job(TuningState.SUCCEEDED, training_file="file-elsewhere", provider_job="ftjob-elsewhere")
    told = served.delete("--training-files")
    assert told.code == 1
    assert "nor does it know the job: is it another account's key?" in told.out
    assert served.delete("--deleted-file", "file-elsewhere").code == 0
    assert served.delete().code == 0, "said once, it is known"


@pytest.mark.rig
def test_an_upload_that_nobody_heard_the_end_of_is_looked_for_by_its_name(
    served: Trial, sandbox: RunningSandbox
) -> None:
    job = served.add_job(TuningState.CANCELLED)
    assert f"  {job.file_name} at lab: 1 row" in served.delete().out
    sandbox.sandbox.provider.files.keep(job.file_name, "fine-tune", b"{}\n")
    assert served.delete("--training-files").code == 0
    assert files_at(sandbox) == []


def test_a_provider_that_cannot_be_asked_is_told_plainly(trial: Trial) -> None:
    trial.add_job(TuningState.FAILED, training_file="file-1")
    told = trial.delete("--training-files")
    assert told.code == 1
    assert "could not be deleted (http://127.0.0.1" in told.out
    assert "try again, or delete it there, and say --deleted-file file-1" in told.out
    assert "sk-very-secret" not in told.out + told.err
    trial.made.routes.write_text(trial.made.routes.read_text().replace("lab", "elsewhere"))
    assert "routes.yaml has no provider 'lab' any more: delete it there" in trial.delete("--training-files").out


def test_versions_trained_from_one_that_saw_the_row_are_named_and_so_are_unknown_data_sets(
    trial: Trial, tmp_path: Path
) -> None:
    trial.on_database(lambda database: DatasetStore(database).keep(lineage_row(trial.manifest)))

    async def work(database: Database) -> None:
        rows = [
            _version(1, "ft:a", trial.manifest.dataset_hash, BASE),
            _version(2, "ft:b", None, "ft:a"),
            _version(3, "ft:c", "sha256:built-elsewhere", BASE),
            _version(4, "ft:d", None, BASE),
        ]
        async with database.engine.begin() as connection:
            await connection.execute(versions.insert(), rows)

    trial.on_database(work)
    shutil.rmtree(trial.made.dataset)
    told = trial.delete()
    assert told.code == 0, "a version is told, and nothing can be done about it"
    lines = [line.strip() for line in told.out.splitlines()]
    assert [line.partition(": ")[2] for line in lines if line.startswith("v") and "of reply" in line] == [
        f"trained on 1 such row, data set {trial.manifest.dataset_hash[:19]}",
        "trained from v1 of reply",
        "trained on data set sha256:built-elsewh, and whose rows that held is not known here",
    ]


def _version(number: int, model: str, dataset_hash: str | None, base: str) -> dict[str, Any]:
    return {
        "route": "reply",
        "number": number,
        "tenant": "",
        "provider": "lab",
        "model": model,
        "base": base,
        "origin": "named",
        "status": "candidate",
        "dataset_hash": dataset_hash,
        "trained_system": [],
        "by": "anna",
        "created_at": NOW,
        "changed_at": NOW,
    }
