"""Where litellm runs: in a process of its own, only where routes need it, and never longer than its gateway."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic_format as anthropic
import httpx
import pytest
from fake_provider import FakeProvider
from gateway_server import RunningGateway, running_gateway
from served_gateway import USER, Serve, eventually
from vendor_server import model_in_body, vendor

import gateway.wiring.configurations
from gateway.providers.worker_process import MODULE, LitellmWorker

PATIENCE_S = 60.0
# A compiled part of litellm's, which nothing of the gateway's own needs.
OF_LITELLM = "_tiktoken"
needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")


def children(pid: int) -> list[int]:
    """The processes that hold litellm among a process's children."""
    found = [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]
    return [child for child in found if MODULE.encode() in Path(f"/proc/{child}/cmdline").read_bytes()]


def loaded(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def written(path: Path, vendor_url: str, plain_url: str, primary: str) -> Path:
    """Write a configuration of two routes' worth of providers, with one route, to one of them."""
    models = {"claude": anthropic.MODEL, "plain": "base"}
    providers = {
        "claude": {"kind": "anthropic", "base_url": vendor_url, "api_key_env": "VENDOR_KEY"},
        "plain": {"kind": "openai-compatible", "base_url": plain_url},
    }
    route = {"primary": {"provider": primary, "model": models[primary]}}
    path.write_text(json.dumps({"version": 1, "providers": providers, "routes": {"reply": route}}))
    return path


@asynccontextmanager
async def running(routes: Path, state: Path) -> AsyncIterator[RunningGateway]:
    """A gateway in a process of its own, started beside the loop that its providers run in."""
    manager = running_gateway(routes, state, VENDOR_KEY="sk-vendor")
    started = await asyncio.to_thread(manager.__enter__)
    try:
        yield started
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


async def ask(started: RunningGateway) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        return await client.post(f"{started.v1}/chat/completions", json={"model": "reply", "messages": USER})


@pytest.mark.rig
@needs_proc
async def test_a_gateway_starts_litellm_when_its_routes_need_it_and_takes_it_along_when_it_is_killed(
    provider: FakeProvider, tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "routes.yaml"
    async with vendor(model_in_body, anthropic.USUAL) as claude:
        written(file, claude.base_url, provider.base_url, "plain")
        async with running(file, tmp_path) as started:
            own = started.process.pid
            assert (await ask(started)).json()["choices"][0]["message"]["content"] == "Hello."
            assert children(own) == [], "nothing here needs it"

            written(file, claude.base_url, provider.base_url, "claude")
            await eventually(lambda: children(own), "litellm's process has started", PATIENCE_S)
            answer = await ask(started)
            assert answer.json()["choices"][0]["message"]["content"] == "Hello there."
            (child,) = children(own)
            assert OF_LITELLM in loaded(child)
            assert OF_LITELLM not in loaded(own), "the gateway's own process stays free of it"

            os.kill(own, signal.SIGKILL)
            await eventually(lambda: has_ended(child), "litellm's process has ended", PATIENCE_S)


# In the story's own process.


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[LitellmWorker]:
    """The workers that gateways make."""
    made: list[LitellmWorker] = []

    class Noted(LitellmWorker):
        def __init__(self, **how: Any) -> None:
            super().__init__(**how)
            made.append(self)

    monkeypatch.setattr(gateway.wiring.configurations, "LitellmWorker", Noted)
    return made


async def test_a_gateway_whose_routes_never_need_litellm_has_no_worker(
    serve: Serve, workers: list[LitellmWorker]
) -> None:
    unused = {"claude": {"kind": "anthropic", "api_key_env": "VENDOR_KEY"}}
    gateway = await serve(more_providers=unused, environ={"VENDOR_KEY": "sk-vendor"})
    assert (await gateway.chat()).status_code == 200
    assert workers == []


async def test_a_gateway_whose_routes_only_may_need_litellm_starts_none_for_what_is_spoken_natively(
    serve: Serve, workers: list[LitellmWorker], provider: FakeProvider
) -> None:
    bridged = {"kind": "mistral", "base_url": provider.base_url, "api_key_env": "VENDOR_KEY"}
    gateway = await serve(first=bridged, environ={"VENDOR_KEY": "sk-vendor"})
    assert (await gateway.chat()).status_code == 200
    (worker,) = workers
    assert not worker.alive
