"""How far a recording run is: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from gateway.lifecycle.forecast_words import money

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.learning.pace import Purse
    from gateway.learning.recordings.recorder import RecordingRun

LINE_EVERY_S = 10.0

Show = Callable[["RecordingRun", "Purse"], None]


@contextmanager
def shown_progress(clock: "Clock", *, quiet: bool) -> Iterator[Show]:
    """Yield what shows progress on stderr."""
    if sys.stderr.isatty():
        with _bar() as show:
            yield show
    elif quiet:
        yield lambda run, purse: None
    else:
        yield _Lines(clock).show


class _Lines:
    def __init__(self, clock: "Clock") -> None:
        self._clock = clock
        self._began = self._told = clock.monotonic()

    def show(self, run: "RecordingRun", purse: "Purse") -> None:
        """Tell where the run stands, now and then."""
        now = self._clock.monotonic()
        if now - self._told < LINE_EVERY_S:
            return
        self._told = now
        done = run.kept + run.failed
        left_s = (now - self._began) / done * (run.total - done) if done else 0.0
        typer.echo(
            f"{done:,} of {run.total:,}, {spent(purse)}, {run.failed:,} failed, {_lasting(left_s)} left", err=True
        )


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    told = TextColumn("{task.fields[spent]} · {task.fields[failed]} failed")
    columns = (TextColumn("recording"), BarColumn(bar_width=30), MofNCompleteColumn(), told, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("recording", total=None, spent="$0", failed=0)

        def show(run: "RecordingRun", purse: "Purse") -> None:
            done = run.kept + run.failed
            bars.update(task, total=run.total, completed=done, spent=spent(purse), failed=run.failed)

        yield show


def spent(purse: "Purse") -> str:
    """Say what was spent, and of how much."""
    return money(purse.spent) + (f" of {money(purse.cap)}" if purse.cap is not None else "")


def _lasting(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
