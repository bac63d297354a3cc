"""Every row of the gateway's table that is about one of these models is what the model insists on."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.clock import SystemClock
from gateway.policy.capabilities import Capabilities, CapabilityRow
from gateway.providers.capability_table import capability_rows
from gateway.sandbox import capabilities
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.catalogue import Kind, Model
from tests.sandbox_server import RunningSandbox, fast_catalogue

LUNA, MISTRAL, MINI = "gpt-6-luna", "mistral-strict", "gpt-4.1-mini-2025-04-14"
PATHS = {"chat_completions": "/v1/chat/completions", "responses": "/v1/responses"}
FUNCTION = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
# What a request says that asks for what a word names; any other word is a parameter that takes any text.
SAID: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "presence_penalty": {"presence_penalty": 0.5},
    "metadata": {"metadata": {"a": "b"}},
    "store": {"store": True},
    "n": {"n": 2},
    "seed": {"seed": 5},
    "max_tokens": {"max_tokens": 100},
    "max_completion_tokens": {"max_completion_tokens": 100},
    "logit_bias": {"logit_bias": {"1": 5}},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"top_logprobs": 3},
    "many_choices": {"n": 2},
    "one_call_at_a_time": {"parallel_tool_calls": False},
    "functions": {"functions": [FUNCTION]},
    "tools": {"tools": [{"type": "function", "function": FUNCTION}]},
    "background": {"background": True},
}
FIELD_OF = {"many_choices": "n", "one_call_at_a_time": "parallel_tool_calls"}
LONGEST_ID = {"at_most_40": 40, "at_most_64": 64}


def catalogue() -> tuple[Model, ...]:
    """Return the usual models, and one of each further family that the table knows and this vendor sells."""
    usual = fast_catalogue(SystemClock().now())
    luna = next(model for model in usual if model.id == LUNA)
    return (*usual, *(replace(luna, id=name) for name in ("o3-mini", "o4-mini", "gpt-5-mini", "gpt-5.6-sol")))


MODELS = tuple(model for model in catalogue() if model.kind is Kind.CHAT and model.fault is None)
PAIRS = tuple(zip(capability_rows(), capabilities.Capabilities.read().rows, strict=True))


def spoken_of(row: capabilities.Row) -> tuple[Model, ...]:
    """Return models that a row is about: the strict ones, which keep all of it, and else the first."""
    found = tuple(model for model in MODELS if row.speaks_of(model))
    return tuple(model for model in found if model.strict) or found[:1]


def cases() -> Iterator[tuple[CapabilityRow, Model, str]]:
    for written, row in PAIRS:
        for model in spoken_of(row):
            for endpoint in row.endpoints:
                yield written, model, endpoint


def given_words() -> list[Any]:
    found = {
        f"{model.id} takes no {word} at {endpoint}": (model, endpoint, word)
        for row, model, endpoint in cases()
        for word in (*row.drops, *row.lacks)
    }
    return [pytest.param(*case, id=sentence) for sentence, case in found.items()]


def of_each(field: str) -> list[Any]:
    return [
        pytest.param(model, endpoint, row, id=f"{model.id} at {endpoint}: {getattr(row, field)}")
        for row, model, endpoint in cases()
        if getattr(row, field) not in ({}, None)
    ]


@pytest.fixture(scope="module")
def http(server: RunningSandbox, http_of_all_tests: httpx.Client) -> httpx.Client:
    """A client of models that all of these tests share, since none of them changes anything."""
    server.sandbox.provider = create_sandbox(clock=SystemClock(), catalogue=catalogue()).provider
    return http_of_all_tests


def ask(http: httpx.Client, model: Model, endpoint: str, **body: Any) -> httpx.Response:
    question = {"messages": ASK} if endpoint == "chat_completions" else {"input": ASK}
    return http.post(PATHS[endpoint], json={"model": model.id, **question, **body})


def assert_refuses_field(response: httpx.Response, model: Model, field: str) -> None:
    """Assert that the answer is the vendor's own to a field that it does not take."""
    if model.vendor == "mistral":
        [detail] = response.json()["message"]["detail"]
        wanted = {"type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted"}
        assert (response.status_code, detail) == (422, wanted)
        return
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error"), response.text
    said = (
        f"Unsupported parameter: '{field}' is not supported with this model.",
        f"Unsupported value: '{field}' does not support ",
        f"Unrecognized request argument supplied: {field}",
    )
    assert error["message"].startswith(said), response.text


def test_the_table_is_read_as_the_gateway_reads_it_and_every_row_of_these_vendors_is_about_a_model_here() -> None:
    for written, row in PAIRS:
        for field in ("models", "endpoints", "when", "unless", "renames", "sets", "drops", "lacks", "history"):
            assert getattr(row, field) == getattr(written, field), written.source
        if row.tool_call_ids or written.tokenizer is None:
            assert spoken_of(row) or row.kinds.isdisjoint(("openai", "sandbox", "mistral")), written.source


@pytest.mark.parametrize(("model", "endpoint", "word"), given_words())
def test_what_a_model_does_not_take_is_refused(http: httpx.Client, model: Model, endpoint: str, word: str) -> None:
    response = ask(http, model, endpoint, **SAID.get(word, {word: "x"}))
    assert_refuses_field(response, model, FIELD_OF.get(word, word))


@pytest.mark.parametrize(("model", "endpoint", "row"), of_each("renames"))
def test_a_parameter_is_taken_under_its_new_name_only(
    http: httpx.Client, model: Model, endpoint: str, row: CapabilityRow
) -> None:
    for old, new in row.renames.items():
        refused = ask(http, model, endpoint, **{old: 100})
        assert_refuses_field(refused, model, old)
        assert model.vendor == "mistral" or refused.json()["error"]["message"].endswith(f"Use '{new}' instead.")
        assert ask(http, model, endpoint, **{new: 100}).status_code == 200


@pytest.mark.parametrize(("model", "endpoint", "row"), of_each("sets"))
def test_what_a_request_must_say_is_missed_and_found(
    http: httpx.Client, model: Model, endpoint: str, row: CapabilityRow
) -> None:
    [(name, value)] = row.sets.items()
    for word in row.when:
        for wrong in ({}, {name: "low"}):
            refused = ask(http, model, endpoint, **SAID[word], **wrong)
            assert refused.status_code == 400
            message = refused.json()["error"]["message"]
            assert f"Function tools with {name} are not supported for {model.id} in /v1/chat/completions" in message
            assert f"set {name} to '{value}'" in message
        assert ask(http, model, endpoint, **SAID[word], **row.sets).status_code == 200
    assert ask(http, model, endpoint, **{name: "low"}).status_code == 200


@pytest.mark.parametrize(("model", "endpoint", "row"), of_each("unless"))
def test_a_rule_does_not_hold_where_the_request_says_so(
    http: httpx.Client, model: Model, endpoint: str, row: CapabilityRow
) -> None:
    lifted = row.unless if endpoint == "chat_completions" else {"reasoning": {"effort": row.unless["reasoning_effort"]}}
    for word in row.drops:
        assert ask(http, model, endpoint, **SAID[word], **lifted).status_code == 200


def history(endpoint: str, call_id: str, **fields: Any) -> dict[str, Any]:
    """Return a conversation with one call and its result; ``fields`` are the calling message's."""
    if endpoint == "responses":
        call = {"type": "function_call", "call_id": call_id, "name": "get_weather", "arguments": "{}"}
        return {"input": [*ASK, call, {"type": "function_call_output", "call_id": call_id, "output": "rain"}]}
    call = {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    said = {"role": "assistant", "content": None, "tool_calls": [call], **fields}
    return {"messages": [*ASK, said, {"role": "tool", "tool_call_id": call_id, "content": "rain"}]}


@pytest.mark.parametrize(("model", "endpoint", "row"), of_each("tool_call_ids"))
def test_ids_of_calls_have_the_vendors_form(
    http: httpx.Client, model: Model, endpoint: str, row: CapabilityRow
) -> None:
    longest = LONGEST_ID.get(str(row.tool_call_ids), 9)
    kept = ask(http, model, endpoint, **history(endpoint, "a" * longest))
    assert kept.status_code == 200, kept.text
    assert "rain" in kept.text
    refused = ask(http, model, endpoint, **history(endpoint, "a" * (longest + 1)))
    assert refused.status_code == 400
    if model.vendor == "mistral":
        wanted = "Tool call id was aaaaaaaaaa but must be a-z, A-Z, 0-9, with a length of 9."
        assert (refused.json()["message"], refused.json()["code"]) == (wanted, "3280")
        assert ask(http, model, endpoint, **history(endpoint, "call_abcd")).status_code == 400
        return
    error = refused.json()["error"]
    where = "messages[1].tool_calls[0].id" if endpoint == "chat_completions" else "input[1].call_id"
    assert (error["param"], error["code"]) == (where, "string_above_max_length")
    assert f"maximum length {longest}, but got a string with length {longest + 1}" in error["message"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"])
@pytest.mark.parametrize(
    ("model", "endpoint", "row"), [case for case in of_each("history") if case.values[1] == "chat_completions"]
)
def test_reasoning_of_others_in_messages_is_refused(
    http: httpx.Client, model: Model, endpoint: str, row: CapabilityRow, field: str
) -> None:
    assert row.history == ()
    refused = ask(http, model, endpoint, **history(endpoint, "abcdefgh1", **{field: "Hm."}))
    if model.vendor == "mistral":
        assert_refuses_field_at(refused, ["body", "messages", 1, field])
    else:
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == f"Unknown parameter: 'messages[1].{field}'."
    assert ask(http, model, endpoint, **history(endpoint, "abcdefgh1")).status_code == 200


def assert_refuses_field_at(response: httpx.Response, where: list[Any]) -> None:
    assert (response.status_code, response.json()["message"]["detail"][0]["loc"]) == (422, where)


@pytest.mark.parametrize(
    ("model", "body", "status", "says"),
    [
        pytest.param(LUNA, {"temperature": 0.3}, 400, "does not support 0.3 with this model. Only the default (1)",
                     id="a value that differs from the only one"),
        pytest.param(LUNA, {"temperature": 1, "top_p": 1, "presence_penalty": 0, "n": 1}, 200, "", id="the only ones"),
        pytest.param(LUNA, {"logprobs": False}, 200, "", id="what is off is as good as absent"),
        pytest.param(LUNA, {"messages": [{**ASK[0], "mood": "glad"}]}, 400, "Unknown parameter: 'messages[0].mood'",
                     id="a strict model knows its messages' fields"),
        pytest.param(MISTRAL, {"messages": [{**ASK[0], "mood": "glad"}]}, 422, '"loc":["body","messages",0,"mood"]',
                     id="Mistral's model as well"),
        pytest.param(MISTRAL, {"messages": [*ASK, {"role": "assistant", "content": "In", "prefix": True}]}, 200, "",
                     id="and has one of its own"),
        pytest.param(MINI, {"messages": [{**ASK[0], "mood": "glad"}]}, 200, "", id="another model does not look"),
        pytest.param(MINI, {"temperature": 0.3, "max_tokens": 5, "logit_bias": {"1": 1}}, 200, "",
                     id="an older model takes what it always took"),
        pytest.param(MINI, {"top_k": 5}, 400, "Unrecognized request argument supplied: top_k",
                     id="no model of OpenAI's takes another vendor's parameters"),
    ],
)  # fmt: skip
def test_a_chat_keeps_to_its_model(
    http: httpx.Client, model: str, body: dict[str, Any], status: int, says: str
) -> None:
    response = http.post("/v1/chat/completions", json={"model": model, "messages": ASK, **body})
    assert (response.status_code, says in response.text) == (status, True), response.text


@pytest.mark.parametrize("endpoint", PATHS)
@pytest.mark.parametrize("model", [model for model in MODELS if model.strict], ids=lambda model: model.id)
def test_what_the_gateway_makes_of_a_request_is_taken(http: httpx.Client, model: Model, endpoint: str) -> None:
    rows = tuple(row for row in capability_rows() if row.speaks_of(model.vendor, model.id, model.base))
    body: dict[str, Any] = {**history(endpoint, "call_" + "x" * 70), "max_output_tokens": 50}
    if endpoint == "chat_completions":
        dropped = {word for row in rows for word in row.drops}
        body = {**history(endpoint, "call_" + "x" * 70, reasoning_content="Hm."), "max_tokens": 50, **SAID["tools"]}
        body |= {name: value for word in dropped for name, value in SAID.get(word, {word: "x"}).items()}
    assert ask(http, model, endpoint, **body).status_code in (400, 422)
    assert Capabilities(rows).adapt(body, endpoint)
    taken = ask(http, model, endpoint, **body)
    assert taken.status_code == 200, taken.text
