"""Two real gateways and a real Redis server: one limit for both, to the request; no failure when the server dies."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_server import RunningGateway, running_gateway
from redis_server import PASSWORD, RunningRedis, running_redis
from sandbox_server import fast_catalogue, running_sandbox

from gateway.clock import SystemClock
from gateway.execution.key_ring import digest_of

pytestmark = pytest.mark.rig
PEPPER = "pepper-of-the-limits-rig-that-nobody-has"
KEY = "us_limitrig_" + "k" * 43
PER_MINUTE = 600
BURST = 100
LOAD_S = 8.0
PRIMARY = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"


@dataclass
class Two:
    gateways: list[RunningGateway]
    redis: RunningRedis

    def metric(self, name: str) -> float:
        total = 0.0
        for gateway in self.gateways:
            page = httpx.get(f"{gateway.url}/metrics", headers={"authorization": "Bearer admins"}, trust_env=False).text
            total += sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))
        return total


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with ExitStack() as stack:
        sandbox = stack.enter_context(running_sandbox(catalogue=fast_catalogue(SystemClock().now())))
        (tmp_path / "redis").mkdir()
        redis = stack.enter_context(running_redis(tmp_path / "redis"))
        digest = digest_of(PEPPER.encode(), KEY.encode()).hex()
        routes = tmp_path / "routes.yaml"
        routes.write_text(
            json.dumps(
                {
                    "version": 1,
                    "providers": {"first": {"kind": "sandbox", "base_url": sandbox.base_url}},
                    "routes": {"triage": {"provider": "first", "primary": PRIMARY}},
                    "keys": {"rig": {"digest": f"hmac-sha256:{digest}", "requests_per_minute": PER_MINUTE}},
                }
            )
        )
        gateways = []
        for number in range(2):
            state = tmp_path / f"replica-{number}"
            state.mkdir()
            environ = {
                "GATEWAY_KEY_PEPPER": PEPPER,
                "GATEWAY_ADMIN_KEY": "admins",
                "GATEWAY_LIMITS_URL": redis.url,
            }
            gateways.append(stack.enter_context(running_gateway(routes, state, **environ)))
        yield Two(gateways, redis)
    for gateway in gateways:
        log = gateway.log.read_text()
        assert PASSWORD not in log
        assert f"127.0.0.1:{redis.port}" not in log


async def load(two: Two, seconds: float, callers: int = 12) -> list[tuple[float, int]]:
    """Ask both as fast as they answer; return when each request ended, and with which status."""
    seen: list[tuple[float, int]] = []
    until, turn = time.monotonic() + seconds, count()
    body: dict[str, Any] = {"model": "triage", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30, headers=headers) as client:

        async def caller() -> None:
            while time.monotonic() < until:
                gateway = two.gateways[next(turn) % 2]
                answer = await client.post(f"{gateway.v1}/chat/completions", json=body)
                seen.append((time.monotonic(), answer.status_code))

        await asyncio.gather(*(caller() for _ in range(callers)))
    return seen


async def test_two_gateways_let_in_together_what_one_may(two: Two) -> None:
    began = time.monotonic()
    seen = await load(two, LOAD_S)
    took = time.monotonic() - began
    statuses = Counter(status for _, status in seen)
    assert set(statuses) == {200, 429}, statuses
    alone = two.metric("gateway_rate_limits_unshared_total")
    # What is in the bucket, and what comes back in that time: not one more, and at most a moment's less.
    assert statuses[200] <= BURST + took * PER_MINUTE / 60 + alone
    assert statuses[200] >= BURST + (LOAD_S - 2) * PER_MINUTE / 60
    assert alone < len(seen) / 10


async def test_a_server_that_is_killed_in_the_middle_costs_no_answer(two: Two) -> None:
    work = asyncio.create_task(load(two, LOAD_S))
    await asyncio.sleep(LOAD_S / 4)
    two.redis.stop()
    await asyncio.sleep(LOAD_S / 4)
    assert await asyncio.to_thread(two.metric, "gateway_rate_limits_shared") == 0
    two.redis.start()
    statuses = Counter(status for _, status in await work)
    assert set(statuses) == {200, 429}, statuses
    deadline = time.monotonic() + 20
    while await asyncio.to_thread(two.metric, "gateway_rate_limits_shared") != 2:
        assert time.monotonic() < deadline, "both share again"
        await asyncio.sleep(0.1)
    # Each went on by itself from where it was: at most a bucket each, and each one's pace.
    assert statuses[200] <= 3 * (BURST + LOAD_S * PER_MINUTE / 60)
    for gateway in two.gateways:
        assert gateway.log.read_text().count("rate_limits_not_shared") == 1
