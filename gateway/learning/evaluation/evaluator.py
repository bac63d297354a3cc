"""Is a fallback good enough? Three arms on the same rows: floor, ceiling and the fallback as it is served.

The floor is the fallback's model without its prompt, the ceiling the primary (``evaluation_rows`` says against what).
The verdict is that of paired non-inferiority (``statistics``), of one measure; every other measure is told beside it.
A row's difference is fallback − ceiling, in the order in which the fallback's answers were asked for: the order of
hashes, which has nothing to do with how rows turn out.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import orjson

from gateway.config.routes import Route, Target
from gateway.learning.evaluation.collecting import Arm, Collector, Question
from gateway.learning.evaluation.costs import Prices
from gateway.learning.evaluation.json_measures import calls_tools
from gateway.learning.evaluation.judging import Judge, Judged, Pair
from gateway.learning.evaluation.measures import Task, choose_measure, labels_of
from gateway.learning.evaluation.outcome import (
    JUDGE,
    Measured,
    Outcome,
    Subject,
    Terms,
    judged_score,
    outcome,
    scores,
    with_preference,
)
from gateway.learning.evaluation.rows import Row
from gateway.learning.evaluation.statistics import Looks
from gateway.learning.workbench import Workbench
from gateway.policy.pricing import CHARS_PER_TOKEN
from gateway.reasons import Availability
from gateway.store.states import StateStore

_DEAD: Final = frozenset((Availability.GONE, Availability.NO_ACCESS))


@dataclass(slots=True)
class Evaluator:
    """Evaluates targets of one route, on one set of terms."""

    collector: Collector
    terms: Terms
    primary: Arm | None
    """None: it is dead, or not to be asked."""
    judging: Route | None = None
    """The route that judges; None: nobody does."""

    def subject(self, target: Target) -> Subject:
        """Prepare a target with its prompt."""
        fallback, floor = self.collector.arm(target), self.collector.arm(target, prompted=False)
        primary = self.collector.route.primary
        book = self.collector.bench.snapshot.price_book
        price = book.lookup(primary.provider.name, primary.model) if primary else None
        pack = target.prompt.pack if target.prompt else None
        prefix = sum(len(orjson.dumps(message)) for message in fallback.prepared.prompt_prefix) // CHARS_PER_TOKEN
        return Subject(target, fallback, floor, Prices(fallback.price, pack.prefix_tokens if pack else prefix, price))

    async def missing(self, subject: Subject, rows: Sequence[Row], *, with_floor: bool = True) -> list[Question]:
        """Return what has to be asked."""
        arms = subject.arms if with_floor else (subject.fallback,)
        return await self.collector.missing(rows, arms, self.primary)

    async def evaluate(
        self, subject: Subject, rows: Sequence[Row], *, with_floor: bool = True
    ) -> tuple[list[Row], Outcome]:
        """Ask what is missing, and conclude; return the rows with what is now recorded of them, too."""
        new = await self.collector.collect(await self.missing(subject, rows, with_floor=with_floor))
        known = [row.recorded(new[row.input_id]) if row.input_id in new else row for row in rows]
        return known, await self.conclude(subject, known, with_floor=with_floor)

    async def conclude(self, subject: Subject, rows: Sequence[Row], *, with_floor: bool = True) -> Outcome:
        """Conclude from what is answered; only a judge is still asked."""
        found = await measured(self.collector, subject, rows, self.terms.task)
        said = None
        if self.judging is not None:
            said, found = await self._judged(self.judging, subject, found, with_floor)
        return outcome(subject, self.terms, rows, found, said, whole=with_floor)

    async def _judged(
        self, route: Route, subject: Subject, found: list[Measured], with_floor: bool
    ) -> tuple[Judged | None, list[Measured]]:
        """Have answers judged by the judging route's first target that lives."""
        said = None
        for target in route.targets:
            arm = self.collector.arm(target, of=route)
            if not await is_living(self.collector.bench, target):
                continue
            said, rows = await judged(Judge(self.collector, route, arm, subject.fallback), found)
            if with_floor and self.terms.measure == JUDGE and len(subject.arms) > 1:
                rows = await judged_floor(
                    self.collector, Judge(self.collector, route, arm, subject.floor), subject, rows
                )
            if arm.stopped is None:
                return said, rows
        return said, found


async def is_living(bench: Workbench, target: Target) -> bool:
    """Say whether a target may answer: no date of its has passed, and nobody has seen it gone."""
    now = bench.clock.now()
    dates = bench.snapshot.calendar.dates_of(target)
    if dates.acts and dates.shutdown is not None and _has_come(dates.shutdown, now.date()):
        return False
    state = (await StateStore(bench.database, "").read(now)).targets.get((target.provider.name, target.model))
    return state is None or state.availability not in _DEAD


def terms_of(route: Route, rows: Iterable[Row], *, margin: float | None, looks: Looks, checker: Any) -> Terms:
    """Return what decides: as routes.yaml says, and the measure that the data asks for where it says none."""
    wanted = route.acceptance
    references = [row.reference for row in rows if row.reference is not None]
    task = Task(
        contract=checker,
        labels=labels_of(references),
        pattern=re.compile(wanted.pattern) if wanted.pattern else None,
        calls_tools=any(map(calls_tools, references)),
    )
    named = wanted.measure or choose_measure(references, route.contract is not None)
    return Terms(margin or wanted.margin, looks, str(named), wanted.measure is None, task)


async def measured(collector: Collector, subject: Subject, rows: Sequence[Row], task: Task) -> list[Measured]:
    """Score what is answered, in the order in which the fallback was asked."""
    fallback = await collector.answers(subject.fallback)
    floor = await collector.answers(subject.floor) if subject.has_floor else {}
    by_id = {row.input_id: row for row in rows}
    found = []
    for id_, answer in fallback.items():
        row = by_id.get(id_)
        if row is None or (reference := row.reference) is None:
            continue
        floor_answer = floor.get(id_)
        found.append(
            Measured(
                row=row,
                answer=answer,
                fallback=scores(reference, orjson.loads(answer.answer), task),
                floor=scores(reference, orjson.loads(floor_answer.answer), task) if floor_answer else None,
                ceiling=scores(reference, row.ceiling, task) if row.ceiling is not None else None,
            )
        )
    return found


async def judged(judge: Judge, rows: Sequence[Measured]) -> tuple[Judged, list[Measured]]:
    """Have the fallback's answers judged against the primary's; return the rows with that measure added."""
    pairs = [
        Pair(row.row.input_id, row.row.messages, orjson.loads(row.answer.answer), row.row.primary)
        for row in rows
        if row.row.primary is not None
    ]
    said = await judge.judge(pairs)
    return said, [with_preference(row, said.preferences) for row in rows]


async def judged_floor(
    collector: Collector, judge: Judge, subject: Subject, rows: Sequence[Measured]
) -> list[Measured]:
    """Have the floor judged, too: needed where the judge's is the deciding measure."""
    answers = await collector.answers(subject.floor)
    pairs = [
        Pair(row.row.input_id, row.row.messages, orjson.loads(answers[row.row.input_id].answer), row.row.primary)
        for row in rows
        if row.row.primary is not None and row.row.input_id in answers
    ]
    preferences = (await judge.judge(pairs)).preferences
    return [
        Measured(row.row, row.answer, row.fallback, judged_score(row.floor, preferences, row), row.ceiling)
        for row in rows
    ]


def _has_come(day: date, today: date) -> bool:
    return day <= today
