"""One conversation with tools, across its fine-tune's death between a call and its result, and across its return."""

import os
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

GATEWAY = {"base_url": os.environ["BASE_URL"], "api_key": os.environ["API_KEY"]}
FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
CITIES = ("Lisbon", "Porto", "Madrid", "Oslo", "Rome")
# Who answers: for each city a call, and what is said of its result.
SERVED_BY = ["primary"] * 3 + ["fallback"] * 4 + ["primary"] * 3


@pytest.mark.parametrize("over_responses", [False, True], ids=["over chat completions", "over responses"])
def test_a_conversation(over_responses: bool, provider: Any) -> None:
    model = ChatOpenAI(**GATEWAY, model="chat", use_responses_api=over_responses, include_response_headers=True)

    def served_by(message: Any) -> str:
        return str(message.response_metadata["headers"]["x-gateway-served-by"])

    @tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        if city == "Porto":
            provider.retire(FINE_TUNE)
        if city == "Oslo":
            provider.restore(FINE_TUNE, lambda: served_by(model.invoke("Hello")) == "primary")
        return f"sunny in {city}"

    able = model.bind_tools([get_weather])
    messages: list[Any] = []
    for city in CITIES:
        messages.append(HumanMessage(f"What is the weather in {city}?"))
        messages.append(able.invoke(messages))
        (call,) = messages[-1].tool_calls
        messages.append(get_weather.invoke(call))
        messages.append(able.invoke(messages))
        assert f"sunny in {city}" in messages[-1].text
    assert [served_by(message) for message in messages if message.type == "ai"] == SERVED_BY
