"""The form of a mark: what its boxes hold, and what is made of what was typed. Mistakes are told beside their field."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Any, Final

from gateway.api.pages.review_messages import offered, weight_of
from gateway.policy.prompts import text_of
from gateway.reasons import Label
from gateway.store.review import Answered, Mark

MOST_BOX_WEIGHT: Final = 32_768
"""Bytes in the page, of an answer that can be written anew there; longer ones are corrected by POST /v1/feedback."""
MOST_TYPED_CHARS: Final = 65_536
MOST_COMMENT_CHARS: Final = 2_000
CHARS_A_LINE: Final = 64
MOST_LINES: Final = 16
CALLS_LINE: Final = '[{"name": "…", "arguments": {…}}]'


class WrongMark(Exception):
    """What was typed is no mark. ``errors``: a sentence for each field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Box:
    """An answer as it stands in the boxes: its text, and the tools that it calls as JSON."""

    content: str
    calls: str = ""

    @property
    def is_too_long(self) -> bool:
        """Whether a page has no room for it."""
        return weight_of(self.content) + weight_of(self.calls) > MOST_BOX_WEIGHT

    @property
    def rows(self) -> tuple[int, int]:
        """How high the two boxes are, in lines."""
        return _lines(self.content), _lines(self.calls)


@dataclass(frozen=True, slots=True)
class ReviewForm:
    """What a form shows: what was typed, or what stands."""

    label: str
    box: Box
    comment: str
    errors: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Typed:
    """A mark as it was typed."""

    label: Label
    correction: Mapping[str, Any] | None
    """The assistant's message as it should have been."""
    comment: str | None


def message_in(text: str) -> Mapping[str, Any]:
    """Return a message that is kept as JSON; what is none says nothing."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    return message if isinstance(message, Mapping) else {"role": "assistant", "content": None}


def box_of(message: Mapping[str, Any]) -> Box:
    """Return the boxes of an answer, as a browser sends them back where nothing is changed."""
    calls = message.get("tool_calls")
    lines = [_readable(call) for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
    return Box(_one_way(text_of(dict(message))), json.dumps(lines, ensure_ascii=False, indent=2) if lines else "")


def form_of_mark(answered: Answered, mark: Mark | None, corrected: Mark | None) -> ReviewForm:
    """Return the form as an answer stands: unmarked, or as marked last; ``corrected``: whose better answer counts."""
    message = message_in(corrected.correction if corrected and corrected.correction else answered.answer)
    label = mark.label.value if mark is not None and mark.label is not None else ""
    return ReviewForm(label, box_of(message), (mark.comment or "") if mark is not None else "")


def form_as_typed(form: Mapping[str, str], stands: ReviewForm, errors: Mapping[str, str] | None = None) -> ReviewForm:
    """Return the form as it was sent; what had no box stays."""
    content = _one_way(form.get("content", stands.box.content))
    box = Box(content, _one_way(form.get("calls", stands.box.calls)))
    return ReviewForm(form.get("label", ""), box, _one_way(form.get("comment", "")), errors or {})


def typed(form: ReviewForm, stands: ReviewForm, answered: Answered) -> Typed:
    """Return the mark that a form makes.

    Raises:
        WrongMark: it makes none.
    """
    given = message_in(answered.answer)
    errors: dict[str, str] = {}
    is_changed = form.box != box_of(given)
    label = form.label or (Label.WRONG if is_changed and form.box != stands.box else "")
    if label not in set(Label):
        errors["label"] = "Say whether the answer is right or wrong"
    if label == Label.RIGHT and is_changed and form.box != stands.box:
        errors["label"] = "It cannot be right and have a better answer: choose wrong, or take the change back"
    if len(form.comment) > MOST_COMMENT_CHARS:
        errors["comment"] = f"It has {len(form.comment):,} characters, of at most {MOST_COMMENT_CHARS:,}"
    correction = None
    if label == Label.WRONG and is_changed:
        correction = _correction(form.box, given, message_in(answered.request), errors)
    if errors:
        raise WrongMark(errors)
    return Typed(Label(label), correction, form.comment.strip() or None)


def _correction(
    box: Box, given: Mapping[str, Any], request: Mapping[str, Any], errors: dict[str, str]
) -> Mapping[str, Any]:
    content = box.content.strip("\n") if box.content.strip() else None
    calls = _calls(box.calls, given, request, errors)
    if content is None and not calls and "calls" not in errors:
        errors["content"] = "An answer says something, or calls a tool"
    if len(box.content) + len(box.calls) > MOST_TYPED_CHARS:
        errors["content"] = f"It has more than {MOST_TYPED_CHARS:,} characters"
    if content is not None and not calls and "calls" not in errors and (why := _is_no_json(content, request)):
        errors["content"] = why
    message: dict[str, Any] = {"role": "assistant", "content": content}
    return {**message, "tool_calls": calls} if calls else message


def _calls(
    written: str, given: Mapping[str, Any], request: Mapping[str, Any], errors: dict[str, str]
) -> list[Mapping[str, Any]]:
    """Return what is called, as OpenAI's API writes it; a call that was not changed stays to the letter."""
    if not written.strip():
        return []
    try:
        lines = _read(written)
    except (ValueError, RecursionError) as error:
        errors["calls"] = f"It is no JSON: {_place(error)}"
        return []
    if not isinstance(lines, list) or not lines:
        errors["calls"] = f"It must be a list of calls, such as {CALLS_LINE}"
        return []
    before = given.get("tool_calls")
    known = [call for call in before if isinstance(call, Mapping)] if isinstance(before, list) else []
    names = offered(request)
    for number, line in enumerate(lines):
        if why := _wrong_call(line, names):
            errors["calls"] = f"Call {number + 1} {why}"
            return []
    ids = [line["id"] for line in lines if line.get("id")]
    if len(set(ids)) < len(ids):
        errors["calls"] = "Two calls have the same id: leave it out, and they get ids of their own"
        return []
    fresh = (name for name in (f"call_{number}" for number in count(1)) if name not in ids)
    return [_same(line, known) or _written(line, line.get("id") or next(fresh)) for line in lines]


def _same(line: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((call for call in known if call.get("id") and _readable(call) == line), None)


def _wrong_call(line: object, names: Sequence[str]) -> str:
    if not isinstance(line, Mapping) or not isinstance(line.get("name"), str) or not line["name"]:
        return "needs a name: the tool that it calls"
    if names and line["name"] not in names:
        return f"calls a tool that was not offered; there was {', '.join(names[:10])}"
    if not isinstance(line.get("arguments"), Mapping):
        return "needs arguments: an object, { } where there are none"
    if not isinstance(line.get("id", ""), str):
        return "has an id that is no text"
    strange = [key for key in line if key not in ("id", "name", "arguments")]
    return f"has {strange[0]!r}, which is no part of a call" if strange else ""


def _readable(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call without what nobody wants to type: its arguments as an object."""
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    arguments = function.get("arguments")
    # What cannot be read stays as the model wrote it: whoever corrects it sees what was wrong.
    with contextlib.suppress(ValueError, RecursionError):
        read = _read(arguments) if isinstance(arguments, str) else arguments
        json.dumps(read, indent=2)
        arguments = read
    said = {"id": call.get("id"), "name": function.get("name"), "arguments": arguments}
    return {key: value for key, value in said.items() if value is not None}


def _written(line: Mapping[str, Any], call_id: str) -> Mapping[str, Any]:
    arguments = json.dumps(line["arguments"], ensure_ascii=False, separators=(",", ":"))
    return {"id": call_id, "type": "function", "function": {"name": line["name"], "arguments": arguments}}


def _is_no_json(content: str, request: Mapping[str, Any]) -> str:
    """Say why an answer is not the JSON that was asked for; nothing where it is, or none was."""
    wanted = request.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") not in ("json_object", "json_schema"):
        return ""
    try:
        _read(content)
    except (ValueError, RecursionError) as error:
        return f"The request asked for JSON, and this is none: {_place(error)}"
    return ""


def _read(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def _place(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]}, line {error.lineno}, column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _lines(text: str) -> int:
    return min(max(3, 1 + sum(len(line) // CHARS_A_LINE + 1 for line in text.split("\n"))), MOST_LINES)


def _one_way(text: str) -> str:
    """Return a text with line ends of one kind: a form sends others than it was given."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
