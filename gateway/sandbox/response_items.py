"""The items of a response's input: checked, given ids where they have none, and read as the messages of a chat."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from gateway.sandbox.messages import Message, check_role, content_of
from gateway.sandbox.refusals import (
    ProviderError,
    invalid_type,
    invalid_value,
    missing_parameter,
    openai_error,
    string_too_long,
)
from gateway.sandbox.stored_responses import Item, StoredResponses

ROLES = ("assistant", "system", "developer", "user")
_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fc", "reasoning": "rs"}
_LONGEST_ID = 64
_ID = re.compile(r"[\w-]+", re.ASCII)
_SAID = ("output_text", "refusal")
_GIVEN = ("input_text", "input_image", "input_file", "input_audio")
_FIELDS = {
    "message": frozenset(("id", "type", "role", "content", "status", "phase")),
    "function_call": frozenset(("id", "type", "call_id", "name", "arguments", "status", "namespace", "caller")),
    "function_call_output": frozenset(("id", "type", "call_id", "output", "status", "caller")),
    "reasoning": frozenset(("id", "type", "summary", "content", "encrypted_content", "status")),
    "item_reference": frozenset(("id", "type")),
}


def new_id(prefix: str) -> str:
    """Return an id such as ``msg_…``."""
    return f"{prefix}_{uuid4().hex}{uuid4().hex[:16]}"


def parse_items(given: Any, responses: StoredResponses) -> tuple[Item, ...]:
    """Return the items of a request's ``input``; references become what they refer to.

    Raises:
        ProviderError: a 400 that names the item that is wrong, or a 404 for one that is not kept.

    """
    if isinstance(given, str):
        return (_message("user", [{"type": "input_text", "text": given}]),)
    if not isinstance(given, list):
        raise invalid_type("input", "one of a string or an array of input items", given)
    return tuple(_item(raw, f"input[{index}]", responses) for index, raw in enumerate(given))


def check_id(item_id: Any, where: str, prefix: str | None = None) -> None:
    """Refuse an id that nobody here can have given."""
    if not isinstance(item_id, str):
        raise invalid_type(where, "a string", item_id)
    if len(item_id) > _LONGEST_ID:
        raise string_too_long(where, _LONGEST_ID, len(item_id))
    if not _ID.fullmatch(item_id):
        raise invalid_value(
            where,
            f"Invalid '{where}': '{item_id}'. Expected an ID that contains letters, numbers, underscores, or dashes, "
            "but this value contained additional characters.",
        )
    if prefix is not None and not item_id.startswith(prefix):
        raise invalid_value(where, f"Invalid '{where}': '{item_id}'. Expected an ID that begins with '{prefix}'.")


def check_calls(items: Sequence[Item]) -> None:
    """Refuse a result of a call that nobody made, and a call without its result."""
    called: dict[str, None] = {}
    for item in items:
        if item["type"] == "function_call":
            called[item["call_id"]] = None
        elif item["type"] == "function_call_output" and item["call_id"] not in called:
            raise openai_error(
                400, f"No tool call found for function call output with call_id {item['call_id']}.", param="input"
            )
    results = {item["call_id"] for item in items if item["type"] == "function_call_output"}
    for call_id in called:
        if call_id not in results:
            raise openai_error(400, f"No tool output found for function call {call_id}.", param="input")


def to_messages(items: Sequence[Item]) -> list[Message]:
    """Return what items say, as the messages of a chat; calls that follow each other are one message's."""
    messages: list[Message] = []
    for item in items:
        kind = item["type"]
        if kind == "message":
            text, images = content_of(item["content"], "input")
            messages.append(Message(item["role"], text, (), images))
        elif kind == "function_call":
            call = {"id": item["call_id"], "function": {"name": item["name"], "arguments": item["arguments"]}}
            if messages and messages[-1].tool_calls:
                messages[-1] = Message("assistant", messages[-1].text, (*messages[-1].tool_calls, call))
            else:
                messages.append(Message("assistant", "", (call,)))
        elif kind == "function_call_output":
            text, images = content_of(item["output"], "input")
            messages.append(Message("tool", text, (), images))
    return messages


def _item(raw: Any, where: str, responses: StoredResponses) -> Item:
    if not isinstance(raw, dict):
        raise invalid_type(where, "an object", raw)
    kind = raw.get("type", "message" if "role" in raw else None)
    if kind is None:
        raise missing_parameter(f"{where}.type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        allowed = ", ".join(f"'{name}'" for name in _FIELDS)
        raise invalid_value(f"{where}.type", f"Invalid value: '{kind}'. Supported values are: {allowed}.")
    for name in raw:
        if name not in _FIELDS[kind]:
            raise openai_error(
                400, f"Unknown parameter: '{where}.{name}'.", code="unknown_parameter", param=f"{where}.{name}"
            )
    if raw.get("id") is not None:
        check_id(raw["id"], f"{where}.id", _PREFIXES.get(kind))
    if kind == "item_reference":
        return _kept(raw.get("id"), where, responses)
    if kind == "reasoning":
        return _reasoning(raw, where, responses)
    if kind == "message":
        check_role(raw.get("role"), ROLES, f"{where}.role")
        content_of(raw.get("content"), f"{where}.content")
        return _message(raw["role"], _parts(raw["role"], raw["content"], where), raw.get("id"))
    return _call(raw, kind, where)


def _message(role: str, content: Any, item_id: str | None = None) -> Item:
    return {"id": item_id or new_id("msg"), "type": "message", "status": "completed", "role": role, "content": content}


def _parts(role: str, content: Any, where: str) -> Any:
    if not isinstance(content, str):
        allowed = _SAID if role == "assistant" else _GIVEN
        for index, part in enumerate(content):
            if part.get("type") not in allowed:
                words = ", ".join(f"'{name}'" for name in allowed)
                raise invalid_value(
                    f"{where}.content[{index}]", f"Invalid value: '{part.get('type')}'. Supported values are: {words}."
                )
        return content
    return [{"type": "output_text" if role == "assistant" else "input_text", "text": content}]


def _call(raw: Mapping[str, Any], kind: str, where: str) -> Item:
    needed = ("call_id", "name", "arguments") if kind == "function_call" else ("call_id",)
    for name in needed:
        if not isinstance(raw.get(name), str):
            raise missing_parameter(f"{where}.{name}")
    if kind == "function_call_output":
        content_of(raw.get("output"), f"{where}.output")
    return {**raw, "id": raw.get("id") or new_id("fc"), "type": kind, "status": "completed"}


def _reasoning(raw: Mapping[str, Any], where: str, responses: StoredResponses) -> Item:
    sealed = raw.get("encrypted_content")
    if sealed is None:
        return _kept(raw.get("id"), where, responses)
    if not isinstance(sealed, str):
        raise invalid_type(f"{where}.encrypted_content", "a string", sealed)
    if not responses.is_sealed(sealed):
        raise openai_error(
            400,
            f"The encrypted content {sealed[:4]}...{sealed[-4:]} could not be verified. Reason: Encrypted content "
            "could not be decrypted or parsed.",
            code="invalid_encrypted_content",
        )
    return {**raw, "id": raw.get("id") or new_id("rs")}


def _kept(item_id: Any, where: str, responses: StoredResponses) -> Item:
    if not isinstance(item_id, str):
        raise missing_parameter(f"{where}.id")
    item = responses.item(item_id)
    if item is None:
        raise _not_kept(item_id)
    return item


def _not_kept(item_id: str) -> ProviderError:
    return openai_error(
        404,
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. Try again with "
        "`store` set to true, or remove this item from your input.",
        param="input",
    )
