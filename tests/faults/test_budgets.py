"""Keys with budgets, over real HTTP: what is set aside, what is counted, and what callers are told."""

import asyncio
import hashlib
import hmac
import sqlite3
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from fake_provider import GONE, FakeProvider, completion, hangs, refuses, says
from promotions_made import a_promotion, promotions_of
from served_gateway import PRICES, USER, Serve, ServedGateway, eventually

PEPPER = "a pepper of at least thirty-two characters"
NANO_PER_USD = 1_000_000_000
COST = 10 * 1_000 + 4 * 2_000
"""Of an answer of the primary, in nano-dollars."""
FALLBACK_COST = 10 * 3_000 + 4 * 4_000
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}]}]


def declared(**keys: Mapping[str, Any]) -> dict[str, Any]:
    """Declare keys by digest; each key's text is its name."""

    def digest(name: str) -> str:
        return f"hmac-sha256:{hmac.digest(PEPPER.encode(), name.encode(), hashlib.sha256).hex()}"

    return {name: {"digest": digest(name), **fields} for name, fields in keys.items()}


async def kept(serve: Serve, budget: Mapping[str, Any] | None, **more: Any) -> ServedGateway:
    """Serve with one key ``shop`` of this budget, and one ``free`` without any limit; ``shop`` calls."""
    of_key = more.pop("of_key", {})
    shop = {"budget": budget, **of_key} if budget is not None else of_key
    sections = {"keys": declared(shop=shop, free={}), **more.pop("more_sections", {})}
    gateway = await serve(
        more_sections=sections,
        key_pepper=PEPPER,
        admin_key="the-admins",
        environ={"GATEWAY_KEY_PEPPER": PEPPER},
        **more,
    )
    gateway.client.headers["authorization"] = "Bearer shop"
    return gateway


def spend(gateway: ServedGateway) -> Any:
    with sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM key_spend").fetchone()
        holds = connection.execute("SELECT count(*) FROM budget_holds").fetchone()[0]
    connection.close()
    return SimpleNamespace(holds=holds, **dict(found)) if found is not None else None


async def settled(gateway: ServedGateway) -> Any:
    """Wait until nothing is held, and return what is spent."""

    # Two reads: what they are settled by may come in between.
    def is_settled() -> Any:
        now = spend(gateway)
        return now and not now.holds and not now.total_held and now

    return await eventually(is_settled, "everything is settled")


async def metric(gateway: ServedGateway, name: str, **labels: str) -> float:
    mine = gateway.client.headers["authorization"]
    gateway.client.headers["authorization"] = "Bearer the-admins"
    try:
        return await gateway.metric(name, **labels)
    finally:
        gateway.client.headers["authorization"] = mine


async def test_what_was_used_is_counted_in_the_place_of_what_was_set_aside(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await kept(serve, {"day_usd": 1, "month_usd": 2, "total_usd": 3})
    assert (await gateway.chat(max_tokens=10)).status_code == 200
    assert (await gateway.stream(max_tokens=10)).done
    now = await settled(gateway)
    assert (now.day_spent, now.month_spent, now.total_spent) == (2 * COST,) * 3
    assert (now.day_held, now.month_held, now.total_held) == (0, 0, 0)
    assert (now.key_id) == "yaml:shop"
    rows = await gateway.rows(2)
    assert all(row.hold_id is not None for row in rows)
    assert rows[0].hold_id != rows[1].hold_id
    assert await metric(gateway, "gateway_budget_holds") == 0


async def test_a_caller_of_one_request_after_another_spends_its_budget_and_is_told_when_it_ends(
    serve: Serve, provider: FakeProvider
) -> None:
    # Each could cost 0.002 dollars and costs 0.000018: what is over must not stand in the way of what follows.
    gateway = await kept(serve, {"day_usd": 0.0022})
    answers = [await gateway.chat(max_tokens=10) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [200] * 12
    assert (await settled(gateway)).day_spent == 12 * COST
    refused = await gateway.chat(max_tokens=50)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (429, "insufficient_quota", "budget_exceeded")
    assert refused.headers["x-should-retry"] == "false"
    assert "This key may spend $0.0022 for a day. $0.001984 of that is left" in error["message"]
    assert "begins anew on" in error["message"]
    hopeless = await gateway.chat(max_tokens=1000)
    assert "more than the whole budget: it can never pass" in hopeless.json()["error"]["message"]
    assert len(provider.chats()) == 12
    assert await metric(gateway, "gateway_budget_refusals_total", reason="exceeded") == 2


async def test_callers_at_once_never_have_more_set_aside_than_there_is(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = hangs
    gateway = await kept(serve, {"total_usd": 0.007})
    waiting = [asyncio.create_task(gateway.chat(max_tokens=10)) for _ in range(8)]
    await eventually(lambda: sum(task.done() for task in waiting) == 5, "five are refused")
    assert {task.result().status_code for task in waiting if task.done()} == {429}
    now = spend(gateway)
    assert now.holds == 3
    assert now.total_held <= 7_000_000
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    rows = await gateway.rows(3)
    assert (await settled(gateway)).total_spent == sum(row.cost_nanousd for row in rows)


async def test_a_fallback_is_paid_from_what_was_set_aside_for_the_dearest(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = GONE
    gateway = await kept(serve, {"total_usd": 0.003})
    answer = await gateway.chat(max_tokens=10)
    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")
    assert (await settled(gateway)).total_spent == FALLBACK_COST
    rows = await gateway.rows_of_callers(2)
    assert len({row.hold_id for row in rows}) == 1


async def test_what_a_failed_attempt_was_billed_is_set_aside_beside_the_next_one(
    serve: Serve, provider: FakeProvider
) -> None:
    # An answer that is no answer is billed all the same, and more than the fallback could cost.
    provider.models["tuned"] = says(
        {"choices": None, "model": "tuned", "usage": {"prompt_tokens": 5_000, "completion_tokens": 0}}
    )
    gateway = await kept(serve, {"total_usd": 1})
    assert (await gateway.chat(max_tokens=10)).status_code == 200
    assert (await settled(gateway)).total_spent == 5_000_000 + FALLBACK_COST
    poor = await kept(serve, {"total_usd": 0.005})
    refused = await poor.chat(max_tokens=10)
    assert refused.json()["error"]["code"] == "budget_exceeded"
    assert (await settled(poor)).total_spent == 5_000_000
    assert len(provider.chats("base")) == 1


LENGTHS: tuple[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str], ...] = (
    ({"budget": {"day_usd": 1}}, {}, {"max_tokens": 4096}, "max_tokens"),
    ({"budget": {"day_usd": 1}}, {"max_completion_tokens": 7}, {"max_completion_tokens": 7}, ""),
    ({"budget": {"day_usd": 1}, "max_output_tokens": 50}, {}, {"max_tokens": 50}, "max_tokens"),
    ({"max_output_tokens": 50}, {}, {"max_tokens": 50}, "max_tokens"),
    ({"max_output_tokens": 50}, {"max_tokens": 51}, {"max_tokens": 50}, "max_tokens"),
    ({"max_output_tokens": 50}, {"max_tokens": 50}, {"max_tokens": 50}, ""),
    ({"tokens_per_minute": 100_000}, {}, {}, ""),
    ({"requests_per_minute": 100}, {}, {}, ""),
)


async def test_the_answers_length_is_bounded_where_a_key_needs_that(serve: Serve, provider: FakeProvider) -> None:
    keys = declared(**{f"key-{number}": of_key for number, (of_key, *_) in enumerate(LENGTHS)})
    gateway = await kept(serve, {"day_usd": 1}, more_sections={"keys": keys})
    for number, (_, asked, sent, adapted) in enumerate(LENGTHS):
        gateway.client.headers["authorization"] = f"Bearer key-{number}"
        answer = await gateway.chat(**asked)
        assert answer.status_code == 200, answer.text
        body = provider.chats()[-1].json
        assert {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body} == sent
        assert answer.headers.get("x-gateway-adapted", "") == adapted


async def test_a_length_that_is_no_number_is_refused(serve: Serve, provider: FakeProvider) -> None:
    gateway = await kept(serve, {"day_usd": 1})
    for name in ("max_tokens", "max_completion_tokens", "n"):
        for value in (-1, 0, 1.5, 1e18, "100", True, [], {"a": 1}):
            refused = await gateway.chat(**{name: value})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, name), value
    for asked in ({"n": 10**12}, {"max_tokens": 10**15}):
        assert (await gateway.chat(**asked)).json()["error"]["code"] == "budget_exceeded"
    assert provider.chats() == []
    assert spend(gateway) is None


NO_BOUND: tuple[tuple[dict[str, Any], str | None, str], ...] = (
    ({"messages": IMAGE}, None, "context window is not known"),
    ({"web_search_options": {}}, "web_search_options", "leave that out"),
    ({"tools": [{"type": "web_search"}]}, "tools", "leave that out"),
    ({"prediction": {"type": "content", "content": "x"}}, "prediction", "leave that out"),
    ({"models": ["dearer"]}, "models", "leave that out"),
    ({"n_predict": -1}, "n_predict", "leave that out"),
    ({"messages": [{"role": "assistant", "content": "", "audio": {"id": "a"}}]}, None, "context window"),
)


async def test_what_nobody_can_bound_is_refused_with_what_helps(serve: Serve, provider: FakeProvider) -> None:
    gateway = await kept(serve, {"day_usd": 1})
    for asked, param, said in NO_BOUND:
        gateway.client.headers["authorization"] = "Bearer shop"
        refused = await gateway.chat(**({"messages": USER} | asked))
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, "budget_needs_bound", param)
        assert said in error["message"]
        gateway.client.headers["authorization"] = "Bearer free"
        assert (await gateway.chat(**({"messages": USER} | asked))).status_code == 200
    assert len(provider.chats()) == len(NO_BOUND)


async def test_a_model_without_a_price_is_refused(serve: Serve, provider: FakeProvider) -> None:
    gateway = await kept(serve, {"day_usd": 1}, more_routes={"other": {"primary": "unheard-of"}})
    refused = await gateway.chat("other")
    assert refused.json()["error"]["code"] == "budget_needs_bound"
    assert "'unheard-of': no price is known of it: write one under 'prices:'" in refused.json()["error"]["message"]
    assert await metric(gateway, "gateway_budget_refusals_total", reason="needs_bound") == 1


async def test_a_canary_that_is_too_dear_for_a_key_is_left_out_and_not_its_request_refused(
    serve: Serve, provider: FakeProvider
) -> None:
    first = {**PRICES, "next": {**PRICES["tuned"], "output_usd_per_1m": 1000}}
    prices = {"first": first, "second": PRICES}
    gateway = await kept(serve, {"total_usd": 0.01}, more_sections={"prices": prices})
    async with promotions_of(gateway) as store:
        # Of all conversations but hardly one.
        assert await store.begin(a_promotion(gateway, share=0.999_999))
    gateway.client.headers["authorization"] = "Bearer free"

    async def is_followed() -> bool:
        gateway.clock.advance(1)
        answer = await gateway.chat(max_tokens=50)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-gateway-model"] == "next"

    await eventually(is_followed, "the canary answers who has no budget")
    asked = len(provider.chats("next"))
    gateway.client.headers["authorization"] = "Bearer shop"
    answer = await gateway.chat(max_tokens=50)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-gateway-model"] == "tuned"
    assert len(provider.chats("next")) == asked
    assert (await settled(gateway)).total_spent == COST
    assert await metric(gateway, "gateway_budget_refusals_total", reason="exceeded") == 0
    refused = await gateway.chat(max_tokens=50_000)
    assert refused.json()["error"]["code"] == "budget_exceeded", "where nobody can be paid, nobody is asked"


async def test_a_canary_is_asked_where_the_budget_suffices_for_it_and_for_who_answers_if_it_fails(
    serve: Serve, provider: FakeProvider
) -> None:
    prices = {"first": {**PRICES, "next": PRICES["tuned"]}, "second": PRICES}
    # A hundred tokens take at most some $0.0008 of either of the two.
    gateway = await kept(serve, {"total_usd": 0.0015}, more_sections={"prices": prices}, route={"fallbacks": []})
    async with promotions_of(gateway) as store:
        assert await store.begin(a_promotion(gateway, share=0.999_999))
    gateway.client.headers["authorization"] = "Bearer free"

    async def is_followed() -> bool:
        gateway.clock.advance(1)
        return (await gateway.chat(max_tokens=100)).headers["x-gateway-model"] == "next"

    await eventually(is_followed, "the canary answers who has no budget")
    gateway.client.headers["authorization"] = "Bearer shop"
    answer = await gateway.chat(max_tokens=100)
    assert answer.headers.get("x-gateway-model") == "tuned", answer.text
    assert (await gateway.chat(max_tokens=10)).headers["x-gateway-model"] == "next"


async def test_a_canary_whose_cost_nobody_can_bound_is_left_out_and_not_its_request_refused(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["gpt-4o-mini"] = says(completion(model="gpt-4o-mini"))
    prices = {"first": {**PRICES, "next": PRICES["tuned"], "gpt-4o-mini": PRICES["tuned"]}, "second": PRICES}
    pictures = {"primary": "gpt-4o-mini", "fallbacks": []}
    gateway = await kept(
        serve,
        {"total_usd": 1000},
        first={"kind": "openai"},
        more_sections={"prices": prices},
        more_routes={"pictures": pictures},
    )
    async with promotions_of(gateway) as store:
        named = {"route": "pictures", "incumbent_model": "gpt-4o-mini", "share": 0.999_999}
        assert await store.begin(a_promotion(gateway, **named))

    async def is_followed() -> bool:
        gateway.clock.advance(1)
        answer = await gateway.chat("pictures", max_tokens=50)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-gateway-model"] == "next"

    await eventually(is_followed, "the canary answers what is no picture")
    answer = await gateway.chat("pictures", messages=IMAGE, max_tokens=50)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-gateway-model"] == "gpt-4o-mini"


async def test_a_primary_whose_cost_nobody_can_bound_is_refused_although_its_canary_s_is_known(
    serve: Serve, provider: FakeProvider
) -> None:
    provider.models["unheard-of"] = says(completion(model="unheard-of"))
    prices = {"first": {**PRICES, "next": PRICES["tuned"]}, "second": PRICES}
    other = {"primary": "unheard-of", "fallbacks": []}
    gateway = await kept(serve, {"day_usd": 1}, more_sections={"prices": prices}, more_routes={"other": other})
    async with promotions_of(gateway) as store:
        assert await store.begin(a_promotion(gateway, route="other", incumbent_model="unheard-of", share=0.999_999))
    gateway.client.headers["authorization"] = "Bearer free"

    async def is_followed() -> bool:
        gateway.clock.advance(1)
        return (await gateway.chat("other")).headers["x-gateway-model"] == "next"

    await eventually(is_followed, "the canary answers who has no budget")
    gateway.client.headers["authorization"] = "Bearer shop"
    refused = await gateway.chat("other")
    assert refused.json()["error"]["code"] == "budget_needs_bound"
    assert "'unheard-of': no price is known of it" in refused.json()["error"]["message"]


async def test_a_provider_that_answers_at_more_length_than_asked_is_charged_in_full(
    serve: Serve, provider: FakeProvider
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 100_000, "total_tokens": 100_010}
    provider.models["tuned"] = says(completion(model="tuned", usage=usage))
    gateway = await kept(serve, {"total_usd": 0.1})
    assert (await gateway.chat(max_tokens=10)).status_code == 200
    assert (await settled(gateway)).total_spent == 10_000 + 200_000_000
    assert await metric(gateway, "gateway_budget_overruns_total") == 1
    assert (await gateway.chat(max_tokens=10)).status_code == 429


async def test_a_request_that_fails_gives_back_what_was_set_aside(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = provider.models["base"] = refuses(400, "no such thing")
    gateway = await kept(serve, {"total_usd": 1})
    assert (await gateway.chat(max_tokens=10)).status_code == 400
    now = await settled(gateway)
    assert (now.total_spent, now.total_held) == (0, 0)


async def test_a_caller_who_leaves_is_charged_what_its_row_says(serve: Serve, provider: FakeProvider) -> None:
    provider.models["tuned"] = hangs
    gateway = await kept(serve, {"total_usd": 1})
    asking = asyncio.create_task(gateway.chat(max_tokens=10))
    await eventually(lambda: provider.chats(), "it was sent")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    (row,) = await gateway.rows(1)
    assert (await settled(gateway)).total_spent == row.cost_nanousd > 0


async def test_keys_without_a_budget_cost_no_row(serve: Serve, provider: FakeProvider) -> None:
    gateway = await kept(serve, {"total_usd": 1})
    gateway.client.headers["authorization"] = "Bearer free"
    assert (await gateway.chat()).status_code == 200
    (row,) = await gateway.rows(1)
    assert row.hold_id is None
    assert spend(gateway) is None
