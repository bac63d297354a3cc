"""Two replicas behind a Service, replaced one after the other under load: no request fails, and no stream is cut."""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bill_checks import plain, read_ledger
from gateway_server import ROOT, RunningGateway, free_port, running_gateway
from postgres_server import RunningPostgres
from service_balancer import Service, get, running_service

pytestmark = pytest.mark.rig
SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
QUICK, SLOW = "gpt-4o-mini-2024-07-18", "gpt-4.1-mini-2025-04-14"
PRICES = {
    QUICK: {"input_usd_per_1m": 0.15, "cached_input_usd_per_1m": 0.075, "output_usd_per_1m": 0.60},
    SLOW: {"input_usd_per_1m": 0.40, "cached_input_usd_per_1m": 0.10, "output_usd_per_1m": 1.60},
}
PER_SECOND = 100
STREAMS = 20
TOKENS_PER_S = 12.0
LONGEST_TOKENS = 60
"""Five seconds of a stream."""
# As the chart sets them; the short form takes new connections for a shorter time.
LINGER_S, DRAIN_S = 5.0 if SOAK else 3.0, 25.0
ROLLS = 12 if SOAK else 2
ARRIVES_AFTER_S = 1.0
"""How long a cluster takes to tell every node that an endpoint is (not) ready."""
STARTED_S = 60.0
KNOWN_WITHIN_S = ARRIVES_AFTER_S
"""How soon a replica must know that it stops: before anybody else does."""


@dataclass
class Seen:
    """What callers saw."""

    plain: int = 0
    streams: int = 0
    longest_s: float = 0.0
    closed: int = 0
    """Answers after which the replica wanted a new connection."""
    held_up_s: float = 0.0
    """How long the callers themselves were held up at most: on a machine that is too busy they are what fails."""
    failures: list[str] = field(default_factory=list)


@dataclass
class Exit:
    """How one replica ended."""

    code: int
    took_s: float
    last_open_s: float
    """When a new connection was last taken, after the signal."""
    statuses: set[tuple[int, int]]
    """What readiness and liveness answered while it stopped."""


def write_routes(directory: Path, base_url: str) -> Path:
    path = directory / "routes.yaml"
    routes = {
        "version": 1,
        "providers": {"first": {"kind": "sandbox", "base_url": base_url}},
        "defaults": {"provider": "first"},
        "routes": {"reply": {"primary": QUICK}, "long": {"primary": SLOW}},
        "prices": {"first": {model: {**usd, "source": "the sandbox"} for model, usd in PRICES.items()}},
    }
    path.write_text(json.dumps(routes))
    return path


@asynccontextmanager
async def replica(routes: Path, state: Path, url: str, service: Service) -> AsyncIterator[RunningGateway]:
    """Start one more replica, and have it get traffic once it is ready."""
    environ = {"GATEWAY_LINGER_S": str(LINGER_S), "GATEWAY_DRAIN_S": str(DRAIN_S)}
    # Started and stopped in threads: callers and balancer live in this loop.
    context = running_gateway(routes, state, database_url=url, wait=False, **environ)
    gateway = await asyncio.to_thread(context.__enter__)
    try:
        port = port_of(gateway)
        service.order("add", port)
        deadline = time.monotonic() + STARTED_S
        while not service.ready.get(port):
            assert gateway.process.poll() is None, gateway.log.read_text()
            assert time.monotonic() < deadline, f"not ready within {STARTED_S:g} s:\n{gateway.log.read_text()}"
            await asyncio.sleep(0.05)
        yield gateway
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


def port_of(gateway: RunningGateway) -> int:
    return int(gateway.url.rpartition(":")[2])


async def stopped(gateway: RunningGateway, service: Service) -> Exit:
    """Take it out of the Service and, beside that, send SIGTERM, as Kubernetes does; wait for its end.

    From when it knows of its stop until nobody answers there any more, readiness and liveness are looked at.
    """
    port, began = port_of(gateway), time.monotonic()
    service.order("end", port)
    gateway.process.send_signal(signal.SIGTERM)
    while await get(port, "/readyz") == 200:
        assert time.monotonic() - began < KNOWN_WITHIN_S, "it is still ready"
        await asyncio.sleep(0.02)
    statuses, last_open_s = set(), 0.0
    while True:
        try:
            statuses.add((await get(port, "/readyz"), await get(port, "/healthz")))
        except OSError:
            break
        last_open_s = time.monotonic() - began
        await asyncio.sleep(0.1)
    code = await asyncio.to_thread(gateway.process.wait, DRAIN_S + 10)
    return Exit(code, time.monotonic() - began, last_open_s, statuses)


async def ask(client: aiohttp.ClientSession, number: int, seen: Seen) -> None:
    body = {"model": "reply", "messages": [{"role": "user", "content": f"Order {number}?"}], "max_tokens": 20}
    try:
        async with client.post("/v1/chat/completions", json=body) as answer:
            document = await answer.json()
    except aiohttp.ClientError as error:
        seen.failures.append(f"request {number}: {error!r}")
        return
    seen.plain += 1
    seen.closed += answer.headers.get("connection") == "close"
    if answer.status != 200 or not document["choices"][0]["message"]["content"]:
        seen.failures.append(f"request {number}: {answer.status} {document}")


async def stream(client: aiohttp.ClientSession, chance: random.Random, seen: Seen) -> None:
    tokens, began = chance.randint(5, LONGEST_TOKENS), time.monotonic()
    body = {
        "model": "long",
        "messages": [{"role": "user", "content": f"Tell me of order {chance.random()}"}],
        "max_tokens": tokens,
        "stream": True,
    }
    events: list[bytes] = []
    try:
        async with client.post("/v1/chat/completions", json=body) as answer:
            events += [line[6:].strip() async for line in answer.content if line.startswith(b"data: ")]
    except aiohttp.ClientError as error:
        after_s = time.monotonic() - began
        seen.failures.append(f"stream of {tokens} after {after_s:.2f} s and {len(events)} events: {error!r}")
        return
    seen.streams += 1
    seen.longest_s = max(seen.longest_s, time.monotonic() - began)
    if answer.status != 200 or events[-1:] != [b"[DONE]"] or any(b'"error"' in event for event in events):
        seen.failures.append(f"stream of {tokens}: {answer.status} {events[-2:]}")


@asynccontextmanager
async def callers(url: str) -> AsyncIterator[Seen]:
    """Keep asking, as an application would: connections are pooled, and no request is sent twice."""
    seen, going, chance = Seen(), True, random.Random(7)
    pending = set[asyncio.Task[None]]()

    async def keep_asking(client: aiohttp.ClientSession) -> None:
        began, number = time.monotonic(), 0
        while going:
            task = asyncio.create_task(ask(client, number, seen))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))

    async def look_at_the_clock() -> None:
        while going:
            due = time.monotonic() + 0.02
            await asyncio.sleep(0.02)
            seen.held_up_s = max(seen.held_up_s, time.monotonic() - due)

    async def keep_streaming(client: aiohttp.ClientSession) -> None:
        while going:
            await stream(client, chance, seen)

    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(60)) as client:
        tasks = [asyncio.create_task(keep_asking(client)), asyncio.create_task(look_at_the_clock())]
        tasks += [asyncio.create_task(keep_streaming(client)) for _ in range(STREAMS)]
        try:
            yield seen
        finally:
            going = False
            await asyncio.gather(*tasks)
            await asyncio.gather(*pending)


@asynccontextmanager
async def sandbox() -> AsyncIterator[str]:
    """Run a sandbox in a process of its own, so that a busy test does not slow it down; yield its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gateway", "sandbox", "--port", url.rpartition(":")[2]]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with aiohttp.ClientSession(url) as client:
            for model, pace in ((QUICK, None), (SLOW, TOKENS_PER_S)):
                await until_adjusted(client, model, {"first_token_ms": 5, "tokens_per_s": pace})
        yield url
    finally:
        process.terminate()
        await process.wait()


async def until_adjusted(client: aiohttp.ClientSession, model: str, body: dict[str, Any]) -> None:
    deadline = time.monotonic() + STARTED_S
    while True:
        try:
            async with client.post(f"/sandbox/models/{model}", json=body) as answer:
                assert answer.status == 200, await answer.text()
                return
        except aiohttp.ClientConnectionError:
            assert time.monotonic() < deadline, "the sandbox did not start"
            await asyncio.sleep(0.1)


async def bill_at(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(url) as client, client.get("/sandbox/bill") as answer:
        rows: list[dict[str, Any]] = (await answer.json())["rows"]
        return rows


async def rolled(directory: Path, url: str, sandbox_url: str) -> tuple[Seen, list[Exit], float, list[int]]:
    """Replace both replicas in turn, ``ROLLS`` times, under load; the last ones stop after it."""
    routes, exits, number = write_routes(directory, f"{sandbox_url}/v1"), list[Exit](), 0
    async with running_service(arrives_after_s=ARRIVES_AFTER_S) as service:

        async def start() -> tuple[Any, RunningGateway]:
            nonlocal number
            number += 1
            state = directory / f"replica-{number}"
            await asyncio.to_thread(state.mkdir)
            context = replica(routes, state, url, service)
            return context, await context.__aenter__()

        running = list(await asyncio.gather(start(), start()))
        try:
            async with callers(service.url) as seen:
                began = time.monotonic()
                await asyncio.sleep(1)
                for _ in range(2 * ROLLS):
                    context, gateway = running[0]
                    exits.append(await stopped(gateway, service))
                    running.append(await start())
                    del running[0]
                    await context.__aexit__(None, None, None)
                took_s = time.monotonic() - began
        finally:
            for context, _ in running:
                await context.__aexit__(None, None, None)
        refused = service.refused
    return seen, exits, took_s, refused


async def test_a_rollout_under_load_fails_nobody(tmp_path: Path, postgres: RunningPostgres) -> None:
    url = await asyncio.to_thread(postgres.migrated_database)
    async with sandbox() as sandbox_url:
        seen, exits, took_s, refused = await rolled(tmp_path, url, sandbox_url)
        bill = {plain(row["attempt_id"]): row for row in await bill_at(sandbox_url)}
    rows = (await read_ledger(url)).rows
    print(
        f"{len(exits)} replicas replaced in {took_s:.1f} s, under {seen.plain / took_s:.0f} requests/s and {STREAMS} "
        f"streams at a time: {seen.plain} requests and {seen.streams} streams (the longest {seen.longest_s:.1f} s), "
        f"{len(seen.failures)} failed, {len(refused)} connections refused, {seen.closed} answers closed their "
        f"connection; callers were held up for {seen.held_up_s:.2f} s at most; {len(rows)} rows, {len(bill)} billed; "
        f"exits {[(end.code, round(end.took_s, 1), round(end.last_open_s, 1)) for end in exits]}"
    )
    assert refused == [], "no connection is sent to a replica that does not take it"
    assert seen.failures == [], "\n".join(seen.failures)
    assert seen.longest_s > 3.0, "some streams are longer than a few seconds"
    assert seen.longest_s < DRAIN_S - LINGER_S, "and none is longer than the drain"
    assert seen.closed > 0, "pooled connections leave a replica that stops"
    for end in exits:
        assert end.code == 0
        assert end.statuses == {(503, 200)}, "not ready at once, and alive, for as long as it listens"
        assert end.last_open_s > LINGER_S - 1.0
        assert end.took_s < DRAIN_S + 5.0
    assert len(rows) == len({plain(row.attempt_id) for row in rows}) == len(bill)
    wrong = [row for row in rows if cost(row._asdict()) != cost(bill[plain(row.attempt_id)])]
    assert wrong == []
    assert Counter(row.outcome for row in rows) == {"ok": seen.plain + seen.streams}


def cost(row: Mapping[str, Any]) -> list[int]:
    return [row[name] for name in ("input_tokens", "cached_input_tokens", "output_tokens", "cost_nanousd")]
