"""Legacy completions: a text in, its continuation out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from gateway.sandbox.answers import Answer
from gateway.sandbox.catalogue import Kind, Model
from gateway.sandbox.chat import composed, in_events, usage_json, usage_of
from gateway.sandbox.chat_request import (
    MOST_CHOICES,
    ChatRequest,
    Numbers,
    Types,
    check_scalars,
    parse_stop,
    wants_usage,
)
from gateway.sandbox.delivery import EVENT_STREAM, JSON, Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.messages import Message
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import ProviderError, context_too_long, invalid_type, openai_error, server_error

_USUAL_MAX_TOKENS = 16
_NOTHING = "<|endoftext|>"
_NUMBERS: Numbers = (
    ("max_tokens", "integer", 0, 10**9),
    ("temperature", "decimal", 0, 2),
    ("top_p", "decimal", 0, 1),
    ("n", "integer", 1, MOST_CHOICES),
    ("best_of", "integer", 1, 20),
    ("logprobs", "integer", 0, 5),
    ("presence_penalty", "decimal", -2, 2),
    ("frequency_penalty", "decimal", -2, 2),
    ("seed", "integer", -(2**63), 2**63),
)
_TYPES: Types = (
    ("stream", bool, "a boolean"),
    ("stream_options", dict, "an object"),
    ("echo", bool, "a boolean"),
    ("logit_bias", dict, "an object"),
    ("suffix", str, "a string"),
    ("user", str, "a string"),
)


class Completions(Endpoint):
    """``POST /v1/completions``."""

    name = "completions"
    path = "/completions"
    kinds = frozenset((Kind.COMPLETION,))

    def wrong_kind(self, model: Model) -> ProviderError:
        """Say where the model belongs."""
        if model.kind is not Kind.CHAT:
            return openai_error(403, "You are not allowed to sample from this model")
        return openai_error(
            404,
            "This is a chat model and not supported in the v1/completions endpoint. Did you mean to use "
            "v1/chat/completions?",
            param="model",
        )

    def prepare(self, call: Call) -> Delivery:
        """Continue each prompt, as often as ``n`` says."""
        body = call.body
        check_scalars(body, _NUMBERS, _TYPES)
        if body.get("best_of") is not None and body["best_of"] < (body.get("n") or 1):
            raise openai_error(400, "You requested that the server return more choices than it will generate.")
        prompts = _prompts(body.get("prompt"))
        requests = [_request(body, prompt) for prompt in prompts]
        answers = [answer for request in requests for answer in composed(call, request)]
        input_tokens = sum(call.provider.counter.count(prompt).tokens for prompt in prompts)
        if input_tokens > call.model.context_window:
            raise context_too_long(call.model.context_window, input_tokens)
        usage = usage_of(Usage(input_tokens), answers)
        echoed = [prompt if body.get("echo") else "" for prompt in prompts for _ in range(requests[0].choices)]
        return Delivery(
            model=call.model,
            served=call.served,
            wire=CompletionWire(call, answers, echoed, usage),
            usage=usage,
            headers=call.headers,
            streamed=call.streamed,
            content_type=EVENT_STREAM if call.streamed else JSON,
        )


class CompletionWire:
    """The object, or the chunks."""

    def __init__(self, call: Call, answers: Sequence[Answer], echoed: Sequence[str], usage: Usage) -> None:
        self._answers = answers
        self._echoed = echoed
        self._usage = usage
        self._include_usage = wants_usage(call.body)
        self._envelope = {
            "id": f"cmpl-{uuid4().hex}",
            "object": "text_completion",
            "created": call.now_s,
            "model": call.served.id,
        }

    def whole(self) -> bytes:
        """Return the completion."""
        choices = [
            _choice(index, echoed + "".join(answer.tokens), answer.finish_reason)
            for index, (answer, echoed) in enumerate(zip(self._answers, self._echoed, strict=True))
        ]
        return orjson.dumps({**self._envelope, "choices": choices, "usage": usage_json(self._usage)})

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield the chunks of one choice after the other."""
        for index, (answer, echoed) in enumerate(zip(self._answers, self._echoed, strict=True)):
            if echoed:
                yield self._chunk(_choice(index, echoed, None)), 0
            for part in in_events(answer.tokens):
                yield self._chunk(_choice(index, "".join(part), None)), len(part)

    def end(self) -> bytes:
        """Return the reasons why the choices end, the usage if asked for, and the end itself."""
        finish = b"".join(
            self._chunk(_choice(index, "", answer.finish_reason)) for index, answer in enumerate(self._answers)
        )
        usage = b""
        if self._include_usage:
            counted = {**self._envelope, "choices": [], "usage": usage_json(self._usage)}
            usage = b"data: " + orjson.dumps(counted) + b"\n\n"
        return finish + usage + b"data: [DONE]\n\n"

    def error(self) -> bytes:
        """Return an error in the place of a chunk."""
        return b"data: " + orjson.dumps(server_error().body) + b"\n\n"

    def _chunk(self, choice: Mapping[str, Any]) -> bytes:
        usage = {"usage": None} if self._include_usage else {}
        return b"data: " + orjson.dumps({**self._envelope, "choices": [choice], **usage}) + b"\n\n"


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _request(body: Mapping[str, Any], prompt: str) -> ChatRequest:
    limit = body.get("max_tokens")
    return ChatRequest(
        messages=(Message("user", prompt),),
        max_output_tokens=_USUAL_MAX_TOKENS if limit is None else limit,
        stop=parse_stop(body.get("stop")),
        choices=body.get("n") or 1,
    )


def _prompts(given: Any) -> list[str]:
    """Return the prompts: one text, many, or their tokens, of which each counts as one of ours."""
    if given is None or given == []:
        return [_NOTHING]
    if isinstance(given, str):
        return [given]
    if isinstance(given, list):
        if all(isinstance(one, str) for one in given):
            return given
        rows = [given] if all(isinstance(one, int) for one in given) else given
        if all(isinstance(row, list) and all(isinstance(one, int) for one in row) for row in rows):
            return ["".join(f" t{_lettered(one)}" for one in row) for row in rows]
    raise invalid_type("prompt", "a string, or an array of strings or tokens", given)


def _lettered(token: int) -> str:
    """Return a token's number in letters, few enough to be one token here."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(token)[:6])
