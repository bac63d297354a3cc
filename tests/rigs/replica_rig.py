"""Several real gateways on one database, and what stories about them look at."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from gateway_server import RunningGateway, running_gateway
from sandbox_server import RunningSandbox
from sqlalchemy import text

from gateway.clock import SystemClock
from gateway.policy.announcements import Event
from gateway.reasons import EventKind
from gateway.sandbox.catalogue import Model
from gateway.store.database import Database
from gateway.store.states import Shared, StateStore

SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
CONVERGED_S = 5.0
LUNA = "gpt-6-luna"
MESSAGES = [{"role": "user", "content": "My order has not arrived. What can I do?"}]


def write_routes(
    directory: Path, base_url: str, primaries: Mapping[str, str], *, webhook: str | None = None, kind: str = "sandbox"
) -> Path:
    """Write a configuration: each route with its primary, and one fallback for all."""
    routes: dict[str, Any] = {
        "version": 1,
        "providers": {
            "first": {"kind": kind, "base_url": base_url, **({} if kind == "sandbox" else {"api_key_env": "RIG_KEY"})},
        },
        "fallbacks": {
            "luna": {
                "provider": "first",
                "model": LUNA,
                "parameters": {"rename": {"max_tokens": "max_completion_tokens"}},
            }
        },
        "defaults": {"provider": "first", "fallbacks": ["luna"], "owner": "support"},
        "routes": {name: {"primary": primary} for name, primary in primaries.items()},
    }
    if webhook is not None:
        routes["webhooks"] = {"ops": {"url": webhook}}
    path = directory / "routes.yaml"
    path.write_text(json.dumps(routes))
    return path


@contextmanager
def running_replicas(
    count: int, routes: Path, directory: Path, database_url: str, **environ: str
) -> Iterator[list[RunningGateway]]:
    """Run so many ``gateway serve`` on one database; they start at once, as a rollout would have it."""

    def start(number: int) -> RunningGateway:
        state = directory / f"replica-{number}"
        state.mkdir()
        told = {"RIG_KEY": "rig", **environ}
        return stack.enter_context(running_gateway(routes, state, database_url=database_url, **told))

    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        yield list(pool.map(start, range(count)))


@dataclass(frozen=True)
class Answer:
    """What one caller got; a failure has no ``served_by``."""

    at: float
    replica: int
    status: int
    served_by: str | None
    reason: str | None


@dataclass
class Traffic:
    """Requests at a steady pace to every replica, and how each was answered."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    def of(self, replica: int) -> list[Answer]:
        return sorted((answer for answer in self.answers if answer.replica == replica), key=lambda answer: answer.at)


async def ask(client: httpx.AsyncClient, gateway: RunningGateway, route: str, replica: int = 0) -> Answer:
    """Send one request, and read the whole answer."""
    try:
        answer = await client.post(f"{gateway.v1}/chat/completions", json={"model": route, "messages": MESSAGES})
    except httpx.TransportError:
        return Answer(time.monotonic(), replica, 0, None, None)
    headers = answer.headers
    return Answer(
        time.monotonic(),
        replica,
        answer.status_code,
        headers.get("x-gateway-served-by"),
        headers.get("x-gateway-reason"),
    )


@asynccontextmanager
async def traffic(
    client: httpx.AsyncClient, gateways: Sequence[RunningGateway], route: str, *, per_second: float = 10
) -> AsyncIterator[Traffic]:
    """Keep asking every one of these gateways for a route."""
    seen, going, pending = Traffic(), True, set[asyncio.Task[None]]()

    async def one(number: int, gateway: RunningGateway) -> None:
        seen.answers.append(await ask(client, gateway, route, number))

    async def keep_asking() -> None:
        while going:
            for number, gateway in enumerate(gateways):
                task = asyncio.create_task(one(number, gateway))
                pending.add(task)
                task.add_done_callback(pending.discard)
            await asyncio.sleep(1 / per_second)

    task = asyncio.create_task(keep_asking())
    try:
        yield seen
    finally:
        going = False
        await task
        await asyncio.gather(*pending)


@asynccontextmanager
async def http_client() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=400, max_keepalive_connections=100)
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=60, limits=limits) as client:
        yield client


async def serving(client: httpx.AsyncClient, gateway: RunningGateway, routes: Iterable[str]) -> dict[str, str | None]:
    """Return who serves these routes now, by the gateway's own word."""
    listed = (await client.get(f"{gateway.v1}/models")).json()["data"]
    wanted = set(routes)
    return {row["id"]: row["served_by"] for row in listed if row["id"] in wanted}


async def until_all_serve(
    client: httpx.AsyncClient, gateways: Sequence[RunningGateway], routes: Iterable[str], role: str, within_s: float
) -> list[float]:
    """Wait until every replica serves all these routes by a role; return when each did, in monotonic seconds."""
    wanted = list(routes)

    async def one(gateway: RunningGateway) -> float:
        deadline = time.monotonic() + within_s
        while True:
            now = await serving(client, gateway, wanted)
            if set(now.values()) == {role}:
                return time.monotonic()
            assert time.monotonic() < deadline, f"{gateway.url} serves {now}"
            await asyncio.sleep(0.05)

    return list(await asyncio.gather(*(one(gateway) for gateway in gateways)))


async def cutovers(client: httpx.AsyncClient, gateways: Sequence[RunningGateway], route: str) -> float:
    """Return ``gateway_cutovers_total`` of a route, summed over all replicas."""
    total = 0.0
    for gateway in gateways:
        page = (await client.get(f"{gateway.url}/metrics")).text
        for line in page.splitlines():
            if line.startswith("gateway_cutovers_total{") and f'route="{route}"' in line:
                total += float(line.rpartition(" ")[2])
    return total


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[StateStore]:
    """What the replicas agree on, as one more of them would see it."""
    database = await Database.open(url)
    try:
        yield StateStore(database, "a bystander")
    finally:
        await database.close()


async def shared(url: str) -> Shared:
    async with opened(url) as store:
        return await store.read(datetime.now(UTC))


async def events(url: str, *kinds: EventKind) -> list[Event]:
    """Return events of these kinds, the oldest first."""
    async with opened(url) as store:
        found = await store.events(limit=10_000)
    return [event for event in reversed(found) if event.kind in kinds]


async def ledger_ids(url: str) -> set[str]:
    database = await Database.open(url)
    try:
        async with database.engine.connect() as connection:
            found = (await connection.execute(text("SELECT attempt_id FROM attempts"))).scalars().all()
        return {str(attempt_id).replace("-", "") for attempt_id in found}
    finally:
        await database.close()


def bill(sandbox: RunningSandbox) -> list[Any]:
    return list(sandbox.sandbox.provider.bill.rows(0))


def dead_calls(sandbox: RunningSandbox, model: str) -> int:
    return sum(row.asked == model and row.status != 200 for row in bill(sandbox))


async def until(holds: Callable[[], Any], what: str, within_s: float = 10) -> float:
    """Wait until something holds (the call may be async); return how many seconds that took."""
    began = time.monotonic()
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return time.monotonic() - began
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(0.05)


class Inbox:
    """A receiver of webhooks: a real HTTP server that remembers every message."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.received.append((self.headers["webhook-id"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [body for _, body in self.received if body["type"] == f"understudy.{kind}"]


@contextmanager
def running_inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    thread = Thread(target=inbox._server.serve_forever, daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        inbox._server.shutdown()
        inbox._server.server_close()
        thread.join(10)


def quick_catalogue(make: Callable[[Any], Iterable[Model]]) -> tuple[Model, ...]:
    """Return models that answer at once, dated from now."""
    from dataclasses import replace

    return tuple(replace(model, first_token_ms=0.0, tokens_per_s=None) for model in make(SystemClock().now()))
