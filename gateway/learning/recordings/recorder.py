"""Asks a primary while it lives, and keeps what it answers.

Each answer, and its row of the ledger before it, is in the database before the next question takes its place: a run
that is killed loses what was in flight, and the next one asks only what is missing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson

from gateway.config.routes import Route, Target
from gateway.learning.asking import LONGEST_PAUSE_S, MOST_TRIES, PATIENT, Asked
from gateway.learning.pace import Pace, Purse
from gateway.learning.recordings.plan import Lengths, Question, asked_with, cost_at_most, longest, prefix_chars
from gateway.learning.workbench import Workbench
from gateway.ledger.entry import Entry
from gateway.reasons import FailureKind
from gateway.store.recordings import Recording
from gateway.store.usage import UsageStore

FIRST_PAUSE_S: Final = 1.0
MOST_FAILURES_IN_A_ROW: Final = 20
EMPTY, SUBSTITUTED = "empty_answer", "substituted"
"""What went wrong with an answer that came, beside the kinds of ``FailureKind``."""


class Stop(StrEnum):
    """Why a run ended before everything was asked."""

    CAP = "cap"
    GONE = "gone"
    REFUSED = "refused"
    """The key or its quota."""
    UNREACHABLE = "unreachable"
    SUBSTITUTED = "substituted"
    """Another model answers."""
    FAILING = "failing"
    """Nothing but failures, many in a row."""
    INTERRUPTED = "interrupted"


_STOPS: Final = {
    FailureKind.MODEL_GONE: Stop.GONE,
    FailureKind.MODEL_NO_ACCESS: Stop.GONE,
    FailureKind.MODEL_AMBIGUOUS: Stop.GONE,
    FailureKind.AUTHENTICATION: Stop.REFUSED,
    FailureKind.QUOTA: Stop.REFUSED,
    FailureKind.CONNECTION: Stop.UNREACHABLE,
    FailureKind.TLS: Stop.UNREACHABLE,
    SUBSTITUTED: Stop.SUBSTITUTED,
}


@dataclass(slots=True)
class Trouble:
    """Failures of one kind."""

    first: str
    """What the first of them said."""
    count: int = 0


@dataclass(slots=True)
class RecordingRun:
    """How far a run is."""

    total: int
    kept: int = 0
    troubles: dict[str, Trouble] = field(default_factory=dict)
    stopped: Stop | None = None

    @property
    def failed(self) -> int:
        """Return how many questions got no answer."""
        return sum(trouble.count for trouble in self.troubles.values())

    def note(self, kind: str, message: str) -> None:
        """Count a failure."""
        self.troubles.setdefault(kind, Trouble(message)).count += 1

    def take(self, other: "RecordingRun") -> None:
        """Count another run's failures as well."""
        for kind, trouble in other.troubles.items():
            self.troubles.setdefault(kind, Trouble(trouble.first)).count += trouble.count


class Recorder:
    """Puts questions to one route's primary, several at once; a rate limit of the provider pauses all of them."""

    def __init__(
        self,
        bench: Workbench,
        route: Route,
        primary: Target,
        lengths: Lengths,
        *,
        cap_nanousd: int | None,
        rate_per_s: float,
        concurrency: int,
        on_progress: Callable[[RecordingRun], None] = lambda run: None,
    ) -> None:
        self._bench, self._route, self._primary = bench, route, primary
        self._prepared = bench.prepared(route, primary)
        self._price = bench.snapshot.price_book.lookup(primary.provider.name, primary.model)
        self._prefix_chars = prefix_chars(self._prepared.prompt_prefix)
        self._lengths = lengths
        self._pace = Pace(rate_per_s, bench.clock)
        self._concurrency = concurrency
        self._on_progress = on_progress
        self._usage = UsageStore(bench.database)
        self._unkept: list[tuple[Entry, Recording]] = []
        self._keeping = asyncio.Lock()
        self._failed_in_a_row = 0
        self.purse = Purse(cap_nanousd)
        self.run = RecordingRun(0)

    def stop(self) -> None:
        """Ask nothing more; what is in flight is waited for."""
        self._end(Stop.INTERRUPTED)

    async def record(self, questions: Sequence[Question]) -> RecordingRun:
        """Ask everything, or until the money, the primary or the patience ends.

        Raises:
            DatabaseUnavailable: an answer could not be kept.
        """
        self.run.total = len(questions)
        running: set[asyncio.Task[None]] = set()
        try:
            for question in questions:
                while running and (len(running) >= self._concurrency or not self._affords(question)):
                    running = await _some_done(running)
                if not self._affords(question):
                    self._end(Stop.CAP)
                if self.run.stopped is None:
                    await self._pace.turn()
                if self.run.stopped is not None:
                    break
                aside = self._cost_at_most(question)
                self.purse.set_aside += aside
                running.add(asyncio.create_task(self._ask(question, aside)))
            while running:
                running = await _some_done(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return self.run

    def _affords(self, question: Question) -> bool:
        return self.purse.holds(self._cost_at_most(question))

    def _cost_at_most(self, question: Question) -> int:
        return cost_at_most(question, self._price, self._prefix_chars, self._lengths.longest)

    def _end(self, why: Stop) -> None:
        self.run.stopped = self.run.stopped or why

    async def _ask(self, question: Question, set_aside: int) -> None:
        try:
            asked = await self._asked(question)
        finally:
            self.purse.set_aside -= set_aside
        if asked.message is not None and asked.failure is None and not asked.entry.substituted:
            self._learn_length(asked.entry.output_tokens)
            row = recording_of(question, self._route, self._primary, asked.entry.finished_at)
            await self._keep(asked.entry, answered(row, asked.message, asked.entry))
            self.run.kept += 1
            self._failed_in_a_row = 0
        else:
            self._note(asked)
        self._on_progress(self.run)

    async def _asked(self, question: Question) -> Asked:
        """Ask until there is an answer, or a failure that a pause does not mend; everybody pauses."""
        body, snapshot, attempt = question.body, self._bench.snapshot, 0
        while True:
            # As a stream, since that tells when the first token came, which nobody can measure later.
            asked = await self._bench.asker.ask(
                snapshot, self._route, self._prepared, body, kind="recording", streamed=True
            )
            self.purse.spent += asked.entry.cost_nanousd or 0
            attempt += 1
            failure = asked.failure
            if failure is None or failure.kind not in PATIENT or attempt == MOST_TRIES:
                return asked
            pause_s = max(failure.retry_after_s or 0.0, FIRST_PAUSE_S * 2 ** (attempt - 1))
            self._pace.pause(min(pause_s, LONGEST_PAUSE_S))
            await self._pace.turn()
            if self.run.stopped:
                return asked

    def _note(self, asked: Asked) -> None:
        """Take down a failure, and end the run where the next question would fare no better."""
        kind: str
        if asked.failure is not None:
            kind, message = asked.failure.kind, asked.failure.message
        elif asked.entry.substituted:
            kind, message = SUBSTITUTED, f"{asked.entry.model_answered} answered instead of {self._primary.model}"
        else:
            kind, message = EMPTY, "an answer that says nothing"
        self.run.note(kind, message)
        self._failed_in_a_row += 1
        if kind in _STOPS:
            self._end(_STOPS[kind])
        elif self._failed_in_a_row >= MOST_FAILURES_IN_A_ROW:
            self._end(Stop.FAILING)

    def _learn_length(self, output_tokens: int) -> None:
        most = longest(self._lengths.usual, output_tokens)
        if most > self._lengths.longest:
            self._lengths = replace(self._lengths, longest=most)

    async def _keep(self, entry: Entry, row: Recording) -> None:
        """Return when the answer is in the database; whatever came while others were written goes together.

        The ledger first: its own writer lets rows gather, and leaves out those that are there already.
        """
        self._unkept.append((entry, row))
        async with self._keeping:
            if self._unkept:
                kept, self._unkept = self._unkept, []
                await self._usage.insert_attempts([entry for entry, _ in kept])
                await self._bench.recordings.keep([row for _, row in kept])


def recording_of(question: Question, route: Route, primary: Target, recorded_at: datetime) -> Recording:
    """Return what is kept of a question, its answer not yet in it."""
    asked = question.input
    return Recording(
        route.name,
        primary.provider.name,
        primary.model,
        asked.id,
        question.sample,
        route.tenant or "",
        asked.request,
        None,
        asked.source,
        recorded_at,
        request_id=asked.request_id,
        user_digest=asked.user_digest,
        asked_with=asked_with(primary),
    )


def answered(row: Recording, message: Mapping[str, Any], entry: Entry) -> Recording:
    """Return a recording with its answer, and what that took."""
    return replace(
        row,
        answer=orjson.dumps(message).decode(),
        recorded_at=entry.finished_at,
        attempt_id=entry.attempt_id,
        input_tokens=entry.input_tokens,
        output_tokens=entry.output_tokens,
        cost_nanousd=entry.cost_nanousd,
        duration_ms=entry.duration_ms,
        ttft_ms=entry.ttft_ms,
    )


async def _some_done(running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait for one of them at least; return the others. Raises what went wrong within."""
    done, rest = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    return rest
