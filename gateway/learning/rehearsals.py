"""Rehearsals: a share of live traffic runs on the fallback before that is needed, within a day's money.

In the shadow a request is asked again after its caller has the answer; nobody waits for that, and nobody sees it. To
serve, the fallback answers itself, and the primary stands behind it.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import structlog

from gateway.clock import Clock
from gateway.config.routes_learning import Rehearsal
from gateway.execution.attempts import DOUBTS, Attempt
from gateway.execution.prepared import PreparedRoute, ReadyPlan, Snapshot
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.request import Request
from gateway.execution.target_board import TargetBoard
from gateway.learning.allowance import Allowance, Reservation
from gateway.learning.answers import Message
from gateway.learning.asking import Asker
from gateway.learning.pairs import pair_of, reading
from gateway.ledger.entry import Entry
from gateway.metrics import Metrics
from gateway.policy.conversations import bucket
from gateway.policy.planner import Pin
from gateway.policy.pricing import CHARS_PER_TOKEN
from gateway.reasons import Outcome, Reason, Role
from gateway.store.database import DatabaseUnavailable
from gateway.store.rehearsals import Pair, RehearsalStore

log = structlog.get_logger()
AT_ONCE: Final = 16
AT_ONCE_PER_ROUTE: Final = 4
"""So that one route's slow fallback does not take all of them."""
MOST_WAITING: Final = 100
"""Of one route."""
MOST_WAITING_TOKENS: Final = 2_000_000
WINDOW: Final = 500
"""So many pairs the gauges are means of."""
LEAST_ANSWER_TOKENS: Final = 256
SERVED_ANSWER_TOKENS: Final = 1_000
NANO_PER_USD: Final = 1_000_000_000
_NOT_SHADOWED: Final = frozenset(("image", "audio", "file"))
_SERVE_SALT: Final = "/rehearsal"
_TOP_UP_S: Final = 1.0


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

    @property
    def tokens(self) -> int:
        """What it takes, in a measure of memory."""
        return self.entry.input_tokens + self.entry.output_tokens


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
        self._waiting: dict[str, deque[_Waiting]] = defaultdict(deque)
        self._waiting_tokens = 0
        self._active: Counter[str] = Counter()
        self._stirred = asyncio.Event()
        """Set when something came to wait, or something under way has ended."""
        self._allowances: dict[str, Allowance] = {}
        self._wanted: dict[str, tuple[int, int]] = {}
        """Routes that serve: the smallest sum that could not be had lately, and the day's sum."""
        self._answer_tokens: dict[str, float] = {}
        """How long each route's fallback has answered lately, on average."""
        self.pairs: dict[str, deque[Pair]] = defaultdict(lambda: deque(maxlen=WINDOW))
        """The latest pairs of each route."""

    # On the request path: neither waits.

    def meet(self, request: Request, route: PreparedRoute, snapshot: Snapshot, rule: Rehearsal) -> bool:
        """Decide whether a request rehearses, and set the money aside for one that serves; True: it is learnt from."""
        if rule.mode == "shadow":
            return self._random.random() < rule.share and request.words.isdisjoint(_NOT_SHADOWED)
        name = route.route.name
        if bucket(name + _SERVE_SALT, request.session, request.body) >= rule.share:
            return False
        plan = self._fallbacks(route, request, snapshot)
        if not plan.steps or self._board.observe(plan.steps[0].prepared.target).circuit_open:
            return False
        chars = request.endpoint.input_chars(request.body)
        answer_tokens = _asked_for(request.body) or max(SERVED_ANSWER_TOKENS, self._usual_answer(name))
        estimate = self._estimate(snapshot, plan.steps[0].prepared, chars // CHARS_PER_TOKEN, answer_tokens)
        if estimate is None:
            self._count(name, rule, "unpriced")
            return False
        request.reservation = reservation = self._allowance(name).take(estimate)
        if reservation is None:
            wanted = self._wanted.get(name)
            self._wanted[name] = (min(estimate, wanted[0]) if wanted else estimate, limit_of(rule))
            self._count(name, rule, "unfunded")
            return False
        request.rehearses = True
        return True

    def settled(
        self, attempt: Attempt, entry: Entry, route: PreparedRoute, snapshot: Snapshot, rule: Rehearsal
    ) -> None:
        """Hear of an attempt: close the books of one that served, queue one that is to be asked again."""
        request = attempt.request
        if request.rehearses:
            self._served(request, entry, rule)
        elif (
            rule.mode == "shadow"
            and entry.outcome is Outcome.OK
            and entry.role is Role.PRIMARY
            and entry.reason is not Reason.CANARY
        ):
            self._queue(_Waiting(request, entry, reading(attempt), route, snapshot), rule)

    def _served(self, request: Request, entry: Entry, rule: Rehearsal) -> None:
        """Settle the money of a request that was to be served by the fallback; its first attempt tells."""
        reservation, request.reservation = request.reservation, None
        if not isinstance(reservation, Reservation):
            return
        if entry.reason is not Reason.REHEARSAL:
            # It went to somebody else for a better reason: that was no rehearsal.
            self._allowance(entry.route).settle(reservation, 0)
            return
        self._spend(entry, reservation)
        self._count(entry.route, rule, "ok" if entry.outcome is Outcome.OK else "failed")

    def _queue(self, waiting: _Waiting, rule: Rehearsal) -> None:
        line, tokens = self._waiting[waiting.entry.route], waiting.tokens
        if len(line) >= MOST_WAITING or self._waiting_tokens + tokens > MOST_WAITING_TOKENS:
            self._count(waiting.entry.route, rule, "dropped")
            return
        self._waiting_tokens += tokens
        line.append(waiting)
        self._stirred.set()

    # Behind the requests.

    async def run(self) -> None:
        """Rehearse what waits until cancelled, a few at a time."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._top_up())
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                while (waiting := self._next()) is not None:
                    self._active[waiting.entry.route] += 1
                    group.create_task(self._rehearse(waiting))

    def _next(self) -> _Waiting | None:
        """Return what is to be rehearsed now: of the route that has the fewest under way."""
        if self._active.total() >= AT_ONCE:
            return None
        routes = [n for n, line in self._waiting.items() if line and self._active[n] < AT_ONCE_PER_ROUTE]
        if not routes:
            return None
        waiting = self._waiting[min(routes, key=self._active.__getitem__)].popleft()
        self._waiting_tokens -= waiting.tokens
        return waiting

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
            for name, (wanted, limit) in tuple(self._wanted.items()):
                del self._wanted[name]
                allowance = self._allowance(name)
                try:
                    await allowance.top_up(AT_ONCE_PER_ROUTE * wanted, limit) or await allowance.top_up(wanted, limit)
                except DatabaseUnavailable as error:
                    log.warning("rehearsals_without_database", route=name, error=str(error))

    async def _rehearse(self, waiting: _Waiting) -> None:
        name, rule = waiting.entry.route, waiting.route.route.rehearsal
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
        finally:
            self._active[name] -= 1
            self._stirred.set()
        self._count(name, rule, outcome)

    async def _asked_again(self, waiting: _Waiting, rule: Rehearsal) -> str:
        request, live, route = waiting.request, waiting.entry, waiting.route
        plan = self._fallbacks(route, request, waiting.snapshot)
        if not plan.steps:
            return "failed"
        if self._asker.refuses() is not None:
            return "dropped"
        prepared = plan.steps[0].prepared
        answer_tokens = max(2 * live.output_tokens, LEAST_ANSWER_TOKENS, 2 * self._usual_answer(live.route))
        estimate = self._estimate(waiting.snapshot, prepared, live.input_tokens, answer_tokens)
        if estimate is None:
            return "unpriced"
        reservation = await self._allowance(live.route).secure(estimate, limit_of(rule))
        if reservation is None:
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
        self._spend(asked.entry, reservation)
        if asked.failure is not None:
            if asked.failure.kind in DOUBTS:
                self._board.suspect(prepared.target)
            return "failed"
        # Comparing takes milliseconds that callers should not wait for.
        await self._keep(await asyncio.to_thread(pair_of, live, asked, waiting.said))
        return "ok"

    def _spend(self, entry: Entry, reservation: Reservation) -> None:
        """Book what a rehearsal cost: an answer that has no price is taken to cost what was set aside."""
        cost = entry.cost_nanousd
        self._allowance(entry.route).settle(reservation, reservation.nanousd if cost is None else cost)
        self._metrics.rehearsal_cost.labels(entry.route).inc((cost or 0) / NANO_PER_USD)
        if entry.outcome is Outcome.OK:
            usual = self._answer_tokens.get(entry.route, float(entry.output_tokens))
            self._answer_tokens[entry.route] = usual + (entry.output_tokens - usual) / 10

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
        return round((input_tokens + prepared.prompt_tokens) * price.input + answer_tokens * price.output)

    def _usual_answer(self, route: str) -> int:
        return round(self._answer_tokens.get(route, 0.0))

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


def limit_of(rule: Rehearsal) -> int:
    """Return what a day's rehearsals may cost, in nano-dollars."""
    return int(rule.max_usd_per_day * NANO_PER_USD)


def _asked_for(body: dict[str, Any]) -> int:
    """Return how many tokens of answer a request takes at most, as far as it says; 0: it does not."""
    limits = (body.get("max_completion_tokens"), body.get("max_tokens"))
    return max((limit for limit in limits if type(limit) is int and limit > 0), default=0)
