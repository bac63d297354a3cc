from dataclasses import replace

import pytest

from gateway.learning.packs.budget import fit, request_cost
from gateway.learning.packs.tokens import counted_by, tokens_of, tokens_of_text
from gateway.policy.pricing import Price


@pytest.mark.parametrize(
    ("budget", "fixed", "similar", "expected"),
    [
        (1000, 3, 2, ((0, 1, 2), 90)),
        (200, 3, 2, ((0,), 90)),  # the second does not fit beside the similar ones, the third neither
        (245, 3, 2, ((0, 2), 90)),  # the second is too long, the third is not
        (120, 3, 2, ((), 90)),
        (60, 3, 2, ((), 50)),
        (1000, 3, 0, ((0, 1, 2), 0)),
        (1000, 9, 2, ((0, 1, 2, 3, 4), 0)),
    ],
    ids=["enough", "room for one", "one is too long", "none", "less for similar", "no similar", "no pool"],
)
def test_the_fixed_block_is_shortened_to_its_budget(
    budget: int, fixed: int, similar: int, expected: tuple[tuple[int, ...], int]
) -> None:
    fitted = fit(budget, 10, [60, 500, 80, 45, 45], fixed, similar, None)
    assert (fitted.fixed, fitted.similar_tokens) == expected


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("hello world", 2), ("<|endoftext|>", 7), (" " * 1_000_000, None), ("x" * 300_000, None), ("", 0)],
    ids=["words", "a control token is text", "a million spaces", "one long word", "nothing"],
)
def test_tokens_of_any_text_are_counted_offline(text: str, tokens: int | None) -> None:
    counted = tokens_of_text(text)
    assert counted == tokens if tokens is not None else 0 < counted < len(text)
    assert counted_by().startswith("tiktoken o200k_base")


def test_tokens_of_messages_count_calls_parts_and_what_surrounds_them() -> None:
    call = {"id": "call_1", "function": {"name": "hello", "arguments": "world"}}
    assert tokens_of([{"role": "user", "content": "hello"}]) == 5
    assert tokens_of([{"role": "assistant", "content": None, "tool_calls": [call]}]) == 6
    picture = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": "data:" + "x" * 9999}}]
    assert tokens_of([{"role": "user", "content": picture}]) == 1_005


@pytest.mark.parametrize(
    ("prefix", "cold", "warm"), [(1000, 12_000, 12_000), (2000, 22_000, 4_000)], ids=["too short to cache", "cached"]
)
def test_a_warm_request_pays_the_cached_price_for_its_prefix(prefix: int, cold: int, warm: int) -> None:
    price = Price(input=10, cached_input=1, output=20, version="v", source="s")  # type: ignore[arg-type]
    cost = request_cost(price, prefix, 100, 50)
    assert (cost.cold, cost.warm) == (cold, warm)
    written = request_cost(replace(price, cache_write=12), prefix, 100, 50)  # type: ignore[arg-type]
    assert written.cold == cold + (2 * prefix if prefix > 1_024 else 0)
