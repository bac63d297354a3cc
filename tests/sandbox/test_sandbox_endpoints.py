"""What every endpoint that takes a model does alike: retirement, faults, the bill, and what cannot be understood."""

from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import SystemClock
from gateway.sandbox.app import create_sandbox
from tests.sandbox_server import RunningSandbox, fast_catalogue

CHAT, SMALL, INSTRUCT = "gpt-4o-mini-2024-07-18", "text-embedding-3-small", "gpt-3.5-turbo-instruct"
ASK = [{"role": "user", "content": "How?"}]
BODIES: dict[str, dict[str, Any]] = {
    "/chat/completions": {"model": CHAT, "messages": ASK},
    "/responses": {"model": CHAT, "input": "How?"},
    "/embeddings": {"model": SMALL, "input": "How?"},
    "/completions": {"model": INSTRUCT, "prompt": "How?"},
}
NAMES = {
    "/chat/completions": "chat_completions", "/responses": "responses", "/embeddings": "embeddings",
    "/completions": "completions",
}  # fmt: skip
everywhere = pytest.mark.parametrize("path", BODIES)


@everywhere
@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/api/v1", "/inference/v1", "/serving-endpoints"])
def test_every_vendors_path_leads_here_and_its_row_says_where(http: httpx.Client, path: str, prefix: str) -> None:
    response = http.post(f"{prefix}{path}", json=BODIES[path], headers={"X-Client-Request-Id": "mine"})
    assert response.status_code == 200
    assert response.headers["x-ratelimit-limit-requests"] == "10000"
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["endpoint"], row["attempt_id"], row["asked"]) == (NAMES[path], "mine", BODIES[path]["model"])


@everywhere
@pytest.mark.parametrize(
    ("style", "status", "code"),
    [("openai", 404, "model_not_found"), ("groq", 400, "model_decommissioned"), ("vllm", 404, 404)],
)
def test_a_retired_model_is_gone_at_every_endpoint(
    http: httpx.Client, path: str, style: str, status: int, code: object
) -> None:
    body = BODIES[path]
    http.post(f"/sandbox/models/{body['model']}/retire", json={"as": style}).raise_for_status()
    response = http.post(f"/v1{path}", json=body)
    at_responses = path == "/responses" and style == "openai"
    assert (response.status_code, response.json()["error"]["code"]) == (400 if at_responses else status, code)
    if at_responses:
        assert response.json()["error"]["message"] == f"The requested model '{CHAT}' does not exist."
    http.post(f"/sandbox/models/{body['model']}/restore").raise_for_status()
    assert http.post(f"/v1{path}", json=body).status_code == 200


@everywhere
@pytest.mark.parametrize(("model", "statuses"), [("fault-429", [429, 429]), ("fault-5xx", [500, 503])])
def test_a_fault_refuses_at_every_endpoint(http: httpx.Client, path: str, model: str, statuses: list[int]) -> None:
    assert [http.post(f"/v1{path}", json={**BODIES[path], "model": model}).status_code for _ in range(2)] == statuses
    assert {row["cost_nanousd"] for row in http.get("/sandbox/bill").json()["rows"]} == {0}


@everywhere
def test_a_substitute_is_named_and_billed_at_every_endpoint(http: httpx.Client, path: str) -> None:
    answer = http.post(f"/v1{path}", json={**BODIES[path], "model": "fault-substitute"}).json()
    assert answer["model"] == "gpt-4.1-mini-2025-04-14"
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["served"], row["cost_nanousd"]) == (
        "gpt-4.1-mini-2025-04-14", row["input_tokens"] * 400 + row["output_tokens"] * 1_600,
    )  # fmt: skip


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param("/responses", {"input": [{"type": ["message"], "role": "user"}]}, id="an item's type is a list"),
        pytest.param("/responses", {"text": {"format": "json"}}, id="a format is a word"),
        pytest.param("/responses", {"include": [["x"]]}, id="something to include is a list"),
        pytest.param("/chat/completions", {"tools": [TOOL], "tool_choice": {"type": []}}, id="a choice is a list"),
        pytest.param("/chat/completions", {"tools": [TOOL], "tool_choice": {"name": {}}}, id="a choice's name is none"),
        pytest.param(
            "/chat/completions", {"messages": [*ASK, {"role": "tool", "tool_call_id": [], "content": ""}]},
            id="the id of a call is a list",
        ),
        pytest.param("/completions", {"prompt": [-1]}, id="a token is negative"),
        pytest.param("/completions", {"prompt": [[1], "x"]}, id="a prompt is half tokens and half text"),
    ],
)  # fmt: skip
def test_values_of_the_wrong_type_are_refused(http: httpx.Client, path: str, fields: dict[str, Any]) -> None:
    response = http.post(f"/v1{path}", json={**BODIES[path], **fields})
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param("/chat/completions", {"messages": [{"role": "user", "content": [{"type": ["x"], "text": "a"}]}]},
                     id="a part's type is a list"),
        pytest.param("/chat/completions",
                     {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": 5}}},
                     id="the tools that are allowed are a number"),
    ],
)  # fmt: skip
def test_what_nobody_looks_at_passes(http: httpx.Client, path: str, fields: dict[str, Any]) -> None:
    assert http.post(f"/v1{path}", json={**BODIES[path], **fields}).status_code == 200


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@everywhere
@pytest.mark.parametrize("field", ["metadata", "tools", "user", "something_new"])
def test_a_body_too_deep_to_be_written_again_is_no_json(http: httpx.Client, path: str, field: str) -> None:
    for stream in ("false", "true"):
        fields = f'"stream": {stream}, "{field}": {nested(253)}'
        response = http.post(f"/v1{path}", content=f"{orjson.dumps(BODIES[path])[:-1].decode()}, {fields}}}")
        assert (response.status_code, "could not parse" in response.text) == (400, True)


LEAVES = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.just(10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "user", "tool", "function", "auto", "required", "json_schema", "allowed_tools",
                       "item_reference", "reasoning", "function_call", "function_call_output", "message"])
)  # fmt: skip
KEYS = st.sampled_from([
    "type", "role", "content", "text", "name", "function", "parameters", "properties", "id", "call_id", "tool_calls",
    "tool_call_id", "arguments", "output", "effort", "summary", "format", "schema", "json_schema", "allowed_tools",
    "tools", "mode", "include_usage", "encrypted_content",
])  # fmt: skip
JUNK = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
FIELDS = st.sampled_from([
    "model", "messages", "input", "prompt", "tools", "tool_choice", "response_format", "text", "reasoning", "include",
    "stop", "n", "best_of", "echo", "logprobs", "top_logprobs", "stream", "stream_options", "metadata", "dimensions",
    "encoding_format", "previous_response_id", "conversation", "instructions", "background", "store", "temperature",
    "reasoning_effort", "logit_bias", "max_tokens", "max_output_tokens", "parallel_tool_calls",
])  # fmt: skip


@pytest.fixture(scope="module")
def shared_http(server: RunningSandbox, http_of_all_tests: httpx.Client) -> httpx.Client:
    """A client of the usual models, for calls that need no models of their own."""
    server.sandbox.provider = create_sandbox(
        clock=SystemClock(), catalogue=fast_catalogue(SystemClock().now())
    ).provider
    return http_of_all_tests


@settings(max_examples=120, deadline=None)
@given(path=st.sampled_from(list(BODIES)), fields=st.dictionaries(FIELDS, JUNK, min_size=1, max_size=3),
       model=st.sampled_from([None, "gpt-6-luna", "mistral-strict"]))  # fmt: skip
def test_junk_is_refused_or_answered_and_breaks_nothing(
    shared_http: httpx.Client, path: str, fields: dict[str, Any], model: str | None
) -> None:
    body = {**BODIES[path], **({"model": model} if model and path in ("/chat/completions", "/responses") else {})}
    response = shared_http.post(f"/v1{path}", json={**body, **fields})
    assert response.status_code < 500, response.text
