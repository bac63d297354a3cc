"""Sizes of a pack compared on one half of the rows, the verdict on the other; and the learning curve."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import orjson
import pytest
from evaluation_material import ROUTE, evaluator, gathered, held_out, opened, training_rows, write_pack, write_routes
from example_routes import a_fallback
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock
from gateway.config.packs import Pack
from gateway.config.prompt_files import with_pack
from gateway.config.routes import Prompt, Target
from gateway.errors import ConfigError
from gateway.learning.evaluation.report import as_object, page
from gateway.learning.evaluation.rows import is_for_tuning
from gateway.learning.evaluation.statistics import Interval
from gateway.learning.evaluation.sweep import (
    Candidate,
    Tried,
    chosen_by,
    curve,
    curve_points,
    halves,
    propose,
    sizes,
    sweep,
    with_frontier,
)
from gateway.store.evaluations import Evaluation

pytestmark = pytest.mark.rig


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return write_pack(tmp_path / "packs" / ROUTE, training_rows(160))


@pytest.fixture
def target(pack: Pack) -> Target:
    return a_fallback(prompt=with_pack(Prompt(version=""), pack))


def version_of(candidate: Candidate) -> str:
    assert candidate.target.prompt is not None
    return candidate.target.prompt.version


def test_each_size_is_tried_once_and_the_whole_pack_is_the_one_that_is_served(target: Target) -> None:
    found = sizes(target, (0, 5, 20, 50), (0, 4, 9))
    assert [(one.fixed, one.similar) for one in found] == [(0, 0), (0, 4), (5, 0), (5, 4), (20, 0), (20, 4)]
    assert len({version_of(one) for one in found}) == 6
    assert found[-1].target.prompt == target.prompt


def test_a_learning_curve_ends_with_what_there_is(target: Target, pack: Pack) -> None:
    there = len(pack.examples)
    found = curve_points(target, (50, 10, 1000, 2000))
    assert [one.examples for one in found] == [10, 50, there]


def test_a_target_without_a_pack_has_no_sizes() -> None:
    with pytest.raises(ConfigError, match="no prompt pack"):
        sizes(a_fallback(), (5,), (0,))


def tried(difference: float | None, cost: float, quality: float = 0.9, ttft: float = 1.0, fixed: int = 1) -> Tried:
    candidate = Candidate(a_fallback(), fixed, 0, 10)
    return Tried(candidate, 50, Interval(quality, quality, quality), difference, cost, ttft)


@pytest.mark.parametrize(
    ("candidates", "best"),
    [
        pytest.param([(-0.2, 1), (-0.04, 3), (-0.01, 5)], 1, id="the cheapest within the margin"),
        pytest.param([(-0.05, 1), (0.1, 2)], 0, id="the margin itself is within"),
        pytest.param([(-0.3, 1), (-0.2, 9)], 1, id="none within: the best"),
        pytest.param([(None, 1), (-0.9, 9)], 1, id="nothing known of one: the other"),
    ],
)
def test_the_cheapest_candidate_within_the_margin_is_proposed(
    candidates: list[tuple[float | None, float]], best: int
) -> None:
    found = [tried(*one) for one in candidates]
    assert propose(found, 0.05) is found[best]


def test_the_frontier_is_whom_nobody_beats() -> None:
    rows = [tried(0, 1, quality=0.5), tried(0, 2, quality=0.4), tried(0, 2, quality=0.9), tried(0, 3, 0.4, ttft=0.5)]
    assert [one.on_frontier for one in with_frontier(rows)] == [True, False, True, True]


async def test_the_verdict_of_a_sweep_is_of_rows_that_chose_nothing(
    pack: Pack, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    routes = write_routes(tmp_path, sandbox)
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        one = evaluator(bench, rows)
        candidates = sizes(bench.route(ROUTE).fallbacks[0], (0, 20), (0, 4))
        steps: list[str] = []
        found = await sweep(one, candidates, rows.rows, steps.append)
        tuning, confirming = halves(rows.rows)
        assert 0 < len(found.tuned_on) == len(tuning) < len(rows.rows)
        assert {row.row.input_id for row in found.outcome.decided} == {row.input_id for row in confirming}
        assert not any(is_for_tuning(row.row) for row in found.outcome.decided)
        quality = [trial.quality.estimate if trial.quality else 0 for trial in found.tried]
        assert quality[0] < quality[-1] > 0.8
        assert len(steps) == 5
        report = as_object(found.outcome, rows, bench.route(ROUTE), sweep=found)
        assert [trial["is_proposed"] for trial in report["sweep"]["tried"]].count(True) == 1
        assert found.proposed is not None and report["prompt_version"] == version_of(found.proposed)
        assert report["tuned_on"] == sorted(row.input_id for row in tuning)


async def test_a_sweep_that_was_stopped_proposes_nothing(pack: Pack, tmp_path: Path, sandbox: RunningSandbox) -> None:
    routes = write_routes(tmp_path, sandbox)
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        one = evaluator(bench, rows, cap_usd=0.04, margin=0.5)
        candidates = sizes(bench.route(ROUTE).fallbacks[0], (0, 5, 20), (0, 4))
        found = await sweep(one, candidates, rows.rows, lambda _: None)
        assert found.proposed is None and one.collector.is_out_of_money
        report = as_object(found.outcome, rows, bench.route(ROUTE), sweep=found)
    unasked = sum(not trial.is_asked for trial in found.tried)
    assert 0 < unasked < 6
    assert report["verdict"] == "not_enough_evidence"
    assert report["sentence"] == (f"not enough evidence: not finished: {unasked} of 6 sizes unasked; nothing proposed")
    assert not any(trial.on_frontier for trial in found.tried if not trial.is_asked)
    assert "not asked" in page(report) and "unpriced" not in page(report)
    assert (report["tuned_on"], report["sweep"]["proposed"]) == ([], None)


def verdict_on(version: str, *tuned_on: str) -> Evaluation:
    known = dict.fromkeys((field.name for field in fields(Evaluation)), "")
    known |= {"provider": "acme", "model": "m1", "prompt_version": version}
    return Evaluation(**known | {"report": orjson.dumps({"tuned_on": tuned_on}).decode()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "chose"),
    [
        pytest.param([], (), id="nothing was swept"),
        pytest.param([("other", "a", "b")], ("a", "b"), id="the pack was made after the sweep"),
        pytest.param([("mine", "a"), ("mine",)], ("a",), id="the sweep proposed it"),
        pytest.param([("mine",), ("other", "a")], (), id="the pack was judged before the sweep"),
        pytest.param([("x", "a"), ("mine",), ("x", "b")], ("a",), id="of two sweeps the one before it"),
    ],
)
def test_rows_that_chose_a_prompt_are_known(before: list[tuple[str, ...]], chose: tuple[str, ...]) -> None:
    found = chosen_by([verdict_on(*one) for one in before], "acme", "m1", "mine")
    assert found == frozenset(chose)


async def test_the_learning_curve_rises_with_the_examples(pack: Pack, tmp_path: Path, sandbox: RunningSandbox) -> None:
    routes = write_routes(tmp_path, sandbox)
    async with opened(routes, tmp_path / "g.db") as bench:
        rows = await gathered(bench, held_out(tmp_path))
        rows = replace(rows, rows=rows.rows[:50])
        one = evaluator(bench, rows)
        found = await curve(one, curve_points(bench.route(ROUTE).fallbacks[0], (2, 10, 40)), rows.rows, lambda _: None)
    means = [point.quality.estimate for point in found if point.quality]
    assert len(means) == 3
    assert means[0] < means[1] < means[2]
    assert all(point.quality and point.quality.low < point.quality.estimate for point in found)
