from typing import Any

import httpx
import jsonschema_rs
import orjson
import pytest

from tests.sandbox_server import RunningSandbox

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
INVOICE = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
ASK = [{"role": "user", "content": "What is the weather in Paris tomorrow?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


def chat(http: httpx.Client, **body: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json={"model": FORUM, "messages": ASK, **body})


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        pytest.param({"messages": None}, 400, "missing_required_parameter", "messages", id="no messages"),
        pytest.param({"messages": []}, 400, "empty_array", "messages", id="empty messages"),
        pytest.param({"messages": "hello"}, 400, "invalid_type", "messages", id="messages are text"),
        pytest.param({"messages": [{"role": "king"}]}, 400, "invalid_value", "messages[0].role", id="unknown role"),
        pytest.param({"messages": [{"role": "user"}]}, 400, "invalid_type", "messages[0].content", id="no content"),
        pytest.param({"model": None}, 400, None, None, id="no model"),
        pytest.param({"model": 7}, 400, "invalid_type", "model", id="the model is a number"),
        pytest.param({"model": "gpt-unknown"}, 404, "model_not_found", None, id="a model that was never sold"),
        pytest.param({"temperature": "hot"}, 400, "invalid_type", "temperature", id="temperature is text"),
        pytest.param({"temperature": 3}, 400, "decimal_above_max_value", "temperature", id="temperature too high"),
        pytest.param({"max_tokens": 0}, 400, "integer_below_min_value", "max_tokens", id="no room for an answer"),
        pytest.param({"max_tokens": True}, 400, "invalid_type", "max_tokens", id="a boolean is no number"),
        pytest.param({"n": 9}, 400, "integer_above_max_value", "n", id="nine answers"),
        pytest.param({"stream_options": {}}, 400, None, "stream_options", id="stream options without a stream"),
        pytest.param({"tool_choice": "required"}, 400, None, "tool_choice", id="a tool choice without tools"),
        pytest.param(
            {"response_format": {"type": "json_schema"}},
            400,
            "missing_required_parameter",
            "response_format.json_schema",
            id="a schema that is absent",
        ),
        pytest.param(
            {"messages": [{"role": "tool", "tool_call_id": "x", "content": "1"}]},
            400,
            None,
            "messages.[0].role",
            id="an answer to a call that nobody made",
        ),
        pytest.param(
            {"model": "gpt-6-luna", "max_tokens": 5}, 400, "unsupported_parameter", "max_tokens", id="luna: max_tokens"
        ),
        pytest.param(
            {"model": "gpt-6-luna", "logit_bias": {"1": 5}},
            400,
            "unsupported_parameter",
            "logit_bias",
            id="luna: logit_bias",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "word " * 130_000}]},
            400,
            "context_length_exceeded",
            "messages",
            id="a prompt that does not fit",
        ),
    ],
)
def test_a_wrong_request_gets_openais_error(
    http: httpx.Client, body: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    response = chat(http, **body)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"pattern": "("}, id="a pattern that is none"),
        pytest.param({"properties": [1]}, id="properties that are a list"),
        pytest.param({"allOf": [{"$ref": "#"}]}, id="a schema that is itself without end"),
        pytest.param({"type": "array", "minItems": 10**9}, id="more items than anybody would read"),
        pytest.param({"type": "string", "minLength": 10**9}, id="more letters than anybody would read"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_a_400(http: httpx.Client, schema: dict[str, Any]) -> None:
    response = chat(http, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json_schema")


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'{"model": NaN}'])
def test_a_body_that_is_no_object_is_a_400_and_billed_to_nobody(http: httpx.Client, raw: bytes) -> None:
    response = http.post("/v1/chat/completions", content=raw)
    assert response.status_code == 400
    assert "could not parse" in response.json()["error"]["message"]
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["asked"], row["status"], row["cost_nanousd"]) == (None, 400, 0)


def test_unknown_fields_pass(http: httpx.Client) -> None:
    assert chat(http, prompt_cache_key="k", something_new={"a": 1}).status_code == 200


def test_an_answer_and_its_row_on_the_bill_agree(http: httpx.Client) -> None:
    response = http.post(
        "/v1/chat/completions", json={"model": FORUM, "messages": ASK}, headers={"X-Client-Request-Id": "attempt-1"}
    )
    answer = response.json()
    usage = answer["usage"]
    assert (answer["object"], answer["model"], answer["choices"][0]["finish_reason"]) == (
        "chat.completion",
        FORUM,
        "stop",
    )
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert http.get("/sandbox/bill").json() == {
        "rows": [
            {
                "attempt_id": "attempt-1",
                "asked": FORUM,
                "served": FORUM,
                "status": 200,
                "input_tokens": usage["prompt_tokens"],
                "cached_input_tokens": 0,
                "output_tokens": usage["completion_tokens"],
                "complete": True,
                "cost_nanousd": usage["prompt_tokens"] * 300 + usage["completion_tokens"] * 1_200,
                "endpoint": "chat_completions",
            }
        ],
        "next": 1,
    }


def test_a_repeated_long_prompt_is_billed_at_the_cached_price(http: httpx.Client) -> None:
    messages = [{"role": "system", "content": "rule " * 2_000}, *ASK]
    first, second = (chat(http, messages=messages).json()["usage"] for _ in range(2))
    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert 1_920 <= cached < second["prompt_tokens"]
    before, after = (row["cost_nanousd"] for row in http.get("/sandbox/bill").json()["rows"])
    assert before - after == cached * 150


def test_each_model_has_a_cache_of_its_own(http: httpx.Client) -> None:
    messages = [{"role": "system", "content": "rule " * 2_000}, *ASK]
    chat(http, messages=messages)
    other = chat(http, model="gpt-6-luna", messages=messages).json()["usage"]
    assert other["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_cuts_the_answer(http: httpx.Client, limit: str) -> None:
    answer = chat(http, **{limit: 6}).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 6


def test_a_stop_sequence_ends_the_answer(http: httpx.Client) -> None:
    answer = chat(http, stop=["\n\n"]).json()
    assert (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]) == ("Hi there,", "stop")


def test_the_same_question_gets_the_same_answer(http: httpx.Client) -> None:
    first, second = (chat(http).json() for _ in range(2))
    assert first["choices"] == second["choices"]
    assert first["id"] != second["id"]


def test_content_may_come_in_parts_and_an_image_costs_tokens(http: httpx.Client) -> None:
    text = {"type": "text", "text": ASK[0]["content"]}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    plain = chat(http, messages=[{"role": "user", "content": [text]}]).json()["usage"]["prompt_tokens"]
    seen = chat(http, messages=[{"role": "user", "content": [text, image]}]).json()["usage"]["prompt_tokens"]
    assert plain == chat(http).json()["usage"]["prompt_tokens"]
    assert seen == plain + 765


@pytest.mark.parametrize(
    ("extra", "called"),
    [
        pytest.param({}, True, id="the question is about the tool"),
        pytest.param({"messages": [{"role": "user", "content": "Good morning"}]}, False, id="it is not"),
        pytest.param({"tool_choice": "none"}, False, id="tools are forbidden"),
        pytest.param(
            {"tool_choice": "required", "messages": [{"role": "user", "content": "Good morning"}]},
            True,
            id="a tool is required",
        ),
        pytest.param(
            {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}}, True, id="this tool is required"
        ),
    ],
)
def test_a_tool_is_called_when_it_is_wanted(http: httpx.Client, extra: dict[str, Any], called: bool) -> None:
    choice = chat(http, tools=[WEATHER], **extra).json()["choices"][0]
    if not called:
        assert "tool_calls" not in choice["message"]
        return
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    [call] = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    jsonschema_rs.validate(WEATHER["function"]["parameters"], orjson.loads(call["function"]["arguments"]))  # type: ignore[index]


def test_names_of_the_question_become_arguments_and_the_result_becomes_the_answer(http: httpx.Client) -> None:
    message = chat(http, tools=[WEATHER]).json()["choices"][0]["message"]
    [call] = message["tool_calls"]
    assert orjson.loads(call["function"]["arguments"])["city"] == "Paris"
    result = {"role": "tool", "tool_call_id": call["id"], "content": "14 degrees and rain"}
    answer = chat(http, tools=[WEATHER], messages=[*ASK, message, result]).json()["choices"][0]
    assert "14 degrees and rain" in answer["message"]["content"]


def test_json_mode_answers_with_an_object(http: httpx.Client) -> None:
    answer = chat(http, response_format={"type": "json_object"}).json()
    assert "answer" in orjson.loads(answer["choices"][0]["message"]["content"])


@pytest.mark.parametrize("model", [INVOICE, "gpt-6-luna"])
def test_a_schema_is_kept_with_what_the_invoice_says(http: httpx.Client, model: str) -> None:
    schema = {
        "type": "object",
        "properties": {"invoice_number": {"type": "string"}, "total": {"type": "number"}, "paid": {"type": "boolean"}},
        "required": ["invoice_number", "total", "paid"],
        "additionalProperties": False,
    }
    invoice = [{"role": "user", "content": "Invoice INV-2026-77 from Acme Ltd, 2026-11-20: 10.00 and 2.50, 12.50 EUR"}]
    response_format = {"type": "json_schema", "json_schema": {"name": "invoice", "strict": True, "schema": schema}}
    answer = chat(http, model=model, messages=invoice, response_format=response_format).json()
    value = orjson.loads(answer["choices"][0]["message"]["content"])
    jsonschema_rs.validate(schema, value)
    assert (value["invoice_number"], value["total"]) == ("INV-2026-77", 12.5)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/v1/chat/completions", 405, None, id="chat by GET"),
        pytest.param("GET", "/v1/responses", 405, None, id="responses by GET"),
        pytest.param("PUT", "/v1/embeddings", 405, None, id="embeddings by PUT"),
        pytest.param("POST", "/v1/models", 405, None, id="the list by POST"),
        pytest.param("GET", "/sandbox/models/gpt-6-luna/retire", 405, None, id="a command by GET"),
        pytest.param("POST", "/v1/fine-tunes", 404, "unknown_url", id="an endpoint that is not there"),
        pytest.param("GET", "/v1/models/gpt-unknown", 404, "model_not_found", id="a model that was never sold"),
    ],
)
def test_a_wrong_address_gets_openais_error(
    http: httpx.Client, method: str, path: str, status: int, code: str | None
) -> None:
    response = http.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/api/v1", "/inference/v1", "/serving-endpoints"])
def test_every_vendors_path_leads_here(http: httpx.Client, sandbox: RunningSandbox, prefix: str) -> None:
    response = http.post(f"{prefix}/chat/completions", json={"model": FORUM, "messages": ASK})
    assert response.status_code == 200
    assert http.get(f"{prefix}/models/{FORUM}").json()["id"] == FORUM


def test_the_root_says_what_this_is(http: httpx.Client) -> None:
    assert "sandbox" in http.get("/").json()["service"].lower()
