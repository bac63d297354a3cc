from collections.abc import Iterator
from datetime import date

import openai
import pytest
from pydantic import BaseModel

from tests.sandbox_server import RunningSandbox

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(sandbox: RunningSandbox) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=sandbox.base_url, api_key="any", max_retries=0) as opened:
        yield opened


def test_a_plain_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=FORUM, messages=ASK)
    assert answer.choices[0].message.content.startswith("Hi there")
    assert answer.usage.completion_tokens > 10


def test_a_stream_with_its_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model=FORUM, messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == client.chat.completions.create(model=FORUM, messages=ASK).choices[0].message.content
    assert chunks[-1].usage.prompt_tokens > 0


def test_a_streamed_tool_call_adds_up(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=FORUM, messages=ASK, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')


class Invoice(BaseModel):
    invoice_number: str
    date: date
    total: float
    lines: list[str]


def test_a_parsed_schema(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "INV-2026-9 of 2026-11-02, in all 99.90 EUR"}]
    answer = client.chat.completions.parse(model="gpt-6-luna", messages=messages, response_format=Invoice)
    parsed = answer.choices[0].message.parsed
    assert (parsed.invoice_number, parsed.date, parsed.total) == ("INV-2026-9", date(2026, 11, 2), 99.9)


def test_errors_have_the_sdks_types(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-unknown", messages=ASK)
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens"):
        client.chat.completions.create(model="gpt-6-luna", messages=ASK, max_tokens=5)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="fault-429", messages=ASK)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert FORUM in [model.id for model in client.models.list()]
    assert client.models.retrieve(FORUM).id == FORUM
