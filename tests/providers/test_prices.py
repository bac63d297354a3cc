import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.config.routes_prices import ModelPrice
from gateway.policy.pricing import Price
from gateway.providers.prices import OVERLAY_PATH, Overlay, OverlayRow, PriceBook, TargetKey, read_overlay

TODAY = date(2026, 11, 23)
FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
BASE = "gpt-4o-mini-2024-07-18"


def book(
    *targets: TargetKey, routes: dict[str, dict[str, ModelPrice]] | None = None, overlay: Overlay | None = None
) -> PriceBook:
    return PriceBook.for_targets(
        targets, routes or {}, config_hash="0123456789ab", today=TODAY, overlay=overlay or Overlay(dated=TODAY)
    )


def per_1m(plain: str, output: str, cached: str | None = None) -> ModelPrice:
    return ModelPrice(
        input_usd_per_1m=Decimal(plain),
        output_usd_per_1m=Decimal(output),
        cached_input_usd_per_1m=None if cached is None else Decimal(cached),
        source="the contract",
    )


def row(kind: str, model: str, plain: str, **more: object) -> OverlayRow:
    return OverlayRow.model_validate(
        {"kind": kind, "model": model, "input_usd_per_1m": plain, "output_usd_per_1m": "9", "source": "a test", **more}
    )


def rates(price: Price | None) -> tuple[Decimal, Decimal, Decimal] | None:
    return None if price is None else (price.input, price.cached_input, price.output)


@pytest.mark.parametrize(
    ("kind", "model", "base", "nano_per_token"),
    [
        pytest.param("openai", "gpt-4o-mini", None, (150, 75, 600), id="a base by its own row"),
        pytest.param("openai", FINE_TUNE, BASE, (300, 150, 1200), id="a fine-tune by the row of its base's fine-tunes"),
        pytest.param("openai", FINE_TUNE, None, (300, 150, 1200), id="a fine-tune whose base only its id tells"),
        pytest.param(
            "openai",
            "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714",
            None,
            (800, 200, 3200),
            id="a checkpoint of a fine-tune",
        ),
        pytest.param(
            "openai", "ft:gpt-4o-mini:acme::A1b2C3d4", None, (300, 150, 1200), id="a fine-tune without a snapshot"
        ),
        pytest.param("azure", "gpt-4o", None, (2500, 1250, 10000), id="azure by azure's row"),
        pytest.param("groq", "openai/gpt-oss-20b", None, (75, "37.5", 300), id="a price that is no whole nano-dollar"),
    ],
)
def test_litellms_map_prices(kind: str, model: str, base: str | None, nano_per_token: tuple[int | str, ...]) -> None:
    price = book((kind, "p", model, base)).lookup("p", model)
    assert rates(price) == tuple(Decimal(amount) for amount in nano_per_token)
    assert price is not None
    assert price.version == "litellm-1.106.2"


@pytest.mark.parametrize(
    ("kind", "model", "base"),
    [
        pytest.param("openai", "gpt-99-nova", None, id="a model that nobody knows"),
        pytest.param("openai", "ft:gpt-99-nova:acme::A1b2", None, id="a fine-tune of a base that nobody knows"),
        pytest.param(
            "openai",
            "ft:gpt-6-luna:acme::A1b2",
            None,
            id="a fine-tune whose base has a plain row but none for fine-tunes",
        ),
        pytest.param("openai", "ft:gpt-4o:acme::A1b2", None, id="a fine-tune whose base's snapshots differ in price"),
        pytest.param("openai", "deepseek-chat", None, id="another vendor's row without a prefix"),
        pytest.param("azure", "claims-ft", "gpt-4.1-mini-2025-04-14", id="a deployment is not priced by its base"),
        pytest.param("mistral", "labs-leanstral-1-5", None, id="a row of zeros"),
        pytest.param("fireworks", "accounts/fireworks/routers/auto", None, id="a row without prices"),
        pytest.param("vllm", "gpt-4o-mini", None, id="a vendor's name served by vLLM"),
        pytest.param("sandbox", "gpt-4o-mini", None, id="the sandbox"),
        pytest.param("openai-compatible", FINE_TUNE, BASE, id="a fine-tune's id served by anyone"),
    ],
)
def test_what_no_source_knows_is_unpriced_and_not_free(kind: str, model: str, base: str | None) -> None:
    assert book((kind, "p", model, base)).lookup("p", model) is None


def test_writing_to_the_cache_has_a_price_only_where_it_costs_more_than_input() -> None:
    known = book(("openai", "p", "gpt-6-luna", None), ("deepseek", "d", "deepseek-chat", None))
    luna, deepseek = known.lookup("p", "gpt-6-luna"), known.lookup("d", "deepseek-chat")
    assert luna is not None
    assert luna.cache_write == Decimal(125)
    assert deepseek is not None
    assert deepseek.cache_write is None, "the map says 0 there, which would make such input free"


def test_the_operators_price_stands_above_the_overlay_and_the_overlay_above_litellm() -> None:
    target = ("openai", "p", "gpt-4o-mini", None)
    overlay = Overlay(dated=date(2026, 11, 20), rows=(row("openai", "gpt-4o-mini", "7"),))
    by_litellm = book(target).lookup("p", "gpt-4o-mini")
    by_overlay = book(target, overlay=overlay).lookup("p", "gpt-4o-mini")
    by_operator = book(target, overlay=overlay, routes={"p": {"gpt-4o-mini": per_1m("3", "4", "1")}})
    assert rates(by_litellm) == (150, 75, 600)
    assert rates(by_overlay) == (7000, 7000, 9000)
    assert by_overlay is not None
    assert (by_overlay.version, by_overlay.source) == ("overlay-2026-11-20", "a test")
    price = by_operator.lookup("p", "gpt-4o-mini")
    assert rates(price) == (3000, 1000, 4000)
    assert price is not None
    assert (price.version, price.source) == ("routes:0123456789ab", "the contract")


def test_an_operators_price_is_one_providers_and_cached_input_costs_what_input_costs_unless_said() -> None:
    known = book(
        ("vllm", "campus", "m", None), ("vllm", "other", "m", None), routes={"campus": {"m": per_1m("0.25", "0.5")}}
    )
    assert rates(known.lookup("campus", "m")) == (250, 250, 500)
    assert known.lookup("other", "m") is None


def test_one_price_for_the_fine_tunes_of_a_base_covers_them_all() -> None:
    routes = {"azure-eu": {"ft:gpt-4.1-mini-2025-04-14": per_1m("0.4", "1.6")}}
    known = book(
        ("azure", "azure-eu", "claims-ft", "gpt-4.1-mini-2025-04-14"),
        ("azure", "azure-eu", "notes-ft", "gpt-4.1-mini-2025-04-14"),
        routes=routes,
    )
    assert (
        rates(known.lookup("azure-eu", "claims-ft")) == rates(known.lookup("azure-eu", "notes-ft")) == (400, 400, 1600)
    )


@pytest.mark.parametrize(
    ("rows", "plain"),
    [
        pytest.param([row("openai", "m", "1", valid_from="2026-11-23")], 1000, id="a row holds on its first day"),
        pytest.param([row("openai", "m", "1", valid_from="2026-11-24")], None, id="and not on the day before"),
        pytest.param([row("openai", "m", "1", valid_until="2026-11-23")], None, id="a row does not hold on its end"),
        pytest.param(
            [row("openai", "m", "2", valid_from="2026-11-01"), row("openai", "m", "1", valid_from="2026-06-01")],
            2000,
            id="the later of two rows wins, in whatever order they stand",
        ),
        pytest.param([row("azure", "m", "1")], None, id="a row of another kind says nothing"),
    ],
)
def test_an_overlay_row_holds_between_its_dates(rows: list[OverlayRow], plain: int | None) -> None:
    price = book(("openai", "p", "m", None), overlay=Overlay(dated=TODAY, rows=tuple(rows))).lookup("p", "m")
    assert (None if price is None else price.input) == plain


def test_the_overlay_that_we_ship_can_be_read() -> None:
    overlay = read_overlay()
    assert overlay.dated <= date(2100, 1, 1)
    assert all(shipped.source for shipped in overlay.rows)
    assert OVERLAY_PATH.is_file()


def test_an_overlay_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "overlay.json"
    path.write_text('{"dated": "2026-11-23", "rows": [{"kind": "openai", "model": "m", "input_usd_per_1m": "-1"}]}')
    with pytest.raises(ValidationError):
        read_overlay(path)


PROVIDERS: tuple[TargetKey, ...] = (
    ("openai", "p", "gpt-4o", None),
    ("openai", "p", "gpt-6-luna", None),
    ("openai", "p", FINE_TUNE, BASE),
    ("azure", "azure-eu", "gpt-4o", None),
)


@pytest.mark.parametrize(
    ("provider", "asked", "answered", "plain"),
    [
        pytest.param("p", "gpt-4o", "gpt-4o", 2500, id="what was asked"),
        pytest.param("p", "gpt-4o", None, 2500, id="an answer without a name"),
        pytest.param("p", "gpt-4o", "gpt-4o-2024-05-13", 5000, id="a snapshot with a price of its own"),
        pytest.param("p", "gpt-4o", "gpt-4o-2031-01-31", 2500, id="a snapshot that no source knows"),
        pytest.param("p", "gpt-4o", "gpt-6-luna", 100, id="another model of this configuration"),
        pytest.param("p", "gpt-4o", "gpt-4.1", None, id="a model of no configuration"),
        pytest.param("p", FINE_TUNE, FINE_TUNE.lower(), 300, id="a fine-tune in another case"),
        pytest.param("p", FINE_TUNE, BASE, None, id="the base for its fine-tune"),
        pytest.param("azure-eu", "gpt-4o", "gpt-35-turbo", 2500, id="a deployment, whatever name it answers with"),
        pytest.param("elsewhere", "gpt-4o", "gpt-4o", None, id="another provider"),
    ],
)
def test_an_answer_is_priced_as_what_answered(
    provider: str, asked: str, answered: str | None, plain: int | None
) -> None:
    price = book(*PROVIDERS).price_of_answer(provider, asked, answered)
    assert (None if price is None else price.input) == plain


def test_an_operators_price_for_an_alias_holds_for_its_snapshots_too() -> None:
    known = book(("openai", "p", "gpt-4o", None), routes={"p": {"gpt-4o": per_1m("1", "2")}})
    price = known.price_of_answer("p", "gpt-4o", "gpt-4o-2024-05-13")
    assert rates(price) == (1000, 1000, 2000)


def test_litellm_is_read_but_never_imported() -> None:
    script = (
        "import sys, datetime\n"
        "from gateway.providers.prices import PriceBook\n"
        "book = PriceBook.for_targets([('openai', 'p', 'gpt-4o', None)], {}, config_hash='x',"
        " today=datetime.date(2026, 11, 23))\n"
        "assert book.lookup('p', 'gpt-4o')\n"
        "assert 'litellm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
