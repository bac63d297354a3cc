"""The Responses API: one response, kept unless it is not to be, and what it is made of."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from gateway.sandbox.answers import Answer, compose
from gateway.sandbox.catalogue import Kind, Model
from gateway.sandbox.chat import usage_of
from gateway.sandbox.delivery import Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.logprobs import token_logprobs
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import ProviderError, openai_error
from gateway.sandbox.response_items import new_id
from gateway.sandbox.response_stream import ResponseEvents
from gateway.sandbox.responses_request import ResponsesRequest, parse_responses_request
from gateway.sandbox.stored_responses import Item, StoredResponse, running

_SUMMARY = "**Weighing the question**\n\nThe question was read twice, and the plainest answer chosen."


class Responses(Endpoint):
    """``POST /v1/responses``."""

    name = "responses"
    path = "/responses"
    kinds = frozenset((Kind.CHAT,))
    openai_style = "openai_responses"

    def wrong_kind(self, model: Model) -> ProviderError:
        """Say that it cannot be used here."""
        message = f"The requested model '{model.id}' cannot be used with the Responses API."
        return openai_error(400, message, code="unsupported_model", param="model")

    def prepare(self, call: Call) -> Delivery:
        """Answer the input, after what the responses before it have said."""
        request = parse_responses_request(call.body, call.provider.responses)
        measured = call.provider.measure(call.model, request.chat)
        answer = compose(call.model, request.chat, call.provider.seed)
        usage = usage_of(measured, (answer,))
        response = _response(call, request, answer, usage)
        kept = StoredResponse(response=response, before=request.before, given=request.given)
        if response["background"] and not response["store"]:
            raise openai_error(400, "Background mode requires 'store' to be true.", param="background")
        if response["background"] and not call.streamed:
            return _in_background(call, kept, usage)
        events = ResponseEvents(response, answer, request.chat.top_logprobs)
        keep = partial(call.provider.responses.keep, kept) if response["store"] else None
        return call.delivery(usage, partial(orjson.dumps, response), events, keep)


def _in_background(call: Call, kept: StoredResponse, usage: Usage) -> Delivery:
    """Answer at once that it will be answered, in the model's own time; what it costs is billed now."""
    model = call.model
    needed_s = model.first_token_ms / 1000 + (usage.output_tokens / model.tokens_per_s if model.tokens_per_s else 0.0)
    call.provider.responses.keep(replace(kept, ready_at_s=call.provider.clock.monotonic() + needed_s))
    queued = call.delivery(usage, partial(orjson.dumps, running(kept.response, "queued")))
    return replace(queued, model=replace(model, first_token_ms=0.0, tokens_per_s=None))


def _response(call: Call, request: ResponsesRequest, answer: Answer, usage: Usage) -> dict[str, Any]:
    """Return the whole response, with what it was asked."""
    body, cut = call.body, answer.finish_reason == "length"
    text = body.get("text") or {}
    reasoning = body.get("reasoning") or {}
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": call.now_s,
        "status": "incomplete" if cut else "completed",
        "background": body.get("background") is True,
        "completed_at": None if cut else call.now_s,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": call.served.id,
        "output": _output(call, request, answer),
        "parallel_tool_calls": request.chat.parallel,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "default",
        "store": body.get("store") is not False,
        "temperature": _or(body, "temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": _or(body, "tool_choice", "auto"),
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "top_logprobs": _or(body, "top_logprobs", 0),
        "top_p": _or(body, "top_p", 1.0),
        "truncation": _or(body, "truncation", "disabled"),
        "usage": _usage_json(usage),
        "user": body.get("user"),
        "metadata": _or(body, "metadata", {}),
    }


def _output(call: Call, request: ResponsesRequest, answer: Answer) -> list[Item]:
    status = "incomplete" if answer.finish_reason == "length" else "completed"
    items: list[Item] = []
    if call.model.reasons and request.thinks:
        summary = [{"type": "summary_text", "text": _SUMMARY}] if request.summarised else []
        sealed = {"encrypted_content": call.provider.responses.seal()} if request.sealed else {}
        items.append({"id": new_id("rs"), "type": "reasoning", **sealed, "summary": summary})
    for one in answer.calls:
        arguments = "".join(one.tokens)
        called = {"arguments": arguments, "call_id": one.id, "name": one.function}
        items.append({"id": new_id("fc"), "type": "function_call", "status": status, **called})
    if answer.tokens or not items:
        count = request.chat.top_logprobs
        logprobs = [] if count is None else token_logprobs(answer.tokens, count)
        part = {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": "".join(answer.tokens)}
        message = {"id": new_id("msg"), "type": "message", "status": status, "content": [part], "role": "assistant"}
        items.append(message)
    return items


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a tool as it is told back: a function is strict unless it says otherwise."""
    return {"description": None, "strict": True, **tool} if tool.get("type") == "function" else tool


def _usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _or(body: Mapping[str, Any], name: str, usual: Any) -> Any:
    value = body.get(name)
    return usual if value is None else value
