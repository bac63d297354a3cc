import asyncio
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_clock import FakeClock
from migrated_database import migrated
from recorded_routes import FORUM, total, write_routes
from recording_command import INPUTS, Recording, database, record, sandbox
from sandbox_server import RunningSandbox

from gateway.cli.record_progress import shown_progress
from gateway.clock import SystemClock
from gateway.learning.pace import Purse
from gateway.learning.recordings.recorder import RecordingRun
from gateway.store.database import Database
from gateway.store.leases import LeaseStore

__all__ = ["database", "record", "sandbox"]


def test_the_cost_is_told_before_and_the_outcome_after(record: Recording) -> None:
    ran = record.of_file("--yes", "--second-samples", "0")
    assert ran.code == 0, ran.err
    before, estimate, *rest = ran.err.splitlines()
    assert before == "forum-reply: 12 inputs to ask; 0 recorded already"
    told = re.fullmatch(
        r"about (\d+) tokens in and (\d+) out: about \$(0\.\d+); never more than \$5\.00 \(--max-usd\)", estimate
    )
    assert told is not None, estimate
    assert rest == []
    assert re.fullmatch(r"forum-reply: 12 answers recorded for \$0\.\d+\n", ran.out)
    billed_usd = total(record.bill) / 1e9
    assert billed_usd / 3 < float(told[3]) < billed_usd * 3, "the estimate is of the right size"


def test_the_same_command_again_asks_nothing(record: Recording) -> None:
    record.of_file("--yes")
    billed = record.bill
    ran = record.of_file()
    assert (ran.code, ran.err) == (0, ""), "and needs nobody's consent"
    assert ran.out == "forum-reply: everything is recorded (12 inputs); nothing was asked\n"
    assert record.bill == billed


def test_json_is_all_there_is_on_stdout(record: Recording) -> None:
    ran = record.of_file("--yes", "--json", "--second-samples", "1")
    assert ran.code == 0
    assert ran.json["recorded"] == ran.json["asked"] == 2 * INPUTS
    assert ran.json["spent_usd"] == pytest.approx(total(record.bill) / 1e9)
    assert (ran.json["stopped"], ran.json["failures"], ran.json["missing"]) == (None, [], 0)


async def _taken(database: str) -> None:
    opened = await Database.open(database)
    try:
        now = SystemClock().now()
        assert await LeaseStore(opened).take("record:forum-reply", "somebody, since noon", now, 3600) is None
    finally:
        await opened.close()


@pytest.mark.parametrize("how", [(), ("--batch",)], ids=["one by one", "as a batch"])
def test_while_another_run_is_at_work_nothing_is_asked(record: Recording, database: str, how: tuple[str, ...]) -> None:
    migrated(database)
    asyncio.run(_taken(database))
    ran = record.of_file("--yes", *how)
    assert ran.code == 1
    assert ran.err == (
        "another `gateway record forum-reply` is at work (by somebody, since noon); wait for it, or after a crash up "
        "to a minute\n"
    )
    assert record.bill == []


@pytest.mark.rig
def test_two_commands_at_once_pay_once(record: Recording, sandbox: RunningSandbox, database: str) -> None:
    provider = sandbox.sandbox.provider
    provider.adjust(replace(provider.models[FORUM], latency_ms=100.0))
    migrated(database)
    code = "import typer; from gateway.cli.record import record; typer.run(record)"
    arguments = ["forum-reply", "--inputs", record.inputs, "--yes", "--second-samples", "0", "--concurrency", "1"]
    command = [sys.executable, "-c", code, *map(str, arguments), "--routes", str(record.routes)]
    both = [
        subprocess.Popen([*command, "--database", database], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        said = [process.communicate(timeout=60) for process in both]
    finally:
        for process in both:
            process.kill()
    assert 0 in [process.returncode for process in both], said
    assert len(record.bill) == INPUTS


def test_what_was_recorded_with_other_parameters_is_asked_again(
    record: Recording, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    once = ("--yes", "--second-samples", "0", "--json")
    assert record.of_file(*once).json["recorded"] == INPUTS
    write_routes(tmp_path, sandbox.base_url, parameters={"set": {"max_tokens": 5}})
    assert record("forum-reply", "--export", tmp_path / "none.jsonl").code == 1
    ran = record.of_file(*once)
    assert (ran.json["recorded_before"], ran.json["recorded"]) == (0, INPUTS)
    assert {row.output_tokens for row in record.bill[INPUTS:]} == {5}
    assert record("--before-shutdown", "--json").json["routes"][0]["recorded_inputs"] == INPUTS
    write_routes(tmp_path, sandbox.base_url)
    ran = record.of_file(*once)
    assert (ran.json["recorded_before"], ran.json["recorded"]) == (INPUTS, 0), "both are kept"


def test_a_batch_is_fetched_also_where_the_parameters_have_changed_since(
    record: Recording, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    provider = sandbox.sandbox.provider
    provider.batches.duration_s = 3600.0
    record.of_file("--yes", "--batch", "--second-samples", "0")
    (batch,) = provider.batches.newest_first()
    batch.duration_s = 0.0
    write_routes(tmp_path, sandbox.base_url, parameters={"set": {"max_tokens": 5}})
    ran = record.of_file("--yes", "--limit", "1", "--second-samples", "0", "--json")
    assert (ran.json["from_batches"], ran.json["recorded"]) == (INPUTS, 1)
    write_routes(tmp_path, sandbox.base_url)
    assert record.of_file("--second-samples", "0").out.startswith("forum-reply: everything is recorded (12 inputs)")


def test_a_limit_asks_nothing_new_the_second_time(record: Recording, sandbox: RunningSandbox) -> None:
    provider = sandbox.sandbox.provider
    provider.batches.duration_s = 3600.0
    for how in ((), ("--batch",)):
        sent = record.of_file("--yes", "--limit", "5", *how, "--json")
        again = record.of_file("--yes", "--limit", "5", *how, "--json")
        assert sent.code == again.code == 0
        assert (again.json["asked"], again.json["sent_as_batch"]) == (0, 0)
    assert provider.batches.newest_first() == []
    sent = record.of_file("--yes", "--limit", "7", "--batch", "--second-samples", "0", "--json")
    again = record.of_file("--yes", "--limit", "7", "--batch", "--second-samples", "0", "--json")
    assert (sent.json["sent_as_batch"], again.json["sent_as_batch"], again.json["asked"]) == (2, 0, 0)
    assert len(provider.batches.newest_first()) == 1


def test_a_run_that_meets_its_cap_says_so_and_how_to_go_on(record: Recording) -> None:
    ran = record.of_file("--max-usd", "0.0006")
    assert ran.code == 1
    assert "that is beyond the cap: it will come about as far as" in ran.err
    assert "stopped at the cap: $0.000" in ran.out
    assert "the same command goes on where this one ended" in ran.out
    first = len(record.bill)
    assert 0 < first < INPUTS
    assert total(record.bill) <= 600_000
    assert record.of_file("--max-usd", "1").code == 0
    assert len({row.attempt_id for row in record.bill}) == len(record.bill)
    assert record.of_file().out.startswith("forum-reply: everything is recorded (12 inputs)")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param((), 2, "name a route, or ask for --before-shutdown", id="no route"),
        pytest.param(("forum-repl", "--inputs", "x"), 2, "forum-reply", id="a route that is spelt wrongly"),
        pytest.param(("forum-reply",), 2, "say what to ask", id="no inputs"),
        pytest.param(("forum-reply", "--inputs", "nowhere.jsonl"), 1, "cannot read nowhere.jsonl", id="no such file"),
        pytest.param(
            ("forum-reply", "--inputs", "captured"), 1, "captures nothing: set `capture`", id="nothing is captured"
        ),
        pytest.param(("forum-reply", "--inputs", "x", "--wait"), 2, "goes with --batch", id="waiting for nothing"),
        pytest.param(("forum-reply", "--before-shutdown"), 2, "looks at every route", id="one route's shutdown"),
        pytest.param(("forum-reply", "--export", "x", "--batch"), 2, "leave --inputs", id="an export that asks"),
        pytest.param(("forum-reply", "--export", "x"), 1, "nothing of forum-reply is recorded yet", id="nothing yet"),
    ],
)
def test_misuse_is_told_and_costs_nothing(record: Recording, arguments: tuple[str, ...], code: int, says: str) -> None:
    ran = record(*arguments)
    assert ran.code == code
    assert says in " ".join(ran.err.replace("│", "").split())
    assert record.bill == []


def test_nobody_spends_money_unasked(record: Recording) -> None:
    ran = record.of_file()
    assert ran.code == 2
    assert "this costs money and nobody is asked: say --yes, or name a --max-usd" in " ".join(ran.err.split())
    assert record.bill == []


def test_a_line_that_cannot_be_asked_is_told_with_file_and_line(record: Recording) -> None:
    record.inputs.write_text('{"input": "a"}\n{"input": 3}\n')
    ran = record.of_file("--yes")
    assert ran.code == 1
    assert ran.err.startswith(f"{record.inputs}:2: has neither a list of messages nor an input that is text")
    assert record.bill == []


def test_a_model_without_a_price_is_asked_only_within_a_limit(
    record: Recording, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    write_routes(tmp_path, sandbox.base_url, priced=False)
    ran = record.of_file("--yes")
    assert ran.code == 1
    assert f"no price is known for {FORUM} of sandbox" in ran.err
    assert record.bill == []
    limited = record.of_file("--yes", "--limit", "3", "--second-samples", "0")
    assert limited.code == 0
    assert len(record.bill) == 3


def test_a_primary_that_is_gone_is_told_with_what_can_still_be_done(record: Recording, sandbox: RunningSandbox) -> None:
    record.of_file("--yes", "--limit", "5")
    sandbox.sandbox.provider.retire(FORUM)
    ran = record.of_file("--yes")
    assert ran.code == 1
    assert f"{FORUM} is gone, or not ours to use: nothing more can be recorded." in ran.out
    assert "gateway pack build forum-reply --from training.jsonl" in ran.out
    assert "5 recorded answers stay: gateway record forum-reply --export FILE." in ran.out
    assert "failed, model_ambiguous: " in ran.out


def test_a_provider_that_cannot_be_reached_ends_the_run(record: Recording, tmp_path: Path) -> None:
    write_routes(tmp_path, "http://127.0.0.1:9/v1")
    ran = record.of_file("--yes", "--batch")
    assert ran.code == 1
    assert "http://127.0.0.1:9/v1/files: " in ran.err


def test_only_providers_with_a_batch_api_are_sent_batches(
    record: Recording, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    write_routes(tmp_path, sandbox.base_url, kind="openai-compatible")
    ran = record.of_file("--yes", "--batch")
    assert ran.code == 1
    assert "kind openai-compatible have no batch API" in ran.err


def test_a_batch_is_gone_on_with_by_the_same_command(record: Recording, sandbox: RunningSandbox) -> None:
    provider = sandbox.sandbox.provider
    provider.batches.duration_s = 3600.0
    sent = record.of_file("--yes", "--batch")
    assert sent.code == 0
    assert re.search(r"batch batch_\w+ is validating: 0 of \d+ done, at the latest by \d{4}-\d\d-\d\d", sent.out)
    assert "give the same command again" in sent.out
    waiting = record.of_file("--batch", "--json")
    assert waiting.code == 0
    assert (waiting.json["sent_as_batch"], len(waiting.json["batches"])) == (0, 1)
    (batch,) = provider.batches.newest_first()
    batch.duration_s = 0.0
    done = record.of_file("--batch")
    assert done.code == 0
    assert "answers came from batches" in done.out
    assert "everything is recorded (12 inputs)" in done.out
    assert len(provider.batches.newest_first()) == 1


def test_waiting_for_a_batch_ends_with_its_answers(record: Recording, sandbox: RunningSandbox) -> None:
    sandbox.sandbox.provider.batches.duration_s = 0.0
    ran = record.of_file("--yes", "--batch", "--wait", "--json")
    assert ran.code == 0
    assert (ran.json["from_batches"], ran.json["batches"]) == (ran.json["sent_as_batch"], [])
    assert ran.json["spent_usd"] == pytest.approx(total(record.bill) / 1e9)


def test_without_a_terminal_progress_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    run, purse = RecordingRun(100), Purse(10**9)
    with shown_progress(clock, quiet=False) as show:
        for _ in range(25):
            clock.advance(1.0)
            run.kept += 1
            purse.spent += 10**7
            show(run, purse)
    assert capsys.readouterr().err.splitlines() == [
        "10 of 100, $0.10 of $1.00, 0 failed, 1 min 30 s left",
        "20 of 100, $0.20 of $1.00, 0 failed, 1 min 20 s left",
    ]
