"""What may go into litellm: a list of what is allowed, because nearly every keyword of its is an instruction to it."""

from typing import Any

import pytest

from gateway.errors import GatewayError, InvalidRequest, NotFound
from gateway.providers.litellm_request import (
    ALLOWED,
    PATHS,
    Call,
    UnsupportedParameter,
    read_call,
    refuse_what_is_stored,
    schema_nodes,
)

MESSAGES = [{"role": "user", "content": "Hi"}]


def a_call(path: str = "/chat/completions", **body: Any) -> Call:
    return read_call(path, {"model": "m", **body}, provider="anthropic")


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        pytest.param("/chat/completions", "api_base", "http://elsewhere", id="another address"),
        pytest.param("/chat/completions", "base_url", "http://elsewhere", id="another address, by its other name"),
        pytest.param("/chat/completions", "api_key", "sk-mine", id="another key"),
        pytest.param("/chat/completions", "api_version", "2024-10-21", id="another version of an API"),
        pytest.param("/chat/completions", "custom_llm_provider", "openai", id="another provider"),
        pytest.param("/chat/completions", "organization", "org-1", id="another organization"),
        pytest.param("/chat/completions", "fallbacks", ["gpt-4o"], id="litellm's fallbacks"),
        pytest.param(
            "/chat/completions", "context_window_fallback_dict", {}, id="litellm's fallbacks for long prompts"
        ),
        pytest.param("/chat/completions", "mock_response", "Hi!", id="an answer that nobody gave"),
        pytest.param("/chat/completions", "mock_tool_calls", [], id="tool calls that nobody made"),
        pytest.param("/chat/completions", "model_list", [], id="litellm's router"),
        pytest.param("/chat/completions", "num_retries", 9, id="retries"),
        pytest.param("/chat/completions", "timeout", 1, id="a timeout"),
        pytest.param("/chat/completions", "caching", True, id="a cache"),
        pytest.param("/chat/completions", "extra_headers", {}, id="headers"),
        pytest.param("/chat/completions", "extra_body", {}, id="a body within the body"),
        pytest.param("/chat/completions", "headers", {}, id="headers, by their other name"),
        pytest.param("/chat/completions", "allowed_openai_params", ["x"], id="what to let through"),
        pytest.param("/chat/completions", "drop_params", True, id="leave to drop what matters"),
        pytest.param("/chat/completions", "aws_role_name", "arn:aws:iam::1:role/x", id="a role at AWS"),
        pytest.param("/chat/completions", "aws_secret_access_key", "x", id="a key of AWS"),
        pytest.param("/chat/completions", "vertex_credentials", "/etc/passwd", id="a file to read a key from"),
        pytest.param("/chat/completions", "input_cost_per_token", 0, id="a price"),
        pytest.param("/chat/completions", "prompt_id", "p", id="a prompt of a service's"),
        pytest.param("/chat/completions", "litellm_metadata", {}, id="what litellm's own proxy says"),
        pytest.param("/chat/completions", "proxy_server_request", {}, id="what the proxy was asked"),
        pytest.param("/chat/completions", "_skip_mcp_handler", False, id="litellm's private switches"),
        pytest.param("/chat/completions", "input", "Hi", id="another endpoint's field"),
        pytest.param("/completions", "api_base", "http://elsewhere", id="completions: another address"),
        pytest.param("/embeddings", "api_base", "http://elsewhere", id="embeddings: another address"),
        pytest.param("/embeddings", "messages", MESSAGES, id="embeddings: another endpoint's field"),
        pytest.param("/responses", "api_base", "http://elsewhere", id="responses: another address"),
        pytest.param("/responses", "mock_response", "Hi!", id="responses: an answer that nobody gave"),
        pytest.param("/responses", "Model", "x", id="a known field, written otherwise"),
    ],
)
def test_a_field_that_is_not_on_the_list_is_refused_by_its_name(path: str, field: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        a_call(path, **{field: value})
    assert (refused.value.param, refused.value.code, refused.value.status) == (field, "unknown_parameter", 400)


def test_of_several_unknown_fields_the_first_in_the_alphabet_is_named() -> None:
    with pytest.raises(InvalidRequest, match="'api_key'") as refused:
        a_call(mock_response="x", api_key="y", temperature=1)
    assert refused.value.param == "api_key"


@pytest.mark.parametrize("endpoint", sorted(PATHS.values()))
def test_no_list_holds_what_says_where_to_go_or_as_whom(endpoint: Any) -> None:
    never = {
        "api_base",
        "base_url",
        "api_key",
        "custom_llm_provider",
        "fallbacks",
        "mock_response",
        "timeout",
        "caching",
    }
    assert not ALLOWED[endpoint] & never
    assert not [name for name in ALLOWED[endpoint] if name.startswith(("aws_", "vertex_", "azure_", "litellm_", "_"))]


def test_what_is_asked_for_goes_in_as_it_is() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    call = a_call(messages=MESSAGES, tools=tools, temperature=0.3, top_k=5, thinking={"type": "enabled"})
    assert call.fields == {
        "messages": MESSAGES,
        "tools": tools,
        "temperature": 0.3,
        "top_k": 5,
        "thinking": {"type": "enabled"},
    }
    assert (call.endpoint, call.model, call.provider, call.key, call.packed) == (
        "chat_completions",
        "m",
        "anthropic",
        None,
        False,
    )


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param({"metadata": {"fallbacks": ["x"]}}, {}, id="metadata is a place for instructions to litellm"),
        pytest.param({"stream_options": {"include_usage": False}}, {}, id="usage is always asked for"),
        pytest.param({"temperature": None, "stop": None}, {}, id="null means not given"),
        pytest.param({"temperature": 0, "stop": ""}, {"temperature": 0, "stop": ""}, id="zero and nothing are given"),
    ],
)
def test_what_does_not_go_in(body: dict[str, Any], fields: dict[str, Any]) -> None:
    assert a_call(**body).fields == fields


@pytest.mark.parametrize(
    ("said", "streams"),
    [(True, True), (False, False), (None, False), ("true", False), (1, False)],
    ids=["true streams", "false does not", "null does not", "a word does not", "a number does not"],
)
def test_only_true_streams(said: object, streams: bool) -> None:
    assert a_call(stream=said).stream is streams


def test_vectors_are_packed_here_so_every_vendor_is_asked_for_numbers() -> None:
    call = a_call("/embeddings", input="Hi", encoding_format="base64", dimensions=8)
    assert (call.packed, call.fields) == (True, {"input": "Hi", "dimensions": 8})
    assert not a_call("/embeddings", input="Hi", encoding_format="float").packed


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        pytest.param("/images/generations", {"model": "m"}, NotFound, id="an endpoint that litellm is not used for"),
        pytest.param("/chat/completions/", {"model": "m"}, NotFound, id="a path that is nearly one"),
        pytest.param("/chat/completions", {"messages": MESSAGES}, InvalidRequest, id="no model"),
        pytest.param("/chat/completions", {"model": ["m"]}, InvalidRequest, id="a model that is no name"),
        pytest.param("/chat/completions", ["m"], InvalidRequest, id="no object"),
        pytest.param("/chat/completions", None, InvalidRequest, id="null"),
    ],
)
def test_what_is_no_request_at_all(path: str, body: object, error: type[GatewayError]) -> None:
    with pytest.raises(error):
        read_call(path, body, provider="anthropic")


@pytest.mark.parametrize(
    "option",
    ["api_key", "mock_response", "ssl_verify", "aws_secret_access_key"],
    ids=["a key", "an answer", "TLS", "AWS's key"],
)
def test_an_option_of_the_gateways_that_nobody_knows_is_a_mistake_of_ours(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        read_call("/chat/completions", {"model": "m"}, provider="bedrock", options={option: "x"})


def test_where_to_goes_in_beside_what_is_asked() -> None:
    options = {"api_base": "http://127.0.0.1:1", "aws_region_name": "eu-central-1"}
    call = read_call("/chat/completions", {"model": "m"}, provider="bedrock", key="k", options=options)
    assert (call.options, call.key, call.fields) == (options, "k", {})


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
def test_a_tool_that_litellm_would_run_by_itself_is_refused(path: str) -> None:
    tool = {"type": "mcp", "server_url": "litellm_proxy/mcp/github", "require_approval": "never"}
    with pytest.raises(InvalidRequest) as refused:
        a_call(path, tools=[tool])
    assert refused.value.param == "tools"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        pytest.param({"previous_response_id": "resp_1"}, "previous_response_id", id="a stored response"),
        pytest.param({"conversation": "conv_1"}, "conversation", id="a stored conversation"),
        pytest.param({"prompt": {"id": "pmpt_1"}}, "prompt", id="a stored prompt"),
        pytest.param({"background": True}, "background", id="work in the background"),
        pytest.param({"tools": [{"type": "file_search"}]}, "tools", id="a search in stored files"),
        pytest.param({"tools": [{"type": "code_interpreter"}]}, "tools", id="a computer of the vendor's"),
        pytest.param({"tools": ["function"]}, "tools", id="a tool that is no object"),
    ],
)
def test_what_needs_a_vendor_that_stores_is_refused_and_not_left_out(body: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        refuse_what_is_stored(a_call("/responses", input="Hi", **body))
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")


def test_what_needs_no_store_is_not_refused() -> None:
    tools = [{"type": "function", "name": "f"}, {"type": "web_search"}, {"type": "custom", "name": "g"}]
    refuse_what_is_stored(a_call("/responses", input="Hi", tools=tools, background=False, store=False))


def bomb(levels: int) -> dict[str, Any]:
    """A schema whose every definition refers to the next one twice."""
    defs = {
        f"d{i}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/d{i + 1}"} for side in "ab"}}
        for i in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": defs | {f"d{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("field", "param"),
    [
        pytest.param({"tools": [{"type": "function", "function": {"parameters": bomb(19)}}]}, "tools", id="a tool"),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"schema": bomb(25)}}},
            "response_format",
            id="a format",
        ),
        pytest.param({"messages": [{"role": "user", "content": "a"}] * 1_001}, "messages", id="endless messages"),
        pytest.param(
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}] * 1_001}]}, "messages", id="endless calls"
        ),
    ],
)
def test_what_would_keep_everybody_waiting_is_refused(field: dict[str, Any], param: str) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "a"}]} | field
    with pytest.raises(InvalidRequest) as raised:
        read_call("/chat/completions", asked, provider="gemini")
    assert raised.value.param == param


def test_schemas_that_people_write_pass() -> None:
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    }
    asked = {"model": "m", "messages": [{"role": "user"}], "tools": [{"function": {"parameters": tree}}]}
    read_call("/chat/completions", asked, provider="gemini")
    assert schema_nodes(bomb(3)) < 200


@pytest.mark.parametrize(("provider", "kept"), [("gemini", False), ("vertex_ai", False), ("anthropic", True)])
def test_what_is_marked_for_a_cache_stays_marked_only_where_that_stores_nothing(provider: str, kept: bool) -> None:
    content = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]
    call = read_call(
        "/chat/completions", {"model": "m", "messages": [{"role": "user", "content": content}]}, provider=provider
    )
    assert ("cache_control" in call.fields["messages"][0]["content"][0]) is kept
