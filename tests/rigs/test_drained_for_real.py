"""The drain and a real server that is stopped; adoption and real processes, one of which is killed at it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from gateway_server import ROOT
from ledger_bench import a_dead_journal, a_journal, until, write
from postgres_server import running_postgres
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.ledger.delivery import Delivery
from gateway.ledger.drain import Drain
from gateway.ledger.refused import RefusedRows
from gateway.store.database import Database
from gateway.store.migrate import migrate
from gateway.store.usage import UsageStore
from tests.store.rows import an_entry, entries

pytestmark = pytest.mark.rig


async def test_a_server_that_is_stopped_and_started_gets_every_row_once(tmp_path: Path) -> None:
    root = tmp_path / "journals"
    with running_postgres() as server:
        url = await asyncio.to_thread(server.fresh_database)
        await asyncio.to_thread(migrate, url)
        database = await Database.open(url)
        store, journal = UsageStore(database), a_journal(root)
        delivery = Delivery(lambda: store, RefusedRows(root))
        drain = Drain(journal, delivery, SystemClock())
        drain.start()
        rows = entries(700)
        write(journal, rows[:100])
        await until(lambda: drain.queued == 0)
        await asyncio.to_thread(server.stop)
        write(journal, rows[100:])
        with capture_logs() as logged:
            await until(lambda: logged)
        assert logged[0]["event"] == "ledger_database_unavailable"
        await asyncio.to_thread(server.start)
        await until(lambda: drain.queued == 0)
        assert await drain.close(30)
        stored = await store.attempts(limit=1_000)
        await database.close()
    assert [row["request_id"] for row in reversed(stored)] == [row.request_id for row in rows]
    assert delivery.written == 700


async def test_two_processes_one_of_which_is_killed_bring_in_every_row_once(tmp_path: Path) -> None:
    root = tmp_path / "journals"
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    await asyncio.to_thread(migrate, url)
    rows, begun = entries(1_200), [an_entry(request_id="begun")]
    dead = a_dead_journal(root, rows, begun, database=url)
    command = [sys.executable, str(Path(__file__).parent / "adopting_process.py"), str(root), url]
    assert await ended(*command, "forget_journal") == 9, "killed where everything is in, and nothing is removed"
    assert dead.exists()
    assert sorted(await asyncio.gather(ended(*command), ended(*command))) == [0, 0]
    assert not dead.exists()
    database = await Database.open(url)
    usage = UsageStore(database)
    stored = await usage.attempts(limit=10_000)
    known = await usage.journals_known()
    await database.close()
    assert sorted(row["attempt_id"] for row in stored) == sorted(row.attempt_id for row in [*rows, *begun])
    assert known == []


async def ended(*command: str) -> int:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(*command, env=environ)
    async with asyncio.timeout(30):
        return await process.wait()
