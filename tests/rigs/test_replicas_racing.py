"""Replicas that find the same thing at the same moment: one of them makes the change, and it is told once."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from gateway_server import ROOT
from postgres_server import RunningPostgres
from replica_rig import SOAK, events, shared, write_routes
from sqlalchemy import text

from gateway.reasons import Availability, EventKind, Reason
from gateway.store.database import Database

pytestmark = pytest.mark.rig

WORKER = Path(__file__).with_name("race_worker.py")
MODEL = "ft:gpt-4o-mini-2024-07-18:acme::A1b2C3d4"
ROUTES = tuple(f"route-{number}" for number in range(4))
ROUNDS = 1000 if SOAK else 100


class Worker:
    """One racing replica in a process of its own."""

    def __init__(self, url: str, routes: Path, instance: str) -> None:
        command = [sys.executable, str(WORKER), url, str(routes), instance]
        path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
        )

    def go(self, found: Availability) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{found.value}\n".encode())
        self.process.stdin.flush()

    def heard(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode().strip()
        assert line, f"a worker ended with {self.process.wait(10)}"
        return line

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()


@pytest.mark.parametrize("replicas", [2, 4], ids=["two", "four"])
def test_of_replicas_that_race_one_makes_each_change(replicas: int, postgres: RunningPostgres, tmp_path: Path) -> None:
    url = postgres.migrated_database()
    hook = "http://127.0.0.1:9/hook"
    routes = write_routes(tmp_path, "http://127.0.0.1:9/v1", dict.fromkeys(ROUTES, MODEL), webhook=hook)
    workers = [Worker(url, routes, f"replica-{number}") for number in range(replicas)]
    assert [worker.heard() for worker in workers] == ["ready"] * replicas
    began, lost = time.monotonic(), 0
    for number in range(1, ROUNDS + 1):
        found = Availability.GONE if number % 2 else Availability.AVAILABLE
        for worker in workers:
            worker.go(found)
        told = [worker.heard().split() for worker in workers]
        assert {(version, availability) for version, availability, _ in told} == {(str(number), found.value)}
        lost = sum(int(count) for _, _, count in told)
    took_s = time.monotonic() - began
    for worker in workers:
        worker.end()
    print(f"{replicas} replicas, {ROUNDS} rounds: {took_s:.1f} s, {lost} writes refused because another was faster")
    # Without contention nothing would have been shown.
    assert lost >= ROUNDS / 4
    asyncio.run(each_change_was_made_once(url))


async def each_change_was_made_once(url: str) -> None:
    agreed = await shared(url)
    assert [(state.availability, state.version) for state in agreed.targets.values()] == [
        (Availability.AVAILABLE, ROUNDS)
    ]
    # One version more: what stood before the first round.
    assert {route.version for route in agreed.routes.values()} == {ROUNDS + 1}
    found = await events(url, *EventKind)
    assert len(found) == ROUNDS * len(ROUTES)
    assert set(Counter((event.at, event.route) for event in found).values()) == {1}
    for route in ROUTES:
        kinds = [event.kind for event in found if event.route == route]
        assert kinds == [EventKind.CUTOVER, EventKind.RETURN] * (ROUNDS // 2)
    assert {event.reason for event in found if event.kind is EventKind.CUTOVER} == {Reason.GONE}
    database = await Database.open(url)
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM notices")) == ROUNDS
    await database.close()
