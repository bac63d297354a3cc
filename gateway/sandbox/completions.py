"""Legacy completions: a text in, its continuation out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from gateway.sandbox.delivery import Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.logprobs import columns
from gateway.sandbox.messages import Message
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import ProviderError, invalid_type, openai_error, prompt_too_long, server_error
from gateway.sandbox.tokens import is_token_id, split_tokens, word_for

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


@dataclass(frozen=True, slots=True)
class Choice:
    """One continuation."""

    echoed: tuple[str, ...]
    """The prompt's tokens, where it is to be repeated."""
    answer: Answer


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
        body, window = call.body, call.model.context_window
        check_scalars(body, _NUMBERS, _TYPES)
        if body.get("best_of") is not None and body["best_of"] < (body.get("n") or 1):
            raise openai_error(400, "You requested that the server return more choices than it will generate.")
        choices, input_tokens = [], 0
        for prompt in _prompts(body.get("prompt")):
            request, tokens = _request(body, prompt), tuple(split_tokens(prompt))
            if len(tokens) + (request.max_output_tokens or 0) > window:
                raise prompt_too_long(window, len(tokens), request.max_output_tokens or 0)
            input_tokens += len(tokens)
            choices += [Choice(tokens if body.get("echo") else (), answer) for answer in composed(call, request)]
        usage = usage_of(Usage(input_tokens), [choice.answer for choice in choices])
        wire = CompletionWire(call, choices, usage)
        return call.delivery(usage, wire.whole, wire)


class CompletionWire:
    """The object, or the chunks."""

    def __init__(self, call: Call, choices: Sequence[Choice], usage: Usage) -> None:
        self._choices = choices
        self._usage = usage
        self._logprobs: int | None = call.body.get("logprobs")
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
            self._choice(index, (*choice.echoed, *choice.answer.tokens), 0, choice, choice.answer.finish_reason)
            for index, choice in enumerate(self._choices)
        ]
        return orjson.dumps({**self._envelope, "choices": choices, "usage": usage_json(self._usage)})

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield the chunks of one choice after the other; what is echoed comes in one, and costs nothing."""
        for index, choice in enumerate(self._choices):
            offset = sum(map(len, choice.echoed))
            if choice.echoed:
                yield self._chunk(self._choice(index, choice.echoed, 0, choice)), 0
            for part in in_events(choice.answer.tokens):
                yield self._chunk(self._choice(index, part, offset, choice)), len(part)
                offset += sum(map(len, part))

    def end(self) -> bytes:
        """Return the reasons why the choices end, the usage if asked for, and the end itself."""
        finish = b"".join(
            self._chunk({"text": "", "index": index, "logprobs": None, "finish_reason": choice.answer.finish_reason})
            for index, choice in enumerate(self._choices)
        )
        usage = b""
        if self._include_usage:
            counted = {**self._envelope, "choices": [], "usage": usage_json(self._usage)}
            usage = b"data: " + orjson.dumps(counted) + b"\n\n"
        return finish + usage + b"data: [DONE]\n\n"

    def error(self) -> bytes:
        """Return an error in the place of a chunk."""
        return b"data: " + orjson.dumps(server_error().body) + b"\n\n"

    def _choice(
        self, index: int, tokens: Sequence[str], offset: int, choice: Choice, finish_reason: str | None = None
    ) -> dict[str, Any]:
        """Return a choice that says some of its tokens; ``offset`` letters of it were said before."""
        logprobs = None
        if self._logprobs is not None:
            logprobs = columns(tokens, self._logprobs, offset, at_start=bool(choice.echoed) and offset == 0)
        return {"text": "".join(tokens), "index": index, "logprobs": logprobs, "finish_reason": finish_reason}

    def _chunk(self, choice: Mapping[str, Any]) -> bytes:
        usage = {"usage": None} if self._include_usage else {}
        return b"data: " + orjson.dumps({**self._envelope, "choices": [choice], **usage}) + b"\n\n"


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
        rows = [given] if all(map(is_token_id, given)) else given
        if all(isinstance(row, list) and all(map(is_token_id, row)) for row in rows):
            return ["".join(map(word_for, row)) for row in rows]
    raise invalid_type("prompt", "a string, or an array of strings or tokens", given)
