"""The Responses API: one response, whole."""

from typing import Any

import httpx
import jsonschema_rs
import orjson
import pytest

from tests.sandbox.responses_api import (
    ASK,
    FORUM,
    LUNA,
    SUMMARISED,
    TIME,
    WEATHER,
    events,
    post,
    respond,
    text_of,
    without_ids,
)

SCHEMA = {
    "type": "object",
    "properties": {"vendor": {"type": "string"}, "total": {"type": "number"}},
    "required": ["vendor", "total"],
    "additionalProperties": False,
}


def test_a_response_and_its_row_on_the_bill_agree(http: httpx.Client) -> None:
    response = respond(http)
    assert (response["object"], response["status"], response["model"]) == ("response", "completed", FORUM)
    assert text_of(response).startswith("Hi there")
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["endpoint"], row["served"], row["status"], row["complete"]) == ("responses", FORUM, 200, True)
    assert (row["input_tokens"], row["output_tokens"]) == (usage["input_tokens"], usage["output_tokens"])
    assert row["cost_nanousd"] == usage["input_tokens"] * 300 + usage["output_tokens"] * 1_200


def test_it_says_what_chat_says(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": ASK}]
    chat = http.post("/v1/chat/completions", json={"model": FORUM, "messages": messages}).json()
    response = respond(http)
    assert text_of(response) == chat["choices"][0]["message"]["content"]
    assert response["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]


def test_instructions_come_before_the_input_and_are_told_back(http: httpx.Client) -> None:
    style = "Sign as the Acme community team. Like this:\n" + "Hi!\n— The Acme community team\n" * 60
    answers = [respond(http, model=LUNA, instructions=style, input=f"{ASK} {number}") for number in range(5)]
    assert all(answer["instructions"] == style for answer in answers)
    assert all(text_of(answer).endswith("— The Acme community team") for answer in answers)
    assert not text_of(respond(http, model=LUNA)).endswith("team")


def test_what_was_asked_is_told_back(http: httpx.Client) -> None:
    asked = {
        "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 500, "metadata": {"a": "b"}, "user": "u", "store": False,
        "parallel_tool_calls": False, "truncation": "auto", "prompt_cache_key": "k", "tool_choice": "none",
    }  # fmt: skip
    response = respond(http, tools=[WEATHER], **asked)
    assert {name: response[name] for name in asked} == asked
    assert response["tools"] == [{**WEATHER, "description": None, "strict": True}]


def test_an_answer_is_cut_at_its_limit(http: httpx.Client) -> None:
    response = respond(http, max_output_tokens=16)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (response["output"][0]["status"], response["usage"]["output_tokens"]) == ("incomplete", 16)
    assert events(http, max_output_tokens=16)[-1]["type"] == "response.incomplete"


def test_a_function_is_called_and_its_output_answered(http: httpx.Client) -> None:
    first = respond(http, tools=[WEATHER])
    [call] = first["output"]
    assert (call["type"], call["name"], call["arguments"]) == ("function_call", "get_weather", '{"city":"Paris"}')
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "14 degrees"}
    conversation = [{"role": "user", "content": ASK}, call, result]
    assert "14 degrees" in text_of(respond(http, tools=[WEATHER], input=conversation))
    parts = [{**result, "output": [{"type": "input_text", "text": "rain"}]}]
    answer = respond(http, tools=[WEATHER], previous_response_id=first["id"], input=parts)
    assert "The tool answered: rain" in text_of(answer)


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        pytest.param({}, ["get_weather", "get_time"], id="all that are named"),
        pytest.param({"parallel_tool_calls": False}, ["get_weather"], id="one at a time"),
        pytest.param({"tool_choice": "none"}, [], id="none"),
        pytest.param({"tool_choice": {"type": "function", "name": "get_time"}}, ["get_time"], id="the chosen one"),
        pytest.param({"tool_choice": "required", "input": "Good morning"}, ["get_weather"], id="some"),
        pytest.param(
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [TIME]}},
            ["get_time"],
            id="only what is allowed",
        ),
        pytest.param({"tools": [{"type": "web_search"}]}, [], id="a tool that the provider runs itself"),
    ],
)  # fmt: skip
def test_functions_are_chosen(http: httpx.Client, fields: dict[str, Any], called: list[str]) -> None:
    body = {"tools": [WEATHER, TIME], "input": "Use get_weather and get_time for Paris", **fields}
    output = respond(http, **body)["output"]
    assert [item["name"] for item in output if item["type"] == "function_call"] == called


@pytest.mark.parametrize("model", [FORUM, LUNA])
def test_a_schema_is_kept_with_what_the_text_says(http: httpx.Client, model: str) -> None:
    text = {"format": {"type": "json_schema", "name": "invoice", "strict": True, "schema": SCHEMA}, "verbosity": "low"}
    response = respond(http, model=model, input="Invoice INV-7 from Acme Ltd: 12.50 EUR", text=text)
    value = orjson.loads(text_of(response))
    jsonschema_rs.validate(SCHEMA, value)
    assert value == {"vendor": "Acme Ltd", "total": 12.5}
    assert response["text"] == text


def test_any_object_will_do_where_the_format_says_so(http: httpx.Client) -> None:
    assert isinstance(orjson.loads(text_of(respond(http, text={"format": {"type": "json_object"}}))), dict)


@pytest.mark.parametrize(
    ("model", "fields", "reasoning", "tokens"),
    [
        pytest.param(LUNA, {}, [], 0, id="not asked for"),
        pytest.param(LUNA, {"reasoning": {"effort": "none"}}, [], 0, id="none is asked for"),
        pytest.param(LUNA, {"reasoning": {"effort": "low"}}, [{"summary": []}], 32, id="without a summary"),
        pytest.param(LUNA, {"reasoning": {}}, [{"summary": []}], 64, id="as much as usual"),
        pytest.param(FORUM, {"reasoning": {"effort": "low"}}, [], 0, id="by a model that does not think"),
    ],
)
def test_reasoning_is_an_item_before_the_message(
    http: httpx.Client, model: str, fields: dict[str, Any], reasoning: list[Any], tokens: int
) -> None:
    response = respond(http, model=model, **fields)
    *before, message = response["output"]
    assert message["type"] == "message"
    assert without_ids(before) == [{"type": "reasoning", **item} for item in reasoning]
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": tokens}


def test_a_limit_may_leave_nothing_but_reasoning(http: httpx.Client) -> None:
    response = respond(http, model=LUNA, reasoning={"effort": "high"}, max_output_tokens=16)
    assert [item["type"] for item in response["output"]] == ["reasoning"]
    assert (response["status"], response["usage"]["output_tokens"]) == ("incomplete", 16)


def test_encrypted_reasoning_is_taken_back_and_a_forged_one_is_not(http: httpx.Client) -> None:
    asked = {"model": LUNA, "store": False, "include": ["reasoning.encrypted_content"], "reasoning": SUMMARISED}
    thought, message = respond(http, **asked)["output"]
    assert thought["summary"][0]["type"] == "summary_text"
    again = [{"role": "user", "content": ASK}, thought, message, {"role": "user", "content": "And then?"}]
    assert post(http, **asked, input=again).status_code == 200
    again[1] = {**thought, "encrypted_content": thought["encrypted_content"].replace("A", "B", 1)}
    refused = post(http, **asked, input=again)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_encrypted_content")
    unknown = {"type": "reasoning", "id": thought["id"], "summary": []}
    lost = post(http, **asked, input=[again[0], unknown, message])
    assert (lost.status_code, "Items are not persisted" in lost.json()["error"]["message"]) == (404, True)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        pytest.param({"input": None}, 400, "missing_required_parameter", "input", id="no input"),
        pytest.param({"input": []}, 400, None, "input", id="nothing in it"),
        pytest.param({"input": 5}, 400, "invalid_type", "input", id="the input is a number"),
        pytest.param({"input": [5]}, 400, "invalid_type", "input[0]", id="an item is a number"),
        pytest.param({"input": [{"role": "king", "content": "x"}]}, 400, "invalid_value", "input[0].role", id="role"),
        pytest.param({"input": [{"type": "poem"}]}, 400, "invalid_value", "input[0].type", id="an unknown item"),
        pytest.param({"input": [{"type": []}]}, 400, "invalid_value", "input[0].type", id="a type that is a list"),
        pytest.param(
            {"input": [{"role": "user", "content": "x", "mood": 1}]}, 400, "unknown_parameter", "input[0].mood",
            id="an item's unknown field",
        ),
        pytest.param(
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]}, 400, "invalid_value",
            "input[0].content[0]", id="a user who says what only a model does",
        ),
        pytest.param(
            {"input": [{"role": "user", "content": "x", "id": "call_1"}]}, 400, "invalid_value", "input[0].id",
            id="a message's id that is no message's",
        ),
        pytest.param(
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, 400, None, "input",
            id="a result of a call that nobody made",
        ),
        pytest.param(
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, 400, None, "input",
            id="a call without its result",
        ),
        pytest.param({"input": [{"type": "item_reference", "id": "msg_1"}]}, 404, None, "input", id="an item not kept"),
        pytest.param({"messages": []}, 400, "unsupported_parameter", "messages", id="chat's name for the input"),
        pytest.param({"max_tokens": 5}, 400, "unsupported_parameter", "max_tokens", id="chat's name for the limit"),
        pytest.param({"mood": "glad"}, 400, "unknown_parameter", "mood", id="a field that does not exist"),
        pytest.param({"n": 2}, 400, "unknown_parameter", "n", id="two answers"),
        pytest.param({"max_output_tokens": 15}, 400, "integer_below_min_value", "max_output_tokens", id="no room"),
        pytest.param({"include": ["mood"]}, 400, "invalid_value", "include[0]", id="nothing to include"),
        pytest.param({"text": {"format": "json"}}, 400, "invalid_type", "text.format", id="a format that is a word"),
        pytest.param({"text": {"format": {"type": "xml"}}}, 400, "invalid_value", "text.format.type", id="its type"),
        pytest.param({"tools": [{}]}, 400, "missing_required_parameter", "tools[0].type", id="a tool without a type"),
        pytest.param({"reasoning": {"effort": "x"}}, 400, "invalid_value", "reasoning.effort", id="an unknown effort"),
        pytest.param(
            {"previous_response_id": "resp_1"}, 400, "previous_response_not_found", "previous_response_id",
            id="a response that was never given",
        ),
        pytest.param({"previous_response_id": "x"}, 400, "invalid_value", "previous_response_id", id="no such id"),
        pytest.param({"conversation": "conv_1"}, 404, None, "conversation", id="a conversation that is not kept"),
        pytest.param({"prompt": {"id": "pmpt_1"}}, 404, None, "prompt", id="a prompt that is not kept"),
        pytest.param({"background": True, "store": False}, 400, None, "background", id="background, and not kept"),
        pytest.param({"model": "gpt-unknown"}, 400, "model_not_found", "model", id="a model that was never sold"),
        pytest.param({"model": "text-embedding-3-small"}, 400, "unsupported_model", "model", id="no model for this"),
    ],
)  # fmt: skip
def test_a_wrong_request_gets_openais_error(
    http: httpx.Client, body: dict[str, Any], status: int, code: str | None, param: str
) -> None:
    refused = post(http, **body)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"], error["param"]) == (
        status, "invalid_request_error", code, param,
    )  # fmt: skip
