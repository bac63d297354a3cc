"""One conversation with tools, across its fine-tune's death between a call and its result, and across its return."""

import json
from typing import Any

import openai
from pydantic import BaseModel

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
CITIES = ("Lisbon", "Porto", "Madrid", "Oslo", "Rome")
# Who answers: for each city a call, and what is said of its result.
SERVED_BY = ["primary"] * 3 + ["fallback"] * 4 + ["primary"] * 3


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str


def get_weather(client: openai.OpenAI, provider: Any, city: str) -> str:
    def is_back() -> bool:
        hello: Any = [{"role": "user", "content": "Hello"}]
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=hello)
        return raw.headers["x-gateway-served-by"] == "primary"

    if city == "Porto":
        provider.retire(FINE_TUNE)
    if city == "Oslo":
        provider.restore(FINE_TUNE, is_back)
    return f"sunny in {city}"


def test_a_conversation_over_chat_completions(client: openai.OpenAI, provider: Any) -> None:
    messages: list[Any] = []
    served_by, ids = [], set()

    def answer() -> Any:
        tools = [openai.pydantic_function_tool(GetWeather)]
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=messages, tools=tools)
        served_by.append(raw.headers["x-gateway-served-by"])
        messages.append(raw.parse().choices[0].message)
        return messages[-1]

    for city in CITIES:
        messages.append({"role": "user", "content": f"What is the weather in {city}?"})
        (call,) = answer().tool_calls
        ids.add(call.id)
        content = get_weather(client, provider, **json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        assert f"sunny in {city}" in answer().content
    assert served_by == SERVED_BY
    assert len(ids) == len(CITIES)


def test_a_conversation_over_responses_that_goes_on_from_what_is_stored(client: openai.OpenAI, provider: Any) -> None:
    served_by: list[str] = []
    last = None

    def answer(item: Any) -> Any:
        nonlocal last
        tool: Any = {"type": "function", **openai.pydantic_function_tool(GetWeather)["function"]}
        raw = client.responses.with_raw_response.create(
            model="chat", input=[item], tools=[tool], previous_response_id=last and last.id
        )
        served_by.append(raw.headers["x-gateway-served-by"])
        last = raw.parse()
        return last

    for city in CITIES:
        asked = answer({"role": "user", "content": f"What is the weather in {city}?"})
        (call,) = (item for item in asked.output if item.type == "function_call")
        output = get_weather(client, provider, **json.loads(call.arguments))
        told = answer({"type": "function_call_output", "call_id": call.call_id, "output": output})
        assert f"sunny in {city}" in told.output_text
    assert served_by == SERVED_BY
