"""What the rows say of a fallback: scores by arm, the verdict of one measure, and everything beside it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from gateway.config.routes import Target
from gateway.learning.evaluation.collecting import Arm
from gateway.learning.evaluation.costs import Costs, FirstToken, Prices, costs, first_token
from gateway.learning.evaluation.judging import EVEN, Judged
from gateway.learning.evaluation.measures import Measure, Task, score
from gateway.learning.evaluation.rows import Message, Row
from gateway.learning.evaluation.statistics import Decision, Interval, Looks, Verdict, decide, mean_interval, retained
from gateway.reasons import Role
from gateway.store.evaluations import EvaluationAnswer

JUDGE: Final = "judge"
LEAST_CEILING: Final = 0.05
"""Below it the fine-tune itself fails by the measure, and keeping up with it says nothing."""
FAILURE: Final = "failure"
"""In an answer that is none: why."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is decided, and how."""

    margin: float
    looks: Looks
    measure: str
    """A ``Measure``, or ``judge``."""
    is_chosen: bool
    """Whether the measure was chosen from the data."""
    task: Task


@dataclass(frozen=True, slots=True)
class Subject:
    """A target with its prompt, and the same without it."""

    target: Target
    fallback: Arm
    floor: Arm
    prices: Prices

    @property
    def has_floor(self) -> bool:
        """Whether the model without the prompt is somebody else: without a prompt there is nothing below it."""
        return self.fallback.prompt_version != self.floor.prompt_version

    @property
    def arms(self) -> tuple[Arm, ...]:
        """What is asked on every row; without a prompt the fallback is its own floor."""
        return (self.fallback, self.floor) if self.has_floor else (self.fallback,)


@dataclass(frozen=True, slots=True)
class Measured:
    """One row's scores, by measure; None: nobody answered."""

    row: Row
    answer: EvaluationAnswer
    fallback: Mapping[str, float]
    floor: Mapping[str, float] | None
    ceiling: Mapping[str, float] | None

    def difference(self, measure: str) -> float | None:
        """Return fallback − ceiling; None where one of them has no score."""
        ceiling = (self.ceiling or {}).get(measure)
        return None if ceiling is None or measure not in self.fallback else self.fallback[measure] - ceiling


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rows say."""

    subject: Subject
    terms: Terms
    decision: Decision
    retained: Interval | None
    arms: Mapping[str, Interval]
    """On the deciding measure and rows; floor only where the floor answered."""
    means: Mapping[str, Mapping[str, float]]
    """Measure → arm → mean."""
    decided: tuple[Measured, ...]
    """The rows that the verdict rests on, in order of arrival."""
    rows: int
    """That could have been."""
    unanswered: int
    without_ceiling: int
    unmeasured: int
    """Answered, but the measure does not apply to them."""
    own_quality: Interval | None
    """The fallback's on all rows that it answered, those without a ceiling included."""
    costs: Costs | None
    first_token: FirstToken | None
    judged: Judged | None
    doubt: str | None = None
    """Why the verdict of the rows does not count; None: it does."""

    @property
    def verdict(self) -> Verdict:
        """What is concluded: what the rows say, unless there is a doubt."""
        return self.decision.verdict if self.doubt is None else Verdict.NOT_ENOUGH_EVIDENCE


def scores(reference: Message, answer: Message, task: Task) -> dict[str, float]:
    """Measure an answer; one that breaks the route's contract, or is none at all, has 0 in everything."""
    found = score(reference, answer, task=task)
    if FAILURE in answer or found.get(Measure.CONTRACT_VALID) == 0:
        return dict.fromkeys(found, 0.0)
    return found


def outcome(
    subject: Subject,
    terms: Terms,
    rows: Sequence[Row],
    found: Sequence[Measured],
    said: Judged | None = None,
    *,
    whole: bool = True,
) -> Outcome:
    """Conclude from measured rows. Raises nothing that data could cause: no rows are not enough evidence.

    Without ``whole``, what is resampled is left out: seconds that a sweep would spend on every candidate.
    """
    measure = terms.measure
    decided = tuple(row for row in found if row.difference(measure) is not None)
    differences = [row.difference(measure) or 0.0 for row in decided]
    with_floor = [row for row in decided if row.floor is not None and measure in row.floor]
    columns = {
        "floor": [(row.floor or {})[measure] for row in with_floor],
        "ceiling": [(row.ceiling or {})[measure] for row in decided],
        "fallback": [row.fallback[measure] for row in decided],
    }
    decision = decide(differences, terms.margin, looks=terms.looks)
    kept = retained(
        [row.fallback[measure] for row in with_floor if whole],
        [value for value in columns["floor"] if whole],
        [(row.ceiling or {})[measure] for row in with_floor if whole],
        (decision.low, decision.high),
    )
    intervals = {arm: mean_interval(values) for arm, values in columns.items()}
    recorded = {row.input_id: row.first for row in rows if row.first is not None}
    answers = [row.answer for row in found if whole]
    return Outcome(
        subject=subject,
        terms=terms,
        decision=decision,
        retained=kept,
        arms={arm: interval for arm, interval in intervals.items() if interval is not None},
        means=_means(found),
        decided=decided,
        rows=len(rows),
        unanswered=len(rows) - len(found),
        without_ceiling=sum(row.ceiling is None for row in found),
        unmeasured=sum(row.ceiling is not None and row.difference(measure) is None for row in found),
        own_quality=mean_interval([row.fallback[measure] for row in found if measure in row.fallback]),
        costs=costs(answers, recorded, subject.prices),
        first_token=first_token(answers, recorded),
        judged=said,
        doubt=_doubt(subject, terms, decision, intervals["ceiling"], said),
    )


def with_preference(row: Measured, preferences: Mapping[str, float]) -> Measured:
    """Return a row with the judge's measure, where it was judged."""
    if row.row.input_id not in preferences or row.row.primary is None:
        return row
    fallback = judged_score(row.fallback, preferences, row) or {}
    # The primary against itself: even, on every row, whatever the reference.
    return Measured(row.row, row.answer, fallback, row.floor, {**(row.ceiling or {}), JUDGE: EVEN})


def judged_score(
    known: Mapping[str, float] | None, preferences: Mapping[str, float], row: Measured
) -> Mapping[str, float] | None:
    """Return scores with the judge's added; 0 where the answer breaks the contract."""
    if known is None or row.row.input_id not in preferences:
        return known
    kept = known.get(Measure.CONTRACT_VALID) != 0
    return {**known, JUDGE: EVEN + preferences[row.row.input_id] / 2 if kept else 0.0}


def _doubt(
    subject: Subject, terms: Terms, decision: Decision, ceiling: Interval | None, said: Judged | None
) -> str | None:
    if terms.measure == JUDGE and said is not None and said.doubt is not None:
        return said.doubt
    # Who is shown to be better does more than keep up.
    if ceiling is not None and ceiling.estimate < LEAST_CEILING and decision.low <= 0:
        whose = "incumbent" if subject.target.role is Role.PRIMARY else "fine-tune"
        return f"on this measure ({terms.measure}) the {whose} itself scores {ceiling.estimate:.2f}"
    return None


def _means(found: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Average every measure over the rows where all arms have it, so that the figures compare."""
    has_floor = any(row.floor is not None for row in found)
    arms = ("floor", "ceiling", "fallback") if has_floor else ("ceiling", "fallback")
    means: dict[str, dict[str, float]] = {}
    for measure in (*(str(measure) for measure in Measure), JUDGE):
        values: dict[str, list[float]] = {arm: [] for arm in arms}
        for row in found:
            own = {"floor": row.floor or {}, "ceiling": row.ceiling or {}, "fallback": row.fallback}
            if all(measure in own[arm] for arm in arms):
                for arm in arms:
                    values[arm].append(own[arm][measure])
        if values["fallback"]:
            means[measure] = {arm: fsum(some) / len(some) for arm, some in values.items()}
    return means
