"""Rows as forty routes' traffic makes them: seeded, so that two runs write the same."""

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.ledger.entry import Entry, new_attempt_id
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource

ROUTES: Final = 40
BEGIN: Final = datetime(2026, 11, 29, 10, tzinfo=UTC)


def rows(count: int, *, seed: int = 0, begin: datetime = BEGIN) -> list[Entry]:
    """Return so many rows that start 2 ms apart; three in a hundred on the fallback, two in a hundred failed."""
    drawn = random.Random(seed)
    return [_row(drawn, begin + timedelta(milliseconds=2 * step)) for step in range(count)]


def _row(drawn: random.Random, at: datetime) -> Entry:
    route = int(ROUTES * drawn.random() ** 2)
    on_fallback, failed = drawn.random() < 0.03, drawn.random() < 0.02
    model = "gpt-5.4-mini" if on_fallback else f"ft:gpt-4o-mini-2024-07-18:acme:route-{route}"
    tokens_in, tokens_out = drawn.randint(500, 2000), 0 if failed else drawn.randint(20, 420)
    duration = drawn.lognormvariate(6.6, 0.6)
    return Entry(
        attempt_id=new_attempt_id(at),
        request_id=f"req-{drawn.getrandbits(48):012x}",
        route=f"route-{route:02}",
        target="mini" if on_fallback else "primary",
        role=Role.FALLBACK if on_fallback else Role.PRIMARY,
        provider="openai",
        model_asked=model,
        model_answered=None if failed else model,
        reason=Reason.OVERLOADED if on_fallback else Reason.PRIMARY,
        prompt_version="v3" if on_fallback else None,
        input_tokens=tokens_in,
        cached_input_tokens=drawn.randint(0, 300),
        cache_write_tokens=0,
        output_tokens=tokens_out,
        reasoning_tokens=0,
        usage_source=UsageSource.PROVIDER,
        price_version="litellm-1.106.2",
        cost_nanousd=150 * tokens_in + 600 * tokens_out,
        outcome=Outcome.FAILED if failed else Outcome.OK,
        failure=FailureKind.SERVER_ERROR if failed else None,
        endpoint="chat.completions",
        stream=drawn.random() < 0.5,
        pinned=False,
        kind="live",
        instance="replica-1",
        config_hash="0123456789ab",
        key=f"app-{route}",
        team=f"team-{route % 8}",
        tags={"feature": drawn.choice(("search", "reply"))} if drawn.random() < 0.2 else None,
        service_tier="default",
        status=500 if failed else 200,
        ttft_ms=duration / 4,
        duration_ms=duration,
        started_at=at,
        finished_at=at + timedelta(milliseconds=duration),
        substituted=False,
        traits="temperature,tools",
        overhead_ms=drawn.uniform(0.5, 4.0),
    )
