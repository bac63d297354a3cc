"""Callers who leave, stop listening, or listen slowly."""

import asyncio
import json
import time

import pytest
from fake_provider import (
    DONE,
    STREAM_HEAD,
    Call,
    FakeProvider,
    Script,
    chunk,
    framed,
    hangs,
    refuses,
    sse,
    streams,
    writes,
)
from served_gateway import USER, Caller, Serve, ServedGateway, eventually

AT_ONCE_S = 0.5
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BIG = "x" * 60_000


async def closed_at_once(call: Call) -> None:
    """The provider sees the connection end within the promised time."""
    started = time.monotonic()
    await asyncio.wait_for(call.closed.wait(), 5)
    assert time.monotonic() - started < AT_ONCE_S


async def the_call(provider: FakeProvider) -> Call:
    await eventually(provider.chats, "the provider is called")
    (call,) = provider.chats()
    return call


async def one_cancelled_row(gateway: ServedGateway) -> None:
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.failure, row.usage_source) == ("cancelled", "client_cancelled", "interrupted")
    assert row.input_tokens > 0
    assert row.cost_nanousd > 0
    assert await gateway.metric("gateway_requests_total", route="reply", code="499") == 1
    assert await gateway.metric("gateway_requests_total") == 1


@pytest.mark.parametrize("how", ["a FIN", "a RST", "a half-close"])
@pytest.mark.parametrize(
    ("script", "stream"),
    [
        pytest.param(hangs, False, id="before a whole answer"),
        pytest.param(writes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", then="stall"), False, id="within one"),
        pytest.param(hangs, True, id="before a stream's headers"),
        pytest.param(writes(STREAM_HEAD, then="stall"), True, id="before its first event"),
        pytest.param(streams(chunk("Hel"), then="stall"), True, id="in mid-stream"),
    ],
)
async def test_when_the_caller_leaves_the_upstream_call_ends_at_once(
    serve: Serve, provider: FakeProvider, script: Script, stream: bool, how: str
) -> None:
    provider.models["tuned"] = script
    gateway = await serve()
    async with gateway.calling(stream=stream) as caller:
        call = await the_call(provider)
        if script is not hangs and call.json.get("stream") and call.sent_bytes > len(STREAM_HEAD):
            await caller.receive_until(b"Hel")
        leave(caller, how)
        await closed_at_once(call)
    await one_cancelled_row(gateway)
    assert provider.chats("base") == [], "nobody waits for a fallback's answer"
    # It was not the target's fault.
    provider.models.clear()
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "primary"
    await gateway.rows(2)


def leave(caller: Caller, how: str) -> None:
    if how == "a FIN":
        caller.raw.close()
    elif how == "a RST":
        caller.reset()
    else:
        caller.raw.shutdown(1)


async def test_what_had_passed_when_the_caller_left_is_charged(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = streams(chunk("12345678"), chunk("1234"), then="stall")
    gateway = await serve()
    async with gateway.calling(stream=True) as caller:
        await caller.receive_until(b'"1234"')
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.output_tokens, row.usage_source) == ("cancelled", 3, "interrupted")
    assert await gateway.metric("gateway_stream_aborts_total", side="client") == 1


async def test_a_caller_who_leaves_during_the_fallback_ends_the_fallbacks_call(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models |= {"tuned": refuses(500, "boom"), "base": hangs}
    gateway = await serve()
    async with gateway.calling():
        await eventually(lambda: provider.chats("base"), "the fallback is called")
    await closed_at_once(provider.chats("base")[0])
    failed, cancelled = await gateway.rows(2)
    assert (failed.failure, cancelled.failure) == ("server_error", "client_cancelled")


async def test_a_caller_who_leaves_in_the_middle_of_a_body_causes_nothing(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    async with gateway.socket(HEAD + b'content-length: 500\r\n\r\n{"model": "re'):
        pass
    assert (await gateway.chat()).status_code == 200
    assert len(provider.calls) == 1
    await gateway.rows(1)


def flood(events: int) -> Script:
    """Send big events as fast as they are taken."""

    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD)
        part = framed(sse(chunk(BIG)))
        for _ in range(events):
            await call.send(part)
        await call.send(framed(sse(chunk(finish="stop")) + DONE) + b"0\r\n\r\n")

    return script


async def standstill(call: Call, during_s: float = 0.5) -> int:
    """Wait until the provider has not got rid of anything for a while; return what it had sent by then."""
    sent, since = -1, time.monotonic()

    def still() -> bool:
        nonlocal sent, since
        if call.sent_bytes != sent:
            sent, since = call.sent_bytes, time.monotonic()
        return time.monotonic() - since > during_s

    await eventually(still, "the provider is paused")
    return sent


async def test_a_slow_reader_pauses_the_provider_and_misses_nothing(serve: Serve, provider: FakeProvider) -> None:
    """Nor is the provider taken for idle meanwhile: its idle_s is shorter than this pause."""
    provider.models["tuned"] = flood(800)
    gateway = await serve({"timeouts": {"idle_s": 0.2, "total_s": 60}})
    body = json.dumps({"model": "reply", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
    request = HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    async with gateway.socket(request, receive_buffer=16_384) as caller:
        received = bytearray(await caller.receive_until(b"\r\n\r\n"))
        call = await the_call(provider)
        assert await standstill(call) < 16 * 1024 * 1024, "of 48 MB; what the sockets hold included"
        assert not call.closed.is_set()
        while part := await caller.receive(1 << 20):
            received += part
    assert received.count(BIG.encode()) == 800
    assert b"data: [DONE]" in received
    assert b'"error"' not in received
    assert (await gateway.rows(1))[0].outcome == "ok"


async def test_a_caller_who_never_reads_holds_the_provider_no_longer_than_total_s(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = flood(2_000)
    gateway = await serve({"timeouts": {"idle_s": 0.5, "total_s": 1.0}})
    async with gateway.calling(stream=True) as caller:
        await caller.receive_until(b"\r\n\r\n")
        call = await the_call(provider)
        await asyncio.wait_for(call.closed.wait(), 3)
        (row,) = await gateway.rows(1)
        assert (row.outcome, row.failure, row.usage_source) == ("cancelled", "client_cancelled", "interrupted")
    assert await gateway.metric("gateway_stream_aborts_total", side="client") == 1


async def test_a_pause_of_twenty_readers_leaves_the_others_their_answers(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = flood(100)
    gateway = await serve(more_routes={"other": {"primary": "tuned-2"}})
    callers = [gateway.calling(stream=True) for _ in range(20)]
    for caller in callers:
        await (await caller.__aenter__()).receive_until(b"\r\n\r\n")
    for _ in range(20):
        started = time.monotonic()
        assert (await gateway.chat("other")).status_code == 200
        assert time.monotonic() - started < 1.0
    for caller in callers:
        await caller.__aexit__(None, None, None)
    await gateway.rows(40)


async def test_requests_sent_ahead_of_their_answers_are_answered_in_their_order(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve(more_routes={"other": {"primary": "tuned-2"}})
    requests = b""
    for model in ("reply", "other", "nowhere"):
        body = json.dumps({"model": model, "messages": USER}).encode()
        requests += HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    async with gateway.socket(requests) as caller:
        received = await caller.receive_until(b"route_not_found")
    assert received.index(b"x-gateway-model: tuned\r") < received.index(b"x-gateway-model: tuned-2\r")
    assert received.count(b"HTTP/1.1 ") == 3
    await gateway.rows(2)
