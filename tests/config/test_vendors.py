from collections.abc import Mapping

import pytest

from gateway.config.vendors import ENDPOINTS, VENDORS, Vendor

NO_SETTINGS: Mapping[str, str | None] = {"region": None, "project": None, "location": None}
ASKED_FOR = {
    "openai", "azure", "anthropic", "bedrock", "vertex", "gemini", "mistral", "together", "fireworks", "groq",
    "deepseek", "openrouter", "databricks", "nim", "vllm", "sglang", "ollama", "llama.cpp",
}  # fmt: skip


def test_whoever_may_serve_a_fine_tune_or_its_replacement_is_a_kind() -> None:
    assert VENDORS.keys() >= ASKED_FOR


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS.keys())
def test_a_row_holds_together(vendor: Vendor) -> None:
    assert vendor.endpoints <= set(ENDPOINTS)
    assert "chat_completions" in vendor.endpoints
    assert vendor.source.startswith("https://") or vendor.kind == "sandbox"
    # litellm's worker has these four, and bridges one of them, for whom that is needed.
    assert vendor.litellm is None or vendor.endpoints <= {"chat_completions", "responses", "embeddings", "completions"}
    assert vendor.bridge is None or (vendor.litellm is None and "responses" not in vendor.endpoints)
    assert vendor.base_url is not None or vendor.path_prefix
    assert vendor.dates_path is None or (vendor.tells_dates and vendor.path_prefix)
    assert vendor.list_path.startswith("/")
    assert vendor.key_header == vendor.key_header.lower()
    settings = NO_SETTINGS | dict.fromkeys(vendor.needs, "x-1")
    address = vendor.address(settings)
    assert address is None or ("{" not in address and not address.endswith("/"))


@pytest.mark.parametrize(
    ("kind", "settings", "address"),
    [
        pytest.param("openai", {}, "https://api.openai.com/v1", id="one address for all"),
        pytest.param("azure", {}, None, id="none of its own"),
        pytest.param("bedrock", {}, None, id="none without a region"),
        pytest.param("bedrock", {"region": "us-1"}, "https://bedrock-runtime.us-1.amazonaws.com", id="with a region"),
        pytest.param(
            "vertex-openai",
            {"project": "p", "location": "us-east1"},
            "https://us-east1-aiplatform.googleapis.com/v1/projects/p/locations/us-east1/endpoints/openapi",
            id="of a project at a location",
        ),
        pytest.param(
            "vertex-openai",
            {"project": "p", "location": "global"},
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi",
            id="the global host names no location",
        ),
    ],
)  # fmt: skip
def test_where_a_vendor_lives(kind: str, settings: dict[str, str], address: str | None) -> None:
    assert VENDORS[kind].address(NO_SETTINGS | settings) == address
