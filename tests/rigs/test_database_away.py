"""The database is away, locked, read-only, or breaks off within a COMMIT: no request fails, and no row is lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from bill_checks import check, read_ledger
from commit_breaker import WAYS, proxied
from gateway_nursery import nursery
from kill_load import Seen, load
from kill_rig import SOAK, KilledGateway, chance, closed, gateways, held, metered_sandbox, sqlite_url, until
from postgres_server import RunningPostgres, running_postgres
from sandbox_server import RunningSandbox

pytestmark = pytest.mark.rig

AWAY_S = 600.0 if SOAK else 60.0
HELD_S = 30.0 if SOAK else 5.0
COMMITS = 1_000 if SOAK else 30
DEADLOCKS = 50 if SOAK else 2
SOON_S = 60.0


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with metered_sandbox() as running:
        yield running


@pytest.fixture
def own_postgres() -> Iterator[RunningPostgres]:
    """A server that a story may stop."""
    with running_postgres() as server:
        yield server


@asynccontextmanager
async def started(gateways: list[KilledGateway]) -> AsyncIterator[list[KilledGateway]]:
    await asyncio.gather(*(gateway.started() for gateway in gateways))
    yield gateways


async def in_agreement(name: str, url: str, sandbox: RunningSandbox, seen: Seen) -> None:
    found = check(sandbox.sandbox.provider.bill.rows(), await read_ledger(url), seen.calls)
    print(f"{name}: {len(seen.ended)} answers, {len(seen.failed)} failures; {found}")
    assert found.rows


async def rows_in(url: str) -> int:
    return len((await read_ledger(url)).rows)


async def test_a_database_that_is_stopped_costs_no_request_and_no_row(
    sandbox: RunningSandbox, own_postgres: RunningPostgres, memory_path: Path
) -> None:
    url = await asyncio.to_thread(own_postgres.migrated_database)
    async with nursery() as children, started(gateways(children, memory_path, sandbox, url, 2)) as pair:
        async with load(pair, chance(61), callers=8, pause_s=0.2) as seen:
            await until(lambda: len(seen.ended) > 20, "traffic runs", SOON_S)
            await asyncio.to_thread(own_postgres.stop)
            before = len(seen.calls)
            await asyncio.sleep(AWAY_S)
            during = len(seen.calls) - before
            await asyncio.to_thread(own_postgres.start)
            back_at = time.monotonic()

            async def written() -> bool:
                return await rows_in(url) > before + during / 2

            await until(written, "rows are written again", SOON_S)
            print(
                f"database away for {AWAY_S:.0f} s, {during} requests; on their way {time.monotonic() - back_at:.1f} s"
            )
        await closed(pair[0], pair[1:], sandbox)
    assert seen.failed == []
    assert seen.refused == 0
    assert during > AWAY_S
    await in_agreement("database away", url, sandbox, seen)


async def test_a_commit_that_nobody_knows_the_end_of_is_neither_lost_nor_doubled(
    sandbox: RunningSandbox, postgres: RunningPostgres, memory_path: Path
) -> None:
    url = await asyncio.to_thread(postgres.migrated_database)
    dice = chance(49)
    async with (
        proxied(url) as (proxy, through),
        nursery() as children,
        started(gateways(children, memory_path, sandbox, through, 2)) as pair,
    ):
        async with load(pair, dice, callers=8) as seen:
            for number in range(COMMITS):
                proxy.way = dice.choice(WAYS)
                await until(lambda number=number: proxy.broken > number, "a COMMIT passes", SOON_S)
        proxy.way = None
        await closed(pair[0], pair[1:], sandbox)
    assert seen.failed == []
    await in_agreement(f"{proxy.broken} commits broken off", url, sandbox, seen)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A connection that is no gateway's."""
    _, _, rest = url.partition(":@/")
    name, _, host = rest.partition("?host=")
    connection = await asyncpg.connect(user="postgres", database=name, host=host)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


COUNTED = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
    "AND wait_event IN ('tuple', 'transactionid')"
)


async def test_deadlocks_are_tried_again(sandbox: RunningSandbox, postgres: RunningPostgres, memory_path: Path) -> None:
    url = await asyncio.to_thread(postgres.migrated_database)
    async with nursery() as children, started(gateways(children, memory_path, sandbox, url, 2)) as pair:
        async with load(pair, chance(50), callers=8) as seen, connected(url) as other, connected(url) as watch:
            await until(lambda: watch.fetchval("SELECT count(*) FROM usage_hours"), "rows are written", SOON_S)
            # Whoever waits for a second is the one who is called off: never this connection.
            await other.execute("SET deadlock_timeout = '20s'")
            async with asyncio.timeout(DEADLOCKS * SOON_S):
                while await watch.fetchval(COUNTED) < DEADLOCKS:
                    # A gateway writes totals, then the checkpoint: this one has them the other way round. It may be
                    # that the gateway waits for something else just then, and nothing comes of it.
                    async with other.transaction():
                        await other.execute("SELECT * FROM journals FOR UPDATE")
                        await until(lambda: watch.fetchval(WAITING), "a gateway waits", SOON_S)
                        await other.execute("SELECT * FROM usage_hours FOR UPDATE")
                    await asyncio.sleep(0.3)
        await closed(pair[0], pair[1:], sandbox)
    assert seen.failed == []
    await in_agreement(f"{DEADLOCKS} deadlocks", url, sandbox, seen)


async def test_serialization_errors_are_tried_again(
    sandbox: RunningSandbox, postgres: RunningPostgres, memory_path: Path
) -> None:
    url = await asyncio.to_thread(postgres.migrated_database)
    async with connected(url) as other:
        name = await other.fetchval("SELECT current_database()")
        await other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        async with nursery() as children, started(gateways(children, memory_path, sandbox, url, 2)) as pair:
            async with load(pair, chance(51), callers=12) as seen:
                await until(lambda: len(seen.ended) > 200, "traffic runs", SOON_S)
            await closed(pair[0], pair[1:], sandbox)
        rolled_back = await other.fetchval("SELECT xact_rollback FROM pg_stat_database WHERE datname = $1", name)
    assert seen.failed == []
    await in_agreement(f"serializable, {rolled_back} transactions rolled back", url, sandbox, seen)


async def test_a_database_that_may_only_be_read_is_one_that_is_away(
    sandbox: RunningSandbox, postgres: RunningPostgres, memory_path: Path
) -> None:
    url = await asyncio.to_thread(postgres.migrated_database)
    name = url.partition(":@/")[2].partition("?")[0]
    url_of_another = url.replace(f"/{name}?", "/postgres?")
    async with nursery() as children, started(gateways(children, memory_path, sandbox, url, 2)) as pair:
        async with load(pair, chance(52), callers=8) as seen, connected(url_of_another) as other:

            async def thrown_out() -> None:
                await other.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)

            await until(lambda: len(seen.ended) > 20, "traffic runs", SOON_S)
            await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            await thrown_out()
            before = len(seen.ended)
            await asyncio.sleep(HELD_S)
            await until(lambda: len(seen.ended) > before + 20, "traffic goes on", SOON_S)
            await other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            await thrown_out()
        await closed(pair[0], pair[1:], sandbox)
    assert seen.failed == []
    assert any("read-only" in line["error"] for each in pair for line in each.logged("ledger_database_unavailable"))
    await in_agreement("read-only", url, sandbox, seen)


async def test_a_sqlite_file_that_somebody_holds_costs_no_request_and_no_row(
    sandbox: RunningSandbox, memory_path: Path
) -> None:
    url = sqlite_url(memory_path)
    async with nursery() as children, started(gateways(children, memory_path, sandbox, url)) as [gateway]:
        async with load([gateway], chance(45), callers=8) as seen:
            await until(lambda: len(seen.ended) > 20, "traffic runs", SOON_S)
            with held(url):
                before = len(seen.ended)
                await asyncio.sleep(HELD_S)
                assert len(seen.ended) > before + HELD_S
        await closed(gateway, [], sandbox)
    assert seen.failed == []
    await in_agreement(f"held for {HELD_S:.0f} s", url, sandbox, seen)
