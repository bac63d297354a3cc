"""Three arms on the same rows, asked once, under a cap; and what a verdict rests on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import orjson
import pytest
from evaluation_material import (
    FINE_TUNE,
    NOW,
    ROUTE,
    billed,
    evaluator,
    gathered,
    held_out,
    opened,
    recorded,
    row,
    rows_of,
    training_rows,
    write_pack,
    write_routes,
)
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock
from gateway.learning.evaluation.measures import Measure, Task
from gateway.learning.evaluation.outcome import scores
from gateway.learning.evaluation.report import as_object, evaluation_of, page
from gateway.ledger.entry import new_attempt_id
from gateway.store.evaluations import NO_PROMPT
from tests.faults.fake_provider import completion, refuses, running_provider, says

pytestmark = pytest.mark.rig

LUNA = "gpt-6-luna"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
def routes(tmp_path: Path, sandbox: RunningSandbox) -> Path:
    write_pack(tmp_path / "packs" / ROUTE, training_rows(80))
    return write_routes(tmp_path, sandbox)


# The scores.


def test_an_answer_that_breaks_the_contract_has_nothing() -> None:
    contract = jsonschema_rs.validator_for({"type": "object", "required": ["total"]})
    reference = {"content": '{"total": 3, "currency": "EUR"}'}
    task = Task(contract=contract)
    assert scores(reference, {"content": '{"total": 3, "currency": "USD"}'}, task)[Measure.CHRF] > 0.5
    broken = scores(reference, {"content": '{"currency": "EUR"}'}, task)
    assert set(broken.values()) == {0.0}


def test_no_answer_at_all_has_nothing_not_even_for_not_refusing() -> None:
    found = scores({"content": "bug"}, {"content": "", "failure": "context_too_long"}, Task())
    assert found[Measure.REFUSAL_MATCH] == 0.0


# The run.


async def test_floor_fallback_and_ceiling_answer_the_same_rows_and_nothing_is_asked_twice(
    routes: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        first = evaluator(bench, rows)
        subject = first.subject(bench.route(ROUTE).fallbacks[0])
        _, outcome = await first.evaluate(subject, rows.rows)
        count = len(rows.rows)
        assert count > 20
        assert billed(sandbox) == {LUNA: 2 * count, FINE_TUNE: count}
        assert outcome.decision.rows == count
        arms = {arm: interval.estimate for arm, interval in outcome.arms.items()}
        assert arms["floor"] < 0.1 < 0.7 < arms["fallback"] <= arms["ceiling"] == 1.0
        assert outcome.terms.measure == Measure.LABEL_MATCH
        assert outcome.costs is not None and outcome.costs.computed == 0
        assert outcome.first_token is not None and outcome.first_token.requests == count
        ids = [one.answer.attempt_id for one in outcome.decided]
        assert ids == sorted(ids)

        again = await gathered(bench, held_out(tmp_path))
        second = evaluator(bench, again)
        _, same = await second.evaluate(second.subject(bench.route(ROUTE).fallbacks[0]), again.rows)
        assert billed(sandbox).total() == 3 * count
        route = bench.route(ROUTE)
        assert as_object(same, again, route) == as_object(outcome, rows, route)
        assert page(as_object(same, again, route)) == page(as_object(outcome, rows, route))


async def test_a_run_that_is_stopped_goes_on_where_it_was(
    routes: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done == 20:
            raise Stopped

    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        halted = evaluator(bench, rows, on_progress=stop)
        with pytest.raises(Stopped):
            await halted.evaluate(halted.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        resumed = evaluator(bench, rows)
        _, outcome = await resumed.evaluate(resumed.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
    assert outcome.decision.rows == len(rows.rows)
    # Only what was in flight when it stopped was lost.
    assert 0 <= billed(sandbox).total() - 3 * len(rows.rows) <= 4


async def test_what_is_in_flight_when_somebody_stops_it_is_kept(
    routes: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        halted = evaluator(bench, rows)
        halted.collector.on_progress = lambda done, of: halted.collector.stop() if done == 20 else None
        await halted.evaluate(halted.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
        asked = billed(sandbox).total()
        assert 20 <= asked <= 24
        resumed = evaluator(bench, rows := await gathered(bench, held_out(tmp_path)))
        await resumed.evaluate(resumed.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
    assert billed(sandbox).total() == 3 * len(rows.rows)


def rewrite(routes: Path, written: str, changed: str) -> None:
    (routes.parent / "any.json").write_text('{"type": "object"}')
    routes.write_text(routes.read_text().replace(written, changed))


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        pytest.param("model: gpt-6-luna,", "model: gpt-6-luna, parameters: {set: {top_p: 0.5}},", id="a parameter"),
        pytest.param(f"{ROUTE}: {{", f"{ROUTE}: {{contract: any.json, ", id="a contract"),
    ],
)
async def test_answers_to_another_request_are_not_taken_again(
    routes: Path, tmp_path: Path, sandbox: RunningSandbox, written: str, changed: str
) -> None:
    versions = []
    for change in (written, changed):
        rewrite(routes, written, change)
        async with opened(routes, tmp_path / "g.db") as bench:
            rows = await gathered(bench, held_out(tmp_path))
            one = evaluator(bench, rows, ask_primary=False)
            _, outcome = await one.evaluate(one.subject(bench.route(ROUTE).fallbacks[0]), rows.rows[:5])
            versions.append(as_object(outcome, rows, bench.route(ROUTE))["prompt_version"])
    assert billed(sandbox)[LUNA] == 2 * 2 * 5
    assert versions[0] == versions[1]


async def test_the_cost_cap_holds_and_more_money_goes_on(routes: Path, tmp_path: Path, sandbox: RunningSandbox) -> None:
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        poor = evaluator(bench, rows, cap_usd=0.005)
        _, outcome = await poor.evaluate(poor.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
        spent = sum(row.cost_nanousd for row in sandbox.sandbox.provider.bill.rows(0))
        assert 0 < spent <= 5_000_000
        assert poor.collector.purse.spent == spent
        assert poor.collector.is_out_of_money
        assert 0 < outcome.decision.rows < len(rows.rows)
        assert outcome.unanswered == len(rows.rows) - outcome.decision.rows
        rich = evaluator(bench, rows := await gathered(bench, held_out(tmp_path)))
        _, outcome = await rich.evaluate(rich.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
        assert (outcome.decision.rows, outcome.unanswered) == (len(rows.rows), 0)


async def test_rows_without_a_ceiling_count_for_the_fallbacks_own_quality_only(
    routes: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        own = evaluator(bench, rows, ask_primary=False)
        _, outcome = await own.evaluate(own.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
        assert billed(sandbox)[FINE_TUNE] == 0
        assert (outcome.decision.rows, outcome.without_ceiling) == (0, len(rows.rows))
        assert outcome.own_quality is not None and outcome.own_quality.estimate > 0.7
        report = as_object(outcome, rows, bench.route(ROUTE))
        assert report["verdict"] == "not_enough_evidence"
        assert any("own quality only" in note for note in report["notes"])


async def test_a_primary_that_is_found_gone_is_asked_no_further(
    routes: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    sandbox.sandbox.provider.retire(FINE_TUNE)
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        dead = evaluator(bench, rows)
        _, outcome = await dead.evaluate(dead.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
    assert billed(sandbox)[FINE_TUNE] <= 4
    assert list(dead.collector.stopped) == [FINE_TUNE]
    assert outcome.unanswered == 0


async def test_what_the_primary_is_asked_is_kept_as_a_recording(routes: Path, tmp_path: Path) -> None:
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        one = evaluator(bench, rows)
        await one.evaluate(one.subject(bench.route(ROUTE).fallbacks[0]), rows.rows[:5])
        kept = await bench.recordings.of_route(ROUTE, "sandbox", FINE_TUNE)
    assert [recording.input_id for recording in kept] == [row.input_id for row in rows.rows[:5]]
    assert all(recording.ttft_ms is not None and recording.cost_nanousd for recording in kept)


async def test_recorded_rows_are_measured_against_the_primarys_second_sample(
    routes: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        one = evaluator(bench, rows)
        await one.evaluate(one.subject(bench.route(ROUTE).fallbacks[0]), rows.rows[:12])
        # From here on only what was recorded is known: no held-out file.
        rows = await gathered(bench, ())
        other = evaluator(bench, rows)
        before = billed(sandbox)
        _, outcome = await other.evaluate(other.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
        assert billed(sandbox) - before == {FINE_TUNE: 12}
        assert outcome.decision.rows == 12
        assert {row.sample for row in await bench.recordings.of_route(ROUTE, "sandbox", FINE_TUNE)} == {0, 1}


async def test_a_row_that_no_caller_could_ask_scores_nothing_and_is_asked_once(tmp_path: Path) -> None:
    async with running_provider() as provider:
        provider.models[FINE_TUNE] = says(completion("bug"))
        provider.models[LUNA] = refuses(400, "maximum context length is 8 tokens", "context_length_exceeded")
        routes = tmp_path / "routes.yaml"
        routes.write_text(
            f"""
version: 1
providers: {{sandbox: {{kind: openai-compatible, base_url: "{provider.base_url}"}}}}
fallbacks: {{luna: {{provider: sandbox, model: {LUNA}, prompt: {{instructions: Sort it.}}}}}}
defaults: {{provider: sandbox, fallbacks: [luna]}}
routes: {{{ROUTE}: "{FINE_TUNE}"}}
"""
        )
        async with opened(routes, tmp_path / "g.db") as bench:
            rows = await gathered(bench, rows_of(row("a"), row("b"), row("c")))
            rows = replace(rows, rows=tuple(one.recorded(recorded("a")) for one in rows.rows))
            for _ in range(2):
                one = evaluator(bench, rows)
                _, outcome = await one.evaluate(one.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
            assert outcome.decision.mean == -1.0
            assert len(provider.chats(LUNA)) == 6


async def test_a_verdict_survives_its_way_through_the_store(routes: Path, tmp_path: Path) -> None:
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        one = evaluator(bench, rows)
        _, outcome = await one.evaluate(one.subject(bench.route(ROUTE).fallbacks[0]), rows.rows)
        report = as_object(outcome, rows, bench.route(ROUTE))
        await bench.evaluations.conclude(evaluation_of(report, new_attempt_id(NOW), NOW))
        (kept,) = await bench.evaluations.latest(ROUTE)
        assert orjson.loads(kept.report) == orjson.loads(orjson.dumps(report))
        assert (kept.verdict, kept.rows, kept.measure) == (outcome.decision.verdict, len(rows.rows), "label_match")
        assert kept.retained == pytest.approx(outcome.retained.estimate if outcome.retained else None)
        assert kept.prompt_version == bench.route(ROUTE).fallbacks[0].prompt.version  # type: ignore[union-attr]
        assert await bench.evaluations.looks_at(ROUTE, "sandbox", LUNA, kept.prompt_version) == 1
        assert await bench.evaluations.looks_at(ROUTE, "sandbox", LUNA, NO_PROMPT) == 0
