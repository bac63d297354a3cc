"""Anthropic's Messages API behind OpenAI's format: what arrives there, what comes back, and what it costs."""

from pathlib import Path

import anthropic_format as anthropic
import pytest
from conftest import KEY, ServeVendor
from fake_provider import GONE, FakeProvider
from vendor_server import VendorServer
from vendor_stories import CONVERSATION, PICTURE, PNG, TOOL_PARAMETERS, TOOLS, choice, counts, finishes, tool_calls

from gateway.providers.credentials import LOOK_AGAIN_S

pytestmark = pytest.mark.rig

ASKED = [{"role": "user", "content": [{"type": "text", "text": "Where is my order?"}]}]
TOOL = {"name": "find_order", "description": "Find it.", "input_schema": TOOL_PARAMETERS, "type": "custom"}
CACHED = {"input_tokens": 30, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 60, "output_tokens": 20}


def sent_to(claude: VendorServer) -> dict[str, object]:
    """The body that arrived, without the limit that Anthropic demands and OpenAI does not."""
    body = claude.sent()
    assert body.pop("max_tokens") > 0
    return dict(body)


async def test_a_question_arrives_as_anthropic_wants_it_and_its_answer_as_openai_would_say_it(
    serve_vendor: ServeVendor,
) -> None:
    gateway, claude = await serve_vendor("anthropic")
    answer = await gateway.chat()
    assert answer.status_code == 200
    assert answer.headers["x-gateway-served-by"] == "primary"
    assert choice(answer)["message"]["content"] == "Hello there."
    assert choice(answer)["finish_reason"] == "stop"
    (call,) = claude.asked()
    assert (call.path, call.header("x-api-key"), call.header("authorization")) == ("/v1/messages", KEY, None)
    assert call.header("anthropic-version") == "2023-06-01"
    assert sent_to(claude) == {"model": anthropic.MODEL, "messages": ASKED}
    (row,) = await gateway.rows(1)
    assert (row.model_answered, row.usage_source, row.outcome) == (anthropic.MODEL, "provider", "ok")
    assert (*counts(row), row.cost_nanousd) == (10, 0, 0, 4, 0, 10 * 1000 + 4 * 2000)


@pytest.mark.parametrize("wants_usage", [True, False], ids=["usage asked for", "usage not asked for"])
async def test_a_stream_is_translated_event_by_event(serve_vendor: ServeVendor, wants_usage: bool) -> None:
    gateway, claude = await serve_vendor("anthropic")
    answer = await gateway.stream(**({"stream_options": {"include_usage": True}} if wants_usage else {}))
    assert (answer.text, answer.done, finishes(answer.chunks)) == ("Hello there.", True, ["stop"])
    usage = [(chunk["choices"], chunk["usage"]["total_tokens"]) for chunk in answer.chunks if "usage" in chunk]
    assert usage == ([([], 14)] if wants_usage else [])
    assert b'"cost"' not in answer.raw, "the price is the ledger's to say"
    assert claude.sent()["stream"] is True
    (row,) = await gateway.rows(1)
    assert (*counts(row), row.usage_source, row.stream) == (10, 0, 0, 4, 0, "provider", 1)


async def test_a_conversation_with_tools_is_translated_both_ways(serve_vendor: ServeVendor) -> None:
    gateway, claude = await serve_vendor("anthropic")
    claude.usual = anthropic.answers(anthropic.TOOL_USE, stop_reason="tool_use")
    settings = {"max_completion_tokens": 77, "temperature": 0.3, "stop": ["END"], "user": "u-1"}
    answer = await gateway.chat(messages=CONVERSATION, tools=TOOLS, tool_choice="required", **settings)
    assert claude.sent() == {
        "model": anthropic.MODEL,
        "system": [{"type": "text", "text": "Be kind."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Where is order 17?"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "find_order", "input": {"number": 17}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "On its way."},
                    {"type": "text", "text": "Thanks. When does it come?"},
                ],
            },
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "any"},
        "max_tokens": 77,
        "temperature": 0.3,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
    }
    said = choice(answer)
    (call,) = said["message"]["tool_calls"]
    assert (said["finish_reason"], said["message"]["content"]) == ("tool_calls", None)
    assert (call["id"], call["type"]) == ("toolu_01", "function")
    assert (call["function"]["name"], call["function"]["arguments"]) == ("find_order", '{"number": 17}')


async def test_a_streamed_tool_call_is_put_together_as_openais_is(serve_vendor: ServeVendor) -> None:
    gateway, claude = await serve_vendor("anthropic")
    blocks = [*anthropic.text_block("Let me see."), *anthropic.tool_block('{"num', 'ber": 17}', index=1)]
    claude.usual = anthropic.whole_stream(*blocks, stop_reason="tool_use")
    answer = await gateway.stream(tools=TOOLS)
    assert (answer.text, finishes(answer.chunks), answer.done) == ("Let me see.", ["tool_calls"], True)
    assert tool_calls(answer.chunks) == [("find_order", {"number": 17})]
    assert sent_to(claude)["tools"] == [TOOL]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_what_a_cache_gave_and_took_is_counted_and_priced(serve_vendor: ServeVendor, streams: bool) -> None:
    gateway, claude = await serve_vendor("anthropic")
    events = (anthropic.begun(usage=CACHED), *anthropic.text_block("Hi."), anthropic.ended(output_tokens=20))
    streamed = anthropic.streamed(*events, anthropic.STOP)
    claude.usual = streamed if streams else anthropic.answers(usage=CACHED)
    await gateway.chat(stream=streams)
    (row,) = await gateway.rows(1)
    assert counts(row) == (100, 60, 10, 20, 0)
    assert row.cost_nanousd == 40 * 1000 + 60 * 100 + 20 * 2000


async def test_a_picture_arrives_as_a_source(serve_vendor: ServeVendor) -> None:
    gateway, claude = await serve_vendor("anthropic")
    assert (await gateway.chat(messages=PICTURE)).status_code == 200
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    (message,) = claude.sent()["messages"]
    assert message["content"] == [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]


async def test_a_fallback_gets_its_prompt_with_all_instructions_in_front(
    serve_vendor: ServeVendor, provider: FakeProvider
) -> None:
    """The caller's own instructions stand behind the examples by then, and are still no user's words."""
    provider.models["tuned"] = GONE
    gateway, claude = await serve_vendor("anthropic")
    answer = await gateway.chat("understudy", messages=CONVERSATION[:2])
    assert (answer.headers["x-gateway-served-by"], choice(answer)["message"]["content"]) == ("fallback", "Hello there.")
    sent = sent_to(claude)
    assert sent["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    assert sent["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
        {"role": "user", "content": [{"type": "text", "text": "Where is order 17?"}]},
    ]


async def test_a_model_that_is_absent_from_anthropics_list_is_found_gone(serve_vendor: ServeVendor) -> None:
    gateway, claude = await serve_vendor("anthropic")
    claude.usual = anthropic.refuses(404, "not_found_error", f"model: {anthropic.MODEL}")
    assert (await gateway.chat()).headers["x-gateway-reason"] == "gone"
    claude.usual = anthropic.USUAL
    again = await gateway.chat()
    assert again.headers["x-gateway-served-by"] == "fallback", "nobody asks a dead model"
    rows = await gateway.rows_of_callers(3)
    assert [row.failure for row in rows] == ["model_gone", None, None]


async def test_a_key_that_changes_in_its_file_goes_with_the_next_request(
    serve_vendor: ServeVendor, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-first")
    gateway, claude = await serve_vendor("anthropic", key_file=file)
    await gateway.chat()
    file.write_text("sk-the-second")
    gateway.clock.advance(LOOK_AGAIN_S)
    await gateway.chat()
    assert [call.header("x-api-key") for call in claude.asked()] == ["sk-first", "sk-the-second"]
