import pytest

from gateway.policy.substitution import is_substitute, same_model

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        pytest.param("gpt-6-luna", "gpt-6-luna", id="the same id"),
        pytest.param("gpt-4o-mini", "gpt-4o-mini-2024-07-18", id="an alias and its snapshot"),
        pytest.param("claude-opus", "claude-opus-20250514", id="a snapshot's date without dashes"),
        pytest.param("gpt-4", "gpt-4-0613", id="a snapshot by month and day"),
        pytest.param("mistral-small", "mistral-small-2503", id="a snapshot by year and month"),
        pytest.param("mistral-large-latest", "mistral-large-2411", id="an alias that says latest"),
        pytest.param(FINE_TUNE, FINE_TUNE.lower(), id="a fine-tune's id in another case"),
    ],
)
def test_the_model_that_was_asked_for(asked: str, answered: str) -> None:
    assert same_model(asked, answered)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        pytest.param("gpt-4o", "gpt-4o-mini", id="another size"),
        pytest.param("gpt-4o", "gpt-4o-mini-2024-07-18", id="a snapshot of another size"),
        pytest.param("gpt-4o", "gpt-4o-2024-13-01", id="digits that are no date"),
        pytest.param("gpt-4o", "gpt-4o-2024-08-06-preview", id="more behind the date"),
        pytest.param("embed", "embed-9999", id="four digits that are no date"),
        pytest.param("gpt-4o-2024-08-06", "gpt-4o", id="an alias for a snapshot: it may have moved on"),
        pytest.param("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", id="another snapshot"),
        pytest.param(FINE_TUNE, "gpt-4o-mini-2024-07-18", id="the base for its fine-tune"),
        pytest.param(FINE_TUNE, FINE_TUNE[:-1] + "5", id="another fine-tune of the same base"),
        pytest.param("ft:gpt-4o-mini", "ft:gpt-4o-mini-2024-07-18", id="a fine-tune is no alias"),
        pytest.param("claims-ft", "gpt-4.1-mini-2025-04-14", id="a deployment that nothing is known of"),
        pytest.param("gpt-6-luna", "", id="no name at all"),
    ],
)
def test_another_model(asked: str, answered: str) -> None:
    assert not same_model(asked, answered)


def test_a_deployment_answers_with_the_name_of_its_base() -> None:
    assert same_model("claims-ft", "gpt-4.1-mini-2025-04-14", answers_as="gpt-4.1-mini-2025-04-14")
    assert same_model("our-luna", "gpt-6-luna-2026-09-22", answers_as="gpt-6-luna")
    assert not same_model("our-luna", "gpt-4o", answers_as="gpt-6-luna")


# As providers spell it.

LORA = "accounts/acme/models/reply"
LLAMA = "meta-llama/Llama-3.3-70B-Instruct"


@pytest.mark.parametrize(
    ("kind", "asked", "answered", "base"),
    [
        pytest.param("openai", "gpt-4o", "gpt-4o-2024-08-06", None, id="an alias and its snapshot"),
        pytest.param("openai-compatible", "gpt-4o", "openai/gpt-4o-2024-08-06", None, id="a router names the vendor"),
        pytest.param("openai-compatible", "openai/gpt-4o", "gpt-4o", None, id="a router leaves the vendor out"),
        pytest.param("openrouter", "openai/gpt-4o:nitro", "openai/gpt-4o", None, id="how it is to be routed"),
        pytest.param("openrouter", "openrouter/auto", "openai/gpt-4o", None, id="a router that chooses"),
        pytest.param("vllm", "forum-reply", "forum-reply", LLAMA, id="a LoRA by its name"),
        pytest.param("sglang", LLAMA.lower(), LLAMA, None, id="another case"),
        pytest.param("ollama", "llama3.2", "llama3.2:latest", None, id="the tag for no tag"),
        pytest.param("llama.cpp", "qwen3-8b", "/srv/models/Qwen3-8B.gguf", None, id="a file"),
        pytest.param("fireworks", f"{LORA}#accounts/acme/deployments/d1", LORA, None, id="a model on a deployment"),
        pytest.param("databricks", "claims", "meta-llama-3.3-70b-instruct-121024", None, id="an endpoint's content"),
        pytest.param("azure", "claims-ft", "gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18", id="a deployed base"),
        pytest.param("azure", "claims-ft", "gpt-4o-mini-2024-07-18.ft-0e2", "gpt-4o-mini", id="a deployed fine-tune"),
        pytest.param("azure", "claims-ft", "gpt-4o-mini-2024-07-18", None, id="a deployment of nobody knows what"),
        pytest.param("azure", "chooser", "gpt-6-luna", "model-router", id="a deployment that chooses"),
    ],
)
def test_one_model_in_several_spellings(kind: str, asked: str, answered: str, base: str | None) -> None:
    assert not is_substitute(kind, asked, answered, base)


@pytest.mark.parametrize(
    ("kind", "asked", "answered", "base"),
    [
        pytest.param("openai", FINE_TUNE, "gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18", id="a fine-tune's base"),
        pytest.param("vllm", "forum-reply", LLAMA, LLAMA, id="a LoRA's base"),
        pytest.param("openrouter", "acme/llama", "meta/llama", None, id="the same name by another vendor"),
        pytest.param("openrouter", "openai/gpt-4o", "openai/gpt-4o-mini", None, id="another size"),
        pytest.param("xai", "grok-3", "grok-4.3", None, id="a successor"),
        pytest.param("lmstudio", "qwen3-8b", "gemma-4-9b", None, id="what happens to be loaded"),
        pytest.param("azure", "claims-ft", "gpt-6-luna", "gpt-4o-mini-2024-07-18", id="a deployment of another base"),
        pytest.param("sandbox", "fault-substitute", "gpt-4.1-mini-2025-04-14", None, id="the sandbox's own"),
    ],
)
def test_a_substitute(kind: str, asked: str, answered: str, base: str | None) -> None:
    assert is_substitute(kind, asked, answered, base)
