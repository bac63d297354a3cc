"""A new version takes over under load, from a canary to everybody, and is rolled back: no caller notices anything.

Two gateways on one database follow within two seconds, and provider's bill and ledger agree to the row all the while.
"""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from bill_checks import check, read_ledger
from example_promotions import a_canary
from gateway_server import RunningGateway
from postgres_server import RunningPostgres
from replica_rig import bill, quick_catalogue, running_replicas, until
from sandbox_server import running_sandbox

from gateway.policy.promotion import Ending, Promotion, PromotionState
from gateway.sandbox.catalogue import Model, default_catalogue, more_fine_tunes
from gateway.store.database import Database
from gateway.store.migrate import migrate
from gateway.store.promotions import PromotionStore

pytestmark = pytest.mark.rig

FOLLOWED_S = 2.0
FOLLOWED_UNDER_LOAD_S = 20.0
"""What a busy machine needs; it is no promise."""
PER_SECOND = 100
STREAMS = 20
PHASE_S = 6.0
LEAST_ANSWERS = 250
Phase = tuple[float, float]
"""When it began and ended."""
BASE = "gpt-4o-mini-2024-07-18"
PRICE = {"input_usd_per_1m": 0.30, "cached_input_usd_per_1m": 0.15, "output_usd_per_1m": 1.20, "source": "the sandbox"}


def http_client() -> httpx.AsyncClient:
    # It keeps its connections: on a busy machine it would drop some that it has just given to a request.
    limits = httpx.Limits(max_connections=400, max_keepalive_connections=400, keepalive_expiry=60)
    return httpx.AsyncClient(trust_env=False, verify=False, timeout=60, limits=limits)


def catalogue(started: datetime) -> tuple[Model, ...]:
    usual = default_catalogue(started)
    return (*usual, *more_fine_tunes(usual[:1], 1, started))


def versions(models: tuple[Model, ...]) -> tuple[str, str]:
    """The incumbent, and the next version of the same task."""
    first, second = (model.id for model in models if model.base == BASE)
    return first, second


def routes_of(directory: Path, base_url: str, models: tuple[str, str]) -> Path:
    path = directory / "routes.yaml"
    routes = {
        "version": 1,
        "providers": {"sandbox": {"kind": "sandbox", "base_url": base_url}},
        "defaults": {"provider": "sandbox", "owner": "support"},
        "routes": {"reply": models[0]},
        "prices": {"sandbox": dict.fromkeys(models, PRICE)},
    }
    path.write_text(json.dumps(routes))
    return path


@dataclass
class Seen:
    """What callers saw: which model answered whom, when; and what went wrong."""

    answers: list[tuple[float, float, str, str]] = field(default_factory=list)
    """When it began and ended, the conversation, the model."""
    failures: list[str] = field(default_factory=list)

    def models(self, phase: Phase) -> Counter[str]:
        """Count answers that both began and ended within a time: what takes long may be planned later than it began."""
        since, until = phase
        return Counter(model for began, ended, _, model in self.answers if since <= began and ended < until)


async def ask(client: httpx.AsyncClient, gateway: RunningGateway, user: str, seen: Seen, **body: bool) -> None:
    began = time.monotonic()
    document = {
        "model": "reply",
        "user": user,
        "messages": [{"role": "user", "content": f"I am {user}. My order has not arrived. What can I do?"}],
    }
    try:
        answer = await client.post(f"{gateway.v1}/chat/completions", json=document | body)
        whole = answer.status_code == 200 and (not body or answer.text.rstrip().endswith("data: [DONE]"))
        if not whole or '"error"' in answer.text:
            seen.failures.append(f"{answer.status_code}: {answer.text[-300:]}")
        else:
            seen.answers.append((began, time.monotonic(), user, answer.headers["x-gateway-model"]))
    except httpx.TransportError as error:
        seen.failures.append(repr(error))


async def keep_asking(
    client: httpx.AsyncClient, gateways: list[RunningGateway], seen: Seen, going: Callable[[], bool]
) -> None:
    """A hundred requests a second in turns to each replica, and twenty streams at any moment."""
    pending: set[asyncio.Task[None]] = set()

    async def stream(number: int) -> None:
        turn = number
        while going():
            await ask(client, gateways[turn % 2], f"streamer-{turn}", seen, stream=True)
            turn += STREAMS + 1

    streams = [asyncio.create_task(stream(number)) for number in range(STREAMS)]
    started, number = time.monotonic(), 0
    while going():
        task = asyncio.create_task(ask(client, gateways[number % 2], f"user-{number % 1009}", seen))
        pending.add(task)
        task.add_done_callback(pending.discard)
        number += 1
        await asyncio.sleep(max(0.0, started + number / PER_SECOND - time.monotonic()))
    await asyncio.gather(*streams, *pending)


def a_promotion(models: tuple[str, str], share: float) -> Promotion:
    names = {"model": models[1], "base": BASE, "incumbent_model": models[0], "incumbent_base": BASE}
    ours = {"route": "reply", "provider": "sandbox", "incumbent_provider": "sandbox", "by": "the rig"}
    now = datetime.now(UTC)
    return a_canary(now, **names | ours, share=share, margin=0.1, expires_at=now + timedelta(days=1))


async def grown(store: PromotionStore, promotion: Promotion, state: PromotionState, share: float) -> Promotion:
    after = await store.change(
        promotion,
        state=state,
        share=share,
        expires_at=promotion.expires_at,
        now=datetime.now(UTC),
        by="the rig",
        reason="it is good",
    )
    assert after is not None
    return after


async def a_phase(seen: Seen, followed: Callable[[], Awaitable[bool]]) -> Phase:
    """Wait until both replicas follow, then let a phase pass, with answers enough to tell shares."""
    took = await until(followed, "both replicas follow", FOLLOWED_UNDER_LOAD_S)
    began = time.monotonic()
    await asyncio.sleep(PHASE_S)
    await until(lambda: seen.models((began, math.inf)).total() >= LEAST_ANSWERS, "there are answers", 60)
    assert seen.failures == []
    print(f"followed after {took:.2f} s")
    return began, time.monotonic()


async def all_say(
    client: httpx.AsyncClient, gateways: list[RunningGateway], share: float, *, serves: bool = False
) -> bool:
    """Tell whether every replica has a canary of this share, or none, and whether a version serves."""
    pages = [(await client.get(f"{gateway.url}/metrics")).text for gateway in gateways]
    has_canary, has_version = "gateway_canary_share{", "gateway_promotion_expires_timestamp_seconds{"
    canary = f'{has_canary}route="reply"}} {share}'
    return all(
        (canary in page if share else has_canary not in page) and (has_version in page) is serves for page in pages
    )


async def test_a_version_is_tried_promoted_and_rolled_back_under_load(
    postgres: RunningPostgres, tmp_path: Path
) -> None:
    url, seen, going = postgres.fresh_database(), Seen(), True
    models = quick_catalogue(catalogue)
    first, second = named = versions(models)
    await asyncio.to_thread(migrate, url)
    with running_sandbox(catalogue=models) as sandbox:
        routes = routes_of(tmp_path, sandbox.base_url, named)
        with running_replicas(2, routes, tmp_path, url) as gateways:
            database = await Database.open(url)
            store = PromotionStore(database)
            async with http_client() as client:
                load = asyncio.create_task(keep_asking(client, gateways, seen, lambda: going))
                before = await a_phase(seen, lambda: all_say(client, gateways, 0.0))
                assert set(seen.models(before)) == {first}

                promotion = a_promotion(named, 0.05)
                assert await store.begin(promotion)
                few = await a_phase(seen, lambda: all_say(client, gateways, 0.05))
                promotion = await grown(store, promotion, PromotionState.CANARY, 0.3)
                more = await a_phase(seen, lambda: all_say(client, gateways, 0.3))
                promotion = await grown(store, promotion, PromotionState.SERVING, 1.0)
                all_of_it = await a_phase(seen, lambda: all_say(client, gateways, 0.0, serves=True))
                assert await store.end(promotion, Ending.ROLLED_BACK, datetime.now(UTC))
                after = await a_phase(seen, lambda: all_say(client, gateways, 0.0))
                going = False
                await load
            await database.close()
        rows, billed = await read_ledger(url), bill(sandbox)

    assert seen.failures == []
    phases = {
        "5 %": seen.models(few),
        "30 %": seen.models(more),
        "all": seen.models(all_of_it),
        "rolled back": seen.models(after),
    }
    shares = {name: found[second] / found.total() for name, found in phases.items()}
    agreed = check(billed, rows, [])
    print(f"{len(seen.answers)} answers, 0 failures; of the next version {shares}; {agreed}")
    assert 0.01 < shares["5 %"] < 0.12
    assert 0.2 < shares["30 %"] < 0.4
    assert (shares["all"], shares["rolled back"]) == (1.0, 0.0)
    # A conversation is with the same model on both replicas, and a rising share moves none back.
    whose = conversations(seen, few)
    assert all(len(models) == 1 for models in whose.values())
    later = conversations(seen, more)
    assert all(later.get(user, {second}) == {second} for user, models in whose.items() if models == {second})
    assert agreed.exact == len(rows.rows) == len(billed)


def conversations(seen: Seen, phase: Phase) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    since, until = phase
    for began, ended, user, model in seen.answers:
        if since <= began and ended < until:
            found.setdefault(user, set()).add(model)
    return found


async def test_replicas_follow_within_two_seconds(postgres: RunningPostgres, tmp_path: Path) -> None:
    url = postgres.fresh_database()
    models = quick_catalogue(catalogue)
    first, second = named = versions(models)
    await asyncio.to_thread(migrate, url)
    with running_sandbox(catalogue=models) as sandbox:
        routes = routes_of(tmp_path, sandbox.base_url, named)
        with running_replicas(2, routes, tmp_path, url) as gateways:
            database = await Database.open(url)
            store = PromotionStore(database)
            async with http_client() as client:

                async def answered_by(model: str) -> bool:
                    seen = Seen()
                    await asyncio.gather(*(ask(client, each, "ana", seen) for each in gateways))
                    return set(seen.models((0, math.inf))) == {model}

                promotion = replace(a_promotion(named, 1.0), state=PromotionState.SERVING)
                assert await store.begin(promotion)
                took = await until(lambda: answered_by(second), "both serve the version", FOLLOWED_S)
                assert await store.end(promotion, Ending.ROLLED_BACK, datetime.now(UTC))
                back = await until(lambda: answered_by(first), "both serve the primary again", FOLLOWED_S)
                print(f"followed after {took:.2f} s, and back after {back:.2f} s")
            await database.close()
