"""Writes a backlog as a gateway would have left it: many attempts in a journal, and then a kill -9."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from gateway.clock import SystemClock
from gateway.config.routes_ledger import Ledger
from gateway.ledger.entry import Entry, new_attempt_id
from gateway.ledger.journal import Intent, Journal
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource
from gateway.store.database import to_async_url, where


def attempt(number: int, now: datetime) -> Entry:
    started_at = now - timedelta(hours=1) + timedelta(milliseconds=number)
    return Entry(
        attempt_id=new_attempt_id(started_at),
        request_id=f"backlog-{number}",
        route=f"route-{number % 20}",
        target="primary",
        role=Role.PRIMARY,
        provider="first",
        model_asked="gpt-4o-mini-2024-07-18",
        model_answered="gpt-4o-mini-2024-07-18",
        reason=Reason.PRIMARY,
        prompt_version=None,
        input_tokens=100,
        cached_input_tokens=0,
        cache_write_tokens=0,
        output_tokens=50,
        reasoning_tokens=0,
        usage_source=UsageSource.PROVIDER,
        price_version="rig",
        cost_nanousd=45_000,
        outcome=Outcome.OK,
        failure=None,
        endpoint="chat_completions",
        stream=False,
        pinned=False,
        kind="live",
        instance="rig",
        config_hash="rig",
        key=None,
        team="support",
        tags=None,
        service_tier=None,
        status=200,
        ttft_ms=None,
        duration_ms=12.5,
        started_at=started_at,
        finished_at=started_at + timedelta(milliseconds=12),
        substituted=False,
        traits="",
    )


async def main(root: Path, url: str, count: int) -> None:
    database = where(to_async_url(url))
    journal = Journal.open(root, database=database, clock=SystemClock(), ledger=Ledger())
    now = datetime.now(UTC)
    for number in range(count):
        entry = attempt(number, now)
        begun = entry._replace(
            outcome=Outcome.INTERRUPTED, failure=FailureKind.INTERRUPTED, usage_source=UsageSource.INTERRUPTED
        )
        assert journal.intent(Intent(begun, Decimal(600)))
        journal.settle(entry)
        if number % 100 == 0:
            await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
