"""Training files, read as OpenAI's jobs read them while they validate: the first thing that is wrong, by its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from gateway.sandbox.lessons import Taught
from gateway.sandbox.messages import Message, parse_messages
from gateway.sandbox.refusals import ProviderError
from gateway.sandbox.tokens import split_tokens
from gateway.sandbox.training import MESSAGE_TOKENS

Method = Literal["supervised", "dpo"]
FEWEST_ROWS = 10
_MESSAGE_KEYS = frozenset(
    ("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "weight")
)
_ROW_KEYS = frozenset(("messages", "tools", "parallel_tool_calls", "functions"))
_PAIR_KEYS = ("input", "preferred_output", "non_preferred_output")


class InvalidFile(Exception):
    """A file that nothing can be trained on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """What is in a file."""

    taught: Sequence[Taught]
    rows: int
    tokens: int
    """Of all rows, once; of pairs: the input and both answers."""


def read_training_rows(content: bytes, method: Method, param: str) -> TrainingRows:
    """Return what a file teaches; ``param`` is the job's field that names it.

    Raises:
        InvalidFile: the first line that is wrong, or too few of them.
    """
    taught: list[Taught] = []
    rows = tokens = 0
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = _object(line)
            read, counted = _pair(row) if method == "dpo" else _conversation(row)
        except ProviderError as error:
            raise _invalid(param, number, error.body["error"]["message"]) from error
        except ValueError as error:
            raise _invalid(param, number, str(error)) from error
        taught += read
        rows, tokens = rows + 1, tokens + counted
    if rows < FEWEST_ROWS:
        said = f"{_named(param)} has {rows} example(s), but must have at least {FEWEST_ROWS} examples"
        raise InvalidFile("invalid_n_examples", said)
    return TrainingRows(tuple(taught), rows, tokens)


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        row = orjson.loads(line)
        orjson.dumps([[[[row]]]])  # nested too deeply to be written again
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise ValueError("Expected a valid JSON dictionary.") from error
    if not isinstance(row, dict):
        raise ValueError("Expected a valid JSON dictionary.")
    return row


def _conversation(row: Mapping[str, Any]) -> tuple[list[Taught], int]:
    messages = _checked(row)
    raw = row["messages"]
    if messages[-1].role != "assistant":
        raise ValueError("Expected the last message to be from the assistant.")
    taught = [
        Taught(messages[:place], message)
        for place, message in enumerate(messages)
        if message.role == "assistant" and raw[place].get("weight", 1) == 1
    ]
    if not taught:
        raise ValueError("Expected at least one assistant message with a weight of 1.")
    return taught, _tokens(messages) + _tools_tokens(row)


def _pair(row: Mapping[str, Any]) -> tuple[list[Taught], int]:
    for key in _PAIR_KEYS:
        if key not in row:
            raise ValueError(f"Missing key '{key}'.")
    if unknown := sorted(row.keys() - set(_PAIR_KEYS)):
        raise ValueError(f"Unexpected key '{unknown[0]}'.")
    if not isinstance(row["input"], dict):
        raise ValueError("Expected 'input' to be a dictionary.")
    before = _checked(row["input"])
    answers = []
    for key in _PAIR_KEYS[1:]:
        raw = row[key]
        if not isinstance(raw, list) or len(raw) != 1:
            raise ValueError(f"Expected '{key}' to be a list of one assistant message.")
        [answer] = _checked({"messages": raw})
        if answer.role != "assistant":
            raise ValueError(f"Expected '{key}' to be a list of one assistant message.")
        answers.append(answer)
    return [Taught(before, answers[0])], _tokens((*before, *answers)) + _tools_tokens(row["input"])


def _checked(row: Mapping[str, Any]) -> tuple[Message, ...]:
    if "messages" not in row:
        raise ValueError("Missing key 'messages'.")
    if unknown := sorted(row.keys() - _ROW_KEYS):
        raise ValueError(f"Unexpected key '{unknown[0]}'.")
    raw = row["messages"]
    last = raw[-1] if isinstance(raw, list) and raw else None
    ends_with_calls = isinstance(last, dict) and last.get("role") == "assistant" and last.get("tool_calls")
    # A row may end with a call that nobody answers any more: a request may not.
    messages = parse_messages([*raw[:-1], {**last, "tool_calls": None}] if ends_with_calls and last else raw)
    if ends_with_calls and last:
        [called] = parse_messages([{**last, "tool_calls": None}])
        messages = (*messages[:-1], replace(called, tool_calls=_calls(last["tool_calls"])))
    for place, message in enumerate(raw):
        _check_message(message, place)
    return messages


def _check_message(message: Mapping[str, Any], place: int) -> None:
    if unknown := sorted(message.keys() - _MESSAGE_KEYS):
        raise ValueError(f"Message {place + 1}: unexpected key '{unknown[0]}'.")
    if "weight" in message and (message["role"] != "assistant" or message["weight"] not in (0, 1)):
        raise ValueError(f"Message {place + 1}: only assistant messages have a 'weight', of 0 or 1.")
    if message["role"] == "assistant" and not (message.get("content") or message.get("tool_calls")):
        raise ValueError(f"Message {place + 1}: an assistant message needs 'content' or 'tool_calls'.")


def _calls(raw: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(raw, list) or not all(isinstance(call, dict) for call in raw):
        raise ValueError("Expected 'tool_calls' to be a list of dictionaries.")
    for call in raw:
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
            raise ValueError("Expected each of 'tool_calls' to have a 'function' with 'name' and 'arguments'.")
    return tuple(raw)


def _tokens(messages: Sequence[Message]) -> int:
    return sum(len(split_tokens(_spoken(message))) + MESSAGE_TOKENS for message in messages)


def _tools_tokens(row: Mapping[str, Any]) -> int:
    return len(split_tokens(orjson.dumps(row["tools"]).decode())) if row.get("tools") else 0


def _spoken(message: Message) -> str:
    return message.text + (orjson.dumps(message.tool_calls).decode() if message.tool_calls else "")


def _invalid(param: str, line: int, said: str) -> InvalidFile:
    return InvalidFile(
        f"invalid_{param}",
        f"The job failed due to an invalid {param.replace('_', ' ')}. Invalid file format. Line {line}: {said}",
    )


def _named(param: str) -> str:
    return param.replace("_", " ").capitalize()
