"""A request that asks no model, counted: one of its key's requests a minute, and nothing of its tokens."""

import pytest
from fake_clock import FakeClock

from gateway.config.callers import Budget, Caller
from gateway.errors import LimitReached
from gateway.execution.admission import Admission
from gateway.execution.rate_limits import LimitsHere
from gateway.metrics import Metrics

LIMITED = Caller("key_a", "forum-app", requests_per_minute=12, tokens_per_minute=600)
FREE = Caller("key_b", "other", tokens_per_minute=600, budget=Budget(day_nanousd=0))


@pytest.fixture
def limits() -> LimitsHere:
    return LimitsHere(FakeClock(), Metrics())


async def test_it_counts_against_the_same_requests_a_minute_as_those_that_ask_models(limits: LimitsHere) -> None:
    admission = Admission(limits)
    headers = dict(await admission.count(LIMITED))
    assert headers == {
        b"x-ratelimit-limit-requests": b"12",
        b"x-ratelimit-remaining-requests": b"1",
        b"x-ratelimit-reset-requests": b"5s",
    }
    await limits.take(LIMITED, 10)
    with pytest.raises(LimitReached) as refused:
        await admission.count(LIMITED)
    assert refused.value.headers["retry-after"] == "5"
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(LimitReached):
        await limits.take(LIMITED, 0)


async def test_it_takes_no_tokens_and_waits_for_none(limits: LimitsHere) -> None:
    # Larger than may be taken at once: until it has drained, not even nothing can be taken.
    await limits.take(LIMITED, 600)
    assert await Admission(limits).count(LIMITED)


async def test_who_has_no_limit_of_requests_is_not_counted(limits: LimitsHere) -> None:
    assert [await Admission(limits).count(FREE) for _ in range(100)] == [()] * 100
    assert await Admission().count(LIMITED) == ()
