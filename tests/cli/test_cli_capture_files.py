"""A deletion takes rows out of the files that were exported on this host, and names those that it cannot reach."""

import asyncio
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from command_line import Run
from migrated_database import migrated

from gateway.clock import SystemClock
from gateway.policy.inputs import input_id
from gateway.policy.splits import Split
from gateway.reasons import Label, Role
from gateway.store.captured import Captured, CapturedStore, digest_of
from gateway.store.database import Database
from gateway.store.datasets import DatasetStore, ExportedFile
from gateway.store.feedback import Feedback, FeedbackStore

NOW = SystemClock().now()
ROUTES = """
version: 1
providers: {sandbox: {kind: sandbox}}
defaults: {provider: sandbox}
routes: {forum-reply: {primary: gpt-6-luna, capture: {share: 1}}}
"""
JANE, KIM = digest_of("jane"), digest_of("kim")


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite+aiosqlite:///{tmp_path}/gateway.db"
    migrated(url)
    keep(url)
    return url


def asks(number: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": f"lavender {number}?"}]


def a_row(number: int, user: str) -> Captured:
    return Captured(
        captured_id=str(UUID(int=number)),
        route="forum-reply",
        tenant="",
        input_id=input_id(asks(number)),
        request_id=f"req-{number}",
        user_digest=user,
        role=Role.PRIMARY,
        provider="sandbox",
        model="gpt-6-luna",
        prompt_version=None,
        request=orjson.dumps({"messages": asks(number)}).decode(),
        answer='{"role":"assistant","content":"on its way"}',
        redacted={},
        captured_at=NOW,
        expires_at=NOW + timedelta(days=30),
    )


def a_mark(number: int, user: str, at: datetime = NOW) -> Feedback:
    row = a_row(number, user)
    correction = f'{{"role":"assistant","content":"marigold {number}"}}'
    return Feedback(
        *(str(UUID(int=number)), row.route, row.tenant, row.request_id, "review", "kim", at, Label.WRONG),
        comment=f"hyacinth {number}",
        correction=correction,
        input_id=row.input_id,
        split=Split.TRAIN,
        request=row.request,
        answer=row.answer,
        user_digest=user,
    )


def keep(url: str) -> None:
    async def work(database: Database) -> None:
        await CapturedStore(database).add([a_row(1, JANE), a_row(2, KIM), a_row(3, JANE)])
        for number, user in ((1, JANE), (2, KIM)):
            await FeedbackStore(database).add(a_mark(number, user))

    with_database(url, work)


def with_database(url: str, work: Any) -> Any:
    async def opened() -> Any:
        database = await Database.open(url)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(opened())


def files_of(url: str) -> list[ExportedFile]:
    return list(with_database(url, lambda database: DatasetStore(database).files()))


def registered(url: str, *files: ExportedFile) -> None:
    async def work(database: Database) -> None:
        for file in files:
            await DatasetStore(database).register(file)

    with_database(url, work)


def export(run: Run, routes: Path, url: str, out: Path) -> None:
    ran = run("capture", "export", "forum-reply", "--out", out, "--routes", routes, "--database", url)
    assert ran.code == 0, ran.err


def delete(run: Run, routes: Path, url: str, *more: str) -> Any:
    return run("capture", "delete", "--user", "jane", "--yes", *more, "--routes", routes, "--database", url)


def everything(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(directory.rglob("*")) if file.is_file())


def test_an_export_and_a_data_set_on_this_host_are_written_anew_without_the_users_rows(
    run: Run, routes: Path, url: str, tmp_path: Path
) -> None:
    out = tmp_path / "rows.jsonl"
    export(run, routes, url, out)
    built = run("dataset", "build", "forum-reply", "--from", "corrections", "--routes", routes, "--database", url)
    assert built.code == 0, built.err
    (export_file, dataset_file) = sorted(files_of(url), key=lambda file: file.kind)
    assert (export_file.kind, export_file.host, export_file.path) == (
        *("capture", socket.gethostname()),
        f"{out}.manifest.json",
    )
    assert len(export_file.input_ids) == 3
    done = delete(run, routes, url)
    assert done.code == 0, done.out + done.err
    assert "deleted 2 captured requests, 1 mark; looked again: nothing is left" in done.out
    assert f"{out}.manifest.json: 2 rows taken out" in done.out
    assert f"{dataset_file.path}: " in done.out
    left = everything(tmp_path)
    for word in (b"lavender 1", b"lavender 3", b"marigold 1", b"hyacinth 1"):
        assert word not in left, word
    assert b"marigold 2" in left
    assert len(out.read_bytes().splitlines()) == 1
    assert {len(file.input_ids) for file in files_of(url)} == {1}
    again = delete(run, routes, url)
    assert (again.code, "taken out" in again.out) == (0, False)


def test_files_on_another_host_and_those_that_were_changed_are_named_until_they_are_gone(
    run: Run, routes: Path, url: str, tmp_path: Path
) -> None:
    out = tmp_path / "rows.jsonl"
    export(run, routes, url, out)
    away = ExportedFile("build-7", "/data/train/manifest.json", "forum-reply", "", "dataset", [input_id(asks(1))], NOW)
    others = ExportedFile("build-7", "/data/else/manifest.json", "forum-reply", "", "dataset", [input_id(asks(2))], NOW)
    registered(url, away, others)
    manifest = Path(f"{out}.manifest.json")
    whole = manifest.read_bytes()
    manifest.write_text("{")
    done = delete(run, routes, url, "--json")
    assert done.code == 1, done.err
    told = {file["path"]: file["what_to_do"] for file in done.json["files"]}
    assert told.keys() == {"/data/train/manifest.json", str(manifest)}
    assert "run this there" in told["/data/train/manifest.json"]
    assert "could not be changed" in told[str(manifest)]
    text = delete(run, routes, url)
    assert (text.code, "Exported files that still hold such rows" in text.out) == (1, True)
    manifest.write_bytes(whole)
    done = delete(run, routes, url, "--lost-host", "build-7")
    assert (done.code, "2 rows taken out" in done.out) == (0, True), done.out
    assert [file.host for file in files_of(url)] == [socket.gethostname()]


def test_a_file_that_is_not_there_any_more_is_forgotten(run: Run, routes: Path, url: str, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    export(run, routes, url, out)
    for file in tmp_path.glob("rows.jsonl*"):
        file.unlink()
    done = delete(run, routes, url)
    assert (done.code, "Exported files" in done.out) == (0, False), done.out
    assert files_of(url) == []


def test_an_export_in_place_of_another_is_known_for_what_it_holds(
    run: Run, routes: Path, url: str, tmp_path: Path
) -> None:
    out = tmp_path / "rows.jsonl"
    export(run, routes, url, out)
    assert delete(run, routes, url).code == 0
    export(run, routes, url, out)
    (file,) = files_of(url)
    assert list(file.input_ids) == [input_id(asks(2))]


def test_status_shows_what_people_said(run: Run, routes: Path, url: str) -> None:
    ran = run("capture", "status", "--routes", routes, "--database", url)
    assert ran.out.splitlines()[1].endswith("0 right, 2 wrong (2 corrected): 2 rows")
    row = run("capture", "status", "--routes", routes, "--database", url, "--json").json["routes"][0]
    assert row["marks"] == {"right": 0, "wrong": 2, "corrections": 2, "train": 2, "evaluation": 0}
