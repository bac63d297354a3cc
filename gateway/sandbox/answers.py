"""What is answered: calls of tools, JSON that keeps a schema, or text; cut where the request's limits say."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any
from uuid import uuid4

import orjson

from gateway.sandbox.arguments import arguments_for, facts_for, functions_to_call
from gateway.sandbox.catalogue import Lesson, Model
from gateway.sandbox.chat_request import ChatRequest
from gateway.sandbox.lessons import recall
from gateway.sandbox.refusals import openai_error
from gateway.sandbox.schema_instances import make_instance
from gateway.sandbox.skills import Demonstration, answer_in_style, demonstrated, draw, facts_of, plain_answer
from gateway.sandbox.tokens import split_tokens

_REASONING_TOKENS = {"minimal": 16, "low": 32, "medium": 64, "high": 128, "xhigh": 192, "max": 256}
_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_KEY = re.compile(r"[`\"'“‘]([A-Za-z_]\w{0,40})[`\"'”’]")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, its arguments as tokens."""

    id: str
    function: str
    tokens: tuple[str, ...]

    @property
    def name_tokens(self) -> int:
        """The tokens that the function's name costs."""
        return len(split_tokens(self.function))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as tokens: of a text, or of the calls of tools; and how many it took to think it up."""

    tokens: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    reasoning_tokens: int = 0

    @property
    def output_tokens(self) -> int:
        """All tokens of the answer."""
        called = sum(call.name_tokens + len(call.tokens) for call in self.calls)
        return self.reasoning_tokens + len(self.tokens) + called


def compose(model: Model, request: ChatRequest, seed: str) -> Answer:
    """Return what ``model`` answers to ``request``: the same for the same prompt and seed, but for ids.

    The seed says which of several answers comes; the wording depends on it only where the request lets it vary.

    Raises:
        ProviderError: a 400: a schema in the request is none.

    """
    limit = request.max_output_tokens
    reasoning_tokens = 0
    if model.reasons and request.effort not in (None, "none"):
        reasoning_tokens = _REASONING_TOKENS[str(request.effort)]
        reasoning_tokens = reasoning_tokens if limit is None else min(limit, reasoning_tokens)
    left = None if limit is None else limit - reasoning_tokens
    functions = functions_to_call(request)
    trained = _as_trained(model, request)
    if trained is not None:
        if trained.calls:
            return _called(model, trained.calls, left, reasoning_tokens)
        return _told(trained.text, request.stop, left, reasoning_tokens)
    try:
        if functions:
            said = [(str(one["name"]), _json(arguments_for(one, request.last_user_text))) for one in functions]
            return _called(model, said, left, reasoning_tokens)
        text = _text(model, request, seed)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, re.error) as error:
        param = "tools" if functions else "response_format"
        raise openai_error(
            400, f"Invalid schema for {param}: {error}", code="invalid_json_schema", param=param
        ) from error
    return _told(text, request.stop, left, reasoning_tokens)


def _as_trained(model: Model, request: ChatRequest) -> Lesson | None:
    """Return what the model was trained to answer, where that is what may be answered here."""
    lesson = recall(model, request.messages)
    if lesson is None:
        return None
    if lesson.calls:
        offered = {function["name"] for function in request.functions}
        may_call = request.tool_choice != "none" and all(name in offered for name, _ in lesson.calls)
        return lesson if may_call else None
    if request.tool_choice not in ("auto", "none"):
        return None
    wants_json = request.json_object or request.json_schema is not None
    return lesson if not wants_json or _is_object(lesson.text) else None


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _called(model: Model, said: Sequence[tuple[str, str]], left: int | None, reasoning_tokens: int) -> Answer:
    calls, finish_reason = [], "tool_calls"
    for function, arguments in said:
        tokens = tuple(split_tokens(arguments))
        if left is not None:
            finish_reason = "length" if left < len(tokens) else finish_reason
            tokens = tokens[:left]
            left -= len(tokens)
        calls.append(ToolCall(_call_id(model), function, tokens))
        if finish_reason == "length":
            break
    return Answer(calls=tuple(calls), finish_reason=finish_reason, reasoning_tokens=reasoning_tokens)


def _told(text: str, stop: Sequence[str], left: int | None, reasoning_tokens: int) -> Answer:
    cuts = [at for one in stop if (at := text.find(one)) >= 0]
    tokens = tuple(split_tokens(text[: min(cuts, default=len(text))]))
    if left is not None and left < len(tokens):
        return Answer(tokens=tokens[:left], finish_reason="length", reasoning_tokens=reasoning_tokens)
    return Answer(tokens=tokens, reasoning_tokens=reasoning_tokens)


def _text(model: Model, request: ChatRequest, seed: str) -> str:
    if request.json_schema is not None:
        return _json(make_instance(request.json_schema, _facts(request.json_schema, request.last_user_text)))
    results = list(takewhile(lambda message: message.role == "tool", reversed(request.messages)))
    if results:
        told = "; ".join(" ".join(result.text.split())[:400] for result in reversed(results))
        text = f"The tool answered: {told}. That settles what you asked."
    else:
        text = _skilled(model, request, seed)
    if not request.json_object:
        return text
    # A prompt that asks for an object commonly says which keys it wants.
    wanted = dict.fromkeys(key for message in request.messages for key in _KEY.findall(message.text))
    return _json(dict.fromkeys(wanted or ("answer",), text))


def _facts(schema: Mapping[str, Any], question: str) -> dict[str, Any]:
    found = {name: value for name, value in facts_of(question).items() if value}
    return found if "invoice_number" in found else {**facts_for(schema, question), **found}


def _skilled(model: Model, request: ChatRequest, seed: str) -> str:
    question = request.last_user_text
    sample = f"{seed}{model.id}" if request.varies else ""
    if model.task is not None:
        return answer_in_style(model.task, question, sample)
    shown = demonstrated(request.messages)
    if model.taught is not None:
        taught = Demonstration(model.taught[0], model.taught[1], instructions=False)
        shown = taught if shown is None else max(shown, taught, key=lambda one: one.quality)
    if shown is not None and draw(f"{seed}{model.id}", question) < shown.quality:
        return answer_in_style(shown.task, question, sample)
    return plain_answer(question)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _call_id(model: Model) -> str:
    if model.vendor == "mistral":
        return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(9))
    return f"call_{uuid4().hex[:24]}"
