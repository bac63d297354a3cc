"""Which functions a question asks for, and with which arguments."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from gateway.sandbox.chat_request import ChatRequest
from gateway.sandbox.schema_instances import make_instance
from gateway.sandbox.tools import Function

_WORD = re.compile(r"[a-z]{5,}")
_COMMON_WORDS = re.compile(
    "about|above|after|again|could|current|every|first|given|their|there|these|those|value|where|which|while|would|"
    "return|returns|using|called|function|please|should"
)
# Quoted, or capitalised within a sentence, or at its head before a verb that says something of it.
_NAME = re.compile(
    r"[“\"](?P<said>[^\"“”]{1,200})[”\"]|(?<![\w'])'(?P<cited>[^']{1,200})'(?!\w)"
    r"|(?<=[a-z,:] )(?P<within>[A-Z][\w-]*(?: [A-Z][\w-]*)*)"
    r"|\b(?P<head>[A-Z][\w-]*(?: [A-Z][\w-]*)*)(?= (?:is|was|has|lives)\b)"
)
_NO_NAME = re.compile(
    r"(?:I|It|He|She|We|You|They|My|Your|This|That|These|Those|There|Here|Today|Tomorrow|The|What|Who|Whose|Whom|Where|"
    r"When|Which|Why|How)\b"
)
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")


def functions_to_call(request: ChatRequest) -> Sequence[Function]:
    """Return the functions that the choice or the question asks for; none where the answer is a text.

    A question gets all functions that it names, unless they may not be called at once; else the first that it speaks
    of. Where a call is required although nothing asks for one, the first is called that this turn has not called yet.
    """
    if not request.functions or request.tool_choice == "none":
        return ()
    if request.tool_choice.startswith("function:"):
        name = request.tool_choice.removeprefix("function:")
        return [next(function for function in request.functions if function["name"] == name)]
    found: Sequence[Function] = ()
    if request.messages[-1].role == "user":
        asked = request.messages[-1].text.lower()
        found = [function for function in request.functions if _is_named(asked, function)]
        found = found or [function for function in request.functions if _is_described(asked, function)][:1]
    if not found and request.tool_choice == "required":
        called = _called_this_turn(request)
        left = [function for function in request.functions if function["name"] not in called]
        found = [*left, request.functions[-1]][:1]
    return found if request.parallel else found[:1]


def arguments_for(function: Function, question: str) -> Any:
    """Return arguments that keep the function's schema, with names and numbers of the question where they fit."""
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return make_instance(schema, facts_for(schema, question))


def facts_for(schema: Mapping[str, Any], question: str) -> dict[str, Any]:
    """Return what a question says of an object's properties: names and numbers, in the order in which they come."""
    properties = schema.get("properties", {})
    texts = [name for name, wanted in properties.items() if wanted.get("type") == "string" and "enum" not in wanted]
    facts: dict[str, Any] = dict(zip(texts, _names(question, len(texts)), strict=False))
    numbers = _NUMBER.findall(question)
    for name, wanted in properties.items():
        kind = wanted.get("type")
        if kind == "number" and numbers:
            facts[name] = float(numbers.pop(0))
        elif kind == "integer" and numbers and numbers[0].isdigit():
            facts[name] = int(numbers.pop(0))
    return facts


def _names(question: str, most: int) -> list[str]:
    """Return so many names, in their order; where there are more, those within sentences go before those at a head."""
    found = [
        (match.lastgroup == "head", place, match[str(match.lastgroup)])
        for place, match in enumerate(_NAME.finditer(question))
        if match.lastgroup in ("said", "cited") or not _NO_NAME.match(match[0])
    ]
    chosen = sorted(found)[:most]
    return [name for _, _, name in sorted(chosen, key=lambda one: one[1])]


def _is_named(asked: str, function: Function) -> bool:
    name = str(function["name"]).lower()
    return name in asked or name.replace("_", " ") in asked


def _is_described(asked: str, function: Function) -> bool:
    described = set(_WORD.findall(f"{function['name'].replace('_', ' ')} {function.get('description') or ''}".lower()))
    shared = described & set(_WORD.findall(asked))
    return any(not _COMMON_WORDS.fullmatch(word) for word in shared)


def _called_this_turn(request: ChatRequest) -> set[str]:
    turn = takewhile(lambda message: message.role != "user", reversed(request.messages))
    return set(_names_of(call for message in turn for call in message.tool_calls))


def _names_of(calls: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for call in calls:
        function = call.get("function")
        if isinstance(function, dict):
            yield str(function.get("name"))
