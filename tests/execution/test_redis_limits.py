"""The same limits where replicas share them: what a real Redis server counts is what the rules say."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from redis_server import PASSWORD, RunningRedis, running_redis

from gateway.clock import SystemClock
from gateway.config.callers import Caller
from gateway.errors import LimitReached
from gateway.execution.rate_limits import Found, Levels, LimitsHere, found_here, per_minute_of
from gateway.execution.redis_limits import GIVE_BACK, PATIENCE_S, TAKE, RedisLimits, cost
from gateway.metrics import Metrics
from gateway.policy.limits import MINUTE_US, Level, given_back

KEY = Caller("key_a", "forum-app", requests_per_minute=60, tokens_per_minute=6000)
START_US = 1_800_000_000_000_000


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def asked(redis: RunningRedis) -> Iterator[Redis]:
    """A client of the test's own."""
    with Redis.from_url(redis.url) as client:
        yield client


@pytest.fixture
async def shared(redis: RunningRedis, asked: Redis) -> AsyncIterator[RedisLimits]:
    asked.flushall()
    async with opened(redis.url) as limits:
        assert limits.is_shared
        yield limits


class opened:  # noqa: N801
    """Limits at a server, as a replica has them."""

    def __init__(self, url: str, patience_s: float = 10.0) -> None:
        clock, self.metrics = SystemClock(), Metrics()
        here = LimitsHere(clock, self.metrics)
        self.limits = RedisLimits(url, here, clock, self.metrics.unshared, patience_s=patience_s)

    async def __aenter__(self) -> RedisLimits:
        await self.limits.start()
        return self.limits

    async def __aexit__(self, *_: object) -> None:
        await self.limits.close()


async def until(condition: Any, within_s: float = 10) -> None:
    deadline = monotonic() + within_s
    while not condition():
        assert monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.005)


def let_in(limits: RedisLimits, caller: Caller, tokens: int = 0) -> Any:
    async def one() -> bool:
        try:
            await limits.take(caller, tokens)
        except LimitReached:
            return False
        return True

    return one()


def at(script: str, now_argument: int) -> str:
    """The script as it ships, but for the time, which the test says."""
    place = f"{{ARGV[{now_argument}], ARGV[{now_argument + 1}]}}"
    assert "redis.call('TIME')" in script
    return script.replace("redis.call('TIME')", place)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 5999), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 40_000_000), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 5), st.integers(0, 100)),
    ),
    min_size=4,
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.sampled_from([7, 60, 1000, None]), st.sampled_from([6000, 700, None]))
def test_what_the_server_says_is_what_the_rules_say_to_the_microsecond(
    asked: Redis, script: list[tuple[str, int, int]], requests: int | None, tokens: int | None
) -> None:
    caller = Caller("key_a", "a", requests_per_minute=requests, tokens_per_minute=tokens)
    limit, most = per_minute_of(caller)
    levels, now, running = Levels(Level(), Level()), START_US, []
    asked.flushall()
    for what, number, percent in script:
        if what == "wait":
            now += number
        elif what == "take":
            wanted = number % ((tokens or 1) + 1)
            expected = found_here(levels, caller, wanted, now)
            arguments = [*cost(limit, 1), *cost(most, wanted), *divmod(now, 1_000_000)]
            found = Found(*asked.eval(at(TAKE, 5), 1, "a", *arguments))
            # Marks are compared by what comes back for them.
            assert found[:4] == expected[:4]
            if found[:2] == (0, 0):
                running.append((found, expected.mark_us, wanted))
        elif running and most is not None:
            found, mark_us, took = running.pop(number % len(running))
            unused = took * percent // 100
            before = levels.tokens
            levels.tokens = given_back(before, most, mark_us, unused, now)
            back_us = unused * MINUTE_US // most.per_minute
            arguments = [found.mark_us, found.born_us, back_us, *divmod(now, 1_000_000)]
            asked.eval(at(GIVE_BACK, 4), 1, "a", *arguments)


async def test_two_replicas_let_in_together_what_one_may(shared: RedisLimits, redis: RunningRedis) -> None:
    async with opened(redis.url) as other:
        tries = [let_in(limits, KEY) for limits in (shared, other) for _ in range(40)]
        assert sum(await asyncio.gather(*tries)) == 10


async def test_unused_tokens_come_back_everywhere(shared: RedisLimits, redis: RunningRedis) -> None:
    taken = await shared.take(KEY, 3000)
    async with opened(redis.url) as other:
        assert not await let_in(other, KEY, 1000)
        shared.give_back(taken, 3000)
        await until(lambda: not shared._unused)
        assert await let_in(other, KEY, 2900)
        taken = await other.take(KEY, 0)
        other.give_back(taken, -1_000)
    assert not await let_in(shared, KEY, 100)


async def test_what_was_taken_before_the_server_lost_all_does_not_come_back_after_it(
    shared: RedisLimits, asked: Redis
) -> None:
    early = await shared.take(KEY, 3000)
    asked.flushall()
    assert await let_in(shared, KEY, 3000)
    shared.give_back(early, 3000)
    await until(lambda: not shared._unused)
    assert not await let_in(shared, KEY, 1000)


async def test_what_a_caller_who_left_has_taken_comes_back(shared: RedisLimits) -> None:
    task = asyncio.create_task(shared.take(KEY, 3000))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    deadline = monotonic() + 10
    while not await let_in(shared, KEY, 2900):
        assert monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("ticks", range(0, 12, 3))
async def test_a_loop_that_was_held_calls_nobody_away(redis: RunningRedis, ticks: int) -> None:
    async with opened(redis.url, PATIENCE_S) as limits:
        task = asyncio.create_task(limits.take(KEY, 0))
        for _ in range(ticks):
            await asyncio.sleep(0)
        sleep(10 * PATIENCE_S)  # noqa: ASYNC251 - it holds the loop, on purpose
        assert (await task).levels is None
        assert limits.is_shared


async def test_what_rests_leaves_the_server(shared: RedisLimits, asked: Redis) -> None:
    await shared.take(Caller("key_fast", "f", requests_per_minute=60_000), 0)
    assert 0 < asked.pttl("understudy:limits:key_fast") <= 1001


async def test_no_request_waits_for_a_server_that_is_away_and_all_are_counted_here(tmp_path: Path) -> None:
    slow = Caller("key_slow", "s", requests_per_minute=36)
    with running_redis(tmp_path) as redis:
        replica = opened(redis.url)
        async with replica as limits:
            assert [await let_in(limits, slow) for _ in range(4)] == [True] * 4
            redis.stop()
            # On from where it was: two of six are left, and what drained meanwhile.
            assert 2 <= sum([await let_in(limits, slow) for _ in range(20)]) <= 4
            assert not limits.is_shared
            assert sum(child.value for child in [replica.metrics.unshared.labels()]) == 20
            redis.start()
            await until(lambda: limits.is_shared)
            assert await let_in(limits, slow)


async def test_a_server_that_hangs_holds_a_request_for_its_patience_and_those_after_it_not_at_all(
    tmp_path: Path,
) -> None:
    with running_redis(tmp_path) as redis:
        async with opened(redis.url, PATIENCE_S) as limits:
            await limits.take(KEY, 0)
            assert redis.process is not None
            redis.process.send_signal(19)
            try:
                began = monotonic()
                await limits.take(KEY, 0)
                first_s = monotonic() - began
                for _ in range(5):
                    await limits.take(KEY, 0)
                rest_s = monotonic() - began - first_s
            finally:
                redis.process.send_signal(18)
            assert first_s < 10 * PATIENCE_S
            assert rest_s < PATIENCE_S
            await until(lambda: limits.is_shared)


async def test_a_server_that_takes_no_writes_is_not_shared(
    shared: RedisLimits, asked: Redis, redis: RunningRedis
) -> None:
    asked.config_set("min-replicas-to-write", 1)
    try:
        assert await let_in(shared, KEY)
        assert not shared.is_shared
        async with opened(redis.url) as late:
            assert not late.is_shared
            assert await let_in(late, KEY)
    finally:
        asked.config_set("min-replicas-to-write", 0)


async def test_many_at_once_are_counted_over_few_connections(shared: RedisLimits, asked: Redis) -> None:
    many = Caller("key_many", "m", requests_per_minute=60_000)
    assert all(await asyncio.gather(*(let_in(shared, many) for _ in range(200))))
    assert len(asked.client_list()) <= 3


async def test_nothing_that_is_said_of_a_server_holds_its_address_or_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_redis(tmp_path) as redis:
        wrong = redis.url.replace(PASSWORD, "a-wrong-word-7")
        async with opened(wrong) as limits:
            assert not limits.is_shared
            assert await let_in(limits, KEY)
        redis.stop()
        async with opened(redis.url):
            pass
    said = "".join(capsys.readouterr())
    assert "rate_limits_not_shared" in said
    for secret in (PASSWORD, "a-wrong-word-7", str(redis.port)):
        assert secret not in said


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every command with one number, where six are asked for."""
    while (head := await reader.readline()).startswith(b"*"):
        for _ in range(int(head[1:])):
            size = await reader.readline()
            await reader.readexactly(int(size[1:]) + 2)
        writer.write(b"*1\r\n:1\r\n")
    writer.close()


async def test_a_server_that_answers_nonsense_keeps_nobody_waiting() -> None:
    async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}") as limits:
            assert limits.is_shared, "it seems to be one"
            async with asyncio.timeout(5):
                assert await let_in(limits, KEY)
            assert not limits.is_shared


async def test_who_asks_after_the_end_is_counted_here(redis: RunningRedis) -> None:
    async with opened(redis.url) as limits:
        pass
    async with asyncio.timeout(5):
        assert await let_in(limits, KEY)
