from typing import Any

import pytest

from gateway.policy.inputs import asked_text, input_id, question_id, questions_of

CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def _user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


ASKED = [_user("Where is my order?")]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{"role": "system", "content": "Be brief."}, *ASKED], id="a system message before it"),
        pytest.param([{"role": "developer", "content": "Be brief."}, *ASKED], id="a developer message before it"),
        pytest.param([*ASKED, {"role": "system", "content": "Now."}], id="a system message behind it"),
        pytest.param([_user("  Where is\n my   order?\t")], id="more white space"),
        pytest.param([_user("Where\u00a0is my order?")], id="a space that does not break"),
        pytest.param([_user("Where is my order?", name="jane")], id="a name of the speaker"),
        pytest.param([_user("Where is my order?", weight=None)], id="a field that says nothing"),
        pytest.param([_user([{"type": "text", "text": "Where is my order?"}])], id="one part"),
        pytest.param(
            [_user([{"type": "text", "text": "Where is "}, {"text": "my order?", "type": "text"}])], id="two parts"
        ),
    ],
)
def test_the_same_question_is_the_same_input(messages: list[dict[str, Any]]) -> None:
    assert input_id(messages) == input_id(ASKED)


@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([_user("where is my order?")], None, id="another letter"),
        pytest.param([_user("Whereis my order?")], None, id="a word less"),
        pytest.param([{"role": "assistant", "content": "Where is my order?"}], None, id="another speaker"),
        pytest.param([*ASKED, *ASKED], None, id="asked twice"),
        pytest.param([*ASKED, {"role": "assistant", "content": "Which?"}, _user("A1")], None, id="a turn more"),
        pytest.param([_user([{"type": "text", "text": "Where is my order?"}, PICTURE])], None, id="a picture with it"),
        pytest.param(
            [_user([{"type": "text", "text": "Where is my order?", "cache_control": {"type": "ephemeral"}}])],
            None,
            id="a part that is more than its text",
        ),
        pytest.param([_user("Where is my order?", tool_calls=[CALL])], None, id="a tool call"),
        pytest.param(ASKED, TOOLS, id="tools"),
        pytest.param([_user([])], None, id="no parts"),
        pytest.param([_user(None)], None, id="no content"),
    ],
)
def test_another_question_is_another_input(messages: list[dict[str, Any]], tools: list[Any] | None) -> None:
    assert input_id(messages, tools) != input_id(ASKED)


def test_the_order_of_a_tools_keys_does_not_count_and_that_of_the_tools_does() -> None:
    turned = [dict(reversed(tool.items())) for tool in TOOLS]
    other = {"type": "function", "function": {"name": "cancel"}}
    assert input_id(ASKED, turned) == input_id(ASKED, TOOLS)
    assert input_id(ASKED, [*TOOLS, other]) != input_id(ASKED, [other, *TOOLS])
    assert input_id(ASKED, []) == input_id(ASKED, None) == input_id(ASKED)


def test_an_id_never_changes_for_it_is_kept_in_packs_and_databases() -> None:
    assert input_id(ASKED) == "4ff35f2a1ccaac74"
    assert input_id([*ASKED, {"role": "assistant", "content": None, "tool_calls": [CALL]}], TOOLS) == "dd4220bd7c038609"


def test_any_text_has_an_id_of_sixteen_hex_digits() -> None:
    for text in ("", "\0", "🐟 ё 漢", "x" * 1_000_000):
        id_ = input_id([_user(text)])
        assert len(id_) == 16
        assert set(id_) <= set("0123456789abcdef")


def test_a_question_is_not_changed_by_being_named() -> None:
    messages = [_user([{"type": "text", "text": " a  b "}])]
    input_id(messages)
    assert messages == [_user([{"type": "text", "text": " a  b "}])]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([], "", id="nobody asks"),
        pytest.param([{"role": "assistant", "content": "Hello"}], "", id="only the assistant speaks"),
        pytest.param([_user("one"), {"role": "assistant", "content": "two"}, _user("three")], "three", id="the last"),
        pytest.param([_user("one"), {"role": "tool", "content": "found"}], "one", id="a tool spoke since"),
        pytest.param(
            [_user([{"type": "text", "text": "what is "}, PICTURE, {"type": "text", "text": "this"}])],
            "what is this",
            id="text around a picture",
        ),
        pytest.param([_user(None)], "", id="no content"),
    ],
)
def test_similar_examples_are_looked_for_by_what_the_user_said_last(
    messages: list[dict[str, Any]], expected: str
) -> None:
    assert asked_text(messages) == expected


CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
FOUND = {"role": "tool", "tool_call_id": "c1", "content": "Order A1"}


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([_user(" where is\nMY order? ")], id="other letters and white space"),
        pytest.param([{"role": "system", "content": "Be brief."}, *ASKED], id="a system message before it"),
        pytest.param([*ASKED, {"role": "assistant", "content": "Here"}], id="its answer"),
        pytest.param(
            [*ASKED, {"role": "assistant", "content": "Here"}, {"role": "system"}], id="its answer and a system"
        ),
        pytest.param([_user([{"type": "text", "text": "Where is my order?"}])], id="one part"),
    ],
)
def test_a_question_is_known_however_it_is_written(messages: list[dict[str, Any]]) -> None:
    assert question_id(messages) == question_id(ASKED)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="nothing"),
        pytest.param([_user("Where is her order?")], id="another word"),
        pytest.param([*ASKED, {"role": "assistant", "content": "Which?"}, _user("A1")], id="a turn more"),
        pytest.param([*ASKED, CALLED, FOUND], id="a tool's result"),
    ],
)
def test_another_question_has_another_id(messages: list[dict[str, Any]]) -> None:
    assert question_id(messages) != question_id(ASKED)


def test_random_ids_of_tool_calls_do_not_make_another_question() -> None:
    other = [{**CALLED, "tool_calls": [{**CALL, "id": "c2"}]}, {**FOUND, "tool_call_id": "c2"}]
    assert question_id([*ASKED, *other]) == question_id([*ASKED, CALLED, FOUND])


def test_a_conversation_asks_what_each_of_its_answers_answers() -> None:
    said = {"role": "assistant", "content": "Here"}
    whole = [*ASKED, CALLED, FOUND, said, _user("Thanks"), said]
    asked = [ASKED, [*ASKED, CALLED, FOUND], [*ASKED, CALLED, FOUND, said, _user("Thanks")]]
    assert list(questions_of([{"role": "system", "content": "Be brief."}, *whole])) == list(map(question_id, asked))
