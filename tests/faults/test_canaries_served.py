"""A version answers a share of conversations, then all of them, then none: and no caller pays for its failures."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from fake_provider import USAGE, FakeProvider, chunk, completion, hangs, in_turn, refuses, reply, says, streams, writes
from promotions_made import a_promotion, begun, ended, grown, promotions_of, rolled_back
from served_gateway import USER, Serve, ServedGateway, eventually, read_rows

from gateway.policy.patience import FLOOR_S
from gateway.policy.promotion import Ending, PromotionState
from gateway.store.database import Database
from gateway.store.states import StateStore

MODELS = ("x-gateway-model", "x-gateway-reason", "x-gateway-served-by")


async def who(gateway: ServedGateway, user: str, model: str = "reply", **body: Any) -> tuple[str, ...]:
    """Which model answers a conversation, why, and as what."""
    answer = await gateway.chat(model, user=user, **body)
    assert answer.status_code == 200, answer.text
    return tuple(answer.headers[name] for name in MODELS)


async def answers(gateway: ServedGateway, users: int) -> dict[str, str]:
    """The model that answers each of many conversations."""
    found = {}
    for start in range(0, users, 50):
        names = [f"user-{number}" for number in range(start, min(start + 50, users))]
        for name, answer in zip(names, await asyncio.gather(*(who(gateway, name) for name in names)), strict=True):
            found[name] = answer[0]
    return found


async def a_user_of(gateway: ServedGateway, model: str) -> str:
    """Somebody whose conversation this model answers."""
    for number in range(1000):
        if (await who(gateway, f"user-{number}"))[0] == model:
            return f"user-{number}"
    raise AssertionError(f"nobody is answered by {model}")


@pytest.mark.rig
async def test_a_share_of_conversations_is_the_canarys_and_a_rising_share_moves_none_back(serve: Serve) -> None:
    gateway = await serve()
    assert set((await answers(gateway, 50)).values()) == {"tuned"}
    promotion = await begun(gateway, share=0.05)
    few = await answers(gateway, 400)
    assert 5 <= Counter(few.values())["next"] <= 38  # 20 expected; 99.9 % lie here
    await grown(gateway, promotion, state=PromotionState.CANARY, share=0.3)
    more = await answers(gateway, 400)
    assert 88 <= Counter(more.values())["next"] <= 152
    assert all(more[name] == "next" for name, model in few.items() if model == "next")
    assert await answers(gateway, 400) == more, "every conversation stays where it is"


async def test_headers_and_rows_say_that_a_canary_answered(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    await begun(gateway, share=0.5)
    user = await a_user_of(gateway, "next")
    before = len(provider.chats())
    assert await who(gateway, user) == ("next", "canary", "primary")
    row = (await gateway.rows_of_callers(before + 1))[-1]
    assert (row.target, row.role, row.reason, row.provider, row.model_asked) == (
        "canary",
        "primary",
        "canary",
        "first",
        "next",
    )
    assert not row.pinned


async def test_a_new_version_serves_everybody_and_a_rollback_restores_the_primary(serve: Serve) -> None:
    gateway = await serve()
    promotion = await begun(gateway, share=0.2)
    await grown(gateway, promotion, state=PromotionState.SERVING, share=1.0)
    assert set((await answers(gateway, 40)).values()) == {"next"}
    assert await who(gateway, "user-1") == ("next", "primary", "primary")
    await rolled_back(gateway, promotion)
    assert set((await answers(gateway, 40)).values()) == {"tuned"}


async def test_after_a_restart_the_first_request_is_the_versions(serve: Serve) -> None:
    first = await serve()
    await begun(first, state=PromotionState.SERVING, share=1.0)
    again = await serve(after=first)
    assert (await who(again, "a"))[0] == "next"


FAILING = [
    pytest.param(refuses(400, "Unknown parameter: 'x'."), id="a refusal that would be the caller's own"),
    pytest.param(refuses(500, "oops"), id="a failure of the provider's"),
    pytest.param(refuses(429, "slow down", headers={"retry-after": "30"}), id="a rate limit"),
    pytest.param(refuses(404, "The model `next` does not exist", "model_not_found"), id="a model that is gone"),
    pytest.param(refuses(400, "maximum context length exceeded", "context_length_exceeded"), id="too long for it"),
    pytest.param(refuses(401, "Incorrect API key provided"), id="a key that is refused"),
]


@pytest.mark.parametrize("fallback_on", [None, []], ids=["with fallbacks", "of a route that would rather fail"])
@pytest.mark.parametrize("script", FAILING)
async def test_a_canary_that_fails_costs_its_caller_nothing(
    serve: Serve, provider: FakeProvider, script: Any, fallback_on: list[str] | None
) -> None:
    gateway = await serve({"fallback_on": fallback_on} if fallback_on is not None else None)
    await begun(gateway, share=0.5)
    user = await a_user_of(gateway, "next")
    provider.models["next"] = script
    answer = await gateway.chat(user=user)
    assert answer.status_code == 200
    assert tuple(answer.headers[name] for name in MODELS) == ("tuned", "primary", "primary")
    assert answer.headers["x-gateway-attempts"] == "2"
    # It is no trouble of the route's: nobody else than intended answered.
    assert await gateway.metric("gateway_route_answers_total", route="reply", intended="false") == 0
    assert await gateway.metric("gateway_fallbacks_total", route="reply") == 0


async def test_a_canary_that_hangs_is_given_up_and_the_stream_comes_from_the_incumbent(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve({"timeouts": {"total_s": 5, "first_token_s": 0.2, "idle_s": 5}})
    await begun(gateway, share=0.5)
    user = await a_user_of(gateway, "next")
    provider.models["next"] = hangs
    provider.models["tuned"] = streams(
        chunk("On its way.", model="tuned"),
        chunk(finish="stop", model="tuned"),
        chunk(model="tuned", choices=[], usage=USAGE),
    )
    streamed = await gateway.stream(user=user)
    assert (streamed.text, streamed.headers["x-gateway-model"]) == ("On its way.", "tuned")


@pytest.mark.rig
async def test_whole_answers_wait_for_a_canary_as_long_as_the_primary_makes_reasonable(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve({"timeouts": {"total_s": 600}})
    assert set((await answers(gateway, 100)).values()) == {"tuned"}
    await begun(gateway, share=0.5)
    user = await a_user_of(gateway, "next")
    # Some never say a word, others stop in the middle of what they say.
    half = reply(completion(model="next"))[:-20]
    provider.models["next"] = in_turn(hangs, writes(half, then="stall"), hangs, writes(half, then="stall"))

    async def ask() -> tuple[int, str, float]:
        body, began = {"model": "reply", "messages": USER, "user": user}, time.monotonic()
        answer = await gateway.client.post("/v1/chat/completions", json=body, timeout=60)
        return answer.status_code, answer.headers["x-gateway-model"], time.monotonic() - began

    # What the first ones waited for is in the same metrics, and must not allow the next one more.
    for status, model, took_s in (*await asyncio.gather(*(ask() for _ in range(4))), await ask()):
        assert (status, model) == (200, "tuned")
        assert FLOOR_S <= took_s < 2 * FLOOR_S
    assert (await who(gateway, user))[:2] == ("tuned", "primary"), "five in a row have opened its circuit"

    async def kept() -> list[Any] | None:
        gateway.clock.advance(0.25)
        rows = [row for row in read_rows(gateway.database) if row.failure]
        return rows if len(rows) == 5 else None

    rows = await eventually(kept, "the ledger has five failures")
    assert {(row.target, row.outcome, row.failure) for row in rows} == {("canary", "failed", "timeout")}


async def test_pins_and_commands_outrank_a_canary(serve: Serve) -> None:
    gateway = await serve()
    await begun(gateway, share=0.5)
    user = await a_user_of(gateway, "next")
    today = gateway.clock.now().date().isoformat()
    assert (await who(gateway, user, "reply@primary"))[0] == "tuned"
    assert (await who(gateway, user, f"reply@{today}"))[0] == "tuned"
    assert await who(gateway, "anybody", "reply@canary") == ("next", "pinned", "primary")
    refused = await gateway.chat("reply@2nd")
    assert "primary, base, canary" in refused.json()["error"]["message"]


async def test_a_canary_is_no_fallback(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve({"fallbacks": []})
    await begun(gateway, share=0.5)
    user = await a_user_of(gateway, "tuned")
    provider.models["tuned"] = refuses(500, "oops")
    assert (await gateway.chat(user=user)).status_code >= 500
    assert (await who(gateway, await a_user_of(gateway, "next")))[1] == "canary"


async def test_a_canary_that_lacks_what_is_asked_is_passed_over(serve: Serve) -> None:
    gateway = await serve(more_sections={"capabilities": {"first": {"next": {"lacks": ["tools"], "source": "a test"}}}})
    await begun(gateway, share=0.5)
    user = await a_user_of(gateway, "next")
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    assert (await who(gateway, user, tools=tools))[:2] == ("tuned", "primary")


async def test_an_expired_promotion_ends_by_itself_and_is_told(serve: Serve) -> None:
    gateway = await serve()
    now = gateway.clock.now()
    await begun(gateway, state=PromotionState.SERVING, share=1.0, expires_at=now + timedelta(minutes=5))
    assert (await who(gateway, "a"))[0] == "next"
    gateway.clock.advance(301)
    await ended(gateway, Ending.EXPIRED)
    assert (await who(gateway, "a"))[0] == "tuned"
    database = await Database.open(f"sqlite:///{gateway.database}")
    told = await StateStore(database, "").events()
    await database.close()
    assert [event.text for event in told] == ["the promotion v2 (next) of reply has expired: tuned answers"]
    assert (told[0].from_target, told[0].to_target) == ("next", "tuned")
    assert await gateway.metric("gateway_promotions_ended_total", route="reply", because="expired") == 1


async def test_a_canary_whose_model_is_gone_is_over(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    await begun(gateway, share=0.5)
    user = await a_user_of(gateway, "next")
    provider.models["next"] = refuses(404, "The model `next` does not exist", "model_not_found")
    assert (await who(gateway, user))[0] == "tuned"
    await ended(gateway, Ending.GONE)


async def test_what_routes_yaml_names_itself_is_not_promoted_any_more(serve: Serve) -> None:
    gateway = await serve({"primary": "next"})
    promotion = await begun_unfollowed(gateway, state=PromotionState.SERVING, share=1.0)
    await ended(gateway, Ending.IN_ROUTES)
    assert (await who(gateway, "a"))[0] == "next"
    assert promotion.model == "next"


async def test_a_promotion_over_another_primary_than_routes_yaml_names_holds_nowhere(serve: Serve) -> None:
    gateway = await serve({"primary": "third"})
    await begun_unfollowed(gateway, state=PromotionState.SERVING, share=1.0)
    await ended(gateway, Ending.SUPERSEDED)
    assert (await who(gateway, "a"))[0] == "third"


async def begun_unfollowed(gateway: ServedGateway, **fields: Any) -> Any:
    promotion = a_promotion(gateway, **fields)
    async with promotions_of(gateway) as store:
        assert await store.begin(promotion)
    return promotion


async def test_a_promotion_to_a_provider_that_is_not_configured_is_ignored(serve: Serve) -> None:
    gateway = await serve()
    await begun_unfollowed(gateway, provider="elsewhere", state=PromotionState.SERVING, share=1.0)
    gateway.clock.advance(2)
    for _ in range(3):
        gateway.clock.advance(1)
        assert (await who(gateway, "a"))[0] == "tuned"
    assert await gateway.metric("gateway_promotion_expires_timestamp_seconds", route="reply") == 0


@pytest.mark.rig
async def test_evidence_stops_a_canary_that_fails_more_often(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    await begun(gateway, share=0.5, margin=0.2)
    failing = iter(range(10**6))
    ok, broken = says(completion(model="next")), refuses(400, "It would rather not.")

    async def by_turns(*args: Any) -> None:
        await (broken if next(failing) % 2 else ok)(*args)

    provider.models["next"] = by_turns
    for start in range(0, 400, 50):
        asked = await asyncio.gather(*(gateway.chat(user=f"user-{start + n}") for n in range(50)))
        assert {answer.status_code for answer in asked} == {200}

    await ended(gateway, Ending.EVIDENCE)
    database = await Database.open(f"sqlite:///{gateway.database}")
    (told, *_) = await StateStore(database, "").events()
    await database.close()
    assert told.text.startswith("the canary v2 (next) of reply was stopped, for it is worse than tuned: answers that ")
    assert set((await answers(gateway, 40)).values()) == {"tuned"}


async def test_live_system_messages_are_compared_with_those_of_the_training(serve: Serve) -> None:
    prompt = {"instructions": "Answer kindly.", "trained_system": ["You are a clerk."]}
    gateway = await serve(base={"prompt": prompt})
    trained = [{"role": "system", "content": "You  are a\nclerk."}, {"role": "user", "content": "Hi"}]
    others = [{"role": "system", "content": "You are a poet."}, {"role": "user", "content": "Hi"}]

    async def ask(messages: list[dict[str, str]]) -> None:
        for _ in range(4):
            await asyncio.gather(*(gateway.chat(messages=messages) for _ in range(40)))

    async def counted(word: str) -> float:
        return await gateway.metric("gateway_system_prompts_total", route="reply", trained=word)

    await ask(trained)
    assert (await counted("yes") > 0, await counted("no")) == (True, 0)
    await ask(others)
    seen = await counted("no")
    assert seen > 0
    await ask([{"role": "user", "content": "Hi"}])
    assert await counted("no") > seen, "the training had one, and these have none"
