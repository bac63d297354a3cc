"""How many rows a second a database takes: from several writers at once, and from a journal that a dead process left.

Writers are processes, as replicas are, and their rows are of the same hours, so that they share the roll-ups' rows and
lock. What PostgreSQL's backends waited for meanwhile is sampled: it names what the throughput ends at.
"""

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from sqlalchemy import text

from benchmarks.ledger_databases import Store, opened
from benchmarks.ledger_rows import rows
from benchmarks.measure import environment, free_port
from benchmarks.process import Failed, Server
from gateway.clock import SystemClock
from gateway.config.routes_ledger import Ledger
from gateway.ledger.delivery import BATCH_ROWS, Delivery
from gateway.ledger.drain import Drain
from gateway.ledger.journal import Intent, Journal
from gateway.ledger.refused import RefusedRows
from gateway.store.database import Database, to_async_url, where
from gateway.store.usage import Checkpoint, UsageStore

ROOT: Final = Path(__file__).resolve().parent.parent
SAMPLE_S: Final = 0.02
READY_WITHIN_S: Final = 60.0
DRAINED_WITHIN_S: Final = 600.0


def measure(store: Store, writers: int, each: int, *, journal: bool = False) -> dict[str, Any]:
    """Have so many writers bring ``each`` rows, straight or through journals of their own."""
    context = multiprocessing.get_context("spawn")
    ready, results, finished = context.Barrier(writers + 1), context.Queue(), context.Event()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        processes = [
            context.Process(
                target=_writer, args=(ready, results, finished, store.url, number, each, f"{scratch}/{number}", journal)
            )
            for number in range(writers)
        ]
        for process in processes:
            process.start()
        try:
            ready.wait(READY_WITHIN_S)
            began, cpu_s = time.perf_counter(), store.cpu_s()
            spent, waits = asyncio.run(_watched(store, writers, results))
            seconds = time.perf_counter() - began
            server_s = store.cpu_s() - cpu_s
        finally:
            finished.set()
            for process in processes:
                process.join(READY_WITHIN_S)
    total = writers * each
    return {
        "database": store.name,
        "writers": writers,
        "through_journal": journal,
        "rows_per_s": round(total / seconds),
        "our_cpu_us_per_row": round(spent / total * 1e6, 1),
        "server_cpu_us_per_row": round(server_s / total * 1e6, 1),
        "cores_busy": round((spent + server_s) / seconds, 2),
        "backends_seen": {name: round(seen / waits.total(), 2) for name, seen in waits.most_common(6)},
    }


async def _watched(store: Store, writers: int, results: Any) -> tuple[float, Counter[str]]:
    """Wait for the writers; return their processor time, and what PostgreSQL's backends were seen at."""
    spent: list[float] = []
    seen: Counter[str] = Counter()
    watching = text(
        "SELECT state, wait_event_type, wait_event FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    database = await opened(store.url)
    try:
        async with database.engine.connect() as connection:
            free = await connection.execution_options(isolation_level="AUTOCOMMIT")
            deadline = time.perf_counter() + DRAINED_WITHIN_S
            while len(spent) < writers:
                if time.perf_counter() > deadline:
                    raise Failed("the writers did not come to an end")
                await asyncio.sleep(SAMPLE_S)
                if store.name == "postgresql":
                    for state, kind, event in await free.execute(watching):
                        seen[_named(state, kind, event)] += 1
                while not results.empty():
                    result = results.get()
                    if isinstance(result, str):
                        raise Failed(result)
                    spent.append(result)
    finally:
        await database.close()
    return sum(spent), seen


def _named(state: str, kind: str | None, event: str | None) -> str:
    """Say what a backend was seen at."""
    if kind == "Client":
        return "waits for its writer, in a transaction" if state.startswith("idle in") else "waits for its writer"
    return "runs" if kind is None else f"{kind}: {event}"


def _writer(
    ready: Barrier, results: Any, finished: Any, url: str, number: int, each: int, root: str, journal: bool
) -> None:
    """Be one replica's drain. Puts its processor time, or a text that says what went wrong."""
    work = _through_journal if journal else _straight
    try:
        results.put(asyncio.run(work(ready, url, number, each, Path(root))))
    except Exception as error:
        results.put(f"writer {number}: {type(error).__name__}: {error}")
    # A backend that is gone would take its processor time with it.
    finished.wait(READY_WITHIN_S)


async def _straight(ready: Barrier, url: str, number: int, each: int, _: Path) -> float:
    written, name = rows(each, seed=number), f"writer-{number}"
    batches = [written[start : start + BATCH_ROWS] for start in range(0, each, BATCH_ROWS)]
    database = await Database.open(url)
    store = UsageStore(database)
    await asyncio.to_thread(ready.wait, READY_WITHIN_S)
    began = time.process_time()
    new = 0
    for offset, batch in enumerate(batches):
        new += await store.insert_attempts(batch, Checkpoint(name, 1, offset))
    spent = time.process_time() - began
    if new != each:
        raise Failed(f"{each} rows were written, and {new} of them were new")
    await database.close()
    return spent


async def _through_journal(ready: Barrier, url: str, number: int, each: int, root: Path) -> float:
    database = await Database.open(url)
    store = UsageStore(database)
    journal = Journal.open(root, database=url, clock=SystemClock(), ledger=Ledger(journal_mib=4096))
    for row in rows(each, seed=number):
        journal.intent(Intent(row, None))
        journal.settle(row)
    delivery = Delivery(lambda: store, RefusedRows(root))
    drain = Drain(journal, delivery, SystemClock())
    await asyncio.to_thread(ready.wait, READY_WITHIN_S)
    began = time.process_time()
    drain.start()
    while drain.queued:  # noqa: ASYNC110 - the drain tells nobody
        await asyncio.sleep(0.005)
    spent = time.process_time() - began
    if not await drain.close(READY_WITHIN_S) or delivery.written != each:
        raise Failed(f"{each} rows were written, and {delivery.written} of them were new")
    await database.close()
    return spent


def opening(store: Store, records: int) -> dict[str, Any]:
    """Start a gateway on a dead process's journal: how long until it is ready, and until its rows are there."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        asyncio.run(_leave_journal(folder / "journals", where(to_async_url(store.url)), records))
        (folder / "routes.yaml").write_text(
            "version: 1\nproviders:\n  nobody: {kind: openai-compatible, base_url: 'http://127.0.0.1:9/v1'}\n"
            "routes:\n  bench: {provider: nobody, primary: bench}\n"
        )
        port = free_port()
        command = (sys.executable, "-m", "gateway", "serve", "--routes", "routes.yaml", "--port", str(port))
        environ = {
            **environment(folder), "PYTHONPATH": str(ROOT), "GATEWAY_DATABASE_URL": store.url,
            "GATEWAY_JOURNAL_DIR": str(folder / "journals"),
        }  # fmt: skip
        core = max(os.sched_getaffinity(0))
        with Server(command, core=core, env=environ, cwd=folder, log=folder / "log") as server:
            ready_s = _until(server, lambda: _is_ready(port))
            before_s = server.cpu_s()
            drained_s = _until(server, lambda: len([*(folder / "journals").glob("*/lock")]) == 1)
            spent_s = server.cpu_s() - before_s
    return {
        "database": store.name,
        "rows": records,
        "ready_s": round(ready_s, 2),
        "drained_s": round(drained_s, 2),
        "rows_per_s": round(records / max(0.01, drained_s - ready_s)),
        "cpu_us_per_row": round(spent_s / records * 1e6, 1),
    }


async def _leave_journal(root: Path, database: str, records: int) -> None:
    """Write what a killed process leaves: intents and rows, its directory, and nobody who holds its lock."""
    journal = Journal.open(root, database=database, clock=SystemClock(), ledger=Ledger(journal_mib=4096))
    for number, row in enumerate(rows(records, seed=99)):
        journal.intent(Intent(row, None))
        journal.settle(row)
        if number % 500 == 0:
            await asyncio.sleep(0)
    journal.close(empty=False)


def _until(server: Server, is_so: Callable[[], bool]) -> float:
    """Return the seconds from the server's start until it is so. Raises Failed."""
    while not is_so():
        server.must_run()
        if time.perf_counter() - server.started > DRAINED_WITHIN_S:
            raise Failed(f"it took too long: {server.last_words()}")
        time.sleep(0.02)
    return time.perf_counter() - server.started


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False
