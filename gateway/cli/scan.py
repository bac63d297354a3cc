"""``gateway scan``: model ids that are hard-coded in a source tree, for people's own CI."""

import os
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.clock import SystemClock

if TYPE_CHECKING:
    from gateway.config.routes import Routes
    from gateway.lifecycle.scan import Report

_DEFAULT_ROUTES = Path("routes.yaml")
_MANY_FILES = 200


class Format(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def scan(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", exists=True, help="Directories or files.")],
    within: Annotated[
        int, typer.Option("--within", metavar="N", min=0, help="Exit 1 when a model stops within N days.")
    ] = 90,
    routes: Annotated[
        Path | None,
        typer.Option(
            "--routes",
            envvar="GATEWAY_ROUTES_FILE",
            help="Tells which route to use instead.  (default: routes.yaml, where there is one)",
        ),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="github: annotations of a GitHub workflow.")] = Format.TEXT,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Find model ids that are hard-coded in a source tree, and say when each of them stops.

    Needs no server, network or key; nothing of the tree is executed.

    Exit codes: 0 nothing stops within the days, 1 something does or has stopped already, 2 the command was misused.

    Found are ids that somebody dates, and fine-tunes of OpenAI and Azure, with or without a prefix such as openai/,
    azure/, bedrock/, vertex_ai/ or models/. Words such as ada, command or o1 count only where a model is named, as in
    model="o1". Ids that are put together from parts, or split over lines, are not found.

    An id in a comment, a docstring or a sentence is only mentioned: listed, never failing. A line that says
    "understudy: ignore" is silent, and so are routes.yaml and the files it names.

    An id's vendor is what its prefix says, else whose family it is of; in a file that speaks of Azure OpenAI or of
    Vertex AI it is theirs, where they date it; where a file speaks of both, of whoever stops it first. When it stops at
    other vendors is shown, too.

    Read are sources, configuration and code cells of notebooks, within a git work tree those that git does not ignore.
    Left out: build output, dependencies, lock files, Markdown, and data. Files over 2 MiB are named as not read.

    Example:  gateway scan src deploy --within 120 --format github
    """
    from gateway.cli.scan_report import print_report

    report = report_on(paths, within, _routes(routes), SystemClock().now())
    print_report(report, Format.JSON if as_json else output)
    raise typer.Exit(1 if report.failing else 0)


def report_on(paths: list[Path], within_days: int, routes: "Routes | None", now: datetime) -> "Report":
    """Scan as the command does, on a given day."""
    from gateway.lifecycle.scan import scan as scan_files
    from gateway.lifecycle.scan_files import source_files

    files = source_files(paths)
    return scan_files(files, now=now, within_days=within_days, routes=routes, progress=_with_bar)


def _routes(path: Path | None) -> "Routes | None":
    from gateway.config.findings import InvalidRoutes, printable
    from gateway.config.loader import load

    if path is None and not _DEFAULT_ROUTES.is_file():
        return None
    try:
        return load(path or _DEFAULT_ROUTES, environ=os.environ).routes
    except InvalidRoutes as error:
        if path is not None:
            reasons = "\n".join(printable(str(finding)) for finding in error.findings)
            raise typer.BadParameter(
                f"{printable(str(path))} cannot be used:\n{reasons}", param_hint="--routes"
            ) from None
        # Nobody named it, and other programs have files of that name.
        typer.echo("routes.yaml cannot be used, and is left aside: `gateway check` says why", err=True)
        return None


def _with_bar(files: Iterable[Path]) -> Iterator[Path]:
    listed = list(files)
    if len(listed) < _MANY_FILES or not sys.stderr.isatty():
        yield from listed
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(listed, description="Scanning", console=Console(stderr=True), transient=True)
