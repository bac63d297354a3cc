"""A data set is made of the best that is known of each input, split for ever, and of one tenant alone."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from dataset_material import (
    CALL,
    SYSTEM,
    TOOL,
    a_captured,
    a_file,
    a_mark,
    a_recording,
    approved,
    assistant,
    built,
    chat,
    dumped,
    on_side,
    rows_in,
    user,
)

from gateway.learning.datasets.building import EVALUATION, TRAIN, TRAIN_PAIRS, Built
from gateway.learning.datasets.rows import Sourced
from gateway.learning.datasets.sources import from_approved, from_captured, from_corrections, from_recordings
from gateway.learning.packs.training_rows import InvalidTrainingFile
from gateway.policy.inputs import input_id
from gateway.reasons import Label, Role

TRAINED = on_side("train", "Where is my parcel")
PROVED = on_side("evaluation", "Where is my parcel")


def of_everybody(asked: str = TRAINED) -> dict[str, Sourced]:
    """The same input, answered differently by each source."""
    return {
        "corrections": from_corrections([a_mark(1, asked)], None),
        "approved": from_approved([approved(2, asked, "approved")], None),
        "file": a_file([chat(SYSTEM, user(asked), assistant("from the file"))]),
        "recordings": from_recordings([a_recording(asked, "recorded")], None),
        "captured": from_captured([a_captured(3, asked, "captured")], None),
    }


ANSWERS = {
    "corrections": "shipping, please, number 1",
    "approved": "approved",
    "file": "from the file",
    "recordings": "recorded",
    "captured": "captured",
}


def answers(made: Built, name: str = TRAIN) -> list[str]:
    return [row["messages"][-1]["content"] for row in rows_in(made.files.get(name, b""))]


@pytest.mark.parametrize("best", [*ANSWERS], ids=lambda best: f"{best} is believed before all that come after it")
def test_of_one_input_the_best_source_stays(best: str) -> None:
    sources = of_everybody()
    names = [*sources][[*sources].index(best) :]
    made = built(*(sources[name] for name in reversed(names)))
    assert answers(made) == [ANSWERS[best]]
    assert len(made.duplicates) == len(names) - 1
    assert made.manifest.left_out.get("duplicate", 0) == len(names) - 1


def test_what_the_manifest_says_of_each_row_is_whose_input_it_is_who_answered_and_why_it_may_be_used() -> None:
    asked = {name: on_side("train", f"{name}?") for name in ANSWERS}
    made = built(*(of_everybody(question)[name] for name, question in asked.items()))
    said = {row.source: (row.origin, row.consent, row.by, row.model is not None) for row in made.manifest.rows(TRAIN)}
    assert said == {
        "corrections": ("human", "feedback", "desk", False),
        "approved": ("model", "feedback", "desk", True),
        "training.jsonl": ("unknown", "file", None, False),
        "recordings": ("model", "capture", None, True),
        "captured": ("model", "capture", None, True),
    }
    ids = {row.source: row.input_id for row in made.manifest.rows(TRAIN)}
    assert ids["captured"] == input_id([user(asked["captured"])])
    assert made.manifest.terms.startswith("3 of 5 answers were written by models")


def test_a_file_whose_manifest_says_so_was_answered_by_a_model() -> None:
    made = built(a_file([chat(user(TRAINED), assistant("a"))], by_model=True))
    assert [row.origin for row in made.manifest.rows(TRAIN)] == ["model"]


def test_the_same_rows_in_any_order_are_the_same_bytes_and_the_same_hash() -> None:
    random = Random(9)
    marks = [a_mark(at, f"Ticket {at}") for at in range(40)]
    rights = [approved(100 + at, f"Ticket {at}", "fine") for at in range(20, 60)]
    rows = [chat(SYSTEM, user(f"Ticket {at % 70}  of the  file"), assistant(f"{at // 2}")) for at in range(120)]
    hashes, contents = set(), set()
    for _ in range(6):
        for each in (marks, rights, rows):
            random.shuffle(each)  # type: ignore[arg-type]
        sources = [from_corrections(marks, None), from_approved(rights, None)]
        cut = random.randrange(120)
        sources += [a_file(rows[:cut] or rows, "a.jsonl"), a_file(rows[cut:], "a.jsonl")]
        random.shuffle(sources)
        made = built(*sources)
        hashes.add(made.manifest.dataset_hash)
        contents.add(tuple(sorted(made.files.items())))
    assert len(hashes) == len(contents) == 1
    other = built(from_corrections(marks, None), from_approved(rights, None))
    assert other.manifest.dataset_hash not in hashes


def test_everything_is_redacted_and_counted() -> None:
    mark = a_mark(1, "Write to jane@example.com, please", answer=dumped(assistant("jane@example.com it is")))
    made = built(from_corrections([mark], None), a_file([chat(user("kim@example.com?"), assistant("lee@example.com"))]))
    assert b"example.com" not in b"".join(made.files.values())
    assert made.manifest.redacted == {"email": 4}


def test_a_correction_is_a_row_and_a_pair_where_the_answer_is_known_and_says_something_else() -> None:
    same = "shipping, please, number 3"
    marks = [
        a_mark(1, on_side("train", "first")),
        a_mark(2, on_side("train", "second"), answer=None),
        a_mark(3, on_side("train", "third"), answer=dumped(assistant(f" {same}  "))),
        a_mark(4, on_side("train", "fourth"), answer=dumped(assistant("  "))),
    ]
    made = built(from_corrections(marks, None))
    assert len(rows_in(made.files[TRAIN])) == 4
    (pair,) = rows_in(made.files[TRAIN_PAIRS])
    assert pair["preferred_output"] == [assistant("shipping, please, number 1")]
    assert pair["non_preferred_output"] == [assistant("billing, perhaps, number 1")]
    assert pair["input"]["messages"][0] == SYSTEM


def test_earlier_answers_of_live_conversations_are_not_trained_and_those_of_a_file_as_it_says() -> None:
    talk = [user(TRAINED), assistant("Which one?"), user("The blue one")]
    live = built(from_corrections([a_mark(1, talk)], None))
    (row,) = rows_in(live.files[TRAIN])
    assert [message.get("weight") for message in row["messages"]] == [None, 0, None, None]
    weighed = [user(TRAINED), {**assistant("a"), "weight": 0}, user("b"), {**assistant("c"), "weight": 1}, user("d")]
    (row,) = rows_in(built(a_file([chat(*weighed, assistant("e"))])).files[TRAIN])
    assert [message.get("weight") for message in row["messages"]] == [None, 0, None, None, None, None]


def test_tools_stay_and_what_openais_schema_does_not_have_goes() -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL], "annotations": [], "reasoning": "hm"}
    talk = [user(TRAINED), called, {"role": "tool", "tool_call_id": "call_1", "content": "late"}]
    (row,) = rows_in(built(from_corrections([a_mark(1, talk, tools=[TOOL])], None)).files[TRAIN])
    assert row["tools"] == [TOOL]
    assert row["messages"][1] == {"role": "assistant", "tool_calls": [CALL], "weight": 0}


def test_lines_of_a_file_that_are_no_examples_are_left_out_with_their_number() -> None:
    rows: list[Any] = [
        chat(user("a"), assistant("b")),
        b"{not json",
        chat(user("no answer")),
        chat(user("c"), {**assistant("not trained"), "weight": 0}),
        chat(user("d"), assistant("e")),
    ]
    made = built(a_file(rows))
    assert [where for where, _ in made.sourced.unusable] == [f"training.jsonl:{line}" for line in (2, 3, 4)]
    assert made.manifest.left_out == {"unusable": 3}
    assert sum(map(len, made.rows.values())) == 2


def test_what_no_trainer_takes_is_left_out() -> None:
    sound = [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, {"type": "text", "text": "?"}]
    made = built(a_file([chat(user("a"), assistant("b")), chat(user(sound), assistant("c"))]))  # type: ignore[arg-type]
    assert made.sourced.unusable == (("training.jsonl:2", "has a part 'input_audio', which no trainer takes"),)
    assert sum(map(len, made.rows.values())) == 1


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([b"{not json"], id="a file of which nothing can be used is refused"),
        pytest.param(
            [chat(user("a"), assistant("b")), {"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}],
            id="a file that mixes formats is refused",
        ),
    ],
)
def test_what_is_no_training_file_is_refused(rows: list[Any]) -> None:
    with pytest.raises(InvalidTrainingFile):
        a_file(rows)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(None, id="a mark whose request nobody kept"),
        pytest.param(dumped(chat(SYSTEM, SYSTEM, user("a"))), id="a live request with two system messages"),
        pytest.param(dumped(chat(SYSTEM)), id="a live request without a question"),
    ],
)
def test_marks_that_can_be_no_rows_are_told(request_: str | None) -> None:
    read = from_corrections([a_mark(1, "a", request=request_), a_mark(2, "b")], None)
    assert len(read.materials) == 1 and read.read == {"corrections": 2}
    ((where, why),) = read.unusable
    assert where.startswith("corrections:00000000") and why


def test_only_right_answers_are_approved_and_only_the_primarys_are_captured() -> None:
    scored = a_mark(1, "a", label=None, correction=None, score=0.2)
    wrong = a_mark(2, "b", label=Label.WRONG, correction=None)
    assert from_approved([scored, wrong, a_mark(3, "c")], None).materials == ()
    fallbacks = a_captured(4, "d", "by the fallback", role=Role.FALLBACK)
    assert from_captured([fallbacks], None).materials == ()
    second = [a_recording("e", "again", sample=1), a_recording("f", None)]
    assert from_recordings(second, None).materials == ()


def test_inputs_that_were_deleted_do_not_come_back_from_a_file() -> None:
    rows = [chat(user("Jane's own words"), assistant("b")), chat(user("others"), assistant("c"))]
    made = built(a_file(rows), gone=frozenset({input_id([user("Jane's own words")])}))
    assert b"Jane" not in b"".join(made.files.values())
    assert made.deleted == ("training.jsonl:1",) and made.manifest.left_out == {"deleted": 1}


def test_only_system_messages_that_rows_share_are_named() -> None:
    rows = [chat(SYSTEM, user(on_side("train", f"{at}")), assistant("a")) for at in range(3)]
    rows += [chat({"role": "system", "content": "You help Jane."}, user(on_side("train", "x")), assistant("a"))]
    rows += [chat(user(on_side("train", "y")), assistant("a"))]
    assert built(a_file(rows)).manifest.systems == {"You sort tickets.": 3, "": 1}


def test_rows_that_answer_the_same_differently_stay_and_are_told() -> None:
    made = built(a_file([chat(user(TRAINED), assistant("a")), chat(user(TRAINED), assistant("b"))]))
    assert made.conflicting == (("training.jsonl:1", "training.jsonl:2"),)
    assert sorted(answers(made)) == ["a", "b"]


def test_both_sides_are_there_and_a_side_never_changes() -> None:
    few = built(from_corrections([a_mark(1, PROVED)], None))
    many = built(from_corrections([a_mark(1, PROVED), *(a_mark(at, f"Ticket {at}") for at in range(2, 200))], None))
    assert answers(few, EVALUATION) == ["shipping, please, number 1"]
    assert "shipping, please, number 1" in answers(many, EVALUATION)
    assert 20 <= len(answers(many, EVALUATION)) <= 60


def test_sources_are_mixed_in_a_file_since_some_trainers_take_rows_as_they_come() -> None:
    rights = [approved(100 + at, f"Order {at}", "fine") for at in range(60)]
    made = built(from_corrections([a_mark(at, f"Ticket {at}") for at in range(60)], None), from_approved(rights, None))
    sources = [row.source for row in made.manifest.rows(TRAIN)]
    assert sum(one != other for one, other in pairwise(sources)) > 20


@pytest.mark.rig
def test_a_variant_never_sees_another_tenants_rows_of_ten_thousand_that_are_interleaved() -> None:
    tenants = ("", "st-mary", "st-john")
    kept: dict[str, list[Any]] = {"marks": [], "rights": [], "captured": [], "recordings": []}
    for at in range(10_000):
        tenant = tenants[at % 3]
        # Every third question is asked at all of them, word for word.
        asked = f"question {at // 3}" if at % 9 < 3 else f"question {at} of {tenant or 'nobody'}"
        words = f"the answer of {tenant or 'nobody'}, {at}"
        source = [*kept][at // 3 % 4]
        made: dict[str, Callable[[], Any]] = {
            "marks": partial(a_mark, at, asked, tenant=tenant, correction=dumped(assistant(words))),
            "rights": partial(approved, at, asked, words, tenant=tenant),
            "captured": partial(a_captured, at, asked, words, tenant=tenant),
            "recordings": partial(a_recording, asked, words, tenant=tenant),
        }
        kept[source].append(made[source]())
    seen: dict[str, int] = {}
    for tenant in tenants:
        own = tenant or None
        dataset = built(
            from_corrections(kept["marks"], own),
            from_approved(kept["rights"], own),
            from_captured(kept["captured"], own),
            from_recordings(kept["recordings"], own),
            tenant=own,
        )
        content = b"".join(dataset.files.values()).decode()
        for other in tenants:
            crossed = content.count(f"the answer of {other or 'nobody'}")
            assert (crossed > 2_000) if other == tenant else (crossed == 0)
        seen[tenant] = sum(map(len, dataset.rows.values()))
        assert dataset.manifest.left_out["other tenant"] > 6_600
    assert sum(seen.values()) == 10_000
