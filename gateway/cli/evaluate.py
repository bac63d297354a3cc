"""``gateway evaluate``."""

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.errors import ConfigError

EXIT_CODES = {"accept": 0, "reject": 1, "not_enough_evidence": 3}
NANO = 10**9


def evaluate(
    route: Annotated[str, typer.Argument(help="A route.")],
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="Which fallback.  (default: the route's first)")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version",
            metavar="VERSION",
            help="Not a fallback: a version of the route's own model, such as v2, against the primary.",
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            "--rows",
            metavar="FILE",
            help="Only these rows, as a training file.  (default: packs/ROUTE.held-out.jsonl, and what is recorded; "
            "of a version evaluation.jsonl in datasets/ROUTE)",
        ),
    ] = None,
    corrections: Annotated[
        bool,
        typer.Option(
            "--corrections/--no-corrections", help="Ask what people have corrected, too: told beside the verdict."
        ),
    ] = True,
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

    With --version the question is whether a newer model of the route's own may take the primary's place: asked the
    rows that its data set keeps to evaluate with, in the primary's parameters, and compared with the primary.

    Asks the fallback, as it is served, and its model without the prompt (the floor), on held-out and recorded rows, and
    compares with the primary's recorded answers (the ceiling). What is answered is kept: nothing is asked, or paid,
    twice, and a run that was stopped goes on where it was; Ctrl-C waits for what is in flight. A verdict takes some
    hundred rows; `gateway forecast` shows it.

    With --sweep the sizes are compared on half of the rows, and the verdict is the other half's: the best of many looks
    better than it is on the rows that chose it.

    Exit codes: 0 accepted, 1 rejected, or the configuration cannot be used, 2 the command was misused, 3 not enough
    evidence, 130 stopped by Ctrl-C.

    Example:  gateway evaluate forum-reply --max-usd 2 --html forum-reply.html
    """
    from gateway.cli import evaluate_text
    from gateway.cli.evaluate_run import Wanted, run
    from gateway.cli.logs import configure_logs
    from gateway.config.loader import load
    from gateway.learning.evaluation.report import page

    configure_logs("warning")
    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{html} cannot be written: there is no such directory", param_hint="--html")
    wanted = Wanted(
        route=route,
        target=target,
        version=None if version is None else _version(version, target, sized=sweep or curve),
        rows=rows,
        beside=routes.parent,
        corrections=corrections,
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
    report, worst = asyncio.run(run(load(routes, environ=os.environ).routes, wanted, database))
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


def _version(said: str, target: str | None, *, sized: bool) -> int:
    number = said.removeprefix("v")
    if not (number.isascii() and number.isdigit()):
        raise typer.BadParameter(f"{said!r} is no version, such as v2", param_hint="--version")
    if target is not None:
        raise typer.BadParameter("a version is no fallback: leave --target out", param_hint="--version")
    if sized:
        raise typer.BadParameter("a version has no pack to size: leave --sweep and --curve out", param_hint="--version")
    return int(number)


def _write(file: Path, page: str) -> None:
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
    typer.echo(f"the report is in {file}", err=True)
