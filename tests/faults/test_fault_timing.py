"""A provider that takes too long: to begin, to go on, or to end."""

import asyncio
import time

from fake_provider import STREAM_HEAD, Call, FakeProvider, Script, chunk, framed, hangs, sse, streams, writes
from served_gateway import Serve, eventually

BRIEF = {"first_token_s": 0.3, "idle_s": 0.3, "total_s": 0.9}


def repeats(event: bytes, *, first: bytes = b"", every_s: float = 0.03) -> Script:
    """Send one thing again and again."""

    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD + (framed(first) if first else b""))
        while True:
            await call.send(framed(event))
            await asyncio.sleep(every_s)

    return script


async def test_slow_headers_are_not_waited_for_beyond_the_first_tokens_time(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = hangs
    gateway = await serve({"timeouts": BRIEF})
    started = time.monotonic()
    answer = await gateway.stream()
    assert 0.3 <= time.monotonic() - started < 0.8
    assert (answer.status, answer.text, answer.done) == (200, "Hello.", True)
    assert answer.headers["x-gateway-reason"] == "timeout"
    assert answer.headers["x-gateway-attempts"] == "2", "a retry would double the wait"
    (dead,) = provider.chats("tuned")
    await dead.closed.wait()
    failed, ok = await gateway.rows(2)
    assert (failed.outcome, failed.failure, failed.status) == ("failed", "timeout", None)
    # It was sent and never answered: it may have been billed.
    assert (failed.usage_source, failed.output_tokens) == ("interrupted", 0)
    assert failed.input_tokens > 0
    assert failed.cost_nanousd > 0
    assert ok.outcome == "ok"


async def test_an_answer_that_is_not_streamed_has_the_whole_time(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = hangs
    gateway = await serve({"timeouts": BRIEF})
    started = time.monotonic()
    answer = await gateway.chat()
    assert 0.9 <= time.monotonic() - started < 1.6
    assert answer.headers["x-gateway-reason"] == "timeout"


async def test_when_everybody_is_slow_the_caller_gets_a_504_that_no_sdk_repeats(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models |= {"tuned": hangs, "base": hangs}
    gateway = await serve({"timeouts": BRIEF})
    answer = await gateway.chat(stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["content-type"] == "application/json"
    assert len(provider.chats()) == 2
    assert [row.failure for row in await gateway.rows(2)] == ["timeout", "timeout"]


async def test_a_success_is_held_back_until_the_first_event(serve: Serve, provider: FakeProvider) -> None:
    """Headers alone commit nothing: another may still answer, and the caller sees one answer only."""
    provider.models["tuned"] = writes(STREAM_HEAD, then="stall")
    gateway = await serve({"timeouts": BRIEF})
    answer = await gateway.stream()
    assert answer.headers["x-gateway-served-by"] == "fallback"
    assert (answer.text, answer.done) == ("Hello.", True)
    failed, _ = await gateway.rows(2)
    assert (failed.failure, failed.status) == ("timeout", 200)


async def test_comments_before_the_first_event_are_no_answer(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = repeats(b": still here\n\n")
    gateway = await serve({"timeouts": BRIEF})
    answer = await gateway.stream()
    assert answer.headers["x-gateway-served-by"] == "fallback"
    assert b"still here" not in answer.raw
    await gateway.rows(2)


async def test_a_stall_in_mid_stream_ends_in_an_error_and_never_in_a_made_up_end(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = streams(chunk("four words of answer "), chunk("and more"), then="stall")
    gateway = await serve({"timeouts": BRIEF})
    started = time.monotonic()
    answer = await gateway.stream()
    assert 0.3 <= time.monotonic() - started < 0.9
    assert (answer.status, answer.text) == (200, "four words of answer and more")
    (error,) = answer.errors
    assert error["code"] == "upstream_timeout"
    assert error["request_id"] == answer.headers["x-request-id"]
    assert not answer.done
    assert provider.chats("base") == [], "after the first byte there is no fallback"
    assert provider.chats("tuned")[0].closed.is_set()
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.failure, row.usage_source) == ("interrupted", "interrupted", "interrupted")
    assert (row.output_tokens, row.cost_nanousd > 0) == (8, True)
    assert await gateway.metric("gateway_stream_aborts_total", side="upstream") == 1


async def test_comments_do_not_keep_a_stalled_stream_alive(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = repeats(b": ping\n\n", first=sse(chunk("Hel")))
    gateway = await serve({"timeouts": BRIEF | {"total_s": 60}})
    started = time.monotonic()
    answer = await gateway.stream()
    assert 0.3 <= time.monotonic() - started < 0.9
    assert (answer.text, answer.done) == ("Hel", False)
    assert answer.errors[0]["code"] == "upstream_timeout"
    assert b": ping" in answer.raw, "a caller behind a proxy lives on them"
    assert (await gateway.rows(1))[0].outcome == "interrupted"


async def test_a_stream_that_never_ends_is_ended_when_its_time_is_over(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = repeats(sse(chunk("more ")))
    gateway = await serve({"timeouts": BRIEF})
    started = time.monotonic()
    answer = await gateway.stream()
    assert 0.9 <= time.monotonic() - started < 1.5
    assert answer.errors[0]["code"] == "upstream_timeout"
    assert not answer.done
    assert (await gateway.rows(1))[0].outcome == "interrupted"


async def test_a_slow_but_steady_stream_is_left_alone(serve: Serve, provider: FakeProvider) -> None:
    async def script(call: Call) -> None:
        await call.send(STREAM_HEAD)
        for event in (chunk("a"), chunk("b"), chunk("c"), chunk(finish="stop"), b"data: [DONE]\n\n"):
            await asyncio.sleep(0.12)
            await call.send(framed(sse(event)))
        await call.send(b"0\r\n\r\n")

    provider.models["tuned"] = script
    gateway = await serve({"timeouts": BRIEF})
    answer = await gateway.stream()
    assert (answer.text, answer.done, answer.errors) == ("abc", True, [])
    (row,) = await gateway.rows(1)
    assert row.outcome == "ok"
    assert 100 <= row.ttft_ms < row.duration_ms


async def test_a_provider_whose_streams_stall_is_soon_left_alone(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = streams(chunk("Hel"), then="stall")
    gateway = await serve({"timeouts": BRIEF})
    await asyncio.gather(*(gateway.stream() for _ in range(5)))
    after = await gateway.stream()
    assert (after.headers["x-gateway-reason"], after.text) == ("circuit_open", "Hello.")
    await eventually(lambda: all(call.closed.is_set() for call in provider.chats("tuned")), "stalled calls are closed")
    await gateway.rows(6)
