"""Moderations, images, speech, transcriptions through the whole gateway: by a route, and when its model is gone."""

import io
import wave
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from pydantic import SecretStr
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from served_gateway import ServedGateway, eventually, served, verified

KEY = "a key of the callers"
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
SAID = "The blue bottle is empty"
# Each route's model, and the one that stands in for it.
MODELS = {
    "judge": ("omni-moderation-latest", "omni-moderation-2024-09-26"),
    "picture": ("gpt-image-1", "gpt-image-1-mini"),
    "voice": ("gpt-4o-mini-tts", "tts-1"),
    "ears": ("gpt-4o-transcribe", "whisper-1"),
}
COUNTED = {"gpt-image-1", "gpt-image-1-mini", "gpt-4o-transcribe"}
"""The models whose answers tell how many tokens they are."""


@pytest.fixture
def provider() -> Iterator[RunningSandbox]:
    """A sandbox that sells a second model of each kind, and stops none by itself."""
    usual = {model.id: replace(model, shutdown_date=None) for model in fast_catalogue(START)}
    seconds = [replace(usual[primary], id=second) for primary, second in MODELS.values() if second not in usual]
    with running_sandbox(catalogue=[*usual.values(), *seconds]) as sandbox:
        yield sandbox


@pytest.fixture
async def gateway(provider: RunningSandbox, template: Path, tmp_path: Path) -> AsyncIterator[ServedGateway]:
    """A route for each endpoint, whose fallback is the second model, at the prices of their provider."""
    sold = provider.sandbox.provider.models
    prices = {
        name: {
            "input_usd_per_1m": float(sold[name].price.input),
            "output_usd_per_1m": float(sold[name].price.output),
            "source": "the sandbox's catalogue",
        }
        for pair in MODELS.values()
        for name in pair
    }
    routes = {
        "version": 1,
        "providers": {"sandbox": {"kind": "sandbox", "base_url": provider.base_url}},
        "prices": {"sandbox": prices},
        "fallbacks": {second: {"provider": "sandbox", "model": second} for _, second in MODELS.values()},
        "routes": {
            name: {"provider": "sandbox", "primary": primary, "fallbacks": [second]}
            for name, (primary, second) in MODELS.items()
        },
    }
    async with served(routes, tmp_path, template, environ={}, now=START, key=SecretStr(KEY)) as running:
        running.client.headers["authorization"] = f"Bearer {KEY}"
        yield running


@pytest.fixture
async def sdk(gateway: ServedGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        url = f"http://127.0.0.1:{gateway.port}/v1"
        yield openai.AsyncOpenAI(base_url=url, api_key=KEY, http_client=http, max_retries=0)


def wav() -> bytes:
    """A second of silence, which the sandbox did not make."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(16_000))
    return made.getvalue()


async def judge(sdk: openai.AsyncOpenAI) -> Any:
    raw = await sdk.moderations.with_raw_response.create(model="judge", input=["a rose", "I will kill you"])
    assert [result.flagged for result in raw.parse().results] == [False, True]
    return raw


async def draw(sdk: openai.AsyncOpenAI) -> Any:
    raw = await sdk.images.with_raw_response.generate(model="picture", prompt="a rose", n=2)
    assert [b64decode(image.b64_json)[:4] for image in raw.parse().data] == [b"\x89PNG"] * 2
    return raw


async def edit(sdk: openai.AsyncOpenAI) -> Any:
    raw = await sdk.images.with_raw_response.edit(model="picture", image=("a.png", b"any"), prompt="a rose")
    assert raw.parse().usage.input_tokens_details.image_tokens == 765
    return raw


async def vary(sdk: openai.AsyncOpenAI) -> Any:
    raw = await sdk.images.with_raw_response.create_variation(model="picture", image=("a.png", b"any"))
    assert len(raw.parse().data) == 1
    return raw


async def speak(sdk: openai.AsyncOpenAI) -> Any:
    raw = await sdk.audio.speech.with_raw_response.create(
        model="voice", input=SAID, voice="coral", response_format="wav"
    )
    with wave.open(io.BytesIO(raw.content)) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(1.5)
    return raw


async def hear(sdk: openai.AsyncOpenAI) -> Any:
    raw = await sdk.audio.transcriptions.with_raw_response.create(model="ears", file=("a.wav", wav()))
    assert raw.parse().text == "This is a recording of 1.0 seconds."
    return raw


async def translate(sdk: openai.AsyncOpenAI) -> Any:
    raw = await sdk.audio.translations.with_raw_response.create(model="ears", file=("a.wav", wav()))
    assert raw.parse().text == "This is a recording of 1.0 seconds."
    return raw


Ask = Callable[[openai.AsyncOpenAI], Awaitable[Any]]


@pytest.mark.parametrize(
    ("ask", "route", "endpoint"),
    [
        pytest.param(judge, "judge", "moderations", id="moderations"),
        pytest.param(draw, "picture", "images", id="images"),
        pytest.param(edit, "picture", "images", id="edits of images"),
        pytest.param(vary, "picture", "images", id="variations of images"),
        pytest.param(speak, "voice", "speech", id="speech"),
        pytest.param(hear, "ears", "transcriptions", id="transcriptions"),
        pytest.param(translate, "ears", "transcriptions", id="translations"),
    ],
)
async def test_the_fallback_answers_when_the_model_is_retired(
    ask: Ask, route: str, endpoint: str, sdk: openai.AsyncOpenAI, gateway: ServedGateway, provider: RunningSandbox
) -> None:
    primary, second = MODELS[route]
    before = await ask(sdk)
    assert (before.headers["x-gateway-served-by"], before.headers["x-gateway-model"]) == ("primary", primary)
    provider.sandbox.provider.retire(primary)
    after = await ask(sdk)
    assert (after.headers["x-gateway-served-by"], after.headers["x-gateway-model"]) == ("fallback", second)
    await held_against_the_bill(gateway, provider, endpoint)


async def held_against_the_bill(gateway: ServedGateway, provider: RunningSandbox, endpoint: str) -> None:
    """Check the ledger: what the provider counts costs what it bills; what it does not count has none, or is free."""
    bill = {row.attempt_id: row for row in provider.sandbox.provider.bill.rows()}
    for row in await gateway.rows(3):
        billed = bill[row.attempt_id]
        assert (row.model_asked, row.endpoint, row.status) == (billed.asked, endpoint, billed.status)
        assert billed.endpoint == endpoint
        if row.status == 200 and row.model_asked in COUNTED:
            assert (row.input_tokens, row.output_tokens, row.cost_nanousd) == (
                billed.input_tokens, billed.output_tokens, billed.cost_nanousd,
            )  # fmt: skip
        elif row.status == 200:
            assert (row.usage_source, row.cost_nanousd) == ("none", None if billed.cost_nanousd else 0)
        else:
            assert billed.cost_nanousd == 0


async def test_what_one_route_says_another_hears(sdk: openai.AsyncOpenAI, provider: RunningSandbox) -> None:
    async def say_and_hear() -> str:
        said = await sdk.audio.speech.create(model="voice", input=SAID, voice="coral", response_format="wav")
        heard = await sdk.audio.transcriptions.create(model="ears", file=("a.wav", said.content))
        return str(heard.text)

    assert await say_and_hear() == SAID
    for route in ("voice", "ears"):
        provider.sandbox.provider.retire(MODELS[route][0])
    assert await say_and_hear() == SAID


@pytest.mark.parametrize(("ask", "route"), [(judge, "judge"), (draw, "picture"), (speak, "voice"), (hear, "ears")])
async def test_the_primary_answers_again_when_it_is_back(
    ask: Ask, route: str, sdk: openai.AsyncOpenAI, gateway: ServedGateway, provider: RunningSandbox
) -> None:
    provider.sandbox.provider.retire(MODELS[route][0])
    assert (await ask(sdk)).headers["x-gateway-served-by"] == "fallback"
    await verified(gateway, "sandbox")
    provider.sandbox.provider.restore(MODELS[route][0])

    async def is_back() -> bool:
        gateway.clock.advance(5)
        return bool((await ask(sdk)).headers["x-gateway-served-by"] == "primary")

    await eventually(is_back, "the primary answers again")


async def test_streams_arrive_as_they_are(sdk: openai.AsyncOpenAI) -> None:
    heard = [event async for event in await sdk.audio.transcriptions.create(
        model="ears", file=("a.wav", wav()), stream=True
    )]  # fmt: skip
    assert "".join(event.delta for event in heard[:-1]) == heard[-1].text == "This is a recording of 1.0 seconds."
    drawn = [event async for event in await sdk.images.generate(
        model="picture", prompt="a rose", stream=True, partial_images=2
    )]  # fmt: skip
    assert [event.type.rpartition(".")[2] for event in drawn] == ["partial_image", "partial_image", "completed"]


async def test_what_the_model_refuses_is_the_callers_to_know(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support 'mp3' with this model"):
        await sdk.audio.speech.create(model="voice", input=SAID, voice="coral")
    with pytest.raises(openai.BadRequestError, match="'verbose_json' is not compatible"):
        await sdk.audio.transcriptions.create(model="ears", file=("a.wav", wav()), response_format="verbose_json")
    assert (await speak(sdk)).headers["x-gateway-served-by"] == "primary"
