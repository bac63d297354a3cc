"""Parts of the tokens with prices of their own, service tiers, long contexts, and what is priced by the piece."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policy.amounts import MAX_SECONDS, seconds_of
from gateway.policy.pricing import (
    AbsurdUsage,
    LongContext,
    PartRates,
    Price,
    Rates,
    Usage,
    checked_usage,
    cost_nanousd,
    rates_of,
    read_usage,
)

PARTS = PartRates(
    reasoning=Decimal(700),
    input_audio=Decimal(1000),
    cached_audio=Decimal(300),
    output_audio=Decimal(2000),
    input_image=Decimal(150),
    output_image=Decimal(4000),
    hour_write=Decimal(200),
)
PRICE = Price(
    Decimal(100),
    Decimal(10),
    Decimal(500),
    version="test-1",
    source="a test",
    cache_write=Decimal(125),
    parts=PARTS,
    above=LongContext(1000, Rates(Decimal(200), Decimal(20), Decimal(750))),
    tiers={
        "flex": Rates(Decimal(50), Decimal(5), Decimal(250)),
        "priority": Rates(
            Decimal(200),
            Decimal(20),
            Decimal(900),
            above=LongContext(1000, Rates(Decimal(400), Decimal(40), Decimal(1))),
        ),
    },
)


@pytest.mark.parametrize(
    ("usage", "tier", "nanousd"),
    [
        pytest.param(Usage(100, output_tokens=10), None, 15_000, id="plain tokens cost what they did"),
        pytest.param(Usage(100, output_tokens=10, reasoning_tokens=4), None, 10_000 + 3_000 + 2_800, id="reasoning"),
        pytest.param(Usage(100, input_audio_tokens=60), None, 4_000 + 60_000, id="sound that goes in"),
        pytest.param(
            Usage(100, 50, input_audio_tokens=60, cached_audio_tokens=20),
            None,
            (100 - 60 - 30) * 100 + 30 * 10 + 40 * 1000 + 20 * 300,
            id="sound of which the provider says what was cached",
        ),
        pytest.param(
            Usage(100, 50, input_audio_tokens=60),
            None,
            50 * 10 + 50 * 1000,
            id="of which it does not: text was cached as far as there was text",
        ),
        pytest.param(
            Usage(0, output_tokens=100, output_audio_tokens=80), None, 20 * 500 + 80 * 2000, id="sound that comes out"
        ),
        pytest.param(
            Usage(300, output_tokens=1000, input_image_tokens=200, output_image_tokens=900),
            None,
            100 * 100 + 200 * 150 + 100 * 500 + 900 * 4000,
            id="pictures, both ways",
        ),
        pytest.param(
            Usage(100, 40, input_image_tokens=40, cached_image_tokens=40),
            None,
            60 * 100 + 40 * 150,
            id="cached pictures without a price of their own cost what other pictures do",
        ),
        pytest.param(
            Usage(100, cache_write_tokens=30, hour_write_tokens=10),
            None,
            70 * 100 + 20 * 125 + 10 * 200,
            id="what is kept for an hour costs more than what is kept for five minutes",
        ),
        pytest.param(Usage(100, 40, output_tokens=10), "flex", 60 * 50 + 40 * 5 + 10 * 250, id="flex"),
        pytest.param(Usage(100, output_tokens=10), "priority", 20_000 + 9_000, id="priority"),
        pytest.param(Usage(100, output_tokens=10), "default", 15_000, id="the standard tier by its name"),
        pytest.param(Usage(100, output_tokens=10), "scale", 15_000, id="a tier that nobody prices"),
        pytest.param(Usage(1000, output_tokens=10), None, 105_000, id="at the threshold"),
        pytest.param(
            Usage(1001, 900, output_tokens=10),
            None,
            101 * 200 + 900 * 20 + 10 * 750,
            id="above it the whole request costs more, and cached input counts for it",
        ),
        pytest.param(Usage(1001, output_tokens=10), "priority", 400_410, id="above it, in a tier that has its own"),
        pytest.param(Usage(1001, output_tokens=10), "flex", 1001 * 50 + 2_500, id="in one that has no threshold"),
    ],
)
def test_what_a_part_costs(usage: Usage, tier: str | None, nanousd: int) -> None:
    assert cost_nanousd(PRICE, usage, tier) == nanousd


def test_rates_are_those_of_the_length_and_the_tier() -> None:
    assert rates_of(PRICE, 1000) is PRICE
    assert rates_of(PRICE, 1001).output == 750
    assert rates_of(PRICE, 1001, "priority").input == 400
    assert rates_of(PRICE, 5, "flex").input == 50


RATE = st.decimals(0, 10**5, places=4)
MAYBE = st.none() | RATE
COUNT = st.integers(0, 10**8)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    parts = PartRates(**{name: draw(MAYBE) for name in PartRates.__dataclass_fields__})
    return Price(
        draw(RATE),
        draw(RATE),
        draw(RATE),
        "v",
        "s",
        cache_write=draw(MAYBE),
        parts=draw(st.sampled_from((None, parts))),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Tokens by disjoint kinds, added up to what a provider would count."""
    text, cached, written, hour, sound, cached_sound, picture, cached_picture = (draw(COUNT) for _ in range(8))
    said, thought, spoken, drawn = (draw(COUNT) for _ in range(4))
    return Usage(
        text + cached + written + hour + sound + cached_sound + picture + cached_picture,
        cached + cached_sound + cached_picture,
        written + hour,
        said + thought + spoken + drawn,
        thought,
        sound + cached_sound,
        spoken,
        picture + cached_picture,
        drawn,
        cached_sound,
        cached_picture,
        hour,
    )


def oracle(price: Price, usage: Usage) -> Fraction:
    """Add up every kind of token by its own rate, naively."""
    parts = price.parts or PartRates()

    def rate(*given: Decimal | None) -> Fraction:
        return Fraction(next(known for known in given if known is not None))

    sound, picture = usage.input_audio_tokens, usage.input_image_tokens
    cached = usage.cached_input_tokens - usage.cached_audio_tokens - usage.cached_image_tokens
    text = usage.input_tokens - cached - usage.cache_write_tokens - sound - picture
    said = usage.output_tokens - usage.reasoning_tokens - usage.output_audio_tokens - usage.output_image_tokens
    return (
        text * rate(price.input)
        + cached * rate(price.cached_input)
        + (usage.cache_write_tokens - usage.hour_write_tokens) * rate(price.cache_write, price.input)
        + usage.hour_write_tokens * rate(parts.hour_write, price.cache_write, price.input)
        + (sound - usage.cached_audio_tokens) * rate(parts.input_audio, price.input)
        + usage.cached_audio_tokens * rate(parts.cached_audio, parts.input_audio, price.cached_input)
        + (picture - usage.cached_image_tokens) * rate(parts.input_image, price.input)
        + usage.cached_image_tokens * rate(parts.cached_image, parts.input_image, price.cached_input)
        + said * rate(price.output)
        + usage.reasoning_tokens * rate(parts.reasoning, price.output)
        + usage.output_audio_tokens * rate(parts.output_audio, price.output)
        + usage.output_image_tokens * rate(parts.output_image, price.output)
    )


@settings(max_examples=40)
@given(prices(), usages())
def test_the_cost_is_the_exact_sum_rounded_once(price: Price, usage: Usage) -> None:
    assert cost_nanousd(price, usage) == round(oracle(price, usage))


@settings(max_examples=25)
@given(prices(), usages(), usages())
def test_without_a_threshold_two_requests_cost_what_their_tokens_would_in_one(
    price: Price, one: Usage, other: Usage
) -> None:
    together = Usage(*(a + b for a, b in zip(one, other, strict=True)))
    assert oracle(price, together) == oracle(price, one) + oracle(price, other)
    apart = cost_nanousd(price, one) + cost_nanousd(price, other)
    assert abs(cost_nanousd(price, together) - apart) <= 1, "but for the two roundings"


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=8, max_size=8))
def test_parts_that_overlap_cost_no_less_than_nothing_and_no_more_than_the_dearest_rate(counts: list[int]) -> None:
    """A provider may count one token as sound and as written to the cache."""
    price = Price(Decimal(10), Decimal(1), Decimal(20), "v", "s", cache_write=Decimal(0), parts=PARTS)
    usage = Usage(30, min(counts[0], 15), min(counts[1], 15), 30, counts[2], counts[3] // 2, counts[4], counts[5] // 2)
    assert 0 <= cost_nanousd(price, usage) <= 30 * 1000 + 30 * 2000


OPENAI_AUDIO = {
    "prompt_tokens": 105,
    "completion_tokens": 132,
    "total_tokens": 237,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 88, "text_tokens": 17, "image_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 110,
        "text_tokens": 22,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
OPENAI_IMAGES = {
    "input_tokens": 50,
    "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
    "output_tokens": 1056,
    "total_tokens": 1106,
}
OPENAI_IMAGES_TOLD_APART = OPENAI_IMAGES | {"output_tokens_details": {"image_tokens": 1000, "text_tokens": 56}}
OPENAI_TRANSCRIPTION = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
    "output_tokens": 45,
    "total_tokens": 59,
}
OPENAI_RESPONSE = {
    "input_tokens": 328,
    "input_tokens_details": {"cached_tokens": 128},
    "output_tokens": 52,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 380,
}
GEMINI_BY_LITELLM = {
    "completion_tokens": 1300,
    "prompt_tokens": 1089,
    "total_tokens": 2389,
    "completion_tokens_details": {"reasoning_tokens": 10, "image_tokens": 1290, "text_tokens": None},
    "prompt_tokens_details": {"audio_tokens": 25, "cached_tokens": None, "image_tokens": 258, "text_tokens": 806},
}
CLAUDE_BY_LITELLM = {
    "completion_tokens": 5,
    "prompt_tokens": 4000,
    "total_tokens": 4005,
    "completion_tokens_details": None,
    "prompt_tokens_details": {
        "cached_tokens": 1000,
        "cache_write_tokens": 2000,
        "cache_creation_tokens": 2000,
        "cache_creation_token_details": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1500},
    },
    "cache_creation_input_tokens": 2000,
    "cache_read_input_tokens": 1000,
}
REALTIME = {
    "input_tokens": 200,
    "output_tokens": 40,
    "total_tokens": 240,
    "input_token_details": {
        "text_tokens": 120,
        "audio_tokens": 80,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 32, "audio_tokens": 32},
    },
    "output_token_details": {"text_tokens": 10, "audio_tokens": 30},
}
VLLM = {"prompt_tokens": 7, "total_tokens": 19, "completion_tokens": 12, "prompt_tokens_details": None}


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        pytest.param(
            OPENAI_AUDIO,
            Usage(105, output_tokens=132, input_audio_tokens=88, output_audio_tokens=110),
            id="a chat with sound",
        ),
        pytest.param(OPENAI_IMAGES, Usage(50, output_tokens=1056, input_image_tokens=40), id="pictures"),
        pytest.param(
            OPENAI_IMAGES_TOLD_APART,
            Usage(50, output_tokens=1056, input_image_tokens=40, output_image_tokens=1000),
            id="pictures with words beside them",
        ),
        pytest.param(OPENAI_TRANSCRIPTION, Usage(14, output_tokens=45, input_audio_tokens=14), id="a transcription"),
        pytest.param(OPENAI_RESPONSE, Usage(328, 128, 0, 52, 12), id="a response"),
        pytest.param(
            GEMINI_BY_LITELLM,
            Usage(1089, 0, 0, 1300, 10, 25, input_image_tokens=258, output_image_tokens=1290),
            id="Gemini, as litellm counts",
        ),
        pytest.param(
            CLAUDE_BY_LITELLM, Usage(4000, 1000, 2000, 5, hour_write_tokens=1500), id="Claude, as litellm counts"
        ),
        pytest.param(
            REALTIME,
            Usage(200, 64, 0, 40, 0, 80, 30, cached_audio_tokens=32),
            id="what was cached of sound, told apart",
        ),
        pytest.param(VLLM, Usage(7, output_tokens=12), id="vLLM"),
        pytest.param({"type": "duration", "seconds": 9}, None, id="seconds alone are no tokens"),
    ],
)
def test_usage_as_providers_write_it(body: object, usage: Usage | None) -> None:
    assert checked_usage(body) == usage


def _details(where: str, **details: Any) -> dict[str, Any]:
    return {"prompt_tokens": 10, "completion_tokens": 10, f"{where}_tokens_details": details}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([7], id="a list"),
        pytest.param("12", id="a text"),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 4}, id="a negative"),
        pytest.param({"prompt_tokens": 1.0, "completion_tokens": 4}, id="a float"),
        pytest.param({"prompt_tokens": 10**18, "completion_tokens": 4}, id="1e18"),
        pytest.param({"prompt_tokens": 4, "completion_tokens": "4"}, id="a number as text"),
        pytest.param({"prompt_tokens": True, "completion_tokens": 4}, id="a truth value"),
        pytest.param({"prompt_tokens": -4}, id="a negative beside a count that is missing"),
        pytest.param(_details("prompt", audio_tokens=11), id="more sound than input"),
        pytest.param(_details("prompt", audio_tokens=6, image_tokens=6), id="more sound and pictures than input"),
        pytest.param(_details("prompt", audio_tokens=-1), id="less sound than none"),
        pytest.param(_details("prompt", image_tokens=1.5), id="half a token of a picture"),
        pytest.param(_details("completion", audio_tokens=11), id="more sound than output"),
        pytest.param(_details("completion", image_tokens=True), id="a truth value among the details"),
        pytest.param(
            _details("prompt", cached_tokens=5, audio_tokens=3, cached_tokens_details={"audio_tokens": 4}),
            id="more cached sound than sound",
        ),
        pytest.param(
            _details("prompt", cached_tokens=2, audio_tokens=5, cached_tokens_details={"audio_tokens": 4}),
            id="more cached sound than was cached",
        ),
        pytest.param(
            _details("prompt", cache_write_tokens=2, cache_creation_token_details={"ephemeral_1h_input_tokens": 3}),
            id="more kept for an hour than was written",
        ),
    ],
)
def test_usage_that_cannot_be_is_told_from_usage_that_is_missing(body: object) -> None:
    with pytest.raises(AbsurdUsage):
        checked_usage(body)
    assert read_usage(body) is None


@pytest.mark.parametrize("body", [None, {}, {"prompt_tokens": 5}, {"prompt_tokens": None, "completion_tokens": None}])
def test_usage_that_is_missing_is_not_absurd(body: object) -> None:
    assert checked_usage(body) is None


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        pytest.param({"type": "duration", "seconds": 9}, "9", id="whole seconds"),
        pytest.param({"type": "duration", "seconds": 9.35}, "9.35", id="and fractions, digit by digit"),
        pytest.param({"type": "duration", "seconds": 0}, "0", id="a silence"),
        pytest.param({"prompt_audio_seconds": 203, "prompt_tokens": 4, "completion_tokens": 6}, "203", id="Mistral's"),
        pytest.param({"type": "tokens", "seconds": 9, "input_tokens": 3}, None, id="tokens, whatever else it says"),
        pytest.param({"prompt_audio_seconds": None}, None, id="null"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_seconds_of_sound(body: object, seconds: str | None) -> None:
    assert seconds_of(body) == (None if seconds is None else Decimal(seconds))


@pytest.mark.parametrize("seconds", [-1, True, "9", MAX_SECONDS + 1, float("nan"), float("inf"), [9]])
def test_absurd_seconds(seconds: object) -> None:
    with pytest.raises(AbsurdUsage):
        seconds_of({"type": "duration", "seconds": seconds})


def test_a_price_without_parts_asks_nothing_of_them() -> None:
    plain = replace(PRICE, parts=None)
    assert cost_nanousd(plain, Usage(100, output_tokens=10, input_audio_tokens=60, reasoning_tokens=9)) == 15_000
