"""What an attempt used and cost: its ledger row and its metrics. Runs once an attempt, whatever happened to it."""

from collections.abc import Callable
from datetime import timedelta

from gateway.clock import Clock
from gateway.config.routes import Route
from gateway.execution.attempts import Attempt
from gateway.execution.counting import NOTHING, cost_of, counted
from gateway.execution.prepared import Snapshot
from gateway.execution.substitutes import Substitutions, Tell
from gateway.ledger.entry import Entry
from gateway.lifecycle.probe_calls import ProbeCall
from gateway.policy.pricing import Usage, cost_nanousd, read_usage
from gateway.policy.traits import joined
from gateway.reasons import Outcome, Reason, UsageSource

NANO_PER_USD = 1e9


class Accounting:
    """Turns finished attempts into entries."""

    def __init__(
        self,
        append: Callable[[Entry], None],
        instance: str,
        clock: Clock,
        on_substituted: Tell = lambda provider, asked, answered, route: None,
    ) -> None:
        """Take where rows go, and who is told of each substitution once a day."""
        self._append = append
        self._instance = instance
        self._clock = clock
        self._substitutions = Substitutions(on_substituted)

    def settle(self, attempt: Attempt, route: Route, snapshot: Snapshot, *, pinned: bool = False) -> Entry:
        """Price one attempt, queue its row, observe its metrics."""
        prepared, request = attempt.prepared, attempt.request
        finished_at, duration_s = self._clock.now(), self._clock.monotonic() - attempt.sent_at
        answered = attempt.answering_model()
        substitute, price = prepared.answers.meaning(answered)
        if substitute and answered is not None:
            prepared.meters.substitutions.inc()
            self._substitutions.seen(prepared.target, answered, route.name, finished_at.date())
        usage, source = counted(attempt)
        cost = cost_of(attempt, usage, source, price)
        ttft_ms = None if attempt.first_at is None else (attempt.first_at - attempt.sent_at) * 1000
        entry = Entry(
            attempt.id,
            request.id,
            route.name,
            prepared.target.name,
            prepared.role,
            prepared.target.provider.name,
            prepared.model,
            answered,
            attempt.reason,
            prepared.prompt_version,
            usage.input_tokens,
            usage.cached_input_tokens,
            usage.cache_write_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
            source,
            price.version if price is not None else None,
            cost,
            attempt.outcome,
            attempt.failure,
            request.endpoint.name,
            request.streamed,
            pinned,
            request.kind,
            self._instance,
            snapshot.config_hash,
            request.key,
            route.owner,
            None,
            None,
            attempt.status,
            ttft_ms,
            duration_s * 1000,
            attempt.started_at,
            finished_at,
            substitute,
            joined(request.words),
        )
        self._append(entry)
        self._observe(attempt, usage, source, cost, duration_s)
        return entry

    def settle_probe(self, call: ProbeCall, snapshot: Snapshot) -> None:
        """Queue the row of a verification's own call: the provider bills it like any other."""
        target = call.target
        answer = call.answer if call.failure is None and isinstance(call.answer, dict) else {}
        usage = read_usage(answer.get("usage"))
        price = snapshot.price_book.lookup(target.provider.name, target.model)
        cost = 0 if call.failure else None if price is None or usage is None else cost_nanousd(price, usage)
        tokens = usage or NOTHING
        finished_at = self._clock.now()
        answered = answer.get("model")
        self._append(
            Entry(
                attempt_id=call.attempt_id,
                request_id=f"probe_{call.attempt_id}",
                route="",
                target=target.name,
                role=target.role,
                provider=target.provider.name,
                model_asked=target.model,
                model_answered=answered if isinstance(answered, str) else None,
                reason=Reason.SUSPECT,
                prompt_version=None,
                input_tokens=tokens.input_tokens,
                cached_input_tokens=tokens.cached_input_tokens,
                cache_write_tokens=tokens.cache_write_tokens,
                output_tokens=tokens.output_tokens,
                reasoning_tokens=tokens.reasoning_tokens,
                usage_source=UsageSource.PROVIDER if usage else UsageSource.NONE,
                price_version=price.version if price else None,
                cost_nanousd=cost,
                outcome=Outcome.FAILED if call.failure else Outcome.OK,
                failure=call.failure,
                endpoint=call.endpoint,
                stream=False,
                pinned=False,
                kind="probe",
                instance=self._instance,
                config_hash=snapshot.config_hash,
                key=None,
                team=None,
                tags=None,
                service_tier=None,
                status=call.status or None,
                ttft_ms=None,
                duration_ms=call.duration_ms,
                started_at=finished_at - timedelta(milliseconds=call.duration_ms),
                finished_at=finished_at,
                substituted=False,
                traits=None,
            )
        )

    @staticmethod
    def _observe(attempt: Attempt, usage: Usage, source: UsageSource, cost: int | None, duration_s: float) -> None:
        if attempt.request.kind != "live":
            # A route's own figures are those of what its callers got, and alerts are for what they did not get.
            return
        meters = attempt.prepared.meters
        meters.attempts[attempt.outcome].inc()
        meters.upstream_duration.observe(duration_s)
        if attempt.outcome is Outcome.FAILED:
            return
        meters.input_tokens.inc(usage.input_tokens)
        meters.output_tokens.inc(usage.output_tokens)
        if usage.cached_input_tokens:
            meters.cached_tokens.inc(usage.cached_input_tokens)
        if cost is None:
            meters.unpriced.inc()
        elif cost:
            meters.cost.inc(cost / NANO_PER_USD)
        if source is UsageSource.ESTIMATED:
            meters.estimated.inc()
        if attempt.first_at is not None:
            first_s = attempt.first_at - attempt.sent_at
            meters.first_token.observe(first_s)
            if usage.output_tokens > 1:
                meters.per_output_token.observe((duration_s - first_s) / (usage.output_tokens - 1))
