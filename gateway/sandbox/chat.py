"""Chat completions: what an answer looks like on the wire, whole and streamed."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any
from uuid import uuid4

import orjson

from gateway.sandbox.answers import Answer, compose
from gateway.sandbox.catalogue import Kind, Model
from gateway.sandbox.chat_request import ChatRequest, parse_chat_request
from gateway.sandbox.delivery import Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.logprobs import token_logprobs
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import ProviderError, openai_error, server_error

_TOKENS_PER_EVENT = (1, 2, 1, 3, 2)


class Chat(Endpoint):
    """``POST /v1/chat/completions``."""

    name = "chat_completions"
    path = "/chat/completions"
    kinds = frozenset((Kind.CHAT,))

    def wrong_kind(self, model: Model) -> ProviderError:
        """Say that it is no chat model."""
        return openai_error(
            404,
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use "
            "v1/completions?",
            param="model",
        )

    def prepare(self, call: Call) -> Delivery:
        """Answer the messages, as often as ``n`` says."""
        request = parse_chat_request(call.body)
        measured = call.provider.measure(call.model, request)
        answers = composed(call, request)
        usage = usage_of(measured, answers)
        wire = ChatWire(call, request, answers, usage)
        return call.delivery(usage, wire.whole, wire)


def composed(call: Call, request: ChatRequest) -> tuple[Answer, ...]:
    """Return as many answers as are asked for; the first is the one that would come alone.

    Where words vary they do so with the request's own seed, or with how often the same was asked without one.
    """
    seed = call.provider.seed
    if request.varies:
        prompt = orjson.dumps([call.model.id, [(message.role, message.text) for message in request.messages]])
        sample = request.seed if request.seed is not None else f"again {call.provider.repetitions.next(prompt)}"
        seed = f"{seed}/{sample}"
    seeds = [seed, *(f"{seed}/{choice}" for choice in range(1, request.choices))]
    return tuple(compose(call.model, request, one) for one in seeds)


def usage_of(measured: Usage, answers: Sequence[Answer]) -> Usage:
    """Return the usage of a prompt and all its answers."""
    return Usage(
        measured.input_tokens,
        measured.cached_input_tokens,
        sum(answer.output_tokens for answer in answers),
        sum(answer.reasoning_tokens for answer in answers),
    )


def usage_json(usage: Usage) -> dict[str, Any]:
    """Return a usage in OpenAI's shape."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def in_events(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the tokens of each event of a stream."""
    start, sizes = 0, cycle(_TOKENS_PER_EVENT)
    while start < len(tokens):
        part = tokens[start : start + next(sizes)]
        yield part
        start += len(part)


class ChatWire:
    """The object, or the chunks; what all chunks share is written once."""

    def __init__(self, call: Call, request: ChatRequest, answers: Sequence[Answer], usage: Usage) -> None:
        self._request = request
        self._answers = answers
        self._usage = usage
        self._envelope = {
            "id": f"chatcmpl-{uuid4().hex}",
            "object": "chat.completion.chunk" if call.streamed else "chat.completion",
            "created": call.now_s,
            "model": call.served.id,
            "service_tier": "default",
            "system_fingerprint": "fp_sandbox",
        }
        self._head = b"data: " + orjson.dumps(self._envelope)[:-1]
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"

    def whole(self) -> bytes:
        """Return the completion."""
        choices = [self._choice(index, answer) for index, answer in enumerate(self._answers)]
        return orjson.dumps({**self._envelope, "choices": choices, "usage": usage_json(self._usage)})

    def begin(self) -> bytes:
        """Return nothing: chat says nothing before it answers."""
        return b""

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield the chunks of one choice after the other; the first of each names the role."""
        for index, answer in enumerate(self._answers):
            if answer.calls:
                yield from self._calls(index, answer)
            else:
                yield self._chunk(index, b'{"role":"assistant","content":"","refusal":null}'), answer.reasoning_tokens
                for part in in_events(answer.tokens):
                    delta = b'{"content":' + orjson.dumps("".join(part)) + b"}"
                    yield self._chunk(index, delta, logprobs=self._logprobs(part)), len(part)

    def end(self) -> bytes:
        """Return the reasons why the choices end, the usage if asked for, and the end itself."""
        finish = b"".join(
            self._chunk(index, b"{}", orjson.dumps(answer.finish_reason)) for index, answer in enumerate(self._answers)
        )
        usage = b""
        if self._request.include_usage:
            usage = self._head + b',"choices":[],"usage":' + orjson.dumps(usage_json(self._usage)) + b"}\n\n"
        return finish + usage + b"data: [DONE]\n\n"

    def error(self) -> bytes:
        """Return an error in the place of a chunk."""
        return b"data: " + orjson.dumps(server_error().body) + b"\n\n"

    def _calls(self, index: int, answer: Answer) -> Iterator[tuple[bytes, int]]:
        tokens = answer.reasoning_tokens
        for place, call in enumerate(answer.calls):
            function = {"name": call.function, "arguments": ""}
            begun = {"tool_calls": [{"index": place, "id": call.id, "type": "function", "function": function}]}
            first = {"role": "assistant", "content": None, **begun, "refusal": None}
            yield self._chunk(index, orjson.dumps(begun if place else first)), tokens + call.name_tokens
            tokens = 0
            for part in in_events(call.tokens):
                arguments = orjson.dumps("".join(part))
                delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (place, arguments)
                yield self._chunk(index, delta), len(part)

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        text = "".join(answer.tokens)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if answer.calls:
            message["content"] = None
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function, "arguments": "".join(call.tokens)},
                }
                for call in answer.calls
            ]
        logprobs = None if answer.calls else self._logprobs(answer.tokens)
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish_reason}

    def _chunk(
        self, index: int, delta: bytes, finish_reason: bytes = b"null", logprobs: dict[str, Any] | None = None
    ) -> bytes:
        return b'%b,"choices":[{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}]%b' % (
            self._head,
            index,
            delta,
            b"null" if logprobs is None else orjson.dumps(logprobs),
            finish_reason,
            self._tail,
        )

    def _logprobs(self, tokens: Sequence[str]) -> dict[str, Any] | None:
        if self._request.top_logprobs is None:
            return None
        return {"content": token_logprobs(tokens, self._request.top_logprobs), "refusal": None}
