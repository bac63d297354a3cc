"""One conversation with tools, across the death of its fine-tune and back: tools, switch, tools, return.

The model dies between a call and its result, and comes back between another call and its result: whoever answers is
given ids that somebody else has made, and refuses a result that belongs to no call.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from client_programs import KEY, prepare, report_each, run, told
from pydantic import SecretStr
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from served_gateway import ServedGateway, counted, eventually, served, verified

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
GOOD_PROBES_S = 60


@pytest.fixture
def provider() -> Iterator[RunningSandbox]:
    """Models that stop only on command: the sandbox's own clock is the real one."""
    mortal = (replace(model, shutdown_date=None) for model in fast_catalogue(START))
    with running_sandbox(catalogue=mortal) as sandbox:
        yield sandbox


@asynccontextmanager
async def gateway_before(
    provider: RunningSandbox, fallback: str, template: Path, directory: Path
) -> AsyncIterator[ServedGateway]:
    """Serve a route whose fallback is at the same provider, or at one with ideas of its own about ids."""
    routes = {
        "version": 1,
        "providers": {
            "sandbox": {"kind": "sandbox", "base_url": provider.base_url},
            "elsewhere": {"kind": "mistral", "base_url": provider.base_url, "api_key_env": "KEY"},
        },
        "fallbacks": {
            "gpt-6-luna": {"provider": "sandbox", "model": "gpt-6-luna"},
            "mistral-strict": {"provider": "elsewhere", "model": "mistral-strict"},
        },
        "routes": {"chat": {"provider": "sandbox", "primary": FINE_TUNE, "fallbacks": [fallback]}},
    }
    environ = {"KEY": "any"}
    async with served(routes, directory, template, environ=environ, now=START, key=SecretStr(KEY)) as gateway:
        gateway.client.headers["authorization"] = f"Bearer {KEY}"
        yield gateway


class Conversation:
    """A conversation as an application keeps it, with the ids that it was given."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self.said: list[Any] = []
        self.ids: list[str] = []
        self.client = client

    async def ask(self, city: str) -> str:
        """Ask for the weather of a city, which takes a call of the tool; return who called it."""
        self.said.append({"role": "user", "content": f"What is the weather in {city}?"})
        call_id, arguments, served_by = await self._call()
        assert json.loads(arguments) == {"city": city}
        self.ids.append(call_id)
        return served_by

    async def tell(self, weather: str) -> str:
        """Give the tool's result, which is spoken of; return who spoke."""
        text, served_by = await self._speak(self.ids[-1], weather)
        assert weather in text
        return served_by

    async def _call(self) -> tuple[str, str, str]:
        raise NotImplementedError

    async def _speak(self, call_id: str, weather: str) -> tuple[str, str]:
        raise NotImplementedError


class WholeChat(Conversation):
    """Over chat completions."""

    async def _call(self) -> tuple[str, str, str]:
        message, served_by = await self._answer()
        (call,) = message.tool_calls or ()
        return call.id, call.function.arguments, served_by

    async def _speak(self, call_id: str, weather: str) -> tuple[str, str]:
        self.said.append({"role": "tool", "tool_call_id": call_id, "content": weather})
        message, served_by = await self._answer()
        return message.content, served_by

    async def _answer(self) -> tuple[Any, str]:
        raw = await self.client.chat.completions.with_raw_response.create(
            model="chat", messages=self.said, tools=[{"type": "function", "function": TOOL}]
        )
        message = raw.parse().choices[0].message
        self.said.append(message)
        return message, raw.headers["x-gateway-served-by"]


class StreamedChat(WholeChat):
    """Over chat completions, streamed."""

    async def _answer(self) -> tuple[Any, str]:
        manager = self.client.chat.completions.stream(
            model="chat", messages=self.said, tools=[{"type": "function", "function": TOOL}]
        )
        async with manager as stream:
            served_by = stream._response.headers["x-gateway-served-by"]
            message = (await stream.get_final_completion()).choices[0].message
        # As applications do: what the SDK made of the answer comes along.
        self.said.append(message)
        return message, served_by


class WholeResponses(Conversation):
    """Over responses, each with the whole conversation as its input."""

    async def _call(self) -> tuple[str, str, str]:
        response, served_by = await self._answer()
        (call,) = (item for item in response.output if item.type == "function_call")
        return call.call_id, call.arguments, served_by

    async def _speak(self, call_id: str, weather: str) -> tuple[str, str]:
        self.said.append({"type": "function_call_output", "call_id": call_id, "output": weather})
        response, served_by = await self._answer()
        return response.output_text, served_by

    async def _answer(self) -> tuple[Any, str]:
        raw = await self.client.responses.with_raw_response.create(
            model="chat", input=self.said, tools=[{"type": "function", **TOOL}]
        )
        response = raw.parse()
        self.said += response.output
        return response, raw.headers["x-gateway-served-by"]


@pytest.mark.parametrize(
    ("form", "fallback"),
    [
        pytest.param(WholeChat, "gpt-6-luna", id="chat completions"),
        pytest.param(StreamedChat, "gpt-6-luna", id="chat completions, streamed"),
        pytest.param(WholeResponses, "gpt-6-luna", id="responses"),
        pytest.param(WholeChat, "mistral-strict", id="chat completions, to a provider that refuses others' ids"),
        pytest.param(StreamedChat, "mistral-strict", id="streamed, to a provider that refuses others' ids"),
    ],
)
async def test_a_conversation_with_tools_goes_on_across_a_cutover_and_back(
    form: type[Conversation], fallback: str, provider: RunningSandbox, template: Path, tmp_path: Path
) -> None:
    async with (
        gateway_before(provider, fallback, template, tmp_path) as gateway,
        httpx.AsyncClient(trust_env=False, verify=False) as http,
    ):
        sdk = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key=KEY, http_client=http, max_retries=0
        )
        talk = form(sdk)
        assert [await talk.ask("Lisbon"), await talk.tell("sunny")] == ["primary", "primary"]

        assert await talk.ask("Porto") == "primary"
        provider.sandbox.provider.retire(FINE_TUNE, "openai")
        assert await talk.tell("foggy") == "fallback"
        await verified(gateway, "sandbox")
        # Agreed on, too: what is written of it only after the model is back would take the route away again.
        await counted(gateway, "gateway_cutovers_total", 1, route="chat", reason="gone")
        assert [await talk.ask("Madrid"), await talk.tell("windy")] == ["fallback", "fallback"]

        assert await talk.ask("Oslo") == "fallback"
        provider.sandbox.provider.restore(FINE_TUNE)
        await primary_is_back(gateway, sdk)
        assert await talk.tell("snowy") == "primary"
        assert [await talk.ask("Rome"), await talk.tell("stormy")] == ["primary", "primary"]
    assert len(set(talk.ids)) == 5


async def primary_is_back(gateway: ServedGateway, sdk: openai.AsyncOpenAI) -> None:
    """Let time pass until the primary answers again, which takes three good probes of it."""
    restored_at = gateway.clock.monotonic()

    async def answers() -> bool:
        gateway.clock.advance(5)
        raw = await sdk.chat.completions.with_raw_response.create(
            model="chat", messages=[{"role": "user", "content": "Hello"}]
        )
        return raw.headers["x-gateway-served-by"] == "primary"

    await eventually(answers, "the primary answers again")
    assert gateway.clock.monotonic() - restored_at >= GOOD_PROBES_S


@pytest.mark.rig
@pytest.mark.parametrize("client", ["openai-python", "openai-node", "ai-sdk", "langchain-openai", "pydantic-ai"])
async def test_a_client_goes_on_across_a_cutover_and_back(
    client: str, provider: RunningSandbox, template: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """What the client says and expects stands in its ``story_*``: it retires and restores the model, as one may."""
    prepare(client)
    async with gateway_before(provider, "gpt-6-luna", template, tmp_path) as gateway:
        environ = told(gateway=f"http://127.0.0.1:{gateway.port}/v1", sandbox=provider.url)
        passing = asyncio.create_task(time_passes(gateway, provider))
        try:
            cases = await asyncio.to_thread(run, client, "story_", environ, tmp_path)
        finally:
            passing.cancel()
            with suppress(asyncio.CancelledError):
                await passing
    report_each(cases, subtests)


async def time_passes(gateway: ServedGateway, provider: RunningSandbox) -> None:
    """Let time pass as usual, and two minutes in a few seconds when the model is back and its route is not yet."""
    while True:
        lives = provider.sandbox.provider.models[FINE_TUNE].retired_as is None
        (listed,) = (await gateway.client.get("/v1/models")).json()["data"]
        gateway.clock.advance(5.0 if lives and listed["served_by"] == "fallback" else 0.05)
        await asyncio.sleep(0.05)
