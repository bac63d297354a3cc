from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.vendors import VENDORS
from gateway.policy.lifecycle import Origin, Published
from gateway.providers import published
from gateway.providers.published import BadListing, Listing, read_models

TODAY = date(2026, 11, 23)
SOURCE = "GET https://api.example.com/v1/models"
END = date(2027, 1, 14)
MIDNIGHT, AFTERNOON = 1799884800, 1799938800
"""2027-01-14 at 00:00 and at 15:00 UTC."""


def read(kind: str, *rows: Any, field: str = "data") -> Listing:
    return read_models(kind, {"object": "list", field: list(rows)}, TODAY, SOURCE)


def only(kind: str, row: Any, **more: Any) -> Published:
    listing = read(kind, row, **more)
    assert listing.problems == ()
    (model,) = listing.models
    return model


def azure(status: str | None = "deprecating", **times: Any) -> dict[str, Any]:
    return {"id": "gpt-4o-mini-2024-07-18", "lifecycle_status": status, "deprecation": times}


@pytest.mark.parametrize(
    ("kind", "row", "shutdown"),
    [
        pytest.param("openai", {"id": "m", "shutdown_date": "2027-01-14"}, END, id="OpenAI names a day"),
        pytest.param("openai", {"id": "m", "shutdown_date": None}, None, id="OpenAI says null where none is announced"),
        pytest.param("openai", {"id": "m"}, None, id="an older OpenAI list has no such field"),
        pytest.param("sandbox", {"id": "m", "shutdown_date": "2027-01-14"}, END, id="the sandbox is like OpenAI"),
        pytest.param("groq", {"id": "m", "shutdown_date": "2027-01-14"}, END, id="so is whoever copies the list"),
        pytest.param("a-kind-to-come", {"id": "m", "shutdown_date": "2027-01-14"}, END, id="so is an unknown kind"),
        pytest.param("mistral", {"id": "m", "deprecation": "2027-01-14T12:00:00Z"}, END, id="Mistral names an instant"),
        pytest.param(
            "mistral", {"id": "m", "deprecation": "2027-01-14T00:30:00+02:00"}, date(2027, 1, 13), id="its day is UTC's"
        ),
        pytest.param("mistral", {"id": "m", "deprecation": "2027-01-14T09:00:00.123"}, END, id="no zone means UTC"),
        pytest.param("mistral", {"id": "m", "shutdown_date": "2027-01-14"}, None, id="a kind has its own field only"),
        pytest.param("openrouter", {"id": "m", "expiration_date": "2027-01-14"}, END, id="OpenRouter names a day"),
        pytest.param("azure", azure(inference=MIDNIGHT), END, id="Azure names an instant, at midnight that day"),
        pytest.param("azure", azure(inference=AFTERNOON), END, id="an instant within a day is that day"),
        pytest.param("azure", azure(inference=float(AFTERNOON)), END, id="unix time may have a fraction"),
        pytest.param("azure", {"id": "m", "deprecation": None}, None, id="an Azure model without an end"),
        pytest.param("anthropic", {"id": "m", "retires_at": "2027-01-14T00:00:00Z"}, END, id="Anthropic's instant"),
    ],
)
def test_the_end_that_a_provider_names(kind: str, row: dict[str, Any], shutdown: date | None) -> None:
    dates = only(kind, row).dates
    assert dates.shutdown == shutdown
    assert (dates.origin, dates.source, dates.read) == (Origin.PROVIDER, SOURCE, TODAY)


@pytest.mark.parametrize(
    ("kind", "row", "certainty"),
    [
        pytest.param("openai", {"id": "m", "shutdown_date": "2027-01-14"}, "planned", id="OpenAI's are fixed"),
        pytest.param("azure", azure("generally-available", inference=MIDNIGHT), "tentative", id="Azure: not before"),
        pytest.param("azure", azure("preview", inference=MIDNIGHT), "tentative", id="Azure: a preview"),
        pytest.param("azure", azure(None, inference=MIDNIGHT), "tentative", id="Azure: no status"),
        pytest.param("azure", azure("deprecating", inference=MIDNIGHT), "planned", id="Azure: deprecating"),
        pytest.param("azure", azure("Deprecated", inference=MIDNIGHT), "planned", id="Azure: deprecated, in any case"),
        pytest.param("azure", azure("legacy", inference=MIDNIGHT), "planned", id="Azure: legacy"),
        pytest.param("azure", azure("preview"), "planned", id="no date is not tentative"),
        pytest.param(
            "anthropic", {"id": "m", "lifecycle": "active", "retires_at": "2027-01-14"}, "tentative", id="active"
        ),
        pytest.param(
            "anthropic", {"id": "m", "lifecycle": "deprecated", "retires_at": "2027-01-14"}, "planned", id="deprecated"
        ),
        pytest.param("anthropic", {"id": "m", "retires_at": "2027-01-14"}, "tentative", id="no word of its lifecycle"),
    ],
)
def test_only_a_fixed_end_acts(kind: str, row: dict[str, Any], certainty: str) -> None:
    dates = only(kind, row).dates
    assert (dates.certainty, dates.acts) == (certainty, certainty == "planned")


def test_azure_tells_the_last_day_of_training_and_a_fine_tunes_base() -> None:
    assert only("azure", azure(fine_tune=MIDNIGHT)).dates.last_training_day == END
    assert only("azure", azure(fine_tune=MIDNIGHT)).base is None
    tuned = only("azure", {"id": "gpt-4o-mini-2024-07-18.ft-72a2", "model": "gpt-4o-mini-2024-07-18"})
    assert tuned.base == "gpt-4o-mini-2024-07-18"
    assert only("azure", azure() | {"model": azure()["id"]}).base is None


def test_anthropic_tells_when_the_end_was_announced() -> None:
    row = {"id": "m", "lifecycle": "deprecated", "deprecated_at": "2026-11-01T00:00:00Z", "retires_at": "2027-01-14"}
    assert only("anthropic", row).dates.announced == date(2026, 11, 1)


def test_mistral_tells_the_replacement_and_a_fine_tunes_root() -> None:
    row = {"id": "old", "deprecation": "2027-01-14T12:00:00Z", "deprecation_replacement_model": "new", "root": "old"}
    assert (only("mistral", row).dates.replacement, only("mistral", row).base) == ("new", None)
    tuned = {"id": "ft:open-mistral-7b:1:20260101:abc", "type": "fine-tuned", "root": "open-mistral-7b"}
    assert only("mistral", tuned).base == "open-mistral-7b"


def test_vllm_tells_an_adapters_base() -> None:
    listing = read("vllm", {"id": "base", "parent": None, "root": "base"}, {"id": "support-lora", "parent": "base"})
    assert [model.base for model in listing.models] == [None, "base"]


@pytest.mark.parametrize("end", ["2027-01-14T00:00:00Z", MIDNIGHT], ids=["in ISO 8601", "in unix time"])
def test_bedrock_tells_legacy_and_end(end: Any) -> None:
    times = {"legacyTime": "2026-07-14T00:00:00Z", "publicExtendedAccessTime": "2026-10-14", "endOfLifeTime": end}
    legacy = {"modelId": "m", "modelLifecycle": {"status": "LEGACY", **times}}
    dates = only("bedrock", legacy, field="modelSummaries").dates
    assert (dates.announced, dates.shutdown, dates.certainty) == (date(2026, 7, 14), END, "planned")
    active = {"modelId": "m", "modelLifecycle": {"status": "ACTIVE", "endOfLifeTime": end}}
    assert only("bedrock", active, field="modelSummaries").dates.certainty == "tentative"


def test_a_bare_array_is_a_list_as_well() -> None:
    assert [model.model for model in read_models("together", [{"id": "m"}], TODAY, SOURCE).models] == ["m"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="null"),
        pytest.param("<html>", id="text"),
        pytest.param({"error": {"message": "no"}}, id="an error"),
        pytest.param({"data": {"id": "m"}}, id="an object where the list should be"),
        pytest.param({"modelSummaries": []}, id="another kind's list"),
        pytest.param(7, id="a number"),
    ],
)
def test_what_is_no_list_is_refused_whole(body: Any) -> None:
    with pytest.raises(BadListing, match="no list of models"):
        read_models("openai", body, TODAY, SOURCE)


@pytest.mark.parametrize(
    ("kind", "row", "says"),
    [
        pytest.param("openai", {"id": "m", "shutdown_date": "soon"}, "'m' has a shutdown_date that is no date: 'soon'"),
        pytest.param("openai", {"id": "m", "shutdown_date": "2027-02-30"}, "no date: '2027-02-30'"),
        pytest.param("openai", {"id": "m", "shutdown_date": "20270114"}, "no date: '20270114'"),
        pytest.param("openai", {"id": "m", "shutdown_date": ""}, "no date: ''"),
        pytest.param("openai", {"id": "m", "shutdown_date": MIDNIGHT}, "no date: a number"),
        pytest.param("openai", {"id": "m", "shutdown_date": True}, "no date: true"),
        pytest.param("openai", {"id": "m", "shutdown_date": ["2027-01-14"]}, "no date: a list"),
        pytest.param("openai", {"id": "m", "shutdown_date": "1970-01-01"}, "outside 2020 to 2100"),
        pytest.param("openai", {"id": "m", "shutdown_date": "9999-12-31"}, "outside 2020 to 2100"),
        pytest.param("mistral", {"id": "m", "deprecation": "0001-01-01T00:00:00+23:59"}, "no date"),
        pytest.param("mistral", {"id": "m", "deprecation": "2027-01-14T99:00:00Z"}, "no date"),
        pytest.param("azure", azure(inference=MIDNIGHT * 1000), "no date: a number", id="Azure in milliseconds"),
        pytest.param("azure", azure(inference=10**400), "no date: a number", id="a number beyond all numbers"),
        pytest.param("azure", azure(inference=float("nan")), "no date: a number", id="NaN"),
        pytest.param("azure", azure(inference=0), "outside 2020 to 2100", id="the epoch"),
        pytest.param("azure", azure(inference="2027-01-14"), "no date: '2027-01-14'", id="Azure in ISO 8601"),
        pytest.param("azure", {"id": "m", "deprecation": MIDNIGHT}, "no object: a number", id="not nested"),
        pytest.param("azure", azure(inference=MIDNIGHT, fine_tune="x"), "fine_tune that is no date", id="one of two"),
        pytest.param("openai", {"shutdown_date": "2027-01-14"}, "row 1 has no id", id="no id"),
        pytest.param("openai", {"id": 7}, "row 1 has an id that is no name: a number", id="a number for an id"),
        pytest.param("openai", {"id": ""}, "row 1 has an id that is no name: ''", id="an empty id"),
        pytest.param("openai", {"id": "a\x00b"}, "no name", id="an id that no database takes"),
        pytest.param("openai", {"id": "x" * 600}, "no name: 'xxx", id="an endless id"),
        pytest.param("openai", ["m"], "row 1 is a list, no object", id="a row that is a list"),
    ],
)
def test_a_malformed_row_is_named_and_costs_no_other(kind: str, row: Any, says: str) -> None:
    listing = read(kind, row, {"id": "good"})
    assert [model.model for model in listing.models] == ["good"]
    (problem,) = listing.problems
    assert says in problem
    assert len(problem) < 160


def test_a_replacement_that_is_no_name_does_not_cost_the_date() -> None:
    row = {"id": "m", "deprecation": "2027-01-14T12:00:00Z", "deprecation_replacement_model": {"id": "new"}}
    listing = read("mistral", row)
    assert [(m.dates.shutdown, m.dates.replacement) for m in listing.models] == [(END, None)]
    assert listing.problems == ("'m' has a deprecation_replacement_model that is no name: an object",)


def test_of_two_rows_of_one_model_the_earlier_end_counts() -> None:
    rows: list[dict[str, Any]] = [{"id": "m"}, {"id": "m", "shutdown_date": "2027-01-14"}]
    for order in (rows, rows[::-1]):
        listing = read("openai", *order)
        assert [model.dates.shutdown for model in listing.models] == [END]
        assert listing.problems == ("'m' is listed twice, with different facts",)
    assert read("openai", rows[0], rows[0]).problems == ()


def test_of_very_many_problems_the_first_are_told_and_the_rest_counted() -> None:
    problems = read("openai", *([{"id": None}] * 1000)).problems
    assert len(problems) == published.MAX_PROBLEMS + 1
    assert problems[-1] == "and 980 more like these"


def test_an_endless_list_is_read_up_to_a_limit() -> None:
    rows = [{"id": f"m{number}"} for number in range(published.MAX_MODELS + 1)]
    listing = read("openai", *rows)
    assert len(listing.models) == published.MAX_MODELS
    assert listing.problems == ("the list has 100001 rows; only the first 100000 were read",)


WRITTEN = st.sampled_from(["2027-01-14", "2027-01-14T00:00:00Z", "9999-99-99", "deprecating", "LEGACY", "m"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WRITTEN
ALL_FIELDS = """id modelId shutdown_date parent lifecycle deprecated_at retires_at deprecation root type model status
deprecation_replacement_model lifecycle_status inference fine_tune expiration_date modelLifecycle legacyTime
endOfLifeTime data modelSummaries"""
FIELDS = st.sampled_from(ALL_FIELDS.split())
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=5), inner, max_size=6),
    max_leaves=25,
)
ROW = st.dictionaries(FIELDS, JSON, max_size=8) | JSON
BODY = JSON | st.fixed_dictionaries(
    {
        "data": st.lists(ROW, max_size=4),
        "modelSummaries": st.lists(ROW, max_size=4),
        "models": st.lists(ROW, max_size=4),
    }
)


@given(st.sampled_from(sorted(VENDORS)), BODY)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_json_is_worse_than_a_bad_listing(kind: str, body: Any) -> None:
    try:
        listing = read_models(kind, body, TODAY, SOURCE)
    except BadListing:
        return
    names = [model.model for model in listing.models]
    assert len(names) == len(set(names))
    for model in listing.models:
        for day in (model.dates.announced, model.dates.shutdown, model.dates.last_training_day):
            assert day is None or 2020 <= day.year <= 2100


def test_json_nested_beyond_reason_is_only_a_problem() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert read("openai", {"id": "m", "shutdown_date": deep}, deep).models == ()


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        pytest.param(
            "azure",
            [{"id": "m", "lifecycle_status": 5, "deprecation": {"inference": 1800000000}}],
            id="a status that is no word: nobody knows whether the day is fixed",
        ),
        pytest.param(
            "openai",
            [{"id": "m", "shutdown_date": {"day": 1}}, {"id": "m", "shutdown_date": None}],
            id="listed twice, once unreadably",
        ),
        pytest.param(
            "openai",
            [{"id": "m", "shutdown_date": None}, {"id": "m", "shutdown_date": {"day": 1}}],
            id="listed twice, the second time unreadably",
        ),
    ],
)
def test_a_row_that_cannot_be_read_is_no_row(kind: str, rows: list[dict[str, Any]]) -> None:
    listing = read(kind, *rows)
    assert listing.models == ()
    assert len(listing.problems) == 1
