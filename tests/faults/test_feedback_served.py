"""Marks on real answers of a real gateway: whole, streamed, a fallback's, with tool calls; at once, and in a hurry."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import httpx
from declared_keys import PEPPER, as_, declared
from fake_provider import FakeProvider, chunk, completion, says, streams, usage_chunk
from served_gateway import USER, Serve, ServedGateway

CAPTURE = {"capture": {"share": 1}}
MAIL = "jane.doe@example.com"
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


@contextlib.asynccontextmanager
async def by_itself(gateway: ServedGateway) -> AsyncIterator[None]:
    """Let the clock run: whoever waits for a request that was answered a moment ago sleeps on it."""
    running = asyncio.create_task(gateway.clock.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def mark(gateway: ServedGateway, answered: Any, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """Say something of an answer, as soon as it is there."""
    async with by_itself(gateway):
        return await tell(gateway, answered, headers, **fields)


async def tell(gateway: ServedGateway, answered: Any, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    given = {"request_id": answered.headers["x-request-id"], **fields}
    told: httpx.Response = await gateway.client.post("/v1/feedback", json=given, headers=headers)
    assert told.status_code == 200, told.text
    return told.json()


def marks(gateway: ServedGateway) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM feedback ORDER BY feedback_id")]


async def test_an_answer_is_corrected_the_moment_it_is_there(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says(completion(f"We wrote to {MAIL}.", model="tuned"))
    gateway = await serve(CAPTURE)
    answer = await gateway.chat(user="jane")
    told = await mark(gateway, answer, correction=f"We call {MAIL}.", comment="nobody reads mail")
    assert told["becomes"][1:] == ["preference"]
    (row,) = marks(gateway)
    assert json.loads(row["request"]) == {"messages": USER}
    assert json.loads(row["answer"])["content"] == "We wrote to [email]."
    assert json.loads(row["correction"])["content"] == "We call [email]."
    assert (row["label"], row["role"], row["model"]) == ("wrong", "primary", "tuned")
    assert await gateway.metric("gateway_feedback_total", route="reply", label="wrong") == 1
    files = gateway.database.parent.glob(gateway.database.name + "*")
    assert not any(MAIL.encode() in file.read_bytes() for file in files)


async def test_a_streamed_answer_is_approved_whole(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = streams(chunk("On its "), chunk("way."), chunk(finish="stop"), usage_chunk())
    gateway = await serve(CAPTURE)
    told = await mark(gateway, await gateway.stream(), label="right")
    assert told["note"] is None
    assert json.loads(marks(gateway)[0]["answer"])["content"] == "On its way."


async def test_a_fallbacks_answer_is_the_fallbacks(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = says({"error": {"message": "no"}}, 500)
    gateway = await serve(CAPTURE)
    await mark(gateway, await gateway.chat(), label="right")
    (row,) = marks(gateway)
    assert (row["role"], row["provider"], row["model"]) == ("fallback", "second", "base")


async def test_tool_calls_are_corrected(serve: Serve, provider: FakeProvider) -> None:
    call = {"id": "call_a", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    provider.models["tuned"] = says(completion(model="tuned", choices=choices))
    gateway = await serve(CAPTURE)
    answer = await gateway.chat(tools=TOOLS)
    better = {**call, "function": {"name": "look_up", "arguments": '{"order": 8}'}}
    told = await mark(gateway, answer, correction={"role": "assistant", "tool_calls": [better]})
    assert "preference" in told["becomes"]
    (row,) = marks(gateway)
    assert json.loads(row["request"]) == {"messages": USER, "tools": TOOLS}
    assert json.loads(row["correction"])["tool_calls"] == [better]


async def test_of_a_route_that_keeps_nothing_a_number_is_kept_or_what_is_sent_along(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    answer = await gateway.chat()
    told = await mark(gateway, answer, label="wrong", score=0)
    assert (told["route"], told["split"], told["becomes"]) == ("reply", None, [])
    sent = {"model": "reply", "messages": USER, "answer": answer.json()["choices"][0]["message"]}
    told = await mark(gateway, answer, correction="It arrives tomorrow.", **sent)
    assert (told["note"], len(told["becomes"])) == (None, 2)
    number, row = marks(gateway)
    assert (number["request"], number["model"], number["input_id"]) == (None, "tuned", None)
    assert (row["model"], json.loads(row["request"])) == ("tuned", {"messages": USER})


async def test_many_marks_at_once_are_all_kept_and_answers_go_on(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(CAPTURE)
    answers = [
        await gateway.chat(messages=[{"role": "user", "content": f"Question {number}?"}]) for number in range(20)
    ]
    async with by_itself(gateway):
        told = await asyncio.gather(
            *(tell(gateway, answer, correction=f"Answer {number}.") for number, answer in enumerate(answers)),
            *(gateway.chat(messages=USER) for _ in range(20)),
        )
    assert [answer["note"] for answer in told[:20]] == [None] * 20
    assert {answer.status_code for answer in told[20:]} == {200}
    assert len(marks(gateway)) == 20


async def test_of_two_tenants_requests_with_one_id_each_marks_its_own(serve: Serve, provider: FakeProvider) -> None:
    tenants = ("acme", "globex")
    for tenant in tenants:
        provider.models[f"ft-{tenant}"] = says(completion(f"secret-of-{tenant}", model=f"ft-{tenant}"))
    variants = {tenant: f"ft-{tenant}" for tenant in tenants}
    gateway = await serve(
        more_routes={"forum": {"variant_by": "tenant", "variants": variants, **CAPTURE}},
        more_sections={
            "keys": declared(**{tenant: {"tenant": tenant, "capture": True} for tenant in tenants}),
            "prices": {},
        },
        key_pepper=PEPPER,
        environ={"GATEWAY_KEY_PEPPER": PEPPER},
    )
    same = {"x-request-id": "the-same-for-both"}
    answers = {tenant: await gateway.chat("forum", headers=as_(tenant, **same)) for tenant in tenants}
    for tenant in tenants:
        told = await mark(gateway, answers[tenant], as_(tenant), correction=f"better-of-{tenant}")
        assert told["route"] == f"forum:{tenant}"
    for row in marks(gateway):
        said = " ".join(str(value) for value in row.values())
        assert {tenant for tenant in tenants if f"of-{tenant}" in said} == {row["tenant"]}
    assert {row["tenant"] for row in marks(gateway)} == set(tenants)
