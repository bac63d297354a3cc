"""What is answered: a tool call, JSON that keeps a schema, or text; cut where the request's limits say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.sandbox.catalogue import Model
from gateway.sandbox.chat_request import ChatRequest
from gateway.sandbox.refusals import openai_error
from gateway.sandbox.schema_instances import make_instance
from gateway.sandbox.skills import answer_in_style, demonstrated, draw, facts_of, plain_answer
from gateway.sandbox.tokens import split_tokens

_WORD = re.compile(r"[a-z]{5,}")
_COMMON_WORDS = re.compile(
    "about|above|after|again|could|current|every|first|given|their|there|these|those|value|where|which|while|would|"
    "return|returns|using|called|function|please|should"
)
_PROPER_NAME = re.compile(r"(?<=[a-z,:] )[A-Z][\w-]*(?: [A-Z][\w-]*)*")
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as tokens: of the text, or of a tool call's arguments."""

    tokens: tuple[str, ...]
    finish_reason: str
    function: str | None = None
    """The function to call; None where the answer is text."""

    @property
    def function_tokens(self) -> int:
        """The tokens that the function's name costs."""
        return 0 if self.function is None else len(split_tokens(self.function))

    @property
    def output_tokens(self) -> int:
        """All tokens of the answer."""
        return len(self.tokens) + self.function_tokens


def compose(model: Model, request: ChatRequest, seed: str) -> Answer:
    """Return what ``model`` answers to ``request``: the same for the same prompt and seed.

    Raises:
        ProviderError: a 400: a schema in the request is none.

    """
    function = _function_to_call(request)
    try:
        if function is not None:
            text = orjson.dumps(_arguments(function, request.last_user_text)).decode()
        else:
            text = _text(model, request, seed)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, re.error) as error:
        param = "response_format" if function is None else "tools"
        raise openai_error(
            400, f"Invalid schema for {param}: {error}", code="invalid_json_schema", param=param
        ) from error
    return _limited(text, request, None if function is None else function["name"])


def _text(model: Model, request: ChatRequest, seed: str) -> str:
    question = request.last_user_text
    if request.json_schema is not None:
        facts = {name: value for name, value in facts_of(question).items() if value}
        return orjson.dumps(make_instance(request.json_schema, facts)).decode()
    if request.messages[-1].role == "tool":
        result = " ".join(request.messages[-1].text.split())[:400]
        text = f"The tool answered: {result}. That settles what you asked."
    else:
        text = _skilled(model, request, seed)
    return orjson.dumps({"answer": text}).decode() if request.json_object else text


def _skilled(model: Model, request: ChatRequest, seed: str) -> str:
    question = request.last_user_text
    if model.task is not None:
        return answer_in_style(model.task, question)
    shown = demonstrated(request.messages)
    if shown is not None and draw(f"{seed}{model.id}", question) < shown.quality:
        return answer_in_style(shown.task, question)
    return plain_answer(question)


def _function_to_call(request: ChatRequest) -> Mapping[str, Any] | None:
    """Return the function that the choice or the question asks for."""
    if not request.functions or request.tool_choice == "none":
        return None
    if request.tool_choice.startswith("function:"):
        name = request.tool_choice.removeprefix("function:")
        return next(function for function in request.functions if function["name"] == name)
    if request.messages[-1].role == "user":
        asked = request.messages[-1].text.lower()
        for function in request.functions:
            if _asks_for(asked, function):
                return function
    return request.functions[0] if request.tool_choice == "required" else None


def _asks_for(asked: str, function: Mapping[str, Any]) -> bool:
    name = str(function["name"]).lower()
    if name in asked or name.replace("_", " ") in asked:
        return True
    described = set(_WORD.findall(f"{name.replace('_', ' ')} {function.get('description') or ''}".lower()))
    shared = described & set(_WORD.findall(asked))
    return any(not _COMMON_WORDS.fullmatch(word) for word in shared)


def _arguments(function: Mapping[str, Any], question: str) -> Any:
    """Return arguments that keep the function's schema, with names and numbers of the question where they fit."""
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    names, numbers = _PROPER_NAME.findall(question), _NUMBER.findall(question)
    facts: dict[str, Any] = {}
    for name, wanted in schema.get("properties", {}).items():
        kind = wanted.get("type")
        if kind == "string" and names:
            facts[name] = names.pop(0)
        elif kind == "number" and numbers:
            facts[name] = float(numbers.pop(0))
        elif kind == "integer" and numbers and numbers[0].isdigit():
            facts[name] = int(numbers.pop(0))
    return make_instance(schema, facts)


def _limited(text: str, request: ChatRequest, function: str | None) -> Answer:
    if function is None:
        cuts = [at for stop in request.stop if (at := text.find(stop)) >= 0]
        text = text[: min(cuts, default=len(text))]
    tokens = tuple(split_tokens(text))
    finish_reason = "stop" if function is None else "tool_calls"
    limit = request.max_output_tokens
    if limit is not None and limit < len(tokens):
        tokens, finish_reason = tokens[:limit], "length"
    return Answer(tokens, finish_reason, function)
