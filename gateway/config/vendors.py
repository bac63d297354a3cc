"""Every kind of provider that routes.yaml may name: the differences as data, one row a kind.

A vendor's issues (paths, the header of the credential, which endpoints there are, how a model is looked up) are settled
here and nowhere else. Most speak OpenAI's wire format; those with ``litellm`` are spoken to through its worker.
"""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Final

from gateway.config.vendor import ENDPOINTS, FineTuneRule, Identity, Setting, Vendor

__all__ = ["ENDPOINTS", "READ", "VENDORS", "FineTuneRule", "Identity", "Setting", "Vendor"]

READ: Final = date(2026, 11, 24)
"""When the rows' sources were read."""

_ALL: Final = frozenset(ENDPOINTS)
_CHAT: Final = frozenset(("chat_completions",))
_TEXT: Final = frozenset(("chat_completions", "completions"))
_BRIDGED: Final = frozenset(("chat_completions", "responses"))
_WITH_VECTORS: Final = _BRIDGED | {"embeddings"}
_SERVER: Final = _TEXT | {"responses", "embeddings"}

_ROWS: Final = (
    Vendor(
        kind="openai",
        source="https://platform.openai.com/docs/api-reference",
        endpoints=_ALL,
        base_url="https://api.openai.com/v1",
        caches_by_key=True,
        tells_dates=True,
    ),
    # The version-less surface takes a deployment's name as the model; its list shows what could be deployed.
    Vendor(
        kind="azure",
        source="https://learn.microsoft.com/azure/ai-foundry/openai/reference-preview-latest",
        endpoints=_ALL - {"moderations"},
        path_prefix="/openai/v1",
        key_header="api-key",
        identity="azure",
        caches_by_key=True,
        dated=True,
        lists_models=False,
        names_deployments=True,
        fine_tune_rule="training+365d",
        tells_dates=True,
        dates_path="/openai/models?api-version=2024-10-21",
    ),
    # litellm adds /v1/messages. The list's default page has 20 models, its largest 1,000.
    Vendor(
        kind="anthropic",
        source="https://platform.claude.com/docs/en/api/models-list",
        endpoints=_BRIDGED,
        litellm="anthropic",
        base_url="https://api.anthropic.com",
        key_header="x-api-key",
        headers=(("anthropic-version", "2023-06-01"),),
        list_path="/v1/models?limit=1000",
        tells_dates=True,
    ),
    # Its list wants AWS's signature, and does not hold custom models. A key is a Bedrock API key.
    Vendor(
        kind="bedrock",
        source="https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html",
        endpoints=_WITH_VECTORS,
        litellm="bedrock",
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        identity="aws",
        needs=("region",),
        lists_models=False,
    ),
    # Takes no API keys: what is named as one holds a service account's JSON.
    Vendor(
        kind="vertex",
        source="https://docs.litellm.ai/docs/providers/vertex",
        endpoints=_WITH_VECTORS,
        litellm="vertex_ai",
        base_url="https://{location}-aiplatform.googleapis.com",
        identity="google",
        needs=("project", "location"),
        lists_models=False,
    ),
    # Vertex AI in OpenAI's format: google/gemini-…, partners' models, and endpoints of one's own by base_url.
    Vendor(
        kind="vertex-openai",
        source="https://docs.cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/examples",
        endpoints=_CHAT,
        base_url="https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/endpoints/openapi",
        identity="google",
        needs=("project", "location"),
        lists_models=False,
    ),
    # Of its list a page has 50 models by default, 1,000 at most.
    Vendor(
        kind="gemini",
        source="https://ai.google.dev/api/rest/v1beta/models/list",
        endpoints=_WITH_VECTORS,
        litellm="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        path_prefix="/v1beta",
        key_header="x-goog-api-key",
        list_path="/models?pageSize=1000",
    ),
    Vendor(
        kind="cohere",
        source="https://docs.cohere.com/reference/list-models",
        endpoints=_WITH_VECTORS,
        litellm="cohere_chat",
        base_url="https://api.cohere.com",
        litellm_paths={"chat_completions": "/v2/chat", "responses": "/v2/chat", "embeddings": "/v2/embed"},
        list_path="/v1/models?page_size=1000",
    ),
    # Its /audio/speech and /fim/completions are shaped otherwise.
    Vendor(
        kind="mistral",
        source="https://docs.mistral.ai/api",
        endpoints=_CHAT | {"embeddings", "moderations", "transcriptions"},
        bridge="mistral",
        base_url="https://api.mistral.ai/v1",
        tells_dates=True,
    ),
    Vendor(
        kind="together",
        source="https://docs.together.ai/docs/inference/openai-compatibility",
        endpoints=_TEXT | {"embeddings", "images", "speech", "transcriptions"},
        bridge="together_ai",
        base_url="https://api.together.xyz/v1",
    ),
    Vendor(
        kind="fireworks",
        source="https://docs.fireworks.ai/guides/response-api",
        endpoints=_SERVER,
        base_url="https://api.fireworks.ai/inference/v1",
    ),
    Vendor(
        kind="groq",
        source="https://console.groq.com/docs/openai",
        endpoints=_BRIDGED | {"speech", "transcriptions"},
        base_url="https://api.groq.com/openai/v1",
    ),
    # Completions (fill in the middle) live at another address, /beta.
    Vendor(
        kind="deepseek",
        source="https://api-docs.deepseek.com/api/deepseek-api",
        endpoints=_CHAT,
        bridge="deepseek",
        base_url="https://api.deepseek.com/v1",
    ),
    # Its transcriptions take JSON, not a form.
    Vendor(
        kind="openrouter",
        source="https://openrouter.ai/docs/guides/features/compatibility",
        endpoints=_SERVER,
        base_url="https://openrouter.ai/api/v1",
        tells_dates=True,
    ),
    # Its own /responses is for OpenAI's models only; litellm knows which those are, and bridges the others.
    Vendor(
        kind="databricks",
        source="https://docs.databricks.com/machine-learning/model-serving/score-foundation-models.html",
        endpoints=_TEXT | {"embeddings"},
        bridge="databricks",
        path_prefix="/serving-endpoints",
        lists_models=False,
    ),
    Vendor(
        kind="nim",
        source="https://docs.nvidia.com/nim/large-language-models/latest/reference/api-reference.html",
        endpoints=_SERVER,
        base_url="https://integrate.api.nvidia.com/v1",
    ),
    Vendor(
        kind="xai",
        source="https://docs.x.ai/api-reference",
        endpoints=_BRIDGED | {"images"},
        base_url="https://api.x.ai/v1",
    ),
    Vendor(
        kind="cerebras",
        source="https://inference-docs.cerebras.ai/api-reference/completions",
        endpoints=_TEXT,
        bridge="cerebras",
        base_url="https://api.cerebras.ai/v1",
    ),
    # /responses is another product of theirs (Agent API), with other models.
    Vendor(
        kind="perplexity",
        source="https://docs.perplexity.ai/docs/sonar/openai-compatibility",
        endpoints=_CHAT,
        base_url="https://api.perplexity.ai",
        lists_models=False,
    ),
    Vendor(
        kind="huggingface",
        source="https://huggingface.co/docs/inference-providers/guides/responses-api",
        endpoints=_BRIDGED,
        base_url="https://router.huggingface.co/v1",
    ),
    # Servers of one's own.
    Vendor(
        kind="vllm",
        source="https://docs.vllm.ai/en/stable/serving/online_serving.html",
        endpoints=_SERVER | {"transcriptions"},
        path_prefix="/v1",
        needs_key=False,
        fine_tune_rule="own",
    ),
    Vendor(
        kind="sglang",
        source="https://docs.sglang.io/docs/basic_usage/openai_api",
        endpoints=_SERVER,
        path_prefix="/v1",
        needs_key=False,
        fine_tune_rule="own",
    ),
    Vendor(
        kind="ollama",
        source="https://docs.ollama.com/api/openai-compatibility",
        endpoints=_SERVER,
        base_url="http://127.0.0.1:11434/v1",
        path_prefix="/v1",
        needs_key=False,
        fine_tune_rule="own",
    ),
    Vendor(
        kind="llama.cpp",
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        endpoints=_SERVER,
        path_prefix="/v1",
        needs_key=False,
        fine_tune_rule="own",
    ),
    Vendor(
        kind="lmstudio",
        source="https://lmstudio.ai/docs/api/openai-api",
        endpoints=_SERVER,
        path_prefix="/v1",
        needs_key=False,
        fine_tune_rule="own",
    ),
    # Serves the one model that it has, whatever is asked for.
    Vendor(
        kind="tgi",
        source="https://huggingface.co/docs/text-generation-inference/messages_api",
        endpoints=_TEXT,
        bridge="custom_openai",
        path_prefix="/v1",
        needs_key=False,
        fine_tune_rule="own",
    ),
    # Whoever else speaks it: which endpoints there are is theirs to say.
    Vendor(
        kind="openai-compatible",
        source="https://platform.openai.com/docs/api-reference",
        endpoints=_ALL,
        path_prefix="/v1",
        needs_key=False,
    ),
    Vendor(
        kind="sandbox",
        source="gateway/sandbox",
        endpoints=_ALL,
        base_url="http://127.0.0.1:8081/v1",
        needs_key=False,
        caches_by_key=True,
        tells_dates=True,
    ),
)

VENDORS: Final[Mapping[str, Vendor]] = MappingProxyType({row.kind: row for row in _ROWS})
