from base64 import b64decode
from collections.abc import Iterator
from datetime import date
from pathlib import Path

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
ASK_TEXT = ASK[0]["content"]
WEATHER_HERE = {"type": "function", **WEATHER["function"], "strict": False}


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


def test_a_response_is_created_continued_read_and_deleted(client: openai.OpenAI) -> None:
    first = client.responses.create(model=FORUM, input=ASK_TEXT)
    assert first.output_text.startswith("Hi there")
    assert first.usage.output_tokens > 10
    second = client.responses.create(model=FORUM, input="And tomorrow?", previous_response_id=first.id)
    assert second.usage.input_tokens > first.usage.input_tokens
    assert client.responses.retrieve(second.id).output_text == second.output_text
    roles = [item.role for item in client.responses.input_items.list(second.id, order="asc", limit=1)]
    assert roles == ["user", "assistant", "user"]
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_a_streamed_response_adds_up(client: openai.OpenAI) -> None:
    with client.responses.stream(model="gpt-6-luna", input="Good morning", reasoning={"summary": "auto"}) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert [item.type for item in final.output] == ["reasoning", "message"]
    assert (final.status, final.output_text) == ("completed", text)
    events = list(client.responses.create(model=FORUM, input=ASK_TEXT, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == client.responses.create(model=FORUM, input=ASK_TEXT).output_text


def test_a_streamed_responses_call_and_its_output(client: openai.OpenAI) -> None:
    with client.responses.stream(model=FORUM, input=ASK_TEXT, tools=[WEATHER_HERE]) as stream:
        final = stream.get_final_response()
    [call] = final.output
    assert (call.name, call.arguments) == ("get_weather", '{"city":"Paris"}')
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    answer = client.responses.create(model=FORUM, input=[output], previous_response_id=final.id)
    assert "rain" in answer.output_text


def test_a_responses_parsed_schema(client: openai.OpenAI) -> None:
    answer = client.responses.parse(
        model=FORUM, input="INV-2026-9 of 2026-11-02, in all 99.90 EUR", text_format=Invoice
    )
    assert (answer.output_parsed.invoice_number, answer.output_parsed.total) == ("INV-2026-9", 99.9)


def test_a_responses_stream_that_fails_raises(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="had an error while processing"):
        list(client.responses.create(model="fault-error-in-200", input=ASK_TEXT, stream=True))


def test_embeddings_come_as_floats_whatever_travels(client: openai.OpenAI) -> None:
    by_default = client.embeddings.create(model="text-embedding-3-small", input=["a red rose", "a red tulip"])
    asked_for = client.embeddings.create(
        model="text-embedding-3-small", input=["a red rose", "a red tulip"], encoding_format="float"
    )
    assert by_default.data == asked_for.data
    assert [len(row.embedding) for row in by_default.data] == [1_536, 1_536]
    assert by_default.usage.prompt_tokens == 6
    short = client.embeddings.create(model="text-embedding-3-large", input="a red rose", dimensions=256)
    assert len(short.data[0].embedding) == 256


def test_completions_are_continued_whole_and_streamed(client: openai.OpenAI) -> None:
    asked = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time", "max_tokens": 20}
    whole = client.completions.create(**asked, logprobs=2)
    chunks = client.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert "".join(whole.choices[0].logprobs.tokens) == whole.choices[0].text
    assert whole.usage.completion_tokens == 20


def test_moderations_say_what_is_wrong(client: openai.OpenAI) -> None:
    fine, bad = client.moderations.create(input=["a red rose", "I will kill you"]).results
    assert (fine.flagged, bad.flagged, bad.categories.violence) == (False, True, True)
    assert bad.category_scores.violence > 0.9 > fine.category_scores.violence
    assert bad.category_applied_input_types.violence == ["text"]


def test_images_are_drawn_edited_varied_and_streamed(client: openai.OpenAI) -> None:
    asked = {"model": "gpt-image-1", "prompt": "a red rose", "size": "1024x1024"}
    drawn = client.images.generate(**asked)
    png = b64decode(drawn.data[0].b64_json)
    assert (png[:4], drawn.usage.output_tokens, drawn.size) == (b"\x89PNG", 1_056, "1024x1024")
    edited = client.images.edit(image=[("a.png", png), ("b.png", png)], **asked, n=2)
    assert edited.usage.input_tokens_details.image_tokens == 1_530
    varied = client.images.create_variation(image=("a.png", png), model="gpt-image-1")
    assert len({image.b64_json for image in (*drawn.data, *edited.data, *varied.data)}) == 4
    *partial, completed = client.images.generate(**asked, stream=True, partial_images=2)
    assert [event.type for event in partial] == ["image_generation.partial_image"] * 2
    assert (completed.type, completed.b64_json) == ("image_generation.completed", drawn.data[0].b64_json)
    *_, completed = client.images.edit(image=("a.png", png), **asked, stream=True)
    assert completed.type == "image_edit.completed"


def test_speech_is_heard_again_whole_and_streamed(client: openai.OpenAI, tmp_path: Path) -> None:
    said = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Good morning", "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**said) as response:
        response.stream_to_file(tmp_path / "said.wav")
    assert (tmp_path / "said.wav").read_bytes() == client.audio.speech.create(**said).content
    with (tmp_path / "said.wav").open("rb") as file:
        heard = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file)
    assert (heard.text, heard.usage.type, heard.usage.output_tokens) == ("Good morning", "tokens", 2)
    *deltas, done = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=tmp_path / "said.wav", stream=True
    )
    assert "".join(event.delta for event in deltas) == done.text == "Good morning"
    verbose = client.audio.transcriptions.create(
        model="whisper-1", file=tmp_path / "said.wav", response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )  # fmt: skip
    assert ([word.word for word in verbose.words], verbose.segments[0].end) == (["Good", "morning"], 0.6)
    assert (verbose.usage.type, verbose.usage.seconds) == ("duration", 1)
    translated = client.audio.translations.create(model="whisper-1", file=tmp_path / "said.wav", response_format="text")
    assert translated == "Good morning\n"


def test_what_breaks_in_sound_and_pictures_raises(client: openai.OpenAI) -> None:
    asked = {"model": "fault-error-in-200", "file": ("a.wav", b""), "stream": True}
    with pytest.raises(openai.APIError, match="had an error while processing"):
        list(client.audio.transcriptions.create(**asked))
    with pytest.raises(openai.APIError):
        list(client.images.generate(model="fault-error-in-200", prompt="a rose", stream=True))
    with pytest.raises(openai.BadRequestError, match="does not support 'mp3' with this model"):
        client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Good morning")


def test_errors_have_the_sdks_types(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-unknown", messages=ASK)
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens"):
        client.chat.completions.create(model="gpt-6-luna", messages=ASK, max_tokens=5)
    with pytest.raises(openai.BadRequestError, match="cannot be used with the Responses API"):
        client.responses.create(model="text-embedding-3-small", input=ASK_TEXT)
    with pytest.raises(openai.PermissionDeniedError):
        client.embeddings.create(model=FORUM, input=ASK_TEXT)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="fault-429", messages=ASK)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert FORUM in [model.id for model in client.models.list()]
    assert client.models.retrieve(FORUM).id == FORUM
