"""What a row may look like in one format: every mistake of it, each by its rule's name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.config.findings import quoted
from gateway.learning.datasets.formats import Format
from gateway.learning.datasets.tool_call_rules import Told, check_calls, check_tools
from gateway.learning.packs.training_json import Refused
from gateway.learning.packs.training_messages import SYSTEM_ROLES, check_message, text_of

_TEXT_ROLES: Final = {"prompt": "user", "chosen": "assistant", "rejected": "assistant", "completion": "assistant"}
"""TRL takes a text in the place of a list of one message."""


@dataclass(slots=True)
class Example:
    """A row that is well formed enough to be compared with others."""

    system: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """What was asked, without the system message."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """One, or a pair with the better one first."""
    tools: list[Any] | None = None
    label: bool | None = None
    """KTO's: whether the answer is right."""

    @property
    def whole(self) -> list[dict[str, Any]]:
        """Return what was asked, and the (better) answer."""
        return [*self.messages, self.answers[0]]


def read_row(row: Mapping[str, Any], form: Format) -> tuple[Example | None, list[Told]]:
    """Return what a row says, and every mistake of it; None where it is no row of the format at all."""
    told = list(_keys(row, form))
    return (None if any(rule == "shape" for rule, _ in told) else _example(row, form, told)), told


def _example(row: Mapping[str, Any], form: Format, told: list[Told]) -> Example | None:
    holder = row["input"] if form.prompt == "input" else row
    asked = _messages(holder.get("messages" if form.prompt == "input" else form.prompt), form.prompt, form, told)
    answers = [_messages(row[key], key, form, told) for key in form.answers]
    tools = _tools(holder, form, told)
    if asked is None or any(answer is None for answer in answers):
        return None
    told.extend(check_tools(tools))
    example = Example(tools=tools if isinstance(tools, list) else None)
    if not _split(example, asked, [answer for answer in answers if answer is not None], form, told):
        return None
    if form.system == "field" and isinstance(row.get("system"), str):
        example.system = row["system"]
    if form.kind == "kto":
        example.label = row["label"]
    if form.tools is not None and not any(rule == "tools" for rule, _ in told):
        rows = [[*asked, answer] for answer in example.answers] if form.answers else [asked]
        # Of a pair, what is wrong with the question is told once.
        told.extend(dict.fromkeys(found for whole in rows for found in check_calls(whole, example.tools)))
    return example


def _keys(row: Mapping[str, Any], form: Format) -> Iterator[Told]:
    needed = (form.prompt, *form.answers, *(("label",) if form.kind == "kto" else ()))
    if missing := [key for key in needed if key not in row]:
        keys = ", ".join(map(quoted, list(row)[:5])) or "none"
        yield "shape", f"has no {missing[0]} (its keys: {keys}): rows of {form.name} have {', '.join(needed)}"
        return
    if unknown := [key for key in row if key not in form.row_keys]:
        yield "unknown-key", f"has the key {quoted(unknown[0])}, which {form.trainer} does not take: leave it out"
    if form.prompt == "input":
        if not isinstance(row["input"], Mapping) or "messages" not in row["input"]:
            yield "shape", "its input is no object with messages"
        elif unknown := [key for key in row["input"] if key not in form.keys]:
            yield "unknown-key", f"its input has the key {quoted(unknown[0])}, which {form.trainer} does not take"
    if form.kind == "kto" and not isinstance(row["label"], bool):
        yield "shape", "its label is neither true nor false"
    holder = row["input"] if form.prompt == "input" and isinstance(row["input"], Mapping) else row
    if not isinstance(holder.get("parallel_tool_calls", True), bool):
        yield "shape", "its parallel_tool_calls is neither true nor false"
    if form.system == "field" and not isinstance(row.get("system", ""), str):
        yield "shape", "its system is no text"


def _messages(value: Any, key: str, form: Format, told: list[Told]) -> list[dict[str, Any]] | None:
    """Return a list of messages that are well formed one by one; None where it is none."""
    if isinstance(value, str) and key in _TEXT_ROLES:
        value = [{"role": _TEXT_ROLES[key], "content": value}]
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        told.append(("shape", f"its {key} is no list of messages"))
        return None
    before = len(told)
    messages = [_with_text_arguments(message) if form.tools == "text" else message for message in value]
    for at, message in enumerate(messages, 1):
        told.extend(
            _message(message, f"message {at}" if key in ("messages", "input") else f"{key}, message {at},", form)
        )
    return None if any(rule in ("message", "role") for rule, _ in told[before:]) else messages


def _message(message: dict[str, Any], name: str, form: Format) -> Iterator[Told]:
    weight = message.get("weight", 1)
    if isinstance(weight, bool) or weight not in (0, 1):
        yield "weight", f"{name} has a weight that is neither 0 nor 1"
        message = {key: value for key, value in message.items() if key != "weight"}
    role = message.get("role")
    if isinstance(role, str) and role not in form.roles:
        instead = "put its text into the row's system" if role in SYSTEM_ROLES and form.system == "field" else None
        yield "role", f"{name} has the role {quoted(role)}: {instead or 'use one of ' + ', '.join(sorted(form.roles))}"
        return
    try:
        check_message(message, name)
    except Refused as refused:
        yield "message", str(refused)
        return
    assert isinstance(role, str)
    if unknown := sorted(message.keys() - form.messages[role]):
        yield "message-key", f"{name} has {quoted(unknown[0])}, which {form.trainer} takes of no {role}: leave it out"
    content = message.get("content")
    kinds = {part["type"] for part in content} if isinstance(content, list) else set()
    if wrong := sorted(kinds - form.parts):
        takes = f"parts of {', '.join(sorted(form.parts))}" if form.parts else "text"
        yield "parts", f"{name} has a part of {wrong[0]}: {form.trainer} takes {takes}"
    if not kinds and role in ("user", *SYSTEM_ROLES) and not text_of(content).strip():
        yield "empty-message", f"{name} is empty: say something in it, or leave it out"


def _split(
    example: Example,
    asked: list[dict[str, Any]],
    answers: list[list[dict[str, Any]]],
    form: Format,
    told: list[Told],
) -> bool:
    """Tell what is wrong with the order of messages, and fill the example; False where it has no answer."""
    told.extend(_order(asked, form))
    if form.answers:
        for key, messages in zip(form.answers, answers, strict=True):
            if len(messages) != 1 or messages[0]["role"] != "assistant":
                told.append(("assistant-last", f"its {key} is not one message of the assistant's"))
                return False
        if asked and asked[-1]["role"] not in ("user", "tool"):
            told.append(
                ("prompt-end", f"what is asked ends with the {asked[-1]['role']}'s message: end it with the user's")
            )
        example.answers = [messages[0] for messages in answers]
    else:
        if not asked or asked[-1]["role"] != "assistant":
            last = f"ends with a {asked[-1]['role']} message" if asked else "has no messages"
            told.append(("assistant-last", f"{last}: the last one must be the assistant's answer"))
            return False
        answers_here = [message for message in asked if message["role"] == "assistant"]
        if all(message.get("weight") == 0 for message in answers_here):
            told.append(("weights", "nothing is trained on: every answer has weight 0"))
        example.answers = [asked[-1]]
    for answer in example.answers:
        if not (answer.get("tool_calls") or text_of(answer.get("content")).strip() or answer.get("refusal")):
            told.append(("empty-answer", "its answer is empty: it needs text, or tool_calls"))
    before = asked if form.answers else asked[:-1]
    example.system = "".join(text_of(message.get("content")) for message in before if message["role"] in SYSTEM_ROLES)
    example.messages = [message for message in before if message["role"] not in SYSTEM_ROLES]
    return True


def _order(messages: Sequence[Mapping[str, Any]], form: Format) -> Iterator[Told]:
    systems = [at for at, message in enumerate(messages) if message["role"] in SYSTEM_ROLES]
    if len(systems) > 1:
        yield "system-place", f"has {len(systems)} system messages: join them into one, at the beginning"
    elif systems and systems[0] != 0:
        yield "system-place", "its system message is not the first message: move it to the beginning"
    said = [message["role"] for message in messages if message["role"] not in SYSTEM_ROLES]
    if "user" not in said:
        yield "no-user", "has no user message: there is nothing that is answered"
    if form.alternates:
        for at, role in enumerate(said):
            if role != ("user", "assistant")[at % 2]:
                what = f"message {at + 1 + len(systems)} is the {role}'s"
                yield "alternation", f"{what}: user and assistant must take turns, the user first"
                return


def _tools(holder: Mapping[str, Any], form: Format, told: list[Told]) -> Any:
    tools = holder.get("tools")
    if isinstance(tools, str) and form.tools == "text":
        try:
            return orjson.loads(tools)
        except orjson.JSONDecodeError as error:
            told.append(("tools", f"its tools are a text that is no JSON ({error.msg})"))
            return None
    if tools is not None and form.tools is None:
        return None
    return tools


def _with_text_arguments(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message whose calls' arguments are a text, as OpenAI's are; chat templates take them as objects."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    written = [_call_with_text(call) for call in calls]
    return {**message, "tool_calls": written}


def _call_with_text(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict):
        return call
    return {**call, "function": {**function, "arguments": orjson.dumps(function["arguments"]).decode()}}
