"""``gateway dataset export --everything``: jobs and files of a real sandbox over HTTP, and all that is kept here."""

import asyncio
import hashlib
import json
import shutil
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from dataset_files import an_evaluation, row
from dataset_files import put as put_rows
from dataset_material import a_captured, a_mark, a_recording, approved
from migrated_database import migrated
from sandbox_server import RunningSandbox, running_sandbox
from scripted_api import Answer, a_job, failure, listing, scripted_api

from gateway.learning.datasets.directory import read
from gateway.policy.inputs import input_id
from gateway.sandbox.fine_tuning import training_files
from gateway.store.captured import CapturedStore
from gateway.store.database import Database
from gateway.store.datasets import DatasetStore, ExportedFile
from gateway.store.evaluations import EvaluationStore
from gateway.store.feedback import FeedbackStore
from gateway.store.recordings import RecordingStore

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
JOBS = "/fine_tuning/jobs"
EXPORT = ("dataset", "export", "--everything", "--out", "saved")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


def routes_of(base_url: str, kind: str = "sandbox") -> str:
    return f"""\
version: 1
providers:
  acme: {{kind: {kind}, base_url: "{base_url}"{"" if kind == "sandbox" else ", api_key_env: A_KEY"}}}
  else: {{kind: groq, base_url: "http://127.0.0.1:9/v1", api_key_env: A_KEY}}
fallbacks:
  luna: {{provider: acme, model: gpt-4o-mini-2024-07-18, prompt: {{pack: "packs/triage"}}}}
routes:
  triage: {{primary: {{provider: acme, model: "{FORUM}"}}, fallbacks: [luna]}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_KEY", "sk-not-shown")
    rows = [row(f"Ticket {n}: where is parcel {n * 7}?", ("billing", "shipping")[n % 2]) for n in range(40)]
    put_rows(tmp_path / "t.jsonl", *rows)
    return tmp_path


def store(here: Path, work: Callable[[Database], Awaitable[Any]]) -> Any:
    """Do something with the database."""

    async def opened() -> Any:
        database = await Database.open(f"sqlite:///{here / 'gateway.db'}")
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(opened())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a row of each kind, made once."""
    directory = tmp_path_factory.mktemp("filled")
    migrated(f"sqlite:///{directory / 'gateway.db'}")
    store(directory, fill)
    return directory


def take(filled: Path, here: Path) -> None:
    for file in filled.iterdir():
        shutil.copy(file, here)


async def fill(database: Database) -> None:
    await FeedbackStore(database).add(a_mark(1, "Where is it?"))
    await FeedbackStore(database).add(approved(2, "And this?", "shipping"))
    await CapturedStore(database).add([a_captured(3, "A third?", "billing")])
    await RecordingStore(database).keep([a_recording("A fourth?", "billing"), a_recording("Not yet?", None)])
    others = replace(a_recording("Of another?", "billing"), tenant="st-mary")
    await RecordingStore(database).keep([others])
    await EvaluationStore(database).conclude(an_evaluation(0, "{}"))


def with_routes(here: Path, run: Run, base_url: str, kind: str = "sandbox") -> None:
    """Write routes.yaml, and the pack that it names."""
    (here / "routes.yaml").write_text(routes_of(base_url, kind).replace(', prompt: {pack: "packs/triage"}', ""))
    done = run("pack", "build", "triage", "--from", "t.jsonl")
    assert done.code == 0, done.err
    (here / "routes.yaml").write_text(routes_of(base_url, kind))


def everything(run: Run, here: Path, *more: str) -> Any:
    return run(*EXPORT, "--database", f"sqlite:///{here / 'gateway.db'}", *more)


def test_all_of_a_sandbox_and_of_the_database_is_in_one_directory(
    run: Run, here: Path, filled: Path, sandbox: RunningSandbox
) -> None:
    with_routes(here, run, sandbox.base_url)
    take(filled, here)
    done = everything(run, here, "--json")
    told, saved = done.json, here / "saved"
    jobs = [json.loads(line) for line in (saved / "providers/acme/jobs.jsonl").read_text().splitlines()]
    (provider,) = told["providers"]
    assert (len(jobs), provider["jobs"]) == (provider["jobs"], len(jobs))
    assert all(job["hyperparameters"]["n_epochs"] for job in jobs)
    files = {job["training_file"] for job in jobs}
    deleted = sorted(files - {file.id for file in training_files(sandbox.sandbox.provider)})
    assert provider["fetched"] == len(files) - len(deleted)
    assert {path.name for path in (saved / "providers/acme/files").iterdir()} == files - set(deleted)
    assert len(deleted) == 1
    # One of the sandbox's files is gone, which is told by name, and by the exit code.
    assert done.code == 1
    assert [one["what"].split(",")[0] for one in told["missing"]] == deleted
    (route,) = told["routes"]
    assert route["rows"] == {"corrections": 1, "approved": 1, "captured": 1, "recordings": 1, "evaluations": 1}
    assert route["packs"] == ["luna"]
    assert any("gateway record triage" in step for step in told["next"])


def test_every_file_is_its_owner_s_and_as_the_manifest_says(
    run: Run, here: Path, filled: Path, sandbox: RunningSandbox
) -> None:
    with_routes(here, run, sandbox.base_url)
    take(filled, here)
    everything(run, here)
    saved = here / "saved"
    told = json.loads((saved / "manifest.json").read_text())
    found = {str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()} - {"manifest.json"}
    assert set(told["files"]) == found
    for name, known in told["files"].items():
        content = (saved / name).read_bytes()
        assert (known["sha256"], known["size_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    for path in [*saved.rglob("*"), saved]:
        assert path.stat().st_mode & 0o077 == 0 or (path.is_dir() and saved in path.parents), path
    assert saved.stat().st_mode & 0o777 == 0o700
    assert not (saved / "providers/acme/unfinished").exists()


def test_rows_are_neutral_and_other_tenants_rows_are_not_among_them(
    run: Run, here: Path, filled: Path, sandbox: RunningSandbox
) -> None:
    with_routes(here, run, sandbox.base_url)
    take(filled, here)
    everything(run, here)
    rows = here / "saved/routes/triage"
    correction = json.loads((rows / "corrections.jsonl").read_text())
    assert correction["messages"][-1]["role"] == "assistant"
    assert (correction["by"], correction["answered"]["role"]) == (a_mark(1, "x").by, "assistant")
    assert "Of another?" not in (rows / "recordings.jsonl").read_text()
    assert "user_digest" not in (rows / "captured.jsonl").read_text()
    # What is saved can be made a data set of, and a pack.
    done = run("dataset", "build", "triage", "--from", str(rows / "corrections.jsonl"), "--out", "again")
    assert done.code == 0, done.err


def test_a_second_run_fetches_only_what_is_not_there(run: Run, here: Path, sandbox: RunningSandbox) -> None:
    with_routes(here, run, sandbox.base_url)
    first = everything(run, here, "--json").json["providers"][0]
    files = sorted((here / "saved/providers/acme/files").iterdir())
    kept = [path / "train.jsonl" for path in files[1:]]
    before = [path.stat().st_mtime_ns for path in kept]
    shutil.rmtree(files[0])
    again = everything(run, here, "--json").json["providers"][0]
    assert (first["already_there"], again["already_there"], again["fetched"]) == (0, len(files) - 1, 1)
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_what_an_earlier_run_had_fetched_before_it_died_is_not_fetched_again(run: Run, here: Path) -> None:
    content = json.dumps(row("a", "b")).encode() + b"\n"
    with scripted_api(_vendor(a_job(1, FORUM), files={"file-1": content})) as api:
        with_routes(here, run, api.base_url, "openai")
        half = here / "saved/providers/acme/unfinished/file-1"
        half.parent.mkdir(parents=True)
        half.write_bytes(content)
        (here / "saved/manifest.json").write_text('{"kind": "everything", "is_complete": false}')
        assert everything(run, here).code == 0
        assert "/files/file-1/content" not in api.asked
    assert read(here / "saved/providers/acme/files/file-1").files == {"train.jsonl": content}
    assert not half.parent.exists()


def test_a_file_that_was_changed_is_left_and_told(run: Run, here: Path, sandbox: RunningSandbox) -> None:
    with_routes(here, run, sandbox.base_url)
    everything(run, here)
    file = min((here / "saved/providers/acme/files").iterdir()) / "train.jsonl"
    file.write_text("mine\n")
    done = everything(run, here)
    assert done.code == 1
    assert "was changed since its manifest was written" in done.out
    assert file.read_text() == "mine\n"


def test_a_deletion_finds_what_was_saved_and_a_second_run_does_not_bring_it_back(
    run: Run, here: Path, filled: Path
) -> None:
    rows = [row(f"Question {n}?", f"Answer {n}.") for n in range(3)]
    content = b"\n".join(json.dumps(one).encode() for one in rows)
    gone = input_id(rows[1]["messages"][:-1])
    take(filled, here)
    asked = replace(a_captured(9, "Question 1?", "x"), input_id=gone, request_id="req-gone")
    store(here, lambda database: CapturedStore(database).add([asked]))
    with scripted_api(_vendor(a_job(1, FORUM), files={"file-1": content})) as api:
        with_routes(here, run, api.base_url, "openai")
        assert everything(run, here).code == 0
        manifest = here / "saved/providers/acme/files/file-1/manifest.json"
        (known,) = [one for one in registered(here) if one.path == str(manifest)]
        assert (known.route, known.kind, known.host) == ("triage", "export", socket.gethostname())
        assert gone in known.input_ids
        done = run("capture", "delete", "--request", "req-gone", "--yes", "--database", f"sqlite:///{here}/gateway.db")
        assert (done.code, f"{manifest}: 1 row taken out" in done.out) == (0, True), done.out
        assert "Question 1?" not in (manifest.parent / "train.jsonl").read_text()
        assert "Question 1?" not in (here / "saved/routes/triage/captured.jsonl").read_text()
        # As it is after a deletion, the file is there: nothing is fetched.
        again = everything(run, here, "--json")
        assert (again.code, again.json["providers"][0]["already_there"]) == (0, 1)
        # And where it is fetched anew, what was asked to be gone stays gone.
        shutil.rmtree(manifest.parent)
        assert everything(run, here).code == 0
    assert [line.input_id for line in read(manifest.parent).manifest.rows("train.jsonl")] == [
        input_id(one["messages"][:-1]) for one in (rows[0], rows[2])
    ]


def test_a_deletion_names_the_copy_of_a_pack_that_holds_such_a_row(run: Run, here: Path, filled: Path) -> None:
    take(filled, here)
    with scripted_api({}) as api:
        with_routes(here, run, api.base_url, "openai")
        everything(run, here)
    copy = here / "saved/packs/triage/luna/pack.json"
    (known,) = [one for one in registered(here) if one.path == str(copy)]
    asked = replace(a_captured(9, "In a pack?", "x"), input_id=known.input_ids[0], request_id="req-packed")
    store(here, lambda database: CapturedStore(database).add([asked]))
    done = run("capture", "delete", "--request", "req-packed", "--yes", "--database", f"sqlite:///{here}/gateway.db")
    assert (done.code, f"{copy}\n    could not be changed" in done.out) == (1, True), done.out


def registered(here: Path) -> list[ExportedFile]:
    return store(here, lambda database: DatasetStore(database).files())  # type: ignore[no-any-return]


def _vendor(*jobs: dict[str, Any], files: dict[str, bytes], **more: Answer) -> dict[str, Answer]:
    listed = [{"id": id_, "object": "file", "bytes": len(content)} for id_, content in files.items()]
    contents: dict[str, Answer] = {f"/files/{id_}/content": (200, content) for id_, content in files.items()}
    return {"/fine_tuning/jobs": (200, listing(*jobs)), "/files": (200, listing(*listed)), **contents, **more}


def test_validation_and_result_files_of_every_job_are_saved_and_shared_ones_once(run: Run, here: Path) -> None:
    rows = json.dumps(row("a", "b")).encode() + b"\n"
    jobs = [
        a_job(1, FORUM, validation_file="file-v", result_files=["file-r"]),
        a_job(2, FORUM, training_file="file-1", status="failed", fine_tuned_model=None),
        a_job(3, FORUM, training_file="../../etc", status="cancelled"),
    ]
    with scripted_api(_vendor(*jobs, files={"file-1": rows, "file-v": rows, "file-r": b"step,loss\n1,0.5\n"})) as api:
        with_routes(here, run, api.base_url, "openai")
        done = everything(run, here, "--json")
        assert [path for path in api.asked if path == "/files/file-1/content"] == ["/files/file-1/content"]
    saved = here / "saved/providers/acme"
    assert done.code == 0
    assert len((saved / "jobs.jsonl").read_text().splitlines()) == 3
    assert (saved / "results/file-r").read_bytes() == b"step,loss\n1,0.5\n"
    assert read(saved / "files/file-v").files == {"evaluation.jsonl": rows}
    assert done.json["warning"].startswith("there is no database")
    base = done.json["providers"][0]["bases"]["gpt-4o-mini-2024-07-18"]
    assert base == {"last_training_day": "2027-01-06", "stops": "2027-01-14"}
    assert "sk-not-shown" not in done.out + done.err + (here / "saved/manifest.json").read_text()


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        pytest.param(
            {JOBS: (403, failure("training_not_available"))},
            1,
            "closed to fine-tuning",
            id="a closed one",
        ),
        pytest.param({JOBS: (401, failure("invalid_api_key"))}, 1, "use a key with read access", id="no key"),
        pytest.param({}, 0, "acme has no API for fine-tuning jobs", id="one without such an API is no failure"),
        pytest.param(
            {JOBS: (200, listing(a_job(1, FORUM)))},
            1,
            "file-1, training file of ftjob-1",
            id="a file gone",
        ),
    ],
)
def test_what_could_not_be_had_is_said(answers: dict[str, Answer], code: int, said: str, run: Run, here: Path) -> None:
    with scripted_api(answers) as api:
        with_routes(here, run, api.base_url, "openai")
        done = everything(run, here)
    assert done.code == code
    assert said in done.out
    assert json.loads((here / "saved/manifest.json").read_text())["is_complete"] is (code == 0)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("--provider", "acmee"), 2, "did you mean 'acme'", id="a misspelt provider"),
        pytest.param(("--out", "t"), 1, "holds something else", id="a directory of something else"),
        pytest.param(("--format", "bedrock"), 2, "", id="a trainer's format"),
    ],
)
def test_misuse_is_said(arguments: tuple[str, ...], code: int, said: str, run: Run, here: Path) -> None:
    put_rows(here / "t" / "x.jsonl", {})
    with scripted_api({}) as api:
        with_routes(here, run, api.base_url, "openai")
        done = everything(run, here, *arguments)
    assert done.code == code
    assert said in " ".join((done.out + done.err).replace("│", " ").split())


def test_only_the_providers_that_are_named_are_asked(run: Run, here: Path) -> None:
    with scripted_api({}) as api:
        with_routes(here, run, api.base_url, "openai")
        done = everything(run, here, "--provider", "else", "--json")
        assert api.asked == []
    assert [one["provider"] for one in done.json["providers"]] == ["else"]
    assert done.code == 1
