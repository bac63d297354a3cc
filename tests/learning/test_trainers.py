"""What training costs, by whom, and until when: facts with their source, or none."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.routes import Provider
from gateway.config.routes_prices import ModelPrice
from gateway.learning.datasets.offers import offers
from gateway.learning.datasets.trainers import (
    MINIMUM_USD,
    PRICES,
    TRAINABLE,
    billions_of,
    can_train,
    default_epochs,
    estimate,
    last_training_day,
    where_one_can_still_train,
)

TODAY = date(2026, 11, 29)
MINI = "gpt-4.1-mini-2025-04-14"


def provider(kind: str, name: str = "acme") -> Provider:
    return Provider(name=name, kind=kind, base_url="https://api.example/v1")


def price(usd: str | None) -> ModelPrice:
    return ModelPrice(
        input_usd_per_1m=Decimal(1),
        output_usd_per_1m=Decimal(2),
        training_usd_per_1m=None if usd is None else Decimal(usd),
        source="the contract",
    )


@pytest.mark.parametrize(
    ("kind", "base", "method", "usd"),
    [
        pytest.param("openai", MINI, "sft", "2.10", id="OpenAI's mini: 200 rows of 700 tokens, three times, for $2.10"),
        pytest.param("openai", MINI, "dpo", "2.10", id="preferences cost the same there"),
        pytest.param("openai", "gpt-4.1-mini", "sft", "2.10", id="a base by its alias"),
        pytest.param("openai", "gpt-4o-2024-08-06", "sft", "10.50", id="gpt-4o"),
        pytest.param("openai", "gpt-6-luna", "sft", None, id="a base that cannot be trained"),
        pytest.param("together", "meta-llama/Meta-Llama-3.1-8B-Instruct", "sft", "0.2016", id="Together by the size"),
        pytest.param("together", "meta-llama/Llama-3.3-70B-Instruct", "dpo", "3.045", id="Together's preferences"),
        pytest.param("together", "Qwen/Qwen3-235B-A22B", "sft", None, id="larger than what is listed"),
        pytest.param("fireworks", "accounts/fireworks/models/qwen2p5-7b-instruct", "sft", "0.21", id="Fireworks"),
        pytest.param(
            "fireworks", "accounts/fireworks/models/qwen2p5-7b-instruct", "dpo", None, id="not its preferences"
        ),
        pytest.param("azure", MINI, "sft", None, id="Azure's were not found"),
        pytest.param("mistral", "open-mistral-7b", "sft", None, id="nor were Mistral's"),
    ],
)
def test_a_job_costs_what_the_vendor_lists(kind: str, base: str, method: str, usd: str | None) -> None:
    found = estimate(140_000, 3, provider(kind), base, method=method, prices={})  # type: ignore[arg-type]
    assert found.tokens == 420_000
    if usd is None:
        assert (found.nanousd, found.usd_per_1m) == (None, None)
        assert found.source == f"no price known; write prices.acme.{base}.training_usd_per_1m"
    else:
        assert found.nanousd == Decimal(usd) * 10**9
        assert found.read is not None and found.source.startswith("https://")


def test_the_operator_s_price_comes_first_and_a_price_without_training_is_none_for_it() -> None:
    own = estimate(1_000_000, 1, provider("openai"), MINI, prices={"acme": {MINI: price("4")}})
    assert (own.nanousd, own.source, own.read) == (4 * 10**9, "the contract", None)
    other = estimate(
        1_000_000, 1, provider("openai"), MINI, prices={"acme": {MINI: price(None)}, "b": {MINI: price("4")}}
    )
    assert other.nanousd == 5 * 10**9


def test_what_a_vendor_takes_at_least_is_taken() -> None:
    own = {"acme": {"open-mistral-7b": price("1")}}
    small = estimate(1_000, 1, provider("mistral"), "open-mistral-7b", prices=own)
    large = estimate(10_000_000, 1, provider("mistral"), "open-mistral-7b", prices=own)
    assert (small.nanousd, small.minimum_usd) == (4 * 10**9, Decimal(4))
    assert (large.nanousd, large.minimum_usd) == (10 * 10**9, None)


def test_the_documents_have_every_price() -> None:
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for one in PRICES:
        if one.bases[:1] != ("gpt-3.5-turbo-0125",) and "gpt-4.1-nano" not in one.bases:
            assert f"{one.usd_per_1m}" in text, one
    assert f"Mistral takes ${MINIMUM_USD['mistral'][0]} a job at least" in " ".join(text.split())


def test_every_fact_has_an_address_and_a_day() -> None:
    assert all(row.source.startswith("https://") and row.read == TODAY for row in PRICES)
    assert all(source.startswith("https://") for _, source in MINIMUM_USD.values())
    for kind, bases in TRAINABLE.items():
        assert all(last_training_day(kind, base)[0] for base in bases), kind


@pytest.mark.parametrize(
    ("kind", "rows", "count"),
    [
        pytest.param("openai", 200, 3, id="three times"),
        pytest.param("openai", 10, 10, id="ten rows ten times"),
        pytest.param("openai", 1, 25, id="25 times at most"),
        pytest.param("openai", 0, 3, id="no rows are no reason to fail"),
        pytest.param("openai", 10_000, 2, id="ten thousand rows twice"),
        pytest.param("openai", 100_000, 1, id="once at least"),
        pytest.param("azure", 10, 10, id="Azure as OpenAI"),
        pytest.param("together", 10, 1, id="Together once"),
        pytest.param("fireworks", 10, 3, id="whoever does not say so, three times"),
    ],
)
def test_how_often_rows_are_gone_over_by_default(kind: str, rows: int, count: int) -> None:
    found = default_epochs(kind, rows)
    assert found.count == count
    assert found.source


@pytest.mark.parametrize(
    ("id_", "billions"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", 8.0),
        ("mixtral-8x7b-instruct", 56.0),
        ("Qwen/Qwen2.5-0.5B", 0.5),
        ("gpt-4o", None),
        ("3b-org/some-model", None),
        ("model-v7beta", None),
    ],
)
def test_how_large_a_model_is_by_its_name(id_: str, billions: float | None) -> None:
    assert billions_of(id_) == billions


@pytest.mark.parametrize(
    ("kind", "base", "today", "expected"),
    [
        pytest.param("openai", MINI, date(2027, 1, 6), True, id="on the last day"),
        pytest.param("openai", MINI, date(2027, 1, 7), False, id="on the day after"),
        pytest.param("openai", "gpt-4.1-nano-2025-04-14", TODAY, False, id="a base whose day has passed"),
        pytest.param("azure", MINI, date(2027, 4, 13), True, id="at Azure until the day before it stops"),
        pytest.param("azure", MINI, date(2027, 4, 14), False, id="and not on that day"),
        pytest.param("openai", "gpt-9", TODAY, None, id="a base that nobody knows"),
        pytest.param("vllm", "meta-llama/Llama-3.1-8B", TODAY, None, id="one's own weights"),
    ],
)
def test_whether_a_base_can_still_be_trained(kind: str, base: str, today: date, expected: bool | None) -> None:
    assert can_train(kind, base, today) is expected


def test_where_one_can_still_train_begins_with_what_has_no_end_and_loses_what_has_ended() -> None:
    now = where_one_can_still_train(TODAY)
    assert [one.kind for one in now[:3]] == ["your own GPU", "together", "fireworks"]
    assert (now[3].kind, now[3].last_day) == ("azure", date(2027, 4, 13))
    assert {one.base for one in now if one.kind == "openai"} == set(TRAINABLE["openai"]) - {"gpt-4.1-nano-2025-04-14"}
    days = [one.last_day or date.max for one in now]
    assert days == sorted(days, reverse=True)
    later = where_one_can_still_train(date(2028, 1, 1))
    assert all(one.last_day is None for one in later)
    assert str(now[3]) == "gpt-4.1-2025-04-14 at azure until 2027-04-13 (what comes of it must be deployed)"


def test_offers_begin_with_the_route_s_own_base_and_leave_out_what_has_ended() -> None:
    acme, shed = provider("openai"), provider("openai-compatible", "shed")
    prices = {"shed": {"small": price("0.10")}, "gone": {"x": price("1")}}
    known = {"acme": acme, "shed": shed}
    found = offers(200, 140_000, TODAY, own=(acme, MINI), providers=known, prices=prices)
    assert [(one.trainer, one.base) for one in found[:2]] == [("acme", MINI), ("shed", "small")]
    assert (found[0].cost.nanousd, found[0].last_day, found[0].has_ended) == (2_100_000_000, date(2027, 1, 6), False)
    assert not any("nano" in one.base for one in found[2:])
    assert any((one.trainer, one.base) == ("together", "up to 16B parameters") for one in found)
    ended = offers(200, 140_000, date(2027, 2, 1), own=(acme, MINI), providers=known, prices={}, epochs=2)
    assert (ended[0].has_ended, ended[0].cost.tokens) == (True, 280_000)
    assert not any(one.trainer == "openai" for one in ended[1:])
