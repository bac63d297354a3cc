"""What attempts cost by what the answer says: its tier, its sound, its seconds; and by which prices, and when."""

import asyncio
import json
from typing import Any

import pytest
from fake_provider import DONE, USAGE, WHOLE_STREAM, Call, FakeProvider, chunk, completion, says, streams, usage_chunk
from served_gateway import PRICES, Serve, ServedGateway, eventually
from structlog.testing import capture_logs

TUNED: dict[str, Any] = PRICES["tuned"]
FLEX = {"flex": {"input_usd_per_1m": 0.5, "output_usd_per_1m": 0.75}}


def priced(**more: Any) -> dict[str, Any]:
    """The section of prices, with more said of the model ``tuned``."""
    return {"prices": {"first": PRICES | {"tuned": TUNED | more}, "second": PRICES}}


def response(**more: Any) -> dict[str, Any]:
    """A response as OpenAI writes it."""
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}
    usage = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
    return {"id": "resp_1", "object": "response", "model": "tuned", "output": [said], "usage": usage, **more}


@pytest.mark.parametrize(
    ("tier", "kept", "cost"),
    [
        pytest.param("flex", "flex", 10 * 500 + 4 * 750, id="a tier with a price"),
        pytest.param("default", "default", 18_000, id="the standard tier"),
        pytest.param("scale", "scale", 18_000, id="a tier without one keeps its word, and costs what it usually does"),
        pytest.param(None, None, 18_000, id="no tier"),
        pytest.param(7, None, 18_000, id="a tier that is no text"),
        pytest.param("fl\0ex", "flex", 10 * 500 + 4 * 750, id="a tier with a NUL, which PostgreSQL would refuse"),
    ],
)
async def test_the_tier_that_an_answer_names_decides_its_price(
    serve: Serve, provider: FakeProvider, tier: object, kept: str | None, cost: int
) -> None:
    gateway = await serve(more_sections=priced(tiers=FLEX))
    named: dict[str, Any] = {"service_tier": tier, "model": "tuned"}
    provider.models["tuned"] = says(completion(**named))
    await gateway.chat()
    provider.models["tuned"] = streams(*(e | named if isinstance(e, dict) else e for e in WHOLE_STREAM))
    await gateway.stream()
    provider.paths["/v1/responses"] = says(response(service_tier=tier))
    await gateway.client.post("/v1/responses", json={"model": "reply", "input": "Hi"})
    provider.paths["/v1/responses"] = streams(
        {"type": "response.created", "response": response(service_tier="auto", usage=None)},
        {"type": "response.output_text.delta", "delta": "Hello."},
        {"type": "response.completed", "response": response(service_tier=tier or "auto")},
    )
    await gateway.client.post("/v1/responses", json={"model": "reply", "input": "Hi", "stream": True})
    *rows, last = await gateway.rows(4)
    assert [(row.service_tier, row.cost_nanousd) for row in rows] == [(kept, cost)] * 3
    assert (last.service_tier, last.cost_nanousd) == (("auto" if tier is None else kept), cost)


async def test_a_count_that_cannot_be_is_flagged_counted_and_told_once_a_minute(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    provider.models["tuned"] = says(completion(usage={"prompt_tokens": 10**18, "completion_tokens": 4}, model="tuned"))
    with capture_logs() as logs:
        for _ in range(3):
            await gateway.chat()
        gateway.clock.advance(61)
        await gateway.chat()
    rows = await gateway.rows_of_callers(4)
    assert [(row.usage_rejected, row.usage_source, row.input_tokens) for row in rows] == [(True, "estimated", 5)] * 4
    assert await gateway.metric("gateway_usage_rejected_total", provider="first", model="tuned") == 4
    told = [line for line in logs if line["event"] == "usage_rejected"]
    assert [line["request_id"] for line in told] == [rows[0].request_id, rows[3].request_id]
    assert {frozenset(line) for line in told} == {frozenset(("event", "log_level", "provider", "model", "request_id"))}


async def test_a_count_that_is_missing_is_not_one_that_was_rejected(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says(completion(usage=None))
    gateway = await serve()
    await gateway.chat()
    (row,) = await gateway.rows(1)
    assert (row.usage_rejected, row.usage_source) == (False, "estimated")
    assert await gateway.metric("gateway_usage_rejected_total") == 0


async def test_of_counts_in_a_stream_the_last_one_holds_also_where_it_is_absurd(
    serve: Serve, provider: FakeProvider
) -> None:
    absurd = {"prompt_tokens": 10, "completion_tokens": -1}
    gateway = await serve()
    provider.models["tuned"] = streams(*WHOLE_STREAM[:3], usage_chunk(), usage_chunk(absurd), DONE)
    await gateway.stream()
    provider.models["tuned"] = streams(*WHOLE_STREAM[:3], usage_chunk(absurd), usage_chunk(), DONE)
    await gateway.stream()
    rows = await gateway.rows(2)
    assert [(row.usage_source, row.usage_rejected) for row in rows] == [("estimated", True), ("provider", False)]


async def test_an_answer_that_fails_after_it_was_counted_costs_what_was_counted(
    serve: Serve, provider: FakeProvider
) -> None:
    error = {"error": {"message": "boom", "type": "server_error"}}
    gateway = await serve({"fallbacks": []})
    provider.models["tuned"] = streams(chunk("Hel", model="tuned"), error | {"usage": USAGE})
    assert (await gateway.stream()).errors
    provider.models["tuned"] = says(error | {"usage": USAGE})
    assert (await gateway.chat()).status_code == 502
    provider.models["tuned"] = says(error)
    assert (await gateway.chat()).status_code == 502
    provider.models["tuned"] = says(error | {"usage": USAGE}, 400)
    assert (await gateway.chat()).status_code == 400
    rows = await gateway.rows(4)
    assert [(row.outcome, row.usage_source, row.cost_nanousd) for row in rows] == [
        ("interrupted", "provider", 18_000),
        ("failed", "provider", 18_000),
        ("failed", "none", 0),
        ("failed", "none", 0),
    ]
    spent = await gateway.metric("gateway_cost_usd_total", provider="first")
    assert spent == pytest.approx(36_000 / 1e9), "what could not be passed on is on the bill, too"


async def test_sound_in_a_chat_is_kept_apart_and_priced_apart(serve: Serve, provider: FakeProvider) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"audio_tokens": 60, "image_tokens": 30},
        "completion_tokens_details": {"audio_tokens": 40, "image_tokens": 5},
    }
    provider.models["tuned"] = says(completion(usage=usage, model="tuned"))
    gateway = await serve(more_sections=priced(audio_input_usd_per_1m=10, image_output_usd_per_1m=30))
    await gateway.chat()
    (row,) = await gateway.rows(1)
    kept = (row.input_audio_tokens, row.output_audio_tokens, row.input_image_tokens, row.output_image_tokens)
    assert kept == (60, 40, 30, 5)
    assert row.cost_nanousd == 40 * 1000 + 60 * 10_000 + 45 * 2000 + 5 * 30_000


SOUND = (("content-type", "audio/mpeg"),)
HEARD = {"text": "Hello.", "usage": {"type": "duration", "seconds": 9.5}}
ABSURD = {"text": "Hello.", "usage": {"type": "duration", "seconds": -9}}


@pytest.mark.parametrize(
    ("model", "path", "body", "answer", "row"),
    [
        pytest.param(
            "whisper-1", "/audio/transcriptions", None, says(HEARD), ("provider", 950_000), id="by the second"
        ),
        pytest.param(
            "whisper-1", "/audio/transcriptions", None, says({"text": "Hi"}), ("none", None), id="which nobody counted"
        ),
        pytest.param(
            "tts-1",
            "/audio/speech",
            {"input": "Grüß Gott", "voice": "alloy"},
            says(b"ID3", headers=SOUND),
            ("none", 9 * 15_000),
            id="by the character",
        ),
        pytest.param(
            "gpt-4o-mini-tts",
            "/audio/speech",
            {"input": "Hi", "voice": "alloy"},
            says(b"ID3", headers=SOUND),
            ("none", None),
            id="by the token, which nobody counted",
        ),
        pytest.param(
            "gpt-image-1",
            "/images/generations",
            {"prompt": "a cat"},
            says(
                {"data": [{"b64_json": "eA=="}], "usage": {"input_tokens": 9, "output_tokens": 10, "total_tokens": 19}}
            ),
            ("provider", 9 * 5000 + 10 * 40_000),
            id="pictures by the token",
        ),
    ],
)
async def test_what_is_no_text_costs_what_its_answer_or_its_request_can_tell(
    serve: Serve, provider: FakeProvider, model: str, path: str, body: Any, answer: Any, row: tuple[str, int | None]
) -> None:
    gateway = await serve({"primary": model}, first={"kind": "openai"})
    provider.paths[f"/v1{path}"] = answer
    if body is None:
        sent = await gateway.client.post(f"/v1{path}", data={"model": "reply"}, files={"file": ("a.wav", b"RIFF")})
    else:
        sent = await gateway.client.post(f"/v1{path}", json={"model": "reply", **body})
    assert sent.status_code == 200
    (kept,) = await gateway.rows(1)
    assert (kept.usage_source, kept.cost_nanousd) == row


async def test_pictures_are_counted_where_each_has_a_price(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve({"primary": "grok-imagine-image"}, first={"kind": "xai"})
    provider.paths["/v1/images/generations"] = says({"data": [{"url": "https://x.example/1"}] * 3})
    asked = {"model": "reply", "prompt": "a cat", "n": 3}
    assert (await gateway.client.post("/v1/images/generations", json=asked)).status_code == 200
    (row,) = await gateway.rows(1)
    assert (row.cost_nanousd, row.price_version) == (60_000_000, "litellm-1.106.2")


async def test_new_prices_hold_for_new_requests_and_rewrite_nothing(serve: Serve, provider: FakeProvider) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slow(call: Call) -> None:
        asked.set()
        await answered.wait()
        await says(completion(model="tuned"))(call)

    gateway = await serve()
    provider.models["tuned"] = says(completion(model="tuned"))
    await gateway.chat()
    provider.models["tuned"] = slow
    underway = asyncio.create_task(gateway.chat())
    await asyncio.wait_for(asked.wait(), 10)
    await _new_prices(gateway, {"tuned": TUNED | {"input_usd_per_1m": 100, "output_usd_per_1m": 200}})
    answered.set()
    assert (await underway).status_code == 200
    provider.models["tuned"] = says(completion(model="tuned"))
    await gateway.chat()
    before, admitted, after = await gateway.rows(3)
    assert [row.cost_nanousd for row in (before, admitted, after)] == [18_000, 18_000, 1_800_000]
    assert before.price_version == admitted.price_version != after.price_version
    assert [row.price_version for row in (before, after)] == [f"routes:{row.config_hash}" for row in (before, after)]


async def _new_prices(gateway: ServedGateway, models: dict[str, Any]) -> None:
    file = gateway.database.parent / "config" / "routes.yaml"
    routes = json.loads(file.read_text())
    routes["prices"]["first"] |= models

    async def loaded() -> bool:
        gateway.clock.advance(0.25)
        return await gateway.metric("gateway_config_reloads_total", outcome="loaded") > 0

    file.write_text(json.dumps(routes))
    await eventually(loaded, "the new prices are loaded")


async def test_a_rejected_count_of_seconds_is_flagged(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve({"primary": "whisper-1"}, first={"kind": "openai"})
    provider.paths["/v1/audio/transcriptions"] = says(ABSURD)
    sent = await gateway.client.post(
        "/v1/audio/transcriptions", data={"model": "reply"}, files={"file": ("a.wav", b"RIFF")}
    )
    assert sent.status_code == 200
    (row,) = await gateway.rows(1)
    assert (row.usage_rejected, row.usage_source, row.cost_nanousd) == (True, "none", None)
