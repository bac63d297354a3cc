"""Agents of pydantic-ai: over chat completions and over responses, they cannot tell the gateway from OpenAI."""

import os
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, ModelSettings, NativeOutput, ToolOutput
from pydantic_ai.embeddings import Embedder
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.exceptions import ModelAPIError, ModelNotFoundError, ModelRateLimitError, ModelServerError
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

MODELS = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}
INVOICE = "Invoice INV-2026-0117 from Globex, total 99.50 EUR."
WEATHER = "What is the weather in Lisbon?"


class Invoice(BaseModel):
    invoice_number: str
    vendor: str
    total: float


@pytest.fixture(scope="session")
def gateway() -> OpenAIProvider:
    return OpenAIProvider(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"])


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, gateway: OpenAIProvider) -> Any:
    return MODELS[request.param]("chat", provider=gateway)


def weather_agent(model: Any) -> Agent[None, str]:
    agent = Agent(model)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"sunny in {city}, 24 °C"

    return agent


def tool_calls(messages: list[Any]) -> list[ToolCallPart]:
    responses = [message for message in messages if isinstance(message, ModelResponse)]
    return [part for message in responses for part in message.parts if isinstance(part, ToolCallPart)]


async def test_an_agent_answers_and_counts_what_it_used(model: Any) -> None:
    result = await Agent(model, instructions="Be brief.").run("How do I change my password?")
    assert "password" in result.output
    assert result.usage.input_tokens > 0
    assert result.usage.output_tokens > 0


async def test_an_agent_streams(model: Any) -> None:
    async with Agent(model).run_stream("How do I change my password?") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
    assert "password" in "".join(pieces)
    assert stream.usage.output_tokens > 0


async def test_an_agent_calls_its_tool_and_speaks_of_the_result(model: Any) -> None:
    result = await weather_agent(model).run(WEATHER)
    (call,) = tool_calls(result.all_messages())
    assert (call.tool_name, call.args_as_dict()) == ("get_weather", {"city": "Lisbon"})
    assert "sunny in Lisbon, 24 °C" in result.output


async def test_a_conversation_goes_on_with_its_history(model: Any) -> None:
    agent = weather_agent(model)
    first = await agent.run(WEATHER)
    second = await agent.run("What is the weather in Porto?", message_history=first.all_messages())
    assert [call.args_as_dict() for call in tool_calls(second.all_messages())] == [
        {"city": "Lisbon"},
        {"city": "Porto"},
    ]
    assert "sunny in Porto" in second.output


async def test_an_agent_streams_across_a_tool_call(model: Any) -> None:
    async with weather_agent(model).run_stream(WEATHER) as stream:
        assert "sunny in Lisbon" in await stream.get_output()


@pytest.mark.parametrize("how", [ToolOutput, NativeOutput], ids=["by a tool", "by a JSON schema"])
async def test_an_agent_returns_a_model(model: Any, how: Any) -> None:
    result = await Agent(model, output_type=how(Invoice)).run(f"Give the final result: {INVOICE}")
    assert isinstance(result.output, Invoice)


async def test_the_values_of_a_model_come_from_the_prompt(model: Any) -> None:
    result = await Agent(model, output_type=NativeOutput(Invoice)).run(INVOICE)
    assert result.output == Invoice(invoice_number="INV-2026-0117", vendor="Globex", total=99.5)


async def test_a_model_is_streamed_in_parts(model: Any) -> None:
    async with Agent(model, output_type=NativeOutput(Invoice)).run_stream(INVOICE) as stream:
        *_, last = [invoice async for invoice in stream.stream_output(debounce_by=None)]
    assert last.vendor == "Globex"


async def test_embeddings(gateway: OpenAIProvider) -> None:
    embedder = Embedder(OpenAIEmbeddingModel("embeddings", provider=gateway))
    found = await embedder.embed_documents(["a password", "an invoice"])
    assert len(found.embeddings) == 2
    assert found.embeddings[0] != found.embeddings[1]


@pytest.mark.parametrize(
    ("route", "category"),
    [("chatt", ModelNotFoundError), ("gone", ModelNotFoundError), ("fault-5xx", ModelServerError)],
)
async def test_errors_are_put_into_their_category(gateway: OpenAIProvider, route: str, category: type) -> None:
    with pytest.raises(ModelHTTPError) as caught:
        await Agent(OpenAIChatModel(route, provider=gateway)).run("Hello")
    assert isinstance(caught.value, category)


async def test_a_rate_limit_says_when_to_come_back(gateway: OpenAIProvider) -> None:
    with pytest.raises(ModelRateLimitError) as caught:
        await Agent(OpenAIChatModel("fault-429", provider=gateway)).run("Hello")
    assert caught.value.headers["retry-after"] == "2"


async def test_a_client_that_loses_patience_ends_the_upstream_call(gateway: OpenAIProvider, provider: Any) -> None:
    agent = Agent(OpenAIChatModel("fault-stall", provider=gateway), model_settings=ModelSettings(timeout=0.5))
    before = provider.calls()
    with pytest.raises(ModelAPIError):
        await agent.run("Hello")
    assert provider.call_after(before)["complete"] is False
