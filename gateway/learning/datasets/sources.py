"""What each source of a data set gives: marks, recordings, captured requests and files as rows of one route."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, Literal, TypeVar

import orjson

from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.manifest import Consent
from gateway.learning.datasets.rows import (
    APPROVED,
    CAPTURED,
    CORRECTIONS,
    RECORDINGS,
    Material,
    Sourced,
    earlier_answers,
)
from gateway.learning.packs.rows import recorded_row
from gateway.learning.packs.training_json import Refused
from gateway.learning.packs.training_messages import check_message, text_of
from gateway.learning.packs.training_rows import InvalidTrainingFile, TrainingRow, lines_of, read_rows
from gateway.reasons import Label, Role
from gateway.store.captured import Captured
from gateway.store.feedback import Feedback
from gateway.store.recordings import Recording

RANKS: Final = {CORRECTIONS: 0, APPROVED: 1, "file": 2, RECORDINGS: 3, CAPTURED: 4}
"""Who is believed of one input: a person's own words first, then what a person approved of."""

Row = TypeVar("Row", Feedback, Recording, Captured)
_Made = Material | str
"""A row, or why there is none."""


def from_corrections(marks: Iterable[Feedback], tenant: str | None) -> Sourced:
    """Return what people wrote in the place of answers, with the answers that they corrected."""
    return _read((mark for mark in marks if mark.correction is not None), CORRECTIONS, tenant, _correction)


def from_approved(marks: Iterable[Feedback], tenant: str | None) -> Sourced:
    """Return the answers that people called right."""
    right = (mark for mark in marks if mark.label is Label.RIGHT and mark.correction is None)
    return _read(right, APPROVED, tenant, _approved)


def from_recordings(recordings: Iterable[Recording], tenant: str | None) -> Sourced:
    """Return what the primary answered while it lived: first samples with an answer."""
    answered = (row for row in recordings if row.sample == 0 and row.answer is not None)
    return _read(answered, RECORDINGS, tenant, _recorded)


def from_captured(captured: Iterable[Captured], tenant: str | None) -> Sourced:
    """Return the primary's answers to live requests."""
    return _read((row for row in captured if row.role is Role.PRIMARY), CAPTURED, tenant, _captured)


def from_file(content: bytes, label: str, *, by_model: bool = False) -> Sourced:
    """Return a training file's rows; lines that cannot be used are told and left out.

    ``by_model``: whether what lies beside the file says that a model wrote its answers.

    Raises:
        InvalidTrainingFile: nothing in it can be used, it is too large, or it mixes formats.
    """
    unusable: dict[int, str] = {}
    try:
        read = read_rows(content, label)
    except InvalidTrainingFile as refused:
        unusable = {finding.line: finding.message for finding in refused.findings}
        usable = (b"\n" if number in unusable else line for number, line in enumerate(lines_of(content), 1))
        try:
            read = read_rows(b"".join(usable), label)
        except InvalidTrainingFile:
            raise refused from None
    usable_lines = {row.line for row in read.rows}
    unusable |= {finding.line: finding.message for finding in read.findings if finding.line not in usable_lines}
    unusable |= {row.line: why for row in read.rows if (why := _why_untrainable(row)) is not None}
    origin: Literal["model", "unknown"] = "model" if by_model else "unknown"
    materials = tuple(
        Material(row, label, RANKS["file"], origin, "file") for row in read.rows if row.line not in unusable
    )
    told = tuple((f"{label}:{line}", why) for line, why in sorted(unusable.items()))
    return Sourced(materials, {label: len(materials) + len(told)}, told)


def together(sources: Iterable[Sourced]) -> Sourced:
    """Return several sources as one."""
    whole = Sourced()
    for source in sources:
        whole = Sourced(
            whole.materials + source.materials,
            {**whole.read, **source.read},
            whole.unusable + source.unusable,
            whole.foreign + source.foreign,
        )
    return whole


def _read(rows: Iterable[Row], source: str, tenant: str | None, make: Callable[[Row, int], _Made]) -> Sourced:
    materials: list[Material] = []
    unusable: list[tuple[str, str]] = []
    read = foreign = 0
    for row in rows:
        # Whoever asked the store has asked for one tenant: what a variant must never see is looked at twice.
        if row.tenant != (tenant or ""):
            foreign += 1
            continue
        read += 1
        made = make(row, read)
        if isinstance(made, Material):
            materials.append(made)
        else:
            unusable.append((f"{source}:{_id_of(row)}", made))
    return Sourced(tuple(materials), {source: read}, tuple(unusable), foreign)


def _correction(mark: Feedback, line: int) -> _Made:
    row = example_of(mark.request, mark.correction, CORRECTIONS, line)
    if isinstance(row, str):
        return row
    made = _marked(mark, row, CORRECTIONS)
    return replace(made, origin="human", model=None, rejected=_answer(mark.answer))


def _approved(mark: Feedback, line: int) -> _Made:
    row = example_of(mark.request, mark.answer, APPROVED, line)
    return row if isinstance(row, str) else _marked(mark, row, APPROVED)


def _marked(mark: Feedback, row: TrainingRow, source: str) -> Material:
    return Material(
        row,
        source,
        RANKS[source],
        "model",
        "feedback",
        by=mark.by,
        model=_model(mark.provider, mark.model),
        feedback_id=mark.feedback_id,
        known_as=mark.input_id,
    )


def _recorded(recording: Recording, line: int) -> _Made:
    consent: Consent = "capture" if recording.source == CAPTURED else "file"
    return _answered(recording, RECORDINGS, consent, line)


def _captured(captured: Captured, line: int) -> _Made:
    return _answered(captured, CAPTURED, "capture", line)


def _answered(kept: Recording | Captured, source: str, consent: Consent, line: int) -> _Made:
    row = example_of(kept.request, kept.answer, source, line)
    if isinstance(row, str):
        return row
    model = _model(kept.provider, kept.model)
    return Material(row, source, RANKS[source], "model", consent, model=model, known_as=kept.input_id)


def example_of(request: str | None, answer: str | None, source: str, line: int) -> TrainingRow | str:
    """Return a request and its answer, each as JSON, as an example; the reason why there is none, as a clause."""
    if request is None or answer is None:
        return "has no request or no answer: nobody kept it"
    try:
        row = recorded_row(request, answer, source, line)
    except InvalidTrainingFile as refused:
        return refused.findings[0].message
    return _why_untrainable(row) or replace(row, untrained=earlier_answers(row.messages))


def _why_untrainable(row: TrainingRow) -> str | None:
    """Say what a row has that no trainer takes; None where there is nothing."""
    contents = [
        content for message in (*row.messages, row.answer) if isinstance(content := message.get("content"), list)
    ]
    kinds = {part["type"] for content in contents for part in content} - FORMATS["openai-sft"].parts
    return f"has a part {min(kinds)!r}, which no trainer takes" if kinds else None


def _answer(written: str | None) -> dict[str, Any] | None:
    """Return the answer that was given; None where nobody kept it, or it says nothing."""
    if written is None:
        return None
    message = {**orjson.loads(written), "role": "assistant"}
    try:
        check_message(message, "the answer")
    except Refused:
        return None
    says = message.get("tool_calls") or text_of(message.get("content")).strip()
    return message if says else None


def _model(provider: str | None, model: str | None) -> str | None:
    return f"{provider}/{model}" if provider and model else None


def _id_of(row: Feedback | Recording | Captured) -> str:
    return row.feedback_id if isinstance(row, Feedback) else row.input_id
