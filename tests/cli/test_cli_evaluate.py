"""``gateway evaluate``: exit codes, what it says before it asks, and what it keeps."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from command_line import Run
from evaluation_material import FINE_TUNE, ROUTE, billed, opened, training_rows, write_pack, write_routes
from migrated_database import migrated
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock
from gateway.store.evaluations import Evaluation
from gateway.store.leases import LeaseStore

FAST = ("--rate", "10000")


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
def routes(tmp_path: Path, sandbox: RunningSandbox) -> Path:
    write_pack(tmp_path / "packs" / ROUTE, training_rows(60))
    return write_routes(tmp_path, sandbox)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return migrated(f"sqlite:///{tmp_path / 'gateway.db'}")


@pytest.fixture
def command(run: Run, routes: Path, database: str) -> Run:
    def evaluated(*more: str | Path) -> object:
        return run("evaluate", ROUTE, "--routes", routes, "--database", database, *FAST, *more)

    return evaluated  # type: ignore[return-value]


def kept(routes: Path, tmp_path: Path) -> list[Evaluation]:
    async def read() -> list[Evaluation]:
        async with opened(routes, tmp_path / "gateway.db") as bench:
            return await bench.evaluations.latest(ROUTE)

    return asyncio.run(read())


def test_a_good_fallback_is_accepted_with_exit_code_0_and_the_verdict_is_kept(
    command: Run, routes: Path, tmp_path: Path
) -> None:
    done = command("--margin", "0.4", "--html", tmp_path / "page.html")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{ROUTE}: accepted on ")
    assert "about $" in done.err and "never more than $5.00" in done.err
    assert "<!doctype html>" in (tmp_path / "page.html").read_text()
    (verdict,) = kept(routes, tmp_path)
    assert (verdict.verdict, verdict.target, verdict.margin) == ("accept", "luna", 0.4)


def test_a_bad_fallback_is_rejected_with_exit_code_1(
    run: Run, tmp_path: Path, sandbox: RunningSandbox, database: str
) -> None:
    write_pack(tmp_path / "packs" / ROUTE, training_rows(60))
    routes = write_routes(tmp_path, sandbox, prompt="{instructions: Be brief.}")
    done = run("evaluate", ROUTE, "--routes", routes, "--database", database, *FAST)
    assert done.code == 1, done.out
    assert done.out.startswith(f"{ROUTE}: rejected on ")


def test_few_rows_are_not_enough_evidence_with_exit_code_3(command: Run) -> None:
    done = command("--limit", "10")
    assert done.code == 3
    assert "not enough evidence on 10 rows (about " in done.out


def test_json_is_the_whole_report_and_nothing_else_is_on_stdout(command: Run, routes: Path, tmp_path: Path) -> None:
    done = command("--json", "--limit", "10")
    assert done.json["verdict"] == "not_enough_evidence"
    assert done.json == orjson.loads(kept(routes, tmp_path)[0].report)


def test_the_same_command_again_asks_nothing_and_says_the_same(command: Run, sandbox: RunningSandbox) -> None:
    first = command("--json", "--limit", "10")
    asked = billed(sandbox)
    second = command("--json", "--limit", "10")
    assert billed(sandbox) == asked
    assert (second.out, second.err) == (first.out, "")


def test_the_test_for_one_look_is_refused_at_the_second(command: Run, sandbox: RunningSandbox) -> None:
    assert command("--limit", "10", "--looks", "once").code == 3
    asked = billed(sandbox)
    again = command("--looks", "once")
    assert again.code == 1
    assert "was looked at before" in again.err and "--looks" in again.err
    assert billed(sandbox) == asked
    assert command("--limit", "10", "--looks", "many").code == 3


def test_the_cap_is_said_and_kept(command: Run, sandbox: RunningSandbox) -> None:
    done = command("--max-usd", "0.003")
    assert "stopped at the cost cap" in done.err
    assert sum(row.cost_nanousd for row in sandbox.sandbox.provider.bill.rows(0)) <= 3_000_000
    assert done.code == 3


def test_texts_are_on_the_page_unless_they_are_left_out(
    run: Run, tmp_path: Path, sandbox: RunningSandbox, database: str
) -> None:
    write_pack(tmp_path / "packs" / ROUTE, training_rows(60))
    routes, page = write_routes(tmp_path, sandbox, prompt="{instructions: Be brief.}"), tmp_path / "page.html"
    asked = ("evaluate", ROUTE, "--routes", routes, "--database", database, *FAST, "--html", page)
    run(*asked)
    # What the sandbox's base says that knows no style.
    assert "You asked:" in page.read_text()
    run(*asked, "--no-texts")
    assert "You asked:" not in page.read_text()


def test_rows_of_a_file_that_are_the_prompts_examples_are_left_out_and_told(command: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_bytes(training_rows(60))
    done = command("--rows", file, "--json", "--limit", "5")
    assert done.json["rows"]["in_prompt"] > 20
    assert any("left out: the prompt shows the same input" in note for note in done.json["notes"])


def test_a_sweep_proposes_a_size_and_draws_it(command: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    sizes = ("--fixed", "5,20", "--similar", "0,4", "--points", "5,20")
    done = command("--sweep", "--curve", *sizes, "--json", "--html", page)
    assert done.code in (0, 1, 3), done.err
    assert len(done.json["sweep"]["tried"]) == 4
    assert [point["examples"] for point in done.json["curve"]] == [5, 20]
    assert any(note.startswith("Proposed: ") for note in done.json["notes"])
    assert "learning curve" in page.read_text() and "proposed" in page.read_text()


def test_a_sweep_that_its_cap_stops_proposes_nothing_and_keeps_no_verdict(
    command: Run, routes: Path, tmp_path: Path
) -> None:
    done = command("--sweep", "--fixed", "0,20", "--similar", "0,4", "--max-usd", "0.02", "--margin", "0.4")
    assert done.code == 3
    assert "sizes unasked; nothing proposed" in done.out and "not asked" in done.out
    assert "To serve it" not in done.out and "unpriced" not in done.out
    assert kept(routes, tmp_path) == []


def test_rows_that_chose_a_size_are_left_out_of_the_verdict_on_the_pack_that_is_built_of_it(
    command: Run, tmp_path: Path
) -> None:
    write_pack(tmp_path / "packs" / ROUTE, training_rows(110))
    swept = command("--sweep", "--fixed", "5", "--similar", "0,4", "--json")
    write_pack(
        tmp_path / "packs" / ROUTE, training_rows(110), fixed=5, similar=swept.json["sweep"]["proposed"]["similar"]
    )
    done = command("--json")
    left_out = swept.json["sweep"]["tuning_rows"]
    assert done.json["prompt_version"] != swept.json["prompt_version"]
    assert done.json["rows"]["of"] == swept.json["rows"]["of"] >= 20
    assert f"{left_out} rows left out: a sweep chose the size by them." in done.json["notes"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        pytest.param((), 1, id="without a bound it is refused"),
        pytest.param(("--limit", "5"), 3, id="a number of rows bounds it"),
    ],
)
def test_a_fallback_without_a_price_is_not_asked_unbounded(
    command: Run, routes: Path, sandbox: RunningSandbox, more: tuple[str, ...], code: int
) -> None:
    routes.write_text(routes.read_text().replace("gpt-6-luna: {input", "gpt-6-moon: {input"))
    done = command(*more)
    assert done.code == code, done.err
    assert ("no price is known for gpt-6-luna" in done.err) is (code == 1)
    assert (billed(sandbox).total() == 0) is (code == 1)
    assert "never more than" not in done.err


def test_a_small_cap_is_not_said_to_be_nothing(command: Run) -> None:
    assert "never more than $0.0030" in command("--max-usd", "0.003").err


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        pytest.param("{pack: packs/elsewhere}", "gateway pack build ticket-triage", id="a pack that is not there"),
        pytest.param("{caller_system: keep}", "luna has no prompt", id="a prompt of nothing"),
    ],
)
def test_a_prompt_that_is_not_there_is_not_evaluated(
    run: Run, tmp_path: Path, sandbox: RunningSandbox, database: str, prompt: str, said: str
) -> None:
    write_pack(tmp_path / "packs" / ROUTE, training_rows(60))
    routes = write_routes(tmp_path, sandbox, prompt=prompt)
    done = run("evaluate", ROUTE, "--routes", routes, "--database", database, *FAST)
    assert done.code == 1
    assert said in done.err
    assert billed(sandbox).total() == 0


def test_a_primary_that_counts_as_gone_is_told(command: Run, routes: Path) -> None:
    gone = f'lifecycle: {{sandbox: {{"{FINE_TUNE}": {{shutdown: 2020-01-01, source: a mail}}}}}}\n'
    routes.write_text(routes.read_text() + gone)
    done = command("--limit", "5", "--json")
    assert done.code == 3
    told = "The primary counts as gone: not asked; 5 rows left without it. When it is back, run this again."
    assert told in done.json["notes"]


def test_two_at_once_do_not_pay_twice(command: Run, routes: Path, tmp_path: Path, sandbox: RunningSandbox) -> None:
    async def take() -> None:
        async with opened(routes, tmp_path / "gateway.db") as bench:
            lease = (f"evaluate:{ROUTE}", "another process", bench.clock.now(), 3600.0)
            assert await LeaseStore(bench.database).take(*lease) is None

    asyncio.run(take())
    done = command("--limit", "5")
    assert done.code == 1
    assert "is at work" in done.err
    assert billed(sandbox).total() == 0


@pytest.mark.rig
def test_ctrl_c_ends_a_run_in_order(routes: Path, database: str, tmp_path: Path, sandbox: RunningSandbox) -> None:
    provider = sandbox.sandbox.provider
    provider.adjust(replace(provider.models["gpt-6-luna"], latency_ms=40.0))
    arguments = ["evaluate", ROUTE, "--routes", str(routes), "--database", database, *FAST]
    process = subprocess.Popen([sys.executable, "-m", "gateway", *arguments], stderr=subprocess.PIPE)
    try:
        while billed(sandbox).total() < 8:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.005)
            assert process.poll() is None, process.stderr and process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"stopping; waiting for what is in flight" in err
    assert f"stopped: {billed(sandbox).total()} answers are kept".encode() in err
    assert kept(routes, tmp_path) == []


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_paid(
    command: Run, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    for page in (tmp_path / "nowhere" / "page.html", tmp_path):
        done = command("--limit", "5", "--html", page)
        assert done.code == 2
        assert "--html" in done.err
    assert billed(sandbox).total() == 0


def test_a_named_file_is_all_that_is_evaluated(command: Run, tmp_path: Path) -> None:
    command("--limit", "5")  # Five are recorded.
    file = tmp_path / "two.jsonl"
    file.write_bytes(training_rows(2, seed=9))
    assert command("--rows", file, "--json").json["rows"]["of"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("nowhere",), 2, "there is no route", id="no such route"),
        pytest.param((ROUTE, "--target", "sol"), 2, "it has luna", id="no such fallback"),
        pytest.param((ROUTE, "--margin", "0"), 2, "--margin", id="no margin"),
        pytest.param((ROUTE, "--looks", "twice"), 2, "--looks", id="no such looks"),
        pytest.param((ROUTE, "--sweep", "--fixed", "five"), 2, "whole numbers", id="no numbers"),
        pytest.param((ROUTE, "--rows", "none.jsonl"), 1, "none.jsonl", id="a named file that is not there"),
        pytest.param(("judge",), 1, "no rows to be evaluated on", id="no rows"),
    ],
)
def test_what_cannot_be_evaluated_says_why(
    run: Run, routes: Path, database: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = run("evaluate", *arguments, "--routes", routes, "--database", database)
    assert done.code == code
    assert said in done.err
