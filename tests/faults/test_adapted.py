"""What arrives at a target that takes less than the primary, and who is not asked at all."""

from typing import Any

import pytest
from fake_provider import FakeProvider, refuses
from served_gateway import USER, Serve

GONE = refuses(404, "The model `tuned` does not exist", "model_not_found")
SEEN = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
LONG_ID = "call_" + "x" * 59


def called(id_: str) -> list[dict[str, Any]]:
    """A conversation in which a tool was called."""
    call = {"id": id_, "type": "function", "function": {"name": "find", "arguments": "{}"}}
    return [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Let me look."},
        {"role": "tool", "tool_call_id": id_, "content": "On its way."},
    ]


def account(provider: FakeProvider, kind: str) -> dict[str, str]:
    # The scripted provider is no sandbox: vendors' own hosts have no port of ours, so each kind is told where it lives.
    return {"kind": kind, "base_url": provider.base_url, "api_key_env": "KEY"}


async def test_the_fallbacks_model_gets_only_what_it_takes_and_the_caller_is_told(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve(
        {"fallbacks": ["luna"]},
        more_providers={"third": account(provider, "openai")},
        more_fallbacks={"luna": {"provider": "third", "model": "gpt-6-luna"}},
        environ={"KEY": "sk-1"},
    )
    provider.models["tuned"] = GONE
    answer = await gateway.chat(messages=called(LONG_ID), max_tokens=9, temperature=0.2, top_k=4, seed=1)
    assert answer.status_code == 200
    asked = provider.chats()[-1].json
    assert asked.keys() == {"model", "messages", "max_completion_tokens", "seed"}
    _, assistant, result = asked["messages"]
    assert "reasoning_content" not in assistant
    assert result["tool_call_id"] == assistant["tool_calls"][0]["id"] != LONG_ID
    assert len(result["tool_call_id"]) <= 40
    told = answer.headers["x-gateway-adapted"].split(", ")
    assert sorted(told) == ["max_tokens", "reasoning", "temperature", "tool_call_id", "top_k"]
    for parameter in told:
        assert await gateway.metric("gateway_adaptations_total", route="reply", parameter=parameter) == 1


async def test_the_primary_gets_back_the_ids_that_it_made(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    answer = await gateway.chat(messages=called(LONG_ID))
    assert "x-gateway-adapted" not in answer.headers
    assert provider.chats()[-1].json["messages"] == called(LONG_ID)


async def test_a_target_that_cannot_see_is_passed_over_for_one_that_can(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(
        {"fallbacks": ["blind", "base"]},
        more_providers={"third": account(provider, "deepseek")},
        more_fallbacks={"blind": {"provider": "third", "model": "deepseek-chat"}},
        environ={"KEY": "sk-1"},
    )
    provider.models["tuned"] = GONE
    answer = await gateway.chat(messages=SEEN)
    assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, "base")
    assert [call.json["model"] for call in provider.chats()] == ["tuned", "base"]
    assert (await gateway.chat()).headers["x-gateway-model"] == "deepseek-chat"


@pytest.mark.parametrize(
    ("asked", "lacked"),
    [
        pytest.param({"messages": SEEN}, "takes no image", id="an image"),
        pytest.param({"n": 2}, "takes no many_choices", id="several answers"),
        pytest.param({"logit_bias": {"5": 1}}, "tokenizer", id="a bias by another tokenizer's ids"),
    ],
)
async def test_what_nobody_can_do_is_refused_before_anything_is_sent(
    asked: dict[str, Any], lacked: str, serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve(
        {"primary": None, "fallbacks": ["blind"]} if "logit_bias" not in asked else {"fallbacks": ["blind"]},
        more_providers={"third": account(provider, "deepseek")},
        more_fallbacks={"blind": {"provider": "third", "model": "deepseek-chat"}},
        environ={"KEY": "sk-1"},
    )
    pinned = "reply@blind" if "logit_bias" in asked else "reply"
    answer = await gateway.chat(pinned, **asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "unsupported_by_targets")
    assert lacked in error["message"]
    assert provider.chats() == []


async def test_what_the_operator_knows_outranks_the_table(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve(
        {"fallbacks": ["luna"], "primary": None},
        more_providers={"third": account(provider, "openai")},
        more_fallbacks={"luna": {"provider": "third", "model": "gpt-6-luna"}},
        more_sections={"capabilities": {"third": {"gpt-6-luna": {"takes": ["temperature"], "source": "tried"}}}},
        environ={"KEY": "sk-1"},
    )
    answer = await gateway.chat(temperature=0.2, top_p=0.5)
    assert answer.headers["x-gateway-adapted"] == "top_p"
    assert provider.chats()[-1].json["temperature"] == 0.2
