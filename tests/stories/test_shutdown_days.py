"""The days around 2027-01-14, seen from outside: the real gateway over HTTP, its clock on that day."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from served_gateway import ServedGateway, eventually, served

from gateway.policy.planner import Command
from gateway.store.database import Database
from gateway.store.states import StateStore

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
OTHER = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
START = datetime(2026, 11, 23, tzinfo=UTC)

Start = Callable[..., Any]


@pytest.fixture
def provider() -> Iterator[RunningSandbox]:
    """Models that stop only on command: here the dates are the package's own, of kind openai."""
    mortal = (replace(model, shutdown_date=None) for model in fast_catalogue(START))
    with running_sandbox(catalogue=mortal) as sandbox:
        yield sandbox


@pytest.fixture
async def start(provider: RunningSandbox, template: Path, tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(now: str, **route: Any) -> ServedGateway:
            defaults = {"provider": "openai", "fallbacks": ["luna"], "owner": "support"}
            routes = {
                "version": 1,
                "providers": {"openai": {"kind": "openai", "base_url": provider.base_url, "api_key_env": "KEY"}},
                "fallbacks": {"luna": {"provider": "openai", "model": "gpt-6-luna"}},
                "defaults": {**defaults, **route},
                "routes": {"forum-reply": FINE_TUNE, "invoice": OTHER},
            }
            if not route.get("fallbacks", ["luna"]):
                del routes["fallbacks"]
            at = datetime.fromisoformat(now).replace(tzinfo=UTC)
            return await stack.enter_async_context(
                served(routes, tmp_path, template, environ={"KEY": "sk-test"}, now=at)
            )

        yield start


def events(gateway: ServedGateway) -> list[tuple[str, str | None, str | None]]:
    with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT kind, route, reason FROM events ORDER BY event_id").fetchall()
    connection.close()
    return found


async def told(gateway: ServedGateway, count: int) -> list[tuple[str, str | None, str | None]]:
    """The events, once there are so many; lets the background's pauses pass."""

    def there() -> bool:
        gateway.clock.advance(1)
        return len(events(gateway)) >= count

    await eventually(there, f"{count} events")
    return events(gateway)


async def listed(gateway: ServedGateway) -> dict[str, Any]:
    rows = (await gateway.client.get("/v1/models")).json()["data"]
    return {row["id"]: row for row in rows}["forum-reply"]


@pytest.mark.parametrize(
    ("now", "notices"),
    [
        pytest.param("2026-11-23T09:00", 2, id="52 days before: the notice of 90 days, late and with the true number"),
        pytest.param("2027-01-06T00:00", 2, id="the last training day"),
        pytest.param("2027-01-13T23:55", 2, id="the last evening"),
    ],
)
async def test_until_its_date_the_primary_answers_and_says_when_it_stops(start: Start, now: str, notices: int) -> None:
    gateway = await start(now)
    answer = await gateway.chat("forum-reply")
    assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, FINE_TUNE)
    assert answer.headers["x-gateway-reason"] == "primary"
    assert answer.headers["x-gateway-primary-shutdown"] == "2027-01-14"
    assert answer.headers["deprecation"] == f"@{int(datetime(2026, 10, 14, tzinfo=UTC).timestamp())}"
    assert 'rel="successor-version"' in answer.headers["link"]
    assert "sunset" not in answer.headers
    model = await listed(gateway)
    assert (model["shutdown_date"], model["served_by"]) == ("2027-01-14", "primary")
    # One notice a base, not one a route, and nothing else happened.
    assert {kind for kind, _, _ in await told(gateway, notices)} == {"shutdown_notice"}
    assert len(events(gateway)) == notices


async def test_at_midnight_utc_every_route_moves_without_a_dead_call(start: Start, provider: RunningSandbox) -> None:
    gateway = await start("2027-01-13T23:59")
    assert (await gateway.chat("forum-reply")).headers["x-gateway-served-by"] == "primary"
    await told(gateway, 2)
    gateway.clock.advance(60)
    provider.sandbox.provider.retire(FINE_TUNE, "openai")
    answer = await gateway.chat("forum-reply")
    assert answer.headers["x-gateway-served-by"] == "fallback"
    assert answer.headers["x-gateway-reason"] == "shutdown_reached"
    assert answer.headers["x-gateway-attempts"] == "1"
    moved = [("cutover", "forum-reply", "shutdown_reached"), ("cutover", "invoice", "shutdown_reached")]
    assert sorted((await told(gateway, 4))[2:]) == moved

    async def counted() -> bool:
        return await gateway.metric("gateway_cutovers_total", reason="shutdown_reached") == 2

    await eventually(counted, "each move is counted once")
    assert (await listed(gateway))["served_by"] == "fallback"


async def test_a_gateway_started_on_the_day_never_calls_the_primary(start: Start, provider: RunningSandbox) -> None:
    gateway = await start("2027-01-14T00:00")
    answer = await gateway.chat("forum-reply")
    assert answer.headers["x-gateway-reason"] == "shutdown_reached"
    assert [row.asked for row in provider.sandbox.provider.bill.rows(0)] == ["gpt-6-luna"]
    assert [kind for kind, _, _ in await told(gateway, 2)] == ["cutover", "cutover"]


async def test_without_a_fallback_the_primary_is_called_until_it_is_gone_and_then_the_error_says_everything(
    start: Start, provider: RunningSandbox
) -> None:
    gateway = await start("2027-01-14T00:00", fallbacks=[])
    answer = await gateway.chat("forum-reply")
    assert (answer.status_code, answer.headers["x-gateway-served-by"]) == (200, "primary")
    assert answer.headers["sunset"] == "Thu, 14 Jan 2027 00:00:00 GMT"
    assert {(kind, reason) for kind, _, reason in await told(gateway, 2)} == {("refusal", "shutdown_reached")}
    provider.sandbox.provider.retire(FINE_TUNE, "openai")
    refused = await gateway.chat("forum-reply")
    assert refused.status_code == 404
    error = refused.json()["error"]
    assert error["code"] == "model_gone"
    for word in (FINE_TUNE, "2027-01-14", "gpt-6-luna"):
        assert word in error["message"]
    assert ("refusal", "forum-reply", "gone") in await told(gateway, 3)


async def test_a_date_moves_nothing_while_a_person_holds_the_route(start: Start) -> None:
    gateway = await start("2027-01-13T23:59")
    database = await Database.open(f"sqlite:///{gateway.database}")
    try:
        at = gateway.clock.now()
        await StateStore(database, "kim").command("forum-reply", Command("primary", "wait for legal", "kim", at))
    finally:
        await database.close()
    await told(gateway, 3)
    gateway.clock.advance(120)
    answer = await gateway.chat("forum-reply")
    assert (answer.headers["x-gateway-served-by"], answer.headers["x-gateway-reason"]) == ("primary", "commanded")
    assert (await gateway.chat("invoice")).headers["x-gateway-reason"] == "shutdown_reached"
    assert (await listed(gateway))["command"]["by"] == "kim"
