from typing import Any

import pytest

from gateway.config.routes import Parameters
from gateway.config.vendors import VENDORS
from gateway.policy.traits import WORDS
from gateway.providers.abilities import Abilities, read_refused
from tests.example_routes import a_fallback, a_provider

EFFORT_NONE = Parameters(set={"reasoning_effort": "none"})


@pytest.fixture(scope="module")
def abilities() -> Abilities:
    return Abilities()


@pytest.mark.parametrize(
    ("target", "trait", "refused"),
    [
        pytest.param({"model": "gpt-6-luna"}, "temperature", True, id="GPT-6 refuses a temperature"),
        pytest.param(
            {"model": "gpt-6-luna", "parameters": EFFORT_NONE}, "temperature", False, id="but not without reasoning"
        ),
        pytest.param({"model": "gpt-6-luna", "parameters": EFFORT_NONE}, "max_tokens", True, id="max_tokens always"),
        pytest.param({"model": "gpt-6.1-sol"}, "tools", True, id="tools need reasoning to be off"),
        pytest.param({"model": "gpt-6-luna"}, "image", False, id="litellm's map says that it sees"),
        pytest.param({"model": "gpt-3.5-turbo"}, "temperature", False, id="older models take it"),
        pytest.param({"model": "gpt-6-luna"}, "top_k", True, id="OpenAI refuses what is another vendor's"),
        pytest.param(
            {"model": "gpt-6-luna", "provider": a_provider(kind="vllm")}, "top_k", False, id="who serves it may take it"
        ),
        pytest.param(
            {"model": "our-luna", "base": "gpt-6-luna", "provider": a_provider(kind="azure")},
            "temperature",
            True,
            id="a deployment refuses what its base does",
        ),
        pytest.param(
            {"model": "gpt-6-luna", "provider": a_provider(kind="sandbox")}, "logit_bias", True, id="the sandbox's own"
        ),
        pytest.param({"model": "nobody-knows"}, "image", False, id="what is not known is not refused"),
    ],
)
def test_what_a_model_refuses(target: dict[str, Any], trait: str, refused: bool, abilities: Abilities) -> None:
    assert (trait in abilities.refused_by(a_fallback(**target))) is refused


def test_a_written_no_of_litellms_map_counts(abilities: Abilities) -> None:
    rows = abilities._rows
    model = next(
        name
        for name, row in rows.items()
        if row.get("litellm_provider") == "openai" and row.get("supports_response_schema") is False and "/" not in name
    )
    assert abilities.refused_by(a_fallback(model=model))["json_schema"].startswith("litellm-")


def test_every_row_that_ships_names_its_source_and_known_words() -> None:
    refused = read_refused()
    assert refused.rows
    for row in refused.rows:
        assert row.source
        assert set(row.refuses) <= WORDS
        assert set(row.kinds) <= VENDORS.keys()
