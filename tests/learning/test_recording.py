import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from fake_clock import FakeClock
from recorded_routes import FORUM, SYSTEM, question, total, write_inputs, write_routes
from recording_bench import inputs_of, opened, planned, recorder, recordings
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from sqlalchemy import text

from gateway.clock import SystemClock
from gateway.config.routes import Parameters
from gateway.learning.recordings.plan import FIRST, SECOND, asked_with, cost_at_most, in_share, lengths, plan
from gateway.learning.recordings.recorder import Recorder, RecordingRun, Stop
from gateway.store.leases import LeaseStore

pytestmark = pytest.mark.rig

INPUTS = 30
RECORD = "import typer; from gateway.cli.record import record; typer.run(record)"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
def routes(sandbox: RunningSandbox, tmp_path: Path) -> Path:
    return write_routes(tmp_path, sandbox.base_url)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return write_inputs(tmp_path / "inputs.jsonl", INPUTS)


async def test_a_second_run_asks_nothing(sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        first = await planned(bench, inputs)
        await recorder(bench).record(first.questions)
        billed = sandbox.sandbox.provider.bill.rows()
        assert len(billed) == len(first.questions) > INPUTS
        second = await planned(bench, inputs)
        assert (second.questions, second.recorded, second.pending) == ((), INPUTS, 0)
        await recorder(bench).record(second.questions)
    assert sandbox.sandbox.provider.bill.rows() == billed


async def test_a_recording_holds_what_was_asked_and_answered_and_what_that_took(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path
) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        await recorder(bench).record((await planned(bench, inputs, 1.0)).questions)
        rows = await recordings(bench)
    billed = {row.attempt_id: row for row in sandbox.sandbox.provider.bill.rows()}
    assert {(row.input_id, row.sample) for row in rows} == {
        (row.id, sample) for row in inputs_of(inputs).rows for sample in (FIRST, SECOND)
    }
    for row in rows:
        asked, answer = orjson.loads(row.request)["messages"], orjson.loads(row.answer or "")
        assert [message["role"] for message in asked] == ["system", "user"]
        assert asked[0]["content"] == SYSTEM
        assert answer["role"] == "assistant"
        assert "The Acme community team" in answer["content"], "the fine-tune's own style"
        bill = billed[row.attempt_id]
        assert (row.input_tokens, row.output_tokens, row.cost_nanousd) == (
            bill.input_tokens, bill.output_tokens, bill.cost_nanousd,
        )  # fmt: skip
        assert row.ttft_ms is not None
        assert row.duration_ms is not None
        assert 0 < row.ttft_ms <= row.duration_ms
        assert (row.tenant, row.source, row.batch_id) == ("", "inputs.jsonl", None)


async def test_every_answer_is_a_row_of_the_ledger(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path
) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        made = recorder(bench)
        run = await made.record((await planned(bench, inputs)).questions)
    billed = sandbox.sandbox.provider.bill.rows()
    assert made.purse.spent == total(billed)
    async with opened(routes, tmp_path / "state.db") as bench, bench.database.engine.connect() as connection:
        query = "SELECT kind, count(*), sum(cost_nanousd) FROM attempts GROUP BY kind"
        ledger = (await connection.execute(text(query))).all()
    assert [tuple(row) for row in ledger] == [("recording", run.kept, total(billed))]


@pytest.mark.parametrize("concurrency", [1, 4, 16])
@pytest.mark.parametrize("cap_usd", [0.0, 0.0001, 0.001, 0.002])
async def test_the_bill_stays_within_the_cap(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path, cap_usd: float, concurrency: int
) -> None:
    cap = round(cap_usd * 1e9)
    async with opened(routes, tmp_path / "state.db") as bench:
        questions = (await planned(bench, inputs, 1.0)).questions
        usual = lengths(inputs_of(inputs).rows, ())
        made = recorder(bench, usual=usual, cap_nanousd=cap, concurrency=concurrency)
        run = await made.record(questions)
        assert run.stopped is Stop.CAP
        assert run.kept == len(await recordings(bench)) < len(questions)
    billed = total(sandbox.sandbox.provider.bill.rows())
    assert billed == made.purse.spent <= cap
    assert made.purse.set_aside == 0
    if cap_usd >= 0.001:
        assert billed > cap / 2, "upper estimates of what is in flight are given back"


async def test_a_rate_limit_is_waited_for_five_times(sandbox: RunningSandbox, inputs: Path, tmp_path: Path) -> None:
    routes = write_routes(tmp_path, sandbox.base_url, primary="fault-429")
    clock = FakeClock(SystemClock().now())
    async with opened(routes, tmp_path / "state.db", clock) as bench:
        run = asyncio.create_task(recorder(bench).record((await planned(bench, inputs)).questions[:1]))
        tried: list[tuple[float, int]] = []
        while not run.done():
            await asyncio.sleep(0.001)
            if clock.sleepers:
                tried.append((clock.monotonic(), len(sandbox.sandbox.provider.bill.rows())))
                clock.advance(1.0)
        done = run.result()
    # The sandbox says: in two seconds. From the third time on the pauses are longer than that.
    allowed = ((2, 1), (4, 2), (8, 3), (16, 4))
    assert all(count <= most for at, count in tried for until, most in allowed if at < until)
    assert len(sandbox.sandbox.provider.bill.rows()) == 5
    assert (done.kept, {kind: trouble.count for kind, trouble in done.troubles.items()}) == (0, {"rate_limited": 1})


async def test_a_provider_that_cannot_be_reached_ends_the_run(inputs: Path, tmp_path: Path) -> None:
    routes = write_routes(tmp_path, "http://127.0.0.1:9/v1")
    clock = FakeClock(SystemClock().now())
    async with opened(routes, tmp_path / "state.db", clock) as bench:
        questions = (await planned(bench, inputs)).questions
        running = asyncio.create_task(recorder(bench).record(questions))
        while not running.done():
            await asyncio.sleep(0.001)
            if clock.sleepers:
                clock.advance(1.0)
        run = running.result()
    assert (run.stopped, run.kept, [*run.troubles]) == (Stop.UNREACHABLE, 0, ["connection"])
    assert 1 <= run.failed <= 4


@pytest.mark.parametrize(
    ("primary", "stop", "kind"),
    [
        pytest.param(
            "ft:gpt-4o-mini-2024-07-18:acme:gone:x", Stop.GONE, "model_ambiguous", id="a primary that is gone"
        ),
        pytest.param("fault-substitute", Stop.SUBSTITUTED, "substituted", id="another model that answers instead"),
    ],
)
async def test_a_primary_that_does_not_answer_itself_ends_the_run_at_once(
    sandbox: RunningSandbox, inputs: Path, tmp_path: Path, primary: str, stop: Stop, kind: str
) -> None:
    routes = write_routes(tmp_path, sandbox.base_url, primary=primary)
    async with opened(routes, tmp_path / "state.db") as bench:
        run = await recorder(bench, concurrency=4).record((await planned(bench, inputs)).questions)
        assert await recordings(bench) == []
    assert (run.stopped, run.kept) == (stop, 0)
    assert [*run.troubles] == [kind]
    assert 1 <= run.failed == len(sandbox.sandbox.provider.bill.rows()) <= 4


async def test_a_primary_that_is_retired_meanwhile_leaves_what_was_recorded(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path
) -> None:
    def retire(run: RecordingRun) -> None:
        if run.kept == 10:
            sandbox.sandbox.provider.retire(FORUM)

    async with opened(routes, tmp_path / "state.db") as bench:
        questions = (await planned(bench, inputs)).questions
        run = await recorder(bench, concurrency=1, on_progress=retire).record(questions)
        assert (run.stopped, run.kept, run.failed) == (Stop.GONE, 10, 1)
        assert len(await recordings(bench)) == 10


async def test_whoever_stops_a_run_gets_what_is_in_flight(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path
) -> None:
    made: list[Recorder] = []
    async with opened(routes, tmp_path / "state.db") as bench:
        questions = (await planned(bench, inputs)).questions
        made.append(recorder(bench, concurrency=4, on_progress=lambda run: run.kept == 5 and made[0].stop()))
        run = await made[0].record(questions)
        assert run.stopped is Stop.INTERRUPTED
        assert run.kept == len(await recordings(bench)) == len(sandbox.sandbox.provider.bill.rows()) < len(questions)


async def test_failures_without_end_end_the_run(sandbox: RunningSandbox, tmp_path: Path) -> None:
    routes = write_routes(tmp_path, sandbox.base_url, primary="fault-malformed")
    inputs = write_inputs(tmp_path / "many.jsonl", 60)
    async with opened(routes, tmp_path / "state.db") as bench:
        run = await recorder(bench, concurrency=2).record((await planned(bench, inputs)).questions)
    assert (run.stopped, run.kept) == (Stop.FAILING, 0)
    assert 20 <= run.failed <= 22


@pytest.mark.rig
def test_a_run_that_is_killed_is_gone_on_with(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path
) -> None:
    provider = sandbox.sandbox.provider
    provider.adjust(replace(provider.models[FORUM], latency_ms=40.0))
    state, concurrency = tmp_path / "state.db", 4
    command = [
        sys.executable, "-c", RECORD, "forum-reply", "--inputs", str(inputs), "--yes", "--rate", "1000",
        "--concurrency", str(concurrency), "--routes", str(routes), "--database", f"sqlite:///{state}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while len(provider.bill.rows()) < 12:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.005)
            assert process.poll() is None, process.stderr and process.stderr.read()
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()

    async def kept() -> int:
        async with opened(routes, state) as bench:
            rows = await recordings(bench)
            async with bench.database.engine.connect() as connection:
                ledger = set((await connection.execute(text("SELECT attempt_id FROM attempts"))).scalars())
            unknown = {row.attempt_id for row in rows if row.attempt_id} - {str(UUID(attempt)) for attempt in ledger}
            assert not unknown, "an answer is kept without its row of the ledger"
            return len(rows)

    async def a_minute_later() -> None:
        async with opened(routes, state) as bench:
            leases, later = LeaseStore(bench.database), SystemClock().now() + timedelta(seconds=61)
            assert await leases.take("record:forum-reply", "nobody", later, 60) is None
            await leases.release("record:forum-reply", "nobody")

    before = asyncio.run(kept())
    held_up = subprocess.run(command, check=False, capture_output=True)
    assert (held_up.returncode, b"or after a crash up to a minute" in held_up.stderr) == (1, True)
    asyncio.run(a_minute_later())
    asked = len(plan(inputs_of(inputs), (), 0.2).questions)
    assert 12 - concurrency <= before < asked
    done = subprocess.run([*command, "--json"], check=True, capture_output=True)
    assert orjson.loads(done.stdout)["asked"] == asked - before, "what was kept is not asked again"
    assert asyncio.run(kept()) == asked
    # What the killed one had in flight may have been billed.
    assert len(provider.bill.rows()) - asked <= concurrency


PARAMETERS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "none": ({}, {}, True),
    "the same, in another order": ({"set": {"a": 1, "b": [2]}}, {"set": {"b": [2], "a": 1}}, True),
    "one that is set": ({}, {"set": {"max_tokens": 1}}, False),
    "another value": ({"set": {"max_tokens": 1}}, {"set": {"max_tokens": 2}}, False),
    "one that is dropped": ({}, {"drop": ["stop"]}, False),
    "one that is renamed": ({}, {"rename": {"max_tokens": "max_completion_tokens"}}, False),
}


@pytest.mark.parametrize(("some", "others", "same"), PARAMETERS.values(), ids=PARAMETERS)
async def test_recordings_are_known_by_what_the_primary_is_asked_with(
    routes: Path, tmp_path: Path, some: dict[str, Any], others: dict[str, Any], same: bool
) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        primary = bench.route("forum-reply").primary
        assert primary is not None
        made = [asked_with(primary.model_copy(update={"parameters": Parameters(**given)})) for given in (some, others)]
        assert asked_with(primary) == ""
    assert (made[0] == made[1]) is same
    assert [len(digest) for digest in made] == [8 if given else 0 for given in (some, others)]


async def test_second_samples_are_asked_with_a_seed_of_their_own(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path
) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        await recorder(bench).record((await planned(bench, inputs, 1.0)).questions)
        rows = await recordings(bench)
    answers = {(row.input_id, row.sample): row.answer for row in rows}
    ids = sorted({row.input_id for row in rows})
    differing = sum(answers[id_, FIRST] != answers[id_, SECOND] for id_ in ids)
    assert 0 < differing < len(ids), "the model differs from itself, now and then"


def test_a_larger_share_of_second_samples_holds_the_smaller(inputs: Path) -> None:
    ids = [f"{number:016x}" for number in range(2_000)]
    chosen = [{id_ for id_ in ids if in_share(id_, share)} for share in (0.0, 0.1, 0.2, 0.5, 1.0)]
    assert all(smaller <= larger for smaller, larger in pairwise(chosen))
    assert (len(chosen[0]), len(chosen[-1])) == (0, len(ids))
    assert 340 < len(chosen[2]) < 460


def test_an_input_s_second_sample_follows_its_first(inputs: Path) -> None:
    asked = [(question.input.id, question.sample) for question in plan(inputs_of(inputs), (), 0.5).questions]
    seconds = [at for at, (_, sample) in enumerate(asked) if sample == SECOND]
    assert seconds
    assert all(asked[at - 1] == (asked[at][0], FIRST) for at in seconds)


async def test_a_limit_is_the_first_so_many_inputs_recorded_or_not(routes: Path, inputs: Path, tmp_path: Path) -> None:
    rows = inputs_of(inputs).rows
    limited = plan(inputs_of(inputs), (), 1.0, limit=7)
    assert [question.input.id for question in limited.questions[::2]] == [row.id for row in rows[:7]]
    assert (limited.inputs, limited.second_samples, len(limited.questions)) == (7, 7, 14)
    async with opened(routes, tmp_path / "state.db") as bench:
        await recorder(bench).record(limited.questions)
        kept = await recordings(bench)
    again = plan(inputs_of(inputs), kept, 1.0, limit=7)
    assert (again.questions, again.recorded) == ((), 7)
    more = plan(inputs_of(inputs), kept, 1.0, limit=9)
    assert ({question.input.id for question in more.questions}, more.recorded) == ({row.id for row in rows[7:9]}, 7)


def test_what_answers_cost_is_known_from_the_best_source_there_is(inputs: Path) -> None:
    rows = inputs_of(inputs).rows
    guessed = lengths([replace(row, answer_chars=None) for row in rows], ())
    assert (guessed.usual, guessed.known) == (300, False)
    told = lengths(rows, ())
    assert told.known
    assert told.usual == round(sum(-(-(row.answer_chars or 0) // 4) for row in rows) / len(rows))
    assert told.longest >= 4 * told.usual


async def test_an_answer_that_is_longer_than_any_raises_what_is_set_aside(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path
) -> None:
    questions = plan(inputs_of(inputs), (), 0.0).questions
    async with opened(routes, tmp_path / "state.db") as bench:
        short = lengths([replace(inputs_of(inputs).rows[0], answer_chars=4)], ())
        made = recorder(bench, usual=short, concurrency=1)
        price = bench.snapshot.price_book.lookup("sandbox", FORUM)
        await made.record(questions[:1])
        # Enough for an answer as long as the longest was thought to be.
        made.purse.cap = made.purse.spent + cost_at_most(questions[1], price, 0, short.longest)
        run = await made.record(questions[1:2])
    assert (run.kept, run.stopped) == (1, Stop.CAP)


def test_the_questions_of_these_tests_differ() -> None:
    assert len({question(number) for number in range(100)}) == 100
