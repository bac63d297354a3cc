"""Rehearsals: a share of live traffic runs on the fallback before that is needed, within a day's money.

In the shadow a request is asked again after its caller has the answer; nobody waits for that, and nobody sees it. To
serve, the fallback answers itself, and the primary stands behind it.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import structlog

from gateway.clock import Clock
from gateway.config.routes_learning import Rehearsal
from gateway.execution.attempts import Attempt
from gateway.execution.prepared import PreparedRoute, PreparedTarget, ReadyPlan, Snapshot
from gateway.execution.request import Request
from gateway.execution.target_board import TargetBoard
from gateway.learning.agreement import agreement
from gateway.learning.allowance import Allowance
from gateway.learning.answers import Message, message_of, message_of_stream
from gateway.learning.asking import Asked, Asker
from gateway.ledger.entry import Entry
from gateway.metrics import Metrics
from gateway.policy.conversations import bucket
from gateway.policy.planner import Pin
from gateway.policy.pricing import CHARS_PER_TOKEN
from gateway.policy.prompts import text_of
from gateway.reasons import FailureKind, Reason, Role
from gateway.store.database import DatabaseUnavailable
from gateway.store.rehearsals import Pair, RehearsalStore

log = structlog.get_logger()
AT_ONCE: Final = 4
MOST_WAITING: Final = 100
MOST_WAITING_TOKENS: Final = 2_000_000
WINDOW: Final = 500
"""So many pairs the gauges are means of."""
MOST_KEPT_BYTES: Final = 262_144
LEAST_ANSWER_TOKENS: Final = 256
SERVED_ANSWER_TOKENS: Final = 1_000
NANO_PER_USD: Final = 1_000_000_000
_NOT_SHADOWED: Final = frozenset(("image", "audio", "file"))
_SERVE_SALT: Final = "/rehearsal"
_TOP_UP_S: Final = 1.0
_DOUBTS: Final = frozenset((FailureKind.MODEL_GONE, FailureKind.MODEL_NO_ACCESS, FailureKind.MODEL_AMBIGUOUS))


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that is to be asked again."""

    request: Request
    entry: Entry
    """The live answer's row."""
    said: Callable[[], Message | None]
    """Reads the live answer's message."""
    route: PreparedRoute
    snapshot: Snapshot


class Rehearsals:
    """Decides which requests rehearse, and runs those in the shadow."""

    def __init__(
        self,
        asker: Asker,
        board: TargetBoard,
        store: Callable[[], RehearsalStore | None],
        metrics: Metrics,
        clock: Clock,
        random: Random | None = None,
    ) -> None:
        self._asker, self._board, self._store, self._metrics, self._clock = asker, board, store, metrics, clock
        self._random = random or Random()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_tokens = 0
        self._came = asyncio.Event()
        self._allowances: dict[str, Allowance] = {}
        self._serving: dict[str, tuple[int, int]] = {}
        """Routes that serve: what the latest request was estimated at, and the day's sum."""
        self.pairs: dict[str, deque[Pair]] = defaultdict(lambda: deque(maxlen=WINDOW))
        """The latest pairs of each route."""

    # On the request path: neither waits.

    def meet(self, request: Request, route: PreparedRoute, snapshot: Snapshot, rule: Rehearsal) -> bool:
        """Decide whether a request rehearses; one that is to serve is marked. Returns whether its answer is needed."""
        if rule.mode == "shadow":
            return self._random.random() < rule.share and request.words.isdisjoint(_NOT_SHADOWED)
        name = route.route.name
        if bucket(name + _SERVE_SALT, request.session, request.body) >= rule.share:
            return False
        plan = self._fallbacks(route, request, snapshot)
        if not plan.steps or self._board.observe(plan.steps[0].prepared.target).circuit_open:
            return False
        prepared = plan.steps[0].prepared
        chars = request.endpoint.input_chars(request.body)
        estimate = self._estimate(snapshot, prepared, chars // CHARS_PER_TOKEN, _asked_for(request.body))
        if estimate is None:
            self._count(name, rule, "unpriced")
            return False
        self._serving[name] = (estimate, limit_of(rule))
        if not self._allowance(name).take(estimate):
            self._came.set()
            self._count(name, rule, "unfunded")
            return False
        request.rehearses, request.estimated_nanousd = True, estimate
        return True

    def heard(self, attempt: Attempt, entry: Entry, route: PreparedRoute, snapshot: Snapshot, rule: Rehearsal) -> None:
        """Take over an answer: close the books of one that served, queue one that is to be asked again."""
        request, name = attempt.request, route.route.name
        if request.rehearses:
            self._allowance(name).settle(request.estimated_nanousd, entry.cost_nanousd or 0)
            self._count(name, rule, "ok" if entry.role is Role.FALLBACK else "failed")
            if entry.role is Role.FALLBACK:
                self._metrics.rehearsal_cost.labels(name).inc((entry.cost_nanousd or 0) / NANO_PER_USD)
            return
        if rule.mode != "shadow" or entry.role is not Role.PRIMARY:
            return
        tokens = entry.input_tokens + entry.output_tokens
        if len(self._waiting) >= MOST_WAITING or self._waiting_tokens + tokens > MOST_WAITING_TOKENS:
            self._count(name, rule, "dropped")
            return
        blocks, answer = request.kept, attempt.answer
        said = (lambda: message_of(answer)) if answer is not None else (lambda: message_of_stream(blocks or ()))
        self._waiting_tokens += tokens
        self._waiting.append(_Waiting(request, entry, said, route, snapshot))
        self._came.set()

    # Behind the requests.

    async def run(self) -> None:
        """Rehearse what waits, four at a time, until cancelled."""
        free = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._top_up())
            while True:
                await self._came.wait()
                self._came.clear()
                while self._waiting:
                    await free.acquire()
                    waiting = self._waiting.popleft()
                    self._waiting_tokens -= waiting.entry.input_tokens + waiting.entry.output_tokens
                    group.create_task(self._rehearse(waiting)).add_done_callback(lambda _: free.release())

    async def remember(self, routes: list[str]) -> None:
        """Take over the latest pairs from before this start. May raise ``DatabaseUnavailable``."""
        store = self._store()
        for name in routes if store is not None else ():
            assert store is not None
            self.pairs[name].extendleft(reversed(await store.latest(name, WINDOW)))

    async def close(self) -> None:
        """Give back the money that is left."""
        for allowance in self._allowances.values():
            try:
                await allowance.close()
            except DatabaseUnavailable:
                return

    async def _top_up(self) -> None:
        """See to it that routes that serve have money at hand: they cannot wait for it."""
        while True:
            await self._clock.sleep(_TOP_UP_S)
            for name, (estimate, limit) in tuple(self._serving.items()):
                try:
                    await self._allowance(name).top_up(AT_ONCE * estimate, limit)
                except DatabaseUnavailable as error:
                    log.warning("rehearsals_without_database", route=name, error=str(error))

    async def _rehearse(self, waiting: _Waiting) -> None:
        name, rule = waiting.route.route.name, waiting.route.route.rehearsal
        assert rule is not None
        try:
            outcome = await self._asked_again(waiting, rule)
        except DatabaseUnavailable as error:
            outcome = "unfunded"
            log.warning("rehearsals_without_database", route=name, error=str(error))
        except Exception:
            # One odd request must not end all rehearsals.
            outcome = "failed"
            log.exception("rehearsal_failed", route=name, request_id=waiting.request.id)
        self._count(name, rule, outcome)

    async def _asked_again(self, waiting: _Waiting, rule: Rehearsal) -> str:
        request, live, route = waiting.request, waiting.entry, waiting.route
        plan = self._fallbacks(route, request, waiting.snapshot)
        if not plan.steps:
            return "failed"
        prepared = plan.steps[0].prepared
        answer_tokens = max(2 * live.output_tokens, LEAST_ANSWER_TOKENS)
        estimate = self._estimate(waiting.snapshot, prepared, live.input_tokens, answer_tokens)
        if estimate is None:
            return "unpriced"
        allowance = self._allowance(route.route.name)
        if not await allowance.secure(estimate, limit_of(rule)):
            return "unfunded"
        asked = await self._asker.ask(
            waiting.snapshot,
            route.route,
            prepared,
            request.body,
            kind="rehearsal",
            request_id=live.request_id,
            streamed=request.streamed,
            reason=Reason.REHEARSAL,
        )
        allowance.settle(estimate, asked.entry.cost_nanousd or 0)
        self._metrics.rehearsal_cost.labels(route.route.name).inc((asked.entry.cost_nanousd or 0) / NANO_PER_USD)
        if asked.failure is not None:
            if asked.failure.kind in _DOUBTS:
                self._board.suspect(prepared.target)
            return "failed"
        await self._keep(pair_of(live, asked, waiting.said()))
        return "ok"

    async def _keep(self, pair: Pair) -> None:
        self.pairs[pair.route].append(pair)
        store = self._store()
        if store is not None:
            await store.keep([pair])

    def _fallbacks(self, route: PreparedRoute, request: Request, snapshot: Snapshot) -> ReadyPlan:
        return snapshot.plan(route, Pin(target="fallback"), self._board, None, route.needs_of(request))

    @staticmethod
    def _estimate(snapshot: Snapshot, prepared: PreparedTarget, input_tokens: int, answer_tokens: int) -> int | None:
        """Return about what a request will cost on a target, prompt included; None: it has no price."""
        price = snapshot.price_book.lookup(*prepared.key)
        if price is None:
            return None
        pack = prepared.prompt.pack if prepared.prompt else None
        prompt_chars = sum(len(text_of(message)) for message in prepared.prompt_prefix)
        prompt_tokens = prompt_chars // CHARS_PER_TOKEN + (pack.similar_tokens if pack else 0)
        return round((input_tokens + prompt_tokens) * price.input + answer_tokens * price.output)

    def _allowance(self, route: str) -> Allowance:
        if route not in self._allowances:
            self._allowances[route] = Allowance(route, self._store, self._clock)
        return self._allowances[route]

    def _count(self, route: str, rule: Rehearsal, outcome: str) -> None:
        self._metrics.rehearsals.labels(route, rule.mode, outcome).inc()

    def means(self) -> Iterator[tuple[str, str, float]]:
        """Yield route, measure and mean of the latest pairs, for the gauges; cost in dollars, times in seconds."""
        for route, pairs in self.pairs.items():
            columns: dict[str, list[float]] = {
                "cost_usd": [p.cost_nanousd / NANO_PER_USD for p in pairs if p.cost_nanousd is not None],
                "duration_seconds": [p.duration_ms / 1000 for p in pairs],
                "first_token_seconds": [p.ttft_ms / 1000 for p in pairs if p.ttft_ms is not None],
                "agreement": [p.agreement for p in pairs if p.agreement is not None],
            }
            for measure, values in columns.items():
                if values:
                    yield route, measure, sum(values) / len(values)


def pair_of(live: Entry, asked: Asked, said: Message | None) -> Pair:
    """Return a rehearsal beside its live answer."""
    entry = asked.entry
    priced = entry.cost_nanousd is not None and live.cost_nanousd is not None
    timed = entry.ttft_ms is not None and live.ttft_ms is not None
    return Pair(
        attempt_id=entry.attempt_id,
        request_id=live.request_id,
        route=live.route,
        target=entry.target,
        prompt_version=entry.prompt_version,
        cost_nanousd=(entry.cost_nanousd or 0) - (live.cost_nanousd or 0) if priced else None,
        duration_ms=entry.duration_ms - live.duration_ms,
        ttft_ms=(entry.ttft_ms or 0.0) - (live.ttft_ms or 0.0) if timed else None,
        agreement=agreement(said, asked.message) if said is not None and asked.message is not None else None,
    )


def limit_of(rule: Rehearsal) -> int:
    """Return what a day's rehearsals may cost, in nano-dollars."""
    return int(rule.max_usd_per_day * NANO_PER_USD)


def _asked_for(body: dict[str, Any]) -> int:
    """Return how many tokens of answer a request may take, as far as it says."""
    asked = next((body[name] for name in ("max_completion_tokens", "max_tokens") if type(body.get(name)) is int), None)
    return max(0, asked) if asked is not None else SERVED_ANSWER_TOKENS
