"""Chat completions as applications use them through openai-python."""

import asyncio
import json
from typing import Any

import openai
from pydantic import BaseModel, Field

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
SIGNATURE = "— The Acme community team"
QUESTION: list[Any] = [{"role": "user", "content": "How do I change my password?"}]
WEATHER: list[Any] = [{"role": "user", "content": "What is the weather in Lisbon?"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]


class Invoice(BaseModel):
    invoice_number: str
    vendor: str
    total: float
    lines: list[str] = Field(min_length=1)


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str


INVOICE: list[Any] = [{"role": "user", "content": "Invoice INV-2026-0117 from Globex, total 99.50 EUR."}]


def test_a_whole_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=QUESTION)
    assert answer.model == FINE_TUNE
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content.endswith(SIGNATURE)
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def test_the_raw_response_says_who_answered_and_why(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=QUESTION)
    assert raw.headers["x-gateway-route"] == "chat"
    assert raw.headers["x-gateway-model"] == FINE_TUNE
    assert (raw.headers["x-gateway-served-by"], raw.headers["x-gateway-reason"]) == ("primary", "primary")
    assert raw.headers["x-gateway-attempts"] == "1"
    assert raw.headers["x-request-id"] == raw.request_id
    assert raw.parse().choices[0].message.content


def test_the_fallback_by_its_pin(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="chat@fallback", messages=QUESTION, max_tokens=200)
    assert (raw.headers["x-gateway-served-by"], raw.headers["x-gateway-reason"]) == ("fallback", "pinned")
    assert "max_tokens" in raw.headers["x-gateway-adapted"]
    assert raw.parse().model == "gpt-6-luna"


def test_the_routes_are_listed_as_models(client: openai.OpenAI) -> None:
    assert {"chat", "embeddings"} <= {model.id for model in client.models.list()}


def test_a_stream_without_usage(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="chat", messages=QUESTION, stream=True))
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).endswith(SIGNATURE)


def test_a_stream_with_usage_at_its_end(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(model="chat", messages=QUESTION, stream=True, stream_options=options)
    *chunks, last = stream
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage.completion_tokens > 0


def test_the_streaming_helper_ends_with_the_whole_answer(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="chat", messages=QUESTION) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
    assert stream.get_final_completion().choices[0].message.content == text


def test_a_tool_is_called_answered_and_spoken_of(client: openai.OpenAI) -> None:
    asked = client.chat.completions.create(model="chat", messages=WEATHER, tools=TOOLS)
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    (call,) = message.tool_calls
    assert (call.type, call.function.name, json.loads(call.function.arguments)) == (
        "function",
        "get_weather",
        {"city": "Lisbon"},
    )
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny, 24 °C"}
    answer = client.chat.completions.create(model="chat", messages=[*WEATHER, message, result], tools=TOOLS)
    assert "sunny, 24 °C" in answer.choices[0].message.content


def test_a_streamed_tool_call_is_put_together_again(client: openai.OpenAI) -> None:
    name, arguments, ids = "", "", set()
    for chunk in client.chat.completions.create(model="chat", messages=WEATHER, tools=TOOLS, stream=True):
        for call in chunk.choices[0].delta.tool_calls or ():
            ids |= {call.id} - {None}
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    assert (name, json.loads(arguments), len(ids)) == ("get_weather", {"city": "Lisbon"}, 1)
    calls = [{"id": ids.pop(), "type": "function", "function": {"name": name, "arguments": arguments}}]
    history = [*WEATHER, {"role": "assistant", "tool_calls": calls}]
    result = {"role": "tool", "tool_call_id": calls[0]["id"], "content": "rain"}
    stream = client.chat.completions.create(model="chat", messages=[*history, result], tools=TOOLS, stream=True)
    assert "rain" in "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_a_tool_from_a_model_has_its_arguments_parsed(client: openai.OpenAI) -> None:
    tools = [openai.pydantic_function_tool(GetWeather)]
    answer = client.chat.completions.parse(model="chat", messages=WEATHER, tools=tools, tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.parsed_arguments == GetWeather(city="Lisbon")


def test_an_answer_is_parsed_into_a_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model="chat", messages=INVOICE, response_format=Invoice)
    invoice = answer.choices[0].message.parsed
    assert (invoice.invoice_number, invoice.vendor, invoice.total) == ("INV-2026-0117", "Globex", 99.5)


def test_a_streamed_answer_is_parsed_into_a_model(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="chat", messages=INVOICE, response_format=Invoice) as stream:
        stream.until_done()
    assert stream.get_final_completion().choices[0].message.parsed.invoice_number == "INV-2026-0117"


async def test_many_at_once(async_client: openai.AsyncOpenAI) -> None:
    async def ask(city: str) -> str:
        messages: Any = [{"role": "user", "content": f"How do I get to {city}?"}]
        stream = await async_client.chat.completions.create(model="chat", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    cities = [f"Springfield {number}" for number in range(20)]
    for city, text in zip(cities, await asyncio.gather(*map(ask, cities)), strict=True):
        assert city in text
