"""The database goes away under a key with a budget: that key is told so at once, and everybody else goes on."""

import asyncio
from pathlib import Path

import httpx
import pytest
from budget_rig import ENVIRON, MODEL, books, write_budgeted
from postgres_server import running_postgres
from replica_rig import bill, quick_catalogue, running_replicas, until
from sandbox_server import running_sandbox

from gateway.sandbox.catalogue import default_catalogue

pytestmark = pytest.mark.rig

QUESTION = [{"role": "user", "content": "My order has not arrived. What can I do?"}]


async def test_budgets_are_refused_while_the_database_is_away_and_exact_when_it_is_back(tmp_path: Path) -> None:
    with running_postgres() as postgres, running_sandbox(catalogue=quick_catalogue(default_catalogue)) as sandbox:
        url = await asyncio.to_thread(postgres.migrated_database)
        routes = write_budgeted(tmp_path / "routes.yaml", sandbox.base_url, MODEL, shop={"total_usd": 5}, free={})
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client:
            with running_replicas(1, routes, tmp_path, url, **ENVIRON) as (gateway,):

                async def say(key: str) -> httpx.Response:
                    body = {"model": "reply", "messages": QUESTION, "max_tokens": 8}
                    bearer = {"authorization": f"Bearer {key}"}
                    return await client.post(f"{gateway.v1}/chat/completions", json=body, headers=bearer)

                assert (await say("shop")).status_code == (await say("free")).status_code == 200
                await asyncio.to_thread(postgres.stop)
                refused = [await say("shop") for _ in range(5)]
                assert {answer.status_code for answer in refused} == {503}
                assert {answer.json()["error"]["code"] for answer in refused} == {"budget_unverifiable"}
                assert all(answer.headers["retry-after"] == "5" for answer in refused)
                assert [(await say("free")).status_code for _ in range(5)] == [200] * 5
                await asyncio.to_thread(postgres.start)

                async def is_back() -> bool:
                    return (await say("shop")).status_code == 200

                back_s = await until(is_back, "the budget is looked at again", 10)

                async def exact() -> bool:
                    found = await books(url)
                    return not found.holds and not found.held

                await until(exact, "everything is settled")
                found = await books(url)
        billed = bill(sandbox)
    print(f"back after {back_s:.1f} s; {found}")
    assert found.spent == 2 * billed[0].cost_nanousd
    assert len(billed) == 2 + 6
