"""Corrections in, valid rows out in every format; what a format cannot hold is left out with its line, never bent."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from dataset_material import (
    CALL,
    SYSTEM,
    TOOL,
    a_file,
    a_mark,
    approved,
    assistant,
    built,
    chat,
    dumped,
    of_corrections,
    on_side,
    put,
    rows_in,
    user,
)

from gateway.learning.datasets.building import EVALUATION, TRAIN, TRAIN_PAIRS
from gateway.learning.datasets.directory import DataSet, read, write
from gateway.learning.datasets.export import Exported, exported
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.sources import from_approved, from_corrections, from_file
from gateway.learning.datasets.validation import Wanted, validate_file
from gateway.policy.inputs import input_id
from gateway.policy.splits import Split

Message = dict[str, Any]
Row = dict[str, Any]
SHAPES = {
    "openai-sft": ({"messages"}, 1),
    "openai-dpo": ({"input", "preferred_output", "non_preferred_output"}, 1),
    "bedrock": ({"messages", "system"}, 1),
    "together": ({"messages"}, 1),
    "fireworks": ({"messages"}, 1),
    "trl-sft": ({"messages"}, 1),
    "trl-dpo": ({"prompt", "chosen", "rejected"}, 1),
    "trl-kto": ({"prompt", "completion", "label"}, 2),
}
"""By format: the keys of a row, and how many rows a correction becomes (its answer is right, the given one wrong)."""


def export(dataset: DataSet, name: str, **fields: Any) -> Exported:
    return exported(dataset, FORMATS[name], **fields)


def everything(written: Exported) -> list[Row]:
    return [row for content in written.files.values() for row in rows_in(content)]


def test_every_format_is_in_this_table() -> None:
    assert SHAPES.keys() == FORMATS.keys()


@pytest.mark.parametrize("count", [1, 40, 300])
@pytest.mark.parametrize("name", [*SHAPES])
def test_as_many_valid_rows_come_out_as_corrections_went_in(name: str, count: int, tmp_path: Path) -> None:
    marks = [a_mark(at, f"Ticket {at}: where is my parcel?") for at in range(count)]
    written = export(of_corrections(tmp_path / "set", marks), name)
    keys, each = SHAPES[name]
    rows = everything(written)
    assert len(rows) == count * each
    assert written.left_out == ()
    assert all(row.keys() == keys for row in rows)
    said = dumped(rows)
    for at in range(count):
        assert f"shipping, please, number {at}" in said
        assert (f"billing, perhaps, number {at}" in said) is (FORMATS[name].kind != "sft")
    for file, content in written.files.items():
        path = tmp_path / file
        path.write_bytes(content)
        wanted = Wanted(is_training=file == TRAIN and count == 300)
        report = validate_file(path, file, FORMATS[name], wanted)
        too_few = {"fewest-rows"} if not wanted.is_training else set()
        assert {finding.rule for finding in report.findings if finding.rule not in too_few} <= {"short-answer"}, report
        assert len(written.manifest.rows(file)) == report.rows


@pytest.mark.parametrize(
    ("name", "row"),
    [
        pytest.param(
            "openai-sft", chat(SYSTEM, user("Q"), assistant("better")), id="OpenAI's chats end with the answer"
        ),
        pytest.param(
            "openai-dpo",
            {
                "input": chat(SYSTEM, user("Q")),
                "preferred_output": [assistant("better")],
                "non_preferred_output": [assistant("worse")],
            },
            id="OpenAI's pairs have the tools and messages in input",
        ),
        pytest.param(
            "bedrock",
            {"system": SYSTEM["content"], **chat(user("Q"), assistant("better"))},
            id="Bedrock's have a system",
        ),
        pytest.param("together", chat(SYSTEM, user("Q"), assistant("better")), id="Together's are chats"),
        pytest.param("fireworks", chat(SYSTEM, user("Q"), assistant("better")), id="Fireworks' are chats"),
        pytest.param("trl-sft", chat(SYSTEM, user("Q"), assistant("better")), id="TRL's are chats"),
        pytest.param(
            "trl-dpo",
            {"prompt": [SYSTEM, user("Q")], "chosen": [assistant("better")], "rejected": [assistant("worse")]},
            id="TRL's pairs have an explicit prompt",
        ),
        pytest.param(
            "trl-kto",
            {"prompt": [SYSTEM, user("Q")], "completion": [assistant("better")], "label": True},
            id="KTO's have a label",
        ),
    ],
)
def test_a_row_is_written_as_its_trainer_reads_it(name: str, row: Row, tmp_path: Path) -> None:
    mark = a_mark(1, "Q", correction=dumped(assistant("better")), answer=dumped(assistant("worse")))
    assert everything(export(of_corrections(tmp_path / "set", [mark]), name))[0] == row


def test_kto_knows_right_and_wrong_by_what_people_said(tmp_path: Path) -> None:
    talk = [a_mark(1, "Q1"), a_mark(2, "Q2", answer=None)]
    rights = [approved(3, "Q3", "fine")]
    file = a_file([chat(user("Q4"), assistant("who knows"))])
    made = built(from_corrections(talk, None), from_approved(rights, None), file)
    written = export(put(tmp_path / "set", made), "trl-kto")
    said = {(row["completion"][0]["content"], row["label"]) for row in everything(written)}
    assert said == {
        ("shipping, please, number 1", True),
        ("billing, perhaps, number 1", False),
        ("shipping, please, number 2", True),
        ("fine", True),
    }
    assert [row.reason for row in written.left_out] == ["nobody has said whether its answer is right"]
    origins = {row.origin for name in written.files for row in written.manifest.rows(name)}
    assert origins == {"human", "model"}


def test_pairs_are_corrections_whose_answer_is_known_and_all_else_is_told(tmp_path: Path) -> None:
    asked = [on_side("train", word) for word in ("one", "two", "three")]
    marks = [a_mark(1, asked[0]), a_mark(2, asked[1], answer=None)]
    made = built(from_corrections(marks, None), from_approved([approved(3, asked[2], "fine")], None))
    written = export(put(tmp_path / "set", made), "trl-dpo")
    assert len(everything(written)) == 1
    assert sorted(row.reason for row in written.left_out) == [
        "nobody has put another answer in the place of its own",
        "the answer that was corrected is not known, or says the same",
    ]


TALK = [user("Q"), assistant("Which one?"), user("The blue one")]
CALLED = [
    user("Q"),
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "late"},
]
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
PARTS = [{"type": "text", "text": "Q, in "}, {"type": "text", "text": "two parts"}]
UNFIT: list[Any] = [
    pytest.param(
        chat(*CALLED, assistant("It is late."), tools=[TOOL]),
        {"bedrock": "has tools", "together": "has tools", "fireworks": "has tools"},
        id="tools, where they have no place",
    ),
    pytest.param(
        chat(user([PICTURE, *PARTS]), assistant("A cat.")),
        dict.fromkeys(("bedrock", "together", "fireworks", "trl-sft"), "text alone"),
        id="pictures, where there is only text",
    ),
    pytest.param(
        chat(user("Q"), user("Q again"), assistant("A")),
        {"bedrock": "two messages of the user in a row", "together": "two messages of the user in a row"},
        id="two questions in a row, where turns are taken",
    ),
    pytest.param(
        chat(assistant("Hello!"), user("Q"), assistant("A")),
        {"bedrock": "begin with the user", "together": "begin with the user"},
        id="a greeting first, where turns are taken",
    ),
    pytest.param(
        chat({**user("Q"), "name": "kim"}, assistant("A")),
        dict.fromkeys(("bedrock", "together", "fireworks", "trl-sft"), "a message with name"),
        id="names of users",
    ),
    pytest.param(
        chat(user("Q"), {**assistant("bad"), "weight": 0}, user("R"), assistant("A")),
        {"bedrock": "weight 0", "trl-sft": "weight 0"},
        id="an answer that a file says is not to be trained, where there are no weights",
    ),
]


@pytest.mark.parametrize(("row", "lacking"), UNFIT)
def test_what_a_format_has_no_place_for_is_left_out_with_its_line_and_the_rest_is_there(
    row: Row, lacking: dict[str, str], tmp_path: Path
) -> None:
    plain = chat(user("Something else"), assistant("Fine."))
    dataset = put(tmp_path / "set", built(a_file([row, plain])))
    place = next(
        (name, line)
        for name in (TRAIN, EVALUATION)
        for line, written in enumerate(rows_in(dataset.files.get(name, b"")), 1)
        if written["messages"][-1]["content"] != "Fine."
    )
    for name in (name for name, form in FORMATS.items() if form.kind == "sft"):
        made = export(dataset, name)
        if name in lacking:
            (out,) = made.left_out
            assert lacking[name] in out.reason
            assert (out.file, out.line) == place
            assert [row["messages"][-1]["content"] for row in everything(made)] == ["Fine."]
        else:
            assert made.left_out == () and len(everything(made)) == 2


def test_parts_of_text_become_a_text_where_there_are_no_parts(tmp_path: Path) -> None:
    dataset = put(tmp_path / "set", built(a_file([chat(user(PARTS), assistant("A"))])))
    for name, content in {"openai-sft": PARTS, "bedrock": "Q, in two parts", "trl-sft": "Q, in two parts"}.items():
        assert everything(export(dataset, name))[0]["messages"][0]["content"] == content


def test_earlier_answers_of_live_conversations_are_told_where_a_format_would_train_on_them(tmp_path: Path) -> None:
    dataset = of_corrections(tmp_path / "set", [a_mark(1, [user("Q"), *TALK[1:]])])
    weighed = export(dataset, "together")
    assert everything(weighed)[0]["messages"][1]["weight"] == 0 and weighed.notes == ()
    for name in ("bedrock", "trl-sft"):
        made = export(dataset, name)
        assert "weight" not in dumped(everything(made))
        assert made.notes == ("1 × earlier answers of the conversation are trained on, too: the format has no weights",)
    for name in ("openai-dpo", "trl-dpo", "trl-kto"):
        made = export(dataset, name)
        assert made.notes == () and "weight" not in dumped(everything(made))


def test_rows_that_a_format_leaves_out_are_not_among_those_it_changes(tmp_path: Path) -> None:
    talk = [user("Q"), *TALK[1:]]
    dataset = of_corrections(tmp_path / "set", [a_mark(1, talk), a_mark(2, [user("R"), *TALK[1:]], tools=[TOOL])])
    made = export(dataset, "bedrock")
    assert len(made.left_out) == 1
    assert made.notes == ("1 × earlier answers of the conversation are trained on, too: the format has no weights",)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("openai-sft", "", id="of examples that people wrote there is nothing to say"),
        pytest.param("trl-dpo", "2 of 4 answers", id="of a pair the worse answer is a model's"),
        pytest.param("trl-kto", "2 of 4 answers", id="of right and wrong ones the wrong are a model's"),
    ],
)
def test_the_terms_are_told_of_the_answers_that_are_in_the_files(name: str, said: str, tmp_path: Path) -> None:
    dataset = of_corrections(tmp_path / "set", [a_mark(at, f"Ticket {at}") for at in range(2)])
    terms = export(dataset, name).manifest.terms
    assert terms.startswith(said) and bool(terms) == bool(said)


@pytest.mark.parametrize("name", ["openai-sft", "trl-sft"])
def test_what_was_written_for_a_trainer_can_be_read_again_with_its_tools(name: str, tmp_path: Path) -> None:
    dataset = of_corrections(tmp_path / "set", [a_mark(1, CALLED, tools=[TOOL])])
    (content,) = export(dataset, name).files.values()
    again = from_file(content, "again.jsonl")
    assert again.unusable == () and [material.row.tools for material in again.materials] == [[TOOL]]


def test_tools_are_objects_for_openai_and_json_for_trl(tmp_path: Path) -> None:
    dataset = of_corrections(tmp_path / "set", [a_mark(1, CALLED, tools=[TOOL])])
    assert everything(export(dataset, "openai-sft"))[0]["tools"] == [TOOL]
    assert everything(export(dataset, "openai-dpo"))[0]["input"]["tools"] == [TOOL]
    for name in ("trl-sft", "trl-dpo", "trl-kto"):
        assert orjson.loads(everything(export(dataset, name))[0]["tools"]) == [TOOL]


def test_the_first_rows_have_every_key_that_any_row_has_and_each_line_is_still_whose_it_was(tmp_path: Path) -> None:
    marks = [a_mark(at, on_side("train", f"Ticket {at} of")) for at in range(40)]
    called = [{**message} for message in CALLED]
    called[0] = user(on_side("train", "Look it up"))
    dataset = of_corrections(tmp_path / "set", [*marks, a_mark(99, called, tools=[TOOL])])
    written = export(dataset, "trl-sft")
    rows = rows_in(written.files[TRAIN])
    assert "tools" in rows[1] and len(rows) == 41
    ids = [input_id(row["messages"][:-1], orjson.loads(row.get("tools", "null"))) for row in rows]
    assert ids == [row.input_id for row in written.manifest.rows(TRAIN)]


def test_an_export_says_what_it_was_made_of_and_which_line_is_whose(tmp_path: Path) -> None:
    dataset = of_corrections(tmp_path / "set", [a_mark(at, f"Ticket {at}") for at in range(60)])
    whole = export(dataset, "openai-sft")
    assert whole.manifest.format == "openai-sft" and whole.manifest.dataset_hash == dataset.manifest.dataset_hash
    assert whole.manifest.rows(TRAIN) == dataset.manifest.rows(TRAIN)
    pairs = export(dataset, "trl-dpo", splits=(Split.TRAIN,))
    assert set(pairs.files) == {TRAIN}
    assert pairs.manifest.rows(TRAIN) == dataset.manifest.rows(TRAIN_PAIRS)
    write(tmp_path / "out", pairs.manifest, pairs.files)
    assert read(tmp_path / "out").manifest == pairs.manifest


@pytest.mark.parametrize("name", [*FORMATS])
def test_every_rule_says_where_and_when_it_was_read(name: str) -> None:
    form = FORMATS[name]
    assert form.source.startswith("https://") and form.read_on.year >= 2026
    assert "assistant" in form.roles and form.fewest_rows >= 1
