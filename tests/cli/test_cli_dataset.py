"""The next fine-tune's examples from a command line: built, registered for deletions, and written for trainers."""

import asyncio
import json
import socket
import stat
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from command_line import Run
from dataset_material import (
    MODEL,
    REDACTOR,
    a_captured,
    a_mark,
    a_recording,
    approved,
    assistant,
    chat,
    line_of,
    rows_in,
    user,
)
from migrated_database import migrated

from gateway.cli.dataset_work import publish
from gateway.learning.datasets.building import Whose, build
from gateway.learning.datasets.directory import read
from gateway.learning.datasets.manifest import MANIFEST
from gateway.learning.datasets.sources import from_corrections
from gateway.policy.inputs import input_id
from gateway.store.captured import CapturedStore
from gateway.store.database import Database
from gateway.store.datasets import DatasetStore
from gateway.store.deletions import DeletionStore
from gateway.store.feedback import FeedbackStore
from gateway.store.recordings import RecordingStore
from gateway.store.rows import Rows
from gateway.store.tables_learning import deletions

ROUTES = f"""\
version: 1
providers: {{acme: {{kind: openai, api_key_env: NOBODY_SETS_THIS}}}}
fallbacks: {{luna: {{provider: acme, model: gpt-4.1-mini-2025-04-14, prompt: {{instructions: Sort the ticket.}}}}}}
defaults: {{provider: acme, fallbacks: [luna]}}
routes:
  triage:
    primary: "{MODEL}"
    training: {{file: data/triage.jsonl}}
    variant_by: tenant
    variants: {{st-mary: {{primary: "{MODEL}-st-mary"}}}}
  bare: {{primary: "{MODEL}-bare"}}
"""
Work = Callable[[Database], Coroutine[Any, Any, Any]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(ROUTES)
    return tmp_path


@pytest.fixture
def url(here: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> str:
    url = f"sqlite+aiosqlite:///{here}/gateway.db"
    migrated(url)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)
    return url


def in_database(url: str, work: Work) -> Any:
    async def opened() -> Any:
        database = await Database.open(url)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(opened())


async def fill(database: Database) -> None:
    marks = FeedbackStore(database)
    for at in range(30):
        await marks.add(a_mark(at, f"Ticket {at} of jane{at}"))
        await marks.add(approved(100 + at, f"Order {at}", f"approved {at}"))
        mary = a_mark(200 + at, f"Ward {at}", route="triage:st-mary", tenant="st-mary")
        await marks.add(mary)
    await CapturedStore(database).add([a_captured(at, f"Live {at}", f"captured {at}") for at in range(20)])
    await RecordingStore(database).keep([a_recording(f"Asked {at}", f"recorded {at}") for at in range(20)])


def a_training_file(here: Path) -> Path:
    path = here / "data" / "triage.jsonl"
    path.parent.mkdir(exist_ok=True)
    rows: list[Any] = [chat(user(f"Filed {at}"), assistant(f"from the file {at}")) for at in range(12)]
    path.write_bytes(b"".join(map(line_of, [*rows, b"{broken"])))
    return path


def said_in(directory: Path) -> str:
    return "".join(path.read_text() for path in sorted(directory.glob("*.jsonl")))


def test_marks_and_the_routes_own_training_file_become_a_data_set(here: Path, url: str, run: Run) -> None:
    in_database(url, fill)
    a_training_file(here)
    ran = run("dataset", "build", "triage")
    assert (ran.code, ran.err) == (0, "")
    for said in ("corrections", "approved", "data/triage.jsonl:13", "sha256:"):
        assert said in ran.out
    directory = here / "datasets" / "triage"
    names = {"train.jsonl", "evaluation.jsonl", "train.preferences.jsonl", "evaluation.preferences.jsonl", MANIFEST}
    assert {path.name for path in directory.iterdir()} == names
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    text = said_in(directory)
    assert text.count("shipping, please") == 60 and text.count("approved") == 30 and text.count("from the file") == 12
    assert "Ward" not in text and "captured" not in text
    told = run("dataset", "build", "triage", "--json").json
    assert told["left_out"] == {"unusable": 1}
    assert told["sources"]["corrections"]["read"] == 30
    assert {source: row["left_out"] for source, row in told["sources"].items()} == {
        "corrections": 0,
        "approved": 0,
        "data/triage.jsonl": 1,
    }
    assert told["dataset_hash"] in ran.out and told["is_registered"] is True
    assert told["readiness"]["train"] == told["files"]["train.jsonl"]["rows"] >= 50


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        pytest.param("Where is 7?", True, id="examples before every question: all rows are one conversation"),
        pytest.param("", False, id="questions that begin each otherwise"),
    ],
)
def test_rows_that_all_begin_alike_are_told_since_they_have_no_choice_of_sides(
    begin: str, said: bool, here: Path, run: Run
) -> None:
    examples = [user(begin), assistant("In Leeds.")] if begin else []
    rows = [chat(*examples, user(f"Where is {at}?"), assistant(f"{at} is at the port.")) for at in range(40)]
    (here / "alike.jsonl").write_bytes(b"".join(map(line_of, rows)))
    ran = run("dataset", "build", "bare", "--from", "alike.jsonl")
    assert ("40 rows begin with the same question" in ran.out) is said
    told = run("dataset", "build", "bare", "--from", "alike.jsonl", "--json").json
    assert told["beginning_alike"] == 40 * said and len(told["files"]) == (1 if said else 2)


def test_a_variant_has_its_own_tenants_rows_alone(here: Path, url: str, run: Run) -> None:
    in_database(url, fill)
    a_training_file(here)
    told = run("dataset", "build", "triage:st-mary", "--json").json
    directory = Path(told["manifest"]).parent
    assert directory.parent == here / "datasets" and told["tenant"] == "st-mary"
    assert said_in(directory).count("Ward") == 60 and "Ticket" not in said_in(directory)
    # The task's file is not the variant's.
    assert set(told["sources"]) == {"corrections", "approved"}


def test_recordings_and_captured_requests_are_taken_where_they_are_asked_for(here: Path, url: str, run: Run) -> None:
    in_database(url, fill)
    told = run("dataset", "build", "triage", "--from", "captured", "--from", "recordings", "--json").json
    assert {name: row["read"] for name, row in told["sources"].items()} == {"captured": 20, "recordings": 20}
    assert told["terms"].startswith("40 of 40 answers were written by models")
    text = said_in(here / "datasets" / "triage")
    assert text.count("recorded") == 20 and text.count("captured") == 20


def test_the_database_knows_where_the_files_are_and_whose_inputs_are_in_them(here: Path, url: str, run: Run) -> None:
    in_database(url, fill)
    told = run("dataset", "build", "triage", "--json").json
    assert run("dataset", "export", "triage", "--format", "trl-dpo").code == 0

    async def known(database: Database) -> Any:
        store = DatasetStore(database)
        return await store.files(socket.gethostname()), await store.find(told["dataset_hash"])

    (whole, export), built = in_database(url, known)
    assert (whole.kind, whole.path) == ("dataset", told["manifest"]) and len(whole.input_ids) == 60
    assert (export.kind, Path(export.path).parent.name) == ("export", "trl-dpo") and len(export.input_ids) == 30
    assert input_id([user("Ticket 3 of jane3")]) in export.input_ids
    files = ("train.jsonl", "evaluation.jsonl", "train.preferences.jsonl", "evaluation.preferences.jsonl")
    assert set(whole.input_ids) == {id_ for name in files for id_ in built.input_ids(name)}
    assert "jane" not in json.dumps(built.manifest).replace(built.by, ""), "of the rows no more than the inputs' ids"


async def test_what_is_deleted_while_it_is_built_is_not_in_it(here: Path, url: str) -> None:
    database = await Database.open(url)
    now = datetime.now(UTC)
    marks = [a_mark(at, f"Ticket {at}") for at in range(20)]
    made = build(from_corrections(marks, None), Whose("triage", None, "me", now), REDACTOR)
    gone = input_id([user("Ticket 7")])
    row = {"deletion_id": str(UUID(int=2)), "deleted_at": now, "selector": "user:x", "by": "jane", "counts": {}}
    await Rows(database).add(deletions, {**row, "input_ids": [gone], "digest": ""})
    done = await publish(database, here / "set", made.manifest, made.files, "dataset", now)
    (file,) = await DatasetStore(database).files()
    found = await DatasetStore(database).find(done.manifest.dataset_hash)
    await database.close()
    assert "number 7" not in said_in(here / "set") and gone not in (here / "set" / MANIFEST).read_text()
    assert gone not in file.input_ids and len(file.input_ids) == 19
    assert found is not None and read(here / "set").manifest == done.manifest


def test_a_deleted_input_does_not_come_back_from_the_training_file(here: Path, url: str, run: Run) -> None:
    a_training_file(here)
    asked = a_captured(1, "Filed 3", "x", request_id="req-x")

    async def captured_and_deleted(database: Database) -> None:
        await CapturedStore(database).add([asked])
        wish = {"deletion_id": str(UUID(int=1)), "by": "me", "now": datetime.now(UTC), "request_id": "req-x"}
        await DeletionStore(database).delete(**wish)

    in_database(url, captured_and_deleted)
    told = run("dataset", "build", "triage", "--json").json
    assert told["left_out"] == {"deleted": 1, "unusable": 1} and told["deleted"] == ["data/triage.jsonl:4"]
    assert "from the file 3" not in said_in(here / "datasets" / "triage")


def test_exports_lie_in_the_data_set_and_stay_when_it_is_built_again(here: Path, url: str, run: Run) -> None:
    in_database(url, fill)
    a_training_file(here)
    run("dataset", "build", "triage")
    ran = run("dataset", "export", "triage", "--format", "openai-dpo")
    assert ran.code == 0
    for said in (
        "triage for OpenAI, Azure, Together, Fireworks (openai-dpo)",
        "left out: 42 rows: nobody has put another answer in the place of its own (",
    ):
        assert said in ran.out
    directory = here / "datasets" / "triage" / "openai-dpo"
    pairs = [row for path in directory.glob("*.jsonl") for row in rows_in(path.read_bytes())]
    assert len(pairs) == 30
    assert run("dataset", "build", "triage").code == 0
    assert {path.name for path in directory.iterdir()} == {"train.jsonl", "evaluation.jsonl", MANIFEST}


def test_one_side_can_be_exported_to_a_place_of_ones_own(here: Path, url: str, run: Run) -> None:
    in_database(url, fill)
    run("dataset", "build", "triage", "--out", "mine")
    told = run(
        "dataset",
        "export",
        "triage",
        "--format",
        "bedrock",
        "--from",
        "mine",
        "--out",
        "b",
        "--split",
        "train",
        "--json",
    ).json
    assert set(told["files"]) == {"train.jsonl"} and {path.name for path in (here / "b").iterdir()} == {
        "train.jsonl",
        MANIFEST,
    }
    assert told["left_out"] == [] and told["notes"] == []


def test_without_a_database_it_is_said_that_nothing_will_find_the_files(here: Path, run: Run) -> None:
    a_training_file(here)
    ran = run("dataset", "build", "triage")
    assert ran.code == 0 and "There is no database" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["build", "tirage"], 2, "did you mean 'triage'?", id="a route that is not there"),
        pytest.param(["build", "bare"], 1, "there is nothing to build", id="a route of which nothing is known"),
        pytest.param(["build", "triage", "--from", "none.jsonl"], 1, "none.jsonl is no file", id="a missing file"),
        pytest.param(
            ["build", "triage", "--from", "correction"], 1, "did you mean 'corrections'?", id="a slip of the pen"
        ),
        pytest.param(["build", "triage", "--from", "routes.yaml"], 1, "routes.yaml:1: ", id="no training file"),
        pytest.param(
            ["build", "triage", "--from", "data/triage.jsonl", "--out", "data"], 1, "of no data set", id="a place taken"
        ),
        pytest.param(
            ["export", "triage", "--format", "trl-sft"], 1, "gateway dataset build ROUTE", id="nothing built yet"
        ),
        pytest.param(["export", "triage", "--format", "trl_sft"], 2, "did you mean 'trl-sft'?", id="no such format"),
        pytest.param(
            ["export", "triage", "--format", "trl-sft", "--split", "test"], 2, "none of train", id="no such side"
        ),
    ],
)
def test_what_cannot_be_done_is_said(here: Path, run: Run, arguments: list[str], code: int, said: str) -> None:
    a_training_file(here)
    ran = run("dataset", *arguments)
    assert (ran.code, ran.out) == (code, "") and said in ran.err


def test_the_data_set_of_another_route_is_not_exported_nor_replaced(here: Path, run: Run) -> None:
    a_training_file(here)
    run("dataset", "build", "triage")
    theirs = here / "datasets" / "triage"
    exported = run("dataset", "export", "bare", "--format", "trl-sft", "--from", theirs)
    assert exported.code == 1 and "is the data set of route 'triage', not of 'bare'" in exported.err
    built = run("dataset", "build", "bare", "--from", "data/triage.jsonl", "--out", theirs)
    assert built.code == 1 and "holds the canonical data set of route 'triage'" in built.err
    nothing = run("dataset", "export", "triage", "--format", "trl-kto")
    assert nothing.code == 1 and "nobody has said whether its answer is right" in nothing.err
