"""One conversation with tools, across its fine-tune's death between a call and its result, and across its return."""

import os
from typing import Any

import pytest
from openai import OpenAI
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

GATEWAY = {"base_url": os.environ["BASE_URL"], "api_key": os.environ["API_KEY"]}
FINE_TUNE, FALLBACK = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4", "gpt-6-luna"
CITIES = ("Lisbon", "Porto", "Madrid", "Oslo", "Rome")
# Who answers: for each city a call, and what is said of its result.
ANSWERED = [FINE_TUNE] * 3 + [FALLBACK] * 4 + [FINE_TUNE] * 3


def is_back() -> bool:
    with OpenAI(**GATEWAY) as client:
        hello: Any = [{"role": "user", "content": "Hello"}]
        return client.chat.completions.create(model="chat", messages=hello).model == FINE_TUNE


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel], ids=["chat completions", "responses"])
async def test_a_conversation(kind: Any, streamed: bool, provider: Any) -> None:
    agent = Agent(kind("chat", provider=OpenAIProvider(**GATEWAY)))

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        if city == "Porto":
            provider.retire(FINE_TUNE)
        if city == "Oslo":
            provider.restore(FINE_TUNE, is_back)
        return f"sunny in {city}"

    history: list[ModelMessage] = []
    for city in CITIES:
        question = f"What is the weather in {city}?"
        if streamed:
            async with agent.run_stream(question, message_history=history) as stream:
                output = await stream.get_output()
            history = stream.all_messages()
        else:
            result = await agent.run(question, message_history=history)
            output, history = result.output, result.all_messages()
        assert f"sunny in {city}" in output
    assert [message.model_name for message in history if isinstance(message, ModelResponse)] == ANSWERED
