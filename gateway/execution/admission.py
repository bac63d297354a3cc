"""What a limited key still has, looked at before its request is tried: requests, tokens, money.

Keys without limits, and the gateway's own requests, never come here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from gateway.config.callers import Caller
from gateway.errors import BudgetExceeded, BudgetNeedsBound, BudgetUnverifiable, GatewayError
from gateway.execution.answer_headers import Header
from gateway.execution.budget_words import away, needs_bound
from gateway.execution.most_cost import MostCost, most_cost
from gateway.execution.prepared import ReadyPlan, ReadyStep
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.rate_limits import Taken, texts
from gateway.execution.request import Request
from gateway.ledger.entry import Entry
from gateway.metrics import Metrics
from gateway.reasons import Reason
from gateway.store.settling import Charge

log = structlog.get_logger()
REFUSALS: Mapping[type[GatewayError], str] = {
    BudgetExceeded: "exceeded",
    BudgetUnverifiable: "unverifiable",
    BudgetNeedsBound: "needs_bound",
}


@dataclass(slots=True)
class Admitted:
    """What was counted and set aside for one request; ``Admission.over`` must follow."""

    caller: Caller
    plan: ReadyPlan
    """The request's, without a canary for which its key's budget does not suffice, or whose cost nobody knows."""
    most: Mapping[str, MostCost] = field(default_factory=dict)
    """The most that it can use, by target."""
    taken: Taken | None = None
    """Of its key's requests and tokens a minute; tokens that are not used go back."""
    hold_id: str | None = None
    held_nanousd: int = 0
    is_over: bool = False

    @property
    def headers(self) -> Sequence[Header]:
        """What an answer says of what is left: ``x-ratelimit-…``."""
        return self.taken.headers if self.taken is not None else ()


class RateLimits(Protocol):
    """Requests and tokens per minute."""

    async def take(self, caller: Caller, tokens: int) -> Taken:
        """Count one request and set tokens aside.

        Raises:
            LimitReached: too many of either; nothing is counted then.
        """

    def give_back(self, taken: Taken, unused: int) -> None:
        """Give back tokens that were set aside and not used (negative: more were used). Never raises."""


class Budgets(Protocol):
    """Dollars per day, per month and in all."""

    async def reserve(self, caller: Caller, nanousd: int) -> str:
        """Set money aside in the database; return the hold's id.

        Raises:
            BudgetExceeded: spent, held and this are more than the key may spend.
            BudgetUnverifiable: the database is away.
        """

    async def raise_to(self, hold_id: str, caller: Caller, nanousd: int) -> None:
        """Set more aside for the same request. Raises as ``reserve`` does."""

    def settle(self, hold_id: str, caller: Caller, charge: Charge) -> None:
        """Have a request's cost counted in the place of what was set aside, soon and once. Never raises."""


class Admission:
    """Lets requests of limited keys in, and counts what became of them."""

    def __init__(
        self, limits: RateLimits | None = None, budgets: Budgets | None = None, metrics: Metrics | None = None
    ) -> None:
        metrics = metrics or Metrics()
        self._limits = limits
        self._budgets = budgets
        self._overruns = metrics.budget_overruns
        self._refusals = {kind: metrics.budget_refusals.labels(reason) for kind, reason in REFUSALS.items()}

    async def admit(self, request: Request, plan: ReadyPlan) -> Admitted:
        """Count a request, and set aside the most that it can take, whoever of its plan answers.

        A canary costs nobody an answer: it is left out where money suffices for the others, or only it has no bound.

        Raises:
            InvalidRequest: it asks for an answer of no certain length, or for no certain number of answers.
            LimitReached: its key has no requests or tokens left for the moment.
            BudgetExceeded: its key's budget does not suffice.
            BudgetNeedsBound: its key has a budget, and nobody can say what the request costs at most.
            BudgetUnverifiable: its key has a budget, and the database is away.
        """
        caller = request.caller
        admitted = Admitted(caller, plan)
        if caller.bounds_answers or caller.tokens_per_minute is not None:
            admitted.most = {step.prepared.target.name: most_cost(request, step.prepared) for step in plan.steps}
        try:
            if caller.budget and plan.steps:
                self._check_bounds(admitted)
            if self._limits is not None and (caller.requests_per_minute or caller.tokens_per_minute) is not None:
                tokens = max((most.tokens for most in admitted.most.values()), default=0)
                admitted.taken = await self._limits.take(caller, tokens)
            if caller.budget and plan.steps:
                await self._set_aside(request, admitted)
        except BaseException as error:
            if isinstance(error, GatewayError):
                self._refused(error)
                error.headers = texts(admitted.headers) | error.headers
            self._give_back(admitted, 0)
            raise
        return admitted

    async def count(self, caller: Caller) -> Sequence[Header]:
        """Count a request that asks no model: as one of its key's requests a minute, and nothing of its tokens.

        Returns what the answer says of what is left.

        Raises:
            LimitReached: its key has no requests left for the moment.
        """
        if self._limits is None or caller.requests_per_minute is None:
            return ()
        return (await self._limits.take(replace(caller, tokens_per_minute=None), 0)).headers

    async def again(self, request: Request, following: PreparedTarget) -> None:
        """Make sure of the money for another attempt where an earlier one of the same request was billed.

        Raises:
            BudgetExceeded: it is not there.
            BudgetUnverifiable: the database is away.
        """
        admitted = request.admitted
        if admitted is None or admitted.hold_id is None:
            return
        most = admitted.most[following.target.name].nanousd or 0
        needed = most + sum(self._billed(admitted, entry) for entry in request.settled)
        if needed <= admitted.held_nanousd:
            return
        try:
            await self._open().raise_to(admitted.hold_id, admitted.caller, needed)
        except GatewayError as error:
            self._refused(error)
            raise
        admitted.held_nanousd = needed

    def over(self, admitted: Admitted, entries: Sequence[Entry]) -> None:
        """Count what a request's attempts came to in the place of what was set aside, once. Never raises."""
        if admitted.is_over:
            return
        admitted.is_over = True
        self._give_back(admitted, sum(entry.input_tokens + entry.output_tokens for entry in entries))
        if admitted.hold_id is None or self._budgets is None:
            return
        charge = charge_of(entries)
        if charge.nanousd > admitted.held_nanousd:
            self._overruns.inc()
            log.warning(
                "budget_overrun",
                key=admitted.caller.name,
                request_id=entries[-1].request_id,
                provider=entries[-1].provider,
                model=entries[-1].model_asked,
                held_nanousd=admitted.held_nanousd,
                cost_nanousd=charge.nanousd,
            )
        self._budgets.settle(admitted.hold_id, admitted.caller, charge)

    async def _set_aside(self, request: Request, admitted: Admitted) -> None:
        steps = admitted.plan.steps
        admitted.held_nanousd = self._most(admitted, steps)
        try:
            admitted.hold_id = await self._open().reserve(admitted.caller, admitted.held_nanousd)
        except BudgetExceeded:
            others = _without_canary(admitted.plan)
            if not others or self._most(admitted, others) >= admitted.held_nanousd:
                raise
            admitted.plan = replace(admitted.plan, steps=others)
            admitted.held_nanousd = self._most(admitted, others)
            admitted.hold_id = await self._open().reserve(admitted.caller, admitted.held_nanousd)
        request.hold_id = admitted.hold_id

    @staticmethod
    def _most(admitted: Admitted, steps: Sequence[ReadyStep]) -> int:
        costs = [admitted.most[step.prepared.target.name].nanousd or 0 for step in steps]
        if steps[0].reason is Reason.CANARY:
            # One that fails may be billed, and who stands behind it has to be paid all the same.
            return costs[0] + max(costs[1:], default=0)
        return max(costs)

    @staticmethod
    def _check_bounds(admitted: Admitted) -> None:
        for step in admitted.plan.steps:
            cost = admitted.most[step.prepared.target.name]
            if cost.nanousd is not None:
                continue
            if step.reason is not Reason.CANARY or not (others := _without_canary(admitted.plan)):
                raise needs_bound(admitted.plan.route.route.name, step.prepared.model, cost.why, cost.param)
            admitted.plan = replace(admitted.plan, steps=others)

    def _refused(self, error: GatewayError) -> None:
        if (refusals := self._refusals.get(type(error))) is not None:
            refusals.inc()

    def _open(self) -> Budgets:
        if self._budgets is None:
            raise away("this gateway keeps no budgets")
        return self._budgets

    def _give_back(self, admitted: Admitted, used: int) -> None:
        if admitted.taken is not None and self._limits is not None:
            self._limits.give_back(admitted.taken, admitted.taken.tokens - used)

    @staticmethod
    def _billed(admitted: Admitted, entry: Entry) -> int:
        if entry.cost_nanousd is not None:
            return entry.cost_nanousd
        known = admitted.most.get(entry.target)
        return known.nanousd or 0 if known is not None else 0


def _without_canary(plan: ReadyPlan) -> tuple[ReadyStep, ...]:
    """Return who stands behind a plan's canary; nobody, where it has none."""
    return plan.steps[1:] if plan.steps[0].reason is Reason.CANARY else ()


def charge_of(entries: Iterable[Entry]) -> Charge:
    """Return what a request's rows come to."""
    costs = [entry.cost_nanousd for entry in entries]
    return Charge(sum(cost for cost in costs if cost is not None), None in costs)
