"""Google's Gemini API behind OpenAI's format: what arrives there, what comes back, and what it costs."""

import gemini_format as gemini
import pytest
from conftest import KEY, ServeVendor
from fake_provider import GONE, FakeProvider
from vendor_stories import CONVERSATION, PICTURE, PNG, TOOL_PARAMETERS, TOOLS, choice, counts, finishes, tool_calls

pytestmark = pytest.mark.rig

PATH = f"/v1beta/models/{gemini.MODEL}"
DECLARED = [
    {
        "function_declarations": [
            {"name": "find_order", "description": "Find it.", "parameters": TOOL_PARAMETERS},
        ]
    }
]
THOUGHT = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 15,
    "totalTokenCount": 135,
}


def said_by(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"text": text}]}


async def test_a_question_arrives_as_google_wants_it_and_its_answer_as_openai_would_say_it(
    serve_vendor: ServeVendor,
) -> None:
    gateway, google = await serve_vendor("gemini")
    answer = await gateway.chat()
    assert answer.status_code == 200
    assert choice(answer)["message"]["content"] == "Hello there."
    assert choice(answer)["finish_reason"] == "stop"
    (call,) = google.asked()
    assert (call.path, call.header("x-goog-api-key")) == (f"{PATH}:generateContent", KEY)
    assert call.json == {"contents": [said_by("user", "Where is my order?")]}
    (row,) = await gateway.rows(1)
    assert (row.model_answered, row.usage_source, row.outcome) == (gemini.MODEL, "provider", "ok")
    assert (*counts(row), row.cost_nanousd) == (10, 0, 0, 4, 0, 10 * 1000 + 4 * 2000)


async def test_a_stream_is_translated_event_by_event(serve_vendor: ServeVendor) -> None:
    gateway, google = await serve_vendor("gemini")
    answer = await gateway.stream(stream_options={"include_usage": True})
    assert (answer.text, answer.done, finishes(answer.chunks)) == ("Hello there.", True, ["stop"])
    (usage,) = [chunk for chunk in answer.chunks if "usage" in chunk]
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 14)
    (call,) = google.asked()
    assert call.path == f"{PATH}:streamGenerateContent?alt=sse"
    assert KEY not in call.path, "a key in a path ends up in logs"
    (row,) = await gateway.rows(1)
    assert (*counts(row), row.usage_source) == (10, 0, 0, 4, 0, "provider")


async def test_a_conversation_with_tools_is_translated_both_ways(serve_vendor: ServeVendor) -> None:
    gateway, google = await serve_vendor("gemini")
    google.usual = gemini.answers(gemini.TOOL_CALL)
    settings = {"max_completion_tokens": 77, "temperature": 0.3, "stop": ["END"], "n": 2}
    answer = await gateway.chat(messages=CONVERSATION, tools=TOOLS, tool_choice="required", **settings)
    call = {"function_call": {"name": "find_order", "args": {"number": 17}}}
    result = {"function_response": {"name": "find_order", "response": {"content": "On its way."}}}
    assert google.sent() == {
        "system_instruction": {"parts": [{"text": "Be kind."}]},
        "contents": [
            said_by("user", "Where is order 17?"),
            {"role": "model", "parts": [call]},
            {"role": "user", "parts": [result]},
            said_by("user", "Thanks. When does it come?"),
        ],
        "tools": DECLARED,
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "temperature": 0.3,
            "stop_sequences": ["END"],
            "max_output_tokens": 77,
            "candidate_count": 2,
        },
    }
    said = choice(answer)
    (made,) = said["message"]["tool_calls"]
    assert (said["finish_reason"], said["message"]["content"]) == ("tool_calls", None)
    assert (made["function"]["name"], made["function"]["arguments"]) == ("find_order", '{"number": 17}')
    assert made["id"], "Google names none, and OpenAI's clients answer by it"


async def test_a_streamed_tool_call_is_put_together_as_openais_is(serve_vendor: ServeVendor) -> None:
    gateway, google = await serve_vendor("gemini")
    parts = (gemini.chunk("Let me see.", finish=None), gemini.chunk(gemini.TOOL_CALL, finish=None), gemini.chunk(""))
    google.usual = gemini.streamed(*parts)
    answer = await gateway.stream(tools=TOOLS)
    assert (answer.text, finishes(answer.chunks), answer.done) == ("Let me see.", ["tool_calls"], True)
    assert tool_calls(answer.chunks) == [("find_order", {"number": 17})]
    assert google.sent()["tools"] == DECLARED


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_what_was_cached_and_what_was_thought_is_counted_and_priced(
    serve_vendor: ServeVendor, streams: bool
) -> None:
    gateway, google = await serve_vendor("gemini")
    last = gemini.chunk("Hi.", usage=THOUGHT)
    google.usual = gemini.streamed(gemini.HALVES[0], last) if streams else gemini.answers("Hi.", usage=THOUGHT)
    await gateway.chat(stream=streams)
    (row,) = await gateway.rows(1)
    assert counts(row) == (100, 60, 0, 35, 15), "thoughts are output"
    assert row.cost_nanousd == 40 * 1000 + 60 * 100 + 35 * 2000


async def test_a_picture_arrives_inline(serve_vendor: ServeVendor) -> None:
    gateway, google = await serve_vendor("gemini")
    assert (await gateway.chat(messages=PICTURE)).status_code == 200
    (content,) = google.sent()["contents"]
    assert content["parts"] == [
        {"text": "What is this?"},
        {"inline_data": {"data": PNG, "mime_type": "image/png"}},
    ]


async def test_a_fallback_gets_its_prompt_as_the_system_instruction(
    serve_vendor: ServeVendor, provider: FakeProvider
) -> None:
    provider.models["tuned"] = GONE
    gateway, google = await serve_vendor("gemini")
    answer = await gateway.chat("understudy", messages=CONVERSATION[:2])
    assert (answer.headers["x-gateway-served-by"], choice(answer)["message"]["content"]) == ("fallback", "Hello there.")
    assert google.sent() == {
        "system_instruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "contents": [said_by("user", "Hi"), said_by("model", "Hello."), said_by("user", "Where is order 17?")],
    }


async def test_a_blocked_prompt_is_an_answer_that_was_filtered(serve_vendor: ServeVendor) -> None:
    gateway, google = await serve_vendor("gemini")
    google.usual = gemini.BLOCKED
    answer = await gateway.chat()
    assert (answer.status_code, choice(answer)["finish_reason"]) == (200, "content_filter")


async def test_a_stream_that_google_never_ended_is_not_taken_for_a_whole_one(serve_vendor: ServeVendor) -> None:
    """A clean end of the connection is not the end of the answer: only finishReason is."""
    gateway, google = await serve_vendor("gemini")
    google.usual = gemini.streamed(gemini.HALVES[0])
    answer = await gateway.stream()
    assert (answer.text, finishes(answer.chunks[:-1]), answer.done) == ("Hello", [], False)
    assert len(answer.errors) == 1
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.usage_source) == ("interrupted", "interrupted")
