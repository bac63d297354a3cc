"""How a canary's requests ended, as both databases tell it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from example_promotions import a_canary

from gateway.clock import time_ordered_id
from gateway.reasons import FailureKind, Outcome, Reason
from gateway.store import canaries
from gateway.store.canaries import CanaryStore, Ended
from gateway.store.database import Database
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry

MINUTE = timedelta(minutes=1)
BROKEN = {3: True, 4: True, 6: False}
"""What is known of answers and their route's contract; of all others nothing."""
PROMOTION = a_canary(START, provider="openai", incumbent_provider="openai")


async def test_what_ended_in_a_period_comes_in_the_order_in_which_it_ended(database: Database) -> None:
    rows = []
    for number in range(2 * canaries.ROWS_AT_ONCE + 3):
        started, is_canary = START + number * MINUTE / 1000, number % 3 == 0
        entry = an_entry(
            number * MINUTE / 1000,
            attempt_id=time_ordered_id(started),
            request_id=f"req_{number}",
            route="forum-reply",
            provider="openai",
            model_asked="next" if is_canary else "tuned",
            reason=Reason.CANARY if is_canary else Reason.PRIMARY,
            outcome=Outcome.FAILED if number == 9 else Outcome.OK,
            failure=FailureKind.SERVER_ERROR if number == 9 else None,
            contract_broken=BROKEN.get(number),
            started_at=started,
            # The first to begin is the last to end.
            finished_at=started + (2 * MINUTE if number == 0 else MINUTE / 10),
        )
        rows.append(entry)
    await UsageStore(database).insert_attempts(rows)
    found = await CanaryStore(database).ended(PROMOTION, START, START + 5 * MINUTE, 11 * MINUTE)
    expected = [
        Ended(f"req_{number}", number % 3 == 0, number != 9, broke_contract=number in (3, 4))
        for number in range(1, len(rows))
    ]
    assert found == [*expected, Ended("req_0", True, True)]


@pytest.mark.parametrize(
    ("longest", "ids"),
    [pytest.param(3 * MINUTE, ["req"], id="within it"), pytest.param(MINUTE, [], id="beyond it: nobody looks there")],
)
async def test_what_took_as_long_as_it_may_is_found(database: Database, longest: timedelta, ids: list[str]) -> None:
    entry = an_entry(
        timedelta(0),
        attempt_id=time_ordered_id(START),
        request_id="req",
        route="forum-reply",
        provider="openai",
        model_asked="next",
        reason=Reason.CANARY,
        started_at=START,
        finished_at=START + 2 * MINUTE,
    )
    await UsageStore(database).insert_attempts([entry])
    promotion = replace(PROMOTION, changed_at=START - 60 * MINUTE)
    found = await CanaryStore(database).ended(promotion, START + 2 * MINUTE, START + 3 * MINUTE, longest)
    assert [ended.request_id for ended in found] == ids
