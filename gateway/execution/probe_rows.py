"""The row of a verification's own call: the provider bills it like any other."""

from datetime import datetime, timedelta
from typing import Final

from gateway.execution.counting import LONGEST_TIER, NOTHING
from gateway.execution.prepared import Snapshot
from gateway.ledger.entry import Entry
from gateway.lifecycle.probe_calls import ProbeCall
from gateway.policy.pricing import AbsurdUsage, Usage, checked_usage, cost_nanousd
from gateway.reasons import FailureKind, Outcome, Reason, UsageSource

SMALLEST: Final = Usage(8)
"""About what the smallest call takes in, where nobody heard its answer of one token."""


def probe_row(call: ProbeCall, snapshot: Snapshot, instance: str, finished_at: datetime) -> Entry:
    """Return a call's row; of one that was interrupted, what it takes in."""
    target, interrupted = call.target, call.failure is FailureKind.INTERRUPTED
    answer = call.answer if call.failure is None and isinstance(call.answer, dict) else {}
    rejected = False
    try:
        usage = SMALLEST if interrupted else checked_usage(answer.get("usage"))
    except AbsurdUsage:
        usage, rejected = None, True
    tier = answer.get("service_tier")
    tier = tier[:LONGEST_TIER] if isinstance(tier, str) and tier else None
    price = snapshot.price_book.lookup(target.provider.name, target.model)
    free = call.failure is not None and not interrupted
    cost = 0 if free else None if price is None or usage is None else cost_nanousd(price, usage, tier)
    tokens = usage or NOTHING
    answered = answer.get("model")
    source = UsageSource.PROVIDER if usage else UsageSource.NONE
    outcome = Outcome.FAILED if call.failure else Outcome.OK
    return Entry(
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
        usage_source=UsageSource.INTERRUPTED if interrupted else source,
        price_version=price.version if price else None,
        cost_nanousd=cost,
        outcome=Outcome.INTERRUPTED if interrupted else outcome,
        failure=call.failure,
        endpoint=call.endpoint,
        stream=False,
        pinned=False,
        kind="probe",
        instance=instance,
        config_hash=snapshot.config_hash,
        key=None,
        team=None,
        tags=None,
        service_tier=tier,
        status=call.status or None,
        ttft_ms=None,
        duration_ms=call.duration_ms,
        started_at=finished_at - timedelta(milliseconds=call.duration_ms),
        finished_at=finished_at,
        substituted=False,
        traits=None,
        input_audio_tokens=tokens.input_audio_tokens,
        output_audio_tokens=tokens.output_audio_tokens,
        input_image_tokens=tokens.input_image_tokens,
        output_image_tokens=tokens.output_image_tokens,
        usage_rejected=rejected,
    )
