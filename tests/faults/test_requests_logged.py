"""The log of requests: one line each, of those that were refused, too, and nothing that anybody wrote."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from fake_provider import FakeProvider, chunk, streams
from served_gateway import Serve, eventually

Lines = Callable[[int], Awaitable[list[dict[str, Any]]]]
SECRET = "sk-do-not-log-me"
WORDS = "my card is 4111 1111 1111 1111"


@pytest.fixture
async def log() -> AsyncIterator[tuple[int, Lines]]:
    """Where a gateway logs, and how to wait for that many lines."""
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    received = bytearray()

    async def lines(count: int) -> list[dict[str, Any]]:
        def there() -> bool:
            with suppress(BlockingIOError):
                received.extend(os.read(reads, 1 << 20))
            return received.count(b"\n") >= count

        await eventually(there, f"{count} lines")
        assert WORDS.encode() not in received
        assert SECRET.encode() not in received
        found = [json.loads(line) for line in bytes(received).splitlines()]
        assert len(found) == count
        return found

    yield writes, lines
    os.close(reads)
    os.close(writes)


async def test_every_request_has_one_line(serve: Serve, provider: FakeProvider, log: tuple[int, Lines]) -> None:
    fd, lines = log
    provider.models["tuned"] = streams(chunk("Hel"), then="reset")
    gateway = await serve(log_fd=fd, key=SECRET, admin_key="another", key_pins=True)
    auth = {"authorization": f"Bearer {SECRET}"}
    messages = [{"role": "user", "content": WORDS}]
    gateway.client.headers.update(auth)
    await gateway.chat("reply@fallback", messages=messages)
    await gateway.stream(messages=messages)
    await gateway.chat(WORDS, messages=messages)
    await gateway.chat(headers={"authorization": f"Bearer {WORDS}"})
    await gateway.client.post(
        "/v1/chat/completions", content=b"{" + WORDS.encode(), headers={"content-type": "application/json"}
    )
    await gateway.client.get("/v1/models")
    await gateway.client.get("/v1/" + "x" * 50)
    await gateway.client.get("/metrics")
    found = await lines(7)
    said = [(line["status"], line["code"], line["endpoint"], line["route"]) for line in found]
    assert said == [
        (200, None, "chat_completions", "reply"),
        (200, None, "chat_completions", "reply"),
        (404, "route_not_found", "chat_completions", None),
        (401, "invalid_api_key", "chat_completions", None),
        (400, "invalid_json", "chat_completions", None),
        (200, None, "/v1/models", None),
        (404, None, "_other", None),
    ]
    pinned, broken = found[0], found[1]
    assert (pinned["served_by"], pinned["reason"], pinned["pinned"]) == ("fallback", "pinned", True)
    assert (pinned["input_tokens"], pinned["output_tokens"], pinned["cost_nanousd"]) == (10, 4, 46_000)
    assert (broken["outcome"], broken["stream"], broken["level"]) == ("interrupted", True, "warning")
    assert broken["ttft_ms"] > 0
    await gateway.rows(2)


async def test_only_what_went_wrong_where_that_is_asked_for(serve: Serve, log: tuple[int, Lines]) -> None:
    fd, lines = log
    gateway = await serve(log_fd=fd, log_requests="errors")
    await gateway.chat()
    await gateway.chat("nobody")
    await gateway.chat("nobody", headers={"x-request-id": "mine-2"})
    assert [line["request_id"] for line in await lines(2)][1] == "mine-2"


async def test_a_body_that_is_too_large_is_logged(serve: Serve, log: tuple[int, Lines]) -> None:
    fd, lines = log
    gateway = await serve(log_fd=fd, max_body_bytes=1000)
    answer = await gateway.chat(messages=[{"role": "user", "content": WORDS * 100}])
    (line,) = await lines(1)
    assert (answer.status_code, line["status"], line["code"]) == (413, 413, "body_too_large")
