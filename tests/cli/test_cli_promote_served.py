"""A gateway that answers follows what ``gateway promote`` says, and nobody is failed meanwhile."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from command_line import Run
from gateway_server import RunningGateway, running_gateway
from postgres_server import RunningPostgres
from sandbox_server import fast_catalogue, running_sandbox

from gateway.clock import SystemClock
from gateway.store.database import Database
from gateway.store.versions import VersionStore

OLD = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
NEW = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
DEADLINE_S = 30


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    catalogue = fast_catalogue(SystemClock().now())
    with running_sandbox(catalogue=catalogue) as sandbox:
        path = tmp_path / "routes.yaml"
        path.write_text(
            "version: 1\n"
            f"providers: {{ sandbox: {{ kind: sandbox, base_url: '{sandbox.base_url}' }} }}\n"
            "fallbacks: { luna: { provider: sandbox, model: gpt-6-luna } }\n"
            "defaults: { provider: sandbox, fallbacks: [luna] }\n"
            f"routes:\n  forum-reply: {OLD}  # of May\n"
        )
        monkeypatch.chdir(tmp_path)
        yield path


def who_answers(gateway: RunningGateway, client: httpx.Client, asked: int, begin: int = 0) -> Counter[str]:
    """Ask conversations, and count whose answers they are; each must have one."""
    found: Counter[str] = Counter()
    for number in range(begin, begin + asked):
        body = {"model": "forum-reply", "messages": [{"role": "user", "content": f"Hello {number}"}], "max_tokens": 8}
        answer = client.post(f"{gateway.v1}/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        found[answer.headers["x-gateway-model"]] += 1
    return found


def until_all_by(gateway: RunningGateway, client: httpx.Client, model: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (found := who_answers(gateway, client, 20)) != Counter({model: 20}):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.rig
def test_a_version_is_tried_takes_over_comes_into_git_and_goes_back(run: Run, routes: Path, tmp_path: Path) -> None:
    with running_gateway(routes, tmp_path) as gateway, httpx.Client(trust_env=False, timeout=20) as client:
        url = f"sqlite+aiosqlite:///{gateway.database}"

        def promote(*arguments: str) -> str:
            done = run("promote", "forum-reply", *arguments, "--routes", routes, "--database", url)
            assert done.code == 0, done.err
            return done.out

        assert who_answers(gateway, client, 5) == {OLD: 5}
        promote("--model", NEW)
        promote("v2", "--canary", "50%", "--reason", "a trial")
        deadline = time.monotonic() + DEADLINE_S
        while len(found := who_answers(gateway, client, 30)) < 2:
            assert time.monotonic() < deadline, found
        assert set(found) == {OLD, NEW}
        promote("v2", "--now", "--for", "1d")
        until_all_by(gateway, client, NEW)
        # Git takes over from the override, and nobody notices.
        promote("v2", "--apply")
        assert f"forum-reply: {NEW}  # of May" in routes.read_text()
        deadline = time.monotonic() + DEADLINE_S
        while (ended := _endings(gateway)) != ["in_routes"]:
            assert time.monotonic() < deadline, ended
            assert who_answers(gateway, client, 5) == {NEW: 5}
            time.sleep(0.1)
        assert who_answers(gateway, client, 20) == {NEW: 20}
        assert _standings(url) == {"v1": "retired", "v2": "serving"}
        promote("--rollback", "--apply", "--reason", "it was better before")
        until_all_by(gateway, client, OLD)
        assert _standings(url) == {"v1": "serving", "v2": "retired"}


@pytest.mark.rig
def test_postgresql_takes_the_same_commands(run: Run, routes: Path, postgres: RunningPostgres) -> None:
    url = postgres.migrated_database()

    def promote(*arguments: str) -> str:
        done = run("promote", "forum-reply", *arguments, "--routes", routes, "--database", url)
        assert done.code == 0, done.err
        return done.out

    promote("--model", NEW)
    promote("v2", "--canary", "5%")
    promote("v2", "--canary", "20%")
    assert "nothing to compare yet" in promote("--status")
    promote("v2", "--now")
    assert _standings(url) == {"v1": "retired", "v2": "serving"}
    promote("--rollback")
    assert _standings(url) == {"v1": "serving", "v2": "retired"}
    promote("v2", "--apply")
    assert f"forum-reply: {NEW}" in routes.read_text()
    assert _standings(url) == {"v1": "retired", "v2": "serving"}


def _endings(gateway: RunningGateway) -> list[str]:
    with sqlite3.connect(gateway.database) as database:
        rows = database.execute("SELECT ended_because FROM promotions WHERE ended_at IS NOT NULL ORDER BY promotion_id")
        return [row[0] for row in rows]


def _standings(url: str) -> dict[str, str]:
    async def read() -> dict[str, str]:
        database = await Database.open(url)
        try:
            versions = await VersionStore(database).of_route("forum-reply")
        finally:
            await database.close()
        return {version.name: version.status.value for version in versions}

    return asyncio.run(read())
