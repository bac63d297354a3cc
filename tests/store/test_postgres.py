"""What only PostgreSQL does: it is stopped and started, full, migrated by hand, and lets many write at once."""

import asyncio
import random
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime

import pytest
from postgres_server import RunningPostgres, running_postgres
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.execution.attempts import LONGEST_NAME, named_model
from gateway.policy.lifecycle import Dates, Published
from gateway.reasons import Reason, Role
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.published import PublishedStore
from gateway.store.states import Shared, StateStore
from gateway.store.tables import SCHEMA_HEAD
from gateway.store.usage import UsageStore
from tests.store.rows import an_entry

pytestmark = pytest.mark.rig

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def test_a_server_that_goes_down_and_comes_up_is_away_and_nothing_else() -> None:
    """A connection meets many errors then; of none a writer may conclude that its rows are refused."""
    with running_postgres() as server:
        url = await asyncio.to_thread(server.migrated_database)
        kept = await Database.open(url)
        seen: Counter[str] = Counter()
        restarting = True

        async def use(new: bool) -> None:
            while restarting:
                try:
                    database = await Database.open(url) if new else kept
                    try:
                        await StateStore(database, "one").read(datetime.now(UTC))
                    finally:
                        if new:
                            await database.close()
                    seen["answered"] += 1
                except DatabaseUnavailable:
                    seen["away"] += 1
                # Where the socket is missing, nothing above waits for anything.
                await asyncio.sleep(0)

        users = [asyncio.create_task(use(new)) for new in (True, False, True, False)]
        for _ in range(3):
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
        restarting = False
        await asyncio.gather(*users)
        assert min(seen["answered"], seen["away"]) > 3, seen
        assert await StateStore(kept, "one").read(datetime.now(UTC)) == Shared({}, {}, {})
        await kept.close()


async def test_a_server_without_room_for_another_connection_is_away() -> None:
    with running_postgres() as server:
        await asyncio.to_thread(server.psql, "ALTER SYSTEM SET max_connections = 5")
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        url = await asyncio.to_thread(server.migrated_database)
        async with AsyncExitStack() as stack:

            async def take_six() -> None:
                for _ in range(6):
                    database = await Database.open(url)
                    stack.push_async_callback(database.close)
                    await stack.enter_async_context(database.engine.connect())

            with pytest.raises(DatabaseUnavailable, match="too many clients"):
                await take_six()


async def test_a_database_that_nobody_has_made_yet_is_away(postgres: RunningPostgres) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await Database.open(postgres.url_of("nowhere"))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_row_that_is_refused_is_no_outage(store: UsageStore) -> None:
    with pytest.raises(DBAPIError):
        await store.insert_attempts([an_entry(route="a\0b")])
    assert await store.insert_attempts([an_entry()]) == 1


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_row_whose_names_are_all_as_long_as_they_may_be_fits_every_key(store: UsageStore) -> None:
    chance = random.Random(2)

    def a_name(characters: int) -> str:
        # Four bytes each, and no two alike, so that nothing can be compressed.
        return "".join(chr(chance.randrange(0x10000, 0x10FFFF)) for _ in range(characters))

    row = an_entry(
        route=a_name(100),
        target=a_name(100),
        provider=a_name(100),
        team=a_name(200),
        model_asked=a_name(LONGEST_NAME // 4),
        model_answered=named_model(a_name(LONGEST_NAME)),
        role=Role.FALLBACK,
        reason=max(Reason, key=len),
        kind="evaluation",
        key="default",
        tags={f"{number}" * 32: a_name(16) for number in range(8)},
    )
    failed = an_entry(**{**row._asdict(), "attempt_id": an_entry().attempt_id, "model_answered": None, "kind": "live"})
    assert await store.insert_attempts([row, failed]) == 2


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_replicas_that_poll_one_provider_at_once_keep_one_answer(
    database: Database, other_database: Database
) -> None:
    stores = [PublishedStore(each) for each in (database, other_database) * 2]
    for turn in range(1, 11):
        dates = Dates(shutdown=date(2027, 1, turn), source="GET /models", certainty="planned")
        models = [Published(f"model-{number}", dates) for number in range(20)]
        await asyncio.gather(*(store.replace("openai", models, NOW) for store in stores))
        kept = await stores[0].all()
        assert {row.dates.shutdown for row in kept.values()} == {date(2027, 1, turn)}
        assert len(kept) == 20


@pytest.mark.rig
def test_processes_that_migrate_at_once_leave_one_schema(postgres: RunningPostgres) -> None:
    url = postgres.fresh_database()
    command = [sys.executable, "-m", "gateway", "migrate", "--database", url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(3)]
    told = [process.communicate(timeout=60)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    assert asyncio.run(_version(url)) == SCHEMA_HEAD


async def _version(url: str) -> str | None:
    database = await Database.open(url)
    try:
        async with database.engine.connect() as connection:
            version: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        return version
    finally:
        await database.close()
