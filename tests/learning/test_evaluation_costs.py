"""Cost and first token of a fallback against the primary, request by request."""

from typing import Any

import pytest
from evaluation_material import NOW, ROUTE, id_of, recorded

from gateway.learning.evaluation.costs import Prices, costs, first_token
from gateway.ledger.entry import new_attempt_id
from gateway.policy.pricing import Price
from gateway.store.evaluations import EvaluationAnswer

LUNA = "gpt-6-luna"
CHEAP = Price(input=1000, cached_input=100, output=2000, version="t", source="t")  # type: ignore[arg-type]


def answer(asked: str, cost: int = 500, ttft_ms: float | None = 30.0) -> EvaluationAnswer:
    return EvaluationAnswer(
        ROUTE, "sandbox", LUNA, "v", id_of(asked), "{}", new_attempt_id(NOW), 2000, 0, 10, cost, 50.0, ttft_ms
    )


def test_cost_is_compared_request_by_request_cold_and_warm() -> None:
    primary = {id_of("a"): recorded("a", cost_nanousd=1000), id_of("b"): recorded("b", cost_nanousd=3000)}
    found = costs([answer("a"), answer("b", 1500), answer("not recorded")], primary, Prices(CHEAP, 1500, CHEAP))
    assert found is not None
    assert (found.requests, found.primary, found.fallback, found.computed) == (2, 2000, 1000, 0)
    assert found.change.estimate == pytest.approx(-0.5)
    assert (found.fallback_cold, found.fallback_warm) == (2_020_000, 670_000)


def test_below_1024_equal_tokens_a_warm_cache_costs_what_a_cold_one_does() -> None:
    found = costs([answer("a")], {id_of("a"): recorded("a", cost_nanousd=1000)}, Prices(CHEAP, 1023, CHEAP))
    assert found is not None and found.fallback_warm == found.fallback_cold


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        pytest.param({"input_tokens": 10, "output_tokens": 1}, 12_000, id="no bill: tokens times price"),
        pytest.param(
            {"input_tokens": 10, "output_tokens": 1, "cost_nanousd": 6_000, "batch_id": "b"}, 12_000,
            id="a batch's bill is half of what a request costs",
        ),
    ],
)  # fmt: skip
def test_a_cost_that_is_computed_is_counted_as_such(fields: dict[str, Any], cost: int) -> None:
    found = costs([answer("a")], {id_of("a"): recorded("a", **fields)}, Prices(CHEAP, 0, CHEAP))
    assert found is not None and (found.primary, found.computed) == (cost, 1)


def test_first_tokens_are_compared_where_both_were_streamed() -> None:
    primary = {id_of("a"): recorded("a", ttft_ms=20.0), id_of("b"): recorded("b")}
    found = first_token([answer("a"), answer("b"), answer("c")], primary)
    assert found is not None and (found.requests, found.primary_ms, found.fallback_ms) == (1, 20.0, 30.0)
    assert first_token([answer("b")], primary) is None
