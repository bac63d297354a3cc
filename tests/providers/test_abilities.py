from typing import Any

import pytest

from gateway.config.routes import CapabilityEntry, Parameters
from gateway.providers.abilities import Abilities
from tests.example_routes import a_fallback, a_provider

EFFORT_NONE = Parameters(set={"reasoning_effort": "none"})


@pytest.fixture(scope="module")
def abilities() -> Abilities:
    return Abilities()


SETS_A_TEMPERATURE = Parameters(set={"temperature": 0.5})


@pytest.mark.parametrize(
    ("target", "trait", "refused"),
    [
        pytest.param({"model": "gpt-6-luna"}, "temperature", False, id="GPT-6 refuses it, and the gateway drops it"),
        pytest.param(
            {"model": "gpt-6-luna", "parameters": SETS_A_TEMPERATURE}, "temperature", True, id="unless it is asked for"
        ),
        pytest.param(
            {"model": "gpt-6-luna", "parameters": Parameters(set={"temperature": 0.5, "reasoning_effort": "none"})},
            "temperature",
            False,
            id="which is fine without reasoning",
        ),
        pytest.param({"model": "gpt-6-luna"}, "top_logprobs", True, id="what nothing can stand in for is refused"),
        pytest.param(
            {"model": "gpt-6-luna", "parameters": EFFORT_NONE}, "top_logprobs", False, id="but not without reasoning"
        ),
        pytest.param({"model": "gpt-6.1-sol"}, "tools", False, id="for tools reasoning is set to none"),
        pytest.param({"model": "gpt-6-luna"}, "image", False, id="litellm's map says that it sees"),
        pytest.param({"model": "gpt-3.5-turbo"}, "top_logprobs", False, id="older models take them"),
        pytest.param({"model": "gpt-6-luna"}, "guided_json", True, id="OpenAI refuses what is another vendor's"),
        pytest.param(
            {"model": "gpt-6-luna", "provider": a_provider(kind="vllm")}, "guided_json", False, id="who has it takes it"
        ),
        pytest.param(
            {"model": "our-luna", "base": "gpt-6-luna", "provider": a_provider(kind="azure")},
            "top_logprobs",
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


def test_what_the_operator_knows_outranks_every_table() -> None:
    known = {"here": {"gpt-6-luna": CapabilityEntry(takes=("top_logprobs",), lacks=("image",), source="tried")}}
    refused = Abilities(known).refused_by(a_fallback(model="gpt-6-luna"))
    assert "top_logprobs" not in refused
    assert refused["image"] == "routes.yaml: tried"
