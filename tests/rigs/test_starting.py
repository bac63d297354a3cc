"""Starting: alive at once, ready only when the database is there, has this version's schema and was read."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_server import RunningGateway, running_gateway
from postgres_server import RunningPostgres
from sandbox_server import running_sandbox

from gateway.store.migrate import migrate

pytestmark = pytest.mark.rig
MODEL = "gpt-4o-mini-2024-07-18"
LISTENS_S, FOLLOWS_S = 60.0, 30.0
"""A database that is there again is tried every five seconds at most; a busy machine takes longer."""


def routes_at(base_url: str, directory: Path) -> Path:
    path = directory / "routes.yaml"
    routes = {
        "version": 1,
        "providers": {"first": {"kind": "openai-compatible", "base_url": base_url}},
        "defaults": {"provider": "first"},
        "routes": {"reply": {"primary": MODEL}},
    }
    path.write_text(json.dumps(routes))
    return path


async def first_answer(client: httpx.AsyncClient, gateway: RunningGateway) -> None:
    """Wait until it listens; liveness must be well from its first answer on."""
    deadline = time.monotonic() + LISTENS_S
    while True:
        try:
            answer = await client.get("/healthz")
        except httpx.TransportError:
            assert gateway.process.poll() is None, gateway.log.read_text()
            assert time.monotonic() < deadline, "it does not listen"
            await asyncio.sleep(0.05)
            continue
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        return


async def readiness(client: httpx.AsyncClient) -> tuple[int, list[str]]:
    answer = await client.get("/readyz")
    document: dict[str, Any] = answer.json()
    return answer.status_code, document["reasons"]


async def until_ready(client: httpx.AsyncClient) -> None:
    deadline = time.monotonic() + FOLLOWS_S
    while (found := await readiness(client))[0] != 200:
        assert time.monotonic() < deadline, f"not ready within {FOLLOWS_S:g} s: {found}"
        assert (await client.get("/healthz")).status_code == 200, "whoever waits for a database is not dead"
        await asyncio.sleep(0.1)
    assert found == (200, [])


async def test_a_replica_is_ready_once_somebody_has_migrated(tmp_path: Path, postgres: RunningPostgres) -> None:
    url = await asyncio.to_thread(postgres.fresh_database)
    with running_sandbox() as sandbox:
        routes = routes_at(sandbox.base_url, tmp_path)
        with running_gateway(routes, tmp_path, database_url=url, wait=False) as gateway:
            async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:
                await first_answer(client, gateway)
                deadline = time.monotonic() + FOLLOWS_S
                while "run 'gateway migrate'" not in str(found := await readiness(client)):
                    assert found[0] == 503, "never ready before the schema is there"
                    assert time.monotonic() < deadline, found
                    await asyncio.sleep(0.05)
                body = {"model": "reply", "messages": [{"role": "user", "content": "Hi"}]}
                answer = await client.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200, "who asks nevertheless is answered, by what is known"
                await asyncio.to_thread(migrate, url)
                await until_ready(client)


async def test_a_replica_whose_database_is_away_says_so_and_lives(tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://postgres:@/ledger?host={tmp_path}"
    with (
        running_sandbox() as sandbox,
        running_gateway(
            routes_at(sandbox.base_url, tmp_path), tmp_path, database_url=url, wait=False, GATEWAY_LINGER_S="0"
        ) as gateway,
    ):
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:
            await first_answer(client, gateway)
            until = time.monotonic() + 2
            while time.monotonic() < until:
                status, reasons = await readiness(client)
                assert status == 503
                assert [reason for reason in reasons if reason.startswith("ledger: ")] == reasons != []
                assert (await client.get("/healthz")).status_code == 200
                await asyncio.sleep(0.1)
        gateway.process.terminate()
        assert await asyncio.to_thread(gateway.process.wait, 20) == 0, "a stop that was asked for is no failure"
