"""Amazon Bedrock's Converse behind OpenAI's format: what arrives there, what comes back, and what it costs."""

import bedrock_format as bedrock
import pytest
from conftest import KEY, ServeVendor
from fake_provider import GONE, FakeProvider
from vendor_stories import CONVERSATION, PICTURE, PNG, TOOL_PARAMETERS, TOOLS, choice, counts, finishes, tool_calls

pytestmark = pytest.mark.rig

PATH = f"/model/{bedrock.MODEL.replace(':', '%3A')}"
ASKED = [{"role": "user", "content": [{"text": "Where is my order?"}]}]
TOOL = {"toolSpec": {"name": "find_order", "description": "Find it.", "inputSchema": {"json": TOOL_PARAMETERS}}}
CACHED = {
    "inputTokens": 30,
    "cacheReadInputTokens": 60,
    "cacheWriteInputTokens": 10,
    "outputTokens": 20,
    "totalTokens": 120,
}


async def test_a_question_arrives_as_aws_wants_it_and_its_answer_as_openai_would_say_it(
    serve_vendor: ServeVendor,
) -> None:
    gateway, aws = await serve_vendor("bedrock")
    answer = await gateway.chat()
    assert answer.status_code == 200
    assert choice(answer)["message"]["content"] == "Hello there."
    assert choice(answer)["finish_reason"] == "stop"
    (call,) = aws.asked()
    assert (call.path, call.header("authorization")) == (f"{PATH}/converse", f"Bearer {KEY}")
    assert call.json == {"messages": ASKED, "inferenceConfig": {}}
    (row,) = await gateway.rows(1)
    assert (row.usage_source, row.outcome) == ("provider", "ok")
    assert (*counts(row), row.cost_nanousd) == (10, 0, 0, 4, 0, 10 * 1000 + 4 * 2000)


async def test_a_binary_event_stream_is_translated_event_by_event(serve_vendor: ServeVendor) -> None:
    gateway, aws = await serve_vendor("bedrock")
    answer = await gateway.stream(stream_options={"include_usage": True})
    assert (answer.text, answer.done, finishes(answer.chunks)) == ("Hello there.", True, ["stop"])
    (usage,) = [chunk for chunk in answer.chunks if "usage" in chunk]
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 14)
    assert [call.path for call in aws.asked()] == [f"{PATH}/converse-stream"]
    (row,) = await gateway.rows(1)
    assert (*counts(row), row.usage_source) == (10, 0, 0, 4, 0, "provider")


async def test_a_conversation_with_tools_is_translated_both_ways(serve_vendor: ServeVendor) -> None:
    gateway, aws = await serve_vendor("bedrock")
    aws.usual = bedrock.answers(bedrock.TOOL_USE, stop_reason="tool_use")
    settings = {"max_completion_tokens": 77, "temperature": 0.3, "stop": ["END"]}
    answer = await gateway.chat(messages=CONVERSATION, tools=TOOLS, tool_choice="required", **settings)
    call = {"toolUse": {"toolUseId": "call_1", "name": "find_order", "input": {"number": 17}}}
    result = {"toolResult": {"toolUseId": "call_1", "content": [{"text": "On its way."}]}}
    assert aws.sent() == {
        "system": [{"text": "Be kind."}],
        "messages": [
            {"role": "user", "content": [{"text": "Where is order 17?"}]},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result, {"text": "Thanks. When does it come?"}]},
        ],
        "toolConfig": {"tools": [TOOL], "toolChoice": {"any": {}}},
        "inferenceConfig": {"temperature": 0.3, "stopSequences": ["END"], "maxTokens": 77},
    }
    said = choice(answer)
    (made,) = said["message"]["tool_calls"]
    assert (said["finish_reason"], made["id"]) == ("tool_calls", "tooluse_01")
    assert (made["function"]["name"], made["function"]["arguments"]) == ("find_order", '{"number": 17}')


async def test_a_streamed_tool_call_is_put_together_as_openais_is(serve_vendor: ServeVendor) -> None:
    gateway, aws = await serve_vendor("bedrock")
    blocks = [*bedrock.text_block("Let me see."), *bedrock.tool_block('{"num', 'ber": 17}', index=1)]
    aws.usual = bedrock.whole_stream(*blocks, stop_reason="tool_use")
    answer = await gateway.stream(tools=TOOLS)
    assert (answer.text, finishes(answer.chunks), answer.done) == ("Let me see.", ["tool_calls"], True)
    assert tool_calls(answer.chunks) == [("find_order", {"number": 17})]
    assert aws.sent()["toolConfig"] == {"tools": [TOOL]}


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
async def test_what_a_cache_gave_and_took_is_counted_and_priced(serve_vendor: ServeVendor, streams: bool) -> None:
    gateway, aws = await serve_vendor("bedrock")
    aws.usual = bedrock.whole_stream(usage=CACHED) if streams else bedrock.answers(usage=CACHED)
    await gateway.chat(stream=streams)
    (row,) = await gateway.rows(1)
    assert counts(row) == (100, 60, 10, 20, 0), "AWS counts what was cached beside the input, OpenAI within it"
    assert row.cost_nanousd == 40 * 1000 + 60 * 100 + 20 * 2000


async def test_a_picture_arrives_as_bytes(serve_vendor: ServeVendor) -> None:
    gateway, aws = await serve_vendor("bedrock")
    assert (await gateway.chat(messages=PICTURE)).status_code == 200
    (message,) = aws.sent()["messages"]
    assert message["content"] == [{"text": "What is this?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]


async def test_a_fallback_gets_its_prompt_with_all_instructions_in_front(
    serve_vendor: ServeVendor, provider: FakeProvider
) -> None:
    provider.models["tuned"] = GONE
    gateway, aws = await serve_vendor("bedrock")
    answer = await gateway.chat("understudy", messages=CONVERSATION[:2])
    assert (answer.headers["x-gateway-served-by"], choice(answer)["message"]["content"]) == ("fallback", "Hello there.")
    assert aws.sent() == {
        "system": [{"text": "Be brief."}, {"text": "Be kind."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi"}]},
            {"role": "assistant", "content": [{"text": "Hello."}]},
            {"role": "user", "content": [{"text": "Where is order 17?"}]},
        ],
        "inferenceConfig": {},
    }


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(bedrock.text_block(" there.")[0][:-7], id="a message that is cut short"),
        pytest.param(bedrock.text_block(" there.")[0][:-1] + b"\xff", id="a message whose checksum is wrong"),
        pytest.param(b"\0" * 4 + bedrock.text_block(" there.")[0][4:], id="a message whose length is wrong"),
    ],
)
async def test_a_damaged_event_stream_ends_in_one_error(serve_vendor: ServeVendor, last: bytes) -> None:
    gateway, aws = await serve_vendor("bedrock")
    aws.usual = bedrock.streamed(bedrock.BEGUN, bedrock.text_block("Hello")[0], last)
    answer = await gateway.stream()
    assert (answer.text, len(answer.errors), answer.done) == ("Hello", 1, False)
    (row,) = await gateway.rows(1)
    assert row.outcome == "interrupted"
