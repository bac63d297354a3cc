"""What a request leaves behind is gone when it is over, and not when the garbage collector comes by.

A body has up to 20 MiB, and a collection may be hundreds of requests away: cycles would fill the memory.
"""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from fake_provider import GONE, WHOLE_STREAM, FakeProvider, Script, answers, chunk, refuses, says, streams, writes
from served_gateway import Serve, eventually

from gateway.errors import GatewayError
from gateway.execution.attempts import Attempt
from gateway.execution.failures import Failed
from gateway.execution.request import Request

KEPT = (Request, Attempt, GatewayError, Failed)
JSON_TYPE = {"content-type": "application/json"}
BEFORE: list[object] = []
"""What other tests have left."""


@pytest.fixture(scope="module")
def _only_what_is_new() -> Iterator[None]:
    """Look past what the whole suite has loaded, a second's work for each look."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def _no_collector(_only_what_is_new: None) -> Iterator[None]:
    gc.collect()
    gc.disable()
    BEFORE.extend(all_of_requests())
    yield
    BEFORE.clear()
    gc.enable()


def all_of_requests() -> list[object]:
    return [thing for thing in gc.get_objects() if isinstance(thing, KEPT)]


def left() -> list[str]:
    """What is still there of this test's requests; ``repr`` would make more of it."""
    known = set(map(id, BEFORE))
    return sorted(type(thing).__name__ for thing in all_of_requests() if id(thing) not in known)


async def cut_off(call: Any) -> None:
    call.reset()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(
    ("tuned", "base", "stream"),
    [
        pytest.param(answers, answers, False, id="answered"),
        pytest.param(answers, answers, True, id="streamed"),
        pytest.param(GONE, answers, False, id="answered by the fallback"),
        pytest.param(refuses(400, "No."), answers, False, id="refused as the caller's"),
        pytest.param(refuses(500, "No."), refuses(500, "No."), False, id="failed everywhere"),
        pytest.param(refuses(429, "No."), refuses(429, "No."), False, id="limited everywhere"),
        pytest.param(cut_off, cut_off, False, id="cut off everywhere"),
        pytest.param(cut_off, answers, True, id="cut off, and streamed by the fallback"),
        pytest.param(writes(b"garbage\r\n\r\n"), writes(b"garbage\r\n\r\n"), False, id="not HTTP"),
        pytest.param(says(b"{"), says(b"{"), False, id="not JSON"),
        pytest.param(streams(chunk("x"), then="reset"), answers, True, id="a stream that breaks off"),
        pytest.param(streams(*WHOLE_STREAM[:2], then="fin"), answers, True, id="a stream without its end"),
        pytest.param(streams(b"data: {\n\n"), answers, True, id="a stream that is garbled"),
    ],
)
async def test_whatever_a_provider_does(
    tuned: Script, base: Script, stream: bool, provider: FakeProvider, serve: Serve
) -> None:
    gateway = await serve()
    provider.models |= {"tuned": tuned, "base": base}
    for _ in range(3):
        await gateway.chat(stream=stream)
    await eventually(lambda: not left(), f"nothing is left: {left()}", 3)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"{", {}, id="not JSON"),
        pytest.param(b'{"model": 7}', {}, id="without a model"),
        pytest.param(b'{"model": "nowhere", "messages": [{"role": "user", "content": ""}]}', {}, id="no such route"),
        pytest.param(b"x" * 2_000, {}, id="more than is taken"),
        pytest.param(b"{}", {"content-type": "text/plain"}, id="of another type"),
        pytest.param(b"{}", {"x-gateway-tags": "\x01"}, id="with tags that are none"),
        pytest.param(b"{}", {"content-encoding": "gzip"}, id="compressed"),
    ],
)
async def test_whatever_a_caller_sends(body: bytes, headers: dict[str, str], serve: Serve) -> None:
    gateway = await serve(max_body_bytes=1_000)
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings"):
        answer = await gateway.client.post(path, content=body, headers=JSON_TYPE | headers)
        assert 400 <= answer.status_code < 500
    assert left() == []


@pytest.mark.usefixtures("_no_collector")
async def test_where_nobody_listens(closed_port: int, serve: Serve) -> None:
    nowhere = {"base_url": f"http://127.0.0.1:{closed_port}/v1"}
    gateway = await serve(first=nowhere, route={"fallbacks": []})
    for _ in range(3):
        assert (await gateway.chat()).status_code == 502
    await eventually(lambda: not left(), f"nothing is left: {left()}", 3)


@pytest.mark.usefixtures("_no_collector")
async def test_a_caller_who_leaves(provider: FakeProvider, serve: Serve) -> None:
    gateway = await serve()
    provider.models["tuned"] = streams(chunk("x"), then="stall")
    for _ in range(3):
        async with gateway.calling(stream=True) as caller:
            await caller.receive_until(b"data: ")
    await eventually(lambda: not left(), f"nothing is left: {left()}", 3)


@pytest.mark.usefixtures("_no_collector")
async def test_what_other_endpoints_refuse(serve: Serve) -> None:
    gateway = await serve(key="k" * 20)
    for path in ("/v1/models/nowhere", "/v1/responses/resp_1", "/nowhere", "/admin/keys", "/ui/nowhere"):
        await gateway.client.get(path)
        await gateway.client.get(path, headers={"authorization": f"Bearer {'k' * 20}"})
    assert left() == []
