"""``gateway dataset validate``: files, directories and routes' data sets held to their formats' rules."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, JsonOption, RoutesOption
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.routes import Route, Routes
    from gateway.learning.datasets.formats import Format
    from gateway.learning.datasets.overlap import Evaluated
    from gateway.learning.datasets.rules import RowFinding
    from gateway.learning.datasets.validation import FileReport

    Watching = Callable[[Path], Callable[[int], None]]

_SHOWN_A_RULE = 10


def validate(
    places: Annotated[list[str], typer.Argument(metavar="FILE|DIR|ROUTE…", help="What to check.")],
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Whose rules.  (default: the manifest's, or as the rows look)"),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="EVALUATION_FILE", help="Rows that no training row may tell.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The model to be trained: some have limits of their own.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings, too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show up to a hundred findings of each rule.")] = False,
    routes: RoutesOption = ROUTES,
    as_json: JsonOption = False,
) -> None:
    """Check files of training rows: all findings at once, each with file, line and what to do.

    Formats: openai-sft, openai-dpo, bedrock, together, fireworks, trl-sft, trl-dpo, trl-kto. Rows are read one at a
    time, however large the file. In a directory the training files are held against the evaluation files beside them,
    and all of them against the manifest. Personal data is looked for as the route's capture says, else with all that is
    built in. Of each rule ten findings are shown, and how many more there are; --all shows a hundred, and --json has
    as many, with the count of all.

    Exit codes: 0 it can be trained on, 1 there are errors (or, with --strict, warnings), 2 the command was misused.

    Example:  gateway dataset validate train.jsonl --format openai-sft --against evaluation.jsonl
    """
    form = _format(format_)
    known = _routes(routes)
    with ExitStack() as bars:
        watch = _watching(bars)
        evaluated = _evaluated(against, watch)
        reports = [one for place in places for one in _check(place, routes, known, form, base, evaluated, watch)]
    failed = any(one.errors or (strict and one.warnings) for one in reports)
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "files": [_as_object(one) for one in reports]}, indent=2))
    else:
        for report in reports:
            _print(report, everything=everything)
    raise typer.Exit(1 if failed else 0)


def _format(name: str | None) -> "Format | None":
    from gateway.config.findings import did_you_mean
    from gateway.learning.datasets.formats import FORMATS

    for known, form in FORMATS.items():
        if name == known:
            return form
    if name is None:
        return None
    near = did_you_mean(name, FORMATS)
    raise typer.BadParameter(f"{name!r} is none of {', '.join(FORMATS)}{near}", param_hint="--format")


def _routes(path: Path) -> "Routes | None":
    """Return the routes, where a file of them can be read: files of rows need none."""
    from gateway.config.loader import load

    if not path.is_file():
        return None
    try:
        return load(path, environ=os.environ).routes
    except ConfigError:
        return None


def _check(
    place: str,
    routes_file: Path,
    known: "Routes | None",
    form: "Format | None",
    base: str | None,
    evaluated: "Evaluated | None",
    watch: "Watching",
) -> "list[FileReport]":
    from gateway.cli.dataset_work import directory_of
    from gateway.cli.pack_sources import redactor_of
    from gateway.learning.datasets.directory_check import EVALUATION, format_beside, validate_directory
    from gateway.learning.datasets.validation import Wanted, validate_file

    path, route = Path(place), known.routes.get(place) if known else None
    if not path.exists():
        if route is None:
            raise _misuse(place, known)
        path = directory_of(route, routes_file)
        if not path.is_dir():
            raise ConfigError(f"{path} is not there: gateway dataset build {place}")
    route = route or _route_of(path if path.is_dir() else path.parent, known)
    wanted = Wanted(base=base or _base(route), redactor=redactor_of(route), evaluated=evaluated)
    try:
        if path.is_dir():
            return validate_directory(path, wanted, form, watch)
        if path.name in EVALUATION:
            wanted = Wanted(base=wanted.base, redactor=wanted.redactor, is_training=False)
        return [validate_file(path, str(path), form or format_beside(path), wanted, watch(path))]
    except OSError as error:
        raise ConfigError(f"{error.filename or path} cannot be read: {error.strerror}") from None


def _misuse(place: str, known: "Routes | None") -> "typer.BadParameter":
    from gateway.config.findings import did_you_mean

    near = did_you_mean(place, known.routes if known else ())
    return typer.BadParameter(f"{place!r} is no file, no directory and no route{near}", param_hint="FILE|DIR|ROUTE")


def _route_of(directory: Path, known: "Routes | None") -> "Route | None":
    """Return the route that the manifest in a directory names, where there is one and routes.yaml knows it."""
    from gateway.learning.datasets.manifest import MANIFEST, parse_manifest

    try:
        named = parse_manifest((directory / MANIFEST).read_bytes(), MANIFEST).route
    except (OSError, ConfigError):
        return None
    return known.routes.get(named) if known else None


def _base(route: "Route | None") -> str | None:
    from gateway.config.model_ids import base_of

    primary = route.primary if route is not None else None
    return (primary.base or base_of(primary.model)) if primary is not None else None


def _evaluated(path: Path | None, watch: "Watching") -> "Evaluated | None":
    from gateway.learning.datasets.overlap import Evaluated
    from gateway.learning.datasets.validation import add_evaluated

    if path is None:
        return None
    try:
        return add_evaluated(Evaluated(), path, str(path), watch(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _watching(bars: ExitStack) -> "Watching":
    """Return what shows how far each file is; bars end with ``bars``."""
    from gateway.cli.progress_bar import progress_bar

    every_bytes = 2**20

    def watch(path: Path) -> Callable[[int], None]:
        size, told = max(path.stat().st_size, 1), 0
        bars.close()
        show = bars.enter_context(progress_bar(f"checking {path.name}"))

        def advance(read: int) -> None:
            nonlocal told
            if read - told >= every_bytes or read >= size:
                told = read
                show(read / size, f"{read / 10**6:,.0f} of {size / 10**6:,.0f} MB")

        return advance

    return watch


def _print(report: "FileReport", *, everything: bool) -> None:
    """Print a report; of each rule some findings, since one that all rows break would hide the others."""
    from gateway.learning.datasets.validation import MOST_A_RULE
    from gateway.lifecycle.forecast_words import counted

    most, shown = MOST_A_RULE if everything else _SHOWN_A_RULE, Counter[str]()
    for finding in report.findings:
        shown[finding.rule] += 1
        if shown[finding.rule] <= most:
            typer.echo(_line(finding))
    for rule, count in report.counts.items():
        if count > most:
            how = "" if everything else " (--all)"
            typer.echo(f"{report.file}: and {count - most:,} more of {rule}{how}")
    said = f"{counted(report.errors, 'error')}, {counted(report.warnings, 'warning')}"
    if report.format == "manifest":
        typer.echo(f"{report.file}: {said}")
        return
    use = "evaluated with" if Path(report.file).name.startswith("evaluation.") else "trained on"
    end = f"it cannot be {use}" if report.errors else f"it can be {use}"
    typer.echo(f"{report.file}: {report.format or 'no format'}, {counted(report.rows, 'row')}, {said}; {end}")


def _line(finding: "RowFinding") -> str:
    colour = typer.colors.RED if finding.severity == "error" else typer.colors.YELLOW
    word = finding.severity if "NO_COLOR" in os.environ else typer.style(finding.severity, fg=colour)
    return f"{finding.file}:{finding.line}: {word}: {finding.message} [{finding.rule}]"


def _as_object(report: "FileReport") -> dict[str, Any]:
    keys: Sequence[str] = ("rule", "severity", "line", "message")
    return {
        "file": report.file,
        "format": report.format or None,
        "rows": report.rows,
        "size_bytes": report.size_bytes,
        "errors": report.errors,
        "warnings": report.warnings,
        "counts": dict(sorted(report.counts.items())),
        "findings": [{key: getattr(finding, key) for key in keys} for finding in report.findings],
    }
