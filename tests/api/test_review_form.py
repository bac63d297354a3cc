"""What is made of a form: whether a better answer was written, tool calls in and out of JSON, and what is told."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.api.pages.review_form import ReviewForm, Typed, WrongMark, box_of, form_as_typed, form_of_mark, typed
from gateway.reasons import Label, Role
from gateway.store.review import Answered, Mark

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FIND = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{ "order" : 4471 }'}}
SEND = {"id": "call_2", "type": "function", "function": {"name": "send", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("find", "send")]


def answered(answer: dict[str, Any], **request: Any) -> Answered:
    asked = json.dumps({"messages": [{"role": "user", "content": "Where?"}], **request})
    message = json.dumps({"role": "assistant", **answer})
    who = (Role.PRIMARY, "acme", "m", None)
    return Answered("id", "reply", "", "0" * 16, "req-1", *who, asked, message, NOW, NOW, None)


def marked(form: dict[str, str], row: Answered, stands: ReviewForm | None = None) -> Typed:
    stands = stands or form_of_mark(row, None, None)
    return typed(form_as_typed(form, stands), stands, row)


def calling(*calls: dict[str, Any], **request: Any) -> Answered:
    return answered({"content": None, "tool_calls": [*calls]}, tools=TOOLS, **request)


def test_the_box_comes_back_from_a_browser_as_no_change() -> None:
    text = "\n one\r\ntwo\rthree\u0000 "
    row = answered({"content": text, "tool_calls": [FIND]})
    box = box_of(json.loads(row.answer))
    sent = {"content": box.content.replace("\n", "\r\n"), "calls": box.calls.replace("\n", "\r\n"), "label": "wrong"}
    assert marked(sent, row) == Typed(Label.WRONG, None, None)


def test_a_call_that_was_not_changed_stays_to_the_letter() -> None:
    lines = json.loads(box_of(json.loads(calling(FIND, SEND).answer)).calls)
    lines[1]["arguments"] = {"to": "them"}
    said = marked({"label": "wrong", "calls": json.dumps(lines)}, calling(FIND, SEND))
    assert said.correction is not None
    first, second = said.correction["tool_calls"]
    assert first == FIND
    assert second == {**SEND, "function": {"name": "send", "arguments": '{"to":"them"}'}}
    assert said.correction["content"] is None


def test_calls_without_an_id_get_one_that_is_free() -> None:
    lines = [{"name": "find", "arguments": {}}, {"name": "send", "arguments": {}}]
    said = marked({"label": "wrong", "calls": json.dumps(lines)}, calling(FIND))
    assert said.correction is not None
    assert [call["id"] for call in said.correction["tool_calls"]] == ["call_1", "call_2"]
    said = marked({"label": "wrong", "calls": json.dumps([*lines, {**lines[0], "id": "call_1"}])}, calling(FIND))
    assert said.correction is not None
    assert [call["id"] for call in said.correction["tool_calls"]] == ["call_2", "call_3", "call_1"]


def test_an_answer_can_call_instead_of_talking_and_talk_instead_of_calling() -> None:
    talks = answered({"content": "I cannot."}, tools=TOOLS)
    calls = json.dumps([{"name": "find", "arguments": {"order": 1}}])
    said = marked({"label": "wrong", "content": "", "calls": calls}, talks)
    assert said.correction is not None
    assert said.correction["content"] is None
    assert [call["function"]["name"] for call in said.correction["tool_calls"]] == ["find"]
    said = marked({"label": "wrong", "content": "Which order?", "calls": " "}, calling(FIND))
    assert said.correction == {"role": "assistant", "content": "Which order?"}


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        pytest.param('[{"name": "find"', "It is no JSON: expecting ',' delimiter, line 1, column 17", id="cut off"),
        pytest.param('{"name": "find"}', "It must be a list of calls", id="no list"),
        pytest.param("[]", "It must be a list of calls", id="an empty list"),
        pytest.param('["find"]', "Call 1 needs a name", id="a text"),
        pytest.param('[{"arguments": {}}]', "Call 1 needs a name", id="no name"),
        pytest.param('[{"name": "find", "arguments": "{}"}]', "Call 1 needs arguments: an object", id="a text of JSON"),
        pytest.param('[{"name": "find"}]', "Call 1 needs arguments: an object", id="no arguments"),
        pytest.param('[{"name": "buy", "arguments": {}}]', "not offered; there was find, send", id="an unknown tool"),
        pytest.param('[{"name": "find", "arguments": {}, "x": 1}]', "'x', which is no part of a call", id="more"),
        pytest.param('[{"name": "find", "arguments": {}, "id": 1}]', "has an id that is no text", id="a number as id"),
        pytest.param('[{"name": "find", "arguments": {"a": NaN}}]', "NaN is no JSON", id="not a number"),
        pytest.param("[" * 100_000, "It is no JSON: it is nested too deeply", id="as deep as nobody writes"),
        pytest.param('[{"id": "a", "name": "find", "arguments": {}}, {"id": "a", "name": "send", "arguments": {}}]',
                     "Two calls have the same id", id="an id twice"),
    ],
)  # fmt: skip
def test_calls_that_are_none_are_told_beside_their_box(calls: str, told: str) -> None:
    with pytest.raises(WrongMark) as wrong:
        marked({"label": "wrong", "calls": calls}, calling(FIND))
    assert told in wrong.value.errors["calls"]


def test_arguments_that_the_model_wrote_badly_are_shown_as_they_are() -> None:
    broken = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"order": '}}
    box = box_of({"role": "assistant", "content": None, "tool_calls": [broken]})
    assert json.loads(box.calls) == [{"id": "call_1", "name": "find", "arguments": '{"order": '}]


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_where_json_was_asked_for_the_better_answer_is_json(kind: str) -> None:
    row = answered({"content": '{"total": 1}'}, response_format={"type": kind})
    with pytest.raises(WrongMark) as wrong:
        marked({"label": "wrong", "content": '{"total": 1,}'}, row)
    assert wrong.value.errors["content"].startswith("The request asked for JSON, and this is none: ")
    assert marked({"label": "wrong", "content": '{"total": 2}'}, row).correction is not None


def a_mark(better: str, label: Label = Label.WRONG) -> Mark:
    correction = json.dumps({"role": "assistant", "content": better})
    return Mark("id", label, None, "mira", "review", NOW, "why", correction)


def test_a_mark_that_is_opened_again_stands_as_it_was_saved() -> None:
    row = answered({"content": "In the post."})
    stands = form_of_mark(row, a_mark("At sea."), a_mark("At sea."))
    assert (stands.label, stands.box.content, stands.comment) == ("wrong", "At sea.", "why")
    again = marked({"label": "wrong", "content": "At sea.", "comment": "why"}, row, stands)
    assert again.correction == {"role": "assistant", "content": "At sea."}
    undone = marked({"label": "right", "content": "At sea."}, row, stands)
    assert undone == Typed(Label.RIGHT, None, None)


def test_a_form_without_boxes_marks_and_changes_nothing() -> None:
    row = answered({"content": "long" * 20_000})
    assert form_of_mark(row, None, None).box.is_too_long
    assert marked({"label": "wrong", "comment": "too long"}, row) == Typed(Label.WRONG, None, "too long")
