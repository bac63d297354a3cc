"""Budgets under races and deaths: by the sandbox's bill, nothing is overspent and nothing that fits is refused."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from bill_checks import Ledger, check, read_ledger
from budget_rig import ENVIRON, FALLBACK, MODEL, TUNED, books, write_budgeted
from failpoints import BUDGET_POINTS, SIDES, point_of
from gateway_nursery import nursery
from gateway_server import RunningGateway
from kill_load import load
from kill_rig import HASTE, KilledGateway, chance, closed, metered_sandbox, sqlite_url
from postgres_server import RunningPostgres
from prometheus_client.parser import text_string_to_metric_families
from replica_rig import SOAK, bill, quick_catalogue, running_replicas, until
from sandbox_server import running_sandbox

from gateway.sandbox.catalogue import default_catalogue

pytestmark = pytest.mark.rig

QUESTION = [{"role": "user", "content": "My order has not arrived. What can I do?"}]
WORKERS = 64
BUDGET_USD = 0.03 if SOAK else 0.0012
"""Of it some 140 requests can be paid, or 25 times as many."""
NANO = 1_000_000_000
KILLS = 400 if SOAK else 0
"""Beside one death on either side of each point."""
CALLERS = 8
REACHED_S = 4.0


@dataclass
class Asked:
    """What a crowd of workers got."""

    admitted: int = 0
    refused: int = 0
    others: Counter[tuple[int, str]] = field(default_factory=Counter)


async def say(client: httpx.AsyncClient, gateway: RunningGateway, key: str = "shop") -> httpx.Response:
    body = {"model": "reply", "messages": QUESTION, "max_tokens": 8}
    return await client.post(f"{gateway.v1}/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})


async def most_of_one(client: httpx.AsyncClient, gateway: RunningGateway) -> int:
    """Return what one request could cost, in nano-dollars, by the words of a refusal."""
    message = (await say(client, gateway, "poor")).json()["error"]["message"]
    return int(Decimal(message.partition("could cost up to $")[2].split()[0].rstrip(".")) * NANO)


async def exhausted(client: httpx.AsyncClient, replicas: Sequence[RunningGateway]) -> Asked:
    """Have workers ask one replica after another, until each is told that nothing is left, nor held."""
    asked = Asked()

    async def worker(number: int) -> None:
        turn = number
        while True:
            turn += 1
            answer = await say(client, replicas[turn % len(replicas)])
            if answer.status_code == 200:
                asked.admitted += 1
                continue
            error = answer.json()["error"]
            if error["code"] != "budget_exceeded":
                asked.others[answer.status_code, error["code"]] += 1
                return
            asked.refused += 1
            if "set aside for requests under way" not in error["message"]:
                return

    await asyncio.gather(*(worker(number) for number in range(WORKERS)))
    return asked


async def nothing_held(url: str) -> bool:
    found = await books(url)
    return not found.holds and not found.held


async def overruns(client: httpx.AsyncClient, replicas: Sequence[RunningGateway]) -> float:
    """Return how many requests of all replicas cost more than was set aside for them."""
    total = 0.0
    for gateway in replicas:
        page = await client.get(f"{gateway.url}/metrics", headers={"authorization": "Bearer the-admins-key"})
        families = {family.name: family for family in text_string_to_metric_families(page.text)}
        total += sum(sample.value for sample in families["gateway_budget_overruns"].samples)
        assert families["gateway_budget_holds"].samples[0].value == 0
    return total


async def database_of(kind: str, request: pytest.FixtureRequest, directory: Path) -> str:
    if kind == "sqlite":
        return sqlite_url(directory)
    postgres: RunningPostgres = request.getfixturevalue("postgres")
    return await asyncio.to_thread(postgres.migrated_database)


@pytest.mark.parametrize(
    ("kind", "count"), [("postgresql", 2), ("postgresql", 4), ("sqlite", 2)], ids=["pg-2", "pg-4", "sqlite-2"]
)
async def test_exactly_the_requests_that_fit_are_admitted(
    kind: str, count: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = await database_of(kind, request, tmp_path)
    with running_sandbox(catalogue=quick_catalogue(default_catalogue)) as sandbox:
        routes = write_budgeted(
            tmp_path / "routes.yaml",
            sandbox.base_url,
            MODEL,
            shop={"day_usd": 50, "total_usd": BUDGET_USD},
            poor={"total_usd": 0.000000001},
        )
        limits = httpx.Limits(max_connections=WORKERS)
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=60, limits=limits) as client:
            with running_replicas(count, routes, tmp_path, url, **ENVIRON) as replicas:
                most, began = await most_of_one(client, replicas[0]), time.monotonic()
                asked = await exhausted(client, replicas)
                took_s = time.monotonic() - began
                await until(lambda: nothing_held(url), "everything is settled")
                assert await overruns(client, replicas) == 0
        billed = bill(sandbox)
    cost, limit = billed[0].cost_nanousd, int(BUDGET_USD * NANO)
    found = await books(url)
    print(f"{kind}, {count} replicas: {asked}; one costs {cost} of at most {most}; {took_s:.1f} s; {found}")
    assert not asked.others
    assert {row.cost_nanousd for row in billed} == {cost}
    # Each is admitted as long as what is spent leaves room for what it could cost: neither one more nor one less.
    assert asked.admitted == len(billed) == (limit - most) // cost + 1
    assert found.spent == found.by_day == found.by_month == sum(row.cost_nanousd for row in billed) <= limit
    assert (found.held, found.holds) == (0, 0)


async def test_the_chain_of_a_retired_model_is_reserved_once(postgres: RunningPostgres, tmp_path: Path) -> None:
    url = await asyncio.to_thread(postgres.migrated_database)
    with running_sandbox(catalogue=quick_catalogue(default_catalogue)) as sandbox:
        routes = write_budgeted(
            tmp_path / "routes.yaml", sandbox.base_url, TUNED, FALLBACK, shop={"total_usd": BUDGET_USD}
        )
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=60) as client:
            with running_replicas(2, routes, tmp_path, url, **ENVIRON) as replicas:
                assert (await say(client, replicas[0])).status_code == 200
                await client.post(f"{sandbox.url}/sandbox/models/{TUNED}/retire", json={"as": "openai"})
                asked = await exhausted(client, replicas)
                await until(lambda: nothing_held(url), "everything is settled")
                assert await overruns(client, replicas) == 0
        billed = bill(sandbox)
    ledger = await read_ledger(url)
    live = [row for row in ledger.rows if row.kind == "live"]
    by_request = {row.request_id: {row.hold_id for row in live if row.request_id == row.request_id} for row in live}
    assert asked.admitted > 10
    assert any(len([row for row in live if row.request_id == one]) == 2 for one in by_request), "no chain was walked"
    for one in by_request:
        assert len({row.hold_id for row in live if row.request_id == one}) == 1
    found = await books(url)
    probes = {str(row.attempt_id) for row in ledger.rows if row.kind != "live"}
    assert found.spent == sum(row.cost_nanousd for row in billed if row.attempt_id not in probes)
    assert found.spent <= BUDGET_USD * NANO


def spent_by_rows(ledger: Ledger) -> int:
    return sum(row.cost_nanousd for row in ledger.rows if row.hold_id is not None)


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
async def test_whenever_a_gateway_is_killed_the_books_are_exact(
    kind: str, memory_path: Path, request: pytest.FixtureRequest
) -> None:
    dice, url = chance(8), await database_of(kind, request, memory_path)
    names = [f"{side} {name}" for name in BUDGET_POINTS for side in SIDES]
    reached: Counter[str] = Counter()
    with metered_sandbox() as sandbox:
        routes = write_budgeted(memory_path / "routes.yaml", sandbox.base_url, MODEL, shop={"total_usd": 500})
        journals = memory_path / "kept.journal"
        async with nursery() as children:
            pair = [
                KilledGateway(children, routes, url, journals, memory_path, number, HASTE, ENVIRON)
                for number in range(2)
            ]
            await pair[1].started()
            began = time.monotonic()
            async with load(pair, dice, callers=CALLERS, key="shop") as seen:
                for name in [*names, *dice.choices(names, k=KILLS)]:
                    await die_at(name, pair, reached, dice)
                await pair[0].started()
            await closed(pair[0], pair[1:], sandbox)
            overran = sum(len(gateway.logged("budget_overrun")) for gateway in pair)
        found, ledger = await books(url), await read_ledger(url)
        agreement = check(sandbox.sandbox.provider.bill.rows(0), ledger, seen.calls)
    print(
        f"{kind}: died at {reached} in {time.monotonic() - began:.0f} s; {len(seen.calls)} calls; {found}; {agreement}"
    )
    assert not [name for name in names if not reached[name]], "some points were never reached"
    assert (found.held, found.holds, overran) == (0, 0, 0)
    assert found.spent == spent_by_rows(ledger) > 0
    assert all(row.hold_id is not None for row in ledger.rows)
    assert len(seen.ended) > len(names)


async def die_at(name: str, pair: Sequence[KilledGateway], reached: Counter[str], dice: random.Random) -> None:
    """Start the first gateway, and have it die at a point; again, where chance had it that nothing passed there."""
    gateway, of_the_dead = pair[0], "dead journal" in name
    for most in (point_of(name).most, 1, 1):
        if of_the_dead:
            # It must find a dead journal, and the other must not be faster.
            await pair[1].killed()
            await gateway.started()
            await asyncio.sleep(0.5)
            await gateway.killed()
        child = await gateway.start(failpoint=name, count=dice.randint(1, most))
        await gateway.ready()
        try:
            await child.end(REACHED_S)
        except TimeoutError:
            await gateway.killed()
        found = gateway.reached.read_text().splitlines() if gateway.reached.exists() else []
        gateway.reached.unlink(missing_ok=True)
        if of_the_dead:
            await pair[1].started()
        if name in found:
            reached[name] += 1
            return
