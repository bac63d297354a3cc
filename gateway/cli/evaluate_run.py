"""One run of ``gateway evaluate``: what it will cost is told, then everything missing is asked, and concluded."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import typer

from gateway.cli.evaluate_text import Progress, troubles
from gateway.cli.known import open_or_make
from gateway.cli.pack_sources import redactor_of
from gateway.clock import SystemClock
from gateway.config.findings import did_you_mean
from gateway.config.routes import Route, Routes, Target
from gateway.config.settings import read_settings
from gateway.errors import ConfigError
from gateway.learning.evaluation import sweep as sweeping
from gateway.learning.evaluation.collecting import Collector
from gateway.learning.evaluation.evaluator import Evaluator, is_living, terms_of
from gateway.learning.evaluation.outcome import Outcome
from gateway.learning.evaluation.report import as_object, evaluation_of, texts_of
from gateway.learning.evaluation.rows import Gathered, Row, example_questions, gather
from gateway.learning.evaluation.sweep import Sweep, Tried
from gateway.learning.lease import held
from gateway.learning.pace import Purse
from gateway.learning.packs.training_rows import TrainingRow, read_rows
from gateway.learning.recordings.plan import asked_with
from gateway.learning.workbench import Workbench
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.forecast_words import money
from gateway.store.database import DatabaseUnavailable

INTERRUPTED: Final = 130
LEAST_UNTUNED: Final = 20
"""Rows that must remain when those are left out by which a sweep chose the prompt."""
Asked = tuple[Target, list[Row], bool]
"""Who is asked which rows, and whether the floor is, too."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    route: str
    target: str | None
    rows: Path
    rows_are_named: bool
    """Whether a person named the file: it must be there then, and nothing else is evaluated."""
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


async def run(routes: Routes, wanted: Wanted, database: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate, keep the verdict; return the report, and the worst rows' texts.

    Raises:
        ConfigError: the configuration, the rows or the database cannot be used, or another run is at work.
        Exit: somebody stopped it.
    """
    route, target = _chosen(routes, wanted)
    async with _bench(routes, database) as bench, held(bench.database, bench.clock, f"evaluate:{route.name}"):
        route = bench.route(route.name)
        target = next(one for one in route.fallbacks if one.name == target.name)
        gathered = await _gathered(bench, route, target, wanted)
        found = await _evaluated(bench, route, target, gathered, wanted)
        report = as_object(
            found.outcome,
            gathered,
            route,
            sweep=found.sweep,
            curve=found.curve,
            primary_absence=found.primary_absence,
        )
        # A sweep that was stopped has looked at nothing to the end: it must not take an earlier verdict's place.
        if found.sweep is None or found.sweep.proposed is not None:
            now = bench.clock.now()
            await bench.evaluations.conclude(evaluation_of(report, new_attempt_id(now), now))
        return report, texts_of(found.outcome)


def _chosen(routes: Routes, wanted: Wanted) -> tuple[Route, Target]:
    route = routes.routes.get(wanted.route)
    if route is None:
        message = f"there is no route {wanted.route!r}{did_you_mean(wanted.route, routes.routes)}"
        raise typer.BadParameter(message, param_hint="ROUTE")
    if route.primary is None:
        raise ConfigError(f"{route.name} has no primary: there is nothing that a fallback would have to keep up with")
    if not route.fallbacks:
        raise ConfigError(f"{route.name} has no fallback to evaluate")
    names = {target.name: target for target in route.fallbacks}
    if wanted.target is not None and wanted.target not in names:
        message = f"{route.name} has no fallback {wanted.target!r}; it has {', '.join(names)}"
        raise typer.BadParameter(message, param_hint="--target")
    target = names[wanted.target or route.fallbacks[0].name]
    _check_prompt(route, target)
    return route, target


def _check_prompt(route: Route, target: Target) -> None:
    """Raise ``ConfigError`` where the prompt is not what routes.yaml says, or there is none to evaluate."""
    prompt, build = target.prompt, f"gateway pack build {route.name} --from FILE"
    if prompt is not None and prompt.missing_pack is not None:
        raise ConfigError(
            f"the pack of {target.name} is not there, only its name in routes.yaml: {prompt.missing_pack}; build it "
            f"({build}), or take `pack` out of the prompt"
        )
    if prompt is not None and (prompt.instructions or prompt.examples or prompt.pack or prompt.awaited_pack):
        return
    if prompt is None or prompt.caller_system == "keep":
        raise ConfigError(
            f"{target.name} has no prompt: there is nothing to evaluate but the base model; give it instructions, or a "
            f"pack ({build})"
        )


@asynccontextmanager
async def _bench(routes: Routes, database: str | None) -> AsyncIterator[Workbench]:
    """Open database and models.

    Raises:
        ConfigError: the database cannot be used.
    """
    try:
        opened = await open_or_make(read_settings(database_url=database).database_url)
        try:
            async with Workbench.open(routes, opened, os.environ, SystemClock()) as bench:
                yield bench
        finally:
            await opened.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot evaluate: {error}") from None


async def _gathered(bench: Workbench, route: Route, target: Target, wanted: Wanted) -> Gathered:
    """Read the held-out rows and the recordings.

    Raises:
        ConfigError: there are none, or the file cannot be read.
    """
    assert route.primary is not None
    gold: tuple[TrainingRow, ...] = ()
    if wanted.rows_are_named or wanted.rows.exists():
        try:
            gold = read_rows(await asyncio.to_thread(wanted.rows.read_bytes), str(wanted.rows)).rows
        except OSError as error:
            raise ConfigError(f"{wanted.rows} cannot be read: {error.strerror}") from None
    redactor = redactor_of(route)
    found = gather(
        gold,
        await bench.recordings.of_route(
            route.name, route.primary.provider.name, route.primary.model, asked_with(route.primary)
        ),
        examples=example_questions(target.prompt, redactor),
        tenant=route.tenant,
        redactor=redactor,
        gold_only=wanted.rows_are_named,
    )
    if not found.rows:
        raise ConfigError(
            f"{route.name} has no rows to be evaluated on: there is no {wanted.rows}, and nothing is recorded. "
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


async def _evaluated(bench: Workbench, route: Route, target: Target, gathered: Gathered, wanted: Wanted) -> Found:
    assert route.primary is not None
    with Progress() as progress:
        collector = Collector(
            bench, route, Purse(wanted.cap_nanousd), wanted.concurrency, wanted.per_s, progress.advance
        )
        checker = bench.snapshot.prepared[route.name].checker
        terms = terms_of(route, gathered.rows, margin=wanted.margin, looks=wanted.looks, checker=checker)
        lives = await is_living(bench, route.primary)
        primary = collector.arm(route.primary) if wanted.ask_primary and lives else None
        judging = bench.snapshot.routes.routes[route.acceptance.judge] if route.acceptance.judge else None
        evaluator = Evaluator(collector, terms, primary, judging)
        candidates = sweeping.sizes(target, wanted.fixed, wanted.similar) if wanted.fixed else []
        points = sweeping.curve_points(target, wanted.points) if wanted.points else []
        rows = list(gathered.rows)
        tuning, confirming = sweeping.halves(rows)
        asked = [(candidate.target, tuning, False) for candidate in candidates]
        asked.append((candidates[-1].target, confirming, True) if candidates else (target, rows, True))
        await _check_looks(evaluator, [one for one, _, _ in asked])
        await _say_cost(evaluator, [*asked, *((point.target, rows, False) for point in points)], wanted)
        swept = None
        with _interrupts(collector):
            if candidates:
                swept = await sweeping.sweep(evaluator, candidates, rows, progress.step)
                outcome = swept.outcome
            else:
                rows, outcome = await evaluator.evaluate(evaluator.subject(target), rows)
            curve = await sweeping.curve(evaluator, points, rows, progress.step) if points else []
    for said in troubles(collector):
        typer.echo(said, err=True)
    if collector.is_stopped:
        raise typer.Exit(INTERRUPTED)
    absence = None
    if outcome.without_ceiling and wanted.ask_primary:
        stopped = primary.stopped if primary is not None else None
        absence = "counts as gone: not asked" if not lives else f"did not answer ({stopped})" if stopped else None
    return Found(outcome, swept, curve, absence)


async def _check_looks(evaluator: Evaluator, targets: list[Target]) -> None:
    """Raise ``ConfigError`` where the sharper test was asked for, and this is not the first look."""
    if evaluator.terms.looks != "once":
        return
    for target in targets:
        arm = evaluator.subject(target).fallback
        store, route = evaluator.collector.bench.evaluations, evaluator.collector.route.name
        looks = await store.looks_at(route, *arm.prepared.key, arm.prompt_version)
        if looks:
            raise ConfigError(
                f"prompt {arm.prompt_version or 'none'} of {target.name} was looked at before ({looks}×), and the test "
                "for one look errs more often with each further one: leave --looks once out, which looks as often as "
                "you like, or change the prompt"
            )


async def _say_cost(evaluator: Evaluator, asked: list[Asked], wanted: Wanted) -> None:
    """Say what will be asked and what that costs, before anything is.

    Raises:
        ConfigError: somebody who will be asked has no price, and nothing else bounds the run.
    """
    seen: set[tuple[str, str, int | None, str]] = set()
    unpriced: dict[str, str] = {}
    nanousd = 0
    for target, rows, with_floor in asked:
        for arm, row, sample in await evaluator.missing(evaluator.subject(target), rows, with_floor=with_floor):
            key = (arm.prepared.target.name, arm.prompt_version, sample, row.input_id)
            nanousd += 0 if key in seen else arm.expected(row)
            seen.add(key)
            if arm.price is None:
                unpriced[arm.prepared.model] = arm.prepared.key[0]
    for target in evaluator.judging.targets if evaluator.judging else ():
        if evaluator.collector.arm(target, of=evaluator.judging).price is None:
            unpriced[target.model] = target.provider.name
    if unpriced and wanted.limit is None:
        names = " and ".join(f"{model} of {provider}" for model, provider in unpriced.items())
        raise ConfigError(
            f"no price is known for {names}, so nothing can be capped: write one under `prices` in routes.yaml, or "
            "bound the run with --limit N"
        )
    if seen:
        judge = ", and a judge on top" if evaluator.judging else ""
        cap = f"never more than {money(wanted.cap_nanousd)} (--max-usd)"
        if unpriced:
            cap = f"{' and '.join(unpriced)} not counted, for want of a price: only --limit bounds what that costs"
        typer.echo(f"asks up to {len(seen):,} questions, about {money(nanousd)}{judge}; {cap}", err=True)


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
