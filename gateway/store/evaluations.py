"""What evaluations asked, paid for, and concluded."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, select

from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_learning import evaluation_answers, evaluations, judgements

_a, _e, _j = evaluation_answers.c, evaluations.c, judgements.c
NO_PROMPT = ""
"""The ``prompt_version`` of answers without a prompt: the floor."""


@dataclass(frozen=True, slots=True)
class EvaluationAnswer:
    """One answer that an evaluation paid for."""

    route: str
    provider: str
    model: str
    prompt_version: str
    """``NO_PROMPT`` for the floor; with a digest of parameters and contract behind it, where there are any."""
    input_id: str
    answer: str
    """JSON: the assistant's message."""
    attempt_id: str
    """UUIDv7: answers sort by when they were asked for."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_nanousd: int | None
    duration_ms: float
    ttft_ms: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge said of one pair."""

    route: str
    provider: str
    model: str
    prompt_version: str
    input_id: str
    judge: str
    preference: float
    """1: the fallback's answer is better, −1: the primary's, 0: neither, or the two orders disagree."""
    flipped: bool
    judged_at: datetime


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One look at one fallback, and the verdict."""

    evaluation_id: str
    route: str
    target: str
    provider: str
    model: str
    prompt_version: str
    terms: str
    """What else it rests on (``policy.evidence.terms_of``)."""
    verdict: str
    """accept, reject or not_enough_evidence."""
    looks: str
    """once or many."""
    measure: str
    margin: float
    rows: int
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    retained: float | None
    retained_low: float | None
    retained_high: float | None
    cost_change: float | None
    """Relative to the primary: −0.38 is 38 % less; None: a price is missing."""
    first_token_change: float | None
    report: str
    """The whole report, as JSON."""
    evaluated_at: datetime


class EvaluationStore:
    """Reads and writes. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def keep_answers(self, rows: Sequence[EvaluationAnswer]) -> None:
        """Keep answers; the first to an input stays."""
        await self._rows.insert_new(evaluation_answers, [asdict(row) for row in rows])

    async def answers(self, route: str, provider: str, model: str, prompt_version: str) -> list[EvaluationAnswer]:
        """Return the answers of one target with one prompt, in the order in which they were asked for."""
        own = (_a.route == route, _a.provider == provider, _a.model == model, _a.prompt_version == prompt_version)
        found = await self._rows.read(select(evaluation_answers).where(*own).order_by(_a.attempt_id))
        return [EvaluationAnswer(**row) for row in found]

    async def keep_judgements(self, rows: Sequence[Judgement]) -> None:
        """Keep what a judge said; the first word on a pair stays."""
        await self._rows.insert_new(judgements, [asdict(row) for row in rows])

    async def judged(self, route: str, provider: str, model: str, prompt_version: str, judge: str) -> list[Judgement]:
        """Return what one judge said of one target with one prompt."""
        own = (_j.route == route, _j.provider == provider, _j.model == model, _j.prompt_version == prompt_version)
        return [Judgement(**row) for row in await self._rows.read(select(judgements).where(*own, _j.judge == judge))]

    async def conclude(self, evaluation: Evaluation) -> None:
        """Keep a verdict."""
        await self._rows.add(evaluations, asdict(evaluation))

    async def looks_at(self, route: str, provider: str, model: str, prompt_version: str) -> int:
        """Return how often this target with this prompt was looked at before."""
        own = (_e.route == route, _e.provider == provider, _e.model == model, _e.prompt_version == prompt_version)
        return int((await self._rows.read(select(func.count().label("looks")).where(*own)))[0]["looks"])

    async def of_route(self, route: str) -> list[Evaluation]:
        """Return every verdict on a route's targets, in the order in which they were reached."""
        query = select(evaluations).where(_e.route == route).order_by(_e.evaluation_id)
        return [Evaluation(**row) for row in await self._rows.read(query)]

    async def latest(self, route: str | None = None) -> list[Evaluation]:
        """Return the latest verdict on each target with each prompt and terms, newest first; of one route or all."""
        of_one = (_e.route, _e.provider, _e.model, _e.prompt_version, _e.terms)
        # Not max(): PostgreSQL has none of a UUID before its version 18.
        ranked = select(_e.evaluation_id, func.row_number().over(partition_by=of_one, order_by=_e.evaluation_id.desc()))
        numbered = (ranked if route is None else ranked.where(_e.route == route)).subquery()
        newest = select(numbered.c[0]).where(numbered.c[1] == 1)
        query = select(evaluations).where(_e.evaluation_id.in_(newest)).order_by(_e.evaluation_id.desc())
        return [Evaluation(**row) for row in await self._rows.read(query)]
