import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import __version__
from gateway.providers.connection import BadResponse, ConnectFailed, Connection
from gateway.providers.http_client import HttpClient
from gateway.providers.identity_tokens import IdentityTokens, Token
from gateway.providers.openai_wire import Upstream, header_map
from tests.example_routes import a_provider
from tests.fake_clock import FakeClock
from tests.providers.raw_upstream import RawUpstream, answering, listening, whole


@pytest.fixture
async def raw() -> AsyncIterator[RawUpstream]:
    async with listening(answering(whole(b'{"ok": 1}', "X-Twice: a", "X-Twice: b", "x-one: c"))) as upstream:
        yield upstream


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    client.close()
    await asyncio.sleep(0)


def an_upstream(raw: RawUpstream, client: HttpClient, clock: FakeClock | None = None, **fields: Any) -> Upstream:
    provider = a_provider(**{"base_url": raw.url(), "api_key_env": "KEY"} | fields)
    return Upstream(provider, client, {"KEY": "sk-1"}, clock or FakeClock())


async def posted(upstream: Upstream, body: bytes = b"{}") -> None:
    exchange = upstream.exchange("chat_completions", "/chat/completions", "a-model")
    connection = await exchange.post(body, "0192-attempt")
    await connection.wait_head()
    await connection.read(100)
    connection.finish()


async def sent_by(upstream: Upstream, endpoint: str, path: str, body: bytes, content_type: bytes) -> None:
    connection: Connection = await upstream.exchange(endpoint, path, "a model").post(body, "0192", content_type)
    await connection.wait_head()
    await connection.read(100)
    connection.finish()


def lines_of(request: bytes) -> list[str]:
    return request.partition(b"\r\n\r\n")[0].decode().split("\r\n")


async def test_a_call_on_the_wire_line_by_line(raw: RawUpstream, client: HttpClient) -> None:
    await posted(an_upstream(raw, client), b'{"model": "m"}')
    assert lines_of(raw.requests[0]) == [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: 127.0.0.1:{raw.port}",
        f"user-agent: understudy/{__version__}",
        "accept: application/json, text/event-stream",
        "accept-encoding: identity",
        "authorization: Bearer sk-1",
        "content-type: application/json",
        "x-client-request-id: 0192-attempt",
        "content-length: 14",
    ]
    assert raw.requests[0].endswith(b'\r\n\r\n{"model": "m"}')


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        pytest.param({}, "authorization: Bearer sk-1", id="a Bearer token"),
        pytest.param({"kind": "azure"}, "api-key: sk-1", id="Azure takes the bare key in its own header"),
    ],
)
async def test_the_credentials_header(fields: dict[str, Any], sent: str, raw: RawUpstream, client: HttpClient) -> None:
    await posted(an_upstream(raw, client, **fields))
    assert sent in lines_of(raw.requests[0])


async def test_without_a_credential_no_header_claims_one(raw: RawUpstream, client: HttpClient) -> None:
    await posted(an_upstream(raw, client, kind="vllm", api_key_env=None))
    assert not any("authorization" in line for line in lines_of(raw.requests[0]))


async def test_a_document_is_fetched_with_the_same_credential(raw: RawUpstream, client: HttpClient) -> None:
    status, headers, body = await an_upstream(raw, client).get("/models")
    assert (status, body) == (200, b'{"ok": 1}')
    assert headers["x-one"] == "c"
    assert lines_of(raw.requests[0])[0] == "GET /v1/models HTTP/1.1"
    assert "authorization: Bearer sk-1" in lines_of(raw.requests[0])
    assert not any(line.startswith(("content-", "x-client")) for line in lines_of(raw.requests[0]))


async def test_one_path_may_be_fetched_and_posted_to(raw: RawUpstream, client: HttpClient) -> None:
    upstream = an_upstream(raw, client)
    await upstream.get("/chat/completions")
    await posted(upstream)
    assert [lines_of(request)[0].partition(" ")[0] for request in raw.requests] == ["GET", "POST"]


async def test_a_changed_credential_is_in_the_next_call(raw: RawUpstream, client: HttpClient, tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "key"
    file.write_text("sk-old")
    upstream = an_upstream(raw, client, clock, api_key_env=None, api_key_file=str(file))
    await posted(upstream)
    (tmp_path / "fresh").write_text("sk-new")
    os.replace(tmp_path / "fresh", file)
    clock.advance(1)
    await posted(upstream)
    assert ["authorization: Bearer sk-old" in lines_of(r) for r in raw.requests] == [True, False]
    assert "authorization: Bearer sk-new" in lines_of(raw.requests[1])


async def test_a_base_url_may_end_in_a_path_and_a_slash(raw: RawUpstream, client: HttpClient) -> None:
    await an_upstream(raw, client, base_url=f"http://127.0.0.1:{raw.port}/serving-endpoints/").get("/models")
    await an_upstream(raw, client, base_url=f"http://127.0.0.1:{raw.port}").get("/models")
    assert [lines_of(r)[0] for r in raw.requests] == [
        "GET /serving-endpoints/models HTTP/1.1",
        "GET /models HTTP/1.1",
    ]


def test_of_repeated_headers_the_last_counts() -> None:
    assert header_map([(b"x", b"1"), (b"y", b"\xe9"), (b"x", b"2")]) == {"x": "2", "y": "é"}


@pytest.mark.parametrize(
    ("fields", "path", "line", "source"),
    [
        pytest.param({}, "/v1", "/v1/models", "/v1/models", id="most kinds: the list itself"),
        pytest.param(
            {"kind": "azure"},
            "/openai/v1",
            "/openai/models?api-version=2024-10-21",
            "/openai/models",
            id="Azure: the data plane's, beside the version-less surface",
        ),
        pytest.param(
            {"kind": "azure"},
            "/team-a/openai/v1",
            "/team-a/openai/models?api-version=2024-10-21",
            "/team-a/openai/models",
            id="Azure behind a proxy's prefix",
        ),
        pytest.param(
            {"kind": "azure"},
            "/openai/deployments/d",
            "/openai/models?api-version=2024-10-21",
            "/openai/models",
            id="Azure by another of its surfaces",
        ),
    ],
)
async def test_where_the_list_with_dates_is(
    fields: dict[str, Any], path: str, line: str, source: str, raw: RawUpstream, client: HttpClient
) -> None:
    origin = f"http://127.0.0.1:{raw.port}"
    upstream = an_upstream(raw, client, base_url=origin + path, **fields)
    assert await upstream.list_dated_models(1000) == (200, b'{"ok": 1}')
    assert lines_of(raw.requests[0])[0] == f"GET {line} HTTP/1.1"
    assert any(header.endswith("sk-1") for header in lines_of(raw.requests[0]))
    assert upstream.dated_models_url == origin + source


async def test_a_list_that_is_too_large_is_not_taken(raw: RawUpstream, client: HttpClient) -> None:
    with pytest.raises(BadResponse, match="too large"):
        await an_upstream(raw, client).list_dated_models(8)


# Which endpoints there are, and which way each goes.


@pytest.mark.parametrize(
    ("kind", "endpoint", "worker", "served"),
    [
        pytest.param("openai", "moderations", None, True, id="spoken natively"),
        pytest.param("groq", "embeddings", None, False, id="not there"),
        pytest.param("anthropic", "chat_completions", "/w", True, id="spoken by litellm"),
        pytest.param("anthropic", "chat_completions", None, False, id="spoken by litellm, which does not run"),
        pytest.param("anthropic", "embeddings", "/w", False, id="not there with litellm either"),
        pytest.param("deepseek", "responses", "/w", True, id="bridged"),
        pytest.param("deepseek", "responses", None, False, id="bridged by nobody"),
        pytest.param("deepseek", "chat_completions", None, True, id="bridging concerns nothing else"),
        pytest.param("perplexity", "responses", "/w", False, id="no bridge"),
    ],
)
def test_what_a_provider_serves(kind: str, endpoint: str, worker: str | None, served: bool) -> None:
    upstream = Upstream(a_provider(kind=kind), HttpClient(), {}, FakeClock(), worker)
    assert upstream.serves(endpoint) is served
    assert upstream.needs_worker is (kind == "anthropic")


async def test_a_form_is_sent_with_its_own_content_type(raw: RawUpstream, client: HttpClient) -> None:
    upstream = an_upstream(raw, client)
    await sent_by(upstream, "transcriptions", "/audio/transcriptions", b"--b--", b"multipart/form-data; boundary=b")
    assert lines_of(raw.requests[0])[0] == "POST /v1/audio/transcriptions HTTP/1.1"
    assert "content-type: multipart/form-data; boundary=b" in lines_of(raw.requests[0])
    assert raw.requests[0].endswith(b"\r\n\r\n--b--")


@pytest.mark.parametrize(
    ("endpoint", "path", "target"),
    [
        pytest.param(
            "chat_completions",
            "/chat/completions",
            "/openai/deployments/a%20model/chat/completions?api-version=2024-10-21",
            id="each deployment has a path",
        ),
        pytest.param("responses", "/responses", "/openai/responses?api-version=2024-10-21", id="but for responses"),
    ],
)
async def test_azures_dated_surface(
    endpoint: str, path: str, target: str, raw: RawUpstream, client: HttpClient
) -> None:
    base_url = f"http://127.0.0.1:{raw.port}/openai"
    upstream = an_upstream(raw, client, kind="azure", base_url=base_url, api_version="2024-10-21")
    await sent_by(upstream, endpoint, path, b"{}", b"application/json")
    await upstream.list_dated_models(1000)
    assert lines_of(raw.requests[0])[0] == f"POST {target} HTTP/1.1"
    assert lines_of(raw.requests[1])[0] == "GET /openai/models?api-version=2024-10-21 HTTP/1.1"


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        pytest.param({}, "/v1/responses/r/input_items?limit=2", id="where the API is"),
        pytest.param(
            {"kind": "azure", "api_version": "1"}, "/v1/responses/r/input_items?limit=2&api-version=1", id="with a date"
        ),
    ],
)
async def test_a_stored_response(fields: dict[str, Any], target: str, raw: RawUpstream, client: HttpClient) -> None:
    upstream = an_upstream(raw, client, **fields)
    assert (await upstream.request("DELETE", "/responses/r/input_items?limit=2"))[0] == 200
    await upstream.request("POST", "/responses/r/cancel")
    deleted, cancelled = map(lines_of, raw.requests)
    assert deleted[0] == f"DELETE {target} HTTP/1.1"
    assert not any(line.startswith("content-length") for line in deleted)
    assert "content-length: 0" in cancelled
    assert any(line.endswith("sk-1") for line in cancelled)


async def test_a_list_in_another_vendors_terms(raw: RawUpstream, client: HttpClient) -> None:
    base_url = f"http://127.0.0.1:{raw.port}"
    upstream = an_upstream(raw, client, kind="anthropic", base_url=base_url)
    assert (await upstream.list_models())[0] == 200
    assert await upstream.look_up("claude-x") == 200
    assert upstream.dated_models_url == f"{base_url}/v1/models"
    listed, looked_up = map(lines_of, raw.requests)
    assert listed[0] == "GET /v1/models?limit=1000 HTTP/1.1"
    assert looked_up[0] == "GET /v1/models/claude-x HTTP/1.1"
    assert {"x-api-key: sk-1", "anthropic-version: 2023-06-01"} <= {*listed} & {*looked_up}


# Through litellm's worker.


@pytest.mark.parametrize(
    ("fields", "endpoint", "provider", "options"),
    [
        pytest.param({"kind": "anthropic"}, "chat_completions", "anthropic", "{}", id="at its own address"),
        pytest.param(
            {"kind": "anthropic", "base_url": "http://proxy", "is_elsewhere": True},
            "chat_completions",
            "anthropic",
            '{"api_base": "http://proxy"}',
            id="at another one",
        ),
        pytest.param(
            {"kind": "cohere", "base_url": "http://proxy", "is_elsewhere": True},
            "embeddings",
            "cohere_chat",
            '{"api_base": "http://proxy/v2/embed"}',
            id="litellm adds nothing to this one's",
        ),
        pytest.param(
            {"kind": "bedrock", "region": "eu-central-1"},
            "embeddings",
            "bedrock",
            '{"aws_region_name": "eu-central-1"}',
            id="in a region",
        ),
        pytest.param(
            {"kind": "vertex", "project": "acme", "location": "global"},
            "chat_completions",
            "vertex_ai",
            '{"vertex_location": "global", "vertex_project": "acme"}',
            id="in a project",
        ),
        pytest.param(
            {"kind": "deepseek", "base_url": "http://d/v1"},
            "responses",
            "deepseek",
            '{"api_base": "http://d/v1"}',
            id="a bridge goes where the chat completions are",
        ),
    ],
)
async def test_a_call_through_the_worker(
    fields: dict[str, Any], endpoint: str, provider: str, options: str, client: HttpClient, tmp_path: Path
) -> None:
    path = str(tmp_path / "w.sock")
    async with listening(answering(whole(b"{}")), socket_path=path) as worker:
        given = {"base_url": "http://127.0.0.1:9", "api_key_env": "KEY"} | fields
        upstream = Upstream(a_provider(**given), client, {"KEY": "sk-1"}, FakeClock(), path)
        await sent_by(upstream, endpoint, "/some/path", b'{"model": "m"}', b"application/json")
    head = lines_of(worker.requests[0])
    assert head[0] == "POST /some/path HTTP/1.1"
    assert {"authorization: Bearer sk-1", f"x-litellm-provider: {provider}", f"x-litellm-options: {options}"} <= {*head}
    assert "x-client-request-id: 0192" in head
    assert not any(line.startswith(("x-api-key", "anthropic-version")) for line in head)


async def test_litellm_finds_the_clouds_identity_itself(client: HttpClient, tmp_path: Path) -> None:
    path = str(tmp_path / "w.sock")
    async with listening(answering(whole(b"{}")), socket_path=path) as worker:
        provider = a_provider(kind="bedrock", identity="aws", region="us-east-1")
        await sent_by(Upstream(provider, client, {}, FakeClock(), path), "responses", "/responses", b"{}", b"a/b")
    assert not any("authorization" in line for line in lines_of(worker.requests[0]))


async def test_without_a_worker_there_is_no_way(client: HttpClient) -> None:
    upstream = Upstream(a_provider(kind="gemini"), client, {}, FakeClock())
    with pytest.raises(ConnectFailed, match="litellm's worker does not run"):
        upstream.exchange("chat_completions", "/chat/completions", "gemini-x")


# With a cloud's identity in the place of a key.


async def test_an_identitys_token_is_a_bearers_wherever_a_key_would_go(raw: RawUpstream) -> None:
    clock = FakeClock()
    client = HttpClient(IdentityTokens({"azure": lambda: lambda: Token("ey.1", clock.now().timestamp() + 3600)}))
    upstream = Upstream(a_provider(kind="azure", base_url=raw.url(), identity="azure"), client, {}, clock)
    await posted(upstream)
    await upstream.get("/models")
    client.close()
    await asyncio.sleep(0)
    for request in raw.requests:
        assert "authorization: Bearer ey.1" in lines_of(request)
        assert not any(line.startswith("api-key") for line in lines_of(request))
