"""Something holds the event loop: callers wait, but nobody else is blamed for it."""

import asyncio
import time

from fake_provider import DONE, STREAM_HEAD, Call, FakeProvider, chunk, completion, framed, reply, sse
from served_gateway import Serve

HELD_S = 1.4
TOTAL_S = 1


async def test_an_answer_that_came_in_time_is_no_timeout_because_the_loop_was_held(
    serve: Serve, provider: FakeProvider
) -> None:
    async def answers_and_holds(call: Call) -> None:
        call.line.transport.write(reply(completion()))
        # On purpose: the provider of these stories lives in the gateway's own loop.
        time.sleep(HELD_S)  # noqa: ASYNC251

    provider.models["tuned"] = answers_and_holds
    gateway = await serve({"timeouts": {"total_s": TOTAL_S}})
    answer = await gateway.chat()
    assert (answer.status_code, answer.headers["x-gateway-served-by"]) == (200, "primary")
    assert await gateway.metric("gateway_upstream_attempts_total", outcome="failed") == 0
    assert await gateway.metric("gateway_event_loop_lag_seconds") > HELD_S - 0.3
    await gateway.rows(1)


async def test_a_stream_that_went_on_in_time_is_not_idle_because_the_loop_was_held(
    serve: Serve, provider: FakeProvider
) -> None:
    async def goes_on_and_holds(call: Call) -> None:
        await call.send(STREAM_HEAD + framed(sse(chunk("Hel"))))
        await called_for(0.2)
        call.line.transport.write(framed(sse(chunk("lo."))))
        time.sleep(HELD_S)  # noqa: ASYNC251
        await called_for(0.2)
        await call.send(framed(sse(chunk(finish="stop")) + DONE) + b"0\r\n\r\n")

    provider.models["tuned"] = goes_on_and_holds
    gateway = await serve({"timeouts": {"idle_s": 1}})
    answer = await gateway.stream()
    assert (answer.text, answer.done, answer.errors) == ("Hello.", True, [])
    await gateway.rows(1)


async def called_for(seconds: float) -> None:
    """Let the loop go on for a while: the gateway takes what was sent."""
    await asyncio.sleep(seconds)
