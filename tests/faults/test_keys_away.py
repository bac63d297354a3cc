"""Keys where their database is away, and where several replicas share it."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from declared_keys import PEPPER, as_, declared
from fake_provider import FakeProvider
from served_gateway import PATIENCE_S, USER, StoryClock, eventually, listening

from gateway.app import App, create_app
from gateway.config.settings import Settings

ADMIN = {"authorization": "Bearer the-admins"}
STEP_S = 0.25


class Replica:
    """A gateway whose database is a path that stories make come and go."""

    def __init__(self, app: App, client: httpx.AsyncClient, clock: StoryClock) -> None:
        self.app, self.client, self.clock = app, client, clock

    async def status(self, key: str) -> int:
        return (await self.models({"authorization": f"Bearer {key}"})).status_code

    async def models(self, headers: dict[str, str]) -> httpx.Response:
        # A request for a model would be held for three seconds where nobody knows yet which of them are gone.
        return await self.client.get("/v1/models", headers=headers)

    async def chat(self, key: str) -> httpx.Response:
        body, headers = {"model": "reply", "messages": USER}, {"authorization": f"Bearer {key}"}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    async def reasons(self) -> list[str]:
        found: list[str] = (await self.client.get("/readyz")).json()["reasons"]
        return found

    async def seconds_until(self, key: str, status: int) -> float:
        """Move the clock until a key is answered so; return by how much."""
        moved = 0.0
        for _ in range(200):
            if await self.status(key) == status:
                return moved
            self.clock.advance(STEP_S)
            moved += STEP_S
            # For what was woken: a database answers from a thread.
            await asyncio.sleep(0.02)
        raise AssertionError(f"never {status}")


@asynccontextmanager
async def replica(
    directory: Path, database: Path, provider: FakeProvider, keys: dict[str, Any] | None = None
) -> AsyncIterator[Replica]:
    """Serve one replica; its journal, and what it keeps of keys, are in ``directory``."""
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    routes = {
        "version": 1,
        "providers": {"first": {"kind": "openai-compatible", "base_url": provider.base_url}},
        "fallbacks": {"base": {"provider": "first", "model": "base"}},
        "defaults": {"provider": "first", "fallbacks": ["base"]},
        "routes": {"reply": "tuned"},
        "keys": keys or {},
    }
    file = directory / "routes.yaml"
    file.write_text(json.dumps(routes))
    clock = StoryClock()
    settings = Settings(
        routes_file=file,
        database_url=f"sqlite+aiosqlite:///{database}",
        journal_dir=directory / "journal",
        admin_key="the-admins",
        key_pepper=PEPPER,
    )
    app = create_app(settings, clock=clock, environ={"GATEWAY_KEY_PEPPER": PEPPER})
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(listening(app))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=PATIENCE_S)
        )
        try:
            yield Replica(app, client, clock)
        finally:
            running = asyncio.create_task(clock.run())
            try:
                await stack.aclose()
            finally:
                running.cancel()


@pytest.fixture
def database(tmp_path: Path, empty_ledger: Path) -> Path:
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "gateway.db"
    shutil.copy(empty_ledger, path)
    return path


def away(database: Path) -> Callable[[], None]:
    """Put a directory in a database's place; return what puts it back."""
    kept = database.with_name("kept.db")
    database.rename(kept)
    for more in ("-wal", "-shm"):
        database.with_name(database.name + more).unlink(missing_ok=True)
    database.mkdir()

    def back() -> None:
        database.rmdir()
        kept.rename(database)

    return back


async def made(at: Replica, name: str) -> Any:
    await ready(at)
    answer = await at.client.post("/admin/keys", json={"name": name}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def ready(at: Replica) -> None:
    async def is_ready() -> bool:
        at.clock.advance(STEP_S)
        return await at.reasons() == []

    await eventually(is_ready, "the replica is ready")


async def test_a_key_revoked_on_one_replica_is_refused_on_the_other_within_five_seconds(
    tmp_path: Path, database: Path, provider: FakeProvider
) -> None:
    async with replica(tmp_path / "a", database, provider) as one, replica(tmp_path / "b", database, provider) as two:
        await ready(two)
        key = await made(one, "forum-app")
        assert await two.seconds_until(key["key"], 200) <= 5
        assert (await one.client.delete(f"/admin/keys/{key['id']}", headers=ADMIN)).status_code == 200
        assert await one.status(key["key"]) == 401, "at once where it was revoked"
        assert await two.seconds_until(key["key"], 401) <= 5


async def test_a_start_without_the_database_serves_the_keys_that_were_known(
    tmp_path: Path, database: Path, provider: FakeProvider
) -> None:
    async with replica(tmp_path / "a", database, provider) as before:
        key = (await made(before, "forum-app"))["key"]
        before.clock.advance(1)
        await eventually((tmp_path / "a" / "journal" / "keys.jsonl").exists, "the keys are kept")
        await eventually(
            lambda: b"forum-app" in (tmp_path / "a" / "journal" / "keys.jsonl").read_bytes(), "and the new one is"
        )
    back = away(database)
    async with replica(tmp_path / "a", database, provider) as again:
        assert await again.status(key) == 200
        assert [why for why in await again.reasons() if why.startswith("keys")] == []
        unknown = await again.models({"authorization": "Bearer made-since"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (503, "keys_unavailable")
        assert (await again.chat(key)).status_code == 200, "degraded as it is, it answers"

        async def is_ready() -> bool:
            return await again.reasons() == []

        await eventually(is_ready, "it is ready: what it needs is known from before")
        refused = await again.client.post("/admin/keys", json={"name": "x"}, headers=ADMIN)
        assert refused.status_code == 503
        back()
        assert await again.seconds_until("wrong", 401) <= 5
        assert await again.status(key) == 200


async def test_a_first_start_without_the_database_is_not_ready_and_calls_no_key_wrong(
    tmp_path: Path, database: Path, provider: FakeProvider
) -> None:
    async with replica(tmp_path / "a", database, provider) as before:
        key = (await made(before, "forum-app"))["key"]
    back = away(database)
    async with replica(tmp_path / "b", database, provider, declared(batch={})) as fresh:
        answer = await fresh.models({"authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "keys_unavailable")
        assert answer.headers["retry-after"] == "5"
        assert [why for why in await fresh.reasons() if why.startswith("keys")] != []
        assert (await fresh.models(as_("batch"))).status_code == 200, "routes.yaml's need no database"
        origin = {"sec-fetch-site": "same-origin"}
        login = await fresh.client.post("/ui/login", data={"key": key}, headers=origin)
        assert (login.status_code, login.headers["retry-after"]) == (503, "5"), "it may be a reviewer's"
        assert "in a database that was not read yet" in login.text
        assert (await fresh.client.get("/v1/models", headers=ADMIN)).status_code == 200
        back()
        assert await fresh.seconds_until(key, 200) <= 5
        assert await fresh.status("wrong") == 401
        assert (await fresh.client.post("/ui/login", data={"key": key}, headers=origin)).status_code == 401
        assert [why for why in await fresh.reasons() if why.startswith("keys")] == []
