"""What a training row must not tell of an evaluation row, however it is written; and that the split keeps to it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.learning.datasets.overlap import Evaluated
from gateway.policy.leaks import TELLING
from gateway.policy.splits import Split, split_of

WORDS = st.lists(st.sampled_from(["reset", "parcel", "Why", "the", "ß", "İ", "答", "42"]), min_size=1, max_size=5).map(
    " ".join
)
LONG = WORDS.map(lambda text: f"{text} {'and so on ' * 3}")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def rules(evaluated: Evaluated, *messages: dict[str, Any]) -> list[str]:
    return [rule for rule, _ in evaluated.overlaps(messages)]


def evaluated(*rows: list[dict[str, Any]]) -> Evaluated:
    known = Evaluated()
    for line, messages in enumerate(rows, 1):
        known.add(line, "evaluation.jsonl", messages)
    return known


def respaced(text: str, upper: bool) -> str:
    """Return a text written otherwise: more white space, and another case where that tells nothing."""
    changed = f"  {text.replace(' ', chr(9) + ' ')} \n"
    return changed.upper() if upper and text.upper().casefold() == text.casefold() else changed


@settings(max_examples=60, deadline=None)
@given(question=WORDS, answer=WORDS, other=WORDS, upper=st.booleans())
def test_the_same_question_is_found_however_it_is_written(question: str, answer: str, other: str, upper: bool) -> None:
    known = evaluated([user(question), said(answer)])
    assert rules(known, user(respaced(question, upper)), said(other)) == ["overlap-input"]
    assert rules(known, {"role": "system", "content": other}, user(question), said(other)) == ["overlap-input"]


@settings(max_examples=60, deadline=None)
@given(begun=WORDS, turn=WORDS, answer=LONG, after=WORDS, upper=st.booleans())
def test_an_answer_in_a_longer_history_is_found(begun: str, turn: str, answer: str, after: str, upper: bool) -> None:
    known = evaluated([user(f"evaluation {begun}"), said("Yes."), user(turn), said(answer)])
    row = [
        user(f"training {begun}"),
        said("No."),
        user(respaced(turn, upper)),
        said(answer),
        user(after),
        said("Well."),
    ]
    assert rules(known, *row) == ["answer-told"]


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=15, unique_by=lambda text: " ".join(text.casefold().split())))
def test_rows_that_the_split_keeps_apart_never_meet(texts: list[str]) -> None:
    rows = [[user(text), said(f"short {number}")] for number, text in enumerate(texts)]
    rows += [[*row, user("And?"), said("short")] for row in rows]
    known = evaluated(*(row for row in rows if split_of(row[:-1]) is Split.EVALUATION))
    for row in rows:
        if split_of(row[:-1]) is Split.TRAIN:
            assert rules(known, *row) == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param([user("Hello?"), said("No."), user("Else?"), said("x")], [], id="nothing in common"),
        pytest.param([user("First?"), said("Other.")], ["overlap-conversation"], id="the beginning of it"),
        pytest.param(
            [user("First?"), said("One."), user("Second?"), said("x"), user("Third?"), said("y")],
            ["answer-told"],
            id="its question, further on",
        ),
        pytest.param(
            [user("Hello?"), said("No."), user("Second?"), said("Two.")], [], id="a short answer tells nothing"
        ),
    ],
)
def test_how_rows_meet(row: list[dict[str, Any]], expected: list[str]) -> None:
    known = evaluated([user("First?"), said("One."), user("Second?"), said("Two.")])
    assert len("Two.") < TELLING
    assert rules(known, *row) == expected


def test_what_is_added_to_a_copy_is_not_in_what_it_was_copied_from() -> None:
    """Of several directories, each is held against its own evaluation rows."""
    asked = evaluated([user("What is it?"), said("It is that, and nothing else.")])
    copy = Evaluated(asked)
    copy.add(1, "evaluation.jsonl", [user("Where is it?"), said("It is there, and nowhere else.")])
    question = [user("Where is it?"), said("Here.")]
    assert rules(copy, *question) == ["overlap-input"] and rules(asked, *question) == []
    assert rules(copy, user("What is it?"), said("This.")) == ["overlap-input"]


def test_an_answer_that_is_called_wrong_tells_nothing() -> None:
    known = Evaluated()
    known.add(1, "evaluation.jsonl", [user("Where is it?"), said("It is lost, and nobody knows.")], is_right=False)
    talk = [user("Hello"), said("Hi."), user("Where is it?"), said("It is lost, and nobody knows."), user("Oh")]
    assert rules(known, *talk, said("Sorry.")) == []


def test_the_line_that_is_told_is_the_first_of_its_kind() -> None:
    known = evaluated([user("a"), said("x")], [user("b"), said("x")], [user("B "), said("y")])
    assert known.rows == 2
    assert list(known.overlaps([user("b"), said("z")])) == [
        ("overlap-input", "asks what line 2 of evaluation.jsonl asks (white space and case aside)")
    ]
