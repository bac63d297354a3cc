"""What of a caller's request reaches the provider: every field but the model's name, and no header at all."""

import json
from typing import Any
from uuid import UUID

import pytest
from fake_provider import GONE, Call, FakeProvider, refuses
from served_gateway import USER, Serve, ServedGateway

pytestmark = pytest.mark.rig

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


async def sent(gateway: ServedGateway, provider: FakeProvider, body: bytes) -> Call:
    """Send these very bytes; return the last call that came of it."""
    headers = {"content-type": "application/json"}
    answer = await gateway.client.post("/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return provider.chats()[-1]


BODIES: list[Any] = [
    pytest.param(b'{"model":"reply","messages":[{"role":"user","content":"x"}]}', id="the least"),
    pytest.param(b'{"messages":[{"role":"user","content":"x"}],"model":"reply","user":"u"}', id="in another order"),
    pytest.param(
        b'{"model":"reply","messages":[{"role":"user","content":"x","odd":[null,{}]}],"new_in_2029":{"a":[1,2.5,-0.0]}}',
        id="fields that nobody knows",
    ),
    pytest.param(
        b'{"model":"reply","messages":[{"role":"tool","tool_call_id":"c","content":[{"type":"image_url",'
        b'"image_url":{"url":"http://169.254.169.254/"}}]}],"api_base":"http://evil","api_key":"k","stream":false}',
        id="URLs and keys that are only data here",
    ),
    pytest.param(
        '{"model":"reply","messages":[{"role":"user","content":"Grüße 世界 🚀 \\u0000\\u001f\\"{{route}}"}]}'.encode(),
        id="every kind of character",
    ),
    pytest.param(
        b'{"model":"reply","messages":[{"role":"user","content":"x"}],"seed":9223372036854775807,"t":1e-7}',
        id="the largest integer",
    ),
    pytest.param(
        b'{"model":"reply","messages":[{"role":"user","content":"x"}],"max_tokens":5,"response_format":{"type":"text"}}',
        id="parameters of the primary's own",
    ),
]


@pytest.mark.parametrize("body", BODIES)
async def test_the_primary_gets_the_callers_bytes_with_its_own_name_in_them(
    serve: Serve, provider: FakeProvider, body: bytes
) -> None:
    gateway = await serve()
    call = await sent(gateway, provider, body)
    assert call.body == body.replace(b'"reply"', b'"tuned"')
    assert (call.method, call.path) == ("POST", "/v1/chat/completions")
    await gateway.rows(1)


async def test_of_a_key_that_is_there_twice_only_what_was_checked_goes_up(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    body = b'{"model":"somebody-elses","model":"reply","messages":[],"messages":[{"role":"user","content":"x"}]}'
    call = await sent(gateway, provider, body)
    assert call.body == b'{"model":"tuned","messages":[{"role":"user","content":"x"}]}'
    await gateway.rows(1)


PROMPT = {
    "instructions": "Be the understudy.",
    "examples": [{"user": "Hi", "assistant": "Ahoy"}],
    "caller_system": "replace",
}
PARAMETERS = {
    "rename": {"max_tokens": "max_completion_tokens"},
    "set": {"reasoning_effort": "none"},
    "drop": ["logit_bias"],
}
SHOWN = [
    {"role": "system", "content": "Be the understudy."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Ahoy"},
]


async def test_the_fallback_gets_its_prompt_and_its_parameters_and_everything_else_unchanged(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve(base={"prompt": PROMPT, "parameters": PARAMETERS})
    provider.models["tuned"] = GONE
    asked = {
        "model": "reply",
        "messages": [{"role": "system", "content": "You are tuned."}, *USER],
        "max_tokens": 9,
        "logit_bias": {"5": 1},
        "temperature": 0.5,
        "anything": {"b": 1, "a": 2},
    }
    answer = await gateway.chat(**asked)
    primary, fallback = provider.chats()
    assert list(primary.json.items()) == list((asked | {"model": "tuned"}).items())
    assert fallback.json == {
        "model": "base",
        "messages": [*SHOWN, *USER],
        "temperature": 0.5,
        "anything": {"b": 1, "a": 2},
        "max_completion_tokens": 9,
        "reasoning_effort": "none",
    }
    assert answer.headers["x-gateway-adapted"] == "max_tokens, reasoning_effort, logit_bias"
    failed, ok = await gateway.rows_of_callers(2)
    assert (failed.prompt_version, len(ok.prompt_version)) == (None, 12)
    for parameter in ("max_tokens", "reasoning_effort", "logit_bias"):
        assert await gateway.metric("gateway_adaptations_total", route="reply", parameter=parameter) == 1


async def test_the_fallback_is_asked_to_keep_the_contract_and_a_breach_is_counted(
    serve: Serve, provider: FakeProvider, tmp_path: Any
) -> None:
    schema = {
        "type": "object",
        "properties": {"total": {"type": "number"}},
        "required": ["total"],
        "additionalProperties": False,
    }
    (tmp_path / "answer.json").write_text(json.dumps(schema))
    gateway = await serve({"contract": str(tmp_path / "answer.json")})
    provider.models["tuned"] = refuses(500, "boom")
    answer = await gateway.chat()
    assert (answer.status_code, answer.headers["x-gateway-adapted"]) == (200, "response_format")
    primary, fallback = provider.chats()
    assert "response_format" not in primary.json
    assert fallback.json["response_format"]["type"] == "json_schema"
    assert fallback.json["response_format"]["json_schema"]["schema"] == schema
    assert await gateway.metric("gateway_contract_violations_total", served_by="fallback") == 1, "'Hello.' is no JSON"
    await gateway.chat(response_format={"type": "json_object"})
    assert provider.chats("base")[-1].json["response_format"] == {"type": "json_object"}, "the caller's own stands"
    assert [row.contract_broken for row in await gateway.rows(4)] == [None, 1, None, 1], "those that came"


# Headers.


async def test_nothing_of_the_callers_headers_goes_up(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(
        first={"api_key_env": "FIRST_KEY"}, environ={"FIRST_KEY": "sk-providers-own"}, key="gateway-key", admin_key="a"
    )
    hostile = {
        "authorization": "Bearer gateway-key",
        "cookie": "session=1",
        "x-forwarded-for": "10.0.0.1",
        "openai-organization": "org-someone",
        "x-client-request-id": "mine",
        "accept-encoding": "gzip, br",
        "te": "trailers",
        "connection": "keep-alive, x-secret",
        "x-secret": "s",
        "traceparent": "00-1-2-01",
    }
    assert (await gateway.chat(headers=hostile)).status_code == 200
    (call,) = provider.chats()
    (row,) = await gateway.rows(1)
    names = [name for name, _ in call.headers]
    allowed = "host user-agent accept accept-encoding content-type content-length authorization x-client-request-id"
    assert sorted(names) == sorted(allowed.split())
    assert call.header("authorization") == "Bearer sk-providers-own"
    assert call.header("accept-encoding") == "identity"
    assert call.header("x-client-request-id") == row.attempt_id
    assert call.header("host") == provider.base_url.removeprefix("http://").removesuffix("/v1")
    assert b"gateway-key" not in call.head + call.body
    assert row.key == "default"


async def test_every_attempt_travels_under_an_id_of_its_own(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = refuses(500, "boom")
    gateway = await serve()
    await gateway.chat(headers={"x-request-id": "order-1188"})
    ids = [call.header("x-client-request-id") for call in provider.chats()]
    rows = await gateway.rows(2)
    assert ids == [row.attempt_id for row in rows]
    assert [UUID(id_).version for id_ in ids if id_] == [7, 7]
    assert {row.request_id for row in rows} == {"order-1188"}


@pytest.mark.parametrize(
    "given",
    ["x" * 65, "a b", "a;b", "é", "", "<script>"],
)
async def test_a_request_id_that_cannot_be_repeated_safely_is_replaced(serve: Serve, given: str) -> None:
    gateway = await serve()
    answer = await gateway.chat(headers={"x-request-id": given.encode()})  # type: ignore[dict-item]
    assert answer.headers["x-request-id"].startswith("req_")
    assert (await gateway.rows(1))[0].request_id == answer.headers["x-request-id"]


# Pins.


@pytest.mark.parametrize(
    ("model", "asked", "reason"),
    [
        pytest.param("reply@primary", ["tuned"], "pinned", id="the primary"),
        pytest.param("reply@fallback", ["base"], "pinned", id="the fallback"),
        pytest.param("reply@base", ["base"], "pinned", id="a fallback by its name"),
        pytest.param("reply@2026-12-31", ["tuned"], "primary", id="the last day"),
        pytest.param("reply@2027-01-14", ["base"], "shutdown_reached", id="the day of the shutdown"),
    ],
)
async def test_a_pin_chooses_who_answers_and_marks_the_row(
    serve: Serve, provider: FakeProvider, model: str, asked: list[str], reason: str
) -> None:
    dates = {"first": {"tuned": {"shutdown": "2027-01-14", "announced": "2026-10-14", "source": "test"}}}
    gateway = await serve(lifecycle=dates)
    answer = await gateway.chat(model)
    assert (answer.status_code, answer.headers["x-gateway-reason"]) == (200, reason)
    assert answer.headers["x-gateway-primary-shutdown"] == "2027-01-14"
    assert answer.headers["deprecation"] == "@1791936000"
    assert 'rel="successor-version"' in answer.headers["link"]
    assert "sunset" not in answer.headers, "a living fallback will answer"
    assert [call.json["model"] for call in provider.chats()] == asked
    (row,) = await gateway.rows(1)
    assert (row.pinned, row.route) == (1, "reply")


@pytest.mark.parametrize("pin", ["nobody", "2027-13-01", "x" * 5_000])
async def test_a_pin_to_nobody_is_the_callers_error(serve: Serve, provider: FakeProvider, pin: str) -> None:
    gateway = await serve()
    answer = await gateway.chat(f"reply@{pin}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request", "model")
    assert "primary, base, fallback" in error["message"]
    assert len(answer.content) < 1_000
    assert provider.calls == []


async def test_a_pin_never_lets_another_target_answer(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = GONE
    gateway = await serve()
    answer = await gateway.chat("reply@primary")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_gone")
    assert "pinned" in answer.json()["error"]["message"]
    assert provider.chats("base") == []
    await gateway.rows_of_callers(1)
