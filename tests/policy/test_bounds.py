"""No answer costs more than was said beforehand, by whatever price, part and tier it is billed."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.bounds import most_input_tokens, most_nanousd, open_ended, refers_to_more
from gateway.policy.pricing import LongContext, PartRates, Price, Rates, Usage, cost_nanousd
from gateway.sandbox.tokens import split_tokens

RATES = st.decimals(0, 10**6, places=3)
MAYBE = st.none() | RATES
PARTS = st.none() | st.builds(
    PartRates,
    reasoning=MAYBE,
    input_audio=MAYBE,
    cached_audio=MAYBE,
    output_audio=MAYBE,
    input_image=MAYBE,
    cached_image=MAYBE,
    output_image=MAYBE,
    hour_write=MAYBE,
)
PLAIN = st.builds(Rates, RATES, RATES, RATES, cache_write=MAYBE, parts=PARTS)
LONG = st.none() | st.builds(LongContext, st.integers(0, 1000), PLAIN)
SETS = st.builds(lambda rates, above: replace(rates, above=above), PLAIN, LONG)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    own = draw(SETS)
    tiers = draw(st.dictionaries(st.sampled_from(("flex", "priority", "batch")), SETS, max_size=3))
    return Price(
        own.input,
        own.cached_input,
        own.output,
        version="test",
        source="test",
        cache_write=own.cache_write,
        parts=own.parts,
        above=own.above,
        tiers=tiers,
    )


@st.composite
def usages(draw: st.DrawFn, input_tokens: int, output_tokens: int) -> Usage:
    """Return what a provider may count within a bound, its parts never larger than their whole."""

    def up_to(most: int) -> int:
        return draw(st.integers(0, most))

    put_in, out = up_to(input_tokens), up_to(output_tokens)
    cached = up_to(put_in)
    written = up_to(put_in - cached)
    sound = up_to(put_in)
    pictures = up_to(put_in - sound)
    cached_sound = up_to(min(sound, cached))
    spoken = up_to(out)
    return Usage(
        put_in,
        cached,
        written,
        out,
        up_to(out),
        sound,
        spoken,
        pictures,
        up_to(out - spoken),
        cached_sound,
        up_to(min(pictures, cached - cached_sound)),
        up_to(written),
    )


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_usage_within_the_bound_costs_more_by_any_price(data: st.DataObject) -> None:
    possible = data.draw(st.lists(prices(), min_size=1, max_size=3))
    input_tokens, output_tokens = data.draw(st.integers(0, 2000)), data.draw(st.integers(0, 2000))
    usage = data.draw(usages(input_tokens, output_tokens))
    price = data.draw(st.sampled_from(possible))
    tier = data.draw(st.none() | st.sampled_from(("flex", "priority", "batch", "unheard-of")))
    assert cost_nanousd(price, usage, tier) <= most_nanousd(possible, input_tokens, output_tokens)


def test_a_long_contexts_rates_count_only_where_it_can_be_reached() -> None:
    price = Price(
        Decimal(1),
        Decimal(1),
        Decimal(1),
        version="v",
        source="s",
        above=LongContext(100, Rates(Decimal(5), Decimal(5), Decimal(5))),
    )
    assert most_nanousd([price], 100, 10) == 110
    assert most_nanousd([price], 101, 10) == 555


def test_a_fraction_is_rounded_up() -> None:
    price = Price(Decimal("0.1"), Decimal("0.1"), Decimal("0.4"), version="v", source="s")
    assert most_nanousd([price], 1, 1) == 1
    assert most_nanousd([], 1, 1) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=200), min_size=1, max_size=8))
def test_no_text_is_more_tokens_than_bytes(texts: list[str]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}
    counted = sum(len(split_tokens(text)) for text in texts) + 4 * len(texts) + 3
    assert counted <= most_input_tokens(body, len(orjson.dumps(body)))


def test_tools_and_messages_add_what_templates_put_around_them() -> None:
    one, two = {"messages": [{}]}, {"messages": [{}, {}]}
    assert most_input_tokens(two, 100) > most_input_tokens(one, 100) > 600
    assert most_input_tokens(one | {"tools": [{}]}, 100) >= most_input_tokens(one, 100) + 735


def said(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": each} | fields for each in content]}


CHAT, RESPONSES = "chat_completions", "responses"


@pytest.mark.parametrize(
    ("endpoint", "body", "refers"),
    [
        (CHAT, said("text", None, [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]), False),
        (CHAT, said("text", tool_calls=[{"function": {"arguments": "{}"}}], audio=None), False),
        (CHAT, said([{"type": "image_url", "image_url": {"url": "data:"}}]), True),
        (CHAT, said([{"type": "input_audio", "input_audio": {}}]), True),
        (CHAT, said([{"type": "audio_url", "audio_url": {}}]), True),
        (CHAT, said([{"type": "something new"}]), True),
        (CHAT, said([{"type": "text", "text": "a", "image_url": "b"}]), True),
        (CHAT, said([["nested"]]), True),
        (CHAT, said({"type": "image_url"}), True),
        (CHAT, said(17), True),
        (CHAT, said("text", audio={"id": "a"}), True),
        (CHAT, said("text", images=["a"]), True),
        (RESPONSES, {"input": "text", "instructions": "more"}, False),
        (RESPONSES, {}, False),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}, "b"]}, False),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c", "output": "d"}]}, False),
        (RESPONSES, {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]}, True),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "i"}]}, True),
        (RESPONSES, {"input": [{"id": "i"}]}, True),
        (RESPONSES, {"input": [{"id": "i", "role": "user", "content": "a"}]}, False),
        (RESPONSES, {"input": [{"type": "reasoning", "id": "r", "summary": []}]}, True),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, True),
        (RESPONSES, {"input": "a", "previous_response_id": "p"}, True),
        (RESPONSES, {"input": "a", "conversation": "c"}, True),
        (RESPONSES, {"input": "a", "prompt": {"id": "p"}}, True),
        (RESPONSES, {"input": [{"type": ["message"]}]}, True),
        ("embeddings", {"input": ["a", [1, 2], 3]}, False),
        ("embeddings", {"input": [{"image": "a"}]}, True),
        ("completions", {"prompt": "a"}, False),
    ],
)
def test_what_is_not_in_the_request_is_seen(endpoint: str, body: dict[str, Any], refers: bool) -> None:
    assert refers_to_more(body, endpoint) is refers


@pytest.mark.parametrize(
    ("endpoint", "body", "field"),
    [
        (CHAT, {"model": "m", "messages": [], "n": 2, "temperature": 1, "tools": [{"type": "function"}]}, None),
        (CHAT, {"messages": [], "web_search_options": None, "anything": None}, None),
        (CHAT, {"messages": [], "web_search_options": {}}, "web_search_options"),
        (CHAT, {"messages": [], "models": ["dear"]}, "models"),
        (CHAT, {"messages": [], "n_predict": 10}, "n_predict"),
        (CHAT, {"messages": [], "tools": [{"type": "web_search"}]}, "tools"),
        (CHAT, {"messages": [], "tools": [{"type": "function"}, "x"]}, "tools"),
        (CHAT, {"messages": [], "skip_special_tokens": False, "mirostat": 2, "regex": "a", "top_k": 5}, None),
        (CHAT, {"messages": [], "chat_template": "{{ 'x' * 10**9 }}"}, "chat_template"),
        (CHAT, {"messages": [], "chat_template_kwargs": {"enable_thinking": False}}, None),
        (CHAT, {"messages": [], "chat_template_kwargs": {"chat_template": "x"}}, "chat_template_kwargs"),
        (CHAT, {"messages": [], "modalities": ["text", "audio"]}, None),
        (CHAT, {"messages": [], "modalities": ["image"]}, "modalities"),
        (CHAT, {"messages": [], "modalities": [["text"]]}, "modalities"),
        (RESPONSES, {"input": "a", "background": False, "max_output_tokens": 5}, None),
        (RESPONSES, {"input": "a", "background": True}, "background"),
        (RESPONSES, {"input": "a", "context_management": []}, "context_management"),
        ("completions", {"prompt": "a", "suffix": "b", "echo": True, "best_of": 3}, None),
        ("completions", {"prompt": "a", "num_predict": -1}, "num_predict"),
        ("completions", {"prompt": "a", "repeat_penalty": 1.1, "allowed_token_ids": [1]}, None),
        ("embeddings", {"input": "a", "dimensions": 3, "anything": 1}, None),
    ],
)
def test_fields_that_open_the_end_are_named(endpoint: str, body: dict[str, Any], field: str | None) -> None:
    assert open_ended(body, endpoint) == field
