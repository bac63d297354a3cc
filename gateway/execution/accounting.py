"""What an attempt used and cost: its row in the journal and its metrics, once an attempt, whatever happened to it."""

import structlog

from gateway.clock import Clock
from gateway.config.routes import Route
from gateway.execution.attempts import Attempt
from gateway.execution.counting import bill, estimated_input, output_tokens_so_far
from gateway.execution.prepared import ReadyPlan, Snapshot
from gateway.execution.probe_rows import probe_row
from gateway.execution.rejections import Rejections
from gateway.execution.substitutes import Substitutions, Tell
from gateway.ledger.entry import Entry
from gateway.ledger.journal import Intent, Journal
from gateway.lifecycle.probe_calls import ProbeCall
from gateway.policy.pricing import Usage, cost_nanousd, rates_of
from gateway.policy.traits import joined
from gateway.reasons import FailureKind, Outcome, UsageSource

log = structlog.get_logger()
NANO_PER_USD = 1e9
TOO_MANY = 429
PROGRESS_TOKENS = 32
"""So many tokens of a stream at most are not in the journal, and lost to its row when the process is killed."""
PROGRESS_S = 1.0
"""Of a slow stream: after so many seconds, however few they are."""


class Accounting:
    """Writes of each attempt what it will be at worst before it is sent, and what it was when it is over."""

    def __init__(
        self,
        journal: Journal,
        instance: str,
        clock: Clock,
        on_substituted: Tell = lambda provider, asked, answered, route: None,
    ) -> None:
        """Take where rows go, and who is told of each substitution once a day."""
        self._journal = journal
        self._instance = instance
        self._clock = clock
        self._substitutions = Substitutions(on_substituted)
        self._rejections = Rejections(clock)

    def refuses(self) -> str | None:
        """Return why nothing new may begin, since it would leave no row; None: all is well."""
        return self._journal.refuse_new()

    @property
    def is_strict(self) -> bool:
        """Whether an answer's last bytes wait for ``synced``."""
        return self._journal.ledger.durability == "strict"

    async def synced(self) -> None:
        """Wait until every row that was written so far is on the disk.

        Raises:
            LedgerUnavailable: the disk does not take them, and nothing is to be answered without.
        """
        await self._journal.synced()

    def begin(
        self, attempt: Attempt, route: Route, snapshot: Snapshot, body_bytes: int, *, pinned: bool = False
    ) -> None:
        """Write what an attempt is if nothing more is ever heard of it; ``settle`` must follow.

        ``body_bytes``: how long its body is as it will be sent.
        """
        prepared, request = attempt.prepared, attempt.request
        price = prepared.answers.meaning(None).price
        usage = estimated_input(attempt, body_bytes)
        attempt.begun = Entry(
            attempt.id,
            request.id,
            route.name,
            prepared.target.name,
            prepared.role,
            prepared.target.provider.name,
            prepared.model,
            None,
            attempt.reason,
            prepared.prompt_version,
            usage.input_tokens,
            0,
            0,
            0,
            0,
            UsageSource.INTERRUPTED,
            price.version if price is not None else None,
            cost_nanousd(price, usage) if price is not None else None,
            Outcome.INTERRUPTED,
            FailureKind.INTERRUPTED,
            request.endpoint.name,
            request.streamed,
            pinned,
            request.kind,
            self._instance,
            snapshot.config_hash,
            request.key,
            request.caller.team or route.owner,
            request.tags,
            None,
            None,
            None,
            0.0,
            attempt.started_at,
            attempt.started_at,
            False,
            joined(request.words),
            hold_id=request.hold_id,
        )
        output = rates_of(price, usage.input_tokens).output if price is not None else None
        self._journal.intent(Intent(attempt.begun, output))

    def progressed(self, attempt: Attempt) -> None:
        """Write how far a stream is, where it has come far enough since that was written last."""
        tokens = output_tokens_so_far(attempt)
        if tokens - attempt.told_tokens >= PROGRESS_TOKENS or attempt.heard_at - attempt.told_at >= PROGRESS_S:
            attempt.told_tokens, attempt.told_at = tokens, attempt.heard_at
            self._journal.progress(attempt.id, tokens)

    def settle(self, attempt: Attempt, route: Route, snapshot: Snapshot, *, pinned: bool = False) -> Entry:
        """Price one attempt, write its row, observe its metrics; once each, and before its answer's last bytes go out.

        Never raises: an answer is not lost because its price could not be told.
        """
        try:
            entry = self._settled(attempt, route, snapshot, pinned)
        except Exception:
            log.exception("attempt_not_counted", request_id=attempt.request.id, attempt_id=attempt.id)
            if attempt.begun is None:
                raise
            entry = attempt.begun
        attempt.entry = entry
        attempt.request.settled += (entry,)
        self._journal.settle(entry)
        return entry

    async def settle_last(self, attempt: Attempt, plan: ReadyPlan, snapshot: Snapshot) -> None:
        """Settle an attempt whose answer's last bytes have not gone out; return when they may.

        Raises:
            LedgerUnavailable: rows are to be on the disk by then, and it does not take them.
        """
        self.settle(attempt, plan.route.route, snapshot, pinned=plan.plan.pinned)
        if self.is_strict:
            await self.synced()

    def _settled(self, attempt: Attempt, route: Route, snapshot: Snapshot, pinned: bool) -> Entry:
        prepared, request = attempt.prepared, attempt.request
        finished_at, duration_s = self._clock.now(), self._clock.monotonic() - attempt.sent_at
        answered = attempt.answering_model()
        meaning = prepared.answers.meaning(answered)
        if meaning.substitute and answered is not None:
            prepared.meters.substitutions.inc()
            self._substitutions.seen(prepared.target, answered, route.name, finished_at.date())
        usage, source, rejected, tier, cost, price_version = bill(attempt, meaning)
        if rejected:
            self._rejections.seen(attempt)
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
            price_version,
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
            request.caller.team or route.owner,
            request.tags,
            tier,
            attempt.status,
            ttft_ms,
            duration_s * 1000,
            attempt.started_at,
            finished_at,
            meaning.substitute,
            joined(request.words),
            usage.input_audio_tokens,
            usage.output_audio_tokens,
            usage.input_image_tokens,
            usage.output_image_tokens,
            rejected,
            attempt.overhead_ms,
            request.hold_id,
            attempt.contract_broken,
        )
        _observe(attempt, usage, source, cost, duration_s)
        return entry

    def begin_probe(self, call: ProbeCall, snapshot: Snapshot) -> None:
        """Write what a verification's own call is if nothing more is ever heard of it; ``settle_probe`` must follow."""
        price = snapshot.price_book.lookup(call.target.provider.name, call.target.model)
        row = probe_row(call, snapshot, self._instance, self._clock.now())
        self._journal.intent(Intent(row, price.output if price is not None else None))

    def settle_probe(self, call: ProbeCall, snapshot: Snapshot) -> None:
        """Write the row of a verification's own call: the provider bills it like any other."""
        self._journal.settle(probe_row(call, snapshot, self._instance, self._clock.now()))


def _observe(attempt: Attempt, usage: Usage, source: UsageSource, cost: int | None, duration_s: float) -> None:
    if attempt.request.kind != "live":
        # A route's own figures are those of what its callers got, and alerts are for what they did not get.
        return
    meters = attempt.prepared.meters
    meters.attempts[attempt.outcome].inc()
    meters.upstream_duration.observe(duration_s)
    if attempt.status == TOO_MANY:
        meters.rate_limited.inc()
    if cost:
        # Also of an answer that could not be passed on: it is on the provider's bill.
        meters.cost.inc(cost / NANO_PER_USD)
    if attempt.outcome is Outcome.FAILED:
        return
    meters.input_tokens.inc(usage.input_tokens)
    meters.output_tokens.inc(usage.output_tokens)
    if usage.cached_input_tokens:
        meters.cached_tokens.inc(usage.cached_input_tokens)
    if cost is None:
        meters.unpriced.inc()
    if source is UsageSource.ESTIMATED:
        meters.estimated.inc()
    if attempt.first_at is not None:
        first_s = attempt.first_at - attempt.sent_at
        meters.first_token.observe(first_s)
        if usage.output_tokens > 1:
            meters.per_output_token.observe((duration_s - first_s) / (usage.output_tokens - 1))
