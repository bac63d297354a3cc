"""How far long work is, on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer

LINE_EVERY_S: Final = 10.0

Advance = Callable[[float, str], None]
"""Told what share is done, from 0 to 1, and what else is to be said."""


@contextmanager
def progress_bar(doing: str, *, hidden: bool = False) -> Iterator[Advance]:
    """Yield what shows progress; ``hidden``: nobody is shown anything."""
    if hidden:
        yield lambda share, said: None
    elif sys.stderr.isatty():
        with _bar(doing) as advance:
            yield advance
    else:
        yield _lines(doing)


def _lines(doing: str) -> Advance:
    told = time.monotonic()

    def advance(share: float, said: str) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= LINE_EVERY_S:
            told = now
            typer.echo(f"{doing}: {share:.0%}, {said}", err=True)

    return advance


@contextmanager
def _bar(doing: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(doing), BarColumn(bar_width=30), TaskProgressColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(doing, total=1.0, said="")
        yield lambda share, said: bars.update(task, completed=share, said=said)
