"""What chat answers beside one text: several choices, several calls, probabilities, reasoning."""

import math
from typing import Any

import httpx
import orjson
import pytest

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
LUNA = "gpt-6-luna"
ASK = [{"role": "user", "content": "How do I change my password?"}]


def tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


BOTH = [tool("get_weather"), tool("get_time")]
ASK_BOTH = [{"role": "user", "content": "Use get_weather and get_time for Paris"}]


def chat(http: httpx.Client, **body: Any) -> Any:
    return http.post("/v1/chat/completions", json={"model": FORUM, "messages": ASK, **body}).raise_for_status().json()


def streamed(http: httpx.Client, **body: Any) -> list[Any]:
    sent = http.post("/v1/chat/completions", json={"model": FORUM, "messages": ASK, "stream": True, **body})
    lines = [line.removeprefix("data: ") for line in sent.text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [orjson.loads(line) for line in lines]


def test_several_choices_are_asked_for_once_and_paid_for_each(http: httpx.Client) -> None:
    alone, three = chat(http), chat(http, n=3)
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    assert three["choices"][0] == alone["choices"][0]
    assert three["usage"]["prompt_tokens"] == alone["usage"]["prompt_tokens"]
    assert three["usage"]["completion_tokens"] == 3 * alone["usage"]["completion_tokens"]
    *_, row = http.get("/sandbox/bill").json()["rows"]
    assert (row["output_tokens"], row["complete"]) == (three["usage"]["completion_tokens"], True)


def test_streamed_choices_say_the_same_and_each_has_its_end(http: httpx.Client) -> None:
    whole, chunks = chat(http, n=2), streamed(http, n=2)
    for index, choice in enumerate(whole["choices"]):
        parts = [part for chunk in chunks for part in chunk["choices"] if part["index"] == index]
        assert "".join(part["delta"].get("content", "") for part in parts) == choice["message"]["content"]
        assert [part["finish_reason"] for part in parts if part["finish_reason"]] == ["stop"]
    first, second = http.get("/sandbox/bill").json()["rows"]
    assert first == second


def test_choices_of_a_base_model_may_differ(http: httpx.Client) -> None:
    system = {"role": "system", "content": "Hi!\n— The Acme community team\n" * 8}
    choices = chat(http, model="gpt-4.1-mini-2025-04-14", messages=[system, *ASK], n=8)["choices"]
    assert len({choice["message"]["content"] for choice in choices}) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_all_tools_that_are_named_are_called_at_once(http: httpx.Client, stream: bool) -> None:
    calls: dict[int, dict[str, str]] = {}
    if stream:
        for chunk in streamed(http, messages=ASK_BOTH, tools=BOTH):
            for part in chunk["choices"][0]["delta"].get("tool_calls", ()):
                call = calls.setdefault(part["index"], {"id": part.get("id", ""), "name": "", "arguments": ""})
                call["name"] += part["function"].get("name", "")
                call["arguments"] += part["function"]["arguments"]
    else:
        message = chat(http, messages=ASK_BOTH, tools=BOTH)["choices"][0]["message"]
        calls = {index: {"id": call["id"], **call["function"]} for index, call in enumerate(message["tool_calls"])}
    assert [call["name"] for call in calls.values()] == ["get_weather", "get_time"]
    assert {call["arguments"] for call in calls.values()} == {'{"city":"Paris"}'}
    assert len({call["id"] for call in calls.values()}) == 2


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        pytest.param({"parallel_tool_calls": False}, ["get_weather"], id="one at a time"),
        pytest.param(
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [BOTH[1]]}}},
            ["get_time"],
            id="only what is allowed",
        ),
    ],
)
def test_fewer_tools_are_called_where_fewer_may_be(
    http: httpx.Client, fields: dict[str, Any], called: list[str]
) -> None:
    message = chat(http, messages=ASK_BOTH, tools=BOTH, **fields)["choices"][0]["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == called


def test_every_call_needs_its_result_and_all_results_are_told(http: httpx.Client) -> None:
    message = chat(http, messages=ASK_BOTH, tools=BOTH)["choices"][0]["message"]
    one, two = ({"role": "tool", "tool_call_id": call["id"]} for call in message["tool_calls"])
    messages = [*ASK_BOTH, message, {**one, "content": "rain"}]
    refused = http.post("/v1/chat/completions", json={"model": FORUM, "messages": messages})
    assert (refused.status_code, two["tool_call_id"] in refused.json()["error"]["message"]) == (400, True)
    told = chat(http, messages=[*messages, {**two, "content": "noon"}])["choices"][0]["message"]["content"]
    assert told == "The tool answered: rain; noon. That settles what you asked."


def test_an_object_has_the_keys_that_the_prompt_names(http: httpx.Client) -> None:
    messages = [{"role": "user", "content": 'Answer in JSON with "reply" and `mood`.'}]
    answer = chat(http, messages=messages, response_format={"type": "json_object"})
    assert list(orjson.loads(answer["choices"][0]["message"]["content"])) == ["reply", "mood"]


@pytest.mark.parametrize("alternatives", [0, 1, 5, 20])
def test_each_token_has_its_probability_and_its_alternatives(http: httpx.Client, alternatives: int) -> None:
    choice = chat(http, logprobs=True, top_logprobs=alternatives)["choices"][0]
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == choice["message"]["content"]
    for token in tokens:
        top = [other["logprob"] for other in token["top_logprobs"]]
        assert len(top) == alternatives
        assert top == sorted(top, reverse=True)
        assert sum(map(math.exp, top)) < 1.0001
        assert token["logprob"] <= 0
        assert not top or token["top_logprobs"][0]["token"] == token["token"]


def test_streamed_probabilities_are_the_same_and_absent_unless_asked_for(http: httpx.Client) -> None:
    whole = chat(http, logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
    parts = [chunk["choices"][0]["logprobs"] for chunk in streamed(http, logprobs=True, top_logprobs=2)]
    assert [token for part in parts if part for token in part["content"]] == whole
    assert {chunk["choices"][0]["logprobs"] for chunk in streamed(http)} == {None}


def test_alternatives_without_probabilities_are_refused(http: httpx.Client) -> None:
    refused = http.post("/v1/chat/completions", json={"model": FORUM, "messages": ASK, "top_logprobs": 2})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "top_logprobs")


@pytest.mark.parametrize(
    ("model", "fields", "reasoning_tokens"),
    [
        pytest.param(LUNA, {}, 0, id="no effort is asked for"),
        pytest.param(LUNA, {"reasoning_effort": "none"}, 0, id="none is"),
        pytest.param(LUNA, {"reasoning_effort": "low"}, 32, id="little"),
        pytest.param(LUNA, {"reasoning_effort": "high"}, 128, id="much"),
        pytest.param(LUNA, {"reasoning_effort": "high", "max_completion_tokens": 20}, 20, id="all that it may"),
        pytest.param(FORUM, {"reasoning_effort": "high"}, 0, id="a model that does not think"),
    ],
)
def test_thinking_costs_tokens_as_much_as_was_asked_for(
    http: httpx.Client, model: str, fields: dict[str, Any], reasoning_tokens: int
) -> None:
    answer = chat(http, model=model, **fields)
    usage = answer["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == reasoning_tokens
    said = answer["choices"][0]["message"]["content"]
    assert bool(said) == (usage["completion_tokens"] > reasoning_tokens)
    last = streamed(http, model=model, stream_options={"include_usage": True}, **fields)[-1]
    assert last["usage"] == usage
    first, second = http.get("/sandbox/bill").json()["rows"]
    assert first == second
    assert first["output_tokens"] == usage["completion_tokens"]


def test_an_effort_that_is_none_is_refused(http: httpx.Client) -> None:
    body = {"model": LUNA, "messages": ASK, "reasoning_effort": "heroic"}
    refused = http.post("/v1/chat/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "reasoning_effort")


def test_calls_of_mistrals_model_have_nine_letters_and_digits(http: httpx.Client) -> None:
    message = chat(http, model="mistral-strict", messages=ASK_BOTH, tools=BOTH)["choices"][0]["message"]
    assert all(len(call["id"]) == 9 and call["id"].isalnum() for call in message["tool_calls"])
