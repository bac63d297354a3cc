"""What a provider's answers say of our quota is kept, for forecasts."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fake_provider import FakeProvider, says
from served_gateway import Serve, eventually

STATED = {"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "30000"}


def kept(database: Path) -> list[Any]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT provider, model, requests_per_minute, tokens_per_minute FROM rate_limits")
        rows = found.fetchall()
    connection.close()
    return rows


@pytest.mark.parametrize(
    ("kind", "limits"),
    [pytest.param("openai", (500, 30_000), id="OpenAI"), pytest.param("groq", (None, 30_000), id="Groq")],
)
async def test_the_limits_that_answers_state_are_kept_by_target(
    serve: Serve, provider: FakeProvider, kind: str, limits: tuple[int | None, int]
) -> None:
    provider.models["tuned"] = says(headers=STATED)
    gateway = await serve(first={"kind": kind, "api_key_env": "KEY"}, environ={"KEY": "secret"})
    assert (await gateway.chat()).status_code == 200

    def saved() -> list[Any]:
        gateway.clock.advance(1)
        return kept(gateway.database)

    assert await eventually(saved, "the limits are in the database") == [("first", "tuned", *limits)]
