"""Requests that never reach a provider: bad bodies, wrong credentials, foreign pages, wrong addresses."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from fake_provider import FakeProvider
from served_gateway import USER, Serve

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
GOOD = json.dumps({"model": "reply", "messages": USER}).encode()
JSON = {"content-type": "application/json"}


def with_value(value: bytes) -> bytes:
    return b'{"model":"reply","messages":[{"role":"user","content":"x"}],"value":%b}' % value


def asking(**fields: Any) -> bytes:
    return json.dumps({"model": "reply", "messages": USER} | fields).encode()


BODIES: list[Any] = [
    pytest.param(b"", "invalid_json", id="nothing"),
    pytest.param(b"  \n", "invalid_json", id="white space"),
    pytest.param(b"{", "invalid_json", id="a beginning"),
    pytest.param(GOOD + b"x", "invalid_json", id="something behind the end"),
    pytest.param(b"\xff\xfe" + GOOD, "invalid_json", id="no UTF-8"),
    pytest.param(with_value(b'"\\ud800"'), "invalid_json", id="half of a surrogate pair"),
    pytest.param(with_value(b"NaN"), "invalid_json", id="NaN"),
    pytest.param(with_value(b"-Infinity"), "invalid_json", id="Infinity"),
    pytest.param(with_value(b"18446744073709551616"), "invalid_json", id="an integer of 65 bits"),
    pytest.param(with_value(b"-9223372036854775809"), "invalid_json", id="a negative integer of 65 bits"),
    pytest.param(with_value(b'{"a":[{"b":-36893488147419103232}]}'), "invalid_json", id="one that is nested"),
    pytest.param(with_value(b"[" * 100_000 + b"]" * 100_000), "invalid_json", id="100,000 levels of lists"),
    pytest.param(
        with_value(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "invalid_json", id="100,000 levels of objects"
    ),
    pytest.param(with_value(b"[" * 300 + b"]" * 300), "invalid_json", id="300 levels"),
    pytest.param(b"[" * 20_000_000, "invalid_json", id="20 MB of opening brackets"),
    pytest.param(b'"reply"', "invalid_request", id="a string"),
    pytest.param(b"[" + GOOD + b"]", "invalid_request", id="a list"),
    pytest.param(b"null", "invalid_request", id="null"),
    pytest.param(b"{}", "invalid_request", id="an empty object"),
    pytest.param(asking(model=7), "invalid_request", id="a number as the model"),
    pytest.param(asking(model=["reply"]), "invalid_request", id="a list as the model"),
    pytest.param(asking(model=""), "invalid_request", id="an empty model"),
    pytest.param(asking(messages=None), "invalid_request", id="no messages"),
    pytest.param(asking(messages=[]), "invalid_request", id="an empty list of messages"),
    pytest.param(asking(messages="Hi"), "invalid_request", id="a string as messages"),
    pytest.param(asking(messages=["Hi"]), "invalid_request", id="a string as a message"),
    pytest.param(asking(messages=[{"content": "Hi"}]), "invalid_request", id="a message without a role"),
    pytest.param(asking(messages=[{"role": 1, "content": "Hi"}]), "invalid_request", id="a number as the role"),
    pytest.param(asking(stream="yes"), "invalid_request", id="a string as stream"),
    pytest.param(asking(stream=1), "invalid_request", id="a number as stream"),
    pytest.param(asking(stream=True, stream_options=[1]), "invalid_request", id="a list as stream_options"),
]


async def test_a_bad_body_is_a_400_that_says_why_and_calls_nobody(serve: Serve, provider: FakeProvider) -> None:
    """One gateway takes them all, and goes on answering."""
    gateway = await serve()
    for case in BODIES:
        body, code = case.values
        answer = await gateway.client.post("/v1/chat/completions", content=body, headers=JSON)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["type"]) == (400, code, "invalid_request_error"), case.id
        assert set(error) == {"message", "type", "param", "code", "request_id"}
        assert error["request_id"] == answer.headers["x-request-id"]
        assert len(answer.content) < 1_000, case.id
    assert provider.calls == []
    assert await gateway.metric("gateway_requests_total", route="_other", code="400") == len(BODIES)
    assert (await gateway.chat()).status_code == 200
    await gateway.rows(1)


async def test_messages_of_odd_but_possible_shape_are_the_providers_to_judge(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    odd = [
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": 7},
        {"role": "user", "content": [None, 5, {"type": "text"}, {"text": {"a": 1}}]},
        {"role": "assistant", "tool_calls": None},
    ]
    answer = await gateway.chat(messages=odd)
    assert answer.status_code == 200
    assert provider.chats()[0].json["messages"] == odd
    await gateway.rows(1)


# Size.


async def test_a_body_beyond_the_limit_is_refused_whatever_its_header_claimed(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    big = b'{"model": "reply", "messages": [{"role": "user", "content": "' + b"x" * (21 << 20) + b'"}]}'

    async def in_chunks() -> Any:
        for at in range(0, len(big), 1 << 20):
            yield big[at : at + (1 << 20)]

    for content in (big, in_chunks()):
        answer = await gateway.client.post("/v1/chat/completions", content=content, headers=JSON)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert provider.calls == []


async def test_a_body_without_end_is_cut_at_the_limit_and_never_held(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(max_body_bytes=1 << 20)
    loop = asyncio.get_running_loop()
    sent_bytes = 0
    async with gateway.socket(HEAD + b"transfer-encoding: chunked\r\n\r\n") as caller:

        async def send_on() -> None:
            nonlocal sent_bytes
            part = b"10000\r\n" + b" " * 65_536 + b"\r\n"
            while sent_bytes < 1 << 30:
                await loop.sock_sendall(caller.raw, part)
                sent_bytes += len(part)

        sending = asyncio.create_task(send_on())
        answer = await caller.answer()
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        assert answer.headers["connection"] == "close"
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(sending, 5)
    assert sent_bytes < 16 << 20, "of 1 GiB; what the sockets hold included"
    assert provider.calls == []


async def test_a_body_at_the_limit_is_taken(serve: Serve) -> None:
    gateway = await serve(max_body_bytes=len(GOOD))
    assert (await gateway.client.post("/v1/chat/completions", content=GOOD, headers=JSON)).status_code == 200
    longer = await gateway.client.post("/v1/chat/completions", content=GOOD + b" ", headers=JSON)
    assert longer.status_code == 413
    await gateway.rows(1)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"content-type": "text/plain"}, id="text/plain, which a page may send anywhere"),
        pytest.param({"content-type": "application/x-www-form-urlencoded"}, id="a form"),
        pytest.param({}, id="no content type"),
        pytest.param(JSON | {"content-encoding": "gzip"}, id="gzip"),
        pytest.param(JSON | {"content-encoding": "br"}, id="br"),
    ],
)
async def test_a_body_of_another_kind_is_a_415(serve: Serve, provider: FakeProvider, headers: dict[str, str]) -> None:
    gateway = await serve()
    answer = await gateway.client.post("/v1/chat/completions", content=GOOD, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert provider.calls == []


# Who may call.


async def raw_status(gateway: Any, *lines: bytes) -> tuple[int, str | None]:
    """Send a good request with these header lines; return status and error code."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-type: application/json\r\n"
    request = head + b"".join(line + b"\r\n" for line in lines) + b"content-length: %d\r\n\r\n%b" % (len(GOOD), GOOD)
    async with gateway.socket(request) as caller:
        answer = await caller.answer()
        return answer.status_code, answer.json().get("error", {}).get("code")


async def test_an_open_gateway_serves_its_own_machine_only(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    forbidden = (403, "forbidden_origin")
    local: list[tuple[bytes, ...]] = [
        (b"host: localhost",),
        (b"host: 127.0.0.1:8080",),
        (b"host: [::1]:8080",),
        (b"host: LOCALHOST",),
        (b"host: localhost", b"origin: http://localhost:3000"),
    ]
    foreign: list[tuple[bytes, ...]] = [
        (b"host: evil.example",),
        (b"host: 127.0.0.1.evil.example",),
        (b"host: localhost.evil.example:80",),
        (b"host: 10.0.0.5",),
        (b"host: localhost", b"origin: https://evil.example"),
        (b"host: localhost", b"origin: null"),
        (b"host: localhost", b"origin: http://localhost.evil.example"),
        (b"host: localhost", b"origin: file://"),
    ]
    for lines in local:
        assert await raw_status(gateway, *lines) == (200, None), lines
    for lines in foreign:
        assert await raw_status(gateway, *lines) == forbidden, lines
    for host in (b"host: evil.example@localhost.evil", b"host: [::1"):
        assert await raw_status(gateway, host) == (400, "malformed_request"), host
    for lines in local:
        assert await raw_status(gateway, *lines) == (200, None), lines
    refused = await gateway.client.get("/v1/models", headers={"host": "evil.example"})
    assert (refused.status_code, refused.json()["error"]["code"]) == forbidden
    assert (await gateway.client.get("/healthz", headers={"host": "10.0.0.5:8080"})).status_code == 200
    await gateway.rows(2 * len(local))


CREDENTIALS: list[Any] = [
    pytest.param([b"authorization: Bearer good-key"], 200, None, id="the key"),
    pytest.param([b"authorization: bearer good-key"], 200, None, id="the key, bearer in lower case"),
    pytest.param([b"api-key: good-key"], 200, None, id="the key, as Azure's SDK sends it"),
    pytest.param([b"x-api-key: good-key"], 200, None, id="the key, as others send it"),
    pytest.param([b"authorization: Bearer good-key", b"origin: https://x.example"], 200, None, id="from a page"),
    pytest.param([b"authorization: Bearer admin-key"], 200, None, id="the operator's key"),
    pytest.param([], 401, "invalid_api_key", id="none"),
    pytest.param([b"authorization: Bearer "], 401, "invalid_api_key", id="an empty one"),
    pytest.param([b"authorization: Bearer bad-key"], 401, "invalid_api_key", id="a wrong one"),
    pytest.param([b"authorization: Bearer good-ke"], 401, "invalid_api_key", id="nearly"),
    pytest.param([b"authorization: Bearer \xc3\xa9"], 401, "invalid_api_key", id="no ASCII"),
    pytest.param([b"authorization: Basic good-key"], 401, "invalid_api_key", id="another scheme"),
    pytest.param([b"cookie: key=good-key"], 401, "invalid_api_key", id="a cookie"),
    pytest.param([b"authorization: Bearer good-key"] * 2, 400, "two_credentials", id="one twice"),
    pytest.param([b"authorization: Bearer bad-key", b"api-key: good-key"], 400, "two_credentials", id="two at once"),
]


async def test_with_keys_one_right_credential_is_needed_and_the_host_does_not_matter(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve(key="good-key", admin_key="admin-key")
    for case in CREDENTIALS:
        lines, status, code = case.values
        assert await raw_status(gateway, b"host: gateway.internal", *lines) == (status, code), case.id
    good = sum(case.values[1] == 200 for case in CREDENTIALS)
    assert len(provider.chats()) == good
    assert {row.key for row in await gateway.rows(good)} == {"default", "admin"}
    bad = sum(case.values[1] == 401 for case in CREDENTIALS)
    key = {"authorization": "Bearer good-key"}
    listed = await gateway.client.get("/v1/models")
    assert (listed.status_code, listed.json()["error"]["code"]) == (401, "invalid_api_key")
    assert (await gateway.client.get("/v1/models", headers=key)).status_code == 200
    in_query = await gateway.client.get("/v1/models?api_key=good-key&key=good-key")
    assert (in_query.status_code, in_query.json()["error"]["param"]) == (400, "api_key")
    gateway.client.headers.update(key)
    assert await gateway.metric("gateway_auth_failures_total") == bad + 1


# Addresses.


async def test_an_unknown_route_is_a_404_that_names_the_nearest(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(more_routes={"forum-reply": {"primary": "tuned"}, "invoice": {"primary": "tuned"}})
    answer = await gateway.chat("form-reply")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "route_not_found", "model")
    assert "forum-reply" in error["message"]
    assert "invoice" not in error["message"]
    far = await gateway.chat("gpt-4o-mini")
    assert "/v1/models" in far.json()["error"]["message"]
    long = await gateway.chat("x" * 100_000)
    assert (long.status_code, len(long.content) < 1_000) == (404, True)
    shown = await gateway.client.get("/v1/models/form-reply")
    assert (shown.status_code, shown.json()["error"]["code"]) == (404, "route_not_found")
    assert provider.calls == []
    assert await gateway.metric("gateway_requests_total", route="_other", code="404") == 3


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/v1/chat/completions", 405, "method_not_allowed", id="a GET for completions"),
        pytest.param("DELETE", "/v1/chat/completions", 405, "method_not_allowed", id="a DELETE for completions"),
        pytest.param("POST", "/v1/models", 405, "method_not_allowed", id="a POST for the list"),
        pytest.param("PUT", "/healthz", 405, "method_not_allowed", id="a PUT for health"),
        pytest.param("GET", "/v1/nothing", 404, "not_found", id="nothing there"),
        pytest.param("POST", "/chat/completions", 404, "not_found", id="without /v1"),
        pytest.param("POST", "/v1/chat/completions/", 404, "not_found", id="with a slash behind it"),
        pytest.param("POST", "/v1/files", 404, "not_found", id="files, which are not kept"),
        pytest.param("GET", "/docs", 404, "not_found", id="no pages of the framework"),
        pytest.param("GET", "/", 404, "not_found", id="the root"),
    ],
)
async def test_a_wrong_address_gets_an_error_in_openais_shape(
    serve: Serve, method: str, path: str, status: int, code: str
) -> None:
    gateway = await serve()
    answer = await gateway.client.request(method, path, headers=JSON)
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "request_id"}
    assert (answer.status_code, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert error["request_id"] == answer.headers["x-request-id"]
    assert ("allow" in answer.headers) == (status == 405)
    assert "detail" not in answer.json()
