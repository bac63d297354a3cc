"""What is kept of live requests: seen, exported as training rows, and deleted with proof, also from a command line."""

import asyncio
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from command_line import Run
from migrated_database import migrated

from gateway.clock import SystemClock
from gateway.config.packs import FIXED, HELD_OUT, INSTRUCTIONS, POOL, PackExample, example_line, sealed
from gateway.learning.packs.training_rows import read_rows
from gateway.reasons import Role
from gateway.store.captured import Captured, CapturedStore, digest_of
from gateway.store.database import Database
from gateway.store.packs import PackStore
from gateway.store.recordings import Recording, RecordingStore

# Retention is kept by the clock, wherever it stands.
NOW = SystemClock().now()
FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum:A1"
ROUTES = f"""
version: 1
providers: {{sandbox: {{kind: sandbox}}}}
fallbacks: {{luna: {{provider: sandbox, model: gpt-6-luna, prompt: {{pack: "packs/{{route}}"}}}}}}
defaults: {{provider: sandbox, fallbacks: [luna]}}
routes:
  forum-reply:
    primary: "{FINE_TUNE}"
    tenant: acme
    capture: {{share: 0.05, patterns: {{customer: "CU-[0-9]{{6}}"}}}}
  triage: "ft:gpt-4o-mini-2024-07-18:acme:triage:B2"
"""


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    return path


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite+aiosqlite:///{tmp_path}/gateway.db"
    migrated(url)
    return url


def a_row(number: int, **fields: Any) -> Captured:
    given: dict[str, Any] = {
        "captured_id": str(UUID(int=number)),
        "route": "forum-reply",
        "tenant": "acme",
        "input_id": f"{number:016x}",
        "request_id": f"req-{number}",
        "user_digest": digest_of("jane"),
        "role": Role.PRIMARY,
        "provider": "sandbox",
        "model": FINE_TUNE,
        "prompt_version": None,
        "request": orjson.dumps({"messages": [{"role": "user", "content": f"number {number} of [email]"}]}).decode(),
        "answer": '{"role":"assistant","content":"on its way"}',
        "redacted": {"email": 1},
        "captured_at": NOW,
        "expires_at": NOW + timedelta(days=30),
    }
    return Captured(**{**given, **fields})


TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
ROWS = (
    a_row(1),
    a_row(
        2,
        user_digest=digest_of("kim"),
        request=orjson.dumps({"messages": [{"role": "user", "content": "and 2?"}], "tools": TOOLS}).decode(),
        answer=orjson.dumps({"role": "assistant", "tool_calls": [CALL]}).decode(),
        redacted={},
    ),
    a_row(3, role=Role.FALLBACK, model="gpt-6-luna", prompt_version="abc"),
    a_row(4, tenant="globex"),
    a_row(5, expires_at=NOW - timedelta(days=1)),
    a_row(6, route="gone-by-now"),
)
RECORDING = Recording(
    *("forum-reply", "sandbox", FINE_TUNE, f"{1:016x}", 0, "acme", "{}", "{}", "captured", NOW),
    user_digest=digest_of("jane"),
)


def keep(url: str, rows: Sequence[Captured] = ROWS, packs: Sequence[dict[str, bytes]] = ()) -> None:
    async def work() -> None:
        opened = await Database.open(url)
        await CapturedStore(opened).add(rows)
        await RecordingStore(opened).keep([RECORDING])
        for pack in packs:
            await PackStore(opened).push(pack, "kim", NOW)
        await opened.close()

    asyncio.run(work())


def a_pack(*numbers: int, route: str = "forum-reply", pool: bool = False) -> dict[str, bytes]:
    """The files of a pack with these inputs among its examples."""
    said = ({"role": "user", "content": "number?"}, {"role": "assistant", "content": "on its way"})
    lines = b"".join(example_line(PackExample(f"{number:016x}", said, 9, "captured")) for number in numbers)
    manifest = {"format": 1, "route": route, "tenant": None, "similar": 2, "similar_tokens": 50, "prefix_tokens": 20}
    files = {INSTRUCTIONS: b"Answer kindly.", FIXED: b"", POOL: b"", HELD_OUT: b""}
    return sealed({**manifest, "trained_system": []}, {**files, POOL if pool else FIXED: lines})


def in_directory(directory: Path, pack: dict[str, bytes]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in pack.items():
        (directory / name).write_bytes(content)
    return directory


def delete(run: Run, routes: Path, database: str, *who: str) -> Any:
    return run("capture", "delete", *who, "--routes", routes, "--database", database)


def test_status_shows_what_is_kept_of_every_route(run: Run, routes: Path, database: str) -> None:
    keep(database)
    ran = run("capture", "status", "--routes", routes, "--database", database)
    assert ran.code == 0, ran.err
    lines = [line.split() for line in ran.out.splitlines()]
    day = f"{NOW:%Y-%m-%d}"
    assert lines[1] == ["forum-reply", "5", "%", "30", "days", "email,", "phone,", "card,", "customer", "5", day]
    assert lines[2] == ["triage", "off", "0"]
    assert lines[3] == ["gone-by-now", "(not", "in", "routes.yaml)", "off", "1", day]


def test_status_as_json_also_before_anything_was_kept(run: Run, routes: Path, database: str) -> None:
    before = run("capture", "status", "--routes", routes, "--json").json["routes"]
    assert [(row["route"], row["on"], row["rows"], row["oldest"]) for row in before] == [
        ("forum-reply", True, 0, None),
        ("triage", False, 0, None),
    ]
    keep(database)
    after = run("capture", "status", "--routes", routes, "--database", database, "--json").json["routes"]
    assert after[0]["share"] == 0.05
    assert after[0]["redacts"] == ["email", "phone", "card", "customer"]
    assert [(row["rows"], row["in_routes"]) for row in after] == [(5, True), (0, True), (1, False)]


def test_export_writes_the_primarys_answers_as_training_rows_of_the_routes_own_tenant(
    run: Run, routes: Path, database: str, tmp_path: Path
) -> None:
    keep(database)
    out = tmp_path / "rows.jsonl"
    out.write_text("older")
    out.chmod(0o644)
    ran = run("capture", "export", "forum-reply", "--out", out, "--routes", routes, "--database", database)
    assert ran.code == 0, ran.err
    rows = read_rows(out.read_bytes(), "rows.jsonl").rows
    assert [row.answer for row in rows] == [
        {"role": "assistant", "content": "on its way"},
        {"role": "assistant", "tool_calls": [CALL]},
    ]
    assert [row.tools for row in rows] == [None, TOOLS]
    manifest = orjson.loads((tmp_path / "rows.jsonl.manifest.json").read_bytes())
    assert manifest["model_generated"] is True
    assert "terms may forbid" in manifest["terms"]
    assert "terms may forbid" in ran.out
    assert [(model["model"], model["role"], model["rows"]) for model in manifest["models"]] == [
        (FINE_TUNE, "primary", 2)
    ]
    assert (manifest["rows"], manifest["redacted"], manifest["tenant"]) == (2, {"email": 1}, "acme")
    assert [stat.S_IMODE(file.stat().st_mode) for file in sorted(tmp_path.glob("rows.jsonl*"))] == [0o600, 0o600]


def test_export_of_all_also_writes_what_fallbacks_answered(
    run: Run, routes: Path, database: str, tmp_path: Path
) -> None:
    keep(database)
    out = tmp_path / "rows.jsonl"
    run("capture", "export", "forum-reply", "--all", "--out", out, "--routes", routes, "--database", database)
    manifest = orjson.loads((tmp_path / "rows.jsonl.manifest.json").read_bytes())
    assert {model["model"]: model["rows"] for model in manifest["models"]} == {FINE_TUNE: 2, "gpt-6-luna": 1}


NOT_EXPORTED = {
    "a route that is not there": ("forum-repl", 2, "has no route 'forum-repl'; did you mean 'forum-reply'?"),
    "a route of which nothing is kept": ("triage", 1, "nothing is kept of the primary of route 'triage'"),
    "a route of whose primary nothing is kept": ("forum-reply", 1, "1 answer by fallbacks: --all exports them"),
}


@pytest.mark.parametrize(("route", "code", "told"), NOT_EXPORTED.values(), ids=NOT_EXPORTED)
def test_export_writes_no_file_where_it_has_no_rows(
    run: Run, routes: Path, database: str, tmp_path: Path, route: str, code: int, told: str
) -> None:
    keep(database, ROWS[2:4])
    out = tmp_path / "rows.jsonl"
    ran = run("capture", "export", route, "--out", out, "--routes", routes, "--database", database)
    assert (ran.code, told in " ".join(ran.err.replace("│", "").split())) == (code, True), ran.err
    assert list(tmp_path.glob("rows.jsonl*")) == []


def test_export_says_where_it_cannot_write(run: Run, routes: Path, database: str, tmp_path: Path) -> None:
    keep(database)
    out = tmp_path / "nowhere" / "rows.jsonl"
    ran = run("capture", "export", "forum-reply", "--out", out, "--routes", routes, "--database", database)
    assert (ran.code, "No such file or directory" in ran.err) == (1, True)


def test_deleting_a_user_prints_the_receipt_and_leaves_nothing(run: Run, routes: Path, database: str) -> None:
    keep(database)
    done = delete(run, routes, database, "--user", "jane", "--yes")
    assert done.code == 0, done.err
    assert "deleted 5 captured requests, 1 recording; looked again: nothing is left" in done.out
    assert f"user:{digest_of('jane')}" in done.out
    assert "no pack that routes.yaml names, and none in the database, holds such rows" in done.out
    assert "jane" not in done.out
    again = delete(run, routes, database, "--user", "jane", "--yes")
    assert (again.code, again.out.splitlines()[0]) == (0, "nothing of it is kept; looked again: nothing is left")


def test_a_deletion_that_finds_nothing_leaves_a_receipt_by_which_rows_that_wait_are_dropped(
    run: Run, routes: Path, database: str
) -> None:
    keep(database, ())
    done = delete(run, routes, database, "--user", "kim", "--json")
    assert (done.code, any(done.json["receipt"]["counts"].values())) == (0, False)
    keep(database, ROWS[:2])
    status = run("capture", "status", "--routes", routes, "--database", database, "--json").json
    assert status["routes"][0]["rows"] == 1


@pytest.mark.rig
def test_the_command_fails_and_says_so_where_the_log_still_holds_what_was_deleted(
    run: Run, routes: Path, database: str, tmp_path: Path
) -> None:
    keep(database)
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM captured").fetchone() == (6,)
        done = delete(run, routes, database, "--user", "jane", "--yes")
    assert (done.code, "still holds what was deleted" in done.out) == (1, True), done.err
    again = delete(run, routes, database, "--user", "jane", "--yes")
    assert (again.code, "still holds" in again.out) == (0, False), again.err


def test_deleting_a_request_as_json_tells_the_same(run: Run, routes: Path, database: str) -> None:
    keep(database)
    done = delete(run, routes, database, "--request", "req-2", "--yes", "--json")
    receipt = done.json["receipt"]
    assert (receipt["counts"]["captured"], receipt["input_ids"], receipt["left"]) == (1, [f"{2:016x}"], 0)
    assert (done.code, done.json["packs"]) == (0, [])
    again = delete(run, routes, database, "--request", "req-2", "--json").json
    assert (again["receipt"]["input_ids"], again["packs"]) == ([], [])


def test_packs_that_hold_deleted_rows_are_named_until_they_are_built_anew(
    run: Run, routes: Path, database: str, tmp_path: Path
) -> None:
    directory = in_directory(tmp_path / "packs" / "forum-reply", a_pack(1, 2))
    in_directory(tmp_path / "packs" / "triage", a_pack(2, route="triage"))
    pushed, other = a_pack(9, 3, pool=True), a_pack(2, 9)
    keep(database, packs=(pushed, other))
    done = delete(run, routes, database, "--user", "jane", "--yes")
    assert done.code == 1, done.err
    assert "deleted 5 captured requests" in done.out
    held = done.out.split("These packs hold such rows")[1]
    assert f"{directory} holds 1 row ({1:016x})" in held
    assert "gateway pack build forum-reply" in held
    assert "git keeps" in held
    assert f"database {orjson.loads(pushed['pack.json'])['hash']} holds 1 row ({3:016x})" in held
    assert "routes.yaml does not name it" in held
    assert held.count(" holds ") == 2

    # The rows are gone; that packs hold them is still known, from the receipts.
    again = delete(run, routes, database, "--user", "jane", "--json")
    assert (again.code, again.json["receipt"]["input_ids"], len(again.json["packs"])) == (1, [], 2)
    in_directory(directory, a_pack(2))
    assert len(delete(run, routes, database, "--user", "jane", "--json").json["packs"]) == 1


def test_a_pack_in_the_database_that_routes_name_is_to_be_built_anew(run: Run, routes: Path, database: str) -> None:
    pack = a_pack(1)
    keep(database, packs=[pack])
    routes.write_text(ROUTES.replace("packs/{route}", orjson.loads(pack["pack.json"])["hash"]))
    done = delete(run, routes, database, "--user", "jane", "--yes")
    assert done.code == 1, done.err
    assert "gateway pack build forum-reply … from rows without them, push it" in done.out


NOT_DELETED = {
    "nobody is named": ((), "name a user or a request"),
    "two are named": (("--user", "jane", "--request", "req-1", "--yes"), "name a user or a request"),
    "nobody is there to ask": (("--user", "jane"), "nobody is there to ask"),
}


@pytest.mark.parametrize(("who", "told"), NOT_DELETED.values(), ids=NOT_DELETED)
def test_nothing_is_deleted_where_the_command_is_misused(
    run: Run, routes: Path, database: str, who: tuple[str, ...], told: str
) -> None:
    keep(database)
    done = delete(run, routes, database, *who)
    assert (done.code, told in done.err) == (2, True), done.err
    status = run("capture", "status", "--routes", routes, "--database", database, "--json").json
    assert status["routes"][0]["rows"] == 5


def test_where_no_database_is_there_nothing_was_kept(run: Run, routes: Path) -> None:
    done = run("capture", "delete", "--user", "jane", "--yes", "--routes", routes)
    assert (done.code, done.out) == (0, "nothing of it is kept\n")
