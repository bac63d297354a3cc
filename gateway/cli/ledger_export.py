"""``gateway ledger export``: the rows, for whatever reads CSV or JSON lines."""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, get_args

import typer

from gateway.cli.configuration import DatabaseOption
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.ledger.entry import EntryKind

if TYPE_CHECKING:
    from gateway.cli.ledger_rows import Render
    from gateway.cli.progress_bar import Advance
    from gateway.store.ledger_export import Chosen

KINDS: Final = get_args(EntryKind)
STDOUT: Final = "-"
BEGINNING: Final = "1970-01-01"


class Form(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"


def export(
    form: Annotated[Form, typer.Option("--format", help="How rows are written.")] = Form.CSV,
    since: Annotated[str, typer.Option(metavar="WHEN", help="From when on: 24h, 7d, 4w, or a day.")] = BEGINNING,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Until, and without, when.  (default: now)")] = None,
    route: Annotated[str | None, typer.Option(help="Only of this route.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="|".join(KINDS), help="Only of this kind.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to.  (-: stdout)")] = STDOUT,
    database: DatabaseOption = None,
) -> None:
    """Write the ledger's rows out, one for each call of a provider, in the order of their start.

    Columns are the table's, and cost_usd beside cost_nanousd: the same amount, exact, in dollars. An empty cost is one
    that nobody can tell (no price), which is not nothing. Times are UTC. In CSV, texts that a spreadsheet would take
    for a formula begin with an apostrophe. A file is there whole or not at all, for its owner alone. Any number of rows
    goes, in little memory, also while a gateway writes.

    Example:  gateway ledger export --since 4w --route forum-reply -o october.csv
    """
    from gateway.cli.ledger_rows import csv_lines, json_lines
    from gateway.cli.progress_bar import progress_bar
    from gateway.cli.report_period import period_of
    from gateway.config.settings import read_settings
    from gateway.store.ledger_export import COLUMNS, Chosen

    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="--kind")
    period = period_of(since, until, SystemClock().now())
    chosen = Chosen(period.since, period.until, route, kind)
    url = read_settings(database_url=database).database_url
    rendered = (csv_lines if form is Form.CSV else json_lines)(COLUMNS)
    # Between the lines of a file on the same terminal a bar would only be in the way.
    hidden = output == STDOUT and sys.stdout.isatty()
    with _written_to(output) as file, progress_bar("exporting", hidden=hidden) as advance:
        count = asyncio.run(_export(url, chosen, rendered, file, advance))
    if output != STDOUT:
        typer.echo(f"{count:,} row{'' if count == 1 else 's'} to {output}", err=True)


async def _export(
    url: str, chosen: "Chosen", rendered: "tuple[bytes, Render]", file: BinaryIO, advance: "Advance"
) -> int:
    from gateway.cli.known import no_state_in
    from gateway.store.database import Database, DatabaseUnavailable
    from gateway.store.ledger_export import COLUMNS, LedgerRows

    head, lines = rendered
    started_at, count = COLUMNS.index("started_at"), 0
    try:
        opened = await Database.open_existing(url)
        if opened is None:
            raise no_state_in(url)
        try:
            rows = LedgerRows(opened)
            span = await rows.span(chosen)
            file.write(head)
            async for page in rows.pages(chosen):
                file.write(lines(page))
                count += len(page)
                if span is not None:
                    advance(_share(page[-1][started_at], *span), f"{count:,} rows")
            file.flush()
        finally:
            await opened.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot export: {error}") from None
    return count


def _share(at: datetime, first: datetime, last: datetime) -> float:
    """Return how far a row is, by time: counting rows first would take as long as writing them."""
    return min(1.0, (at - first) / (last - first)) if last > first else 1.0


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def _written_to(output: str) -> Iterator[BinaryIO]:
    """Yield the file; it takes its name only when it is whole, and is on the disk then."""
    if output == STDOUT:
        try:
            yield sys.stdout.buffer
        except BrokenPipeError:
            # Whoever reads it has enough. What is still buffered goes nowhere, without another word at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None
        return
    path = Path(output)
    if os.path.exists(output) and not os.path.isfile(output):
        # A device or a pipe is written to; a file in its place would break whoever else uses it.
        with _opened(path) as file:
            yield file
        return
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        raise ConfigError(f"cannot write {output}: {error.strerror}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
