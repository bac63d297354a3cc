import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from a_pack import pack_files
from fake_clock import FakeClock
from migrated_database import migrated
from recorded_routes import FORUM, write_routes
from recording_bench import ROUTE, opened
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock
from gateway.config.packs import parse_pack
from gateway.config.routes import Prompt
from gateway.errors import ConfigError
from gateway.execution.prepared_target import PreparedTarget
from gateway.learning.asking import MOST_TRIES, Asked, body_of
from gateway.learning.workbench import Workbench
from gateway.reasons import FailureKind, Outcome, Role
from gateway.sandbox.catalogue import Fault, Model
from gateway.store.database import Database
from gateway.store.packs import PackStore

BODY = body_of([{"role": "user", "content": "How do I change my delivery address?"}], None)
NOBODY_THERE = "http://127.0.0.1:1/v1"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
def routes(sandbox: RunningSandbox, tmp_path: Path) -> Path:
    return write_routes(tmp_path, sandbox.base_url)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def _primary(bench: Workbench) -> PreparedTarget:
    route = bench.route(ROUTE)
    assert route.primary is not None
    return bench.prepared(route, route.primary)


def _ledger(file: Path) -> list[Any]:
    """The rows as the database has them once the bench is closed."""
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM attempts ORDER BY attempt_id").fetchall()
    connection.close()
    return [SimpleNamespace(**dict(row)) for row in found]


async def _ask(bench: Workbench, **how: Any) -> Asked:
    return await bench.asker.ask(
        bench.snapshot, bench.route(ROUTE), _primary(bench), BODY, **{"kind": "recording"} | how
    )


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["recording", "evaluation", "rehearsal"])
async def test_a_question_is_a_row_of_the_ledger_with_the_tokens_and_the_cost_of_the_bill(
    sandbox: RunningSandbox, routes: Path, file: Path, streamed: bool, kind: str
) -> None:
    async with opened(routes, file) as bench:
        asked = await _ask(bench, kind=kind, streamed=streamed)
    (billed,), (row,) = sandbox.sandbox.provider.bill.rows(), _ledger(file)
    assert asked.failure is None
    assert asked.message is not None
    assert asked.message["content"]
    entry = asked.entry
    assert entry.attempt_id == billed.attempt_id
    assert (entry.input_tokens, entry.output_tokens, entry.cost_nanousd) == (
        billed.input_tokens,
        billed.output_tokens,
        billed.cost_nanousd,
    )
    assert min(entry.input_tokens, entry.output_tokens, billed.cost_nanousd) > 0
    assert (entry.outcome, entry.failure, entry.status, entry.role) == (Outcome.OK, None, 200, Role.PRIMARY)
    assert (entry.ttft_ms is not None) == streamed
    assert 0 <= (entry.ttft_ms or 0) <= entry.duration_ms
    assert (row.kind, row.route, row.model_asked, row.stream) == (kind, ROUTE, FORUM, streamed)
    assert (row.cost_nanousd, row.duration_ms, row.ttft_ms) == (entry.cost_nanousd, entry.duration_ms, entry.ttft_ms)
    assert row.request_id == entry.request_id
    assert row.request_id.startswith(f"{kind}_")


async def test_a_streamed_answer_says_what_a_whole_one_says(routes: Path, file: Path) -> None:
    async with opened(routes, file) as bench:
        whole, streamed = await _ask(bench), await _ask(bench, streamed=True)
    assert whole.message == streamed.message


async def test_a_question_may_carry_the_id_of_the_request_that_it_is_about(routes: Path, file: Path) -> None:
    async with opened(routes, file) as bench:
        asked = await _ask(bench, request_id="live-1")
    assert asked.entry.request_id == "live-1"


async def test_a_model_without_a_price_costs_nobody_knows_what(
    sandbox: RunningSandbox, tmp_path: Path, file: Path
) -> None:
    async with opened(write_routes(tmp_path, sandbox.base_url, priced=False), file) as bench:
        asked = await _ask(bench)
    assert asked.message is not None
    assert asked.entry.cost_nanousd is None


async def test_a_target_is_asked_with_another_prompt_than_it_has(
    sandbox: RunningSandbox, routes: Path, file: Path
) -> None:
    async with opened(routes, file) as bench:
        route = bench.route(ROUTE)
        target = route.fallbacks[0].model_copy(
            update={"prompt": Prompt(version="tried", instructions="Be brief. " * 20)}
        )
        with_prompt = await bench.asker.ask(
            bench.snapshot, route, bench.prepared(route, target), BODY, kind="evaluation"
        )
        without = await bench.asker.ask(
            bench.snapshot, route, bench.prepared(route, route.fallbacks[0]), BODY, kind="evaluation"
        )
    assert (with_prompt.entry.prompt_version, without.entry.prompt_version) == ("tried", None)
    assert with_prompt.entry.input_tokens > without.entry.input_tokens + 20
    assert with_prompt.entry.role is Role.FALLBACK


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_model_that_is_gone_is_said_so(
    sandbox: RunningSandbox, routes: Path, file: Path, streamed: bool
) -> None:
    sandbox.sandbox.provider.retire(FORUM, "openai_deprecated")
    async with opened(routes, file) as bench:
        asked = await _ask(bench, streamed=streamed)
    assert asked.message is None
    assert asked.failure is not None
    assert asked.failure.kind is FailureKind.MODEL_GONE
    assert "has been deprecated" in asked.failure.message
    (row,) = _ledger(file)
    assert (row.outcome, row.failure, row.status, row.cost_nanousd) == ("failed", "model_gone", 404, 0)


@pytest.mark.parametrize(
    ("fault", "streamed", "kind", "outcome"),
    [
        pytest.param(Fault.RESET, False, FailureKind.CONNECTION, "failed", id="the connection is cut"),
        pytest.param(Fault.RESET, True, FailureKind.CONNECTION, "interrupted", id="the connection is cut in a stream"),
        pytest.param(Fault.CUT, True, FailureKind.SERVER_ERROR, "interrupted", id="a stream that ends too soon"),
        pytest.param(Fault.MALFORMED, False, FailureKind.SERVER_ERROR, "failed", id="no JSON"),
        pytest.param(Fault.MALFORMED, True, FailureKind.SERVER_ERROR, "interrupted", id="no JSON in a stream"),
        pytest.param(Fault.SERVER_ERROR, False, FailureKind.SERVER_ERROR, "failed", id="a server error"),
        pytest.param(Fault.RATE_LIMITED, True, FailureKind.RATE_LIMITED, "failed", id="too many requests"),
    ],
)
async def test_whatever_a_provider_does_is_a_failure_and_a_row_and_no_exception(
    sandbox: RunningSandbox, routes: Path, file: Path, fault: Fault, streamed: bool, kind: FailureKind, outcome: str
) -> None:
    _make(sandbox, fault)
    async with opened(routes, file) as bench:
        asked = await _ask(bench, streamed=streamed)
    assert asked.message is None
    assert asked.failure is not None
    (row,) = _ledger(file)
    assert (asked.failure.kind, row.outcome) == (kind, outcome)


async def test_an_answer_that_never_ends_is_given_up_in_time(
    sandbox: RunningSandbox, tmp_path: Path, file: Path
) -> None:
    _make(sandbox, Fault.STALL)
    impatient = {"first_token_s": 0.3, "idle_s": 0.3, "total_s": 0.6}
    async with opened(write_routes(tmp_path, sandbox.base_url, timeouts=impatient), file) as bench:
        asked = await _ask(bench, streamed=True)
    assert asked.failure is not None
    assert asked.failure.kind is FailureKind.TIMEOUT
    assert [row.kind for row in _ledger(file)] == ["recording"]


async def test_who_is_called_off_leaves_a_row(sandbox: RunningSandbox, routes: Path, file: Path) -> None:
    _make(sandbox, Fault.STALL)
    async with opened(routes, file) as bench:
        asking = asyncio.create_task(_ask(bench, streamed=True))
        await asyncio.wait([asking], timeout=0.3)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert [(row.outcome, row.failure) for row in _ledger(file)] == [("cancelled", "client_cancelled")]


def _make(sandbox: RunningSandbox, fault: Fault | None) -> Model:
    provider = sandbox.sandbox.provider
    return provider.adjust(replace(provider.models[FORUM], fault=fault))


# Patience, on a clock that is moved by hand.


def _patiently(bench: Workbench, **how: Any) -> asyncio.Task[Asked]:
    work = bench.asker.ask_patiently(
        bench.snapshot, bench.route(ROUTE), _primary(bench), BODY, **{"kind": "recording"} | how
    )
    return asyncio.create_task(work)


async def _moved_on(clock: FakeClock, asking: asyncio.Task[Asked]) -> Asked:
    """Move the clock in small steps until there is an answer."""
    while not asking.done():
        clock.advance(0.05)
        await asyncio.wait([asking], timeout=0.001)
    return await asking


def _pauses(rows: list[Any]) -> list[float]:
    """Seconds between the end of an attempt and the start of the next."""
    return [(after.started_at - before.finished_at) / 1e6 for before, after in pairwise(rows)]


async def test_what_is_asked_too_often_is_asked_again_after_the_pause_that_the_provider_names(
    sandbox: RunningSandbox, routes: Path, file: Path
) -> None:
    clock = FakeClock(SystemClock().now())
    _make(sandbox, Fault.RATE_LIMITED)
    async with opened(routes, file, clock) as bench:
        asking = _patiently(bench)
        while not sandbox.sandbox.provider.bill.rows():
            await asyncio.wait([asking], timeout=0.001)
        _make(sandbox, None)
        asked = await _moved_on(clock, asking)
    assert asked.failure is None
    assert asked.message is not None
    rows = _ledger(file)
    assert [(row.outcome, row.failure) for row in rows] == [("failed", "rate_limited"), ("ok", None)]
    assert rows[1].attempt_id == asked.entry.attempt_id.replace("-", "")
    assert 2 <= _pauses(rows)[0] < 4


async def test_a_provider_that_nobody_reaches_is_asked_five_times_at_growing_pauses(tmp_path: Path, file: Path) -> None:
    clock = FakeClock(SystemClock().now())
    async with opened(write_routes(tmp_path, NOBODY_THERE), file, clock) as bench:
        asked = await _moved_on(clock, _patiently(bench))
    assert asked.failure is not None
    assert asked.failure.kind is FailureKind.CONNECTION
    rows = _ledger(file)
    assert len(rows) == MOST_TRIES
    assert [round(pause) for pause in _pauses(rows)] == [1, 2, 4, 8]


async def test_what_no_pause_mends_is_asked_once(sandbox: RunningSandbox, routes: Path, file: Path) -> None:
    clock = FakeClock(SystemClock().now())
    sandbox.sandbox.provider.retire(FORUM, "openai_deprecated")
    async with opened(routes, file, clock) as bench:
        asked = await _moved_on(clock, _patiently(bench))
    assert asked.failure is not None
    assert len(_ledger(file)) == 1


@pytest.mark.parametrize(
    ("tools", "seed", "more"),
    [(None, None, {}), ([], None, {}), ([{"type": "function"}], 7, {"tools": [{"type": "function"}], "seed": 7})],
    ids=["no tools", "an empty list", "tools and a seed"],
)
def test_a_body_says_only_what_the_row_says(tools: list[Any] | None, seed: int | None, more: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": "u"}]
    assert body_of(messages, tools, seed=seed) == {"messages": messages, **more}


# The workbench, and packs that are named by their hash.


async def test_a_workbench_takes_packs_out_of_the_database(sandbox: RunningSandbox, tmp_path: Path, file: Path) -> None:
    files = pack_files(route=ROUTE)
    pack = parse_pack(files)
    routes = write_routes(tmp_path, sandbox.base_url)
    routes.write_text(routes.read_text().replace("gpt-6-luna}", f'gpt-6-luna, prompt: {{pack: "{pack.hash}"}}}}'))
    with pytest.raises(ConfigError, match=rf"{pack.hash} is not in the database.* gateway pack push DIR"):
        async with opened(routes, file):
            pass
    await _pushed(file, files)
    async with opened(routes, file) as bench:
        route = bench.route(ROUTE)
        prompt = route.fallbacks[0].prompt
        asked = await bench.asker.ask(
            bench.snapshot, route, bench.prepared(route, route.fallbacks[0]), BODY, kind="evaluation"
        )
    assert prompt is not None
    assert prompt.pack == pack
    assert asked.entry.prompt_version == f"{pack.version}-keep"


async def test_a_workbench_refuses_a_pack_of_another_customer(
    sandbox: RunningSandbox, tmp_path: Path, file: Path
) -> None:
    files = pack_files(route=ROUTE, tenant="acme")
    routes = write_routes(tmp_path, sandbox.base_url, tenant="globex")
    routes.write_text(
        routes.read_text().replace("gpt-6-luna}", f'gpt-6-luna, prompt: {{pack: "{parse_pack(files).hash}"}}}}')
    )
    await _pushed(file, files)
    with pytest.raises(ConfigError, match="holds examples of tenant 'acme'"):
        async with opened(routes, file):
            pass


async def _pushed(file: Path, files: dict[str, bytes]) -> None:
    url = f"sqlite:///{file}"
    await asyncio.to_thread(migrated, url)
    database = await Database.open(url)
    await PackStore(database).push(files, "me", SystemClock().now())
    await database.close()
