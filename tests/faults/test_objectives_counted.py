"""What objectives are measured by: who was meant to answer, and when a fallback was last tried."""

import sqlite3
from contextlib import closing
from pathlib import Path

from fake_provider import FakeProvider, refuses
from served_gateway import Serve, ServedGateway, counted, eventually, served

ANSWERS = "gateway_route_answers_total"
EXERCISED = "gateway_route_fallback_exercised_timestamp_seconds"


async def intended(gateway: ServedGateway) -> tuple[float, float]:
    """How many answers were by whom they were meant to be, and how many were not."""
    return (
        await gateway.metric(ANSWERS, route="reply", intended="true"),
        await gateway.metric(ANSWERS, route="reply", intended="false"),
    )


async def known(gateway: ServedGateway) -> float:
    """When a fallback last answered, once the ledger was read."""

    async def told() -> bool:
        gateway.clock.advance(1)
        return EXERCISED + "{" in (await gateway.client.get("/metrics")).text

    await eventually(told, "the ledger was read")
    return await gateway.metric(EXERCISED, route="reply")


async def test_a_fallback_that_stands_in_is_not_who_was_meant_and_has_been_tried(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    assert await known(gateway) == 0
    assert (await gateway.chat()).status_code == 200
    assert await intended(gateway) == (1, 0)
    provider.models["tuned"] = refuses(500, "broken")
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "fallback"
    assert await intended(gateway) == (1, 1)
    assert abs(await known(gateway) - gateway.clock.now().timestamp()) < 60
    await gateway.chat("reply@fallback")
    assert await intended(gateway) == (1, 1), "a caller who names the target chose it"
    await gateway.rows(4)


async def test_a_fallback_that_a_date_chose_is_meant_also_once_the_primary_is_gone(
    serve: Serve, provider: FakeProvider
) -> None:
    passed = {"first": {"tuned": {"shutdown": "2026-11-01", "source": "a mail"}}}
    gateway = await serve(lifecycle=passed)
    assert (await gateway.chat()).headers["x-gateway-reason"] == "shutdown_reached"
    provider.models["tuned"] = refuses(404, "The model `tuned` does not exist", "model_not_found")
    assert await intended(gateway) == (1, 0)
    await gateway.rows(1)


async def test_a_gateway_that_starts_knows_from_the_ledger_when_a_fallback_was_tried(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    before = await serve()
    await before.chat("reply@fallback")
    await before.rows(1)
    at = await before.metric(EXERCISED, route="reply")
    account = {"kind": "openai-compatible", "base_url": provider.base_url}
    routes = {
        "version": 1,
        "providers": {"first": account},
        "fallbacks": {"base": {"provider": "first", "model": "base"}},
        "routes": {"reply": {"provider": "first", "primary": "tuned", "fallbacks": ["base"]}},
    }
    directory = tmp_path / "again"
    directory.mkdir()
    kept = tmp_path / "kept.db"
    with closing(sqlite3.connect(before.database)) as ledger, closing(sqlite3.connect(kept)) as copy:
        ledger.backup(copy)
    async with served(routes, directory, kept, environ={}) as after:
        assert await known(after) == at > 0
        assert await after.metric("gateway_fallbacks_total", route="reply") == 0


async def test_what_a_provider_refuses_for_its_rate_is_counted(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = refuses(429, "Rate limit reached", "rate_limit_exceeded")
    gateway = await serve()
    assert (await gateway.chat()).status_code == 429
    await counted(gateway, "gateway_upstream_rate_limited_total", 1, provider="first", model="tuned")
    await gateway.rows(1)
