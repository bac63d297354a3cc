"""What may go into litellm: lists of what is allowed, since every keyword that it knows could be an instruction to it.

Among those keywords are places to connect to, keys, fallbacks, files to write and answers to make up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.errors import InvalidRequest, NotFound

Endpoint = Literal["chat_completions", "completions", "embeddings", "responses"]

PATHS: Mapping[str, Endpoint] = {
    "/chat/completions": "chat_completions",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/responses": "responses",
}

_EVERYWHERE = frozenset({"model", "user", "metadata", "stream", "stream_options", "service_tier", "safety_identifier"})
_SAMPLING = frozenset(
    {
        "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n", "presence_penalty", "seed", "stop",
        "temperature", "top_p",
    }
)  # fmt: skip
# Fields of vendors' own that their documents name, and that litellm hands on.
_OF_VENDORS = frozenset({
    "top_k", "thinking", "cache_control", "context_management", "output_config",  # Anthropic
    "safety_settings", "labels",  # Google
    "guardrailConfig", "performanceConfig", "requestMetadata", "additionalModelRequestFields",  # Bedrock
    "safety_mode", "documents", "citation_options", "input_type",  # Cohere
    "safe_prompt", "min_p", "repetition_penalty",
})  # fmt: skip

ALLOWED: Mapping[Endpoint, frozenset[str]] = {
    "chat_completions": _EVERYWHERE | _SAMPLING | _OF_VENDORS | {
        "audio", "function_call", "functions", "max_completion_tokens", "messages", "modalities", "moderation",
        "parallel_tool_calls", "prediction", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "reasoning_effort", "response_format", "store", "tool_choice", "tools", "top_logprobs", "verbosity",
        "web_search_options",
    },
    "completions": _EVERYWHERE | _SAMPLING | {"best_of", "echo", "prompt", "suffix", "top_k"},
    "embeddings": frozenset({"dimensions", "encoding_format", "input", "input_type", "model", "user"}),
    "responses": _EVERYWHERE | _OF_VENDORS | {
        "background", "conversation", "include", "input", "instructions", "max_output_tokens", "max_tool_calls",
        "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "reasoning", "store", "temperature", "text", "tool_choice", "tools",
        "top_logprobs", "top_p", "truncation",
    },
}  # fmt: skip

HINTS = frozenset({
    "prediction", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier",
    "service_tier", "store", "user", "verbosity",
})  # fmt: skip
"""What a vendor may leave unread and still answer what was asked: dropped where it knows no such thing."""

_STORES_WHAT_IS_MARKED = frozenset({"gemini", "vertex_ai"})
"""There ``cache_control`` makes litellm store it by calls of their own, which nobody would count."""

_NEVER_PASSED = frozenset({"model", "stream", "stream_options", "metadata"})
"""Set by us; ``metadata`` labels what OpenAI stores, and to litellm it is a place for instructions."""

MOST_ITEMS = 1_000
MOST_SCHEMA_NODES = 10_000
"""Of the messages and calls of a request, and of a schema with its references followed: litellm's work grows faster
than either, and everybody's calls wait for it."""

_OPTIONS = frozenset(
    {
        "api_base", "api_version", "organization",
        "aws_region_name", "aws_profile_name", "aws_role_name", "aws_session_name", "aws_external_id",
        "aws_web_identity_token", "aws_bedrock_runtime_endpoint", "aws_sts_endpoint", "model_id",
        "vertex_project", "vertex_location", "vertex_credentials",
        "tenant_id", "client_id", "azure_scope",
    }
)  # fmt: skip


class UnknownParameter(InvalidRequest):
    """A field that no vendor's documents name."""

    code = "unknown_parameter"


class UnsupportedParameter(InvalidRequest):
    """A field, or a value, that this vendor has nothing for."""

    code = "unsupported_parameter"


@dataclass(frozen=True, slots=True)
class Call:
    """One call, checked."""

    endpoint: Endpoint
    provider: str
    """litellm's ``custom_llm_provider``."""
    model: str
    fields: Mapping[str, Any]
    """What goes in of the caller's body."""
    stream: bool
    key: str | None
    """None where the machine's cloud identity speaks for us."""
    packed: bool
    """Whether the caller wants vectors as base64."""
    options: Mapping[str, Any]
    """Where to, as routes.yaml says: ``api_base``, ``aws_region_name`` …"""


def read_call(
    path: str, body: object, *, provider: str, key: str | None = None, options: Mapping[str, Any] | None = None
) -> Call:
    """Check one request of the gateway's.

    Raises:
        NotFound: nothing is served at this path.
        InvalidRequest: the body cannot go on unchanged; the message names the field.
    """
    endpoint = PATHS.get(path)
    if endpoint is None:
        raise NotFound(f"There is nothing at {path}.")
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise InvalidRequest("The body must be a JSON object with a model.", param="model")
    unknown = sorted(body.keys() - ALLOWED[endpoint])
    if unknown:
        raise UnknownParameter(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0])
    strange = sorted((options or {}).keys() - _OPTIONS)
    if strange:
        raise ValueError(f"unknown option for litellm: {strange[0]}")
    _refuse_hosted_tools(body.get("tools"))
    _refuse_too_much(body)
    # null means "not given" throughout OpenAI's API, and litellm does not take it so everywhere.
    fields = {name: value for name, value in body.items() if name not in _NEVER_PASSED and value is not None}
    if endpoint == "embeddings":
        # Base64 is only packing, and many vendors know floats alone: the worker packs.
        fields.pop("encoding_format", None)
    if provider in _STORES_WHAT_IS_MARKED:
        fields = {name: _unmarked(value) for name, value in fields.items()}
    return Call(
        endpoint=endpoint,
        provider=provider,
        model=body["model"],
        fields=fields,
        stream=body.get("stream") is True,
        key=key,
        packed=body.get("encoding_format") == "base64",
        options=options or {},
    )


def refuse_what_is_stored(call: Call) -> None:
    """Refuse what needs a vendor that stores responses; for vendors that are reached over chat completions.

    Raises:
        UnsupportedParameter: the answer would silently miss what the caller refers to.
    """
    for name in ("previous_response_id", "conversation", "prompt"):
        if call.fields.get(name) is not None:
            raise UnsupportedParameter(
                f"'{name}' refers to something stored, and this model's provider stores nothing: send the whole "
                "conversation as input.",
                param=name,
            )
    if call.fields.get("background") is True:
        raise UnsupportedParameter("This model's provider answers no request in the background.", param="background")
    for tool in call.fields.get("tools") or ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in ("function", "custom", "web_search", "web_search_preview"):
            raise UnsupportedParameter(f"This model's provider has no tool of type '{kind}'.", param="tools")


def _refuse_hosted_tools(tools: object) -> None:
    """Refuse tools that litellm would run by itself, through the proxy that is not here."""
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and str(tool.get("server_url", "")).startswith("litellm_proxy"):
            raise InvalidRequest("There is no such MCP server.", param="tools")


def _refuse_too_much(body: Mapping[str, Any]) -> None:
    """Refuse what would keep the worker busy for long.

    Raises:
        InvalidRequest: too many messages or calls, or a schema whose references multiply.
    """
    for name in ("messages", "input"):
        items = _listed(body.get(name))
        calls = sum(len(_listed(item.get("tool_calls"))) for item in items if isinstance(item, dict))
        # Texts to make vectors of are another matter.
        turns = sum(isinstance(item, dict) for item in items)
        if max(turns, calls) > MOST_ITEMS:
            raise InvalidRequest(
                f"This model's provider is asked with at most {MOST_ITEMS:,} messages and {MOST_ITEMS:,} tool calls.",
                param=name,
            )
    for name in ("tools", "functions", "response_format", "text"):
        if schema_nodes(body.get(name)) > MOST_SCHEMA_NODES:
            raise InvalidRequest(
                f"A schema in '{name}' has more than {MOST_SCHEMA_NODES:,} parts once its references are followed.",
                param=name,
            )


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def schema_nodes(schema: object) -> int:
    """Return how many parts JSON Schemas have, every ``$ref`` to a definition counted as often as it is followed.

    Linear in the schema: each definition is counted once. A definition that refers to itself counts as one part.
    """
    definitions: dict[str, object] = {}
    for holder in _objects(schema):
        for place in ("$defs", "definitions"):
            found = holder.get(place)
            if isinstance(found, dict):
                definitions |= {f"#/{place}/{name}": inner for name, inner in found.items()}
    counted: dict[str, int] = {}

    def count(node: object, within: frozenset[str]) -> int:
        total, waiting = 0, [node]
        while waiting:
            one = waiting.pop()
            total += 1
            if isinstance(one, list):
                waiting.extend(one)
            elif isinstance(one, dict):
                ref = one.get("$ref")
                if isinstance(ref, str) and ref in definitions and ref not in within:
                    if ref not in counted:
                        counted[ref] = count(definitions[ref], within | {ref}) if len(within) < 100 else 1
                    total += counted[ref]
                waiting.extend(value for name, value in one.items() if name not in ("$defs", "definitions"))
        return total

    return count(schema, frozenset())


def _objects(value: object) -> list[dict[str, Any]]:
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found.append(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return found


def _unmarked(value: Any) -> Any:
    """Return a value without any ``cache_control`` in it."""
    if isinstance(value, dict):
        return {name: _unmarked(inner) for name, inner in value.items() if name != "cache_control"}
    return [_unmarked(inner) for inner in value] if isinstance(value, list) else value
