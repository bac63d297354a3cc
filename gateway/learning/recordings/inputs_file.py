"""What a primary is asked for its recordings: the inputs of a JSONL file, or those that were captured.

A line is a training row of any format that ``training_rows`` reads, whose answer is left out; the same without an
answer, ``{"messages": [… the user's last]}``; or ``{"input": "text"}``. The row's own system message stays: the
fine-tune was trained with it.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.config.findings import Finding, printable, quoted
from gateway.execution.endpoints.chat import produced_chars
from gateway.learning.packs.training_json import Refused, read_object
from gateway.learning.packs.training_messages import SYSTEM_ROLES, check_message
from gateway.learning.packs.training_rows import (
    MAX_FILE_BYTES,
    MAX_LINE_BYTES,
    MAX_ROWS,
    InvalidTrainingFile,
    TrainingRow,
    read_rows,
)
from gateway.policy.inputs import input_id
from gateway.store.captured_inputs import CapturedInput

CAPTURED = "captured"
_OTHER_FORMATS = ("preferred_output", "completion", "chosen")


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to ask."""

    id: str
    messages: tuple[dict[str, Any], ...]
    """With the system message, if there is one; a user's or a tool's last."""
    tools: list[dict[str, Any]] | None
    source: str
    answer_chars: int | None = None
    """Of the answer that it was trained with, or got; None: there is none."""
    request_id: str | None = None
    user_digest: str | None = None

    @property
    def request(self) -> str:
        """The input as a recording keeps it."""
        tools = {"tools": self.tools} if self.tools else {}
        return orjson.dumps({"messages": self.messages, **tools}).decode()


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of which no two are the same."""

    source: str
    rows: tuple[Input, ...]
    repeated: int = 0
    """Lines that ask what an earlier one asks."""


@dataclass(slots=True)
class _Reading:
    label: str
    rows: list[Input] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)

    def error(self, line: int, message: str) -> None:
        self.errors.append(Finding(self.label, line, printable(message)))


def read_inputs(content: bytes, label: str) -> Inputs:
    """Read a file of inputs; ``label`` names it in findings and in the recordings.

    Raises:
        InvalidTrainingFile: lines cannot be used, none is there, or there are too many (50,000; 64 MiB; 1 MiB a line).
    """
    reading = _Reading(label)
    if len(content) > MAX_FILE_BYTES:
        reading.error(1, "is larger than 64 MiB: take a sample of its rows")
        raise InvalidTrainingFile(tuple(reading.errors))
    lines = io.BytesIO(content.removeprefix(b"\xef\xbb\xbf"))
    written = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if written and _is_other_format(written[0][1]):
        return _unique(label, (_of_training_row(row, label) for row in read_rows(content, label).rows))
    for count, (number, line) in enumerate(written, 1):
        if count > MAX_ROWS:
            reading.error(number, f"is row {count:,}: {MAX_ROWS:,} are read at most; take a sample of the rows")
            break
        try:
            reading.rows.append(_read_line(line, label))
        except Refused as refused:
            reading.error(number, str(refused))
    if not reading.rows and not reading.errors:
        reading.error(1, 'holds no inputs: each line is one, {"messages": […]} or {"input": "text"}')
    if reading.errors:
        raise InvalidTrainingFile(tuple(reading.errors))
    return _unique(label, reading.rows)


def of_captured(rows: Iterable[CapturedInput]) -> Inputs:
    """Return captured inputs as what can be asked."""
    return _unique(CAPTURED, (_of_captured(row) for row in rows))


def _is_other_format(line: bytes) -> bool:
    try:
        return any(key in read_object(line) for key in _OTHER_FORMATS)
    except Refused:
        return False


def _read_line(line: bytes, label: str) -> Input:
    if len(line) > MAX_LINE_BYTES:
        raise Refused("is longer than 1 MiB: leave the row out")
    row = read_object(line)
    if isinstance(row.get("input"), str) and "messages" not in row:
        if not row["input"].strip():
            raise Refused("its input is empty")
        return _input([{"role": "user", "content": row["input"]}], None, label)
    messages, tools = row.get("messages"), row.get("tools")
    if not isinstance(messages, list) or not messages:
        keys = ", ".join(map(quoted, list(row)[:5])) or "none"
        raise Refused(f"has neither a list of messages nor an input that is text (its keys: {keys})")
    if not all(isinstance(message, dict) for message in messages):
        raise Refused("its messages hold something that is no object with role and content")
    for at, message in enumerate(messages, 1):
        check_message(message, f"message {at}")
    if not (tools is None or (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools))):
        raise Refused("its tools are no list of objects")
    if row.get("functions"):
        raise Refused("has functions, which models no longer take: write them as tools")
    answer = messages[-1] if messages[-1]["role"] == "assistant" else None
    asked = messages[:-1] if answer is not None else messages
    if not any(message["role"] == "user" for message in asked):
        raise Refused("has no user message: there is nothing to ask")
    if asked[-1]["role"] in (*SYSTEM_ROLES, "assistant"):
        raise Refused(
            f"ends with {'an' if asked[-1]['role'] == 'assistant' else 'a'} {asked[-1]['role']} message"
            f"{' before its answer' if answer else ''}: the last one must be the user's"
        )
    return _input(asked, tools, label, answer)


def _of_training_row(row: TrainingRow, label: str) -> Input:
    system = [{"role": "system", "content": row.system}] if row.system else []
    return _input([*system, *row.messages], row.tools, label, row.answer)


def _of_captured(row: CapturedInput) -> Input:
    request = orjson.loads(row.request)
    messages = tuple(request["messages"])
    # Not counted anew: it is the id that the deletion of somebody's rows goes by.
    return Input(
        row.input_id,
        messages,
        request.get("tools") or None,
        CAPTURED,
        produced_chars(orjson.loads(row.answer)),
        row.request_id,
        row.user_digest,
    )


def _input(
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    label: str,
    answer: dict[str, Any] | None = None,
) -> Input:
    # `weight` is training's alone; providers refuse it in a request.
    asked = tuple({key: value for key, value in message.items() if key != "weight"} for message in messages)
    chars = produced_chars(answer) if answer is not None else None
    return Input(input_id(asked, tools), asked, tools or None, label, chars)


def _unique(source: str, rows: Iterable[Input]) -> Inputs:
    found = list(rows)
    first: dict[str, Input] = {}
    for row in found:
        first.setdefault(row.id, row)
    return Inputs(source, tuple(first.values()), len(found) - len(first))
