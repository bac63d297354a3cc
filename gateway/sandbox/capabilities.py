"""What models refuse: the gateway's own dated table (``data/capabilities.json``), read from the provider's side.

The gateway adapts requests by this table; here the same rows are what a model insists on, in its vendor's words.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import orjson

from gateway.sandbox.catalogue import Model
from gateway.sandbox.refusals import (
    ProviderError,
    mistral_error,
    mistral_extra_field,
    openai_error,
    string_too_long,
    unknown_parameter,
    unrecognized_argument,
    unsupported_parameter,
    unsupported_value,
)

PATH = Path(__file__).parent.parent / "data" / "capabilities.json"
_KINDS = {"openai": frozenset(("openai", "sandbox")), "mistral": frozenset(("mistral",))}
_AT_RESPONSES = {
    "reasoning_effort": ("reasoning", "effort"),
    "response_format": ("text", "format"),
    "verbosity": ("text", "verbosity"),
}
# A parameter that says what would happen without it is refused by nobody.
_SAME_AS_ABSENT = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0, "n": 1}
_REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks")
MESSAGE_FIELDS = frozenset(
    ("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call", "annotations")
)
_LONGEST_ID = {"at_most_40": 40, "at_most_64": 64}
_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What some models insist on; the fields are described at the gateway's table."""

    kinds: frozenset[str]
    models: tuple[str, ...] = ("*",)
    endpoints: tuple[str, ...] = ("chat_completions", "responses")
    when: tuple[str, ...] = ()
    unless: Mapping[str, Any] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, Any] = field(default_factory=dict)
    drops: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    tool_call_ids: str | None = None
    history: tuple[str, ...] | None = None

    def speaks_of(self, model: Model) -> bool:
        """Tell whether the row is of this model, by its own name or its base's."""
        names = [name for name in (model.id, model.base) if name is not None]
        return not self.kinds.isdisjoint(_KINDS[model.vendor]) and any(
            fnmatchcase(name, pattern) for name in names for pattern in self.models
        )


class Capabilities:
    """The table."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        self._rows_of: dict[str, tuple[Row, ...]] = {}

    @classmethod
    def read(cls, path: Path = PATH) -> "Capabilities":
        """Read the table that ships; fields of rows that mean nothing here are left."""
        return cls(map(_row, orjson.loads(path.read_bytes())["rows"]))

    def check(self, model: Model, body: Mapping[str, Any], endpoint: str) -> None:
        """Let a request through that the model takes.

        Raises:
            ProviderError: what the model's vendor answers to the first thing that it does not take.

        """
        rows = self._rows_of.get(model.id)
        if rows is None:
            rows = self._rows_of[model.id] = tuple(row for row in self.rows if row.speaks_of(model))
        for row in rows:
            if endpoint in row.endpoints and _is_in_force(row, body, endpoint):
                _check_parameters(row, model, body, endpoint)
                _check_history(row, model, body)
        if model.strict and endpoint == "chat_completions":
            _check_message_fields(model, body)


def _row(written: Mapping[str, Any]) -> Row:
    known: dict[str, Any] = {name: value for name, value in written.items() if name in Row.__dataclass_fields__}
    frozen: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    frozen["kinds"] = frozenset(written["kinds"])
    return Row(**frozen)


def _is_in_force(row: Row, body: Mapping[str, Any], endpoint: str) -> bool:
    return not row.unless or any(_value(body, name, endpoint) != said for name, said in row.unless.items())


def _value(body: Mapping[str, Any], name: str, endpoint: str) -> Any:
    if endpoint != "responses" or name not in _AT_RESPONSES:
        return body.get(name)
    holder, inner = _AT_RESPONSES[name]
    held = body.get(holder)
    return held.get(inner) if isinstance(held, dict) else None


def _check_parameters(row: Row, model: Model, body: Mapping[str, Any], endpoint: str) -> None:
    for old, new in row.renames.items():
        if body.get(old) is not None:
            raise mistral_extra_field(old) if model.vendor == "mistral" else unsupported_parameter(old, new)
    if not row.when or any(body.get(name) for name in row.when):
        for name, wanted in row.sets.items():
            if _value(body, name, endpoint) != wanted:
                raise _tools_with_reasoning(model, name, wanted)
    for name in (*row.drops, *row.lacks):
        value = _given(body, name, endpoint)
        if value is not None:
            raise _refusal(row, model, _written(name, endpoint), value)


def _given(body: Mapping[str, Any], word: str, endpoint: str) -> Any:
    """Return the value with which a request asks for what a word names; None: it does not."""
    if word == "many_choices":
        count = body.get("n")
        return count if isinstance(count, int) and count > 1 else None
    if word == "one_call_at_a_time":
        return False if body.get("parallel_tool_calls") is False else None
    value = _value(body, word, endpoint)
    return None if value is False or _SAME_AS_ABSENT.get(word) == value else value


def _written(word: str, endpoint: str) -> str:
    """Return the parameter's name as the endpoint has it."""
    if endpoint == "responses" and word in _AT_RESPONSES:
        return ".".join(_AT_RESPONSES[word])
    return {"many_choices": "n", "one_call_at_a_time": "parallel_tool_calls"}.get(word, word)


def _refusal(row: Row, model: Model, param: str, value: Any) -> ProviderError:
    if model.vendor == "mistral":
        return mistral_extra_field(param)
    if row.models == ("*",):
        return unrecognized_argument(param)
    if param == "temperature":
        return unsupported_value(param, value, 1)
    return unsupported_parameter(param, None)


def _tools_with_reasoning(model: Model, param: str, wanted: Any) -> ProviderError:
    return openai_error(
        400,
        f"Function tools with {param} are not supported for {model.id} in /v1/chat/completions. To use function tools, "
        f"use /v1/responses or set {param} to '{wanted}'.",
        param=param,
    )


def _check_history(row: Row, model: Model, body: Mapping[str, Any]) -> None:
    if row.tool_call_ids is not None:
        for where, call_id in _call_ids(body):
            _check_id(row.tool_call_ids, where, call_id)
    if row.history is None or not model.strict:
        return
    for index, message in _messages(body):
        for name in _REASONING_FIELDS:
            if name in message and name not in row.history:
                where = f"messages[{index}].{name}"
                raise mistral_extra_field(where) if model.vendor == "mistral" else unknown_parameter(where)


def _check_message_fields(model: Model, body: Mapping[str, Any]) -> None:
    for index, message in _messages(body):
        for name in message:
            if name not in MESSAGE_FIELDS and not (model.vendor == "mistral" and name == "prefix"):
                where = f"messages[{index}].{name}"
                raise mistral_extra_field(where) if model.vendor == "mistral" else unknown_parameter(where)


def _messages(body: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    given = body.get("messages")
    return [(i, one) for i, one in enumerate(given) if isinstance(one, dict)] if isinstance(given, list) else []


def _call_ids(body: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the id of each call and each result in the history, and where it stands."""
    for index, message in _messages(body):
        calls = message.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                yield f"messages[{index}].tool_calls[{place}].id", call["id"]
        if isinstance(message.get("tool_call_id"), str):
            yield f"messages[{index}].tool_call_id", message["tool_call_id"]
    given = body.get("input")
    for index, item in enumerate(given if isinstance(given, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("call_id"), str):
            yield f"input[{index}].call_id", item["call_id"]


def _check_id(form: str, where: str, call_id: str) -> None:
    if form == "nine_alphanumerics" and not _MISTRAL_ID.fullmatch(call_id):
        message = f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
        raise mistral_error(400, message, kind="invalid_function_call", code="3280")
    if len(call_id) > _LONGEST_ID.get(form, len(call_id)):
        raise string_too_long(where, _LONGEST_ID[form], len(call_id))
