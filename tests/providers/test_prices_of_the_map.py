"""What litellm's map says of tiers, long contexts, regions, sound and pictures, and how it is read."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from gateway.config.routes import Provider
from gateway.config.routes_prices import ModelPrice
from gateway.policy.amounts import AmountPrice
from gateway.policy.pricing import PartRates, Price, Usage, cost_nanousd
from gateway.providers.litellm_map import bundled_map
from gateway.providers.litellm_prices import _PARTS
from gateway.providers.prices import Overlay, OverlayRow, PriceBook, region_of
from tests.example_routes import a_provider

TODAY = date(2026, 11, 23)
NANO = 10**9


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    return bundled_map().read()


def book(*targets: tuple[str, str], region: str | None = None, **more: Any) -> PriceBook:
    return PriceBook.for_targets(
        [(kind, "p", model, None) for kind, model in targets],
        {"p": more.get("routes", {})},
        config_hash="0123456789ab",
        today=TODAY,
        overlay=more.get("overlay") or Overlay(dated=TODAY),
        regions={} if region is None else {"p": region},
    )


def price(kind: str, model: str, region: str | None = None) -> Price:
    found = book((kind, model), region=region).lookup("p", model)
    assert found is not None
    return found


def cost(row: dict[str, Any], *tokens: tuple[int, str], factor: str = "1") -> int:
    """Add up tokens by the map's own numbers."""
    return round(sum(Decimal(str(row[key])) * count for count, key in tokens) * NANO * Decimal(factor))


def test_a_fine_tune_of_gpt_4_1_mini_by_its_own_row(rows: dict[str, dict[str, Any]]) -> None:
    model = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
    usage = Usage(1000, 400, output_tokens=50)
    found = price("openai", model)
    own, base = rows["ft:gpt-4.1-mini-2025-04-14"], rows["gpt-4.1-mini-2025-04-14"]
    tokens = ((600, "input_cost_per_token"), (400, "cache_read_input_token_cost"), (50, "output_cost_per_token"))
    assert cost_nanousd(found, usage) == cost(own, *tokens) == 600 * 800 + 400 * 200 + 50 * 3200
    assert cost_nanousd(found, usage) != cost(base, *tokens)
    assert "priority" in price("openai", "gpt-4.1-mini-2025-04-14").tiers, "the base is sold faster"
    assert set(found.tiers) == {"batch"}, "its fine-tunes are not, and never cost what the base does"
    assert cost_nanousd(found, usage, "priority") == cost_nanousd(found, usage)
    batches = tuple((count, f"{key}_batches") for count, key in tokens)
    assert cost_nanousd(found, usage, "batch") == cost(own, *batches) == 600 * 400 + 400 * 100 + 50 * 1600


@pytest.mark.parametrize(
    ("tier", "suffix"), [("flex", "_flex"), ("priority", "_priority"), ("default", ""), (None, "")]
)
def test_an_openai_model_by_service_tier(rows: dict[str, dict[str, Any]], tier: str | None, suffix: str) -> None:
    usage = Usage(10_000, 4000, output_tokens=500)
    wanted = cost(
        rows["gpt-5.4"],
        (6000, f"input_cost_per_token{suffix}"),
        (4000, f"cache_read_input_token_cost{suffix}"),
        (500, f"output_cost_per_token{suffix}"),
    )
    assert cost_nanousd(price("openai", "gpt-5.4"), usage, tier) == wanted
    if tier == "flex":
        assert wanted == 6000 * 1250 + 4000 * 130 + 500 * 7500


@pytest.mark.parametrize(
    ("kind", "key", "model", "threshold", "first_above"),
    [
        pytest.param("gemini", "gemini/gemini-2.5-pro", "gemini-2.5-pro", "200k", 200_001, id="Gemini"),
        pytest.param(
            "bedrock",
            "eu.anthropic.claude-sonnet-4-20250514-v1:0",
            "eu.anthropic.claude-sonnet-4-20250514-v1:0",
            "200k",
            200_001,
            id="Claude at Bedrock",
        ),
        pytest.param("openai", "gpt-5.4", "gpt-5.4", "272k", 272_001, id="OpenAI"),
        pytest.param("xai", "xai/grok-4.3", "grok-4.3", "200k", 200_000, id="xAI, from the threshold on"),
    ],
)
def test_a_long_context_costs_more_as_a_whole(
    rows: dict[str, dict[str, Any]], kind: str, key: str, model: str, threshold: str, first_above: int
) -> None:
    row, found = rows[key], price(kind, model)
    above = f"_above_{threshold}_tokens"
    for tokens, suffix in ((first_above - 1, ""), (first_above, above)):
        wanted = cost(
            row,
            (tokens - 1000, f"input_cost_per_token{suffix}"),
            (1000, f"cache_read_input_token_cost{suffix}"),
            (100, f"output_cost_per_token{suffix}"),
        )
        assert cost_nanousd(found, Usage(tokens, 1000, output_tokens=100)) == wanted


def test_a_long_context_in_a_tier(rows: dict[str, dict[str, Any]]) -> None:
    usage, row = Usage(300_000, output_tokens=100), rows["gemini/gemini-2.5-pro"]
    suffix = "_above_200k_tokens_priority"
    wanted = cost(row, (300_000, f"input_cost_per_token{suffix}"), (100, f"output_cost_per_token{suffix}"))
    assert cost_nanousd(price("gemini", "gemini-2.5-pro"), usage, "priority") == wanted
    gpt = price("openai", "gpt-5.4")
    assert "input_cost_per_token_above_272k_tokens_priority" not in rows["gpt-5.4"]
    assert cost_nanousd(gpt, usage, "priority") == cost_nanousd(gpt, usage), "where it has none, the standard one"


def test_an_hour_in_the_cache_has_its_own_price(rows: dict[str, dict[str, Any]]) -> None:
    usage = Usage(4000, 1000, 2000, 5, hour_write_tokens=1500)
    wanted = cost(
        rows["claude-sonnet-4-5"],
        (1000, "input_cost_per_token"),
        (1000, "cache_read_input_token_cost"),
        (500, "cache_creation_input_token_cost"),
        (1500, "cache_creation_input_token_cost_above_1hr"),
        (5, "output_cost_per_token"),
    )
    assert cost_nanousd(price("anthropic", "claude-sonnet-4-5"), usage) == wanted
    assert wanted == 1000 * 3000 + 1000 * 300 + 500 * 3750 + 1500 * 6000 + 5 * 15_000


USAGE = Usage(10_000, output_tokens=1000)
PLAIN = ((10_000, "input_cost_per_token"), (1000, "output_cost_per_token"))


@pytest.mark.parametrize(
    ("kind", "model", "region", "key", "factor"),
    [
        pytest.param("azure", "gpt-4o", "eu", "azure/eu/gpt-4o", "1", id="Azure's row of the EU"),
        pytest.param("azure", "gpt-4", "eu", "azure/gpt-4", "1", id="without a row of that region, the global one"),
        pytest.param(
            "bedrock",
            "minimax.minimax-m2.5",
            "eu-central-1",
            "bedrock/eu-central-1/minimax.minimax-m2.5",
            "1",
            id="Bedrock's row of Frankfurt",
        ),
        pytest.param(
            "bedrock", "minimax.minimax-m2.5", None, "minimax.minimax-m2.5", "1", id="Bedrock's row of nowhere"
        ),
        pytest.param("openai", "gpt-5.4", "eu", "gpt-5.4", "1.1", id="OpenAI's European address costs a tenth more"),
        pytest.param("openai", "gpt-4o", "eu", "gpt-4o", "1", id="but not of a model for which nobody says so"),
        pytest.param(
            "vertex",
            "gemini-3.8-flash",
            "europe-west4",
            "vertex_ai/gemini-3.8-flash",
            "1.1",
            id="Vertex AI in one place",
        ),
        pytest.param("vertex", "gemini-3.8-flash", None, "vertex_ai/gemini-3.8-flash", "1", id="and everywhere"),
    ],
)
def test_the_row_of_the_region(
    rows: dict[str, dict[str, Any]], kind: str, model: str, region: str | None, key: str, factor: str
) -> None:
    assert cost_nanousd(price(kind, model, region), USAGE) == cost(rows[key], *PLAIN, factor=factor)


def test_regional_prices_written_out() -> None:
    assert cost_nanousd(price("azure", "gpt-4o", "eu"), USAGE) == 10_000 * 2750 + 1000 * 11_000
    assert cost_nanousd(price("azure", "gpt-4o"), USAGE) == 10_000 * 2500 + 1000 * 10_000
    assert cost_nanousd(price("bedrock", "minimax.minimax-m2.5", "eu-central-1"), USAGE) == 10_000 * 360 + 1000 * 1440
    assert cost_nanousd(price("openai", "gpt-5.4", "eu"), USAGE, "flex") == 10_000 * 1375 + 1000 * 8250


def test_the_snapshots_of_an_alias_are_priced_in_their_region_too() -> None:
    known = book(("azure", "gpt-4o"), ("bedrock", "minimax.minimax-m2.5"), region="eu")
    assert known.price_of_answer("p", "gpt-4o", "gpt-4o-2024-08-06") == known.lookup("p", "gpt-4o"), "a deployment"
    european = book(("openai", "gpt-5.4"), region="eu")
    snapshot = european.price_of_answer("p", "gpt-5.4", "gpt-5.4-2026-03-05")
    assert snapshot is not None
    assert snapshot.input == Decimal("2750")


@pytest.mark.parametrize(
    ("provider", "region"),
    [
        pytest.param(a_provider(kind="bedrock", region="eu-central-1"), "eu-central-1", id="Bedrock, by its region"),
        pytest.param(a_provider(kind="azure", residency="EU"), "eu", id="Azure, by its residency"),
        pytest.param(a_provider(kind="azure", residency="on-premises"), None, id="a residency of one's own"),
        pytest.param(a_provider(kind="azure"), None, id="Azure without one: global"),
        pytest.param(a_provider(kind="openai", base_url="https://eu.api.openai.com/v1"), "eu", id="OpenAI, by address"),
        pytest.param(a_provider(kind="openai", base_url="https://api.openai.com/v1", residency="eu"), None, id="usual"),
        pytest.param(
            a_provider(kind="openai", base_url="https://eu.api.openai.com.evil.example/v1"), None, id="unlike"
        ),
        pytest.param(a_provider(kind="vertex", location="europe-west4"), "europe-west4", id="Vertex, by its location"),
        pytest.param(a_provider(kind="vertex", location="global"), None, id="Vertex, everywhere"),
        pytest.param(
            a_provider(kind="vertex-openai", base_url="https://x.example/v1/projects/p/locations/us-east5/endpoints/o"),
            "us-east5",
            id="Vertex in OpenAI's format, by its address",
        ),
        pytest.param(a_provider(kind="groq", residency="eu"), None, id="whose prices are the same everywhere"),
    ],
)
def test_where_a_provider_is(provider: Provider, region: str | None) -> None:
    assert region_of(provider) == region


def test_sound_has_its_own_price_both_ways(rows: dict[str, dict[str, Any]]) -> None:
    usage = Usage(105, output_tokens=132, input_audio_tokens=88, output_audio_tokens=110)
    wanted = cost(
        rows["gpt-audio"],
        (17, "input_cost_per_token"),
        (88, "input_cost_per_audio_token"),
        (22, "output_cost_per_token"),
        (110, "output_cost_per_audio_token"),
    )
    assert cost_nanousd(price("openai", "gpt-audio"), usage) == wanted
    assert wanted == 17 * 2500 + 88 * 32_000 + 22 * 10_000 + 110 * 64_000
    flash = price("gemini", "gemini-2.5-flash")
    assert flash.parts == PartRates(input_audio=Decimal(1000), cached_audio=Decimal(100)), "reasoning costs as output"


def test_pictures_have_their_own_price_and_all_that_comes_out_is_pictures(rows: dict[str, dict[str, Any]]) -> None:
    usage = Usage(50, output_tokens=1056, input_image_tokens=40)
    wanted = cost(
        rows["gpt-image-1"],
        (10, "input_cost_per_token"),
        (40, "input_cost_per_image_token"),
        (1056, "output_cost_per_image_token"),
    )
    assert cost_nanousd(price("openai", "gpt-image-1"), usage) == wanted
    assert wanted == 10 * 5000 + 40 * 10_000 + 1056 * 40_000


def test_what_a_speaker_says_is_sound() -> None:
    assert price("openai", "gpt-4o-mini-tts").output == 12_000, "not the 10,000 that its row has for text"


def test_a_tier_without_a_price_for_cached_input_gives_no_discount_that_the_model_does_not_give() -> None:
    minimax, gpt = price("bedrock", "minimax.minimax-m2.5"), price("azure", "gpt-4o", "eu")
    assert minimax.tiers["priority"].cached_input == minimax.tiers["priority"].input == Decimal(525)
    assert gpt.tiers["batch"].cached_input == gpt.tiers["batch"].input == gpt.cached_input, "no dearer than not cached"


@pytest.mark.parametrize(
    ("kind", "model", "amounts"),
    [
        pytest.param("openai", "whisper-1", {"second": Decimal(100_000)}, id="sound by the second"),
        pytest.param("openai", "tts-1", {"character": Decimal(15_000)}, id="speech by the character"),
        pytest.param("xai", "grok-imagine-image", {"picture": Decimal(20_000_000)}, id="a picture"),
        pytest.param("openai", "gpt-4o-transcribe", {"second": Decimal(100_000)}, id="either by tokens or by seconds"),
        pytest.param("openai", "gpt-4o", None, id="a model of text"),
        pytest.param("gemini", "gemini-2.5-flash", None, id="one that hears and reads"),
        pytest.param("vllm", "whisper-1", None, id="anyone's own"),
    ],
)
def test_what_is_priced_by_the_piece(kind: str, model: str, amounts: dict[str, Decimal] | None) -> None:
    found = book((kind, model)).amounts("p", model)
    if amounts is None:
        assert found is None
    else:
        assert found is not None
        assert found == AmountPrice(found.version, found.source, **amounts)
        assert found.version == bundled_map().source
    by_token = book((kind, model)).lookup("p", model)
    assert (by_token is None) == (model in ("whisper-1", "tts-1", "grok-imagine-image"))


def test_an_operators_price_leaves_nothing_to_be_priced_by_the_piece() -> None:
    mine = ModelPrice(input_usd_per_1m=Decimal(1), output_usd_per_1m=Decimal(2), source="the contract")
    assert book(("openai", "whisper-1"), routes={"whisper-1": mine}).amounts("p", "whisper-1") is None


WHOLE = {
    "input_usd_per_1m": "0.8",
    "cached_input_usd_per_1m": "0.2",
    "cache_write_usd_per_1m": "1",
    "output_usd_per_1m": "3.2",
    "reasoning_usd_per_1m": "4",
    "audio_input_usd_per_1m": "10",
    "audio_output_usd_per_1m": "20",
    "image_input_usd_per_1m": "8",
    "image_output_usd_per_1m": "32",
    "tiers": {"flex": {"input_usd_per_1m": "0.4", "output_usd_per_1m": "1.6"}},
    "above": {"tokens": 200_000, "input_usd_per_1m": "1.6", "output_usd_per_1m": "4.8"},
    "source": "a test",
}


@pytest.mark.parametrize("by", ["the operator", "the overlay"])
def test_everything_that_can_be_written_of_a_price_is_read(by: str) -> None:
    if by == "the operator":
        known = book(("vllm", "m"), routes={"m": ModelPrice.model_validate(WHOLE)})
    else:
        row = OverlayRow.model_validate({"kind": "vllm", "model": "m", **WHOLE})
        known = book(("vllm", "m"), overlay=Overlay(dated=TODAY, rows=(row,)))
    found = known.lookup("p", "m")
    assert found is not None
    usage = Usage(1000, 100, 50, 900, 40, 300, 200, 250, 150)
    fresh = 1000 - 100 - 50 - 300 - 250
    said = 900 - 40 - 200 - 150
    assert cost_nanousd(found, usage) == (
        fresh * 800 + 100 * 200 + 50 * 1000 + 300 * 10_000 + 250 * 8000
        + said * 3200 + 40 * 4000 + 200 * 20_000 + 150 * 32_000
    )  # fmt: skip
    assert cost_nanousd(found, Usage(1000, 100, output_tokens=10), "flex") == 900 * 400 + 100 * 200 + 10 * 1600
    assert cost_nanousd(found, Usage(200_001, 1, output_tokens=10)) == 200_000 * 1600 + 200 + 10 * 4800


def test_every_part_that_can_have_a_price_is_looked_for_in_the_map() -> None:
    assert set(_PARTS) == set(PartRates.__dataclass_fields__)
