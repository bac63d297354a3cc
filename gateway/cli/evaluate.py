"""``gateway evaluate``."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.routes import Route, Routes, Target
    from gateway.learning.evaluation.evaluator import Evaluator
    from gateway.learning.evaluation.outcome import Outcome
    from gateway.learning.evaluation.rows import Gathered, Row
    from gateway.learning.evaluation.sweep import Sweep, Tried
    from gateway.learning.packs.training_rows import TrainingRow
    from gateway.learning.workbench import Workbench

    Asked = tuple[Target, list[Row], bool]
    """Who is asked which rows, and whether the floor is, too."""

EXIT_CODES = {"accept": 0, "reject": 1, "not_enough_evidence": 3}
NANO = 10**9


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    route: str
    target: str | None
    rows: Path
    rows_are_named: bool
    """Whether a person named the file: it must be there then."""
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


def evaluate(
    route: Annotated[str, typer.Argument(help="A route.")],
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="Which fallback.  (default: the route's first)")
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            "--rows", metavar="FILE", help="Held-out rows, as a training file.  (default: packs/ROUTE.held-out.jsonl)"
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only so many rows: always the same ones.  (default: all)")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", min=0.001, max=0.5, help="How much worse is good enough.  (default: routes.yaml's, or 0.05)"
        ),
    ] = None,
    looks: Annotated[
        Literal["many", "once"],
        typer.Option("--looks", help="many: look as often as you like. once: a sharper test, for one look only."),
    ] = "many",
    ask_primary: Annotated[
        bool,
        typer.Option("--ask-primary/--no-ask-primary", help="Ask the primary where its answer is not recorded yet."),
    ] = True,
    max_usd: Annotated[float, typer.Option("--max-usd", min=0, help="Never spend more than this.")] = 5.0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Questions at once.")] = 4,
    rate: Annotated[float, typer.Option("--rate", min=0.01, help="Questions per second, at most.")] = 20.0,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Try several sizes of the pack, and confirm the best.")
    ] = False,
    fixed: Annotated[str, typer.Option("--fixed", help="With --sweep: numbers of fixed examples.")] = "0,5,10,20",
    similar: Annotated[str, typer.Option("--similar", help="With --sweep: numbers of similar examples.")] = "0,2,4",
    curve: Annotated[bool, typer.Option("--curve", help="Measure the learning curve, too.")] = False,
    points: Annotated[
        str, typer.Option("--points", help="With --curve: numbers of examples in all.")
    ] = "10,20,50,100,200",
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page.")] = None,
    texts: Annotated[
        bool, typer.Option("--texts/--no-texts", help="Show the worst rows' texts on the page, or leave them out.")
    ] = True,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide whether a fallback is good enough to stand in for the primary: accept, reject, or not enough evidence.

    Asks the fallback, as it is served, and its model without the prompt (the floor), on held-out and recorded rows, and
    compares with the primary's recorded answers (the ceiling). What is answered is kept: nothing is asked, or paid,
    twice, and a run that was stopped goes on where it was. A verdict takes some hundred rows; `gateway forecast` shows
    it.

    With --sweep the sizes are compared on half of the rows, and the verdict is the other half's: the best of many looks
    better than it is on the rows that chose it.

    Exit codes: 0 accepted, 1 rejected, or the configuration cannot be used, 2 the command was misused, 3 not enough
    evidence.

    Example:  gateway evaluate forum-reply --max-usd 2 --html forum-reply.html
    """
    from gateway.cli import evaluate_text
    from gateway.cli.logs import configure_logs
    from gateway.config.loader import load
    from gateway.learning.evaluation.report import page

    configure_logs("warning")
    wanted = Wanted(
        route=route,
        target=target,
        rows=rows or routes.parent / "packs" / f"{route}.held-out.jsonl",
        rows_are_named=rows is not None,
        limit=limit,
        margin=margin,
        looks=looks,
        ask_primary=ask_primary,
        cap_nanousd=int(Decimal(str(max_usd)) * NANO),
        concurrency=concurrency,
        per_s=rate,
        fixed=numbers(fixed, "--fixed") if sweep else (),
        similar=numbers(similar, "--similar") if sweep else (),
        points=numbers(points, "--points") if curve else (),
    )
    report, worst = asyncio.run(_run(load(routes, environ=os.environ).routes, wanted, database))
    if html is not None:
        _write(html, page(report, worst if texts else None))
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        evaluate_text.show(report)
    raise typer.Exit(EXIT_CODES[report["verdict"]])


def numbers(said: str, option: str) -> tuple[int, ...]:
    """Read a list of whole numbers."""
    try:
        found = tuple(int(part) for part in said.split(","))
    except ValueError:
        found = (-1,)
    if min(found) < 0:
        raise typer.BadParameter(f"{said!r} is no list of whole numbers, such as 0,5,10", param_hint=option)
    return found


async def _run(routes: "Routes", wanted: Wanted, database: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate, keep the verdict; return the report, and the worst rows' texts."""
    from gateway.learning.evaluation.report import as_object, evaluation_of, texts_of
    from gateway.ledger.entry import new_attempt_id

    route, target = _chosen(routes, wanted)
    async with _bench(routes, database) as bench:
        route = bench.route(route.name)
        target = next(one for one in route.fallbacks if one.name == target.name)
        gathered = await _gathered(bench, route, target, wanted)
        outcome, sweep, curve = await _evaluated(bench, route, target, gathered, wanted)
        report = as_object(outcome, gathered, route, sweep=sweep, curve=curve)
        now = bench.clock.now()
        await bench.evaluations.conclude(evaluation_of(report, new_attempt_id(now), now))
        return report, texts_of(outcome)


def _chosen(routes: "Routes", wanted: Wanted) -> "tuple[Route, Target]":
    from gateway.config.findings import did_you_mean

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
    return route, names[wanted.target or route.fallbacks[0].name]


@asynccontextmanager
async def _bench(routes: "Routes", database: str | None) -> "AsyncIterator[Workbench]":
    """Open database and models.

    Raises:
        ConfigError: the database cannot be used.
    """
    from gateway.cli.known import open_or_make
    from gateway.config.settings import read_settings
    from gateway.learning.workbench import Workbench
    from gateway.store.database import DatabaseUnavailable

    try:
        opened = await open_or_make(read_settings(database_url=database).database_url)
        try:
            async with Workbench.open(routes, opened, os.environ, SystemClock()) as bench:
                yield bench
        finally:
            await opened.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot evaluate: {error}") from None


async def _gathered(bench: "Workbench", route: "Route", target: "Target", wanted: Wanted) -> "Gathered":
    """Read the held-out rows and the recordings.

    Raises:
        ConfigError: there are none, or the file cannot be read.
    """
    from dataclasses import replace

    from gateway.learning.evaluation.rows import example_ids, gather
    from gateway.learning.packs.training_rows import read_rows

    assert route.primary is not None
    gold: tuple[TrainingRow, ...] = ()
    if wanted.rows_are_named or wanted.rows.exists():
        try:
            gold = read_rows(await asyncio.to_thread(wanted.rows.read_bytes), str(wanted.rows)).rows
        except OSError as error:
            raise ConfigError(f"{wanted.rows} cannot be read: {error.strerror}") from None
    recordings = await bench.recordings.of_route(route.name, route.primary.provider.name, route.primary.model)
    found = gather(gold, recordings, examples=example_ids(target.prompt), tenant=route.tenant)
    if not found.rows:
        raise ConfigError(
            f"{route.name} has no rows to be evaluated on: there is no {wanted.rows}, and nothing is recorded. "
            f"Build a pack (gateway pack build {route.name} --from FILE), name a file with --rows, or record the "
            f"primary (gateway record {route.name})"
            if not found.in_prompt
            else f"all {found.in_prompt} rows are examples of the prompt: they would be asked with the answer in hand"
        )
    return replace(found, rows=found.rows[: wanted.limit])


async def _evaluated(
    bench: "Workbench", route: "Route", target: "Target", gathered: "Gathered", wanted: Wanted
) -> "tuple[Outcome, Sweep | None, list[Tried]]":
    from gateway.cli.evaluate_text import Progress, troubles
    from gateway.learning.evaluation import sweep as sweeping
    from gateway.learning.evaluation.collecting import Collector
    from gateway.learning.evaluation.evaluator import Evaluator, is_living, terms_of
    from gateway.learning.pace import Purse

    assert route.primary is not None
    with Progress() as progress:
        collector = Collector(
            bench, route, Purse(wanted.cap_nanousd), wanted.concurrency, wanted.per_s, progress.advance
        )
        checker = bench.snapshot.prepared[route.name].checker
        terms = terms_of(route, gathered.rows, margin=wanted.margin, looks=wanted.looks, checker=checker)
        asks = wanted.ask_primary and await is_living(bench, route.primary)
        judging = bench.snapshot.routes.routes[route.acceptance.judge] if route.acceptance.judge else None
        evaluator = Evaluator(collector, terms, collector.arm(route.primary) if asks else None, judging)
        candidates = sweeping.sizes(target, wanted.fixed, wanted.similar) if wanted.fixed else []
        points = sweeping.curve_points(target, wanted.points) if wanted.points else []
        rows = list(gathered.rows)
        tuning, confirming = sweeping.halves(rows)
        asked = [(candidate.target, tuning, False) for candidate in candidates]
        asked.append((candidates[-1].target, confirming, True) if candidates else (target, rows, True))
        await _check_looks(evaluator, [one for one, _, _ in asked])
        await _say_cost(evaluator, [*asked, *((point.target, rows, False) for point in points)], wanted.cap_nanousd)
        swept = None
        if candidates:
            swept = await sweeping.sweep(evaluator, candidates, rows, progress.step)
            outcome = swept.outcome
        else:
            rows, outcome = await evaluator.evaluate(evaluator.subject(target), rows)
        curve = await sweeping.curve(evaluator, points, rows, progress.step) if points else []
    for said in troubles(collector):
        typer.echo(said, err=True)
    return outcome, swept, curve


async def _check_looks(evaluator: "Evaluator", targets: "list[Target]") -> None:
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


async def _say_cost(evaluator: "Evaluator", asked: "list[Asked]", cap_nanousd: int) -> None:
    """Say what will be asked and what that costs, before anything is."""
    seen: set[tuple[str, str, int | None, str]] = set()
    nanousd = 0
    for target, rows, with_floor in asked:
        for arm, row, sample in await evaluator.missing(evaluator.subject(target), rows, with_floor=with_floor):
            key = (arm.prepared.target.name, arm.prompt_version, sample, row.input_id)
            nanousd += 0 if key in seen else arm.expected(row)
            seen.add(key)
    if seen:
        judge = ", and a judge on top" if evaluator.judging else ""
        typer.echo(
            f"asks up to {len(seen):,} questions, about ${nanousd / NANO:,.4f}{judge}; never more than "
            f"${cap_nanousd / NANO:,.2f} (--max-usd)",
            err=True,
        )


def _write(file: Path, page: str) -> None:
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
    typer.echo(f"the report is in {file}", err=True)
