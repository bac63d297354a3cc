"""The messages that somebody sends along with a mark: a better answer, the answer that was given, what was asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.config.findings import quoted
from gateway.errors import InvalidRequest
from gateway.learning.answers import clean
from gateway.learning.packs.training_json import Refused
from gateway.learning.packs.training_messages import check_message, text_of
from gateway.policy.unicode_forms import without_unseen

_KEYS: Final = frozenset(("role", "content", "tool_calls", "refusal"))
_SHOWN: Final = 10

Message = dict[str, Any]


def answer_message(value: str | Mapping[str, Any], name: str) -> Message:
    """Return an assistant's message as rows hold it: its text in one piece, its calls whole; ``name`` is the field.

    Raises:
        InvalidRequest: it says nothing, is no assistant's, or its tool calls could not be learnt from.
    """
    message: Message = {"role": "assistant", "content": value} if isinstance(value, str) else {**value}
    message.setdefault("role", "assistant")
    if message["role"] != "assistant":
        raise InvalidRequest(f"'{name}' must be a text, or a message with the role 'assistant'.", param=name)
    if unknown := sorted(message.keys() - _KEYS):
        raise InvalidRequest(f"'{name}' has {quoted(unknown[0])}; use content, tool_calls or refusal.", param=name)
    message.setdefault("content", None)
    _checked(message, name)
    if isinstance(message["content"], list):
        if any(part["type"] != "text" for part in message["content"]):
            raise InvalidRequest(f"'{name}' must say its content in text.", param=name)
        message["content"] = text_of(message["content"])
    if not isinstance(message.get("refusal"), str | None):
        raise InvalidRequest(f"'{name}' has a refusal that is no text.", param=name)
    if not without_unseen(message["content"] or "").strip():
        message["content"] = None
    message["tool_calls"] = _calls(message.get("tool_calls") or (), name)
    said = clean(message)
    if not said:
        raise InvalidRequest(f"'{name}' is empty: write what the answer should be, or leave it out.", param=name)
    return said


def asked_messages(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return what was asked.

    Raises:
        InvalidRequest: these are no messages, or they end with an answer.
    """
    for at, message in enumerate(messages):
        _checked(message, f"messages[{at}]")
    if not messages or messages[-1]["role"] == "assistant":
        end = "'messages' must end with what was asked; send the answer that was given as 'answer'."
        raise InvalidRequest(end, param="messages")
    return [{**message} for message in messages]


def refuse_unknown_tools(answer: Message, tools: Sequence[Any], name: str) -> None:
    """Refuse an answer that calls what it could not have called.

    Raises:
        InvalidRequest: a function is none of the request's tools.
    """
    functions = [tool.get("function") if isinstance(tool, dict) else None for tool in tools]
    known = dict.fromkeys(str(function.get("name")) for function in functions if isinstance(function, dict))
    for call in answer.get("tool_calls") or ():
        if call["function"]["name"] not in known:
            listed = ", ".join(map(quoted, [*known][:_SHOWN])) or "none"
            wrong = quoted(call["function"]["name"])
            raise InvalidRequest(f"'{name}' calls {wrong}, and the request's tools are {listed}.", param=name)


def say_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two answers are one: white space at the ends, ids of calls and how arguments are written aside."""
    return _said(one) == _said(other)


def _checked(message: Mapping[str, Any], name: str) -> None:
    try:
        check_message({**message}, f"'{name}'")
    except Refused as refused:
        raise InvalidRequest(f"{refused}.", param=name) from None


def _calls(calls: Sequence[Mapping[str, Any]], name: str) -> list[Message]:
    """Return tool calls with what rows need of them; ``check_message`` has seen that they have functions."""
    whole: dict[str, Message] = {}
    for at, call in enumerate(calls):
        where, function = f"{name}.tool_calls[{at}]", call["function"]
        if call.get("type", "function") != "function":
            raise InvalidRequest(f"'{where}' is no call of a function.", param=where)
        if not isinstance(call.get("id"), str) or not call["id"]:
            raise InvalidRequest(f"'{where}' has no id: give each call one of its own, such as call_1.", param=where)
        if call["id"] in whole:
            raise InvalidRequest(f"'{where}' has the id of another call: give each one of its own.", param=where)
        if not function["name"] or not isinstance(_parsed(function["arguments"]), dict):
            needed = "needs a function's name, and its arguments as the text of a JSON object"
            raise InvalidRequest(f"'{where}' {needed}, such as '{{}}'.", param=where)
        needs = {"name": function["name"], "arguments": function["arguments"]}
        whole[call["id"]] = {"id": call["id"], "type": "function", "function": needs}
    return list(whole.values())


def _said(answer: Mapping[str, Any]) -> tuple[Any, ...]:
    functions = [call.get("function") or {} for call in answer.get("tool_calls") or ()]
    calls = [(function.get("name"), _parsed(function.get("arguments"))) for function in functions]
    return (text_of(answer.get("content")).strip(), (answer.get("refusal") or "").strip(), calls)


def _parsed(arguments: Any) -> Any:
    try:
        return orjson.loads(arguments)
    except (orjson.JSONDecodeError, TypeError):
        return arguments
