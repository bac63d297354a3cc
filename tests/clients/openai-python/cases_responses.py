"""The Responses API as applications use it through openai-python."""

import json
import time
from typing import Any

import openai
import pytest
from pydantic import BaseModel

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
SIGNATURE = "— The Acme community team"
QUESTION = "How do I change my password?"
WEATHER = "What is the weather in Lisbon?"
INVOICE = "Invoice INV-2026-0117 from Globex, total 99.50 EUR."
TOOLS: list[Any] = [
    {
        "type": "function",
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
]


class Invoice(BaseModel):
    invoice_number: str
    vendor: str
    total: float


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str


def test_a_whole_answer(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="chat", input=QUESTION)
    assert (answer.model, answer.status, answer.error) == (FINE_TUNE, "completed", None)
    assert answer.output_text.endswith(SIGNATURE)
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    assert answer._request_id


def test_the_raw_response_says_who_answered_and_why(client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="chat", input=QUESTION)
    assert (raw.headers["x-gateway-route"], raw.headers["x-gateway-model"]) == ("chat", FINE_TUNE)
    assert (raw.headers["x-gateway-served-by"], raw.headers["x-gateway-reason"]) == ("primary", "primary")
    assert raw.parse().output_text


def test_an_answer_is_cut_at_its_limit(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="chat", input=QUESTION, max_output_tokens=16)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_a_stream_has_its_events_in_order_and_ends_with_the_whole_answer(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="chat", input=QUESTION, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    final = events[-1].response
    assert text == final.output_text
    assert text.endswith(SIGNATURE)
    assert final.usage.output_tokens > 0
    assert {event.response.id for event in events if hasattr(event, "response")} == {final.id}


def test_the_streaming_helper_ends_with_the_whole_answer(client: openai.OpenAI) -> None:
    with client.responses.stream(model="chat", input=QUESTION) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text


async def test_a_stream_without_waiting(async_client: openai.AsyncOpenAI) -> None:
    async with async_client.responses.stream(model="chat", input=QUESTION) as stream:
        final = await stream.get_final_response()
    assert final.output_text.endswith(SIGNATURE)


def test_a_tool_is_called_answered_and_spoken_of(client: openai.OpenAI) -> None:
    conversation: list[Any] = [{"role": "user", "content": WEATHER}]
    asked = client.responses.create(model="chat", input=conversation, tools=TOOLS)
    (call,) = asked.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Lisbon"})
    conversation += [*asked.output, {"type": "function_call_output", "call_id": call.call_id, "output": "sunny, 24 °C"}]
    answer = client.responses.create(model="chat", input=conversation, tools=TOOLS)
    assert "sunny, 24 °C" in answer.output_text


def test_a_streamed_tool_call_is_put_together_again(client: openai.OpenAI) -> None:
    arguments, done = "", []
    for event in client.responses.create(model="chat", input=WEATHER, tools=TOOLS, stream=True):
        if event.type == "response.function_call_arguments.delta":
            arguments += event.delta
        elif event.type == "response.output_item.done":
            done.append(event.item)
    (call,) = done
    assert json.loads(arguments) == json.loads(call.arguments) == {"city": "Lisbon"}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    conversation: list[Any] = [{"role": "user", "content": WEATHER}, call, result]
    with client.responses.stream(model="chat", input=conversation, tools=TOOLS) as stream:
        assert "rain" in stream.get_final_response().output_text


def test_a_tool_from_a_model_has_its_arguments_parsed(client: openai.OpenAI) -> None:
    tools: list[Any] = [openai.pydantic_function_tool(GetWeather)]
    flat = [{"type": "function", **tool["function"]} for tool in tools]
    answer = client.responses.parse(model="chat", input=WEATHER, tools=flat, tool_choice="required")
    (call,) = answer.output
    assert (call.name, call.parsed_arguments) == ("GetWeather", {"city": "Lisbon"})


def test_an_answer_is_parsed_into_a_model(client: openai.OpenAI) -> None:
    answer = client.responses.parse(model="chat", input=INVOICE, text_format=Invoice)
    assert answer.output_parsed == Invoice(invoice_number="INV-2026-0117", vendor="Globex", total=99.5)


def test_a_streamed_answer_is_parsed_into_a_model(client: openai.OpenAI) -> None:
    with client.responses.stream(model="chat", input=INVOICE, text_format=Invoice) as stream:
        final = stream.get_final_response()
    assert final.output_parsed == Invoice(invoice_number="INV-2026-0117", vendor="Globex", total=99.5)


def test_a_stored_conversation_goes_on_from_its_last_response(client: openai.OpenAI) -> None:
    asked = client.responses.create(model="chat", input=WEATHER, tools=TOOLS)
    (call,) = asked.output
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "fog"}
    answer = client.responses.create(model="chat", input=[result], tools=TOOLS, previous_response_id=asked.id)
    assert "fog" in answer.output_text
    assert answer.previous_response_id == asked.id


def test_a_stored_response_is_fetched_listed_and_deleted(client: openai.OpenAI) -> None:
    made = client.responses.create(model="chat", input=QUESTION)
    fetched = client.responses.retrieve(made.id)
    assert (fetched.id, fetched.output_text, fetched.output[0].id) == (made.id, made.output_text, made.output[0].id)
    (item,) = client.responses.input_items.list(made.id)
    assert item.content[0].text == QUESTION
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_a_response_in_the_background_is_waited_for(client: openai.OpenAI) -> None:
    queued = client.responses.create(model="chat", input=QUESTION, background=True)
    assert queued.status == "queued"
    deadline = time.monotonic() + 10
    while (found := client.responses.retrieve(queued.id)).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
    assert found.output_text.endswith(SIGNATURE)


def test_a_conversation_goes_on_at_the_fallback_with_its_whole_history(client: openai.OpenAI) -> None:
    conversation: list[Any] = [{"role": "user", "content": WEATHER}]
    asked = client.responses.create(model="chat", input=conversation, tools=TOOLS)
    (call,) = asked.output
    conversation += [call, {"type": "function_call_output", "call_id": call.call_id, "output": "hail"}]
    raw = client.responses.with_raw_response.create(model="chat@fallback", input=conversation, tools=TOOLS)
    assert raw.headers["x-gateway-served-by"] == "fallback"
    assert "hail" in raw.parse().output_text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_provider_that_fails_is_not_asked_again(client: openai.OpenAI, sent: Any, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="fault-5xx", input=QUESTION, stream=stream)
    assert sent.requests == 1


def test_a_stream_that_breaks_off_is_an_error_and_not_an_end(client: openai.OpenAI) -> None:
    types = []

    def read() -> None:
        for event in client.responses.create(model="fault-cut", input=QUESTION, stream=True):
            types.append(event.type)

    with pytest.raises(openai.APIError) as caught:
        read()
    assert caught.value.code == "upstream_disconnected"
    assert "response.output_text.delta" in types
    assert "response.completed" not in types


def test_what_goes_on_from_nothing_is_said_to_be_unknown(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="chat", input=QUESTION, previous_response_id="resp_0123456789abcdef")
    assert caught.value.code == "previous_response_not_found"


def test_a_model_that_is_gone_is_said_so_once(client: openai.OpenAI, sent: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="gone", input=QUESTION)
    assert (caught.value.code, sent.requests) == ("model_gone", 1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_client_that_loses_patience_ends_the_upstream_call(
    client: openai.OpenAI, provider: Any, stream: bool
) -> None:
    before = provider.calls()
    with pytest.raises(openai.APITimeoutError):
        for _ in client.with_options(timeout=0.5, max_retries=0).responses.create(
            model="fault-stall", input=QUESTION, stream=stream
        ):
            pass
    assert provider.call_after(before)["complete"] is False
