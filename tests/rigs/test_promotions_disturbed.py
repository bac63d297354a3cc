"""Promotions commanded by several people at once while routes.yaml is deployed, and while the database is away."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_server import RunningGateway
from postgres_server import RunningPostgres, running_postgres
from replica_rig import http_client, running_replicas, until
from sandbox_server import fast_catalogue, running_sandbox

from gateway.cli.promote_acts import Who, register, to_promote, to_roll_back
from gateway.cli.promote_desk import Desk
from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.errors import ConfigError
from gateway.policy.promotion import VersionStatus
from gateway.policy.promotion_rules import Act, Asked
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.promotions import PromotionStore
from gateway.store.versions import Registered, VersionStore

pytestmark = pytest.mark.rig

OLD = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
NEXT, DEPLOYED = "gpt-4.1-mini-2025-04-14", "gpt-4o-mini-2024-07-18"
PEOPLE, COMMANDS_EACH, DEPLOY_EVERY_S, SETTLED_S = 4, 5, 1.1, 25.0
WHO = Who("somebody", "the rig", unseen=True)


def routes_yaml(base_url: str, primary: str) -> str:
    return json.dumps(
        {
            "version": 1,
            "providers": {"sandbox": {"kind": "sandbox", "base_url": base_url}},
            "fallbacks": {"luna": {"provider": "sandbox", "model": "gpt-6-luna"}},
            "defaults": {"provider": "sandbox", "fallbacks": ["luna"], "owner": "support"},
            "routes": {"reply": primary},
        }
    )


def deploy(path: Path, text: str) -> None:
    """Replace a file as a rollout does: whole, or not at all."""
    written = path.with_suffix(".new")
    written.write_text(text)
    os.replace(written, path)


@dataclass
class Town:
    """People with one checkout, on the replicas' database."""

    database: Database
    path: Path
    outcomes: Counter[str] = field(default_factory=Counter)

    async def desk(self) -> Desk:
        loaded = load(self.path, environ={})
        return await Desk.read(loaded, "reply", self.database, by="somebody", now=SystemClock().now())

    async def registered(self, model: str) -> None:
        await register(await self.desk(), Registered(provider="sandbox", model=model, origin="named", by="ana"), WHO)

    async def command(self, act: Act, number: int | None = None, share: float = 1.0) -> None:
        """Give one command; what is refused is refused in a sentence."""
        desk = await self.desk()
        try:
            if act is Act.ROLLBACK:
                await to_roll_back(desk, None, WHO, write=False)
            else:
                version, expires_at = desk.version(number or 0), desk.now + timedelta(days=1)
                await to_promote(desk, version, Asked(act, share), expires_at, WHO)
        except ConfigError as refused:
            self.outcomes[str(refused).partition(":")[0]] += 1
        else:
            self.outcomes["done"] += 1

    async def serving(self) -> list[str]:
        found = await VersionStore(self.database).of_route("reply")
        return [version.model for version in found if version.status is VersionStatus.SERVING]


async def model_of(client: httpx.AsyncClient, gateway: RunningGateway, user: str) -> str:
    body = {"model": "reply", "user": user, "messages": [{"role": "user", "content": "Where is it?"}]}
    answer = await client.post(f"{gateway.v1}/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-gateway-model"])


@contextlib.asynccontextmanager
async def callers(client: httpx.AsyncClient, gateways: list[RunningGateway]) -> AsyncIterator[list[Any]]:
    """Ask both replicas all the while; what went wrong is in the list."""
    over, wrong = asyncio.Event(), list[Any]()

    async def ask(gateway: RunningGateway) -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                await model_of(client, gateway, f"user-{number % 97}")
            except (AssertionError, httpx.TransportError) as error:
                wrong.append(error)
            await asyncio.sleep(0.03)

    asking = [asyncio.create_task(ask(gateway)) for gateway in gateways]
    try:
        yield wrong
    finally:
        over.set()
        await asyncio.gather(*asking)


async def all_answer(client: httpx.AsyncClient, gateways: list[RunningGateway], model: str) -> bool:
    return {await model_of(client, each, f"new-{time.monotonic()}") for each in gateways} == {model}


async def test_promotions_against_each_other_and_against_deploys(postgres: RunningPostgres, tmp_path: Path) -> None:
    url, chance = await asyncio.to_thread(postgres.migrated_database), random.Random(9)
    path = tmp_path / "routes.yaml"
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as sandbox:
        ours, theirs = (routes_yaml(sandbox.base_url, primary) for primary in (OLD, DEPLOYED))
        deploy(path, ours)
        with running_replicas(2, path, tmp_path, url) as gateways:
            database = await Database.open(url)
            town = Town(database, path)
            for model in (NEXT, DEPLOYED):
                await town.registered(model)
            commands: list[Callable[[], Any]] = [
                lambda: town.command(Act.NOW, 2),
                lambda: town.command(Act.CANARY, 2, 0.3),
                lambda: town.command(Act.CANARY, 3, 0.2),
                lambda: town.command(Act.NOW, 1),
                lambda: town.command(Act.ROLLBACK),
            ]

            async def person() -> None:
                for _ in range(COMMANDS_EACH):
                    await chance.choice(commands)()
                    await asyncio.sleep(chance.random())

            async with http_client() as client, callers(client, gateways) as wrong:
                people = asyncio.gather(*(person() for _ in range(PEOPLE)))
                turn = 0
                while not people.done():
                    turn += 1
                    deploy(path, theirs if turn % 2 else ours)
                    await asyncio.wait([people], timeout=DEPLOY_EVERY_S)
                await people
                # A canary over the primary of a checkout that nobody serves: it ends, and leaves nothing behind.
                deploy(path, theirs)
                await town.command(Act.CANARY, 2, 0.1)
                deploy(path, ours)

                async def is_settled() -> bool:
                    return await PromotionStore(database).active() == {} and await town.serving() == [OLD]

                await town.command(Act.ROLLBACK)
                await until(is_settled, "one version serves, and it is the one that routes.yaml names", SETTLED_S)
                await until(lambda: all_answer(client, gateways, OLD), "both replicas answer by it", SETTLED_S)
            await database.close()
    print(dict(town.outcomes), turn, "deploys")
    assert wrong == []
    assert town.outcomes["done"] >= PEOPLE * COMMANDS_EACH // 4
    assert turn > 2


async def test_a_database_that_goes_and_comes_takes_no_version_back(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    with (
        running_postgres() as postgres,
        running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as sandbox,
    ):
        url = await asyncio.to_thread(postgres.migrated_database)
        deploy(path, routes_yaml(sandbox.base_url, OLD))
        with running_replicas(2, path, tmp_path, url) as gateways:
            database = await Database.open(url)
            town = Town(database, path)
            await town.registered(NEXT)
            await town.command(Act.NOW, 2)
            assert town.outcomes == {"done": 1}
            async with http_client() as client, callers(client, gateways) as wrong:
                await until(lambda: all_answer(client, gateways, NEXT), "both follow", SETTLED_S)
                postgres.stop()
                with pytest.raises(DatabaseUnavailable):
                    await town.command(Act.ROLLBACK)
                # A deploy meanwhile builds everything anew, the promotions too.
                deploy(path, routes_yaml(sandbox.base_url, OLD).replace("support", "the support team"))
                for _ in range(10):
                    await asyncio.sleep(0.3)
                    assert await all_answer(client, gateways, NEXT)
                postgres.start()
                await until(lambda: _is_there(town), "the database is back", SETTLED_S)
                assert await all_answer(client, gateways, NEXT)
                await town.command(Act.ROLLBACK)
                await until(lambda: all_answer(client, gateways, OLD), "both follow back", SETTLED_S)
            await database.close()
    assert wrong == []


async def _is_there(town: Town) -> bool:
    with contextlib.suppress(DatabaseUnavailable):
        return len(await town.serving()) == 1
    return False
