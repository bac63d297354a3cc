"""How far a job is: one line that changes on a terminal, elsewhere a line for every change and every minute."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import typer

from gateway.cli.tune_words import lasting
from gateway.clock import Clock
from gateway.config.findings import printable
from gateway.learning.tuning.runner import Progress
from gateway.policy.tuning import ENDED, TuningJob

LINE_EVERY_S: Final = 60.0
Show = Callable[[Progress], None]


@contextmanager
def shown_progress(clock: Clock, *, quiet: bool) -> Iterator[Show]:
    """Yield what shows progress on stderr; trouble is told even where only the outcome is wanted."""
    if sys.stderr.isatty():
        with _status(clock) as show:
            yield show
    else:
        yield _Lines(clock, quiet=quiet).show


class _Lines:
    def __init__(self, clock: Clock, *, quiet: bool) -> None:
        self._clock, self._quiet = clock, quiet
        self._told_at = 0.0
        self._last, self._told = _Latest(), ""

    def show(self, progress: Progress) -> None:
        """Tell what is new, and now and then that nothing is."""
        if progress.trouble is not None:
            typer.echo(f"{progress.job.provider}: {printable(progress.trouble)}; trying again", err=True)
            return
        if self._quiet or progress.job.state in ENDED:
            return
        said, now = line_of(self._last.of(progress)), self._clock.monotonic()
        if said == self._told and now - self._told_at < LINE_EVERY_S:
            return
        self._told, self._told_at = said, now
        typer.echo(f"{_elapsed(progress.job, self._clock)}  {said}", err=True)


class _Latest:
    """What the provider said last while the job was where it is: not every look brings something new."""

    def __init__(self) -> None:
        self._status = ""
        self._event: str | None = None

    def of(self, progress: Progress) -> Progress:
        """Return progress with the latest event of its status."""
        status = line_of(replace(progress, event=None))
        if progress.event is not None or status != self._status:
            self._status, self._event = status, progress.event
        return replace(progress, event=self._event)


@contextmanager
def _status(clock: Clock) -> Iterator[Show]:
    from rich.console import Console

    latest = _Latest()
    with Console(stderr=True).status("") as status:

        def show(progress: Progress) -> None:
            said = f"{progress.trouble}; trying again" if progress.trouble else line_of(latest.of(progress))
            status.update(f"{_elapsed(progress.job, clock)}  {_plain(printable(said))}")

        yield show


def line_of(progress: Progress) -> str:
    """Say where a job is: our state, the provider's word where that is another, and what it said last."""
    job = progress.job
    own = str(job.settings.get("provider_status") or "")
    status = job.state.value if own.lower() in ("", job.state.value) else f"{job.state.value} ({printable(own)})"
    return f"{status}: {printable(progress.event)}" if progress.event else status


def _elapsed(job: TuningJob, clock: Clock) -> str:
    return lasting((clock.now() - job.created_at).total_seconds())


def _plain(text: str) -> str:
    # What stands in brackets would be read as a style.
    return text.replace("[", "\\[")
