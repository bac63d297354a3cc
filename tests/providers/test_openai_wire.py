import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import __version__
from gateway.providers.connection import BadResponse
from gateway.providers.http_client import HttpClient
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
    connection = await upstream.post("/chat/completions", body, "0192-attempt")
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
        "content-type: application/json",
        "authorization: Bearer sk-1",
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
