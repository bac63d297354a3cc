import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from fake_clock import FakeClock
from recorded_routes import FORUM, total, training_row, write_inputs, write_routes, write_rows
from recording_bench import ROUTE, inputs_of, opened, planned, recordings
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from sqlalchemy import text

from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.learning.pace import Purse
from gateway.learning.recordings.batch_api import BatchApi
from gateway.learning.recordings.batches import Collected, RecordingBatches, parts
from gateway.learning.recordings.plan import lengths, plan
from gateway.learning.recordings.recorder import Stop
from gateway.learning.workbench import Workbench
from gateway.lifecycle.provider_pages import Refused
from gateway.store.recordings import Recording

pytestmark = pytest.mark.rig

INPUTS = 20
A_DAY_S = 86_400.0
REFUSED = {
    "messages": [{"role": "user", "content": "What is it?"}, {"role": "tool", "tool_call_id": "x", "content": "1"}]
}
"""The sandbox refuses a tool's answer that nobody called for."""


@pytest.fixture
def hours() -> FakeClock:
    """The sandbox's clock."""
    return FakeClock(SystemClock().now())


@pytest.fixture
def sandbox(hours: FakeClock) -> Iterator[RunningSandbox]:
    with running_sandbox(clock=hours, catalogue=fast_catalogue(hours.now())) as running:
        running.sandbox.provider.batches.duration_s = 3600.0
        yield running


@pytest.fixture
def routes(sandbox: RunningSandbox, tmp_path: Path) -> Path:
    return write_routes(tmp_path, sandbox.base_url)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "inputs.jsonl", [*map(training_row, range(INPUTS)), REFUSED])


def batches_of(bench: Workbench) -> RecordingBatches:
    route = bench.route(ROUTE)
    assert route.primary is not None
    return RecordingBatches(bench, route, route.primary, lengths((), ()))


async def promised(bench: Workbench) -> list[Recording]:
    return [row for row in await recordings(bench) if row.answer is None]


async def ledger(bench: Workbench) -> Sequence[Any]:
    async with bench.database.engine.connect() as connection:
        query = (
            "SELECT kind, outcome, service_tier, count(*), sum(cost_nanousd) FROM attempts GROUP BY 1, 2, 3 ORDER BY 2"
        )
        return [tuple(row) for row in (await connection.execute(text(query))).all()]


async def test_a_batch_from_its_beginning_to_its_end(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path, hours: FakeClock
) -> None:
    provider = sandbox.sandbox.provider
    async with opened(routes, tmp_path / "state.db") as bench:
        questions = (await planned(bench, inputs)).questions
        sent = await batches_of(bench).submit(questions, Purse(None))
        assert (sent.kept, sent.stopped) == (len(questions), None)
    # Another command, while the batch is at work.
    async with opened(routes, tmp_path / "state.db") as bench:
        hours.advance(1800.0)
        left = await planned(bench, inputs)
        assert (left.questions, left.recorded, left.pending) == ((), 0, len(questions))
        found = await batches_of(bench).collect(await promised(bench))
        (waiting,) = found.waiting
        assert (waiting.status, waiting.rows) == ("in_progress", len(questions))
        assert 0 < waiting.done < len(questions)
        assert len(await promised(bench)) == len(questions)
    # And one after it.
    async with opened(routes, tmp_path / "state.db") as bench:
        hours.advance(1801.0)
        found = await batches_of(bench).collect(await promised(bench))
        bill = provider.bill.rows()
        assert (found.waiting, found.run.kept) == ([], len(questions) - 1)
        (trouble,) = found.run.troubles.values()
        assert (trouble.count, trouble.first.partition(":")[0]) == (1, "400")
        assert "must be a response to a preceeding message" in trouble.first
        assert found.spent_nanousd == total(bill) > 0, "the ledger's price in a batch is the bill's"
        assert await ledger(bench) == [
            ("recording", "failed", "batch", 1, 0),
            ("recording", "ok", "batch", len(questions) - 1, total(bill)),
        ]
        rows = await recordings(bench)
        assert all(row.answer and row.batch_id == waiting.batch_id and row.duration_ms is None for row in rows)
        again = await planned(bench, inputs)
        assert [question.input.messages[0]["content"] for question in again.questions] == ["What is it?"]
        assert (again.recorded, again.pending) == (INPUTS, 0)
        assert (await batches_of(bench).collect(await promised(bench))).run.kept == 0
    assert len(provider.bill.rows()) == len(questions)


async def test_a_batch_asks_word_for_word_what_a_request_asks(
    sandbox: RunningSandbox, routes: Path, tmp_path: Path
) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        questions = (await planned(bench, write_inputs(tmp_path / "two.jsonl", 2), 1.0)).questions
        await batches_of(bench).submit(questions, Purse(None))
    (batch,) = sandbox.sandbox.provider.batches.newest_first()
    lines = [orjson.loads(line) for line in batch.content.splitlines()]
    assert [line["custom_id"] for line in lines] == [f"{asked.input.id}.{asked.sample}" for asked in questions]
    assert [line["body"] for line in lines] == [{**asked.body, "model": FORUM} for asked in questions]
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}


@pytest.mark.parametrize("created", [False, True], ids=["before the batch was made", "before its id was kept"])
async def test_a_command_that_was_killed_in_between_is_gone_on_with(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path, hours: FakeClock, created: bool
) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        questions = (await planned(bench, inputs)).questions
        await batches_of(bench).submit(questions, Purse(None))
        (batch,) = sandbox.sandbox.provider.batches.newest_first()
        # As it was when only the file's id was kept.
        async with bench.database.engine.begin() as connection:
            await connection.execute(
                text("UPDATE recordings SET batch_id = :file"), {"file": f"file:{batch.input_file_id}"}
            )
        if not created:
            sandbox.sandbox.provider.batches._batches.clear()
        found = await batches_of(bench).collect(await promised(bench))
        assert len(found.waiting) == 1
        assert [row.id for row in sandbox.sandbox.provider.batches.newest_first()] == [found.waiting[0].batch_id]
        hours.advance(3601.0)
        found = await batches_of(bench).collect(await promised(bench))
        assert found.run.kept == len(questions) - 1
    assert len(sandbox.sandbox.provider.bill.rows()) == len(questions)


async def test_answers_that_were_in_the_ledger_before_the_command_was_killed_are_not_there_twice(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path, hours: FakeClock
) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        await batches_of(bench).submit((await planned(bench, inputs)).questions, Purse(None))
        hours.advance(3601.0)
        before = await promised(bench)
        await batches_of(bench).collect(before)
        written = await ledger(bench)
        await bench.recordings.keep(before)
        await batches_of(bench).collect(await promised(bench))
        assert await ledger(bench) == written


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        pytest.param("expired", "before the completion window expired", id="a batch that took too long"),
        pytest.param("cancelled", "the batch is cancelled", id="a batch that somebody cancelled"),
        pytest.param("unknown", "No batch found|answered 404", id="a batch that the provider has forgotten"),
    ],
)
async def test_what_a_batch_does_not_keep_is_asked_again(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path, hours: FakeClock, ends: str, says: str
) -> None:
    provider = sandbox.sandbox.provider
    provider.batches.duration_s = 3 * A_DAY_S
    async with opened(routes, tmp_path / "state.db") as bench:
        questions = (await planned(bench, inputs)).questions
        await batches_of(bench).submit(questions, Purse(None))
        (batch,) = provider.batches.newest_first()
        if ends == "expired":
            hours.advance(A_DAY_S + 1)
        elif ends == "cancelled":
            await bench.prepared(bench.route(ROUTE), bench.route(ROUTE).targets[0]).upstream.request(
                "POST", f"/batches/{batch.id}/cancel"
            )
            hours.advance(A_DAY_S)
        else:
            provider.batches._batches.clear()
        found = await batches_of(bench).collect(await promised(bench))
        assert found.waiting == []
        told = " ".join(trouble.first for trouble in found.run.troubles.values())
        assert any(word in told for word in says.split("|"))
        assert found.run.kept + found.run.failed == len(questions)
        assert found.run.failed > 0
        assert len((await planned(bench, inputs)).questions) == found.run.failed
        assert await promised(bench) == []


async def test_a_batch_is_waited_for_by_looking_every_half_minute(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path, hours: FakeClock
) -> None:
    sandbox.sandbox.provider.batches.duration_s = 100.0
    clock = FakeClock(hours.now())
    async with opened(routes, tmp_path / "state.db", clock) as bench:
        questions = (await planned(bench, inputs)).questions
        batches = batches_of(bench)
        await batches.submit(questions, Purse(None))
        seen: list[tuple[float, int]] = []

        def look(found: Collected) -> None:
            seen.append((clock.monotonic(), len(found.waiting)))

        waiting = asyncio.create_task(batches.wait(lambda: promised(bench), look))
        while not waiting.done():
            await asyncio.sleep(0.001)
            if clock.sleepers:
                clock.advance(30.0)
                hours.advance(30.0)
        assert waiting.result().run.kept == len(questions) - 1
    assert seen == [(0.0, 1), (30.0, 1), (60.0, 1), (90.0, 1), (120.0, 0)]


async def test_a_provider_that_stays_away_is_told_after_ten_looks(routes: Path, inputs: Path, tmp_path: Path) -> None:
    clock = FakeClock(SystemClock().now())
    async with opened(routes, tmp_path / "state.db", clock) as bench:
        await batches_of(bench).submit((await planned(bench, inputs)).questions, Purse(None))
    gone = write_routes(tmp_path, "http://127.0.0.1:9/v1")
    async with opened(gone, tmp_path / "state.db", clock) as bench:
        waiting = asyncio.create_task(batches_of(bench).wait(lambda: promised(bench), lambda found: None))
        while not waiting.done():
            await asyncio.sleep(0.001)
            if clock.sleepers:
                clock.advance(30.0)
        with pytest.raises(ConfigError, match="/batches/"):
            waiting.result()
        assert len(await promised(bench)) > INPUTS, "nothing is given up"
    assert clock.monotonic() == 9 * 30.0


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([1] * 10_001, [10_000, 1], id="too many rows"),
        pytest.param([20 * 2**20] * 5, [2, 2, 1], id="too many bytes"),
        pytest.param([60 * 2**20, 1], [1, 1], id="a row that is too large goes alone"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_batches_are_not_too_large(inputs: Path, sizes: list[int], expected: list[int]) -> None:
    (asked, *_) = plan(inputs_of(inputs), (), 0.0).questions
    lines = {size: b"x" * size for size in sizes}
    made = list(parts([(asked, lines[size]) for size in sizes]))
    assert [len(part) for part in made] == expected


@pytest.mark.parametrize("cap_usd", [0.0, 0.003, 0.01])
async def test_a_batch_is_no_larger_than_the_cap_is_sure_to_pay_for(
    sandbox: RunningSandbox, routes: Path, inputs: Path, tmp_path: Path, hours: FakeClock, cap_usd: float
) -> None:
    cap = round(cap_usd * 1e9)
    async with opened(routes, tmp_path / "state.db") as bench:
        questions = (await planned(bench, inputs)).questions
        sent = await batches_of(bench).submit(questions, Purse(cap))
        assert sent.stopped is Stop.CAP
        assert sent.kept == len(await promised(bench)) < len(questions)
        assert (sent.kept > 0) == (cap_usd > 0)
        hours.advance(3601.0)
        await batches_of(bench).collect(await promised(bench))
    assert total(sandbox.sandbox.provider.bill.rows()) <= cap


async def test_what_the_provider_says_of_a_refusal_is_told(routes: Path, tmp_path: Path) -> None:
    async with opened(routes, tmp_path / "state.db") as bench:
        api = BatchApi(bench.prepared(bench.route(ROUTE), bench.route(ROUTE).targets[0]).upstream, bench.clock)
        with pytest.raises(Refused, match=r"/files answered 400: Invalid file format"):
            await api.upload("rows.txt", b"{}")
        with pytest.raises(Refused, match=r"/batches answered 404: No such File object"):
            await api.create("file-unknown")
