"""A real gateway with something to watch: routes in every state, three weeks of traffic, and a sandbox behind it.

For people: ``python tests/watched_gateway.py --port 8090`` serves it until Ctrl-C; ``--kind empty`` and ``--kind
forty`` serve one without any history, and one with forty routes.
"""

import argparse
import asyncio
import contextlib
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from gateway_server import READY_S, RunningGateway, running_gateway
from migrated_database import migrated
from sandbox_server import RunningSandbox, running_sandbox
from watched_history import History, thinned
from watched_keys import PEPPER, keep_keys, keyed
from watched_review import keep_answers
from watched_routes import BY_NAME, catalogue, forty_yaml, fresh_yaml, routes_yaml
from watched_states import keep_evidence, keep_states, keep_two_gone

from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.config.routes import Routes
from gateway.store.database import Database
from gateway.store.usage import UsageStore

Kind = Literal["busy", "empty", "forty"]
KINDS: tuple[Kind, ...] = ("busy", "empty", "forty")
_WRITTEN = {"busy": routes_yaml, "empty": fresh_yaml, "forty": forty_yaml}
CALLERS_KEY, ADMIN_KEY = "callers-key-of-the-watched", "admin-key-of-the-watched"


@dataclass(frozen=True)
class WatchedGateway:
    """A gateway, the sandbox that it calls, and the instant from which its history was written."""

    gateway: RunningGateway
    sandbox: RunningSandbox
    now: datetime

    @property
    def url(self) -> str:
        return self.gateway.url


@contextlib.contextmanager
def watched(
    directory: Path, *, kind: Kind = "busy", keys: bool = False, actions: bool = False, port: int | None = None
) -> Iterator[WatchedGateway]:
    """Serve one from ``directory``; with ``keys`` it asks for them, with ``actions`` its pages may act as well."""
    directory.mkdir(parents=True, exist_ok=True)
    now = SystemClock().now()
    environ = {"GATEWAY_LOG_LEVEL": "warning", "GATEWAY_UI_ACTIONS": str(actions).lower()}
    if keys or actions:
        environ |= {"GATEWAY_KEY": CALLERS_KEY, "GATEWAY_ADMIN_KEY": ADMIN_KEY, "GATEWAY_KEY_PEPPER": PEPPER}
    with running_sandbox(catalogue=catalogue(now)) as sandbox:
        routes = directory / "routes.yaml"
        routes.write_text(_WRITTEN[kind](sandbox.base_url, now))
        if kind != "empty":
            url = f"sqlite+aiosqlite:///{directory / 'ledger.db'}"
            # In a thread: who drives a browser has a loop running in this one.
            with ThreadPoolExecutor(1) as beside:
                beside.submit(lambda: asyncio.run(_keep(url, routes, kind, now, keys=keys or actions))).result()
        with running_gateway(routes, directory, port=port, **environ) as gateway:
            if kind == "busy":
                _wait_for_dates(gateway.database)
            yield WatchedGateway(gateway, sandbox, now)


async def _keep(url: str, file: Path, kind: Kind, now: datetime, *, keys: bool) -> None:
    routes = load(file, environ={}).routes
    await asyncio.to_thread(migrated, url)
    database = await Database.open(url)
    try:
        if kind == "busy":
            await _keep_busy(database, routes, now, keys=keys)
        else:
            await _keep_forty(database, routes, now)
    finally:
        await database.close()


async def _keep_busy(database: Database, routes: Routes, now: datetime, *, keys: bool) -> None:
    rows = list(History(routes, now).rows())
    if keys:
        rows = keyed(rows, {name: route.owner for name, route in BY_NAME.items()})
        await keep_keys(database, now)
    await UsageStore(database).insert_attempts(rows)
    await keep_states(database, routes, now)
    await keep_evidence(database, routes, rows, now)
    await keep_answers(database, now)


async def _keep_forty(database: Database, routes: Routes, now: datetime) -> None:
    rows = History(load_busy(now), now).rows()
    await UsageStore(database).insert_attempts(list(thinned(rows, routes)))
    await keep_two_gone(database, routes, now)


def load_busy(now: datetime) -> Routes:
    """Return the fourteen routes, as they are without a sandbox."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "routes.yaml"
        file.write_text(routes_yaml("http://127.0.0.1:9/v1", now))
        return load(file, environ={}).routes


def _wait_for_dates(database: Path) -> None:
    """Wait until every provider was asked for its dates: pages are the same from then on."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("SELECT COUNT(DISTINCT provider) FROM published_dates").fetchone()
        if found == 3:
            return
        time.sleep(0.05)
    raise AssertionError(f"the providers were not asked for their dates within {READY_S} s")


def main() -> None:
    """Serve one for a person, until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--kind", choices=KINDS, default="busy")
    parser.add_argument("--keys", action="store_true", help="ask for keys")
    parser.add_argument("--actions", action="store_true", help="let the pages act; asks for keys as well")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        tempfile.TemporaryDirectory(prefix="watched-") as directory,
        watched(Path(directory), kind=given.kind, keys=given.keys, actions=given.actions, port=given.port) as running,
        contextlib.suppress(KeyboardInterrupt),
    ):
        print(f"{running.url}/ui  sandbox: {running.sandbox.url}  log: {running.gateway.log}")
        if given.keys or given.actions:
            print(f"key: {CALLERS_KEY}  admin key: {ADMIN_KEY}")
        sys.stdout.flush()
        running.gateway.process.wait()


if __name__ == "__main__":
    main()
