import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.findings import Finding
from gateway.learning.packs.training_rows import (
    MAX_FILE_BYTES,
    MAX_LINE_BYTES,
    MAX_ROWS,
    InvalidTrainingFile,
    TrainingFile,
    read_rows,
    systems,
    unique,
)

USER, ANSWER = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
GOOD = json.dumps({"messages": [USER, ANSWER]})
TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


def _chat(*messages: Any, **more: Any) -> str:
    return json.dumps({"messages": messages, **more})


def _read(*lines: str) -> TrainingFile:
    return read_rows("\n".join(lines).encode(), "t.jsonl")


def _errors(content: bytes) -> list[str]:
    with pytest.raises(InvalidTrainingFile) as refused:
        read_rows(content, "t.jsonl")
    return [str(finding) for finding in refused.value.findings]


HOSTILE = {
    "text is no JSON": ("{", "is not a line of JSON (column 2: "),
    "a row cut in half": (GOOD[:-5], "is not a line of JSON (column "),
    "two rows on a line": (GOOD + GOOD, f"is not a line of JSON (column {len(GOOD) + 1}: Extra data)"),
    "a control character in a text": (GOOD.replace('"u"', '"\x01"'), "is not a line of JSON (column "),
    "a list": ("[]", "is no JSON object: each line is one row"),
    "a text": ('"messages"', "is no JSON object: each line is one row"),
    "NaN": ('{"messages": NaN}', "holds NaN, which is not JSON"),
    "minus infinity": ('{"messages": -Infinity}', "holds -Infinity, which is not JSON"),
    "a number beyond any": ('{"messages": 1e999}', "holds a number that is too large"),
    "an integer beyond 64 bits": ('{"messages": 9223372036854775808}', "holds a whole number beyond 64 bits"),
    "an integer of 5,000 digits": ('{"messages": ' + "9" * 5000 + "}", "holds a whole number beyond 64 bits"),
    "a key twice": ('{"messages": [{"role": "user", "role": "system"}]}', "has the key 'role' twice in one object"),
    "lists in lists 65 deep": ('{"messages": ' + "[" * 64 + "]" * 64 + "}", "is nested deeper than 64 levels"),
    "lists in lists 100,000 deep": ("[" * 100_000, "is nested deeper than 64 levels"),
    "half a character": (_chat({"role": "user", "content": "\ud800"}, ANSWER), "holds half of a surrogate pair"),
    "a byte order mark inside": ("\ufeff" + GOOD, "begins with a byte order mark"),
    "a line beyond 1 MiB": (
        _chat(USER, {"role": "assistant", "content": "x" * MAX_LINE_BYTES}),
        "is longer than 1 MiB",
    ),
    "no known keys": (
        '{"conversations": []}',
        "is no training row (its keys: 'conversations'): the formats have messages",
    ),
    "no keys": ("{}", "is no training row (its keys: none)"),
    "messages as text": ('{"messages": "u"}', "its messages is no list of messages"),
    "messages as null": ('{"messages": null}', "its messages is no list of messages"),
    "no messages": ('{"messages": []}', "has no messages"),
    "a message that is text": (_chat("u", ANSWER), "its messages holds something that is no object"),
    "a message without a role": (_chat({"content": "u"}, ANSWER), "message 1 has the role none: use one of system, "),
    "an unknown role": (_chat(USER, {"role": "bot", "content": "a"}), "message 2 has the role 'bot': use one of"),
    "a role that is a list": (_chat({"role": ["user"], "content": "u"}), "message 1 has the role none"),
    "a role with a line end": (_chat({"role": "x\ny", "content": "u"}), r"message 1 has the role 'x\ny': use"),
    "content as number": (_chat({"role": "user", "content": 7}, ANSWER), "message 1 has content that is neither"),
    "content as object": (_chat({"role": "user", "content": {}}, ANSWER), "message 1 has content that is neither"),
    "a question of null": (_chat({"role": "user", "content": None}, ANSWER), "message 1 has content that is neither"),
    "a part that is text": (_chat({"role": "user", "content": ["u"]}, ANSWER), "message 1 has a part without a type"),
    "an unknown part": (
        _chat({"role": "user", "content": [{"type": "x"}]}, ANSWER),
        "message 1 has a part 'x': use text",
    ),
    "a text part with no text": (
        _chat({"role": "user", "content": [{"type": "text", "text": 1}]}, ANSWER),
        "message 1 has a part of text without its text",
    ),
    "an image for the system": (
        _chat({"role": "system", "content": [{"type": "image_url"}]}, USER, ANSWER),
        "message 1 has a part 'image_url': use text",
    ),
    "a name that is a number": (_chat({**USER, "name": 1}, ANSWER), "message 1 has a name that is no text"),
    "no answer": (_chat(USER), "ends with a user message: the last one must be the assistant's answer"),
    "no question": (_chat({"role": "system", "content": "s"}, ANSWER), "has no user message"),
    "an empty answer": (_chat(USER, {"role": "assistant", "content": " \n"}), "its answer is empty"),
    "an answer of null": (_chat(USER, {"role": "assistant", "content": None}), "its answer is empty"),
    "a call without a name": (
        _chat(USER, {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}),
        "message 2 has tool_calls that are no calls",
    ),
    "arguments as object": (
        _chat(USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}),
        "message 2 has tool_calls that are no calls",
    ),
    "a user who calls": (_chat({**USER, "tool_calls": [CALL]}, ANSWER), "message 1 has tool_calls that are no calls"),
    "a result without its call": (
        _chat(USER, {"role": "tool", "content": "r"}, ANSWER),
        "message 2 has no tool_call_id",
    ),
    "function_call": (
        _chat(USER, {**ANSWER, "function_call": {}}),
        "message 2 has function_call, which models no longer",
    ),
    "functions": (_chat(USER, ANSWER, functions=[{}]), "has functions, which models no longer take"),
    "tools as a text that is none": (_chat(USER, ANSWER, tools="find"), "its tools are a text that is no JSON"),
    "tools as the text of an object": (_chat(USER, ANSWER, tools="{}"), "its tools are no list of objects"),
    "parallel_tool_calls as text": (
        _chat(USER, ANSWER, parallel_tool_calls="no"),
        "its parallel_tool_calls is neither",
    ),
    "half a weight": (_chat(USER, {**ANSWER, "weight": 0.5}), "message 2 has a weight that is neither 0 nor 1"),
    "a weight of true": (_chat(USER, {**ANSWER, "weight": True}), "message 2 has a weight that is neither 0 nor 1"),
    "two system messages": (
        _chat({"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, USER, ANSWER),
        "has 2 system messages: join them into one",
    ),
    "a system message beside Bedrock's": (
        _chat({"role": "system", "content": "s"}, USER, ANSWER, system="s"),
        "has 2 system messages: join them into one",
    ),
    "a system message in the middle": (
        _chat(USER, {"role": "system", "content": "s"}, ANSWER),
        "its system message is not the first message",
    ),
}


@pytest.mark.parametrize(("row", "message"), HOSTILE.values(), ids=list(HOSTILE))
def test_a_row_that_cannot_be_used_is_refused_with_its_line(row: str, message: str) -> None:
    lines = [GOOD, "", GOOD, row, GOOD]
    [error] = _errors("\n".join(lines).encode("utf-8"))
    assert error.startswith(f"t.jsonl:4: {message}")
    assert "\n" not in error


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"input": "u", "preferred_output": []}', "its input is no object with messages"),
        ('{"input": {}, "preferred_output": []}', "its input.messages is no list of messages"),
        ('{"input": {"messages": [{"role": "user", "content": "u"}]}, "preferred_output": []}', "ends with a user"),
        ('{"prompt": 1, "completion": "a"}', "its prompt is no list of messages and no text"),
        ('{"prompt": "u", "completion": null}', "its completion is no list of messages and no text"),
        ('{"chosen": "a", "rejected": "b"}', "its chosen is no list of messages"),
        ('{"prompt": "u"}', "is no training row (its keys: 'prompt')"),
    ],
)
def test_broken_rows_of_the_neighbours_formats_are_refused_too(row: str, message: str) -> None:
    [error] = _errors(row.encode())
    assert error.startswith(f"t.jsonl:1: {message}")


OTHERS = {
    "input and preferred_output": {
        "input": {"messages": [USER], "tools": [{"type": "function"}], "parallel_tool_calls": False},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{"role": "assistant", "content": "worse"}],
    },
    "prompt and completion": {"prompt": "u", "completion": "a"},
    "chosen": {"prompt": "u", "chosen": "a", "rejected": "worse"},
}


@pytest.mark.parametrize("form", OTHERS)
def test_preferences_and_pairs_are_read_as_the_conversations_they_mean(form: str) -> None:
    read = _read(json.dumps(OTHERS[form]))
    [row] = read.rows
    assert (read.format, row.messages, row.answer, row.system) == (form, (USER,), ANSWER, None)
    if form.startswith("input"):
        assert (row.tools, row.parallel_tool_calls) == ([{"type": "function"}], False)


@pytest.mark.parametrize("row", [{"chosen": [USER, ANSWER]}, {"prompt": [USER], "completion": [ANSWER], "label": True}])
def test_trls_conversations_may_be_lists_of_messages(row: dict[str, Any]) -> None:
    assert [(r.messages, r.answer) for r in _read(json.dumps(row)).rows] == [((USER,), ANSWER)]


@pytest.mark.parametrize("form", OTHERS)
def test_a_file_that_mixes_formats_is_refused_at_the_first_row_of_the_second(form: str) -> None:
    other = json.dumps(OTHERS[form])
    assert _errors("\n".join([GOOD, "", GOOD, other, GOOD, other]).encode()) == [
        f"t.jsonl:4: has the format {form}, while line 1 has messages: keep to one format in a file"
    ]


def test_a_byte_order_mark_crlf_and_blank_lines_are_passed_over() -> None:
    content = b"\xef\xbb\xbf" + f"{GOOD}\r\n\r\n  \t\r\n{GOOD}\r\n".encode()
    assert [row.line for row in read_rows(content, "t").rows] == [1, 4]


def test_a_line_end_of_another_alphabet_is_text_and_shifts_no_lines() -> None:
    odd = json.dumps({"messages": [{"role": "user", "content": "\u2028\u2029\x85"}, ANSWER]}, ensure_ascii=False)
    assert [error[:11] for error in _errors(f"{GOOD}\n{odd}\n{{".encode())] == ["t.jsonl:3: "]


@pytest.mark.parametrize("content", [GOOD.encode("utf-16"), GOOD.replace("u", "ü").encode("latin-1")])
def test_another_encoding_is_told(content: bytes) -> None:
    assert _errors(content)[0].startswith("t.jsonl:1: is not UTF-8")


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf", _chat(USER, {**ANSWER, "weight": 0}).encode()])
def test_a_file_without_an_example_is_refused(content: bytes) -> None:
    assert _errors(content)[0].startswith("t.jsonl:1: holds no row to learn from")


def test_a_file_beyond_64_mib_is_refused_unread() -> None:
    assert _errors(b"x" * (MAX_FILE_BYTES + 1)) == ["t.jsonl:1: is larger than 64 MiB: take a sample of its rows"]


@pytest.mark.rig
def test_the_row_after_the_50000th_is_refused_and_blank_lines_do_not_count() -> None:
    row = b'{"prompt":"u","completion":"a"}'
    [error] = _errors(b"\n\n".join([row] * (MAX_ROWS + 2)))
    assert error.startswith(f"t.jsonl:{2 * MAX_ROWS + 1}: is row 50,001: 50,000 are read at most")


def test_twenty_findings_are_listed_and_the_others_counted() -> None:
    with pytest.raises(InvalidTrainingFile) as refused:
        _read(*["{}"] * 1_234)
    shown = str(refused.value).split("\n")
    assert [line.split(":")[1] for line in shown[:-1]] == [str(number) for number in range(1, 21)]
    assert shown[-1] == "and 1,214 more lines to mend"


def test_rows_that_were_not_trained_are_left_out_and_told() -> None:
    untrained = _chat(USER, {**ANSWER, "weight": 0})
    read = _read(untrained, GOOD, untrained)
    assert [row.line for row in read.rows] == [2]
    told = "its answer was not trained (weight 0 or label false): left out"
    assert read.findings == tuple(Finding("t.jsonl", line, told, "warning") for line in (1, 3))


def test_of_pairs_the_bad_ones_are_left_out() -> None:
    pairs = [{"prompt": "u", "completion": "a", "label": label} for label in (True, False)]
    assert [row.line for row in _read(*map(json.dumps, pairs)).rows] == [1]


def test_a_row_that_was_not_trained_is_checked_all_the_same() -> None:
    assert _errors(_chat({**USER, "weight": 0}).encode())[0].startswith("t.jsonl:1: ends with a user message")


def test_a_conversation_keeps_its_turns_and_loses_its_weights() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "r"}
    picture = {
        "role": "user",
        "content": [{"type": "text", "text": "u"}, {"type": "image_url", "image_url": {"url": "x"}}],
    }
    developer = {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]}
    tools = [{"type": "function", "function": {"name": "find"}}]
    row = _chat(developer, picture, {**called, "weight": 0}, result, {**ANSWER, "weight": 1}, tools=tools)
    [read] = _read(row).rows
    assert (read.system, read.messages, read.answer) == ("Be brief.", (picture, called, result), ANSWER)
    assert read.tools == tools


def test_a_call_alone_is_an_answer() -> None:
    assert _read(_chat(USER, {"role": "assistant", "tool_calls": [CALL]})).rows[0].answer["tool_calls"] == [CALL]


@pytest.mark.parametrize(
    "token", ["<|im_start|>system", "<|eot_id|>", "[INST]", "<<SYS>>", "<start_of_turn>", "<｜User｜>", "</s>"]
)
def test_control_tokens_of_chat_templates_stay_and_are_told_with_their_line(token: str) -> None:
    row = _chat({"role": "user", "content": f"a {token} b"}, ANSWER)
    read = _read(GOOD, row)
    assert read.rows[1].messages[0]["content"] == f"a {token} b"
    [finding] = read.findings
    assert (finding.line, finding.severity) == (2, "warning")
    assert finding.message.startswith("holds a control token of a chat template (")


@pytest.mark.parametrize(
    "text", ["{{x}}", "{% raw %}", "${HOME}", "### Assistant:", "\n\nHuman: hi", "<|", "a[0]", "%s"]
)
def test_template_syntax_and_role_markers_are_text_like_any_other(text: str) -> None:
    read = _read(_chat({"role": "user", "content": text}, {"role": "assistant", "content": text}))
    assert read.rows[0].messages[0]["content"] == read.rows[0].answer["content"] == text
    assert read.findings == ()


@given(TEXTS, TEXTS, TEXTS, st.booleans())
def test_every_text_comes_out_as_it_went_in(system: str, asked: str, answered: str, ascii_only: bool) -> None:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": asked}]
    messages.append({"role": "assistant", "content": f"|{answered}"})
    written = json.dumps({"messages": messages}, ensure_ascii=ascii_only)
    [row] = read_rows(written.encode(), "t").rows
    assert (row.system or "").strip() == system.strip()
    assert row.system in (None, system)
    assert (row.messages[0]["content"], row.answer["content"]) == (asked, f"|{answered}")


@given(st.binary())
def test_whatever_a_file_holds_it_is_read_or_refused_with_lines(content: bytes) -> None:
    try:
        lines = [row.line for row in read_rows(content + b"\n" + GOOD.encode(), "t.jsonl").rows]
    except InvalidTrainingFile as refused:
        lines = [finding.line for finding in refused.findings]
    assert lines
    assert all(1 <= line <= content.count(b"\n") + 2 for line in lines)


@pytest.mark.parametrize("count", [10, 50, 500, 5_000])
def test_files_of_every_size_are_read_whole(count: int, tmp_path: Path) -> None:
    file = tmp_path / "training.jsonl"
    with file.open("w") as lines:
        for number in range(count):
            lines.write(_chat({"role": "user", "content": f"question {number} " + "word " * 50}, ANSWER) + "\n")
    rows = read_rows(file.read_bytes(), file.name).rows
    assert [row.line for row in rows] == list(range(1, count + 1))
    assert rows[-1].messages[0]["content"].startswith(f"question {count - 1} ")


def test_system_messages_are_counted_up_to_white_space() -> None:
    texts = ["Be  brief.", "Be brief.\n", "Be kind.", None, " "]
    rows = [_chat(*([{"role": "system", "content": text}] if text is not None else []), USER, ANSWER) for text in texts]
    assert systems(_read(*rows).rows) == {"Be brief.": 2, "Be kind.": 1, None: 2}


def test_rows_that_say_the_same_are_dropped_and_contradictions_told() -> None:
    def pair(asked: str, answered: str, **more: Any) -> str:
        return _chat({"role": "user", "content": asked}, {"role": "assistant", "content": answered}, **more)

    found = unique(
        _read(
            pair("How are you?", "Well."),
            pair(" How  are\nyou?", "Well. "),
            pair("How are you?", "Ill."),
            pair("how are you?", "Ill."),
            pair("How are you?", "Ill."),
            pair("How are you?", "Well.", tools=[{"type": "function"}]),
        ).rows
    )
    assert [row.line for row in found.rows] == [1, 3, 4, 6]
    assert found.repeated == ((2, 1), (5, 3))
    assert found.conflicting == ((1, 3),)


def test_calls_that_differ_in_their_ids_are_the_same_answer_and_in_their_arguments_another() -> None:
    def calling(call_id: str, arguments: str) -> str:
        call = {"id": call_id, "type": "function", "function": {"name": "find", "arguments": arguments}}
        return _chat(USER, {"role": "assistant", "tool_calls": [call]})

    found = unique(_read(calling("call_1", "{}"), calling("call_2", "{}"), calling("call_3", '{"a": 1}')).rows)
    assert (found.repeated, found.conflicting) == (((2, 1),), ((1, 3),))
