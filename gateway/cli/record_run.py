"""One run of ``gateway record``: what it costs is told, agreed to, and then asked, or sent as a batch."""

import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli import record_words as words
from gateway.cli.known import open_or_make
from gateway.cli.record_progress import shown_progress
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.learning.lease import Lease, held
from gateway.learning.pace import Purse
from gateway.learning.recordings.batch_answers import in_a_batch
from gateway.learning.recordings.batch_api import KINDS
from gateway.learning.recordings.batches import Collected, RecordingBatches, Waiting
from gateway.learning.recordings.inputs_file import CAPTURED, Inputs, of_captured, read_inputs
from gateway.learning.recordings.plan import Lengths, RecordingPlan, asked_with, estimated, lengths, plan, prefix_chars
from gateway.learning.recordings.recorder import Recorder, RecordingRun
from gateway.learning.workbench import Workbench
from gateway.lifecycle.provider_pages import Refused
from gateway.policy.pricing import cost_nanousd
from gateway.store.captured_inputs import CapturedInputs
from gateway.store.database import DatabaseUnavailable
from gateway.store.recordings import Recording

if TYPE_CHECKING:
    from gateway.config.routes import Route, Routes, Target


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    route: str
    inputs: str
    second_samples: float
    limit: int | None
    rate: float
    concurrency: int
    cap_nanousd: int
    capped: bool
    """Whether the cap was named, and not just the usual one."""
    agreed: bool
    batch: bool
    wait: bool
    quiet: bool
    """Whether only the outcome is wanted."""


@dataclass(slots=True)
class Done:
    """What came of it."""

    route: "Route"
    primary: "Target"
    plan: RecordingPlan
    run: RecordingRun
    spent_nanousd: int = 0
    cap_nanousd: int | None = None
    sent: int = 0
    """Questions that went out as batches."""
    fetched: int = 0
    """Answers that came back from batches."""
    waiting: list[Waiting] = field(default_factory=list)
    repeated: int = 0


async def run(wish: Wish, routes: "Routes", url: str, environ: Mapping[str, str]) -> Done:
    """Do what is wished.

    Raises:
        ConfigError: the database, the inputs or the provider's batch API cannot be used, the model has no price, or
            another run of the route is at work.
        BadParameter: nobody is there to agree.
    """
    try:
        database = await open_or_make(url)
        try:
            clock = SystemClock()
            async with (
                held(database, clock, f"record:{wish.route}") as lease,
                Workbench.open(routes, database, environ, clock) as bench,
            ):
                return await _Session(bench, wish, lease).run()
        finally:
            await database.close()
    except Refused as refused:
        raise ConfigError(f"the provider's batch API: {refused}") from None
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot record: {error}") from None


class _Session:
    def __init__(self, bench: Workbench, wish: Wish, lease: Lease) -> None:
        self._bench, self._wish, self._lease = bench, wish, lease
        self._route = bench.route(wish.route)
        assert self._route.primary is not None
        self._primary = self._route.primary
        price = bench.snapshot.price_book.lookup(self._primary.provider.name, self._primary.model)
        self._price = in_a_batch(price) if wish.batch else price
        if price is None and wish.limit is None:
            raise ConfigError(
                f"no price is known for {self._primary.model} of {self._primary.provider.name}, so nothing can be "
                "capped: write one under `prices` in routes.yaml, or bound the run with --limit N"
            )
        if wish.batch and self._primary.provider.kind not in KINDS:
            raise ConfigError(
                f"providers of the kind {self._primary.provider.kind} have no batch API that this command speaks; "
                "leave --batch out"
            )

    async def run(self) -> Done:
        inputs = await self._inputs()
        recorded = await self._recorded()
        found = Collected(RecordingRun(0))
        batches = None
        # Promises are looked after whether or not more is sent as a batch: they may be there by now.
        if self._primary.provider.kind in KINDS and (pending := await self._pending()):
            batches = self._batches(recorded)
            found = await batches.collect(pending)
            recorded = await self._recorded()
        planned = plan(inputs, recorded, self._wish.second_samples, self._wish.limit)
        usual = lengths(inputs.rows, recorded)
        done = Done(self._route, self._primary, planned, RecordingRun(0), repeated=inputs.repeated)
        done.cap_nanousd = None if self._price is None else self._wish.cap_nanousd
        _add(done, found)
        if planned.questions:
            self._agree(done, usual)
            # While a person was asked, nothing else went on.
            await self._lease.renew()
            await (self._send(done, usual) if self._wish.batch else self._ask(done, usual))
        if self._wish.wait and (done.sent or done.waiting):
            batches = batches or self._batches(recorded)
            done.waiting = []
            _add(done, await batches.wait(self._pending, self._told_waiting))
        elif done.sent:
            done.waiting = (await self._batches(recorded).collect(await self._pending())).waiting
        return done

    async def _inputs(self) -> Inputs:
        if self._wish.inputs == CAPTURED:
            store = CapturedInputs(self._bench.database)
            tenant = self._route.tenant or ""
            found = of_captured(await store.captured_inputs(self._route.name, tenant, self._bench.clock.now()))
            if not found.rows:
                raise ConfigError(words.nothing_captured(self._route))
            return found
        try:
            content = await asyncio.to_thread(Path(self._wish.inputs).read_bytes)
        except OSError as error:
            raise ConfigError(f"cannot read {self._wish.inputs}: {error.strerror}") from None
        return read_inputs(content, self._wish.inputs)

    async def _recorded(self) -> list[Recording]:
        """Return what is kept of this primary for this tenant; another's is as good as not there."""
        rows = await self._bench.recordings.of_route(*self._names, asked_with(self._primary))
        return [row for row in rows if row.tenant == (self._route.tenant or "")]

    async def _pending(self) -> list[Recording]:
        """Return what batches have promised for this tenant, also from before its parameters changed: it is paid."""
        rows = await self._bench.recordings.pending(*self._names)
        return [row for row in rows if row.tenant == (self._route.tenant or "")]

    @property
    def _names(self) -> tuple[str, str, str]:
        return self._route.name, self._primary.provider.name, self._primary.model

    def _batches(self, recorded: list[Recording]) -> RecordingBatches:
        return RecordingBatches(self._bench, self._route, self._primary, lengths((), recorded))

    def _agree(self, done: Done, usual: Lengths) -> None:
        """Say what it will cost, and let somebody agree."""
        prepared = self._bench.prepared(self._route, self._primary)
        usage = estimated(done.plan.questions, prefix_chars(prepared.prompt_prefix), usual.usual)
        cost = None if self._price is None else cost_nanousd(self._price, usage)
        for line in words.beforehand(done.plan, self._route, self._primary, usage, cost, done.cap_nanousd, usual):
            typer.echo(line, err=True)
        wish = self._wish
        if wish.agreed:
            return
        if sys.stdin.isatty() and sys.stderr.isatty():
            if not typer.confirm("Go on?", err=True):
                raise typer.Abort
        elif not wish.capped:
            raise typer.BadParameter("this costs money and nobody is asked: say --yes, or name a --max-usd")

    async def _ask(self, done: Done, usual: Lengths) -> None:
        with shown_progress(self._bench.clock, quiet=self._wish.quiet) as show:
            recorder = Recorder(
                self._bench,
                self._route,
                self._primary,
                usual,
                cap_nanousd=done.cap_nanousd,
                rate_per_s=self._wish.rate,
                concurrency=self._wish.concurrency,
                on_progress=lambda run: show(run, recorder.purse),
            )
            with _interrupts(recorder):
                ran = await recorder.record(done.plan.questions)
        done.spent_nanousd += recorder.purse.spent
        done.run.kept += ran.kept
        done.run.stopped = ran.stopped
        done.run.take(ran)

    async def _send(self, done: Done, usual: Lengths) -> None:
        batches = RecordingBatches(self._bench, self._route, self._primary, usual)
        ran = await batches.submit(done.plan.questions, Purse(done.cap_nanousd))
        done.sent, done.run.stopped = ran.kept, ran.stopped

    def _told_waiting(self, found: Collected) -> None:
        if not self._wish.quiet and found.waiting:
            typer.echo(words.still_waiting(found.waiting), err=True)


def _add(done: Done, found: Collected) -> None:
    """Add what batches have brought."""
    done.fetched += found.run.kept
    done.spent_nanousd += found.spent_nanousd
    done.waiting += found.waiting
    done.run.take(found.run)


@contextmanager
def _interrupts(recorder: Recorder) -> Iterator[None]:
    """Let the first Ctrl-C end the run in order: what is in flight is paid for, and kept. A second ends it at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        typer.echo("stopping; waiting for what is in flight", err=True)
        recorder.stop()

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
