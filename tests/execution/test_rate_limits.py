"""What a key has left of its requests and tokens per minute, counted in this process."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from fake_clock import FakeClock

from gateway.config.callers import Caller
from gateway.errors import ConfigError, LimitReached
from gateway.execution.rate_limits import FORGET_FROM, LimitsHere, counting
from gateway.metrics import Metrics

KEY = Caller("key_a", "forum-app", requests_per_minute=60, tokens_per_minute=6000)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def here(clock: FakeClock, metrics: Metrics) -> LimitsHere:
    return LimitsHere(clock, metrics)


def values(headers: Any) -> dict[str, str]:
    return {name.decode().removeprefix("x-ratelimit-"): value.decode() for name, value in headers}


async def refused(here: LimitsHere, caller: Caller, tokens: int = 0) -> LimitReached:
    with pytest.raises(LimitReached) as caught:
        await here.take(caller, tokens)
    return caught.value


async def test_every_answer_says_what_is_left_under_openais_names(here: LimitsHere) -> None:
    taken = await here.take(KEY, 1000)
    assert values(taken.headers) == {
        "limit-requests": "60",
        "remaining-requests": "9",
        "reset-requests": "1s",
        "limit-tokens": "6000",
        "remaining-tokens": "2000",
        "reset-tokens": "10s",
    }


async def test_only_the_limits_that_a_key_has_are_spoken_of(here: LimitsHere) -> None:
    requests = await here.take(replace(KEY, tokens_per_minute=None), 1000)
    assert set(values(requests.headers)) == {"limit-requests", "remaining-requests", "reset-requests"}
    tokens = await here.take(Caller("key_b", "b", tokens_per_minute=60), 1)
    assert set(values(tokens.headers)) == {"limit-tokens", "remaining-tokens", "reset-tokens"}


async def test_one_request_too_many_is_told_when_to_come_back_and_may_then(here: LimitsHere, clock: FakeClock) -> None:
    for _ in range(10):
        await here.take(KEY, 0)
    clock.advance(0.25)
    error = await refused(here, KEY)
    assert error.message == "This key may take 60 requests per minute. Try again in 750ms."
    assert error.headers["retry-after"] == "1"
    assert error.headers["retry-after-ms"] == "750"
    assert error.headers["x-ratelimit-remaining-requests"] == "0"
    assert error.headers["x-ratelimit-reset-requests"] == "9.75s"
    clock.advance(0.75)
    await here.take(KEY, 0)
    await refused(here, KEY)


async def test_a_request_that_lacks_tokens_does_not_count_as_a_request(here: LimitsHere, clock: FakeClock) -> None:
    await here.take(KEY, 3000)
    error = await refused(here, KEY, 100)
    assert error.message == "This key may take 6,000 tokens per minute; this request may take 100. Try again in 1s."
    assert error.headers["x-ratelimit-remaining-requests"] == "9"
    clock.advance(1)
    taken = await here.take(KEY, 100)
    assert values(taken.headers)["remaining-requests"] == "9"


async def test_a_request_that_no_minute_has_tokens_for_is_told_that_it_can_never_pass(here: LimitsHere) -> None:
    error = await refused(here, KEY, 6001)
    assert "6,001 tokens" in error.message
    assert "it can never pass. Ask for a shorter answer, send less, or have the limit raised" in error.message
    assert error.headers["x-should-retry"] == "false"
    assert "retry-after" not in error.headers
    assert error.headers["x-ratelimit-remaining-tokens"] == "3000"
    assert error.headers["x-ratelimit-remaining-requests"] == "10"
    await here.take(KEY, 6000)


async def test_tokens_that_were_not_used_are_there_for_the_next_request(here: LimitsHere) -> None:
    taken = await here.take(KEY, 3000)
    here.give_back(taken, 2900)
    assert values((await here.take(KEY, 100)).headers)["remaining-tokens"] == "2800"


async def test_more_tokens_than_were_set_aside_are_counted_too(here: LimitsHere) -> None:
    taken = await here.take(KEY, 100)
    here.give_back(taken, -1400)
    assert values((await here.take(KEY, 100)).headers)["remaining-tokens"] == "1400"


async def test_keys_do_not_take_from_each_other(here: LimitsHere) -> None:
    one = Caller("key_one", "one", requests_per_minute=1)
    await here.take(one, 0)
    await refused(here, one)
    await here.take(replace(one, id="key_two"), 0)


async def test_a_limit_that_changes_holds_from_the_next_request(here: LimitsHere) -> None:
    small = Caller("key_a", "a", requests_per_minute=1)
    await here.take(small, 0)
    await refused(here, small)
    await refused(here, replace(small, requests_per_minute=2))
    # A minute's wait at one per minute is sixty at sixty per minute.
    error = await refused(here, replace(small, requests_per_minute=60))
    assert error.headers["retry-after"] == "51"


async def test_keys_that_rest_are_forgotten(here: LimitsHere, clock: FakeClock) -> None:
    for number in range(10 * FORGET_FROM):
        clock.advance(0.01)
        await here.take(Caller(f"key_{number}", "n", requests_per_minute=60), 0)
    assert len(here._levels) <= 2 * FORGET_FROM


async def test_refusals_are_counted_by_limit_and_from_zero(here: LimitsHere, metrics: Metrics) -> None:
    assert [metrics.limited.labels(name).value for name in ("requests", "tokens")] == [0, 0]
    await refused(here, KEY, 7000)
    for _ in range(10):
        await here.take(KEY, 0)
    await refused(here, KEY)
    assert [metrics.limited.labels(name).value for name in ("requests", "tokens")] == [1, 1]


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "postgresql://u:hidden-word@h/d", "redis://u:hidden-word@h:port/0"])
async def test_what_is_no_address_of_a_redis_server_is_refused_and_not_repeated(
    url: str, clock: FakeClock, metrics: Metrics
) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_LIMITS_URL") as caught:
        async with counting(url, clock, metrics):
            pass
    assert "hidden-word" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_without_the_library_the_setting_is_refused_with_what_to_install() -> None:
    code = (
        "import asyncio, sys; sys.modules['redis'] = None\n"
        "from gateway.clock import SystemClock\n"
        "from gateway.execution.rate_limits import counting\n"
        "from gateway.metrics import Metrics\n"
        "asyncio.run(counting('redis://hidden-word@127.0.0.1', SystemClock(), Metrics()).__aenter__())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == (
        "gateway.errors.ConfigError: GATEWAY_LIMITS_URL needs a library that is not installed: "
        "pip install 'understudy-gateway[redis]'"
    )
    assert "hidden-word" not in done.stderr.replace(code, "")


def test_the_library_is_imported_only_where_replicas_share() -> None:
    code = "import sys, gateway.app; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
