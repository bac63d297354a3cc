"""Keys with limits per minute, over real HTTP: what they may do, and what every answer tells them of it."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from declared_keys import PEPPER, as_, declared, text_of
from fake_provider import GONE, FakeProvider, completion, in_turn, refuses, says, streams
from redis_server import PASSWORD, running_redis
from served_gateway import Serve, ServedGateway, eventually

NAMES = {f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")}
UPSTREAM = {"x-ratelimit-limit-requests": "777", "x-ratelimit-remaining-tokens": "777", "x-request-id": "theirs"}


async def limited(serve: Serve, *, more: dict[str, Any] | None = None, **limits: int) -> ServedGateway:
    """Serve with the key ``shop`` of these limits, and the key ``free`` without any."""
    return await serve(
        more_sections={"keys": declared(shop=limits, free={})},
        key_pepper=PEPPER,
        admin_key="the-admins",
        environ={"GATEWAY_KEY_PEPPER": PEPPER},
        **(more or {}),
    )


async def ask(gateway: ServedGateway, key: str = "shop", **body: Any) -> httpx.Response:
    return await gateway.chat(headers=as_(key), **({"max_tokens": 10} | body))


def left(answer: httpx.Response, kind: str) -> int:
    return int(answer.headers[f"x-ratelimit-remaining-{kind}"])


async def test_a_key_of_sixty_a_minute_has_ten_at_once_and_then_one_a_second(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await limited(serve, requests_per_minute=60)
    began = gateway.clock.monotonic()
    answers = [await ask(gateway) for _ in range(12)]
    took = gateway.clock.monotonic() - began
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200] * 10 + [429] * 2, f"after {took:.1f} s"
    refused = answers[-1]
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert error["message"].startswith("This key may take 60 requests per minute. Try again in ")
    assert refused.headers["retry-after"] == "1"
    assert 0 < int(refused.headers["retry-after-ms"]) <= 1000
    assert left(refused, "requests") == 0
    assert len(provider.chats()) == 10
    gateway.clock.advance(1)
    assert (await ask(gateway)).status_code == 200
    assert (await ask(gateway)).status_code == 429


async def test_answers_streams_failures_and_refusals_all_say_what_is_left(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = in_turn(says(completion()), streams({"choices": []}), refuses(400, "No."))
    gateway = await limited(serve, requests_per_minute=60, tokens_per_minute=100_000)
    answers = [await ask(gateway), await ask(gateway, stream=True), await ask(gateway)]
    answers.append(await ask(gateway, max_tokens=100_000))
    assert [answer.status_code for answer in answers] == [200, 200, 400, 429]
    for answer in answers:
        assert set(answer.headers) >= NAMES
    assert [answer.headers["x-ratelimit-limit-requests"] for answer in answers] == ["60"] * 4
    assert [answer.headers["x-ratelimit-limit-tokens"] for answer in answers] == ["100000"] * 4
    assert "can never pass" in answers[-1].json()["error"]["message"]


async def test_what_the_upstream_says_of_its_own_limits_reaches_nobody(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says(completion(), headers=UPSTREAM)
    gateway = await limited(serve, requests_per_minute=60)
    unlimited, with_limit = await ask(gateway, "free"), await ask(gateway)
    assert not NAMES & set(unlimited.headers)
    assert NAMES & set(with_limit.headers) == {name for name in NAMES if name.endswith("requests")}
    assert "777" not in {*unlimited.headers.values(), *with_limit.headers.values()}
    provider.models["tuned"] = refuses(429, "Slow down.", headers=UPSTREAM)
    provider.models["base"] = refuses(429, "Slow down.", headers=UPSTREAM)
    refused = await ask(gateway, "free")
    assert refused.status_code == 429
    assert not NAMES & set(refused.headers)


async def test_tokens_that_an_answer_did_not_use_come_back(serve: Serve, provider: FakeProvider) -> None:
    # Five thousand at once; each may take some two thousand, and takes fourteen.
    gateway = await limited(serve, tokens_per_minute=10_000)
    answers = [await ask(gateway, max_tokens=1000) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert left(answers[-1], "tokens") > left(answers[0], "tokens") - 20 * 14


async def test_requests_under_way_hold_the_most_that_they_may_take(serve: Serve, provider: FakeProvider) -> None:
    release = asyncio.Event()

    async def waits(call: Any) -> None:
        await release.wait()
        await says(completion())(call)

    provider.models["tuned"] = waits
    gateway = await limited(serve, tokens_per_minute=10_000)
    under_way = asyncio.create_task(ask(gateway, max_tokens=3000))
    await eventually(lambda: provider.chats(), "the first is under way")
    refused = await ask(gateway, max_tokens=3000)
    assert refused.status_code == 429
    assert "10,000 tokens per minute" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) > 5
    release.set()
    assert (await under_way).status_code == 200
    assert (await ask(gateway, max_tokens=3000)).status_code == 200


async def test_a_request_that_fails_everywhere_costs_no_tokens(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = provider.models["base"] = GONE
    gateway = await limited(serve, tokens_per_minute=10_000)
    for _ in range(10):
        assert (await ask(gateway, max_tokens=1000)).status_code == 404


async def test_refusals_are_counted_by_limit_and_never_by_key(serve: Serve) -> None:
    gateway = await limited(serve, requests_per_minute=1, tokens_per_minute=1000)
    assert (await ask(gateway)).status_code == 200
    assert (await ask(gateway)).status_code == 429
    assert (await ask(gateway, max_tokens=1001)).status_code == 429
    page = (await gateway.client.get("/metrics", headers={"authorization": "Bearer the-admins"})).text
    lines = [line for line in page.splitlines() if line.startswith("gateway_rate_limited_total")]
    assert lines == [
        'gateway_rate_limited_total{limit="requests"} 1.0',
        'gateway_rate_limited_total{limit="tokens"} 1.0',
    ]
    assert "gateway_rate_limits_shared" not in page


async def test_openais_own_client_waits_as_long_as_it_is_told_and_then_has_its_answer(serve: Serve) -> None:
    gateway = await limited(serve, requests_per_minute=60)
    seen: list[tuple[float, httpx.Response]] = []

    async def note(answer: httpx.Response) -> None:
        seen.append((time.monotonic(), answer))

    http = httpx.AsyncClient(trust_env=False, verify=False, event_hooks={"response": [note]})
    address = f"http://127.0.0.1:{gateway.port}/v1"
    async with openai.AsyncOpenAI(api_key=text_of("shop"), base_url=address, max_retries=8, http_client=http) as client:
        while not any(answer.status_code == 429 for _, answer in seen):
            done = await client.chat.completions.create(
                model="reply", messages=[{"role": "user", "content": "Hello?"}], max_tokens=10
            )
            assert done.choices[0].message.content
    for (refused_at, refused), (again_at, _) in pairwise(seen):
        if refused.status_code == 429:
            assert again_at - refused_at >= int(refused.headers["retry-after-ms"]) / 1000


async def test_replicas_that_share_let_in_together_what_one_may_and_go_on_when_the_server_is_gone(
    serve: Serve, provider: FakeProvider, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis") as redis:
        shared = {"more": {"limits_url": redis.url}, "requests_per_minute": 6}
        one, other = await limited(serve, **shared), await limited(serve, **shared)
        answers = [await ask(gateway) for gateway in (one, other) for _ in range(3)]
        alone = await said(one, "gateway_rate_limits_unshared_total") + await said(
            other, "gateway_rate_limits_unshared_total"
        )
        # One in ten seconds; on a machine that is too busy to answer in time, what was counted alone besides.
        assert 1 <= sum(answer.status_code == 200 for answer in answers) <= 2 + alone
        redis.stop()
        one.clock.advance(30)
        answers = [await ask(one) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]
        assert await said(one, "gateway_rate_limits_shared") == 0
        redis.start()

        async def again() -> bool:
            one.clock.advance(1)
            return await said(one, "gateway_rate_limits_shared") == 1

        await eventually(again, "it is shared again")
    assert PASSWORD not in "".join(capfd.readouterr())


async def said(gateway: ServedGateway, metric: str) -> float:
    page = (await gateway.client.get("/metrics", headers={"authorization": "Bearer the-admins"})).text
    return float(next(line for line in page.splitlines() if line.startswith(metric)).split()[1])
