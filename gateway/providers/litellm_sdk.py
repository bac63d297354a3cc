"""The one file that imports litellm: one call in OpenAI's terms goes in, OpenAI's JSON or events come out.

Only the worker process imports this module (``litellm_worker``): the import takes seconds and 200 MiB, and one call
some milliseconds of processor time. Everything that litellm would do beside the call is off: retries, fallbacks,
callbacks, caches, telemetry, proxies from the environment, and fetching prices, headers or the images of messages.
"""

import base64
import contextlib
import importlib
import os
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import orjson

from gateway.providers.litellm_answer import as_answer, as_chunk, as_response_event
from gateway.providers.litellm_failures import CallFailed, error_event, not_fetched, read_failure, refused
from gateway.providers.litellm_request import HINTS, Call, UnsupportedParameter, refuse_what_is_stored

_BEFORE_IMPORT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    # Otherwise it reads a .env file from wherever the process was started.
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "CRITICAL",
    # Pictures are fetched by nobody here: a caller's URL must not make the gateway call it.
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",
    "DISABLE_AIOHTTP_TRUST_ENV": "True",
    "AWS_EC2_METADATA_SERVICE_NUM_ATTEMPTS": "1",
}
os.environ.update(_BEFORE_IMPORT)

import litellm  # noqa: E402, TID251

# The gateway's own deadlines end a call; this one only keeps what they miss from staying for ever.
_TIMEOUT_S = 3600.0
# The surface of AWS that takes every model in one form, custom and imported ones too.
_BEDROCK_ROUTES = (
    "converse/", "invoke/", "converse_like/", "openai/", "chat_completions/", "agent/", "agentcore/", "mantle/",
    "async_invoke/", "nova/", "nova-2/",
)  # fmt: skip
_MCP = "litellm.responses.mcp"
# Their prompts have one place for instructions, before the conversation.
_SYSTEM_FIRST = frozenset({"anthropic", "bedrock"})
_BRIDGE_IGNORES = HINTS | {"include", "truncation"}
_BRIDGE_LACKS = frozenset({"max_tool_calls", "top_logprobs", "context_management"})


def configure() -> None:
    """Switch off whatever litellm would do beside the call."""
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.num_retries = 0
    litellm.drop_params = False
    litellm.modify_params = False
    litellm.cache = None
    litellm.in_memory_llm_clients_cache.max_size_in_memory = 200
    litellm.callbacks = []
    litellm.success_callback = litellm.failure_callback = litellm.input_callback = []
    litellm.turn_off_message_logging = True
    litellm.redact_messages_in_exceptions = True
    litellm.disable_streaming_logging = True
    litellm.disable_hf_tokenizer_download = True
    litellm.aiohttp_trust_env = False
    litellm.disable_aiohttp_trust_env = True
    litellm.user_url_validation = True
    _leave_mcp_out()
    _keep_gemini_open()
    _fetch_nothing()


def _leave_mcp_out() -> None:
    """Stand in for two modules that litellm imports for any call with tools, and that import a library not needed here.

    They look among the tools for MCP servers of litellm's proxy, which is not here: there are never any.
    """
    handler, calls = ModuleType(f"{_MCP}.litellm_proxy_mcp_handler"), ModuleType(f"{_MCP}.chat_completions_handler")
    never = SimpleNamespace(should_use_litellm_mcp_gateway=lambda tools: False)
    vars(handler)["LiteLLM_Proxy_MCP_Handler"] = never
    vars(calls)["acompletion_with_mcp"] = None
    sys.modules.update({handler.__name__: handler, calls.__name__: calls})


def _keep_gemini_open() -> None:
    """Have Gemini's streams end where Google says so.

    litellm gives every chunk a finish_reason of its own, and an answer that was cut off would look complete.
    """
    from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import (  # noqa: TID251
        VertexGeminiConfig,
    )

    config: Any = VertexGeminiConfig
    create = config._create_streaming_choice

    def choice_of(**parts: Any) -> Any:
        choice = create(**parts)
        if parts["candidate"].get("finishReason") is None:
            choice.finish_reason = None
        return choice

    config._create_streaming_choice = staticmethod(choice_of)


def _fetch_nothing() -> None:
    """Close the ways in which litellm fetches what messages name by URL; its own switch leaves Bedrock's open."""

    def refuse(client: object, url: str, **how: object) -> NoReturn:
        raise not_fetched()

    async def refuse_later(client: object, url: str, **how: object) -> NoReturn:
        raise not_fetched()

    for name in ("prompt_templates.factory", "prompt_templates.image_handling", "token_counter"):
        module: Any = importlib.import_module(f"litellm.litellm_core_utils.{name}")
        module.safe_get = refuse
        if hasattr(module, "async_safe_get"):
            module.async_safe_get = refuse_later


async def perform(call: Call) -> bytes | AsyncGenerator[bytes, None]:
    """Make one call; return its JSON, or its server-sent events once the first has arrived.

    The events are one block each. A failure after the first becomes the last one, ``data: {"error": …}``, and no
    ``[DONE]`` follows. Close the generator to end the upstream's call too.

    Raises:
        CallFailed: there is no answer, and nothing was sent yet.
    """
    try:
        arguments = _arguments(call)
    except UnsupportedParameter as error:
        raise refused(error) from None
    try:
        answer = await _start(call, arguments)
        if not call.stream:
            return _encode(call, answer)
        events = _events(call, answer)
        first = await _first(events, answer)
    except CallFailed:
        raise
    except Exception as error:
        raise read_failure(error, secrets=(call.key or "",)) from None
    return _relay(call, first, events, answer)


async def _start(call: Call, arguments: dict[str, Any]) -> Any:
    match call.endpoint:
        case "chat_completions":
            return await litellm.acompletion(**arguments)
        case "completions":
            return await litellm.atext_completion(**arguments)
        case "embeddings":
            return await litellm.aembedding(**arguments)
        case "responses":
            return await litellm.aresponses(**arguments)


def _arguments(call: Call) -> dict[str, Any]:
    """Return what litellm's function is called with.

    Raises:
        UnsupportedParameter: the vendor has nothing for what the caller asks.
    """
    fields = _accepted(call)
    arguments: dict[str, Any] = {
        **fields,
        **call.options,
        "model": _model(call),
        "custom_llm_provider": call.provider,
        "timeout": _TIMEOUT_S,
        "num_retries": 0,
        "max_retries": 0,
        "no-log": True,
        "caching": False,
    }
    if call.key is not None:
        # Vertex AI takes no keys: a service account's JSON stands in for one.
        arguments["vertex_credentials" if call.provider == "vertex_ai" else "api_key"] = call.key
    if call.stream:
        arguments["stream"] = True
        if call.endpoint != "responses":
            arguments["stream_options"] = {"include_usage": True}
    return arguments


def _accepted(call: Call) -> dict[str, Any]:
    """Return the fields that the vendor knows; hints that it does not know are left out.

    Raises:
        UnsupportedParameter: it does not know one that matters.
    """
    fields = dict(call.fields)
    if call.endpoint == "responses":
        if not _is_bridged(call):
            return fields
        refuse_what_is_stored(call)
        lacking = sorted(fields.keys() & _BRIDGE_LACKS)
        if lacking:
            raise UnsupportedParameter(f"This model's provider does not take '{lacking[0]}'.", param=lacking[0])
        return {name: value for name, value in fields.items() if name not in _BRIDGE_IGNORES}
    if call.endpoint != "chat_completions":
        return fields
    if call.provider in _SYSTEM_FIRST:
        fields["messages"] = _system_first(fields.get("messages") or [])
    known = litellm.get_supported_openai_params(call.model, custom_llm_provider=call.provider)
    if known is not None:
        for name in (fields.keys() & HINTS) - set(known):
            del fields[name]
    return fields


def _system_first(messages: Sequence[Any]) -> list[Any]:
    """Put instructions before the conversation, as these vendors' own layers for OpenAI's format do.

    litellm would make user's words of those that stand behind examples, where a fallback's prompt leaves the caller's.
    """
    is_system = [isinstance(message, dict) and message.get("role") in ("system", "developer") for message in messages]
    first = [message for message, system in zip(messages, is_system, strict=True) if system]
    return first + [message for message, system in zip(messages, is_system, strict=True) if not system]


def _is_bridged(call: Call) -> bool:
    """Say whether litellm reaches this vendor's model over chat completions."""
    return litellm.ProviderConfigManager.get_provider_responses_api_config(call.provider, call.model) is None


def _model(call: Call) -> str:
    converses = call.provider == "bedrock" and call.endpoint in ("chat_completions", "responses")
    return f"converse/{call.model}" if converses and not call.model.startswith(_BEDROCK_ROUTES) else call.model


def _encode(call: Call, answer: Any) -> bytes:
    content = answer.model_dump(mode="json", exclude_none=call.endpoint != "responses")
    if call.endpoint == "embeddings" and call.packed:
        for row in content["data"]:
            row["embedding"] = base64.b64encode(struct.pack(f"<{len(row['embedding'])}f", *row["embedding"])).decode()
    return orjson.dumps(as_answer(content, bridged=call.endpoint == "responses" and _is_bridged(call)))


async def _first(events: AsyncGenerator[bytes, None], answer: Any) -> bytes:
    try:
        return await anext(events)
    except StopAsyncIteration:
        raise CallFailed(
            502, {}, b'{"error":{"message":"The provider\'s stream held nothing.","code":"empty"}}'
        ) from None
    except BaseException:
        await _close(answer)
        raise


async def _relay(
    call: Call, first: bytes, events: AsyncGenerator[bytes, None], answer: Any
) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        async for event in events:
            yield event
    except GeneratorExit:
        raise
    except Exception as error:
        failure = error if isinstance(error, CallFailed) else read_failure(error, secrets=(call.key or "",))
        yield b"data: %b\n\n" % error_event(failure)
    finally:
        await _close(answer)


async def _close(answer: Any) -> None:
    """End the provider's stream, whatever litellm wrapped it in."""
    for holder in (answer, getattr(answer, "completion_stream", None), getattr(answer, "response", None)):
        close = getattr(holder, "aclose", None)
        if close is not None:
            with contextlib.suppress(Exception):
                await close()


async def _events(call: Call, answer: AsyncIterator[Any]) -> AsyncGenerator[bytes, None]:
    if call.endpoint == "responses":
        number, bridged = 0, _is_bridged(call)
        async for event in answer:
            content = as_response_event(event.model_dump(mode="json", exclude_none=True), number, bridged=bridged)
            yield b"event: %b\ndata: %b\n\n" % (str(content.get("type", "")).encode(), orjson.dumps(content))
            number += 1
        return
    async for chunk in answer:
        if _is_made_up(chunk, answer):
            raise CallFailed(
                502, {}, b'{"error":{"message":"The provider\'s stream ended early.","code":"interrupted"}}'
            )
        yield b"data: %b\n\n" % orjson.dumps(as_chunk(chunk.model_dump(mode="json", exclude_none=True)))
    yield b"data: [DONE]\n\n"


def _is_made_up(chunk: Any, answer: Any) -> bool:
    """Say whether litellm wrote this ending: it closes a stream that broke off with a "stop" of its own."""
    if not any(getattr(choice, "finish_reason", None) for choice in getattr(chunk, "choices", ())):
        return False
    return getattr(answer, "received_finish_reason", "") is None and answer.intermittent_finish_reason is None
