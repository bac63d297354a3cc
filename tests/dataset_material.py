"""Marks, recordings, captured requests and files by the number, and data sets of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.building import Built, Whose, build
from gateway.learning.datasets.directory import DataSet, read, write
from gateway.learning.datasets.rows import Sourced
from gateway.learning.datasets.sources import from_corrections, from_file, together
from gateway.policy.inputs import input_id
from gateway.policy.splits import split_of
from gateway.reasons import Label, Role
from gateway.store.captured import Captured
from gateway.store.feedback import Feedback
from gateway.store.recordings import Recording

NOW = datetime(2026, 11, 29, 22, tzinfo=UTC)
ROUTE = "triage"
MODEL = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4"
REDACTOR = Redactor(("email", "phone", "card"), {})
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"ticket": 7}'}}
SYSTEM = {"role": "system", "content": "You sort tickets."}

Message = dict[str, Any]


def user(text: Any) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def a_mark(number: int, asked: str | Sequence[Message], **fields: Any) -> Feedback:
    """A correction of an answer, unless fields say otherwise; ``tools`` go into the request."""
    messages = [SYSTEM, user(asked)] if isinstance(asked, str) else list(asked)
    request: dict[str, Any] = {"messages": messages}
    tools = fields.pop("tools", None)
    if tools:
        request["tools"] = tools
    given: dict[str, Any] = {
        "feedback_id": str(UUID(int=number)),
        "route": ROUTE,
        "tenant": "",
        "request_id": f"req-{number}",
        "source": "api",
        "by": "desk",
        "given_at": NOW + timedelta(seconds=number),
        "label": Label.WRONG,
        "correction": dumped(assistant(f"shipping, please, number {number}")),
        "answer": dumped(assistant(f"billing, perhaps, number {number}")),
        "input_id": input_id(messages, tools),
        "split": split_of(messages),
        "request": dumped(request),
        "role": Role.PRIMARY,
        "provider": "acme",
        "model": MODEL,
    }
    return Feedback(**{**given, **fields})


def approved(number: int, asked: str | Sequence[Message], answer: str, **fields: Any) -> Feedback:
    right = {"label": Label.RIGHT, "correction": None, "answer": dumped(assistant(answer))}
    return a_mark(number, asked, **{**right, **fields})


def a_captured(number: int, asked: str, answer: str, **fields: Any) -> Captured:
    messages = [SYSTEM, user(asked)]
    given: dict[str, Any] = {
        "captured_id": str(UUID(int=number)),
        "route": ROUTE,
        "tenant": "",
        "input_id": input_id(messages),
        "request_id": f"req-{number}",
        "user_digest": None,
        "role": Role.PRIMARY,
        "provider": "acme",
        "model": MODEL,
        "prompt_version": None,
        "request": dumped({"messages": messages}),
        "answer": dumped(assistant(answer)),
        "redacted": {},
        "captured_at": NOW,
        "expires_at": NOW + timedelta(days=30),
    }
    return Captured(**{**given, **fields})


def a_recording(asked: str, answer: str | None, **fields: Any) -> Recording:
    messages = [SYSTEM, user(asked)]
    given: dict[str, Any] = {
        "route": ROUTE,
        "provider": "acme",
        "model": MODEL,
        "input_id": input_id(messages),
        "sample": 0,
        "tenant": "",
        "request": dumped({"messages": messages}),
        "answer": dumped(assistant(answer)) if answer is not None else None,
        "source": "captured",
        "recorded_at": NOW,
    }
    return Recording(**{**given, **fields})


def a_file(rows: Sequence[Any], label: str = "training.jsonl", **fields: Any) -> Sourced:
    return from_file(b"".join(map(line_of, rows)), label, **fields)


def chat(*messages: Message, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def built(*sources: Sourced, tenant: str | None = None, gone: frozenset[str] = frozenset()) -> Built:
    return build(together(sources), Whose(ROUTE, tenant, "jane@desk", NOW), REDACTOR, gone)


def put(directory: Path, made: Built) -> DataSet:
    write(directory, made.manifest, made.files)
    return read(directory)


def of_corrections(directory: Path, marks: Sequence[Feedback]) -> DataSet:
    return put(directory, built(from_corrections(marks, None)))


def rows_in(content: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in content.split(b"\n") if line]


def line_of(row: Any) -> bytes:
    return row + b"\n" if isinstance(row, bytes) else orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def dumped(value: Any) -> str:
    return orjson.dumps(value).decode()


def on_side(split: str, text: str, start: int = 0) -> str:
    """A question of this text that is on one side of the split."""
    number = start
    while split_of([user(f"{text} {number}")]) != split:
        number += 1
    return f"{text} {number}"
