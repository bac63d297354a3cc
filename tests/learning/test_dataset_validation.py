"""Every rule catches a bad row, and lets its mended twin pass."""

import json
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.overlap import Evaluated
from gateway.learning.datasets.row_lines import MAX_LINE_BYTES
from gateway.learning.datasets.rules import RULES
from gateway.learning.datasets.seen_rows import SeenRows
from gateway.learning.datasets.validation import MOST_A_RULE, FileReport, Wanted, add_evaluated, validate_file

REDACTOR = Redactor(("email", "phone", "card"), {})
TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}


def user(text: str = "What is it?") -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str | None = "It is that.", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def call(identity: str = "c1", arguments: str = '{"n": 1}', name: str = "find") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(identity: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": "found"}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages) or [user(), said()], **more}


def tooled(*messages: Any, tools: Any = (TOOL,)) -> dict[str, Any]:
    return {"messages": list(messages), "tools": list(tools)}


def pair(better: Any, worse: Any, *messages: Any) -> dict[str, Any]:
    return {
        "input": {"messages": list(messages) or [user()]},
        "preferred_output": [better],
        "non_preferred_output": [worse],
    }


def kto(text: str, label: Any) -> dict[str, Any]:
    return {"prompt": [user(text)], "completion": [said()], "label": label}


def lines(*rows: Any) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


FEW = Wanted(is_training=False)
"""One row is enough: rows are looked at one by one here."""


@dataclass(frozen=True)
class Case:
    """A rule, a file that breaks it, and the same file mended."""

    rule: str
    bad: bytes
    good: bytes
    said: str
    """What is told, in part."""
    line: int = 1
    form: str = "openai-sft"
    wanted: Wanted = FEW
    evaluated: bytes | None = None


FILLER = [chat(user(f"Question {n}?"), said(f"Answer {n}.")) for n in range(40)]
LONG = "word " * 70_000
LABELS = [chat(user(f"Is message {n} spam?"), said("yes" if n < 10 else "no")) for n in range(20)]
TELLING = said("That is a rather long answer, to be known again.")
EVALUATED = lines(chat(user("How do I reset it?"), said("Hold the button."), user("And then?"), TELLING))
PLAIN = {"form": "openai-sft"}


def as_file(rows: Any) -> bytes:
    """Return a file of a row, of several, or of just these bytes."""
    if isinstance(rows, bytes):
        return rows
    return lines(*rows) if isinstance(rows, list) else lines(rows)


def case(rule: str, bad: Any, good: Any, told: str, *, form: str = "openai-sft", line: int = 1, **more: Any) -> Case:
    return Case(rule, as_file(bad), as_file(good), told, line, form, **more)


CASES = {
    "a line that is no JSON": case("json", b'{"messages": [}\n', chat(), "is not a line of JSON (column"),
    "a key twice": case("json", b'{"messages": [], "messages": []}\n', chat(), "the key 'messages' twice"),
    "half a character": case("json", b'{"messages": "\\ud800"}\n', chat(), "half of a surrogate pair"),
    "a line of 16 MiB": case(
        "line-too-long", b" " * MAX_LINE_BYTES + lines(chat()), b" " * 100 + lines(chat()), "is longer than 16 MiB"
    ),
    "no messages": case("shape", {"texts": []}, chat(), "has no messages (its keys: 'texts')"),
    "messages as a text": case("shape", {"messages": "hello"}, chat(), "its messages is no list of messages"),
    "a second format in a file": case(
        "shape",
        [chat(), pair(said("a"), said("b"))],
        [chat(), chat(user("b"), said())],
        "rows of openai-sft have",
        line=2,
    ),
    "a pair without a worse answer": case(
        "shape",
        {"input": {"messages": [user()]}, "preferred_output": [said()]},
        pair(said("a"), said("b")),
        "has no non_preferred_output",
        form="openai-dpo",
    ),
    "an input that is a text": case(
        "shape",
        {"input": "hello", "preferred_output": [said("a")], "non_preferred_output": [said("b")]},
        pair(said("a"), said("b")),
        "its input is no object with messages",
        form="openai-dpo",
    ),
    "a label that is a text": case(
        "shape",
        [kto("a", "yes"), kto("b", False)],
        [kto("a", True), kto("b", False)],
        "its label is neither true nor false",
        form="trl-kto",
    ),
    "parallel_tool_calls as a text": case(
        "shape", chat(parallel_tool_calls="no"), chat(parallel_tool_calls=False), "parallel_tool_calls is neither"
    ),
    "a system that is no text": case(
        "shape", chat(system=["Be brief."]), chat(system="Be brief."), "its system is no text", form="bedrock"
    ),
    "a key that OpenAI does not take": case("unknown-key", chat(id=7), chat(), "has the key 'id'"),
    "tools for Together": case("unknown-key", tooled(user(), said()), chat(), "the key 'tools'", form="together"),
    "a key in a pair's input": case(
        "unknown-key",
        {**pair(said("a"), said("b")), "input": {"messages": [user()], "id": 1}},
        pair(said("a"), said("b")),
        "its input has the key 'id'",
        form="openai-dpo",
    ),
    "a key of a message": case(
        "message-key", chat({**user(), "time": 1}, said()), chat(), "message 1 has 'time', which"
    ),
    "a weight for Bedrock": case(
        "message-key", chat(user(), said(weight=1)), chat(), "message 2 has 'weight'", form="bedrock"
    ),
    "content as a number": case(
        "message", chat({"role": "user", "content": 7}, said()), chat(), "message 1 has content"
    ),
    "function_call": case(
        "message", chat(user(), said(None, function_call={})), chat(), "message 2 has function_call, which"
    ),
    "a call without a name": case(
        "message", chat(user(), said(None, tool_calls=[{"id": "c"}])), chat(), "has tool_calls that are no calls"
    ),
    "a role that nobody knows": case("role", chat({"role": "bot", "content": "a"}, said()), chat(), "the role 'bot'"),
    "a tool's message for Together": case(
        "role", chat(user(), result(), said()), chat(), "message 2 has the role 'tool'", form="together"
    ),
    "a system message for Bedrock": case(
        "role",
        chat({"role": "system", "content": "Be brief."}, user(), said()),
        chat(system="Be brief."),
        "put its text into the row's system",
        form="bedrock",
    ),
    "a picture for Fireworks": case(
        "parts",
        chat(
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]},
            said(),
        ),
        chat(),
        "has a part of image_url: Fireworks takes text",
        form="fireworks",
    ),
    "a sound for OpenAI": case(
        "parts",
        chat({"role": "user", "content": [{"type": "input_audio"}, {"type": "text", "text": "a"}]}, said()),
        chat({"role": "user", "content": [{"type": "text", "text": "a"}]}, said()),
        "has a part of input_audio",
    ),
    "a weight of a half": case(
        "weight", chat(user(), said(weight=0.5)), chat(user(), said(weight=1)), "neither 0 nor 1"
    ),
    "a weight of true": case(
        "weight", chat(user(), said(weight=True)), chat(user(), said(weight=1)), "neither 0 nor 1"
    ),
    "only weights of 0": case(
        "weights",
        chat(user(), said("a", weight=0), user("b"), said("c", weight=0)),
        chat(user(), said("a", weight=0), user("b"), said("c", weight=1)),
        "every answer has weight 0",
    ),
    "two system messages": case(
        "system-place",
        chat({"role": "system", "content": "a"}, {"role": "system", "content": "b"}, user(), said()),
        chat({"role": "system", "content": "a b"}, user(), said()),
        "has 2 system messages",
    ),
    "a system message in the middle": case(
        "system-place",
        chat(user(), {"role": "system", "content": "a"}, said()),
        chat({"role": "system", "content": "a"}, user(), said()),
        "is not the first message",
    ),
    "nobody asks": case(
        "no-user", chat({"role": "system", "content": "a"}, said()), chat(), "there is nothing that is answered"
    ),
    "two questions in a row for Bedrock": case(
        "alternation",
        chat(user("a"), user("b"), said()),
        chat(user("a"), said(), user("b"), said()),
        "message 2 is the user's: user and assistant must take turns",
        form="bedrock",
    ),
    "an assistant who begins, for Together": case(
        "alternation",
        chat({"role": "system", "content": "s"}, said(), user(), said()),
        chat({"role": "system", "content": "s"}, user(), said()),
        "message 2 is the assistant's",
        form="together",
    ),
    "a question at the end": case(
        "assistant-last", chat(user(), said(), user("b")), chat(), "ends with a user message"
    ),
    "no message at all": case("assistant-last", {"messages": []}, chat(), "has no messages"),
    "two messages as the better answer": case(
        "assistant-last",
        {
            "input": {"messages": [user()]},
            "preferred_output": [said("a"), said("b")],
            "non_preferred_output": [said("c")],
        },
        pair(said("a b"), said("c")),
        "its preferred_output is not one message",
        form="openai-dpo",
    ),
    "a pair about an answer": case(
        "prompt-end",
        pair(said("a"), said("b"), user(), said()),
        pair(said("a"), said("b"), user(), said(), user("b")),
        "what is asked ends with the assistant's message",
        form="openai-dpo",
    ),
    "an answer of white space": case("empty-answer", chat(user(), said(" \n")), chat(), "its answer is empty"),
    "an answer of null": case("empty-answer", chat(user(), said(None)), chat(), "its answer is empty"),
    "an empty question": case("empty-message", chat(user("  "), said()), chat(), "message 1 is empty"),
    "tools that are an object": case("tools", chat(tools={"find": 1}), chat(tools=[TOOL]), "no list of objects"),
    "a tool without a name": case(
        "tools", chat(tools=[{"type": "function"}]), chat(tools=[TOOL]), "tool 1 is no function with a name"
    ),
    "a tool twice": case("tools", chat(tools=[TOOL, TOOL]), chat(tools=[TOOL]), "two tools are called 'find'"),
    "parameters that are no schema": case(
        "tools",
        chat(tools=[{"type": "function", "function": {"name": "find", "parameters": {"type": "number-ish"}}}]),
        chat(tools=[TOOL]),
        "the parameters of 'find' are no JSON Schema",
    ),
    "tools as text that is no JSON": case(
        "tools",
        chat(tools="[{"),
        chat(tools=json.dumps([TOOL])),
        "a text that is no JSON",
        form="trl-sft",
    ),
    "a call without an id": case(
        "tool-call",
        tooled(user(), said(None, tool_calls=[{"type": "function", "function": call()["function"]}])),
        tooled(user(), said(None, tool_calls=[call()])),
        "without an id",
    ),
    "two calls with one id": case(
        "tool-call",
        tooled(user(), said(None, tool_calls=[call("c1"), call("c1")])),
        tooled(user(), said(None, tool_calls=[call("c1"), call("c2")])),
        "two calls with the id 'c1'",
    ),
    "a call of what is not in tools": case(
        "tool-unknown",
        tooled(user(), said(None, tool_calls=[call(name="fetch")])),
        tooled(user(), said(None, tool_calls=[call()])),
        "calls 'fetch', and its tools have find",
    ),
    "a call in a row without tools": case(
        "tool-unknown",
        chat(user(), said(None, tool_calls=[call()])),
        tooled(user(), said(None, tool_calls=[call()])),
        "and the row has no tools",
    ),
    "arguments that are no JSON": case(
        "tool-arguments",
        tooled(user(), said(None, tool_calls=[call(arguments="n=1")])),
        tooled(user(), said(None, tool_calls=[call()])),
        "with arguments that are no JSON (",
    ),
    "arguments that are a list": case(
        "tool-arguments",
        tooled(user(), said(None, tool_calls=[call(arguments="[1]")])),
        tooled(user(), said(None, tool_calls=[call()])),
        "arguments that are no JSON object",
    ),
    "arguments of another type": case(
        "tool-schema",
        tooled(user(), said(None, tool_calls=[call(arguments='{"n": "s3cret"}')])),
        tooled(user(), said(None, tool_calls=[call()])),
        "that its parameters refuse: 'n' breaks type",
    ),
    "arguments that lack one": case(
        "tool-schema",
        tooled(user(), said(None, tool_calls=[call(arguments="{}")])),
        tooled(user(), said(None, tool_calls=[call()])),
        '"n" is a required property',
    ),
    "arguments as an object for TRL": case(
        "tool-schema",
        chat(
            user(),
            said(
                "", tool_calls=[{"id": "c", "type": "function", "function": {"name": "find", "arguments": {"n": "x"}}}]
            ),
            tools=json.dumps([TOOL]),
        ),
        chat(
            user(),
            said("", tool_calls=[{"id": "c", "type": "function", "function": {"name": "find", "arguments": {"n": 1}}}]),
            tools=json.dumps([TOOL]),
        ),
        "'n' breaks type",
        form="trl-sft",
    ),
    "a call in the middle without its result": case(
        "tool-unanswered",
        tooled(user(), said(None, tool_calls=[call()]), user("well?"), said()),
        tooled(user(), said(None, tool_calls=[call()]), result(), said()),
        "the call 'c1' of 'find' has no result before message 3",
    ),
    "one of two calls without its result": case(
        "tool-unanswered",
        tooled(user(), said(None, tool_calls=[call("c1"), call("c2")]), result("c1"), said()),
        tooled(user(), said(None, tool_calls=[call("c1"), call("c2")]), result("c1"), result("c2"), said()),
        "the call 'c2'",
    ),
    "an open call before a pair's answers": case(
        "tool-unanswered",
        {
            **pair(said("a"), said("b")),
            "input": {"messages": [user(), said(None, tool_calls=[call()]), user()], "tools": [TOOL]},
        },
        {
            **pair(said("a"), said("b")),
            "input": {"messages": [user(), said(None, tool_calls=[call()]), result()], "tools": [TOOL]},
        },
        "the call 'c1'",
        form="openai-dpo",
    ),
    "a result of no call": case(
        "tool-orphan",
        tooled(user(), said(None, tool_calls=[call()]), result("c1"), result("c9"), said()),
        tooled(user(), said(None, tool_calls=[call()]), result("c1"), said()),
        "message 4 answers the call 'c9'",
    ),
    "a result twice": case(
        "tool-twice",
        tooled(user(), said(None, tool_calls=[call()]), result(), result(), said()),
        tooled(user(), said(None, tool_calls=[call()]), result(), said()),
        "message 4 answers the call 'c1' a second time",
    ),
    "a row that OpenAI cuts": case(
        "tokens-cut", chat(user(), said(LONG)), chat(user(), said(LONG[:1000])), "of its answer's"
    ),
    "a row that is too long for Bedrock": case(
        "tokens-refused",
        chat(user(LONG), said()),
        chat(user(LONG[:1000]), said()),
        "takes 32,000 in a row",
        form="bedrock",
    ),
    "a row that is too long for an old base": case(
        "tokens-cut",
        chat(user(LONG[:90_000]), said()),
        chat(user(LONG[:1000]), said()),
        "gpt-3.5-turbo-0125 takes 16,385",
        wanted=Wanted(base="gpt-3.5-turbo-0125", is_training=False),
    ),
    "nine rows for OpenAI": case(
        "fewest-rows", FILLER[:9], FILLER[:10], "has 9 rows, and OpenAI, Azure wants 10", wanted=Wanted()
    ),
    "no row at all": case("fewest-rows", b"\n", FILLER[:10], "has 0 rows", wanted=Wanted()),
    "10,001 rows for Bedrock": case(
        "most-rows",
        lines(*(chat(user(str(n)), said()) for n in range(10_001))),
        lines(*(chat(user(str(n)), said()) for n in range(40))),
        "has 10,001 rows, and Amazon Bedrock (Anthropic) takes 10,000",
        form="bedrock",
    ),
    "a pair of equal answers": case(
        "pair-equal",
        pair(said("a b"), said("a  b ")),
        pair(said("a b"), said("a c")),
        "is the worse one",
        form="openai-dpo",
    ),
    "a pair of equal answers for TRL": case(
        "pair-equal",
        {"prompt": "q", "chosen": "a", "rejected": "a"},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        "is the worse one",
        form="trl-dpo",
    ),
    "KTO with right answers only": case(
        "one-class",
        [kto("a", True), kto("b", True)],
        [kto("a", True), kto("b", False)],
        "labelled right",
        form="trl-kto",
    ),
    "a question of the evaluation": case(
        "overlap-input",
        chat(user("how do i RESET it?"), said("Hold  the button."), user("and then?"), said("Let go.")),
        chat(user("How do I open it?"), said("Pull.")),
        "asks what line 1 of evaluation.jsonl asks",
        evaluated=EVALUATED,
    ),
    "the evaluation's answer in a history": case(
        "answer-told",
        chat(user("And then?"), TELLING, user("Thanks"), said("Sure.")),
        chat(user("And then?"), said("no"), user("Thanks"), said("Sure.")),
        "holds the answer of line 1",
        evaluated=EVALUATED,
    ),
    "the evaluation's conversation": case(
        "overlap-conversation",
        chat(user("How do I reset it?"), said("Hold the button.")),
        chat(user("How do I open it?"), said("Pull.")),
        "of the same conversation as line 1",
        evaluated=EVALUATED,
    ),
    "a key of a service": case(
        "secret",
        chat(user("My key is sk-" + "a1B2" * 8), said()),
        chat(user("My key is sk-…"), said()),
        "what looks like the key of a service",
    ),
    "a private key": case(
        "secret",
        chat(user("-----BEGIN RSA PRIVATE KEY-----"), said()),
        chat(user("-----BEGIN CERTIFICATE-----"), said()),
        "what looks like the key",
    ),
    "a byte order mark": case("bom", b"\xef\xbb\xbf" + lines(chat()), lines(chat()), "byte order mark"),
    "CR LF": case("crlf", lines(chat()).replace(b"\n", b"\r\n"), lines(chat()), "1 lines end with CR LF"),
    "a blank line": case("blank-line", lines(chat(), b"", b" "), lines(chat()), "2 lines are blank", line=2),
    "a control token": case(
        "control-token", chat(user("<|im_start|>"), said()), chat(user("im_start"), said()), "(<|im_start|>)"
    ),
    "a row twice": case(
        "duplicate",
        [chat(), chat(user("What  is it? "), said())],
        [chat(), chat(user("b"), said())],
        "same row as line 1",
        line=2,
    ),
    "two answers": case(
        "conflict",
        [chat(user(), said("a")), chat(user("b"), said()), chat(user(), said("b")), chat(user(), said("c"))],
        [chat(user(), said("a")), chat(user("b"), said()), chat(user("c"), said("b"))],
        "on lines 1, 3, 4",
    ),
    "a pair the other way round": case(
        "conflict",
        [pair(said("a"), said("b")), pair(said("b"), said("a"))],
        [pair(said("a"), said("b")), pair(said("a"), said("c"))],
        "on lines 1, 2",
        form="openai-dpo",
    ),
    "an answer that is right and wrong": case(
        "conflict",
        [kto("a", True), kto("a", False)],
        [kto("a", True), kto("b", False)],
        "on lines 1, 2",
        form="trl-kto",
    ),
    "two system messages in a file": case(
        "several-systems",
        [chat({"role": "system", "content": "Be brief."}, user(), said()), chat(user("b"), said())],
        [chat({"role": "system", "content": "Be brief."}, user(c), said()) for c in "ab"],
        "rows have 2 system messages (1 × 'Be brief.', 1 × none)",
    ),
    "rows in the order of their labels": case(
        "row-order", LABELS, LABELS[::2] + LABELS[1::2], "rows are sorted by their answers"
    ),
    "an e-mail address": case(
        "personal-data",
        chat(user("I am ada@example.com"), said()),
        chat(user("I am [email]"), said()),
        "holds 1 × email",
        wanted=Wanted(redactor=REDACTOR, is_training=False),
    ),
}


def check(tmp_path: Path, content: bytes, one: Case) -> FileReport:
    """Return what is found in a file."""
    path, wanted = tmp_path / "rows.jsonl", one.wanted
    path.write_bytes(content)
    if one.evaluated is not None:
        beside = tmp_path / "evaluation.jsonl"
        beside.write_bytes(one.evaluated)
        wanted = replace(wanted, evaluated=add_evaluated(Evaluated(), beside, beside.name))
    return validate_file(path, "rows.jsonl", FORMATS[one.form], wanted)  # type: ignore[index]


@pytest.mark.parametrize("one", [pytest.param(one, id=name) for name, one in CASES.items()])
def test_a_bad_row_is_caught_and_its_mended_twin_passes(one: Case, tmp_path: Path) -> None:
    caught = [found for found in check(tmp_path, one.bad, one).findings if found.rule == one.rule]
    assert caught, f"{one.rule} was not found"
    assert one.said in caught[0].message
    assert (caught[0].file, caught[0].line) == ("rows.jsonl", one.line)
    assert [str(found) for found in check(tmp_path, one.good, one).findings] == []


OTHERWISE = {"manifest", "file-size"}
"""Rules of directories, in test_cli_dataset_validate.py; and of files of 512 MB, below."""


def test_every_rule_has_a_bad_row_and_a_mended_one() -> None:
    assert {one.rule for one in CASES.values()} | OTHERWISE == set(RULES)


def test_the_documents_name_every_rule_and_how_bad_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for rule in RULES.values():
        assert f"| `{rule.name}` | {rule.severity} | {rule.about} |" in text


def test_a_file_that_is_too_large_is_told_and_one_that_is_not_passes(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(*FILLER))
    size = path.stat().st_size
    for most, expected in ((size - 1, ["file-size"]), (size, [])):
        form = replace(FORMATS["openai-sft"], most_bytes=most)
        assert [found.rule for found in validate_file(path, "rows.jsonl", form, Wanted()).findings] == expected


def test_a_file_is_read_a_line_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    text = "x" * 10_000
    with path.open("w") as file:
        file.writelines(json.dumps(chat(user(f"{n} {text}"), said())) + "\n" for n in range(1_000))
    told: list[int] = []
    tracemalloc.start()
    try:
        report = validate_file(path, "rows.jsonl", None, FEW, told.append)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (report.rows, report.errors, told[-1]) == (1_000, 0, path.stat().st_size)
    assert peak < path.stat().st_size / 4


def test_findings_never_repeat_what_arguments_say(tmp_path: Path) -> None:
    one = CASES["arguments of another type"]
    assert "s3cret" not in "".join(map(str, check(tmp_path, one.bad, one).findings))


def test_of_a_rule_a_hundred_findings_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(*([b"{"] * 250)))
    report = validate_file(path, "rows.jsonl", None, Wanted(is_training=False))
    assert (len(report.findings), report.counts["json"], report.errors) == (MOST_A_RULE, 250, 250)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        pytest.param(chat(), "openai-sft", id="messages are OpenAI's"),
        pytest.param(chat(system="a"), "bedrock", id="a system beside them is Bedrock's"),
        pytest.param(pair(said("a"), said("b")), "openai-dpo", id="an input is OpenAI's preferences"),
        pytest.param({"prompt": "a", "chosen": "b", "rejected": "c"}, "trl-dpo", id="chosen is TRL's preferences"),
        pytest.param(kto("a", True), "trl-kto", id="a completion is TRL's KTO"),
    ],
)
def test_the_first_row_tells_the_format(row: Any, name: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(row))
    assert validate_file(path, "rows.jsonl", None, Wanted(is_training=False)).format == name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["messages", "role", "content", "tools", "tool_calls", "function", "name", "arguments", "id", "input",
             "label", "preferred_output", "non_preferred_output", "prompt", "chosen", "rejected", "completion",
             "weight", "type", "parameters", "tool_call_id", "system", "user", "assistant"]
        ),
        inner | st.sampled_from(["user", "assistant", "tool", "system", "text", "function"]),
        max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(row=JSON, form=st.sampled_from(sorted(FORMATS)))
def test_whatever_a_row_is_it_is_told_and_never_fails(
    row: Any, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(json.dumps(row).encode() + b"\n")
    report = validate_file(path, "rows.jsonl", FORMATS[form], Wanted(redactor=None, is_training=False))  # type: ignore[index]
    assert report.rows == 1


def test_what_is_kept_of_a_row_is_no_text_of_it() -> None:
    seen = SeenRows()
    for line in range(1, 2_001):
        list(seen.see(line, [f"a long question {line} " * 20], "answer " * 50, f"system {line}", None))
    kept = sum(len(system) for system in seen.systems)
    assert (seen.rows, len(seen.systems), seen.other_systems) == (2_000, 50, 1_950)
    assert kept < 1_000
