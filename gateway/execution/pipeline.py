"""A request, from plan to account, on one page."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable

import structlog

from gateway.clock import Clock
from gateway.config.routes import Target
from gateway.errors import GatewayError, GatewayStopping, LedgerUnavailable
from gateway.execution.accounting import Accounting
from gateway.execution.admission import Admission
from gateway.execution.answer_headers import Header, header_value, substituted
from gateway.execution.attempts import Attempt
from gateway.execution.canary_patience import CanaryPatience
from gateway.execution.contract import breaks_contract
from gateway.execution.endpoints.endpoint import JSON_TYPE
from gateway.execution.failures import Failed, Failure, nobody, refusal
from gateway.execution.learner import Learner, NobodyLearns
from gateway.execution.prepared import PreparedRoute, ReadyPlan, ReadyStep, Snapshot
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.rate_limits import texts
from gateway.execution.relay import Relay
from gateway.execution.request import Reply, Request
from gateway.execution.retry_budget import RetryBudget
from gateway.execution.seen_limits import SeenLimits
from gateway.execution.sweeper import Sweeper
from gateway.execution.target_board import TargetBoard
from gateway.metrics import Metrics
from gateway.policy.conversations import bucket
from gateway.policy.intended import is_intended
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates
from gateway.policy.verdicts import Judgement, Verdict, judge
from gateway.reasons import FailureKind, Outcome, Reason, Role

log = structlog.get_logger()
RETRY_UNRECORDED_S = "5"
QUOTING = frozenset(
    (
        FailureKind.AUTHENTICATION,
        FailureKind.BAD_REQUEST,
        FailureKind.CONTENT_REFUSED,
    )
)
"""Failures whose words may be the caller's, or a secret: they are not logged."""


TRIALS = (Reason.REHEARSAL, Reason.CANARY)
"""Behind these the primary stands, and could answer."""


class Pipeline:
    """Plan → attempt → relay → account, for every endpoint that takes a model."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        board: TargetBoard,
        accounting: Accounting,
        metrics: Metrics,
        clock: Clock,
        learner: Learner | None = None,
        admission: Admission | None = None,
        fallback_answered: Callable[[str, float], None] = lambda route, at: None,
    ) -> None:
        """``fallback_answered`` is told of each answer by a fallback: its route, and when, in Unix time."""
        self.snapshot = snapshot
        """The current configuration; a reload replaces it, and a request keeps the one it started with."""
        self.board = board
        self.sweeper = Sweeper()
        self.seen_limits = SeenLimits(clock)
        self.in_flight: Counter[str] = Counter()
        """Requests being answered now, by endpoint."""
        self.learner: Learner = learner or NobodyLearns()
        self._accounting = accounting
        self._admission = admission or Admission()
        self._clock = clock
        self._retries = RetryBudget()
        self._patience = CanaryPatience()
        self._relay = Relay(board, accounting)
        self._fallback_answered = fallback_answered
        self._overhead = metrics.overhead
        self._unrecordable = metrics.unrecordable

    async def answer(self, request: Request, reply: Reply) -> None:
        """Answer one request.

        Raises:
            GatewayError: nobody could answer, and nothing has been sent to the caller yet.
        """
        snapshot = self.snapshot
        route, pin = snapshot.find(request.model, request.caller)
        request.timeouts = route.route.timeouts
        why = self._accounting.refuses()
        if why is not None:
            raise self._unrecorded(request, route, why)
        place = bucket(route.route.name, request.session, request.body) if snapshot.ramps(route) else None
        request.bucket = place
        endpoint = request.endpoint
        canary = route.is_watched and pin is None and route.watch(request)
        if route.learns and pin is None:
            self.learner.meet(request, route, snapshot)
        plan = snapshot.plan(route, pin, self.board, place, route.needs_of(request), request.rehearses, canary)
        self.in_flight[endpoint.name] += 1
        status = 499
        try:
            if request.caller.is_limited:
                request.admitted = await self._admission.admit(request, plan)
                plan = request.admitted.plan
            attempt = await self._first_answer(plan, request, snapshot)
            request.adapted = attempt.adapted
            try:
                if route.checker is not None and attempt.answer is not None:
                    attempt.contract_broken = breaks_contract(route.checker, endpoint.texts(attempt.answer))
                attempt.overhead_ms = self._overhead_s(request) * 1000
                reader = attempt.reader
                if reader is not None:
                    headers = self._headers(attempt, request, reader.content_type)
                    await self._relay.pass_on(attempt, reader, headers, reply, plan, snapshot)
                else:
                    await self._accounting.settle_last(attempt, plan, snapshot)
                    await reply.whole(200, self._headers(attempt, request, JSON_TYPE), attempt.answer_body)
                status = 200
            except asyncio.CancelledError:
                attempt.cancelled()
                raise
            finally:
                self._finish(attempt, plan, snapshot)
        except GatewayError as error:
            status = error.status
            if request.tried and self._accounting.is_strict and not isinstance(error, LedgerUnavailable):
                with contextlib.suppress(LedgerUnavailable):
                    await self._accounting.synced()
            known = {"x-gateway-route": route.route.name, "x-gateway-attempts": str(request.tried)}
            if request.admitted is not None:
                known |= texts(request.admitted.headers)
            error.headers = known | error.headers
            raise
        finally:
            if request.admitted is not None:
                self._admission.over(request.admitted, request.settled)
            self.in_flight[endpoint.name] -= 1
            route.meters.request(endpoint.name, GatewayStopping.status if request.cut else status)

    def _unrecorded(self, request: Request, route: PreparedRoute, why: str) -> LedgerUnavailable:
        """Return the refusal of a request that would leave no row."""
        self._unrecordable.inc()
        route.meters.request(request.endpoint.name, LedgerUnavailable.status)
        return LedgerUnavailable(
            f"No new requests are taken while what they cost cannot be recorded: {why}. Try again in some seconds.",
            headers={"retry-after": RETRY_UNRECORDED_S, "x-gateway-route": route.route.name},
        )

    async def _first_answer(self, plan: ReadyPlan, request: Request, snapshot: Snapshot) -> Attempt:
        """Walk the plan; return the first attempt that has an answer to commit."""
        if not plan.steps:
            raise nobody(plan.plan, self.board.observe, primary_dates(plan), request)
        self._retries.deposit()
        waiting, fallback_on = deque(plan.steps), plan.route.route.fallback_on
        reason = plan.steps[0].reason or Reason.PRIMARY
        retried = False
        while True:
            step = waiting.popleft()
            if request.settled:
                await self._admission.again(request, step.prepared)
            attempt = Attempt(step.prepared, reason, request, self._clock, self.sweeper)
            if reason is Reason.CANARY and waiting:
                attempt.patience_s = self._patience.limit_s(request, waiting[0].prepared)
            failure = await self._try(attempt, plan, snapshot)
            if failure is None:
                return attempt
            may_retry = not retried and not failure.sent and self._retries.left()
            if failure.kind is FailureKind.CONTEXT_TOO_LONG and reason not in TRIALS:
                waiting = larger_windows(step.prepared, waiting) if fallback_on else deque()
            judgement = judge(
                failure.kind, fallback_on=fallback_on, retries_left=may_retry, larger_window=bool(waiting)
            )
            self._hear(attempt, failure, judgement)
            if judgement.verdict is Verdict.RETRY:
                retried = True
                self._retries.withdraw()
                attempt.prepared.meters.retries.inc()
                waiting.appendleft(step)
            elif waiting and (
                reason is Reason.CANARY or (reason is Reason.REHEARSAL and judgement.verdict is not Verdict.NEXT)
            ):
                # What the fallback or the canary refuses the primary may take: a trial costs its caller nothing. That a
                # canary fails is no trouble of the route's either.
                retried = False
                reason = waiting[0].reason or Reason.PRIMARY
            elif judgement.verdict is Verdict.STOP or not waiting:
                raise refusal(failure, plan.plan, step.prepared.dates, step.prepared.model, request)
            else:
                retried = False
                reason = judgement.reason

    async def _try(self, attempt: Attempt, plan: ReadyPlan, snapshot: Snapshot) -> Failure | None:
        """Open one attempt; return why it failed, or None."""
        request, target = attempt.request, attempt.prepared.target
        request.tried += 1
        self.board.sent(target)
        body_bytes = attempt.prepare()
        self._accounting.begin(attempt, plan.route.route, snapshot, body_bytes, pinned=plan.plan.pinned)
        try:
            await attempt.open()
        except BaseException as error:
            # Whatever it was: what was begun is settled.
            attempt.ended_by(error)
            attempt.close()
            self._accounting.settle(attempt, plan.route.route, snapshot, pinned=plan.plan.pinned)
            self._tell_learner(attempt, plan, snapshot)
            if isinstance(error, Failed):
                return error.failure
            raise
        finally:
            request.waited_s += attempt.waited_s
        self.board.answered(target, request.endpoint.path)
        return None

    def _tell_learner(self, attempt: Attempt, plan: ReadyPlan, snapshot: Snapshot) -> None:
        if attempt.request.learnt and attempt.entry is not None:
            self.learner.settled(attempt, attempt.entry, plan.route, snapshot)

    def _hear(self, attempt: Attempt, failure: Failure, judgement: Judgement) -> None:
        """Tell the board what a failure says of the target, and the log what happened."""
        target = attempt.prepared.target
        if not self.board.answers_only_elsewhere(target, attempt.request.endpoint.path):
            self._tell_board(target, failure, judgement)
        log.warning(
            "attempt_failed",
            request_id=attempt.request.id,
            route=attempt.request.model,
            provider=target.provider.name,
            model=target.model,
            failure=failure.kind.value,
            status=failure.status,
            verdict=judgement.verdict.value,
            # Who refuses a key may repeat it, and who refuses a request what it says.
            said=failure.message if failure.kind not in QUOTING else None,
        )

    def _tell_board(self, target: Target, failure: Failure, judgement: Judgement) -> None:
        if judgement.verify:
            self.board.suspect(target)
        elif failure.kind is FailureKind.AUTHENTICATION:
            self.board.credential_refused(target)
        elif judgement.rests:
            self.board.rests(target, failure.retry_after_s or 1.0)
        elif judgement.counts_against_health and not failure.is_wrong_path:
            self.board.failed(target)

    def _headers(self, attempt: Attempt, request: Request, content_type: bytes) -> list[Header]:
        """Return the answer's headers: what is built once, and what is this request's own."""
        prepared, answered = attempt.prepared, attempt.answering_model()
        known = prepared.headers_because(attempt.reason, content_type)
        if answered is not None and prepared.answers.meaning(answered).substitute:
            known = substituted(known, prepared.model, answered)
        headers = [
            *known,
            (b"x-request-id", request.id.encode()),
            (b"x-gateway-attempts", b"%d" % request.tried),
        ]
        if request.admitted is not None:
            headers += request.admitted.headers
        if attempt.adapted:
            headers.append((b"x-gateway-adapted", header_value(", ".join(attempt.adapted))))
        if attempt.reader is None:
            headers.append((b"x-gateway-overhead-ms", b"%.3f" % (self._overhead_s(request) * 1000)))
        return headers

    def _overhead_s(self, request: Request) -> float:
        """Return what the gateway itself has added so far: everything but the wait for upstreams."""
        return max(0.0, self._clock.monotonic() - request.started - request.waited_s)

    def _finish(self, attempt: Attempt, plan: ReadyPlan, snapshot: Snapshot) -> None:
        """Close the books of the attempt that answered; runs once, whatever became of the answer."""
        now = self._clock.monotonic()
        if now >= attempt.prepared.limits_due and attempt.connection is not None:
            self.seen_limits.look(attempt.prepared, attempt.connection.headers)
        attempt.close()
        if attempt.entry is None:
            if attempt.outcome is Outcome.FAILED:
                # It was committed, so it did not fail; and what ended it is nothing that was foreseen.
                attempt.interrupted()
            self._accounting.settle(attempt, plan.route.route, snapshot, pinned=plan.plan.pinned)
        self._tell_learner(attempt, plan, snapshot)
        request, meters = attempt.request, attempt.prepared.meters
        meters.answered_because(attempt.reason)
        if attempt.prepared.role is Role.FALLBACK:
            self._fallback_answered(plan.route.route.name, attempt.started_at.timestamp())
        if not plan.plan.pinned:
            first_after_date = plan.by_date and attempt.prepared is plan.steps[0].prepared
            plan.route.meters.answered[is_intended(attempt.reason, first_after_date=first_after_date)].inc()
        for parameter in attempt.adapted:
            meters.adapted(parameter)
        endpoint = request.endpoint
        duration_s = now - request.started
        meters.duration(endpoint.name, request.streamed).observe(duration_s)
        if plan.route.route.canary is not None:
            self._patience.finished(attempt, plan, duration_s)
        if attempt.reader is None:
            self._overhead.labels(endpoint.name).observe(self._overhead_s(request))
        if attempt.contract_broken:
            meters.contract_violations.inc()
            log.warning("contract_violated", request_id=request.id, route=request.model, model=attempt.prepared.model)


def larger_windows(refused: PreparedTarget, waiting: Iterable[ReadyStep]) -> deque[ReadyStep]:
    """Return the steps whose targets are known to take a longer prompt than the one that refused it."""
    window = refused.window
    return deque(step for step in waiting if window is not None and (step.prepared.window or 0) > window)


def primary_dates(plan: ReadyPlan) -> Dates:
    """Return the dates of the route's primary."""
    primary = plan.route.targets.get("primary")
    return primary.dates if primary is not None else UNKNOWN_DATES
