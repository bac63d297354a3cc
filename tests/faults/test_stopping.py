"""Stopping: a replica that is not ready goes on answering, and whoever it cannot wait for is told why."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_provider import STREAM_HEAD, Call, FakeProvider, Script, chunk, framed, hangs, sse, streams, writes
from gateway_server import running_gateway
from served_gateway import Serve, ServedGateway, eventually, read_rows

from gateway.policy import stored_ids

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
LONG = 60.0


def stop(gateway: ServedGateway) -> None:
    gateway.draining.begin(asyncio.get_running_loop().time() + LONG)


async def called(provider: FakeProvider) -> None:
    await eventually(provider.chats, "the provider is called")


def error_of(answer: httpx.Response) -> Any:
    error = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


async def test_a_replica_that_stops_is_not_ready_at_once_and_goes_on_answering(serve: Serve) -> None:
    gateway = await serve()
    stop(gateway)
    answer = await gateway.client.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["draining: the process is stopping"])
    assert (await gateway.client.get("/healthz")).status_code == 200, "whoever is stopping is not dead"
    assert (await gateway.chat()).status_code == 200
    assert (await gateway.stream()).done
    await gateway.rows(2)


async def test_a_stream_that_is_cut_gets_its_error_its_row_and_an_end(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = streams(chunk("Hel"), then="stall")
    gateway = await serve()
    async with gateway.calling(stream=True) as caller:
        received = await caller.receive_until(b"Hel")
        (call,) = provider.chats()
        assert gateway.draining.cut() == 1
        received += await caller.receive_until(b"0\r\n\r\n")
        await asyncio.wait_for(call.closed.wait(), 5)
    last = json.loads(received.decode().split("data: ")[-1].split("\n")[0])["error"]
    assert (last["code"], last["type"]) == ("gateway_stopping", "api_error")
    assert "Send the request again" in last["message"]
    assert b"[DONE]" not in received
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.failure, row.usage_source) == ("interrupted", "interrupted", "interrupted")
    assert row.output_tokens > 0
    assert row.cost_nanousd > 0
    assert len(gateway.draining) == 0


@pytest.mark.parametrize(
    ("script", "stream"),
    [
        pytest.param(hangs, False, id="of a whole answer"),
        pytest.param(writes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", then="stall"), False, id="within one"),
        pytest.param(hangs, True, id="of a stream without headers"),
        pytest.param(writes(STREAM_HEAD, then="stall"), True, id="of a stream without an event"),
    ],
)
async def test_whoever_waits_for_the_beginning_is_told_to_ask_again(
    serve: Serve, provider: FakeProvider, script: Script, stream: bool
) -> None:
    provider.models["tuned"] = script
    gateway = await serve()
    async with gateway.calling(stream=stream) as caller:
        await called(provider)
        gateway.draining.cut()
        answer = await caller.answer()
    assert (answer.status_code, error_of(answer)["code"]) == (503, "gateway_stopping")
    assert (answer.headers["x-should-retry"], answer.headers["retry-after"]) == ("true", "1")
    assert answer.headers["connection"] == "close"
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.failure) == ("interrupted", "interrupted")
    assert provider.chats("base") == [], "nobody waits for a fallback's answer"


async def test_a_body_that_never_ends_is_not_waited_for(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    async with gateway.socket(HEAD + b'content-length: 400\r\n\r\n{"model":') as caller:
        await eventually(lambda: len(gateway.draining), "the request has begun")
        gateway.draining.cut()
        answer = await caller.answer()
        assert await caller.receive() == b"", "and the connection is closed"
    assert (answer.status_code, error_of(answer)["code"]) == (503, "gateway_stopping")
    assert provider.chats() == []


async def test_a_caller_who_takes_nothing_gets_no_end_either(serve: Serve, provider: FakeProvider) -> None:
    async def floods(call: Call) -> None:
        await call.send(STREAM_HEAD)
        while not call.closed.is_set():
            await call.send(framed(sse(chunk("x" * 60_000))))

    provider.models["tuned"] = floods
    gateway = await serve()
    document = json.dumps({"model": "reply", "stream": True, "messages": [{"role": "user", "content": "?"}]}).encode()
    request = HEAD + b"content-length: %d\r\n\r\n%b" % (len(document), document)
    async with gateway.socket(request, receive_buffer=4096) as caller:
        await called(provider)
        (call,) = provider.chats()
        sent = -1
        while sent != call.sent_bytes:
            sent = call.sent_bytes
            await asyncio.sleep(0.1)
        gateway.draining.cut()
        await eventually(lambda: not len(gateway.draining), "nobody is waited for")
        received = await caller.receive_all()
    assert b"gateway_stopping" not in received[-1000:]
    assert not received.endswith(b"0\r\n\r\n")
    (row,) = await gateway.rows(1)
    assert row.outcome == "interrupted"


async def test_a_look_at_what_a_provider_stores_is_cut_too(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    provider.paths["/v1/responses/resp_1"] = hangs
    asking = asyncio.create_task(gateway.client.get(f"/v1/responses/resp_1.{stored_ids.tag_of('first')}"))
    await eventually(lambda: [call for call in provider.calls if "resp_1" in call.path], "the provider is asked")
    gateway.draining.cut()
    assert ((await asking).status_code, error_of(await asking)["code"]) == (503, "gateway_stopping")


async def test_whoever_still_comes_after_the_end_is_refused(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    gateway.draining.cut()
    refused = await gateway.chat()
    assert (refused.status_code, error_of(refused)["code"]) == (503, "gateway_stopping")
    assert provider.chats() == []


# The process, and its signals.


def routes_at(provider: FakeProvider, directory: Path) -> Path:
    path = directory / "routes.yaml"
    account = {"kind": "openai-compatible", "base_url": provider.base_url}
    routes = {
        "version": 1,
        "providers": {"p": account},
        "fallbacks": {"base": {"provider": "p", "model": "base"}},
        "defaults": {"provider": "p", "fallbacks": ["base"]},
        "routes": {"short": {"primary": "short"}, "long": {"primary": "long"}},
    }
    path.write_text(json.dumps(routes))
    return path


@pytest.mark.rig
async def test_sigterm_lets_finish_what_can_and_cuts_the_rest(provider: FakeProvider, tmp_path: Path) -> None:
    may_end = asyncio.Event()

    async def short(call: Call) -> None:
        await call.send(STREAM_HEAD + framed(sse(chunk("Hel"))))
        await may_end.wait()
        await call.send(framed(sse(chunk(finish="stop")) + b"data: [DONE]\n\n") + b"0\r\n\r\n")

    provider.models |= {"short": short, "long": streams(chunk("Hel"), then="stall")}
    # In a thread: the provider that it calls lives in this loop.
    context = running_gateway(routes_at(provider, tmp_path), tmp_path, GATEWAY_DRAIN_S="1", GATEWAY_LINGER_S="0.8")
    running = await asyncio.to_thread(context.__enter__)
    try:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=20) as client:

            async def ask(model: str, stream: bool = True) -> httpx.Response:
                body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "?"}]}
                return await client.post("/v1/chat/completions", json=body)

            finishing, cut = asyncio.create_task(ask("short")), asyncio.create_task(ask("long"))
            await eventually(lambda: len(provider.chats()) == 2, "both are asked")
            running.process.send_signal(signal.SIGTERM)

            async def not_ready() -> bool:
                return (await client.get("/readyz")).status_code == 503

            await eventually(not_ready, "it is not ready")
            late = await ask("base", stream=False)
            assert late.status_code == 404, "a new connection is still taken, and its request read"
            assert late.headers["connection"] == "close"
            may_end.set()
            assert (await finishing).text.endswith("data: [DONE]\n\n")
            assert '"code":"gateway_stopping"' in (await cut).text
        assert await asyncio.to_thread(running.process.wait, 20) == 0
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
    rows = {row.route: row.outcome for row in read_rows(running.database)}
    assert rows == {"short": "ok", "long": "interrupted"}
    assert "Traceback" not in running.log.read_text()
