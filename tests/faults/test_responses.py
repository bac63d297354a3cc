"""The Responses API through the gateway: its events, its fallback, and what providers store."""

import json
from typing import Any

import httpx
import pytest
from fake_provider import Call, FakeProvider, Script, refuses, says, streams
from promotions_made import begun
from served_gateway import Serve, ServedGateway, Streamed

from gateway.policy.stored_ids import tag_of

FIRST, SECOND = tag_of("first"), tag_of("second")
USAGE = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 4, "total_tokens": 14}
GONE = refuses(400, "The requested model 'tuned' does not exist.", "model_not_found")


def a_response(model: str, id_: str = "resp_1", **fields: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": f"Hello from {model}.", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    whole = {"id": id_, "object": "response", "status": "completed", "model": model, "error": None}
    return whole | {"output": [message], "usage": USAGE} | fields


def events_of(model: str) -> list[dict[str, Any]]:
    begun = {"id": "resp_1", "object": "response", "model": model, "status": "in_progress", "output": []}
    return [
        {"type": "response.created", "sequence_number": 0, "response": begun},
        {"type": "response.in_progress", "sequence_number": 1, "response": begun},
        {"type": "response.output_text.delta", "sequence_number": 2, "item_id": "msg_1", "delta": "Hello "},
        {"type": "response.output_text.delta", "sequence_number": 3, "item_id": "msg_1", "delta": "there."},
        {"type": "response.completed", "sequence_number": 4, "response": a_response(model)},
    ]


def streamed(*events: dict[str, Any], then: str = "end") -> Script:
    written = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    return streams(*written, then=then)


async def good(call: Call) -> None:
    model = call.json["model"]
    await (streamed(*events_of(model)) if call.json.get("stream") else says(a_response(model)))(call)


@pytest.fixture(autouse=True)
def _answers(provider: FakeProvider) -> None:
    async def by_model(call: Call) -> None:
        await provider.models.get(call.json["model"], good)(call)

    provider.paths["/v1/responses"] = by_model


async def ask(gateway: ServedGateway, model: str = "reply", **body: Any) -> Any:
    return await gateway.client.post("/v1/responses", json={"model": model, "input": "Hi"} | body)


async def stream(gateway: ServedGateway, **body: Any) -> Streamed:
    answer = await ask(gateway, stream=True, **body)
    return Streamed(answer.status_code, answer.headers, answer.content)


def kinds(answer: Streamed) -> list[str]:
    return [line[7:] for line in answer.raw.decode().splitlines() if line.startswith("event: ")]


async def test_a_whole_response_is_passed_on_with_its_ids_tagged_and_counted(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    answer = await ask(gateway, metadata={"a": "b"}, odd={"x": [1]})
    assert answer.status_code == 200
    expected = a_response("tuned", f"resp_1.{FIRST}")
    expected["output"][0]["id"] = f"msg_1.{FIRST}"
    assert answer.json() == expected
    assert provider.chats()[-1].json == {"model": "tuned", "input": "Hi", "metadata": {"a": "b"}, "odd": {"x": [1]}}
    (row,) = await gateway.rows(1)
    assert (row.endpoint, row.input_tokens, row.cached_input_tokens, row.output_tokens) == ("responses", 10, 4, 4)
    assert (row.usage_source, row.cost_nanousd) == ("provider", 10 * 1000 + 4 * 2000)
    assert await gateway.metric("gateway_requests_total", endpoint="responses", code="200") == 1


async def test_a_stream_is_passed_on_event_by_event(serve: Serve) -> None:
    gateway = await serve()
    answer = await stream(gateway)
    assert kinds(answer) == [event["type"] for event in events_of("tuned")]
    assert not answer.done
    assert {chunk["item_id"] for chunk in answer.chunks if "item_id" in chunk} == {f"msg_1.{FIRST}"}
    (row,) = await gateway.rows(1)
    assert (row.stream, row.output_tokens, row.outcome, row.model_answered) == (1, 4, "ok", "tuned")


@pytest.mark.parametrize("streams_", [False, True], ids=["whole", "streamed"])
async def test_when_the_model_is_gone_the_fallback_plays_with_its_prompt(
    serve: Serve, provider: FakeProvider, streams_: bool
) -> None:
    provider.models["tuned"] = GONE
    prompt = {"instructions": "Play the part.", "examples": [{"user": "a", "assistant": "b"}]}
    gateway = await serve(base={"prompt": prompt, "parameters": {"set": {"reasoning_effort": "none"}}})
    answer = await ask(gateway, stream=streams_, instructions="Be terse.", max_output_tokens=50)
    assert answer.headers["x-gateway-served-by"] == "fallback"
    assert answer.headers["x-gateway-reason"] == "gone"
    sent = provider.chats("base")[-1].json
    assert sent["instructions"] == "Play the part.\n\nBe terse."
    assert sent["input"] == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "Hi"},
    ]
    assert sent["reasoning"] == {"effort": "none"}
    assert sent["max_output_tokens"] == 50


async def test_a_stream_that_fails_before_it_says_anything_is_answered_by_somebody_else(
    serve: Serve, provider: FakeProvider
) -> None:
    failed = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "It broke."}}}
    provider.models["tuned"] = streamed(*events_of("tuned")[:2], failed)
    gateway = await serve()
    answer = await stream(gateway)
    assert answer.headers["x-gateway-model"] == "base"
    assert kinds(answer)[-1] == "response.completed"
    rows = await gateway.rows(2)
    assert [row.outcome for row in rows] == ["failed", "ok"]


@pytest.mark.parametrize("then", ["fin", "reset", "end"])
async def test_a_stream_that_breaks_off_ends_in_an_error_and_is_never_completed(
    serve: Serve, provider: FakeProvider, then: str
) -> None:
    provider.models["tuned"] = streamed(*events_of("tuned")[:3], then=then)
    gateway = await serve()
    answer = await stream(gateway)
    assert kinds(answer)[-1] == "error"
    assert answer.chunks[-1]["code"] == answer.chunks[-1]["error"]["code"] == "upstream_disconnected"
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.usage_source) == ("interrupted", "interrupted")


async def test_a_response_that_fails_midway_says_so_in_its_own_words(serve: Serve, provider: FakeProvider) -> None:
    failed = {"type": "response.failed", "response": a_response("tuned", error={"code": "x", "message": "Broke."})}
    provider.models["tuned"] = streamed(*events_of("tuned")[:3], failed)
    gateway = await serve()
    answer = await stream(gateway)
    assert kinds(answer)[-1] == "response.failed"
    (row,) = await gateway.rows(1)
    assert row.outcome == "interrupted"


# What providers store.


async def test_a_stored_response_is_continued_where_it_is(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(base={"prompt": {"instructions": "Play."}})
    first = (await ask(gateway)).json()
    provider.models["tuned"] = refuses(503, "overloaded")
    answer = await ask(gateway, previous_response_id=first["id"])
    assert answer.status_code == 503, "nobody else has it, so nobody else is asked"
    assert answer.headers.get("x-should-retry") == "false"
    assert provider.chats()[-1].json["previous_response_id"] == "resp_1"
    await gateway.rows(2)


async def test_a_conversation_begun_on_the_fallback_stays_there(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    begun = (await ask(gateway, "reply@fallback")).json()
    assert begun["id"] == f"resp_1.{SECOND}"
    answer = await ask(gateway, previous_response_id=begun["id"])
    assert answer.headers["x-gateway-model"] == "base"
    assert answer.headers["x-gateway-reason"] == "lacks_capability"
    await gateway.rows(2)


async def test_what_only_a_canarys_provider_stores_is_continued_there_with_nobody_behind_it(
    serve: Serve, provider: FakeProvider
) -> None:
    account = {"kind": "openai-compatible", "base_url": provider.base_url}
    gateway = await serve(more_providers={"third": account})
    await begun(gateway, provider="third", share=0.5)
    stored = (await ask(gateway, "reply@canary")).json()["id"]
    assert stored == f"resp_1.{tag_of('third')}"
    answer = await ask(gateway, previous_response_id=stored)
    assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, "next")
    provider.models["next"] = refuses(503, "overloaded")
    assert (await ask(gateway, previous_response_id=stored)).status_code == 503


async def test_a_conversation_whose_target_is_gone_is_refused_with_what_to_do(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    first = (await ask(gateway)).json()
    provider.models["tuned"] = GONE
    await gateway.rows(1)
    for _ in range(2):
        answer = await ask(gateway, previous_response_id=first["id"])
        assert answer.status_code in (400, 404)
        if answer.json()["error"]["code"] == "previous_response_not_found":
            break
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
    assert "whole conversation" in error["message"]
    assert not provider.chats("base")


async def test_a_stored_response_that_nobody_here_has_is_refused(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    answer = await ask(gateway, previous_response_id="resp_1.0badc0de")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "previous_response_not_found")
    assert provider.chats() == []


async def test_replayed_items_reach_the_other_provider_without_what_only_their_maker_reads(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = GONE
    gateway = await serve()
    items = [
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": f"rs_1.{FIRST}", "summary": [], "encrypted_content": "gAAA"},
        {"type": "function_call", "id": f"fc_1.{FIRST}", "call_id": "call_1", "name": "w", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    ]
    answer = await ask(gateway, input=items)
    assert answer.headers["x-gateway-adapted"] == "reasoning"
    assert provider.chats("tuned")[0].json["input"] == [
        {**item, "id": item["id"].partition(".")[0]} if "id" in item else item for item in items
    ]
    assert provider.chats("base")[0].json["input"] == [
        items[0],
        {name: value for name, value in items[2].items() if name != "id"},
        items[3],
    ]


async def test_stored_responses_are_fetched_and_deleted_where_they_are(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    provider.paths["/v1/responses/resp_1"] = says(a_response("tuned"))
    listed = {"object": "list", "data": [{"id": "msg_0", "type": "message"}], "first_id": "msg_0", "last_id": "msg_0"}
    provider.paths["/v1/responses/resp_1/input_items?limit=2"] = says(listed)
    provider.paths["/v1/responses/resp_1/cancel"] = says(a_response("tuned", status="cancelled"))
    id_ = f"resp_1.{FIRST}"
    assert (await gateway.client.get(f"/v1/responses/{id_}")).json()["id"] == id_
    items = (await gateway.client.get(f"/v1/responses/{id_}/input_items", params={"limit": 2})).json()
    assert items["data"][0]["id"] == f"msg_0.{FIRST}"
    assert (await gateway.client.post(f"/v1/responses/{id_}/cancel", json={})).json()["status"] == "cancelled"
    provider.paths["/v1/responses/resp_1"] = says({"id": "resp_1", "deleted": True})
    assert (await gateway.client.delete(f"/v1/responses/{id_}")).json() == {"id": id_, "deleted": True}
    assert [call.method for call in provider.calls] == ["GET", "GET", "POST", "DELETE"]


@pytest.mark.parametrize("id_", ["resp_1", "resp_1.0badc0de", "..%2Fmodels", "x" * 5000])
async def test_a_response_that_nobody_here_stores_is_not_looked_for(
    serve: Serve, provider: FakeProvider, id_: str
) -> None:
    gateway = await serve()
    answer = await gateway.client.get(f"/v1/responses/{id_}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")
    assert provider.calls == []


async def test_a_providers_refusal_of_its_key_is_not_the_callers_business(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    provider.paths["/v1/responses/resp_1"] = says({"error": {"message": "Incorrect key sk-123"}}, 401)
    answer = await gateway.client.get(f"/v1/responses/resp_1.{FIRST}")
    assert answer.status_code == 502
    assert "sk-123" not in answer.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        pytest.param({"model": 7}, "model", id="a model that is no text"),
        pytest.param({"input": {"a": 1}}, "input", id="an input that is an object"),
        pytest.param({"instructions": [1]}, "instructions", id="instructions that are a list"),
        pytest.param({"stream": "yes"}, "stream", id="a stream that is a word"),
        pytest.param(
            {"previous_response_id": f"r.{FIRST}", "input": [{"type": "item_reference", "id": f"m.{SECOND}"}]},
            "input",
            id="items of two providers",
        ),
    ],
)
async def test_what_the_gateway_relies_on_is_checked(serve: Serve, body: dict[str, Any], param: str) -> None:
    gateway = await serve()
    answer = await ask(gateway, **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


ODD_BODIES = [
    pytest.param({"tools": [{"type": []}]}, "tools[0].type", id="a tool whose kind is no text"),
    pytest.param({"input": [{"id": "x.0badc0de", "type": []}]}, "input[0].type", id="an item whose kind is no text"),
    pytest.param({"input": [{"role": [], "content": "a"}]}, "input[0].role", id="a role that is no text"),
    pytest.param({"text": "y"}, "text", id="a format that is no object"),
]


@pytest.mark.parametrize(("body", "param"), ODD_BODIES)
async def test_odd_bodies_are_their_callers(body: dict[str, Any], param: str, serve: Serve) -> None:
    gateway = await serve(base={"prompt": {"instructions": "Be brief.", "caller_system": "replace"}})
    for model in ("reply", "reply@fallback"):
        answer = await ask(gateway, model, **body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"...{FIRST}", id="dots that lead upwards"),
        pytest.param(f"resp_1%2F..%2Ffiles.{FIRST}", id="a slash"),
        pytest.param(f"{'x' * 300}.{FIRST}", id="an endless id"),
    ],
)
async def test_an_id_that_is_none_reaches_nobody(path: str, serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    answer = await gateway.client.request("GET", httpx.URL(f"/v1/responses/{path}"))
    assert answer.status_code == 404
    assert provider.calls == []


@pytest.mark.parametrize("query", ["stream=True", "stream=1", "str%65am=true"])
async def test_a_stored_response_is_never_streamed(query: str, serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    answer = await gateway.client.get(f"/v1/responses/resp_1.{FIRST}?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "stream")


async def test_pages_of_what_was_asked_are_turned_by_the_ids_that_callers_have(
    serve: Serve, provider: FakeProvider
) -> None:
    page = {"object": "list", "data": [{"id": "msg_2"}], "first_id": "msg_2", "last_id": "msg_2", "has_more": False}
    provider.paths["/v1/responses/resp_1/input_items?after=msg_1&limit=2"] = says(page)
    gateway = await serve()
    answer = await gateway.client.get(f"/v1/responses/resp_1.{FIRST}/input_items?after=msg_1.{FIRST}&limit=2")
    assert answer.status_code == 200, answer.text
    assert [answer.json()[name] for name in ("first_id", "last_id")] == [f"msg_2.{FIRST}"] * 2
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        pytest.param(says({"error": {"message": "Traceback sk-1"}}, 500), 502, "bad_upstream", id="a failure"),
        pytest.param(
            refuses(429, "org-1 is limited", headers={"retry-after": "86400"}), 429, "rate_limit_exceeded", id="429"
        ),
        pytest.param(says({}, 301), 502, "bad_upstream", id="a redirect"),
        pytest.param(refuses(404, "No such response.", "not_found"), 404, "not_found", id="the caller's own"),
    ],
)
async def test_what_a_provider_says_of_a_stored_response_is_told_like_anything_else(
    refusal: Script, status: int, code: str, serve: Serve, provider: FakeProvider
) -> None:
    provider.paths["/v1/responses/resp_1"] = refusal
    gateway = await serve()
    answer = await gateway.client.get(f"/v1/responses/resp_1.{FIRST}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-request-id"]
    assert "sk-1" not in answer.text and "org-1" not in answer.text
    assert int(answer.headers.get("retry-after", 0)) <= 60


async def test_a_key_that_a_provider_repeats_of_a_stored_response_reaches_nobody(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.paths["/v1/responses/resp_1"] = refuses(404, "sk-canary-17 has no such response.")
    gateway = await serve(first={"api_key_env": "CANARY"}, environ={"CANARY": "sk-canary-17"})
    answer = await gateway.client.get(f"/v1/responses/resp_1.{FIRST}")
    assert answer.json()["error"]["message"] == "[key] has no such response."


async def test_a_response_is_cancelled_without_a_body(serve: Serve, provider: FakeProvider) -> None:
    provider.paths["/v1/responses/resp_1/cancel"] = says(a_response("tuned"))
    gateway = await serve()
    assert (await gateway.client.post(f"/v1/responses/resp_1.{FIRST}/cancel")).status_code == 200


async def test_a_stored_conversation_goes_up_by_the_name_that_its_provider_knows(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    assert (await ask(gateway, conversation=f"conv_1.{FIRST}")).status_code == 200
    assert (await ask(gateway, conversation={"id": f"conv_1.{FIRST}"})).status_code == 200
    assert [call.json["conversation"] for call in provider.chats()] == ["conv_1", {"id": "conv_1"}]


async def test_a_response_that_is_cancelled_has_ended(serve: Serve, provider: FakeProvider) -> None:
    *begun, last = events_of("tuned")
    cancelled = {**last, "type": "response.cancelled"}
    provider.models["tuned"] = streamed(*begun, cancelled)
    answer = await stream(await serve())
    assert kinds(answer)[-1] == "response.cancelled"
