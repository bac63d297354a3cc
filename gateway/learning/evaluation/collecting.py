"""Asks what an evaluation does not have yet: a few questions at a time, under a cost cap, nothing twice."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

import orjson

from gateway.config.routes import Route, Target
from gateway.execution.prepared_target import PreparedTarget
from gateway.learning.asking import Asked, body_of
from gateway.learning.evaluation.rows import Message, Row
from gateway.learning.pace import Pace, Purse
from gateway.learning.recordings.plan import asked_with
from gateway.learning.workbench import Workbench
from gateway.policy.pricing import CHARS_PER_TOKEN, Price, Usage, cost_nanousd
from gateway.reasons import FailureKind
from gateway.store.evaluations import NO_PROMPT, EvaluationAnswer
from gateway.store.recordings import Recording

NANO: Final = 10**9
ENDS_AN_ARM: Final = frozenset(
    (
        FailureKind.MODEL_GONE,
        FailureKind.MODEL_NO_ACCESS,
        FailureKind.MODEL_AMBIGUOUS,
        FailureKind.AUTHENTICATION,
        FailureKind.QUOTA,
    )
)
"""After these there is no use in asking on."""
OF_THE_ROW: Final = frozenset((FailureKind.CONTEXT_TOO_LONG, FailureKind.CONTENT_REFUSED))
"""What a caller would get, too, whenever this row is asked: an answer of nothing, which is kept and scores 0."""
MOST_FAILURES: Final = 5
"""In a row; then a target is left alone."""
_LEAST_OUTPUT_TOKENS: Final = 128

T = TypeVar("T")
Job = Callable[[], Awaitable[None]]


class Question(NamedTuple):
    """Whom to ask what."""

    arm: "Arm"
    row: Row
    sample: int | None = None
    """Of the primary's answers; None: one of an evaluation's own."""


@dataclass(slots=True)
class Arm:
    """Somebody to ask, and how asking goes."""

    prepared: PreparedTarget
    prompt_version: str
    kept_as: str
    """What its answers are kept under: the prompt's version, and a digest of what else is sent along."""
    price: Price | None
    """None: it is unpriced, and the cap does not count it."""
    in_a_row: int = 0
    stopped: str | None = None
    """Why nobody asks any more."""
    dearest: int = 0

    def cost_at_most(self, row: Row) -> int:
        """Return an upper estimate of what a row costs, in nano-dollars: two bytes a token, and a long answer."""
        return max(self._cost(row, 2), self.dearest)

    def expected(self, row: Row) -> int:
        """Return about what a row costs, in nano-dollars: four bytes a token."""
        return self._cost(row, CHARS_PER_TOKEN)

    def _cost(self, row: Row, bytes_per_token: int) -> int:
        if self.price is None:
            return 0
        own = (*self.prepared.prompt_prefix, *self.prepared.similar_to(row.messages))
        asked = sum(len(orjson.dumps(part)) for part in (*own, *row.messages, *(row.tools or ())))
        answer = len(orjson.dumps(row.reference or {})) * 2 // bytes_per_token
        usage = Usage(asked // bytes_per_token, output_tokens=max(_LEAST_OUTPUT_TOKENS, answer))
        return cost_nanousd(self.price, usage)

    def heard(self, asked: Asked) -> bool:
        """Note how a call went; return whether it failed in a way that another run may mend."""
        self.dearest = max(self.dearest, asked.entry.cost_nanousd or 0)
        if asked.failure is None or asked.failure.kind in OF_THE_ROW:
            self.in_a_row = 0
            return False
        self.in_a_row += 1
        if asked.failure.kind in ENDS_AN_ARM or self.in_a_row >= MOST_FAILURES:
            self.stopped = f"{asked.failure.kind.value}: {asked.failure.message}"
        return True


class Keeper(Generic[T]):
    """Writes rows as they come: whatever came while others were written goes in one transaction."""

    def __init__(self, write: Callable[[list[T]], Awaitable[None]], writing: asyncio.Lock) -> None:
        self._write, self._writing = write, writing
        self._waiting: list[T] = []

    async def keep(self, row: T) -> None:
        """Return when the row is in the database."""
        self._waiting.append(row)
        async with self._writing:
            if self._waiting:
                rows, self._waiting = self._waiting, []
                await self._write(rows)


@dataclass(slots=True)
class Collector:
    """Asks for one route, and keeps every answer as it comes."""

    bench: Workbench
    route: Route
    purse: Purse
    concurrency: int = 4
    per_s: float = 10.0
    on_progress: Callable[[int, int], None] = lambda done, of: None
    asked: int = 0
    is_out_of_money: bool = False
    """Whether something was not asked since the cap would not have been kept."""
    is_stopped: bool = False
    """Whether somebody has stopped it."""
    failures: int = 0
    stopped: dict[str, str] = field(default_factory=dict)
    """Model → why it was not asked any more."""
    _settled: asyncio.Condition = field(default_factory=asyncio.Condition)
    """Notified when what a call has cost is known."""
    _answers: Keeper[EvaluationAnswer] = field(init=False)
    _recordings: Keeper[Recording] = field(init=False)

    def __post_init__(self) -> None:
        writing = asyncio.Lock()
        self._answers = Keeper(self.bench.evaluations.keep_answers, writing)
        self._recordings = Keeper(self.bench.recordings.keep, writing)

    def arm(self, target: Target, *, prompted: bool = True, of: Route | None = None) -> Arm:
        """Return a target of the route, or ``of`` another, to ask; or without its prompt: the floor."""
        if not prompted:
            target = target.model_copy(update={"prompt": None})
        price = self.bench.snapshot.price_book.lookup(target.provider.name, target.model)
        prepared = self.bench.prepared(of or self.route, target)
        version = prepared.prompt_version or NO_PROMPT
        return Arm(prepared, version, version + _sent_along(self.route, target), price)

    async def answers(self, arm: Arm) -> dict[str, EvaluationAnswer]:
        """Return what is kept of an arm, by input, in the order in which it was asked."""
        kept = await self.bench.evaluations.answers(self.route.name, *arm.prepared.key, arm.kept_as)
        return {answer.input_id: answer for answer in kept}

    async def missing(self, rows: Iterable[Row], arms: Iterable[Arm], primary: Arm | None) -> list[Question]:
        """Return what is not there yet, row by row: who to ask, the row, and for the primary which sample."""
        kept = [(arm, await self.answers(arm)) for arm in arms]
        wanted: list[Question] = []
        for row in rows:
            if primary is not None and row.missing_sample is not None:
                wanted.append(Question(primary, row, row.missing_sample))
            wanted += [Question(arm, row) for arm, answers in kept if row.input_id not in answers]
        return wanted

    async def collect(self, wanted: list[Question]) -> dict[str, Recording]:
        """Ask for all of it, as far as the money goes; return what was newly recorded of the primary, by input."""
        new: dict[str, Recording] = {}

        def jobs() -> Iterator[Job]:
            for arm, row, sample in wanted:
                if arm.stopped is None and self.goes_on:
                    yield partial(self._ask, arm, row, sample, new)

        await self.run(jobs(), len(wanted))
        return new

    def stop(self) -> None:
        """Ask nothing more; what is in flight is still kept."""
        self.is_stopped = True

    @property
    def goes_on(self) -> bool:
        """Whether anything more may be asked."""
        return not (self.is_out_of_money or self.is_stopped)

    async def run(self, jobs: Iterator[Job], total: int) -> None:
        """Run jobs, a few at a time, no faster than the rate allows. Raises the first error; the others stop then."""
        pace = Pace(self.per_s, self.bench.clock)
        done = 0

        async def work() -> None:
            nonlocal done
            # Next is taken in the one event loop: no two workers get the same job.
            for job in jobs:
                await pace.turn()
                if self.is_stopped:
                    return
                await job()
                done += 1
                self.on_progress(done, total)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.concurrency):
                    group.create_task(work())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def paid(self, arm: Arm, at_most: int, route: Route, body: dict[str, Any], **how: Any) -> Asked | None:
        """Ask while there is money for it; None where there is none left, or the arm has stopped meanwhile."""
        async with self._settled:
            while self.purse.set_aside and not self.purse.holds(at_most):
                await self._settled.wait()
        if arm.stopped is not None or not self.goes_on:
            return None
        if not self.purse.holds(at_most):
            self.is_out_of_money = True
            return None
        self.purse.set_aside += at_most
        try:
            asked = await self.bench.asker.ask_patiently(self.bench.snapshot, route, arm.prepared, body, **how)
            self.purse.spent += asked.entry.cost_nanousd or 0
        finally:
            self.purse.set_aside -= at_most
            async with self._settled:
                self._settled.notify_all()
        self.asked += 1
        self.failures += arm.heard(asked)
        if arm.stopped is not None:
            self.stopped[arm.prepared.model] = arm.stopped
        return asked

    async def _ask(self, arm: Arm, row: Row, sample: int | None, new: dict[str, Recording]) -> None:
        body = body_of(list(row.messages), row.tools)
        kind = "evaluation" if sample is None else "recording"
        asked = await self.paid(arm, arm.cost_at_most(row), self.route, body, kind=kind, streamed=True)
        if asked is None:
            return
        if sample is not None:
            if asked.message is not None:
                new[row.input_id] = self._recording(arm, row, sample, asked.message, asked)
                await self._recordings.keep(new[row.input_id])
        elif asked.failure is None or asked.failure.kind in OF_THE_ROW:
            await self._answers.keep(self._answer(arm, row, asked))

    def _answer(self, arm: Arm, row: Row, asked: Asked) -> EvaluationAnswer:
        nothing: dict[str, Any] = {"role": "assistant", "content": ""}
        if asked.failure is not None:
            nothing["failure"] = asked.failure.kind.value
        entry = asked.entry
        return EvaluationAnswer(
            route=self.route.name,
            provider=arm.prepared.key[0],
            model=arm.prepared.key[1],
            prompt_version=arm.kept_as,
            input_id=row.input_id,
            answer=_json(asked.message or nothing),
            attempt_id=entry.attempt_id,
            input_tokens=entry.input_tokens,
            cached_input_tokens=entry.cached_input_tokens,
            output_tokens=entry.output_tokens,
            cost_nanousd=entry.cost_nanousd,
            duration_ms=entry.duration_ms,
            ttft_ms=entry.ttft_ms,
        )

    def _recording(self, arm: Arm, row: Row, sample: int, message: Message, asked: Asked) -> Recording:
        entry = asked.entry
        return Recording(
            route=self.route.name,
            provider=arm.prepared.key[0],
            model=arm.prepared.key[1],
            asked_with=asked_with(arm.prepared.target),
            input_id=row.input_id,
            sample=sample,
            tenant=self.route.tenant or "",
            request=_json({"messages": list(row.messages), **({"tools": row.tools} if row.tools else {})}),
            answer=_json(message),
            source="evaluation",
            recorded_at=entry.finished_at,
            attempt_id=entry.attempt_id,
            input_tokens=entry.input_tokens,
            output_tokens=entry.output_tokens,
            cost_nanousd=entry.cost_nanousd,
            duration_ms=entry.duration_ms,
            ttft_ms=entry.ttft_ms,
        )


def _sent_along(route: Route, target: Target) -> str:
    """Return "+" and 8 hex digits for the target's parameters and the route's contract; nothing where there are none.

    Both change what is asked, and neither is part of the prompt's version.
    """
    parameters = target.parameters.model_dump(mode="json")
    contract = route.contract.model_dump(mode="json") if route.contract else None
    if contract is None and not any(parameters.values()):
        return ""
    said = orjson.dumps([parameters, contract], option=orjson.OPT_SORT_KEYS)
    return "+" + hashlib.sha256(said).hexdigest()[:8]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
