"""A request of the Responses API: checked, and turned into the chat that it means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.sandbox.chat_request import (
    ChatRequest,
    Numbers,
    Types,
    check_scalars,
    parse_effort,
    parse_format,
)
from gateway.sandbox.messages import Message
from gateway.sandbox.refusals import invalid_type, invalid_value, missing_parameter, openai_error, unknown_parameter
from gateway.sandbox.response_items import check_calls, check_id, parse_items, to_messages
from gateway.sandbox.stored_responses import Item, StoredResponses
from gateway.sandbox.tools import chosen_tool, response_functions

_NUMBERS: Numbers = (
    ("temperature", "decimal", 0, 2),
    ("top_p", "decimal", 0, 1),
    ("max_output_tokens", "integer", 16, 10**9),
    ("max_tool_calls", "integer", 1, 10**9),
    ("top_logprobs", "integer", 0, 20),
)
_TYPES: Types = (
    ("stream", bool, "a boolean"),
    ("store", bool, "a boolean"),
    ("background", bool, "a boolean"),
    ("stream_options", dict, "an object"),
    ("parallel_tool_calls", bool, "a boolean"),
    ("metadata", dict, "an object"),
    ("reasoning", dict, "an object"),
    ("text", dict, "an object"),
    ("tools", list, "an array of objects"),
    ("include", list, "an array of strings"),
    ("instructions", str, "a string"),
    ("user", str, "a string"),
)
_KNOWN = {name for name, *_ in (*_NUMBERS, *_TYPES)} | {
    "context_management", "conversation", "input", "model", "moderation", "previous_response_id", "prompt",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "service_tier",
    "tool_choice", "truncation",
}  # fmt: skip
_MOVED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
}
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_INCLUDABLE = (
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    _LOGPROBS,
    _ENCRYPTED,
    "web_search_call.action.sources",
    "web_search_call.results",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRequest:
    """What was asked for."""

    chat: ChatRequest
    before: tuple[Item, ...]
    """What the responses before this one said and were asked."""
    given: tuple[Item, ...]
    """This one's own input."""
    thinks: bool
    """Whether reasoning was asked for, whoever answers."""
    sealed: bool
    """Whether reasoning comes encrypted."""
    summarised: bool


def parse_responses_request(body: Mapping[str, Any], responses: StoredResponses) -> ResponsesRequest:
    """Return the request that a body makes.

    Raises:
        ProviderError: a 400 that names the parameter, or a 404 for what is not kept.

    """
    _check_names(body)
    check_scalars(body, _NUMBERS, _TYPES)
    include = _include(body.get("include") or [])
    reasoning = body.get("reasoning")
    effort = parse_effort((reasoning or {}).get("effort"), "reasoning.effort")
    before = _before(body, responses)
    if body.get("input") is None:
        raise missing_parameter("input")
    given = parse_items(body["input"], responses)
    check_calls((*before, *given))
    thinks = reasoning is not None and effort != "none"
    return ResponsesRequest(
        chat=_chat(body, (*before, *given), include, (effort or "medium") if thinks else None),
        before=before,
        given=given,
        thinks=thinks,
        sealed=_ENCRYPTED in include,
        summarised=bool((reasoning or {}).get("summary") or (reasoning or {}).get("generate_summary")),
    )


def _chat(body: Mapping[str, Any], items: tuple[Item, ...], include: frozenset[str], effort: str | None) -> ChatRequest:
    messages = to_messages(items)
    if body.get("instructions"):
        messages.insert(0, Message("system", body["instructions"]))
    if not messages:
        raise openai_error(400, "One of 'input' or 'previous_response_id' must hold a message.", param="input")
    form = (body.get("text") or {}).get("format") or {"type": "text"}
    if not isinstance(form, dict):
        raise invalid_type("text.format", "an object", form)
    json_schema, json_object = parse_format(form.get("type"), form, "text.format")
    tools = body.get("tools") or []
    tool_choice, functions = chosen_tool(body.get("tool_choice"), response_functions(tools), tools)
    return ChatRequest(
        messages=tuple(messages),
        max_output_tokens=body.get("max_output_tokens"),
        functions=functions,
        tool_choice=tool_choice,
        parallel=body.get("parallel_tool_calls") is not False,
        json_schema=json_schema,
        json_object=json_object,
        top_logprobs=(body.get("top_logprobs") or 0) if _LOGPROBS in include else None,
        effort=effort,
    )


def _check_names(body: Mapping[str, Any]) -> None:
    for name in body:
        if name in _MOVED:
            raise openai_error(
                400,
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{_MOVED[name]}'. "
                "Try again with the new parameter. See the API documentation for more information: "
                "https://platform.openai.com/docs/api-reference/responses/create.",
                code="unsupported_parameter",
                param=name,
            )
        if name not in _KNOWN:
            raise unknown_parameter(name)


def _include(raw: list[Any]) -> frozenset[str]:
    for index, name in enumerate(raw):
        if name not in _INCLUDABLE:
            allowed = ", ".join(f"'{one}'" for one in _INCLUDABLE)
            raise invalid_value(f"include[{index}]", f"Invalid value: '{name}'. Supported values are: {allowed}.")
    return frozenset(raw)


def _before(body: Mapping[str, Any], responses: StoredResponses) -> tuple[Item, ...]:
    """Return the conversation that a request goes on from."""
    for name, prefix in (("conversation", "conv"), ("prompt", "pmpt")):
        held = body.get(name)
        if held is not None:
            known = held.get("id") if isinstance(held, dict) else held
            check_id(known, name, prefix)
            raise openai_error(404, f"{name.capitalize()} with id '{known}' not found.", param=name)
    previous_id = body.get("previous_response_id")
    if previous_id is None:
        return ()
    check_id(previous_id, "previous_response_id", "resp")
    previous = responses.find(previous_id)
    if previous is None:
        raise openai_error(
            400,
            f"Previous response with id '{previous_id}' not found.",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    return previous.conversation
