from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.pricing import MAX_TOKENS, Price, Usage, cost_nanousd, estimate_usage, read_usage

DETAILS = {"prompt_tokens_details": {"cached_tokens": 40}, "completion_tokens_details": {"reasoning_tokens": 5}}


def price(plain: str, cached: str | None = None, output: str | None = None, cache_write: str | None = None) -> Price:
    return Price(
        Decimal(plain),
        Decimal(cached or plain),
        Decimal(output or plain),
        version="test-1",
        source="a test",
        cache_write=None if cache_write is None else Decimal(cache_write),
    )


@pytest.mark.parametrize(
    ("of", "usage", "nanousd"),
    [
        pytest.param(price("400", output="1600"), Usage(200, output_tokens=150), 320_000, id="input and output add up"),
        pytest.param(
            price("400", "100", "1600"),
            Usage(2200, cached_input_tokens=1800, output_tokens=150),
            580_000,
            id="cached input is part of the input and costs its own price",
        ),
        pytest.param(
            price("100", "10", "500", cache_write="125"),
            Usage(1000, cached_input_tokens=200, cache_write_tokens=300, output_tokens=10),
            50_000 + 2_000 + 37_500 + 5_000,
            id="input written to the cache costs its own price where it has one",
        ),
        pytest.param(
            price("100"), Usage(1000, cache_write_tokens=300), 100_000, id="without one it costs what other input costs"
        ),
        pytest.param(
            price("100"), Usage(0, output_tokens=100, reasoning_tokens=90), 10_000, id="reasoning is not billed twice"
        ),
        pytest.param(price("0.5"), Usage(1), 0, id="a half rounds to even, downwards"),
        pytest.param(price("0.5"), Usage(3), 2, id="a half rounds to even, upwards"),
        pytest.param(price("0.5"), Usage(1, output_tokens=1), 1, id="halves are added before the one rounding"),
        pytest.param(price("37.5", "3.75"), Usage(7, 3), 161, id="a price need not be a whole nano-dollar"),
        pytest.param(price("0"), Usage(10**6), 0, id="a price of zero is a price"),
        pytest.param(
            price("600000"),
            Usage(MAX_TOKENS, output_tokens=MAX_TOKENS),
            12 * 10**17,
            id="the largest counts stay exact",
        ),
    ],
)
def test_cost(of: Price, usage: Usage, nanousd: int) -> None:
    cost = cost_nanousd(of, usage)
    assert cost == nanousd
    assert type(cost) is int


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.decimals(0, 10**5, places=3), st.decimals(0, 10**5, places=3))
def test_cost_is_within_half_a_nanodollar_of_the_exact_sum(
    given_in: int, out: int, plain: Decimal, per: Decimal
) -> None:
    cost = cost_nanousd(Price(plain, plain, per, "test-1", "a test"), Usage(given_in, output_tokens=out))
    assert abs(Decimal(cost) - (given_in * plain + out * per)) <= Decimal("0.5")


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        pytest.param(
            {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, **DETAILS},
            Usage(100, 40, 0, 20, 5),
            id="a chat completion with details",
        ),
        pytest.param(
            {"prompt_tokens": 100, "completion_tokens": 20}, Usage(100, 0, 0, 20, 0), id="no details, no total"
        ),
        pytest.param(
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "prompt_tokens_details": None,
                "completion_tokens_details": {"reasoning_tokens": None},
            },
            Usage(100, 0, 0, 20, 0),
            id="details that are null",
        ),
        pytest.param(
            {"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0, 0, 0, 0), id="zeros that the provider wrote"
        ),
        pytest.param(
            {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cache_write_tokens": 60}},
            Usage(100, 0, 60, 1, 0),
            id="input written to the cache",
        ),
        pytest.param({"prompt_tokens": 8, "total_tokens": 8}, Usage(8), id="an embedding, which has no completion"),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "total_tokens": 113,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Usage(10, 0, 0, 103, 100),
            id="reasoning counted beside the completion joins it",
        ),
        pytest.param(
            {"prompt_tokens": MAX_TOKENS, "completion_tokens": 0}, Usage(MAX_TOKENS), id="the largest credible count"
        ),
    ],
)
def test_usage_that_a_provider_counted(body: object, usage: Usage) -> None:
    assert read_usage(body) == usage


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="nothing"),
        pytest.param([1, 2], id="a list"),
        pytest.param({}, id="an empty object"),
        pytest.param({"prompt_tokens": 5}, id="no completion, and no total that would explain it"),
        pytest.param({"prompt_tokens": 5, "total_tokens": 9}, id="no completion, and a total that says there was one"),
        pytest.param({"prompt_tokens": None, "completion_tokens": 5, "total_tokens": None}, id="a null count"),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 5}, id="a negative count"),
        pytest.param({"prompt_tokens": 5.0, "completion_tokens": 5}, id="a float"),
        pytest.param({"prompt_tokens": True, "completion_tokens": 5}, id="a boolean"),
        pytest.param({"prompt_tokens": "5", "completion_tokens": 5}, id="a string"),
        pytest.param({"prompt_tokens": 5, "completion_tokens": 10**18}, id="a count beyond belief"),
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
            id="more cached than there was",
        ),
        pytest.param(
            {
                "prompt_tokens": 5,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 3},
            },
            id="more read and written than there was",
        ),
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
            id="more reasoning than output",
        ),
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": [1]}, id="details that are no object"
        ),
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1.5}},
            id="a detail that is a float",
        ),
    ],
)
def test_usage_that_is_absent_or_absurd_is_none(body: object) -> None:
    assert read_usage(body) is None


@pytest.mark.parametrize(
    ("input_chars", "output_chars", "tokens"),
    [(0, 0, (0, 0)), (1, 4, (1, 1)), (5, 8, (2, 2)), (4001, 1, (1001, 1))],
)
def test_an_estimate_is_a_token_for_every_four_characters_begun(
    input_chars: int, output_chars: int, tokens: tuple[int, int]
) -> None:
    usage = estimate_usage(input_chars, output_chars)
    assert (usage.input_tokens, usage.output_tokens) == tokens
    assert usage.cached_input_tokens == usage.cache_write_tokens == usage.reasoning_tokens == 0
