"""One run of ``gateway evaluate``: what it will cost is told, then everything missing is asked, and concluded."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import typer

from gateway.cli.evaluate_beforehand import check_looks, say_cost
from gateway.cli.evaluate_regression import Regression, corrections_on
from gateway.cli.evaluate_subject import (
    Compared,
    Lineage,
    as_served,
    chosen,
    evaluation_file,
    manifest_in,
    rows_in,
    whom,
    with_version,
    without_marked,
    without_seen,
)
from gateway.cli.evaluate_text import Progress, troubles
from gateway.cli.known import open_or_make
from gateway.cli.pack_sources import redactor_of
from gateway.clock import SystemClock
from gateway.config.routes import Route, Routes
from gateway.config.settings import read_settings
from gateway.errors import ConfigError
from gateway.learning.evaluation import sweep as sweeping
from gateway.learning.evaluation.collecting import Collector
from gateway.learning.evaluation.corrections import Correction
from gateway.learning.evaluation.evaluator import Evaluator, is_living, terms_of
from gateway.learning.evaluation.outcome import Outcome
from gateway.learning.evaluation.report import as_object, evaluation_of, texts_of
from gateway.learning.evaluation.rows import Gathered, example_questions, gather
from gateway.learning.evaluation.sweep import Sweep, Tried
from gateway.learning.lease import held
from gateway.learning.pace import Purse
from gateway.learning.packs.training_rows import TrainingRow
from gateway.learning.recordings.plan import asked_with
from gateway.learning.workbench import Workbench
from gateway.ledger.entry import new_attempt_id
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.datasets import DatasetStore
from gateway.store.versions import VersionStore

INTERRUPTED: Final = 130
LEAST_UNTUNED: Final = 20
"""Rows that must remain when those are left out by which a sweep chose the prompt."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    route: str
    target: str | None
    version: int | None
    """A version of the primary's model, to be evaluated in the primary's place; None: a fallback is."""
    rows: Path | None
    """The file that a person named: it must be there then, and nothing else is evaluated."""
    beside: Path
    """Where routes.yaml is, and packs and data sets beside it."""
    corrections: bool
    """Whether the regression set is asked, too."""
    limit: int | None
    margin: float | None
    looks: Literal["once", "many"]
    ask_primary: bool
    cap_nanousd: int
    concurrency: int
    per_s: float
    fixed: tuple[int, ...]
    similar: tuple[int, ...]
    """Sizes to sweep over; both empty: no sweep."""
    points: tuple[int, ...]
    """Of the learning curve; empty: none."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run has found."""

    outcome: Outcome
    sweep: Sweep | None
    curve: list[Tried]
    primary_absence: str | None
    corrections: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows of an evaluation."""

    gathered: Gathered
    version: dict[str, Any] | None
    """Of a version: what of its data set was left out, and is known; ready for JSON."""


async def run(routes: Routes, wanted: Wanted, database: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate, keep the verdict; return the report, and the worst rows' texts.

    Raises:
        ConfigError: the configuration, the rows or the database cannot be used, or another run is at work.
        Exit: somebody stopped it.
    """
    name = chosen(routes, wanted.route, wanted.target, wanted.version).name
    async with _opened(database) as opened, AsyncExitStack() as stack:
        clock, version = SystemClock(), None
        await stack.enter_async_context(held(opened, clock, f"evaluate:{name}"))
        served = await as_served(opened, routes, clock.now())
        if wanted.version is not None:
            served, version = await with_version(opened, routes, served, name, wanted.version)
        bench = await stack.enter_async_context(Workbench.open(served, opened, os.environ, clock))
        compared = whom(bench.route(name), wanted.target, version)
        route = compared.route
        manifest = manifest_in(_datasets(wanted, route))
        lineage = Lineage(manifest, VersionStore(bench.database), DatasetStore(bench.database))
        corrections = await corrections_on(opened, route)
        rows = await _chosen_rows(bench, compared, lineage, corrections, wanted)
        regression = corrections[: wanted.limit] if wanted.corrections else ()
        found = await _evaluated(bench, compared, lineage, rows.gathered, regression, wanted)
        report = as_object(
            found.outcome,
            rows.gathered,
            compared.route,
            sweep=found.sweep,
            curve=found.curve,
            primary_absence=found.primary_absence,
            version=rows.version,
            corrections=found.corrections,
        )
        # A sweep that was stopped has looked at nothing to the end: it must not take an earlier verdict's place.
        if found.sweep is None or found.sweep.proposed is not None:
            await _keep(bench, compared, report)
        return report, texts_of(found.outcome)


async def _keep(bench: Workbench, compared: Compared, report: dict[str, Any]) -> None:
    now = bench.clock.now()
    kept = evaluation_of(report, new_attempt_id(now), now)
    await bench.evaluations.conclude(kept)
    if compared.version is not None:
        store, number = VersionStore(bench.database), compared.version.number
        await store.attach(compared.route.name, number, evaluation_id=kept.evaluation_id)


@asynccontextmanager
async def _opened(database: str | None) -> AsyncIterator[Database]:
    """Open the database.

    Raises:
        ConfigError: it cannot be used.
    """
    try:
        opened = await open_or_make(read_settings(database_url=database).database_url)
        try:
            yield opened
        finally:
            await opened.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot evaluate: {error}") from None


async def _chosen_rows(
    bench: Workbench, compared: Compared, lineage: Lineage, corrections: Sequence[Correction], wanted: Wanted
) -> Chosen:
    """Read the held-out rows and the recordings; of a version, the rows that its data set keeps to evaluate with.

    Raises:
        ConfigError: there are none, or the file cannot be read.
    """
    if compared.version is None:
        return Chosen(await _rows_of_fallback(bench, compared, corrections, wanted), None)
    route, redactor = compared.route, redactor_of(compared.route)
    file = wanted.rows or evaluation_file(_datasets(wanted, route), route)
    found = await _gathered(bench, compared, await rows_in(file), gold_only=True)
    trained = await lineage.trained(route, compared.target)
    unseen, seen = without_seen(found, trained, redactor)
    if not unseen.rows:
        raise ConfigError(
            f"{compared.version.name} was trained on all {seen} rows of {file}: they prove nothing of it"
            if seen
            else f"{file} has no rows that {compared.version.name} could be evaluated on"
        )
    kept, left_out, marked = without_marked(unseen, lineage.manifest)
    told = {
        "number": compared.version.number,
        "trained_on": seen,
        "is_training_known": trained is not None,
        "marked": marked,
        "marked_left_out": left_out,
    }
    return Chosen(replace(kept, rows=kept.rows[: wanted.limit]), told)


async def _rows_of_fallback(
    bench: Workbench, compared: Compared, corrections: Sequence[Correction], wanted: Wanted
) -> Gathered:
    route, target = compared.route, compared.target
    file = wanted.rows or wanted.beside / "packs" / f"{wanted.route}.held-out.jsonl"
    gold = await rows_in(file) if wanted.rows or file.exists() else ()
    found = await _gathered(bench, compared, gold, gold_only=wanted.rows is not None)
    found = found.without_corrected(frozenset(one.question for one in corrections), redactor_of(route))
    if not found.rows:
        raise ConfigError(
            f"{route.name} has no rows to be evaluated on: there is no {file}, and nothing is recorded. "
            f"Build a pack (gateway pack build {route.name} --from FILE), name a file with --rows, or record the "
            f"primary (gateway record {route.name})"
            if not found.in_prompt
            else f"all {found.in_prompt} rows are examples of the prompt: they would be asked with the answer in hand"
        )
    if not wanted.fixed:
        version = target.prompt.version if target.prompt else ""
        before = await bench.evaluations.of_route(route.name)
        chose = sweeping.chosen_by(before, target.provider.name, target.model, version)
        found = found.without_tuning(chose, LEAST_UNTUNED)
    return replace(found, rows=found.rows[: wanted.limit])


async def _gathered(
    bench: Workbench, compared: Compared, gold: tuple[TrainingRow, ...], *, gold_only: bool
) -> Gathered:
    route, primary = compared.route, compared.route.primary
    assert primary is not None
    redactor = redactor_of(route)
    recorded = await bench.recordings.of_route(route.name, primary.provider.name, primary.model, asked_with(primary))
    return gather(
        gold,
        recorded,
        examples=example_questions(compared.target.prompt, redactor),
        tenant=route.tenant,
        redactor=redactor,
        gold_only=gold_only,
    )


def _datasets(wanted: Wanted, route: Route) -> Path:
    return wanted.beside / "datasets" / route.name_in_files


async def _evaluated(
    bench: Workbench,
    compared: Compared,
    lineage: Lineage,
    gathered: Gathered,
    corrections: Sequence[Correction],
    wanted: Wanted,
) -> Found:
    route, target, living = compared.route, compared.target, compared.route.primary
    assert living is not None
    with Progress() as progress:
        collector = Collector(
            bench, route, Purse(wanted.cap_nanousd), wanted.concurrency, wanted.per_s, progress.advance
        )
        checker = bench.snapshot.prepared[route.name].checker
        terms = terms_of(route, gathered.rows, margin=wanted.margin, looks=wanted.looks, checker=checker)
        lives = await is_living(bench, living)
        primary = collector.arm(living) if wanted.ask_primary and lives else None
        judging = bench.snapshot.routes.routes[route.acceptance.judge] if route.acceptance.judge else None
        evaluator = Evaluator(collector, terms, primary, judging)
        candidates = sweeping.sizes(target, wanted.fixed, wanted.similar) if wanted.fixed else []
        points = sweeping.curve_points(target, wanted.points) if wanted.points else []
        rows = list(gathered.rows)
        tuning, confirming = sweeping.halves(rows)
        asked = [(candidate.target, tuning, False) for candidate in candidates]
        asked.append((candidates[-1].target, confirming, True) if candidates else (target, rows, True))
        asked += [(point.target, rows, False) for point in points]
        await check_looks(evaluator, [one for one, _, _ in asked[: len(candidates) + 1]])
        regression = Regression(evaluator, lineage, corrections)
        beside = await regression.missing(target)
        await say_cost(evaluator, asked, beside, cap_nanousd=wanted.cap_nanousd, is_bounded=wanted.limit is not None)
        swept = None
        with _interrupts(collector):
            if candidates:
                swept = await sweeping.sweep(evaluator, candidates, rows, progress.step)
                outcome = swept.outcome
            else:
                rows, outcome = await evaluator.evaluate(evaluator.subject(target), rows)
            curve = await sweeping.curve(evaluator, points, rows, progress.step) if points else []
            progress.step("corrections")
            told = await regression.told(outcome.subject.target)
    for said in troubles(collector):
        typer.echo(said, err=True)
    if collector.is_stopped:
        raise typer.Exit(INTERRUPTED)
    absence = None
    if outcome.without_ceiling and wanted.ask_primary:
        stopped = primary.stopped if primary is not None else None
        absence = "counts as gone: not asked" if not lives else f"did not answer ({stopped})" if stopped else None
    return Found(outcome, swept, curve, absence, told)


@contextmanager
def _interrupts(collector: Collector) -> Iterator[None]:
    """Let the first Ctrl-C end the run in order: what is in flight is paid for, and kept. A second ends it at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        typer.echo("stopping; waiting for what is in flight", err=True)
        collector.stop()

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
