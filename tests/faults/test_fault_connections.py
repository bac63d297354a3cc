"""No connection to the provider: refused, swallowed, unresolvable, or not who it says it is."""

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_provider import FakeProvider, running_provider
from programs import required
from served_gateway import Serve


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port whose queue of connections is full: whoever connects hears nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_refused_connection_is_retried_once_and_then_the_fallback_answers(
    serve: Serve, provider: FakeProvider, closed_port: int
) -> None:
    gateway = await serve(first={"base_url": f"http://127.0.0.1:{closed_port}/v1"})
    started = time.monotonic()
    answer = await gateway.chat()
    assert time.monotonic() - started < 1.0
    assert answer.status_code == 200
    assert answer.headers["x-gateway-served-by"] == "fallback"
    assert answer.headers["x-gateway-reason"] == "connection"
    assert answer.headers["x-gateway-attempts"] == "3"
    assert [call.json["model"] for call in provider.chats()] == ["base"]
    first, again, last = await gateway.rows(3)
    for row in (first, again):
        assert (row.outcome, row.failure, row.status, row.cost_nanousd) == ("failed", "connection", None, 0)
        assert (row.target, row.usage_source, row.input_tokens) == ("primary", "none", 0)
    assert (last.outcome, last.target, last.reason) == ("ok", "base", "connection")
    assert len({first.request_id, again.request_id, last.request_id}) == 1
    assert await gateway.metric("gateway_retries_total", provider="first") == 1


async def test_with_nobody_else_a_refused_connection_is_a_502_that_no_sdk_repeats(
    serve: Serve, closed_port: int
) -> None:
    gateway = await serve({"fallbacks": []}, first={"base_url": f"http://127.0.0.1:{closed_port}/v1"})
    answer = await gateway.chat()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (502, "upstream_unreachable", "api_error")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"] == error["request_id"]
    assert str(closed_port) not in answer.text
    assert [row.failure for row in await gateway.rows(2)] == ["connection", "connection"]


async def test_a_name_that_nobody_knows_is_a_failed_connection(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(first={"base_url": "http://provider.invalid/v1"})
    answers = await asyncio.gather(*(gateway.chat() for _ in range(5)))
    assert {answer.headers["x-gateway-reason"] for answer in answers} <= {"connection", "circuit_open"}
    assert {answer.status_code for answer in answers} == {200}
    assert len(provider.chats("base")) == 5


@pytest.mark.rig
async def test_neither_a_black_hole_nor_a_stalled_handshake_takes_more_than_the_time_for_connecting(
    serve: Serve, black_hole: int, silent_port: int
) -> None:
    gateway = await serve(
        more_providers={
            "hole": {"kind": "openai-compatible", "base_url": f"http://127.0.0.1:{black_hole}/v1"},
            "stall": {"kind": "openai-compatible", "base_url": f"https://127.0.0.1:{silent_port}/v1"},
        },
        more_routes={name: {"provider": name, "primary": "tuned"} for name in ("hole", "stall")},
    )
    started = time.monotonic()
    answers = await asyncio.gather(gateway.chat("hole"), gateway.chat("stall"))
    assert 5.5 < time.monotonic() - started < 8.0, "3 s to connect, and one retry"
    assert [answer.headers["x-gateway-reason"] for answer in answers] == ["connection", "connection"]
    failed = [row for row in await gateway.rows(6) if row.outcome == "failed"]
    assert [row.failure for row in failed] == ["connection"] * 4
    assert all(2900 < row.duration_ms < 4000 for row in failed)


async def test_a_caller_who_leaves_while_a_connection_is_sought_pays_nothing(
    serve: Serve, black_hole: int, provider: FakeProvider
) -> None:
    gateway = await serve(first={"base_url": f"http://127.0.0.1:{black_hole}/v1"})
    started = time.monotonic()
    async with gateway.calling():
        pass
    (row,) = await gateway.rows(1)
    assert time.monotonic() - started < 2.5, "sooner than the time for connecting is over"
    assert (row.outcome, row.failure) == ("cancelled", "client_cancelled")
    assert (row.usage_source, row.input_tokens, row.cost_nanousd) == ("none", 0, 0), "nothing was sent"
    assert provider.calls == []


async def test_retries_are_one_for_ten_requests_beyond_the_few_that_were_saved(
    serve: Serve, provider: FakeProvider, closed_port: int
) -> None:
    """Every route has a primary of its own, so that no circuit opens before the budget is spent."""
    routes = {f"r{i}": {"provider": "dead", "primary": f"tuned-{i}"} for i in range(60)}
    dead = {"kind": "openai-compatible", "base_url": f"http://127.0.0.1:{closed_port}/v1"}
    gateway = await serve(more_providers={"dead": dead}, more_routes=routes)
    for name in routes:
        assert (await gateway.chat(name)).status_code == 200
    retries = await gateway.metric("gateway_retries_total", provider="dead")
    assert 10 <= retries <= 10 + 60 * 0.1
    assert len(await gateway.rows(60 + 60 + int(retries))) > 0
    assert len(provider.chats("base")) == 60


# Certificates.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 alone, and its key."""
    openssl = required("openssl")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.mark.parametrize(
    ("trusted", "host"),
    [
        pytest.param(False, "127.0.0.1", id="signed by nobody we trust"),
        pytest.param(True, "localhost", id="trusted, but for another host"),
    ],
)
async def test_a_certificate_that_proves_nothing_ends_the_call_before_a_byte_of_it_is_sent(
    serve: Serve, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, trusted: bool, host: str
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with running_provider(server_tls(certificate)) as provider:
        url = provider.base_url.replace("127.0.0.1", host)
        gateway = await serve({"fallbacks": []}, first={"base_url": url})
        answer = await gateway.chat()
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
        assert answer.headers["x-should-retry"] == "false"
        assert provider.calls == []
        (row,) = await gateway.rows(1)
        assert (row.failure, row.cost_nanousd) == ("tls", 0)
        assert await gateway.metric("gateway_retries_total") == 0


async def test_a_trusted_certificate_for_the_right_host_is_spoken_to(
    serve: Serve, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with running_provider(server_tls(certificate)) as provider:
        gateway = await serve(first={"base_url": provider.base_url})
        for _ in range(2):
            assert (await gateway.chat()).headers["x-gateway-served-by"] == "primary"
        assert (await gateway.stream()).text == "Hello."
        assert len(provider.lines) == 1, "the connection is kept"
        await gateway.rows(3)


def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context
