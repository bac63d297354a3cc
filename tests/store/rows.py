"""Rows for tests of the store and of the ledger."""

from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.ledger.entry import Entry, new_attempt_id
from gateway.reasons import Outcome, Reason, Role, UsageSource

START = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC)


def an_entry(after: timedelta = timedelta(), **fields: Any) -> Entry:
    """Return a row that started ``after`` START, took a second, and is ordinary but for ``fields``."""
    started_at = START + after
    entry = Entry(
        attempt_id=new_attempt_id(started_at),
        request_id="req-1",
        route="forum-reply",
        target="primary",
        role=Role.PRIMARY,
        provider="openai",
        model_asked="ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4",
        model_answered="ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4",
        reason=Reason.PRIMARY,
        prompt_version=None,
        input_tokens=1200,
        cached_input_tokens=300,
        cache_write_tokens=0,
        output_tokens=150,
        reasoning_tokens=0,
        usage_source=UsageSource.PROVIDER,
        price_version="litellm-1.106.2",
        cost_nanousd=495_000,
        outcome=Outcome.OK,
        failure=None,
        endpoint="chat.completions",
        stream=False,
        pinned=False,
        kind="live",
        instance="replica-1",
        config_hash="0123456789ab",
        key=None,
        team=None,
        tags=None,
        service_tier=None,
        status=200,
        ttft_ms=None,
        duration_ms=1000.0,
        started_at=started_at,
        finished_at=started_at + timedelta(seconds=1),
        substituted=False,
        traits="temperature,tools",
    )
    return entry._replace(**fields)


def entries(count: int) -> list[Entry]:
    """Return rows that start a millisecond apart, in order."""
    return [an_entry(timedelta(milliseconds=step), request_id=f"req-{step}") for step in range(count)]
