from datetime import date

import orjson
import pytest

from gateway.config.vendors import VENDORS
from gateway.lifecycle.calendar import shipped_dates
from gateway.lifecycle.sources import ROWS, claims_of_fine_tunes, claims_of_model, shipped_models
from gateway.policy.inheritance import DERIVED
from gateway.policy.lifecycle import Origin

DAY = date(2027, 1, 14)
LISTED = [orjson.loads(line) for line in ROWS.read_bytes().splitlines()]
FIELDS = {
    "vendor", "model", "announced", "last_training_day", "shutdown", "fine_tune_shutdown", "fine_tune_rule",
    "replacement", "source", "origin", "read", "note", "certainty",
}  # fmt: skip
DATES = ("announced", "last_training_day", "shutdown", "fine_tune_shutdown", "read")


def test_every_row_can_be_read_and_names_its_source_and_the_day_it_was_read() -> None:
    assert len({(row["vendor"], row["model"]) for row in LISTED}) == len(LISTED) > 200
    for row in LISTED:
        assert set(row) <= FIELDS
        assert {row[field] for field in DATES if field in row} == {
            date.fromisoformat(row[field]).isoformat() for field in DATES if field in row
        }
        assert row["source"].startswith("https://")
        assert row["read"] == "2026-11-23"
        assert row.get("fine_tune_rule") in (None, "training+365d", "with_base")
        assert row["vendor"] in VENDORS
        dates = shipped_dates(row["vendor"], row["model"])
        assert dates.announced is None or dates.shutdown is None or dates.announced <= dates.shutdown


def test_rows_name_models_and_successors_by_ids_alone() -> None:
    for row in LISTED:
        for model in (row["model"], row.get("replacement", "none")):
            assert model == model.strip()
            assert not set(model) & set(" ()"), row
        assert row.get("replacement") != row["model"]


def test_the_fine_tunes_that_end_this_winter() -> None:
    bases = {row["model"] for row in LISTED if row["vendor"] == "openai" and row.get("fine_tune_shutdown") == str(DAY)}
    assert bases == {
        "gpt-4o-2024-08-06",
        "gpt-4o-2024-11-20",
        "gpt-4o-mini-2024-07-18",
        "gpt-4.1-2025-04-14",
        "gpt-4.1-mini-2025-04-14",
    }


@pytest.mark.parametrize(
    ("kind", "model", "claims"),
    [
        pytest.param(
            "openai",
            "gpt-4o-mini-2024-07-18",
            [(Origin.CURATED, DAY, True), (Origin.LITELLM, DAY, False)],
            id="a person's row, and litellm's",
        ),
        pytest.param("openai", "o1-mini", [(Origin.FEED, date(2025, 10, 27), False)], id="a feed's row only warns"),
        pytest.param("gemini", "gemini-1.5-pro", [(Origin.FEED, None, False)], id="a feed that tells no day"),
        pytest.param(
            "anthropic",
            "claude-1.3",
            [(Origin.FEED, date(2024, 11, 6), False), (Origin.CURATED, date(2024, 11, 6), True)],
            id="an x stands for a number",
        ),
        pytest.param("anthropic", "claude-1.9", [(Origin.CURATED, date(2024, 11, 6), True)], id="for any number"),
        pytest.param("anthropic", "claude-1.x-large", [], id="but only at the end"),
        pytest.param(
            "azure",
            "o3",
            [(Origin.CURATED, date(2026, 10, 16), True), (Origin.LITELLM, date(2026, 11, 19), False)],
            id="two that differ",
        ),
        pytest.param("vertex", "text-bison", [(Origin.CURATED, date(2025, 4, 9), True)], id="one of a row's models"),
        pytest.param("vllm", "gpt-4o-mini-2024-07-18", [], id="a self-hosted model of that name"),
        pytest.param("openai", "gpt-4o-mini", [], id="an alias whose snapshot has a day"),
        pytest.param("openai", "gpt-99", [], id="a model that nobody knows"),
    ],
)  # fmt: skip
def test_what_each_source_says_of_a_model(
    kind: str, model: str, claims: list[tuple[Origin, date | None, bool]]
) -> None:
    assert [(claim.origin, claim.shutdown, claim.acts) for claim in claims_of_model(kind, model)] == claims


@pytest.mark.parametrize(
    ("kind", "base", "claims"),
    [
        pytest.param(
            "openai",
            "babbage-002",
            [(Origin.CURATED, date(2026, 9, 28)), (Origin.LITELLM, date(2026, 10, 23))],
            id="two that differ",
        ),
        pytest.param(
            "openai",
            "gpt-3.5-turbo-1106",
            [(Origin.CURATED, date(2026, 9, 28)), (Origin.LITELLM, date(2026, 10, 23))],
            id="litellm's row of the fine-tunes, not that of their base",
        ),
        pytest.param(
            "openai", "gpt-3.5-turbo", [(Origin.LITELLM, date(2026, 10, 23))], id="an alias that litellm names"
        ),
        pytest.param(
            "azure",
            "o4-mini-2025-04-16",
            [(Origin.CURATED, date(2027, 11, 19)), (Origin.LITELLM, date(2027, 11, 19))],
            id="derived by the vendor's rule, whoever dates the base",
        ),
        pytest.param("azure", "davinci-002", [(Origin.CURATED, date(2025, 1, 27))], id="the day published for them"),
        pytest.param("groq", "llama-3.1-8b-instant", [(Origin.CURATED, date(2026, 8, 16))], id="with the base"),
        pytest.param("vllm", "gpt-4o-mini-2024-07-18", [], id="a self-hosted one"),
    ],
)
def test_what_each_source_says_of_fine_tunes(kind: str, base: str, claims: list[tuple[Origin, date]]) -> None:
    found = claims_of_fine_tunes(kind, base)
    assert [(claim.origin, claim.shutdown) for claim in found] == claims
    assert all(claim.inherited_from == base for claim in found)
    assert all((DERIVED in claim.source) == (kind == "azure" and base.startswith("o4")) for claim in found)


def test_a_claim_says_where_it_comes_from() -> None:
    (feed,) = claims_of_model("openai", "o1-mini")
    assert feed.source.endswith("(collected by deprecations-rss@aba3a01)")
    assert feed.read == date(2026, 11, 23)
    (_, litellm) = claims_of_model("azure", "o3")
    assert litellm.source == "the map of litellm-1.106.2"
    (curated, _) = claims_of_model("azure", "gpt-4.1-mini-2025-04-14")
    assert curated.note is not None
    assert "2026-10-14 (Dec-2025 table)" in curated.note, "where a row's own sources differ, it says so"


def test_everything_that_ships_is_listed_once_without_the_rows_of_fine_tunes() -> None:
    models = shipped_models()
    assert len(set(models)) == len(models) > 400
    assert {("anthropic", "claude-1.x"), ("groq", "llama-guard-3-8b"), ("openai", "gpt-4-0613")} <= set(models)
    assert not any(model.startswith("ft:") for _, model in models)
