import asyncio
from collections.abc import Mapping

import pytest
from example_routes import a_provider
from fake_clock import FakeClock
from scripted_api import Answer, a_model, listing, scripted_api

from gateway.lifecycle.sighting import Sighting, sighting
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream

OTHERS = {"/models": (200, listing(a_model("other")))}


async def _look(base_url: str, kind: str) -> Sighting:
    client = HttpClient()
    try:
        return await sighting(Upstream(a_provider(base_url=base_url, kind=kind), client, {}, FakeClock()), "mine")
    finally:
        client.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("kind", "answers", "found"),
    [
        pytest.param("vllm", {"/models": (200, listing(a_model("mine")))}, Sighting.THERE, id="listed"),
        pytest.param("vllm", OTHERS, Sighting.ABSENT, id="not in a list that has all"),
        pytest.param("vllm", {"/models": (200, listing())}, Sighting.ABSENT, id="a list that has all, of nothing"),
        pytest.param(
            "vllm", OTHERS | {"/models/mine": (200, a_model("mine"))}, Sighting.THERE, id="not listed, but found by id"
        ),
        pytest.param("openai-compatible", OTHERS, Sighting.UNLISTED, id="not in a list that need not have all"),
        pytest.param(
            "openai-compatible",
            OTHERS | {"/models/other": (200, a_model("other"))},
            Sighting.ABSENT,
            id="not found by id, where others are",
        ),
        pytest.param(
            "openai-compatible",
            OTHERS | {"/models/other": (200, a_model("other")), "/models/mine": (500, {})},
            Sighting.UNLISTED,
            id="an error is no word on it",
        ),
        pytest.param("openai", {"/models": (401, {})}, Sighting.UNKNOWN, id="a refused key"),
        pytest.param("openai", {"/models": (200, b"<html>")}, Sighting.UNKNOWN, id="no list at all"),
        pytest.param("azure", OTHERS, Sighting.UNKNOWN, id="a kind that lists no deployments"),
    ],
)
async def test_one_look(kind: str, answers: Mapping[str, Answer], found: Sighting) -> None:
    with scripted_api(answers) as api:
        assert await _look(api.base_url, kind) is found


async def test_without_a_connection_nobody_can_tell() -> None:
    assert await _look("http://127.0.0.1:9/v1", "openai") is Sighting.UNKNOWN
