"""The regression set of one run of ``gateway evaluate``: what people corrected, asked of the target and the primary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.cli.evaluate_subject import Lineage
from gateway.cli.pack_sources import redactor_of
from gateway.config.routes import Route, Target
from gateway.learning.evaluation import corrections as corrected
from gateway.learning.evaluation.collecting import Question
from gateway.learning.evaluation.corrections import Correction, Side, corrections_of, side_of
from gateway.learning.evaluation.evaluator import Evaluator
from gateway.learning.evaluation.rows import example_questions
from gateway.store.database import Database
from gateway.store.feedback import FeedbackStore


async def corrections_on(database: Database, route: Route) -> tuple[Correction, ...]:
    """Return everything that was corrected on a route, for its own tenant."""
    return corrections_of(await FeedbackStore(database).counting(route.name, route.tenant))


@dataclass(frozen=True, slots=True)
class Regression:
    """The regression set of one run."""

    evaluator: Evaluator
    lineage: Lineage
    corrections: Sequence[Correction]

    async def missing(self, target: Target) -> list[Question]:
        """Return what has to be asked."""
        return await corrected.missing(self.evaluator.collector, await self._sides(target))

    async def told(self, target: Target) -> dict[str, Any] | None:
        """Ask what is missing; return what is answered. None: there is nothing to ask."""
        sides = await self._sides(target)
        if not sides:
            return None
        collector, route = self.evaluator.collector, self.evaluator.collector.route
        await collector.collect(await corrected.missing(collector, sides))
        return await corrected.told(collector, sides, self.evaluator.terms, has_contract=route.contract is not None)

    async def _sides(self, target: Target) -> list[Side]:
        """Return who is asked what: the target, and the primary where it may be."""
        if not self.corrections:
            return []
        arms = [(target, self.evaluator.subject(target).fallback)]
        if self.evaluator.primary is not None:
            arms.append((self.evaluator.primary.prepared.target, self.evaluator.primary))
        route = self.evaluator.collector.route
        redactor = redactor_of(route)
        return [
            side_of(
                own.name,
                arm,
                self.corrections,
                examples=example_questions(own.prompt, redactor),
                trained=await self.lineage.trained(route, own),
                redactor=redactor,
            )
            for own, arm in arms
        ]
