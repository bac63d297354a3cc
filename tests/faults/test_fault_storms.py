"""Many at once: a herd on a model that is gone, a storm of errors, a circuit's single trial."""

import asyncio

import pytest
from fake_provider import GONE, Call, FakeProvider, Script, answers, refuses
from served_gateway import Serve, counted, eventually, verified


def held_back(provider: FakeProvider) -> asyncio.Event:
    """Keep the provider's list, and so every verification, waiting for an event."""
    event = asyncio.Event()

    async def script(call: Call) -> None:
        await event.wait()
        provider.listing = None
        await provider.script_for(call)(call)

    provider.listing = script
    return event


async def test_of_five_hundred_at_once_each_is_answered_and_none_calls_after_the_verdict(
    serve: Serve, provider: FakeProvider
) -> None:
    """The dead calls are those in flight when the first verdict arrives; there is one verification."""
    held = 250
    release: list[asyncio.Event] = []

    async def gone_when_released(call: Call) -> None:
        release.append(asyncio.Event())
        await release[-1].wait()
        await GONE(call)

    gateway = await serve()
    await gateway.chat()
    provider.models["tuned"] = gone_when_released
    provider.listed = ["base"]
    look = held_back(provider)
    tasks = [asyncio.create_task(gateway.chat_alone()) for _ in range(held)]
    await eventually(lambda: len(release) == held, "the herd has arrived")
    release[0].set()
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().headers["x-gateway-reason"] for task in done} == {"suspect"}
    after = await asyncio.gather(*(gateway.chat_alone() for _ in range(held)))
    assert {answer.headers["x-gateway-reason"] for answer in after} == {"suspect"}
    assert len(release) == held, "none after the verdict, though nothing is verified yet"
    look.set()
    for event in release:
        event.set()
    herd = [await task for task in tasks]
    assert {(answer.status_code, answer.headers["x-gateway-served-by"]) for answer in herd} == {(200, "fallback")}
    await verified(gateway)
    assert (await gateway.chat()).headers["x-gateway-reason"] == "gone"
    assert [call.path for call in provider.calls if call.method == "GET"].count("/v1/models/tuned") == 1
    await counted(gateway, "gateway_cutovers_total", 1)
    rows = await gateway.rows(1 + 3 * held + 1)
    assert sum(row.failure == "model_ambiguous" for row in rows) == held


async def test_a_storm_of_errors_is_never_made_worse_and_opens_the_circuits(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models |= dict.fromkeys(("tuned", "base"), refuses(500, "boom"))
    gateway = await serve()
    statuses = [(await gateway.chat()).status_code for _ in range(100)]
    assert len(provider.chats()) <= 1.1 * 100
    assert (len(provider.chats("tuned")), len(provider.chats("base"))) == (5, 5)
    assert statuses == [502] * 5 + [503] * 95
    refused = await gateway.chat()
    assert refused.json()["error"]["code"] == "upstream_overloaded"
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert refused.headers["x-should-retry"] == "false"
    await gateway.rows(10)


async def test_when_its_pause_is_over_one_request_tries_and_its_success_closes_the_circuit(
    serve: Serve, provider: FakeProvider
) -> None:
    gate = asyncio.Event()

    async def later(call: Call) -> None:
        await gate.wait()
        await answers(call)

    provider.models["tuned"] = refuses(500, "boom")
    gateway = await serve()
    for _ in range(6):
        await gateway.chat()
    assert len(provider.chats("tuned")) == 5
    provider.models["tuned"] = later
    gateway.clock.advance(5.0)
    tasks = [asyncio.create_task(gateway.chat()) for _ in range(20)]
    await eventually(lambda: sum(task.done() for task in tasks) == 19, "all but the trial are answered")
    assert len(provider.chats("tuned")) == 6, "one trial"
    gate.set()
    served_by = [(await task).headers["x-gateway-served-by"] for task in tasks]
    assert served_by.count("primary") == 1
    assert (await gateway.chat()).headers["x-gateway-served-by"] == "primary"
    await gateway.rows(5 + 6 + 20 + 1)


@pytest.mark.parametrize(
    ("script", "opens"),
    [
        pytest.param(refuses(400, "Invalid value"), False, id="the caller's errors do not"),
        pytest.param(
            refuses(400, "maximum context length is 10", "context_length_exceeded"), False, id="long prompts do not"
        ),
        pytest.param(refuses(429, "slow down", "rate_limit_exceeded"), False, id="limits do not"),
        pytest.param(refuses(503, "busy"), True, id="overload does"),
    ],
)
async def test_what_opens_a_circuit(serve: Serve, provider: FakeProvider, script: Script, opens: bool) -> None:
    provider.models["tuned"] = script
    gateway = await serve()
    for _ in range(7):
        await gateway.chat()
    assert len(provider.chats("tuned")) == (5 if opens else 7)
    await gateway.rows(5 + 7 if opens else 7)
