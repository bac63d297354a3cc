"""A prompt too long for one model goes to one that is known to take more, and to no other."""

from typing import Any

import pytest
from fake_provider import FakeProvider, refuses
from served_gateway import Serve

TOO_LONG = refuses(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded")
KEY = {"KEY": "secret"}


async def answer_to_a_long_prompt(
    serve: Serve, provider: FakeProvider, primary: str, *fallbacks: str, kind: str = "openai", **route: Any
) -> Any:
    provider.models[primary] = TOO_LONG
    account = {"kind": kind, "base_url": provider.base_url, "api_key_env": "KEY"}
    gateway = await serve(
        {"provider": "known", "primary": primary, "fallbacks": list(fallbacks), **route},
        more_fallbacks={model: {"provider": "known", "model": model} for model in fallbacks},
        more_providers={"known": account},
        environ=KEY,
    )
    return await gateway.chat()


async def test_a_larger_window_answers(serve: Serve, provider: FakeProvider) -> None:
    answer = await answer_to_a_long_prompt(serve, provider, "gpt-4o", "gpt-4.1")
    assert answer.status_code == 200
    assert answer.headers["x-gateway-model"] == "gpt-4.1"
    assert answer.headers["x-gateway-reason"] == "lacks_capability"


async def test_windows_that_are_no_larger_are_passed_over(serve: Serve, provider: FakeProvider) -> None:
    answer = await answer_to_a_long_prompt(serve, provider, "gpt-4o", "gpt-4", "gpt-4o-mini", "gpt-4.1")
    assert answer.headers["x-gateway-model"] == "gpt-4.1"
    assert not provider.chats("gpt-4")
    assert not provider.chats("gpt-4o-mini")


@pytest.mark.parametrize(
    ("primary", "fallback", "kind", "route"),
    [
        pytest.param("gpt-4.1", "gpt-4", "openai", {}, id="a smaller window"),
        pytest.param("gpt-4", "nobody-knows", "openai", {}, id="a window that nobody knows"),
        pytest.param("gpt-4", "gpt-4o", "vllm", {}, id="a server whose windows nobody knows"),
        pytest.param("gpt-4", "gpt-4o", "openai", {"fallback_on": []}, id="a route that would rather fail"),
    ],
)
async def test_otherwise_the_callers_error_passes(
    serve: Serve, provider: FakeProvider, primary: str, fallback: str, kind: str, route: dict[str, Any]
) -> None:
    answer = await answer_to_a_long_prompt(serve, provider, primary, fallback, kind=kind, **route)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert not provider.chats(fallback)
