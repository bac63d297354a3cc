"""Responses and embeddings of vendors that have neither in OpenAI's format."""

import base64
import json
import struct
from typing import Any

import anthropic_format as anthropic
import pytest
from conftest import ServeVendor
from fake_provider import Call, says
from served_gateway import ServedGateway, Streamed
from vendor_stories import TOOL_PARAMETERS, counts

pytestmark = pytest.mark.rig

TOOLS = [{"type": "function", "name": "find_order", "description": "Find it.", "parameters": TOOL_PARAMETERS}]
KINDS = pytest.mark.parametrize("kind", ["anthropic", "gemini", "bedrock"])


async def ask(gateway: ServedGateway, **body: Any) -> Any:
    return await gateway.client.post("/v1/responses", json={"model": "reply", "input": "Where is it?"} | body)


async def stream(gateway: ServedGateway, **body: Any) -> Streamed:
    answer = await ask(gateway, stream=True, **body)
    return Streamed(answer.status_code, answer.headers, answer.content)


@KINDS
async def test_a_response_is_made_of_the_vendors_answer(serve_vendor: ServeVendor, kind: str) -> None:
    gateway, _ = await serve_vendor(kind)
    answer = await ask(gateway)
    said = answer.json()
    (message,) = said["output"]
    assert (answer.status_code, message["content"][0]["text"]) == (200, "Hello there.")
    assert (said["object"], said["status"], said["store"]) == ("response", "completed", False)
    assert "cost" not in said["usage"]
    (row,) = await gateway.rows(1)
    assert (row.endpoint, row.usage_source, *counts(row)) == ("responses", "provider", 10, 0, 0, 4, 0)


@KINDS
async def test_a_streamed_response_has_every_event_numbered_and_ends_complete(
    serve_vendor: ServeVendor, kind: str
) -> None:
    gateway, _ = await serve_vendor(kind)
    answer = await stream(gateway)
    kinds = [chunk["type"] for chunk in answer.chunks]
    assert (kinds[0], kinds[-1], answer.done) == ("response.created", "response.completed", False)
    assert [chunk["sequence_number"] for chunk in answer.chunks] == list(range(len(kinds)))
    assert "".join(chunk["delta"] for chunk in answer.chunks if chunk["type"].endswith("_text.delta")) == "Hello there."
    stored = [chunk["response"]["store"] for chunk in answer.chunks if "response" in chunk]
    assert set(stored) == {False}, "nobody stores it"
    assert b'"cost":0' not in answer.raw
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.usage_source, *counts(row)) == ("ok", "provider", 10, 0, 0, 4, 0)


async def test_a_response_with_tools_and_instructions_is_translated_both_ways(serve_vendor: ServeVendor) -> None:
    gateway, claude = await serve_vendor("anthropic")
    claude.usual = anthropic.answers(anthropic.TOOL_USE, stop_reason="tool_use")
    answer = await ask(gateway, instructions="Be kind.", tools=TOOLS, max_output_tokens=77)
    (item,) = answer.json()["output"]
    assert (item["type"], item["name"], item["call_id"]) == ("function_call", "find_order", "toolu_01")
    assert json.loads(item["arguments"]) == {"number": 17}
    sent = claude.sent()
    assert (sent["system"], sent["max_tokens"]) == ([{"type": "text", "text": "Be kind."}], 77)
    assert sent["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Where is it?"}]}]
    assert [tool["input_schema"] for tool in sent["tools"]] == [TOOL_PARAMETERS]


@pytest.mark.parametrize(
    "body",
    [{"background": True}, {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}],
    ids=["work in the background", "a search in stored files"],
)
async def test_what_the_vendor_has_nothing_for_is_refused_and_not_left_out(
    serve_vendor: ServeVendor, body: dict[str, Any]
) -> None:
    gateway, claude = await serve_vendor("anthropic", fallbacks=[])
    answer = await ask(gateway, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert claude.asked() == []


async def test_a_failure_of_the_vendors_is_one_of_the_response(serve_vendor: ServeVendor) -> None:
    gateway, claude = await serve_vendor("anthropic")
    claude.usual = anthropic.streamed(anthropic.begun(), *anthropic.text_block("Hello")[:2], anthropic.error_event())
    answer = await stream(gateway)
    assert (answer.chunks[-1]["type"], len(answer.errors)) == ("error", 1)
    assert not [chunk for chunk in answer.chunks if chunk["type"] == "response.completed"]
    (row,) = await gateway.rows(1)
    assert row.outcome == "interrupted"


# Vectors.


async def google_vectors(call: Call) -> None:
    """Answer as Gemini's batchEmbedContents does."""
    vectors = [{"values": [0.5, -0.25]} for _ in call.json["requests"]]
    await says({"embeddings": vectors})(call)


@pytest.mark.parametrize("packed", [False, True], ids=["numbers", "base64"])
async def test_vectors_of_google_come_as_they_were_asked_for(serve_vendor: ServeVendor, packed: bool) -> None:
    model = "gemini-embedding-001"
    gateway, google = await serve_vendor("gemini", primary={"provider": "vendor", "model": model}, fallbacks=[])
    google.usual = google_vectors
    body = {"model": "reply", "input": ["one", "two"]} | ({"encoding_format": "base64"} if packed else {})
    answer = await gateway.client.post("/v1/embeddings", json=body)
    assert answer.status_code == 200
    (call,) = google.asked()
    assert call.path == f"/v1beta/models/{model}:batchEmbedContents"
    assert [part["content"]["parts"] for part in call.json["requests"]] == [[{"text": "one"}], [{"text": "two"}]]
    vectors = [row["embedding"] for row in answer.json()["data"]]
    if packed:
        vectors = [list(struct.unpack("<2f", base64.b64decode(vector))) for vector in vectors]
    assert vectors == [[0.5, -0.25], [0.5, -0.25]]


async def test_vectors_of_bedrock_come_as_they_were_asked_for(serve_vendor: ServeVendor) -> None:
    model = "amazon.titan-embed-text-v2:0"
    gateway, aws = await serve_vendor("bedrock", primary={"provider": "vendor", "model": model}, fallbacks=[])
    aws.usual = says({"embedding": [0.5, -0.25], "inputTextTokenCount": 5})
    answer = await gateway.client.post("/v1/embeddings", json={"model": "reply", "input": "one"})
    assert [row["embedding"] for row in answer.json()["data"]] == [[0.5, -0.25]]
    (call,) = aws.asked()
    assert (call.path, call.json["inputText"]) == ("/model/amazon.titan-embed-text-v2%3A0/invoke", "one")
    (row,) = await gateway.rows(1)
    assert (row.endpoint, row.usage_source, row.input_tokens, row.output_tokens) == ("embeddings", "provider", 5, 0)
