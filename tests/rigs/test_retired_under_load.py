"""The promise itself: a fine-tune is retired under load, nobody notices, and bill and ledger agree to the row."""

import asyncio
import os
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from gateway_server import ROOT, running_gateway
from prometheus_client.parser import text_string_to_metric_families
from sandbox_server import running_sandbox

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))


@dataclass
class Seen:
    """What the callers saw."""

    served_by: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    last_primary_at: float = 0.0


def routes_for(sandbox_port: int, directory: Path) -> Path:
    """The repository's own routes.yaml, pointed at this test's sandbox."""
    for name in ("prompts", "schemas"):
        (directory / name).symlink_to(ROOT / name)
    text = (ROOT / "routes.yaml").read_text().replace("127.0.0.1:8081", f"127.0.0.1:{sandbox_port}")
    path = directory / "routes.yaml"
    path.write_text(text)
    return path


async def one_request(client: openai.AsyncOpenAI, number: int, seen: Seen) -> None:
    messages: Any = [{"role": "user", "content": f"Order {number} has not arrived. What can I do?"}]
    try:
        if number % 2:
            raw = await client.chat.completions.with_raw_response.create(model="forum-reply", messages=messages)
            answer = raw.parse().choices[0]
            assert answer.message.content
            assert answer.finish_reason == "stop"
        else:
            raw = await client.chat.completions.with_raw_response.create(
                model="forum-reply", messages=messages, stream=True
            )
            text, finished = "", False
            async for chunk in raw.parse():
                assert chunk.choices, "nobody asked for a usage chunk"
                text += chunk.choices[0].delta.content or ""
                finished = finished or chunk.choices[0].finish_reason == "stop"
            assert text
            assert finished
        served_by = raw.headers["x-gateway-served-by"]
        seen.served_by[served_by] += 1
        if served_by == "primary":
            seen.last_primary_at = time.monotonic()
    except Exception as error:
        seen.failures.append(f"{number}: {error!r}")


async def traffic(v1: str, sandbox_url: str, *, per_second: int, seconds: float) -> tuple[Seen, float]:
    """Send mixed traffic at a steady pace; retire the fine-tune a third of the way."""
    seen, tasks = Seen(), []
    retired_at = 0.0
    total = int(per_second * seconds)
    limits = httpx.Limits(max_connections=400)
    async with (
        httpx.AsyncClient(trust_env=False, limits=limits, timeout=60) as http,
        openai.AsyncOpenAI(base_url=v1, api_key="none", max_retries=0, http_client=http) as client,
    ):
        started = time.monotonic()
        for number in range(total):
            if number == total // 3:
                await http.post(f"{sandbox_url}/sandbox/models/{FINE_TUNE}/retire", json={"as": "openai"})
                retired_at = time.monotonic()
            tasks.append(asyncio.create_task(one_request(client, number, seen)))
            await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))
        await asyncio.gather(*tasks)
    return seen, retired_at


def ledger_rows(database: Path) -> dict[str, tuple[Any, ...]]:
    columns = "attempt_id, model_asked, model_answered, status, input_tokens, cached_input_tokens, output_tokens"
    columns += ", cost_nanousd, outcome"
    with sqlite3.connect(database) as connection:
        return {str(row[0]).replace("-", ""): row[1:] for row in connection.execute(f"SELECT {columns} FROM attempts")}


@pytest.mark.rig
@pytest.mark.parametrize("per_second", [200], ids=["at 200 requests a second"])
async def test_a_fine_tune_retired_under_load_is_not_noticed(tmp_path: Path, per_second: int) -> None:
    with running_sandbox() as sandbox:
        routes = routes_for(sandbox.port, tmp_path)
        with running_gateway(routes, tmp_path) as gateway:
            seconds = 300 if SOAK else 15
            seen, retired_at = await traffic(gateway.v1, sandbox.url, per_second=per_second, seconds=seconds)
            async with httpx.AsyncClient(trust_env=False) as http:
                metrics = (await http.get(f"{gateway.url}/metrics")).text
                bill = (await http.get(f"{sandbox.url}/sandbox/bill")).json()["rows"]

    assert seen.failures == []
    assert sum(seen.served_by.values()) == per_second * seconds
    assert seen.served_by["primary"] > 0
    assert seen.served_by["fallback"] > per_second * seconds / 2
    assert seen.last_primary_at < retired_at + 10
    active = {
        (sample.labels["route"], sample.labels["reason"])
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "gateway_route_fallback_active" and sample.value == 1.0
    }
    assert ("forum-reply", "gone") in active
    agree(bill, ledger_rows(gateway.database))
    dead = [row for row in bill if row["asked"] == FINE_TUNE and row["status"] == 404]
    # In flight when the first verdict came: at 200 requests a second, a handful.
    assert len(dead) <= 10, f"{len(dead)} calls of a dead model"


def agree(bill: list[dict[str, Any]], ledger: dict[str, tuple[Any, ...]]) -> None:
    """Compare the provider's bill with our ledger, attempt by attempt, to the nano-dollar."""
    billed = {str(row["attempt_id"]).replace("-", ""): row for row in bill}
    assert len(billed) == len(bill), "an attempt was billed twice"
    assert set(billed) == set(ledger)
    for attempt_id, row in billed.items():
        asked, answered, status, tokens_in, cached, tokens_out, cost, outcome = ledger[attempt_id]
        assert (row["asked"], row["status"]) == (asked, status)
        if row["status"] == 200:
            assert (row["served"], outcome) == (answered, "ok")
        expected = (row["input_tokens"], row["cached_input_tokens"], row["output_tokens"], row["cost_nanousd"])
        assert (tokens_in, cached, tokens_out, cost) == expected, attempt_id
