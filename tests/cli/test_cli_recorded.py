import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from migrated_database import migrated
from recorded_routes import FORUM, question, training_row, write_inputs, write_routes, write_rows
from recording_command import FAST, INPUTS, Recording, database, record, sandbox
from sandbox_server import RunningSandbox

from gateway.clock import SystemClock
from gateway.ledger.entry import new_attempt_id
from gateway.policy.inputs import input_id
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import captured

__all__ = ["database", "record", "sandbox"]


def keep_captured(database: str, rows: list[dict[str, Any]]) -> None:
    now = SystemClock().now()

    async def keep() -> None:
        opened = await Database.open(database)
        try:
            await Rows(opened).insert_new(captured, [captured_row(now, **row) for row in rows])
        finally:
            await opened.close()

    migrated(database)
    asyncio.run(keep())


def captured_row(now: datetime, *, number: int, **changes: Any) -> dict[str, Any]:
    asked = [{"role": "user", "content": question(number)}]
    return {
        "captured_id": new_attempt_id(now),
        "route": "forum-reply",
        "tenant": "",
        "input_id": input_id(asked),
        "request_id": f"req-{number}",
        "user_digest": f"user-{number}",
        "role": "primary",
        "provider": "sandbox",
        "model": FORUM,
        "prompt_version": None,
        "request": orjson.dumps({"messages": asked}).decode(),
        "answer": orjson.dumps({"role": "assistant", "content": "An answer."}).decode(),
        "redacted": {},
        "captured_at": now,
        "expires_at": now + timedelta(days=30),
    } | changes


@pytest.mark.parametrize(
    ("tenant", "taken"),
    [(None, ["req-1", "req-2"]), ("acme", ["req-3"]), ("another", [])],
    ids=["nobody's rows", "acme's rows", "a tenant without rows"],
)
def test_captured_rows_of_another_tenant_are_never_taken(
    record: Recording, tmp_path: Path, sandbox: RunningSandbox, database: str, tenant: str | None, taken: list[str]
) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    rows = [
        {"number": 1},
        {"number": 2},
        {"number": 3, "tenant": "acme"},
        {"number": 4, "tenant": "Acme"},
        {"number": 5, "route": "another-route"},
        {"number": 6, "expires_at": long_ago},
    ]
    keep_captured(database, rows)
    write_routes(tmp_path, sandbox.base_url, capture={"share": 1.0}, **({"tenant": tenant} if tenant else {}))
    ran = record("forum-reply", "--inputs", "captured", "--yes", "--second-samples", "0", *FAST)
    assert ran.code == (0 if taken else 1), ran.err
    assert len(record.bill) == len(taken)
    exported = record("forum-reply", "--export", tmp_path / "out.jsonl")
    assert exported.code == (0 if taken else 1)
    if taken:
        lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
        asked = sorted(orjson.loads(line)["messages"][0]["content"] for line in lines)
        assert asked == sorted(question(int(request_id[-1])) for request_id in taken)


def test_another_tenant_s_recordings_are_as_good_as_not_there(
    record: Recording, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    record.of_file("--yes", "--second-samples", "0")
    write_routes(tmp_path, sandbox.base_url, tenant="acme")
    assert record("forum-reply", "--export", tmp_path / "out.jsonl").code == 1
    ran = record.of_file("--yes", "--second-samples", "0", "--json")
    assert (ran.json["recorded_before"], ran.json["recorded"]) == (0, INPUTS)


def test_an_export_is_a_training_file_and_says_that_a_model_wrote_it(record: Recording, tmp_path: Path) -> None:
    record.of_file("--yes", "--second-samples", "1")
    file, about = tmp_path / "out.jsonl", tmp_path / "out.jsonl.manifest.json"
    ran = record("forum-reply", "--export", file)
    assert ran.code == 0
    assert "terms may forbid training other models" in ran.err
    rows = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert len(rows) == INPUTS, "second samples are no training rows"
    assert all([message["role"] for message in row["messages"]] == ["system", "user", "assistant"] for row in rows)
    asked = {row["messages"][1]["content"] for row in rows}
    assert asked == {training_row(number)["messages"][1]["content"] for number in range(INPUTS)}
    told = orjson.loads(about.read_bytes())
    assert (told["written_by"], told["model"], told["provider"]) == ("model", FORUM, "sandbox")
    assert (told["rows"], told["tenant"], told["route"]) == (INPUTS, None, "forum-reply")
    assert told["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "terms may forbid training other models" in told["terms"]
    assert told["first_recorded_at"] <= told["last_recorded_at"]
    assert os.stat(file).st_mode & 0o077 == 0, "it holds customers' text"
    # What was exported is a file of inputs again.
    assert record("forum-reply", "--inputs", file, "--second-samples", "0").out.startswith("forum-reply: everything")


def test_an_export_replaces_nothing(record: Recording, tmp_path: Path) -> None:
    record.of_file("--yes")
    file = tmp_path / "out.jsonl"
    file.write_text("mine")
    ran = record("forum-reply", "--export", file)
    assert (ran.code, ran.err) == (1, f"{file} exists; name another file, or remove it\n")
    assert file.read_text() == "mine"
    about = tmp_path / "out.jsonl.manifest.json"
    assert not about.exists()
    about.write_text("mine")
    file.unlink()
    ran = record("forum-reply", "--export", file)
    assert (ran.code, ran.err) == (1, f"{about} exists; name another file, or remove it\n")
    assert (file.exists(), about.read_text()) == (False, "mine")


@pytest.mark.parametrize(
    ("shutdown", "inputs", "code", "standing"),
    [
        pytest.param("2999-01-14", 0, 1, "LACKS RECORDINGS", id="a primary that will stop, and no recordings"),
        pytest.param("2999-01-14", 50, 0, "enough", id="a primary that will stop, recorded"),
        pytest.param(None, 50, 0, "enough", id="a primary without a date, recorded"),
        pytest.param(None, 0, 1, "LACKS RECORDINGS", id="a primary without a date"),
        pytest.param("2020-01-14", 0, 0, "stopped", id="a primary that has stopped: too late"),
    ],
)
def test_before_the_shutdown_routes_that_lack_recordings_are_told(
    record: Recording, tmp_path: Path, shutdown: str | None, inputs: int, code: int, standing: str
) -> None:
    if inputs:
        write_inputs(record.inputs, inputs)
        assert record.of_file("--yes", "--second-samples", "0").code == 0
    if shutdown:
        dates = f"lifecycle: {{sandbox: {{'{FORUM}': {{shutdown: {shutdown}, source: a test}}}}}}\n"
        record.routes.write_text(record.routes.read_text() + dates)
    ran = record("--before-shutdown")
    assert ran.code == code, ran.err
    assert standing in ran.out
    ran = record("--before-shutdown", "--json")
    assert ran.code == code
    (row,) = ran.json["routes"]
    assert (row["route"], row["recorded_inputs"], row["shutdown"]) == ("forum-reply", inputs, shutdown)
    assert row["lacks_recordings"] is (inputs < ran.json["enough_inputs"])


def test_before_the_shutdown_the_next_to_stop_is_first_and_is_told_what_to_type(
    record: Recording, tmp_path: Path, database: str
) -> None:
    keep_captured(database, [{"number": 1}, {"number": 2}, {"number": 3, "tenant": "acme"}])
    training = write_rows(tmp_path / "rows.jsonl", [training_row(1)])
    record.routes.write_text(
        f"""\
version: 1
providers:
  sandbox: {{kind: sandbox, base_url: "http://127.0.0.1:9/v1"}}
fallbacks:
  luna: {{provider: sandbox, model: gpt-6-luna}}
defaults: {{provider: sandbox, fallbacks: [luna]}}
lifecycle:
  sandbox:
    later: {{shutdown: 2999-12-01, source: a test}}
    sooner: {{shutdown: 2999-01-01, source: a test}}
routes:
  undated: "ft:undated"
  forum-reply: "{FORUM}"
  last: {{primary: later, training: {{file: missing.jsonl}}}}
  first: {{primary: sooner, training: {{file: {training.name}}}}}
  untrained: {{primary: null}}
"""
    )
    rows = record("--before-shutdown", "--json").json["routes"]
    assert [row["route"] for row in rows] == ["first", "last", "forum-reply", "undated"]
    assert [row["training_file_exists"] for row in rows] == [True, False, False, False]
    assert [row["captured_waiting"] for row in rows] == [0, 0, 2, 0]
    assert [row["next"].rpartition("--inputs ")[2] for row in rows] == [
        rows[0]["training_file"],
        "FILE",
        "captured",
        "FILE",
    ]
    text = record("--before-shutdown")
    assert text.code == 1
    assert text.out.startswith(
        "4 routes have fewer than 50 recorded inputs of a primary that lives; the next stops in "
    )


@pytest.mark.rig
def test_ctrl_c_ends_a_run_in_order(record: Recording, sandbox: RunningSandbox, database: str) -> None:
    provider = sandbox.sandbox.provider
    provider.adjust(replace(provider.models[FORUM], latency_ms=40.0))
    write_inputs(record.inputs, 60)
    code = "import sys; from gateway.cli.record import record; import typer; typer.run(record)"
    arguments = ["forum-reply", "--inputs", record.inputs, "--yes", *FAST, "--routes", record.routes, "--json"]
    command = [sys.executable, "-c", code, *map(str, arguments), "--database", database]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        while len(record.bill) < 8:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.005)
            assert process.poll() is None, process.stderr and process.stderr.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1
    assert b"stopping; waiting for what is in flight" in err
    done = orjson.loads(out)
    assert done["stopped"] == "interrupted"
    assert 8 <= done["recorded"] == len(record.bill) < 60, "everything that was billed is kept"
