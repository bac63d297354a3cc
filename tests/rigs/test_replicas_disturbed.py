"""Replicas that sleep, start again, or lose their database: nobody fails, nothing is told twice, all catch up."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from gateway_server import RunningGateway, running_gateway
from postgres_server import RunningPostgres, running_postgres
from replica_rig import (
    CONVERGED_S,
    SOAK,
    Answer,
    ask,
    bill,
    dead_calls,
    events,
    http_client,
    ledger_ids,
    opened,
    quick_catalogue,
    running_replicas,
    shared,
    traffic,
    until,
    until_all_serve,
    write_routes,
)
from sandbox_server import RunningSandbox, running_sandbox

from gateway.policy.planner import Command
from gateway.reasons import Availability, EventKind
from gateway.sandbox.catalogue import default_catalogue

pytestmark = pytest.mark.rig

MODEL = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
OTHER = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
KEY = ("first", MODEL)
ASLEEP_S = 65.0 if SOAK else 8.0
AWAY_S = 60.0 if SOAK else 4.0
HELD_S = 3.0


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=quick_catalogue(default_catalogue)) as running:
        yield running


@pytest.fixture
def own_postgres() -> Iterator[RunningPostgres]:
    """A server that a story may stop."""
    with running_postgres() as server:
        yield server


async def test_a_replica_that_slept_writes_nothing_stale(
    sandbox: RunningSandbox, postgres: RunningPostgres, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(postgres.migrated_database)
    # A provider without a list of models: a verification takes three calls, a second apart.
    base_url = f"{sandbox.url}/serving-endpoints"
    routes = write_routes(tmp_path, base_url, {"reply": MODEL}, kind="databricks")
    with running_replicas(2, routes, tmp_path, url) as gateways:
        sleeper, awake = gateways
        async with http_client() as client, opened(url) as store:
            assert [(await ask(client, each, "reply")).served_by for each in gateways] == ["primary"] * 2
            sandbox.sandbox.provider.retire(MODEL, "databricks")
            assert (await ask(client, sleeper, "reply")).served_by == "fallback"
            await until(lambda: dead_calls(sandbox, MODEL) >= 3, "the verification is under way")
            sleeper.process.send_signal(signal.SIGSTOP)
            try:
                slept_at = time.monotonic()
                assert await store.move_target(KEY, Availability.GONE, version=0, now=datetime.now(UTC))
                await until_all_serve(client, [awake], ["reply"], "fallback", CONVERGED_S)
                await until(lambda: events(url, EventKind.CUTOVER), "the cutover is an event")
                assert await store.move_target(KEY, Availability.AVAILABLE, version=1, now=datetime.now(UTC))
                await until_all_serve(client, [awake], ["reply"], "primary", CONVERGED_S)
                await asyncio.sleep(ASLEEP_S - (time.monotonic() - slept_at))
                before = await events(url, *EventKind)
            finally:
                sleeper.process.send_signal(signal.SIGCONT)
            woke_at = time.monotonic()
            await until(lambda: found(sleeper, Availability.GONE), "the sleeper ends its verification")
            sandbox.sandbox.provider.restore(MODEL)
            [converged] = await until_all_serve(client, [sleeper], ["reply"], "primary", CONVERGED_S)
            print(f"asleep for {woke_at - slept_at:.0f} s: converged {converged - woke_at:.2f} s after waking")
            assert (await ask(client, sleeper, "reply")).served_by == "primary"
            state = (await store.read(datetime.now(UTC))).targets[KEY]
            assert (state.availability, state.version) == (Availability.AVAILABLE, 2)
            assert await events(url, *EventKind) == before
            assert logged(sleeper, "serving")[0]["instance"] not in {event.by for event in before}


async def test_a_database_that_is_away_costs_no_request_no_row_and_no_second_event(
    sandbox: RunningSandbox, own_postgres: RunningPostgres, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(own_postgres.migrated_database)
    routes = write_routes(tmp_path, sandbox.base_url, {"reply": MODEL})
    with running_replicas(3, routes, tmp_path, url) as gateways:
        async with http_client() as client:
            async with traffic(client, gateways, "reply") as seen:
                await until(lambda: len(seen.answers) > 30, "traffic runs")
                await asyncio.to_thread(own_postgres.stop)
                sandbox.sandbox.provider.retire(MODEL)
                retired_at = time.monotonic()
                alone = await until_all_serve(client, gateways, ["reply"], "fallback", CONVERGED_S)
                await asyncio.sleep(AWAY_S)
                await asyncio.to_thread(own_postgres.start)
                started_at = time.monotonic()
                await until(lambda: events(url, EventKind.CUTOVER), "the cutover is an event")
                agreed_at = time.monotonic()
                # The others look at it a few times.
                await asyncio.sleep(3)
                answered = len(seen.answers)
            print(f"database away: each of three moved on its own after {max(alone) - retired_at:.2f} s at most")
            print(f"database away: {answered} requests, agreed {agreed_at - started_at:.2f} s after it was back")
            assert seen.failures == []
            assert agreed_at - started_at < CONVERGED_S
            await until_all_serve(client, gateways, ["reply"], "fallback", 1)
        [event] = await events(url, EventKind.CUTOVER)
        assert event.model == MODEL
        assert (await shared(url)).targets[KEY].version == 1

        async def every_row_is_written() -> bool:
            return await ledger_ids(url) == {str(row.attempt_id).replace("-", "") for row in bill(sandbox)}

        took_s = await until(every_row_is_written, "every attempt has its row", 30)
        print(f"database away: {len(bill(sandbox))} rows, all written {took_s + 3:.1f} s after it was back")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_gateway_restarted_after_a_death_makes_no_dead_call(
    kind: str, sandbox: RunningSandbox, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/ledger.db"
    if kind == "postgresql":
        url = await asyncio.to_thread(request.getfixturevalue("postgres").migrated_database)
    routes = write_routes(tmp_path, sandbox.base_url, {"reply": MODEL})
    async with http_client() as client:
        with running_gateway(routes, tmp_path, database_url=url) as gateway:
            assert (await ask(client, gateway, "reply")).served_by == "primary"
            sandbox.sandbox.provider.retire(MODEL)
            assert (await ask(client, gateway, "reply")).served_by == "fallback"

            async def is_agreed() -> bool:
                state = (await shared(url)).targets.get(KEY)
                return state is not None and state.availability is Availability.GONE

            await until(is_agreed, "the death is agreed on")
        before = dead_calls(sandbox, MODEL)
        with running_gateway(routes, tmp_path, database_url=url, wait=False) as gateway:
            answers = await asyncio.gather(*(ask_as_soon_as_it_listens(client, gateway) for _ in range(50)))
            assert {(answer.status, answer.served_by, answer.reason) for answer in answers} == {
                (200, "fallback", "gone")
            }
            assert dead_calls(sandbox, MODEL) == before


async def test_a_gateway_that_starts_without_its_database_serves_and_follows_later(
    sandbox: RunningSandbox, own_postgres: RunningPostgres, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(own_postgres.migrated_database)
    routes = write_routes(tmp_path, sandbox.base_url, {"reply": MODEL, "held": OTHER})
    async with opened(url) as store:
        await store.move_target(KEY, Availability.GONE, version=0, now=datetime.now(UTC))
        await store.command("held", Command("luna", "a rehearsal", "ana", datetime.now(UTC)))
    sandbox.sandbox.provider.retire(MODEL)
    await asyncio.to_thread(own_postgres.stop)
    with running_gateway(routes, tmp_path, database_url=url, wait=False) as gateway:
        async with http_client() as client:
            await until(lambda: listens(client, gateway), "it listens", 30)
            asked_at = time.monotonic()
            first = await ask(client, gateway, "reply")
            held_s = first.at - asked_at
            assert (first.status, first.served_by) == (200, "fallback")
            assert held_s < HELD_S + 1
            assert (await ask(client, gateway, "held")).served_by == "primary"
            ready = await client.get(f"{gateway.url}/readyz")
            assert (ready.status_code, "ledger" in ready.text) == (503, True)
            await asyncio.to_thread(own_postgres.start)
            started_at = time.monotonic()
            # It tries again at growing pauses, ten seconds at most.
            [followed] = await until_all_serve(client, [gateway], ["held"], "fallback", 10 + CONVERGED_S)
            print(f"started without its database: first answer after {held_s:.2f} s")
            print(f"started without its database: follows {followed - started_at:.2f} s after it is there")
            assert (await ask(client, gateway, "held")).reason == "commanded"
            await until_all_serve(client, [gateway], ["reply"], "fallback", 1)


async def test_a_model_that_flaps_moves_its_route_once(
    sandbox: RunningSandbox, postgres: RunningPostgres, tmp_path: Path
) -> None:
    """The real thing for a moment; hours of it are a story with a clock of its own."""
    url = await asyncio.to_thread(postgres.migrated_database)
    routes = write_routes(tmp_path, sandbox.base_url, {"reply": MODEL})
    with running_replicas(2, routes, tmp_path, url) as gateways:
        async with http_client() as client, traffic(client, gateways, "reply") as seen:
            await until(lambda: len(seen.answers) > 20, "traffic runs")
            sandbox.sandbox.provider.retire(MODEL)
            # Known to be gone before it is back: a slow machine might look only then, and find it there.
            await until(lambda: all(answers_because_gone(seen.of(number)) for number in range(2)), "it is gone")
            for _ in range(3):
                sandbox.sandbox.provider.restore(MODEL)
                await asyncio.sleep(2)
                sandbox.sandbox.provider.retire(MODEL)
                await asyncio.sleep(2)
        assert seen.failures == []
        for number in range(2):
            served_by = [answer.served_by for answer in seen.of(number)]
            assert sum(before != after for before, after in pairwise(served_by)) == 1
    assert [event.kind for event in await events(url, EventKind.CUTOVER, EventKind.RETURN)] == [EventKind.CUTOVER]


async def ask_as_soon_as_it_listens(client: httpx.AsyncClient, gateway: RunningGateway) -> Answer:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = await ask(client, gateway, "reply")
        if answer.status:
            return answer
        await asyncio.sleep(0.005)
    raise AssertionError(f"{gateway.url} does not listen")


async def listens(client: httpx.AsyncClient, gateway: RunningGateway) -> bool:
    try:
        return (await client.get(f"{gateway.url}/healthz")).status_code == 200
    except httpx.TransportError:
        return False


def logged(gateway: RunningGateway, event: str) -> list[dict[str, str]]:
    """Return what a gateway logged of one kind."""
    lines = [line for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line.get("event") == event]


def answers_because_gone(answers: Sequence[Answer]) -> bool:
    return bool(answers) and answers[-1].reason == "gone"


def found(gateway: RunningGateway, availability: Availability) -> bool:
    return any(line["found"] == availability for line in logged(gateway, "target_verified"))
