"""Who serves a model that LiteLLM calls ``provider/model``: as data, one row a provider.

Addresses and names of variables are those of the installed litellm (1.106.2: ``get_llm_provider_logic.py`` and
``openai_like/providers.json``), read on 2026-11-24. A host that is one of our vendors' own is known from ``VENDORS``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.config.vendors import VENDORS
from gateway.providers.litellm_map import bundled_map

COMPATIBLE: Final = "openai-compatible"


@dataclass(frozen=True, slots=True)
class Served:
    """How one of LiteLLM's providers is reached from here."""

    kind: str
    key: str | None = None
    """The variable in which LiteLLM looks for the key where the config names none."""
    base_url: str | None = None
    """Its address, where the kind has none of its own."""
    base_variables: tuple[str, ...] = ()
    """Where LiteLLM looks for the address where the config has none."""


_OWN: Final = {
    "openai": Served("openai", "OPENAI_API_KEY", base_variables=("OPENAI_BASE_URL", "OPENAI_API_BASE")),
    "text-completion-openai": Served("openai", "OPENAI_API_KEY"),
    "azure": Served("azure", "AZURE_API_KEY", base_variables=("AZURE_API_BASE",)),
    "azure_text": Served("azure", "AZURE_API_KEY", base_variables=("AZURE_API_BASE",)),
    "azure_ai": Served("azure", "AZURE_AI_API_KEY", base_variables=("AZURE_AI_API_BASE",)),
    "anthropic": Served("anthropic", "ANTHROPIC_API_KEY", base_variables=("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL")),
    "bedrock": Served("bedrock"),
    "bedrock_converse": Served("bedrock"),
    "vertex_ai": Served("vertex"),
    "vertex_ai_beta": Served("vertex"),
    "gemini": Served("gemini", "GEMINI_API_KEY"),
    "cohere": Served("cohere", "COHERE_API_KEY"),
    "cohere_chat": Served("cohere", "COHERE_API_KEY"),
    "mistral": Served("mistral", "MISTRAL_API_KEY", base_variables=("MISTRAL_API_BASE",)),
    "codestral": Served("mistral", "CODESTRAL_API_KEY", "https://codestral.mistral.ai/v1"),
    "together_ai": Served("together", "TOGETHER_API_KEY", base_variables=("TOGETHER_AI_API_BASE",)),
    "fireworks_ai": Served("fireworks", "FIREWORKS_API_KEY", base_variables=("FIREWORKS_API_BASE",)),
    "groq": Served("groq", "GROQ_API_KEY", base_variables=("GROQ_API_BASE",)),
    "deepseek": Served("deepseek", "DEEPSEEK_API_KEY", base_variables=("DEEPSEEK_API_BASE",)),
    "openrouter": Served("openrouter", "OPENROUTER_API_KEY", base_variables=("OPENROUTER_API_BASE",)),
    "databricks": Served("databricks", "DATABRICKS_API_KEY", base_variables=("DATABRICKS_API_BASE",)),
    "nvidia_nim": Served("nim", "NVIDIA_NIM_API_KEY", base_variables=("NVIDIA_NIM_API_BASE",)),
    "xai": Served("xai", "XAI_API_KEY", base_variables=("XAI_API_BASE",)),
    "cerebras": Served("cerebras", "CEREBRAS_API_KEY", base_variables=("CEREBRAS_API_BASE",)),
    "perplexity": Served("perplexity", "PERPLEXITYAI_API_KEY", base_variables=("PERPLEXITY_API_BASE",)),
    "huggingface": Served("huggingface", "HF_TOKEN"),
    "hosted_vllm": Served("vllm", base_variables=("HOSTED_VLLM_API_BASE",)),
    "vllm": Served("vllm", base_variables=("HOSTED_VLLM_API_BASE",)),
    "ollama": Served("ollama", base_variables=("OLLAMA_API_BASE",)),
    "ollama_chat": Served("ollama", base_variables=("OLLAMA_API_BASE",)),
    "lm_studio": Served("lmstudio", base_variables=("LM_STUDIO_API_BASE",)),
    "llamafile": Served("llama.cpp", None, "http://127.0.0.1:8080/v1", ("LLAMAFILE_API_BASE",)),
}

_COMPATIBLE: Final = {
    "aiml": ("https://api.aimlapi.com/v2", "AIML_API_KEY"),
    "ai21_chat": ("https://api.ai21.com/studio/v1", "AI21_API_KEY"),
    "anyscale": ("https://api.endpoints.anyscale.com/v1", "ANYSCALE_API_KEY"),
    "baseten": ("https://inference.baseten.co/v1", "BASETEN_API_KEY"),
    "chutes": ("https://llm.chutes.ai/v1", "CHUTES_API_KEY"),
    "dashscope": ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "deepinfra": ("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "featherless_ai": ("https://api.featherless.ai/v1", "FEATHERLESS_AI_API_KEY"),
    "friendliai": ("https://api.friendli.ai/serverless/v1", "FRIENDLI_TOKEN"),
    "galadriel": ("https://api.galadriel.com/v1", "GALADRIEL_API_KEY"),
    "hyperbolic": ("https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    "inception": ("https://api.inceptionlabs.ai/v1", "INCEPTION_API_KEY"),
    "jina_ai": ("https://api.jina.ai/v1", "JINA_AI_API_KEY"),
    "lambda_ai": ("https://api.lambda.ai/v1", "LAMBDA_API_KEY"),
    "meta_llama": ("https://api.llama.com/compat/v1", "LLAMA_API_KEY"),
    "moonshot": ("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "nano-gpt": ("https://nano-gpt.com/api/v1", "NANOGPT_API_KEY"),
    "nebius": ("https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    "novita": ("https://api.novita.ai/v3/openai", "NOVITA_API_KEY"),
    "parasail": ("https://api.parasail.io/v1", "PARASAIL_API_KEY"),
    "poe": ("https://api.poe.com/v1", "POE_API_KEY"),
    "sambanova": ("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "scaleway": ("https://api.scaleway.ai/v1", "SCW_SECRET_KEY"),
    "v0": ("https://api.v0.dev/v1", "V0_API_KEY"),
    "vercel_ai_gateway": ("https://ai-gateway.vercel.sh/v1", "VERCEL_AI_GATEWAY_API_KEY"),
    "volcengine": ("https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY"),
    "voyage": ("https://api.voyageai.com/v1", "VOYAGE_API_KEY"),
    "wandb": ("https://api.inference.wandb.ai/v1", "WANDB_API_KEY"),
}
# Servers that speak OpenAI's format wherever somebody has put them.
_ANYWHERE: Final = (
    "openai_like", "custom_openai", "aiohttp_openai", "litellm_proxy", "xinference", "infinity", "llama_cpp",
    "docker_model_runner", "lemonade", "datarobot",
)  # fmt: skip

SERVED: Final[Mapping[str, Served]] = {
    **_OWN,
    **{name: Served(COMPATIBLE, key, base_url) for name, (base_url, key) in _COMPATIBLE.items()},
    **{name: Served(COMPATIBLE) for name in _ANYWHERE},
}
"""LiteLLM's name of a provider → how it is reached. Who is absent speaks a format that nobody here does."""

_FAMILIES: Final = (
    (("ft:", "gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-", "dall-e", "tts-1", "whisper-1"), "openai"),
    (("omni-moderation", "text-moderation", "davinci-", "babbage-", "codex-"), "openai"),
    (("claude-",), "anthropic"),
    (("command-", "embed-english", "embed-multilingual", "embed-v4"), "cohere"),
    (("gemini-",), "vertex_ai"),
)
_AZURE_HOSTS: Final = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com", ".azure-api.net")


class Listed:
    """LiteLLM's own list of models, for ids that do not begin with a provider; it is read when first asked."""

    def __init__(self) -> None:
        self._providers: dict[str, str] | None = None

    def provider(self, model: str) -> str | None:
        """Return LiteLLM's name of who serves a model, or None where its list does not have it."""
        if self._providers is None:
            rows = bundled_map().read()
            self._providers = {key: str(row.get("litellm_provider")).partition("-")[0] for key, row in rows.items()}
        return self._providers.get(model)


def provider_of(model: str, custom: str | None, base_url: str | None, listed: Listed) -> tuple[str | None, str]:
    """Return LiteLLM's name of who serves a model, and the model's id there; None where it cannot be told.

    Args:
        model: As the config has it, with or without a provider before it.
        custom: ``custom_llm_provider``, which outranks what the model begins with.
        base_url: Where it is served, if the config says.
        listed: For ids without a provider.
    """
    prefix, slash, rest = model.partition("/")
    if custom:
        return custom, rest if slash and prefix == custom else model
    # What is written like BAAI/bge-m3 begins with an organisation on Hugging Face.
    if slash and (prefix in SERVED or re.fullmatch(r"[a-z0-9_]+", prefix)):
        return prefix, rest
    for starts, provider in _FAMILIES:
        if model.startswith(starts):
            return provider, model
    if (found := listed.provider(model)) is not None:
        return found, model
    # LiteLLM asks for a provider here; with an address it can only be somebody who speaks OpenAI's format.
    return ("openai", model) if base_url else (None, model)


def kind_at(base_url: str) -> str | None:
    """Return the kind whose own address this is; None: nobody's that is known."""
    try:
        url = urlsplit(base_url)
        host, port = (url.hostname or "").lower(), url.port
    except ValueError:
        return None
    if host.endswith(_AZURE_HOSTS):
        return "azure"
    if host.endswith((".cloud.databricks.com", ".azuredatabricks.net")):
        return "databricks"
    if port == 11434:
        return "ollama"
    if host in ("api.together.ai", "api.together.xyz"):
        return "together"
    return _hosts().get(host)


def _hosts() -> dict[str, str]:
    """Return the hosts of those who speak OpenAI's format themselves, by kind."""
    found = {}
    for vendor in VENDORS.values():
        host = urlsplit(vendor.base_url).hostname if vendor.base_url and "{" not in vendor.base_url else None
        if host and vendor.litellm is None and host != "127.0.0.1":
            found[host] = vendor.kind
    return found
