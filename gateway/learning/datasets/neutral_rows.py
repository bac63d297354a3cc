"""What the database has of a route as neutral rows: a chat with its answer last, and beside it what is known of it.

``gateway dataset build --from FILE`` and ``gateway pack build --from FILE`` read them; trainers want them exported.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.manifest import ManifestRow
from gateway.learning.datasets.row_rules import read_row
from gateway.learning.datasets.validation import guess_format
from gateway.learning.packs.training_json import Refused, read_object
from gateway.learning.packs.training_rows import lines_of
from gateway.policy.inputs import input_id
from gateway.reasons import Label
from gateway.store.captured import Captured
from gateway.store.evaluations import Evaluation
from gateway.store.feedback import Feedback
from gateway.store.recordings import Recording

UNKNOWN_INPUT: Final = ""
"""The id of a line that asks nothing that can be known again: no deletion finds it."""


@dataclass(frozen=True, slots=True)
class NeutralFile:
    """One file, and what its lines are."""

    name: str
    content: bytes
    rows: tuple[ManifestRow, ...]


_Line = tuple[dict[str, Any], ManifestRow]


def neutral_files(
    marks: Sequence[Feedback], captured: Sequence[Captured], recordings: Sequence[Recording]
) -> list[NeutralFile]:
    """Return a route's files, without those that would be empty: corrections, approved, captured, recordings."""
    files = (
        _file("corrections", marks, _correction),
        _file("approved", marks, _approved),
        _file("captured", captured, _captured),
        _file("recordings", recordings, _recording),
    )
    return [file for file in files if file.rows]


def evaluation_lines(evaluations: Iterable[Evaluation]) -> bytes:
    """Return verdicts with their reports, a line each; there is no customer's text in them."""
    whole = ({"route": one.route, "at": one.evaluated_at, **orjson.loads(one.report)} for one in evaluations)
    return b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in whole)


def saved_rows(
    content: bytes, source: str, redactor: Redactor, gone: frozenset[str]
) -> tuple[bytes, tuple[ManifestRow, ...], int]:
    """Return a provider's file line by line as it is, what its lines are, and how many were deleted before.

    A line is known by its redacted input, as the store would know it: what was deleted at somebody's wish (``gone``)
    is not brought back.
    """
    kept: list[bytes] = []
    rows: list[ManifestRow] = []
    deleted = 0
    for line in lines_of(content):
        id_ = _asks(line, redactor)
        if id_ in gone:
            deleted += 1
            continue
        kept.append(line)
        rows.append(ManifestRow(id_, source, "unknown", "file"))
    return (content if not deleted else b"".join(kept)), tuple(rows), deleted


def _asks(line: bytes, redactor: Redactor) -> str:
    try:
        row = read_object(line.strip())
        example, _ = read_row(row, guess_format(row))
        if example is None:
            return UNKNOWN_INPUT
        messages, tools = redactor.value([example.messages, example.tools])[0]
    except (Refused, ValueError):
        return UNKNOWN_INPUT
    return input_id(messages, tools)


def _file(name: str, things: Iterable[Any], line_of: Callable[[Any], _Line | None]) -> NeutralFile:
    lines = [line for thing in things if (line := line_of(thing)) is not None]
    content = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row, _ in lines)
    return NeutralFile(f"{name}.jsonl", content, tuple(told for _, told in lines))


def _whole(request: str, answer: str, **known: Any) -> dict[str, Any]:
    asked = orjson.loads(request)
    messages = [*asked.pop("messages"), {**orjson.loads(answer), "role": "assistant"}]
    return {"messages": messages, **asked, **{key: value for key, value in known.items() if value is not None}}


def _correction(mark: Feedback) -> _Line | None:
    if mark.request is None or mark.correction is None or mark.input_id is None:
        return None
    answered = orjson.loads(mark.answer) if mark.answer else None
    row = _whole(mark.request, mark.correction, answered=answered, **_of_mark(mark))
    told = ManifestRow(mark.input_id, "corrections", "human", "feedback", mark.by, None, mark.feedback_id)
    return row, told


def _approved(mark: Feedback) -> _Line | None:
    if mark.label is not Label.RIGHT or mark.request is None or mark.answer is None or mark.input_id is None:
        return None
    model = _model(mark.provider, mark.model)
    told = ManifestRow(mark.input_id, "approved", "model", "feedback", mark.by, model, mark.feedback_id)
    return _whole(mark.request, mark.answer, **_of_mark(mark)), told


def _of_mark(mark: Feedback) -> Mapping[str, Any]:
    return {
        "input_id": mark.input_id,
        "split": mark.split,
        "by": mark.by,
        "comment": mark.comment,
        "score": mark.score,
        "provider": mark.provider,
        "model": mark.model,
        "prompt_version": mark.prompt_version,
        "at": mark.given_at,
    }


def _captured(row: Captured) -> _Line:
    known = _known(row.input_id, row.provider, row.model, row.captured_at)
    whole = _whole(row.request, row.answer, role=row.role, prompt_version=row.prompt_version, **known)
    return whole, ManifestRow(row.input_id, "captured", "model", "capture", model=_model(row.provider, row.model))


def _recording(row: Recording) -> _Line | None:
    if row.answer is None:
        return None
    whole = _whole(
        row.request, row.answer, sample=row.sample, **_known(row.input_id, row.provider, row.model, row.recorded_at)
    )
    return whole, ManifestRow(row.input_id, "recordings", "model", "capture", model=_model(row.provider, row.model))


def _known(input_id: str, provider: str, model: str, at: datetime) -> dict[str, Any]:
    return {"input_id": input_id, "provider": provider, "model": model, "at": at}


def _model(provider: str | None, model: str | None) -> str | None:
    return f"{provider}/{model}" if provider and model else None
