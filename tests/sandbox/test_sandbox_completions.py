from typing import Any

import httpx
import orjson
import pytest

MODEL = "gpt-3.5-turbo-instruct"
PROMPT = "Once upon a time"


def post(http: httpx.Client, **body: Any) -> httpx.Response:
    return http.post("/v1/completions", json={"model": MODEL, "prompt": PROMPT, **body})


def complete(http: httpx.Client, **body: Any) -> Any:
    return post(http, **body).raise_for_status().json()


def streamed(http: httpx.Client, **body: Any) -> list[Any]:
    sent = post(http, stream=True, **body)
    lines = [line.removeprefix("data: ") for line in sent.text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [orjson.loads(line) for line in lines]


def test_a_text_is_continued_and_its_row_on_the_bill_agrees(http: httpx.Client) -> None:
    answer = complete(http)
    assert (answer["object"], answer["model"]) == ("text_completion", MODEL)
    [choice] = answer["choices"]
    assert (choice["index"], choice["logprobs"], choice["finish_reason"]) == (0, None, "length")
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (4, 16)
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["endpoint"], row["input_tokens"], row["output_tokens"], row["complete"]) == ("completions", 4, 16, True)
    assert row["cost_nanousd"] == 4 * 1_500 + 16 * 2_000


@pytest.mark.parametrize(
    ("prompt", "prompt_tokens", "choices"),
    [
        pytest.param("Once upon", 2, 1, id="a text"),
        pytest.param(["Once", "Twice, thrice"], 4, 2, id="several texts"),
        pytest.param([15, 2_024, 199_999], 3, 1, id="the tokens of a text"),
        pytest.param([[15], [16, 17]], 3, 2, id="the tokens of several"),
        pytest.param(None, 4, 1, id="none: the text's end, from which anything may begin"),
    ],
)
def test_prompts_come_in_every_shape(http: httpx.Client, prompt: Any, prompt_tokens: int, choices: int) -> None:
    answer = complete(http, prompt=prompt, n=2)
    assert [choice["index"] for choice in answer["choices"]] == list(range(2 * choices))
    assert answer["usage"]["prompt_tokens"] == prompt_tokens
    assert answer["usage"]["completion_tokens"] == 2 * 16 * choices


@pytest.mark.parametrize(
    ("fields", "text", "finish_reason"),
    [
        pytest.param({"max_tokens": 3}, "You asked:", "length", id="cut at its limit"),
        pytest.param({"max_tokens": 100, "stop": " usually"}, "You asked: Once upon a time. Here is what", "stop",
                     id="ended where it was told to"),
        pytest.param({"max_tokens": 0, "echo": True}, PROMPT, "length", id="nothing but the echo"),
        pytest.param({"max_tokens": 3, "echo": True}, f"{PROMPT}You asked:", "length", id="after the echo"),
    ],
)  # fmt: skip
def test_a_continuation_ends_where_it_should(
    http: httpx.Client, fields: dict[str, Any], text: str, finish_reason: str
) -> None:
    [choice] = complete(http, **fields)["choices"]
    assert (choice["text"], choice["finish_reason"]) == (text, finish_reason)


@pytest.mark.parametrize(
    "fields",
    [{}, {"n": 2}, {"echo": True, "prompt": ["One", "Two"]}, {"max_tokens": 100}, {"logprobs": 2, "echo": True}],
    ids=["one", "two choices", "two prompts and their echo", "to its end", "probabilities"],
)
def test_a_stream_says_the_same_as_the_whole(http: httpx.Client, fields: dict[str, Any]) -> None:
    whole, chunks = complete(http, **fields), streamed(http, **fields)
    assert len({chunk["id"] for chunk in chunks}) == 1
    for choice in whole["choices"]:
        parts = [part for chunk in chunks for part in chunk["choices"] if part["index"] == choice["index"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert [part["finish_reason"] for part in parts if part["finish_reason"]] == [choice["finish_reason"]]
        if choice["logprobs"]:
            for column, wanted in choice["logprobs"].items():
                assert [one for part in parts if part["logprobs"] for one in part["logprobs"][column]] == wanted
    assert not any("usage" in chunk for chunk in chunks)
    *chunks, last = streamed(http, stream_options={"include_usage": True}, **fields)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert {chunk["usage"] for chunk in chunks} == {None}
    rows = http.get("/sandbox/bill").json()["rows"]
    assert rows[0] == rows[1] == rows[2]


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("alternatives", [0, 3])
def test_probabilities_come_in_columns(http: httpx.Client, echo: bool, alternatives: int) -> None:
    [choice] = complete(http, logprobs=alternatives, echo=echo)["choices"]
    columns = choice["logprobs"]
    assert "".join(columns["tokens"]) == choice["text"]
    assert [choice["text"][at:].startswith(token) for at, token in
            zip(columns["text_offset"], columns["tokens"], strict=True)] == [True] * len(columns["tokens"])  # fmt: skip
    first, *others = zip(columns["token_logprobs"], columns["top_logprobs"], strict=True)
    assert (first == (None, None)) is echo
    for logprob, top in others:
        assert logprob <= 0
        assert (0 if top is None else len(top)) == alternatives


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        pytest.param({"prompt": 5}, 400, "invalid_type", "prompt", id="a number"),
        pytest.param({"prompt": [-5]}, 400, "invalid_type", "prompt", id="a token below nothing"),
        pytest.param({"prompt": ["a", 5]}, 400, "invalid_type", "prompt", id="texts and tokens mixed"),
        pytest.param({"max_tokens": -1}, 400, "integer_below_min_value", "max_tokens", id="less than no answer"),
        pytest.param({"logprobs": 6}, 400, "integer_above_max_value", "logprobs", id="too many alternatives"),
        pytest.param({"logprobs": True}, 400, "invalid_type", "logprobs", id="chat's way to ask for probabilities"),
        pytest.param({"n": 3, "best_of": 2}, 400, None, None, id="the best three of two"),
        pytest.param({"stream_options": {}}, 400, None, "stream_options", id="stream options without a stream"),
        pytest.param({"prompt": "word " * 4_090}, 400, None, None, id="a prompt that leaves no room for an answer"),
        pytest.param({"model": "gpt-6-luna"}, 404, None, "model", id="a chat model"),
        pytest.param({"model": "text-embedding-3-small"}, 403, None, None, id="a model that makes vectors"),
        pytest.param({"model": "davinci"}, 404, "model_not_found", None, id="a model never sold"),
    ],
)
def test_a_wrong_request_gets_openais_error(
    http: httpx.Client, body: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    response = post(http, **body)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


def test_faults_are_the_same_here(http: httpx.Client) -> None:
    sent = post(http, model="fault-cut", stream=True, max_tokens=100).text
    assert (sent.count("data: "), "[DONE]" in sent) == (5, False)
    [error] = [
        orjson.loads(line[6:])
        for line in post(http, model="fault-error-in-200", stream=True).text.split("\n\n")
        if line
    ]
    assert error["error"]["type"] == "server_error"
