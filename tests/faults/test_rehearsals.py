"""Live traffic runs on the fallback before that is needed: unseen in the shadow, or as the one that answers."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fake_provider import FakeProvider, chunk, completion, hangs, refuses, says, streams, usage_chunk
from served_gateway import PRICES, USER, Serve, ServedGateway, counted, eventually

pytestmark = pytest.mark.rig

SHADOW = {"rehearsal": {"share": 1, "max_usd_per_day": 1}}
SERVING = {"rehearsal": {"share": 1, "mode": "serve", "max_usd_per_day": 1}}


def pairs(database: Path) -> list[Any]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM rehearsal_pairs ORDER BY attempt_id").fetchall()
    connection.close()
    return rows


async def kept_pairs(gateway: ServedGateway, count: int) -> list[Any]:
    async def there() -> list[Any] | None:
        found = pairs(gateway.database)
        return found if len(found) >= count else None

    return list(await eventually(there, f"{count} pairs are kept"))


async def test_a_shadow_asks_the_fallback_again_and_the_caller_sees_the_primary(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = says(completion("Your order is on its way.", model="tuned"))
    provider.models["base"] = says(completion("Your order is on route.", model="base"))
    gateway = await serve(SHADOW)
    answer = await gateway.chat()
    assert answer.headers["x-gateway-served-by"] == "primary"
    assert answer.json()["choices"][0]["message"]["content"] == "Your order is on its way."
    live, rehearsed = sorted(await gateway.rows(2), key=lambda row: row.kind)
    assert (live.kind, live.target, rehearsed.kind, rehearsed.target) == ("live", "primary", "rehearsal", "base")
    assert (live.request_id, rehearsed.reason) == (rehearsed.request_id, "rehearsal")
    (pair,) = await kept_pairs(gateway, 1)
    assert pair["cost_nanousd"] == rehearsed.cost_nanousd - live.cost_nanousd
    assert pair["agreement"] == pytest.approx(8 / 11)  # of six words and five, four are the same
    await counted(gateway, "gateway_rehearsals_total", 1, route="reply", mode="shadow", outcome="ok")
    await counted(gateway, "gateway_rehearsal_pairs", 1, route="reply")
    assert await gateway.metric("gateway_rehearsal_difference", route="reply", measure="agreement") == pair["agreement"]
    # What callers did not get is in nobody's latency, and in nobody's cost but the rehearsals'.
    assert await gateway.metric("gateway_fallbacks_total", route="reply") == 0
    assert await gateway.metric("gateway_cost_usd_total", route="reply", served_by="fallback") == 0
    assert await gateway.metric("gateway_rehearsal_cost_usd_total", route="reply") == rehearsed.cost_nanousd / 1e9


async def test_a_streamed_answer_is_rehearsed_as_a_stream_and_first_tokens_are_compared(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["tuned"] = streams(chunk("On its "), chunk("way."), chunk(finish="stop"), usage_chunk())
    provider.models["base"] = streams(chunk("On its way."), chunk(finish="stop"), usage_chunk())
    gateway = await serve(SHADOW)
    assert (await gateway.stream()).text == "On its way."
    (pair,) = await kept_pairs(gateway, 1)
    assert pair["agreement"] == 1.0
    assert pair["ttft_ms"] is not None


async def test_a_shadow_that_hangs_keeps_nobody_waiting(serve: Serve, provider: FakeProvider) -> None:
    provider.models["base"] = hangs
    gateway = await serve(SHADOW | {"timeouts": {"total_s": 1, "first_token_s": 1, "idle_s": 1}})
    for _ in range(8):
        assert (await gateway.chat()).status_code == 200
    await counted(gateway, "gateway_rehearsals_total", 8, route="reply", mode="shadow", outcome="failed")
    assert pairs(gateway.database) == []


async def test_a_days_money_is_not_overspent(serve: Serve, provider: FakeProvider) -> None:
    """A rehearsal costs 46,000 nano-dollars here, and is reckoned at 1,054,000 beforehand: the cap holds ten."""
    gateway = await serve({"rehearsal": {"share": 1, "max_usd_per_day": 0.0015}})
    for _ in range(30):
        await gateway.chat()
    await eventually(lambda: _told(gateway, 30), "every request was rehearsed, or refused for its cost")
    spent = await gateway.metric("gateway_rehearsal_cost_usd_total", route="reply")
    assert 0 < spent <= 0.0015
    assert await gateway.metric("gateway_rehearsals_total", route="reply", outcome="unfunded") > 0
    with sqlite3.connect(gateway.database) as connection:
        (reserved,) = connection.execute("SELECT reserved_nanousd FROM rehearsal_budgets").fetchone()
    connection.close()
    assert spent * 1e9 <= reserved <= 1_500_000
    gateway.clock.advance(86_400)
    await gateway.chat()
    more = await gateway.metric("gateway_rehearsals_total", route="reply", outcome="ok")
    await eventually(lambda: _more(gateway, more), "the next day has money of its own")


async def _told(gateway: ServedGateway, count: int) -> bool:
    outcomes = ("ok", "unfunded")
    told = [await gateway.metric("gateway_rehearsals_total", route="reply", outcome=word) for word in outcomes]
    return sum(told) == count


async def _more(gateway: ServedGateway, than: float) -> bool:
    return await gateway.metric("gateway_rehearsals_total", route="reply", outcome="ok") > than


async def test_without_a_price_nothing_is_rehearsed(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(SHADOW, base={"model": "unpriced"})
    await gateway.chat()
    await counted(gateway, "gateway_rehearsals_total", 1, route="reply", mode="shadow", outcome="unpriced")
    assert provider.chats("unpriced") == []


async def test_serving_the_fallback_answers_and_says_why(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(SERVING)
    await served_by(gateway, "fallback")
    answer = await gateway.chat()
    assert (answer.headers["x-gateway-served-by"], answer.headers["x-gateway-reason"]) == ("fallback", "rehearsal")
    assert provider.chats("tuned")
    asked = len(provider.chats("tuned")) + len(provider.chats("base"))
    row = next(row for row in await gateway.rows(asked) if row.target == "base")
    assert (row.kind, row.reason) == ("live", "rehearsal")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(refuses(400, "Unknown parameter: 'x'."), id="a refusal that would be the caller's own"),
        pytest.param(refuses(500, "oops"), id="a failure"),
        pytest.param(refuses(400, "maximum context length exceeded", "context_length_exceeded"), id="too long for it"),
    ],
)
async def test_a_rehearsal_that_fails_costs_its_caller_nothing(
    serve: Serve, provider: FakeProvider, script: Any
) -> None:
    gateway = await serve(SERVING)
    await served_by(gateway, "fallback")
    provider.models["base"] = script
    answer = await gateway.chat()
    assert (answer.status_code, answer.headers["x-gateway-served-by"]) == (200, "primary")


async def test_a_conversation_stays_with_who_rehearses_it(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve({"rehearsal": {"share": 0.5, "mode": "serve", "max_usd_per_day": 1}})

    async def who(user: str) -> str:
        gateway.clock.advance(1)
        return (await gateway.chat(user=user)).headers["x-gateway-served-by"]

    async def both() -> bool:
        return {await who(user) for user in "abcdefghij"} == {"primary", "fallback"}

    await eventually(both, "there is money at hand")
    first = {user: await who(user) for user in "abcdefghij"}
    assert {user: await who(user) for user in "abcdefghij"} == first
    assert set(first.values()) == {"primary", "fallback"}


LONG = {"prompt_tokens": 10, "completion_tokens": 100_000, "total_tokens": 100_010}


@pytest.mark.parametrize("cut", [False, True], ids=["to its end", "until its caller leaves"])
async def test_a_long_answer_of_one_that_serves_counts_in_full(serve: Serve, provider: FakeProvider, cut: bool) -> None:
    """100,000 tokens cost $0.40 here, and were reckoned at 1,000."""
    filler = [chunk("word " * 200) for _ in range(1_200)]
    provider.models["base"] = streams(*filler, chunk(finish="stop"), usage_chunk(LONG), then="stall" if cut else "end")
    gateway = await serve({"rehearsal": {"share": 1, "mode": "serve", "max_usd_per_day": 0.5}})
    provider.models["base"], long = says(), provider.models["base"]
    await served_by(gateway, "fallback")
    provider.models["base"] = long
    if cut:
        spent = await gateway.metric("gateway_rehearsal_cost_usd_total", route="reply")
        async with gateway.calling(stream=True) as caller:
            await caller.receive_until(b"word word")
        await eventually(lambda: _spent(gateway, spent), "what its caller left behind is paid for")
        return
    await gateway.stream()
    assert await gateway.metric("gateway_rehearsal_cost_usd_total", route="reply") > 0.4
    provider.models["base"] = says()
    await served_by(gateway, "fallback")
    provider.models["base"] = long
    await gateway.stream()
    gateway.clock.advance(1)
    assert (await gateway.stream()).headers["x-gateway-served-by"] == "primary"


async def _spent(gateway: ServedGateway, more_than: float) -> bool:
    return await gateway.metric("gateway_rehearsal_cost_usd_total", route="reply") > more_than


async def test_an_answer_without_a_price_costs_what_was_set_aside(serve: Serve, provider: FakeProvider) -> None:
    provider.models["base"] = says(completion("Hello.", model="something-else"))
    gateway = await serve({"rehearsal": {"share": 1, "max_usd_per_day": 0.0015}})
    for _ in range(10):
        await gateway.chat()
    await eventually(lambda: _told(gateway, 10), "every request was rehearsed, or refused for its cost")
    assert await gateway.metric("gateway_rehearsals_total", route="reply", outcome="ok") == 1


async def test_a_fallback_that_answers_for_a_better_reason_does_not_rehearse(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve(SERVING)
    await served_by(gateway, "fallback")
    rehearsed = await gateway.metric("gateway_rehearsals_total", route="reply", outcome="ok")
    provider.models["tuned"] = refuses(404, "The model `tuned` does not exist", "model_not_found")
    await gateway.chat("reply@primary")
    await eventually(lambda: _reason_is(gateway, {"gone", "no_access"}), "the primary is known to be gone")
    spent = await gateway.metric("gateway_rehearsal_cost_usd_total", route="reply")
    before = await gateway.metric("gateway_rehearsals_total", route="reply", outcome="ok")
    for _ in range(5):
        await gateway.chat()
    assert await gateway.metric("gateway_rehearsals_total", route="reply", outcome="ok") == before >= rehearsed
    assert await gateway.metric("gateway_rehearsal_cost_usd_total", route="reply") == spent


async def _reason_is(gateway: ServedGateway, reasons: set[str]) -> bool:
    return (await gateway.chat()).headers["x-gateway-reason"] in reasons


async def test_one_routes_slow_fallback_does_not_hold_up_anothers(serve: Serve, provider: FakeProvider) -> None:
    provider.models["slow"] = hangs
    slow = SHADOW | {
        "primary": "tuned",
        "fallbacks": ["slow"],
        "timeouts": {"total_s": 3, "first_token_s": 1, "idle_s": 1},
    }
    gateway = await serve(
        SHADOW,
        more_routes={"other": slow},
        more_fallbacks={"slow": {"provider": "second", "model": "slow"}},
        more_sections={"prices": {"first": PRICES, "second": {**PRICES, "slow": PRICES["base"]}}},
    )
    for _ in range(20):
        await gateway.chat("other")
    await gateway.chat()
    await kept_pairs(gateway, 1)
    assert await gateway.metric("gateway_rehearsals_total", route="other") < 20


async def test_a_shadow_leaves_no_trace_in_its_providers_store(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(SHADOW)
    await gateway.chat(store=True, metadata={"order": "7"}, user="jane")
    await kept_pairs(gateway, 1)
    (live,), (shadow,) = provider.chats("tuned"), provider.chats("base")
    assert live.json["store"] is True
    assert {"store", "metadata"}.isdisjoint(shadow.json)
    assert shadow.json["user"] == "jane"


async def test_shadows_that_fail_are_in_no_figure_that_alerts_look_at(serve: Serve, provider: FakeProvider) -> None:
    provider.models["base"] = refuses(500, "oops")
    gateway = await serve(SHADOW)
    for _ in range(8):
        await gateway.chat()
    await counted(gateway, "gateway_rehearsals_total", 8, route="reply", mode="shadow", outcome="failed")
    assert await gateway.metric("gateway_upstream_attempts_total", model="base") == 0
    assert await gateway.metric("gateway_circuit_state", model="base", state="open") == 0


async def test_pinned_requests_and_other_endpoints_do_not_rehearse(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(SHADOW)
    await gateway.chat("reply@primary")
    await gateway.client.post("/v1/completions", json={"model": "reply", "prompt": "Hi"})
    await gateway.rows(2)
    assert provider.chats("base") == []


async def served_by(gateway: ServedGateway, role: str) -> None:
    """Wait until there is money at hand: the first request of a route that serves asks for it."""

    async def is_so() -> bool:
        gateway.clock.advance(1)
        return (await gateway.chat(messages=USER)).headers["x-gateway-served-by"] == role

    await eventually(is_so, f"the {role} answers")
