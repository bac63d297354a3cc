"""How much prompt is enough? The same evaluation over packs of several sizes, and the learning curve.

A sweep asks every candidate on one half of the rows, the tuning half, and proposes the cheapest one whose mean is no
more than the margin below the ceiling there. The verdict is the other half's alone: the best of many looks better than
it is on the rows that chose it (the winner's curse), so those rows cannot also be its witnesses.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import fsum

import orjson

from gateway.config.packs import Pack
from gateway.config.prompt_files import with_pack
from gateway.config.routes import Target
from gateway.errors import ConfigError
from gateway.learning.evaluation.evaluator import Evaluator
from gateway.learning.evaluation.outcome import JUDGE, Outcome
from gateway.learning.evaluation.rows import Row, is_for_tuning
from gateway.learning.evaluation.statistics import Interval
from gateway.learning.packs.building import limited
from gateway.store.evaluations import Evaluation

FIXED = (0, 5, 10, 20)
SIMILAR = (0, 2, 4)
CURVE = (10, 20, 50, 100, 200)
UNANSWERED = 0.1
"""The share of the rows that may lack an answer in a size that is compared with others."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target with a smaller pack."""

    target: Target
    fixed: int
    similar: int
    examples: int
    """In all: the fixed ones, and those among which similar ones are found."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a candidate has shown."""

    candidate: Candidate
    rows: int
    """That both it and the primary answered."""
    quality: Interval | None
    difference: float | None
    """Mean of fallback − ceiling; None: no rows."""
    cost_nanousd: float | None
    """Mean per request, as billed; None: unpriced, or nothing was answered."""
    first_token_ms: float | None
    on_frontier: bool = False
    """Whether nobody is both cheaper and better."""
    is_asked: bool = True
    """Whether it answered enough of the rows to be compared with others."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """All candidates on the tuning half, and the verdict on the proposed one, by the other half."""

    tried: tuple[Tried, ...]
    proposed: Candidate | None
    """None: it is not finished, and a size that was not asked may be the better one."""
    is_within_margin: bool
    """False: no candidate was, on the tuning half, and the best one was confirmed instead."""
    tuned_on: tuple[str, ...]
    """The tuning half's ids."""
    outcome: Outcome


def sizes(target: Target, fixed: Iterable[int], similar: Iterable[int]) -> list[Candidate]:
    """Return candidates of all sizes, each different one once.

    Raises:
        ConfigError: the target has no pack.
    """
    pack = pack_of(target)
    similar = tuple(similar)
    packs = [limited(pack, fixed=some, similar=more) for some in fixed for more in similar]
    return _distinct(target, packs)


def curve_points(target: Target, numbers: Iterable[int]) -> list[Candidate]:
    """Return candidates with so many examples in all, and with all there are; each different one once.

    Raises:
        ConfigError: the target has no pack.
    """
    pack = pack_of(target)
    whole = {"fixed": len(pack.fixed), "similar": pack.similar}
    return _distinct(target, [limited(pack, **whole, examples=number) for number in sorted({*numbers})])


def pack_of(target: Target) -> Pack:
    """Return a target's pack. Raises ``ConfigError`` where it has none."""
    if target.prompt is None or target.prompt.pack is None:
        raise ConfigError(
            f"{target.name} has no prompt pack whose size could be varied; "
            "build one: gateway pack build ROUTE --from FILE"
        )
    return target.prompt.pack


def halves(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Split rows into the tuning half and the confirming half, by a hash of each."""
    tuning: list[Row] = []
    confirming: list[Row] = []
    for row in rows:
        (tuning if is_for_tuning(row) else confirming).append(row)
    return tuning, confirming


def chosen_by(evaluations: Iterable[Evaluation], provider: str, model: str, prompt_version: str) -> frozenset[str]:
    """Return the rows by which sweeps may have chosen a prompt: the tuning halves of those before its first verdict.

    ``evaluations`` are all of the route's, in the order in which they were made.
    """
    chose: set[str] = set()
    for one in evaluations:
        chose.update(orjson.loads(one.report).get("tuned_on", ()))
        if (one.provider, one.model, one.prompt_version) == (provider, model, prompt_version):
            break
    return frozenset(chose)


async def sweep(
    evaluator: Evaluator, candidates: Sequence[Candidate], rows: Sequence[Row], on_step: Callable[[str], None]
) -> Sweep:
    """Try all candidates on the tuning half; confirm the proposed one on the other.

    Where it was stopped before all were asked, nothing is proposed, and the outcome is the last candidate's, in doubt.
    """
    tuning, confirming = halves(rows)
    tried = []
    for candidate in candidates:
        on_step(f"{candidate.fixed} fixed, {candidate.similar} similar")
        tuning, found = await _try(evaluator, candidate, tuning)
        tried.append(found)
    tried = with_frontier(tried)
    ids = tuple(sorted(row.input_id for row in tuning))
    unasked = sum(not one.is_asked for one in tried)
    if unasked:
        subject = evaluator.subject(candidates[-1].target)
        outcome = replace(
            await evaluator.conclude(subject, confirming),
            doubt=f"not finished: {unasked} of {len(tried)} sizes unasked; nothing proposed",
        )
        return Sweep(tuple(tried), None, False, ids, outcome)
    best = propose(tried, evaluator.terms.margin)
    on_step("confirming")
    _, outcome = await evaluator.evaluate(evaluator.subject(best.candidate.target), confirming)
    within = best.difference is not None and best.difference >= -evaluator.terms.margin
    return Sweep(tuple(tried), best.candidate, within, ids, outcome)


async def curve(
    evaluator: Evaluator, candidates: Sequence[Candidate], rows: Sequence[Row], on_step: Callable[[str], None]
) -> list[Tried]:
    """Measure quality over the number of examples, on all rows."""
    tried = []
    known = list(rows)
    for candidate in candidates:
        on_step(f"{candidate.examples} examples")
        known, found = await _try(evaluator, candidate, known)
        tried.append(found)
    return tried


def with_frontier(tried: Sequence[Tried]) -> list[Tried]:
    """Mark those whom nobody beats in quality, cost and first token at once, among those that were asked."""
    asked = [one for one in tried if one.is_asked]
    return [replace(one, on_frontier=one.is_asked and not any(_beats(other, one) for other in asked)) for one in tried]


def propose(tried: Sequence[Tried], margin: float) -> Tried:
    """Return the cheapest candidate within the margin; the best one, where none is."""
    within = [one for one in tried if one.difference is not None and one.difference >= -margin]
    if within:
        return min(within, key=lambda one: (_cost(one), one.candidate.fixed + one.candidate.similar))
    return max(tried, key=lambda one: (-2.0 if one.difference is None else one.difference, -_cost(one)))


async def _try(evaluator: Evaluator, candidate: Candidate, rows: list[Row]) -> tuple[list[Row], Tried]:
    """Ask one candidate, without its floor, which all of them share and no frontier needs."""
    known, outcome = await evaluator.evaluate(evaluator.subject(candidate.target), rows, with_floor=False)
    answers = [row.answer for row in outcome.decided]
    costs = [answer.cost_nanousd for answer in answers if answer.cost_nanousd is not None]
    times = [answer.ttft_ms for answer in answers if answer.ttft_ms is not None]
    # Some rows nobody can answer; of a run that was stopped, every row counts.
    most = UNANSWERED * len(rows) if evaluator.collector.goes_on else 0
    return known, Tried(
        candidate,
        outcome.decision.rows,
        outcome.arms.get("fallback"),
        outcome.decision.mean if outcome.decision.rows else None,
        fsum(costs) / len(costs) if costs else None,
        fsum(times) / len(times) if times else None,
        is_asked=outcome.decision.rows > 0 and _lacking(outcome) <= most,
    )


def _lacking(outcome: Outcome) -> int:
    """Return how many rows lack an answer, or the judge's word on it."""
    if outcome.terms.measure != JUDGE:
        return outcome.unanswered
    return outcome.unanswered + outcome.unmeasured - (outcome.judged.flips if outcome.judged else 0)


def _distinct(target: Target, packs: Iterable[Pack]) -> list[Candidate]:
    assert target.prompt is not None
    found: dict[str, Candidate] = {}
    for pack in packs:
        prompt = with_pack(target.prompt, pack)
        own = target.model_copy(update={"prompt": prompt})
        found.setdefault(pack.hash, Candidate(own, len(pack.fixed), pack.similar, len(pack.examples)))
    return list(found.values())


def _cost(one: Tried) -> float:
    return one.cost_nanousd or 0.0


def _beats(other: Tried, one: Tried) -> bool:
    ours, theirs = _figures(one), _figures(other)
    return theirs != ours and all(their <= our for their, our in zip(theirs, ours, strict=True))


def _figures(one: Tried) -> tuple[float, float, float]:
    """Return what is better the smaller it is."""
    return (-(one.quality.estimate if one.quality else 0.0), _cost(one), one.first_token_ms or 0.0)
