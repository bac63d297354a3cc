"""The regression set: what corrections say of whom, what counts as corrected, and that nothing is paid twice."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from evaluation_material import (
    FINE_TUNE,
    NOW,
    REDACTOR,
    ROUTE,
    billed,
    evaluator,
    gathered,
    held_out,
    opened,
    question_of,
    recorded,
    row,
    rows_of,
    training_rows,
    write_pack,
    write_routes,
)
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock
from gateway.learning.datasets.manifest import Manifest, ManifestFile, ManifestRow
from gateway.learning.evaluation import corrections as corrected
from gateway.learning.evaluation.corrections import Correction, corrections_of, side_of
from gateway.learning.evaluation.lineage import Trained, trained_on
from gateway.learning.evaluation.measures import Task, labels_of
from gateway.learning.evaluation.report_words import corrected as sentences
from gateway.learning.evaluation.rows import Row, example_questions, gather
from gateway.policy.inputs import input_id
from gateway.policy.promotion import Version, VersionStatus
from gateway.policy.splits import Split, split_of
from gateway.sandbox.catalogue import Task as Skill
from gateway.sandbox.skills import answer_in_style
from tests.corrections import correction_mark, question_of_split

LUNA = "gpt-6-luna"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
def routes(tmp_path: Path, sandbox: RunningSandbox) -> Path:
    write_pack(tmp_path / "packs" / ROUTE, training_rows(60))
    return write_routes(tmp_path, sandbox)


def version(dataset_hash: str | None = "sha256:a") -> Version:
    return Version(
        ROUTE, 2, "", "sandbox", "ft:x", None, "job", VersionStatus.CANDIDATE, "ann", NOW, NOW,
        dataset_hash=dataset_hash,
    )  # fmt: skip


def manifest(*ids: str, dataset_hash: str = "sha256:a", earlier: tuple[str, ...] = ()) -> Manifest:
    rows = tuple(ManifestRow(id_, "corrections", "human", "feedback") for id_ in ids)
    return Manifest(
        ROUTE, None, "canonical", {"train.jsonl": ManifestFile("0", rows)}, NOW, "ann", dataset_hash=dataset_hash,
        earlier_hashes=earlier,
    )  # fmt: skip


def row_of(asked: str, gold: str = "bug") -> Row:
    messages = ({"role": "user", "content": asked},)
    return Row(input_id(messages), messages, gold={"role": "assistant", "content": gold})


# What a version has seen.


def test_nothing_is_known_of_what_has_no_data_set() -> None:
    assert trained_on(None, manifest()) is None
    assert trained_on(version(None), manifest()) is None


@pytest.mark.parametrize(
    "of",
    [
        pytest.param({}, id="by its hash"),
        pytest.param({"dataset_hash": "sha256:b", "earlier": ("sha256:a",)}, id="by the hash before a deletion"),
    ],
)
def test_a_manifest_tells_the_rows_of_its_own_data_set(of: dict[str, Any]) -> None:
    seen, unseen = row_of("My card is refused"), row_of("The page is blank")
    known = trained_on(version(), manifest(seen.input_id, **of))
    assert known is not None
    assert (known.has(seen, REDACTOR), known.has(unseen, REDACTOR)) == (True, False)


@pytest.mark.parametrize(
    ("split", "days", "has"),
    [
        pytest.param(Split.TRAIN, -1, True, id="a training row that was there when it was built"),
        pytest.param(Split.TRAIN, 1, False, id="a training row that came later"),
        pytest.param(Split.EVALUATION, -1, False, id="an evaluation row"),
        pytest.param(Split.TRAIN, None, True, id="a training row of no known time"),
    ],
)
def test_without_its_manifest_the_split_tells(split: Split, days: int | None, has: bool) -> None:
    known = trained_on(version(), manifest("whatever", dataset_hash="sha256:of another"), built_at=NOW)
    assert known == Trained(None, NOW)
    given_at = None if days is None else NOW + timedelta(days=days)
    assert known.has(row_of(question_of_split(split)), REDACTOR, given_at) is has


def test_a_row_is_known_by_its_redacted_twin() -> None:
    raw, clean = row_of("Write to ann@example.com"), row_of("Write to [email]")
    redacted = REDACTOR.value([dict(message) for message in raw.messages])[0]
    assert redacted != list(raw.messages)
    known = Trained(frozenset({input_id(redacted)}))
    assert known.has(raw, REDACTOR)
    assert not Trained(frozenset({clean.input_id + "0"})).has(raw, REDACTOR)


# Which corrections are asked, and of whom they say what.


def test_only_corrections_are_the_regression_set_in_the_order_of_their_ids() -> None:
    marks = [correction_mark(f"Question {number}", "bug") for number in range(9)]
    approved = correction_mark("Approved", None)
    found = corrections_of([approved, *marks])
    ids = [one.row.input_id for one in found]
    assert ids == sorted(ids) and len(ids) == 9
    assert [one.row.gold for one in found] == [{"role": "assistant", "content": "bug"}] * 9


async def test_what_the_prompt_shows_is_left_out_and_what_was_trained_on_stands_apart(
    routes: Path, tmp_path: Path
) -> None:
    async with opened(routes, tmp_path / "g.db") as bench:
        target = bench.route(ROUTE).fallbacks[0]
        assert target.prompt is not None and target.prompt.pack is not None
        shown = target.prompt.pack.examples[0].messages[0]["content"]
        corrections = corrections_of([correction_mark(asked, "bug") for asked in (shown, "Blank page", "Red page")])
        trained = Trained(frozenset({row_of("Blank page").input_id}))
        arm = evaluator(bench, await gathered(bench, held_out(tmp_path))).subject(target).fallback
        examples = example_questions(target.prompt, REDACTOR)
        side = side_of("luna", arm, corrections, examples=examples, trained=trained, redactor=REDACTOR)
        assert side.in_prompt == 1
        assert [one.row.messages[0]["content"] for one in side.never_seen] == ["Red page"]
        assert [one.row.messages[0]["content"] for one in side.trained_on or ()] == ["Blank page"]
        other = side_of("luna", arm, corrections, examples=frozenset(), trained=None, redactor=REDACTOR)
        assert (len(other.never_seen), other.trained_on, other.in_prompt) == (3, None, 0)


def test_a_recorded_answer_that_was_corrected_is_no_reference_but_a_held_out_one_is() -> None:
    asked = ["Write to ann@example.com", "Blank page", "Red page"]
    held = rows_of(row("Red page"))
    found = gather(held, [recorded(one) for one in asked], examples=frozenset(), tenant=None, redactor=REDACTOR)
    clean = REDACTOR.value(asked[0])[0]
    questions = frozenset(question_of(one) for one in (clean, "Red page"))
    kept = found.without_corrected(questions, REDACTOR)
    assert {one.messages[0]["content"] for one in kept.rows} == {"Blank page", "Red page"}
    assert (kept.corrected, found.without_corrected(frozenset(), REDACTOR)) == (1, found)


# What counts as corrected.


def counted(gold: Sequence[str], answers: Sequence[str], measure: str) -> dict[str, Any]:
    """Count answers to corrections as the report does; an empty answer is none."""
    rows = [row_of(f"Question {number}", wanted) for number, wanted in enumerate(gold)]
    given = {row.input_id: {"content": said} for row, said in zip(rows, answers, strict=True) if said}
    task = Task(labels=labels_of([row.gold or {} for row in rows] * 2))
    return corrected.counts([Correction(row, NOW) for row in rows], given, measure, task)


@pytest.mark.parametrize(
    ("measure", "gold", "answers", "met", "mean"),
    [
        pytest.param("label_match", ["bug", "how-to"], ["bug", "howto"], 1, 0.5, id="a label is the same or another"),
        pytest.param("label_match", ["Bug"], [" bug "], 1, 1.0, id="case and white space do not count"),
        pytest.param("json_f1", ['{"a":1,"b":2}'], ['{"b":2,"a":1}'], 1, 1.0, id="JSON by its fields"),
        pytest.param("json_f1", ['{"a":1,"b":2}'], ['{"a":1,"b":3}'], 0, 0.5, id="a wrong field is a wrong answer"),
        pytest.param("chrf", ["Please restart the application."], ["Please restart the application!"], 1, None,
                     id="a text that is nearly the same"),
        pytest.param("chrf", ["Please restart the application."], ["Have you tried turning it off?"], 0, None,
                     id="a text that is another"),
        pytest.param("json_f1", ["I cannot read it."], ["I cannot read it."], 1, 1.0, id="a text among JSON"),
        pytest.param("label_match", ["bug", "bug"], ["bug", ""], 1, 1.0, id="one that was not answered is not counted"),
    ],
)  # fmt: skip
def test_an_answer_is_as_corrected_by_the_routes_measure(
    measure: str, gold: list[str], answers: list[str], met: int, mean: float | None
) -> None:
    found = counted(gold, answers, measure)
    assert (found["rows"], found["answered"]) == (len(gold), sum(map(bool, answers)))
    assert found["as_corrected"] == met
    if mean is not None:
        assert found["mean"] == mean


def test_nothing_answered_has_no_mean() -> None:
    assert counted(["bug"], [""], "label_match") == {"rows": 1, "answered": 0, "as_corrected": 0, "mean": None}


NEVER = {"rows": 10, "answered": 10, "as_corrected": 7, "mean": 0.75}
TRAINED = {"rows": 5, "answered": 4, "as_corrected": 4, "mean": 1.0}


@pytest.mark.parametrize(
    ("one", "least", "said"),
    [
        pytest.param(
            {}, 1.0, "luna answers 7 of 10 corrections as corrected (mean label_match 0.75).", id="a fallback",
        ),
        pytest.param(
            {"in_prompt": 2}, 1.0,
            "luna answers 7 of 10 corrections as corrected (mean label_match 0.75); 2 left out: its prompt shows the "
            "same input.", id="some in its prompt",
        ),
        pytest.param(
            {"trained_on": TRAINED}, 1.0,
            "luna answers 7 of 10 corrections that it was not trained on as corrected (mean label_match 0.75), and 4 "
            "of 4 that it was trained on (mean label_match 1.00); 1 not answered yet.", id="some in its training",
        ),
        pytest.param(
            {"trained_on": {**TRAINED, "rows": 4}, "never_seen": {**NEVER, "rows": 0, "answered": 0}}, 1.0,
            "luna answers 4 of 4 corrections that it was trained on as corrected (mean label_match 1.00); there is no "
            "other.", id="all in its training",
        ),
        pytest.param(
            {"trained_on": {**TRAINED, "rows": 0}}, 0.9,
            "luna answers 7 of 10 corrections that it was not trained on as corrected (mean label_match 0.75, from 0.9 "
            "on as corrected)", id="none in its training, by likeness",
        ),
    ],
)  # fmt: skip
def test_a_target_has_a_sentence(one: dict[str, Any], least: float, said: str) -> None:
    target = {"target": "luna", "in_prompt": 0, "never_seen": NEVER, "trained_on": None, **one}
    told = {"measure": "label_match", "as_corrected_from": least, "targets": [target]}
    assert sentences({"corrections": told})[0].startswith(said)


# Asked once.


async def test_target_and_primary_answer_them_once_and_the_answers_are_kept(
    routes: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    asked = [f"I was charged twice for order {number}." for number in range(6)]
    right = [answer_in_style(Skill.TICKET_TRIAGE, one) for one in asked]
    # The primary answers in its style: two were corrected to something that it never says.
    marks = [correction_mark(one, said) for one, said in zip(asked, [*right[:4], "refunds", "refunds"], strict=True)]

    async def run() -> dict[str, Any]:
        async with opened(routes, tmp_path / "g.db") as bench:
            found = evaluator(bench, await gathered(bench, held_out(tmp_path)))
            route, collector = bench.route(ROUTE), found.collector
            assert found.primary is not None
            arms = {"luna": found.subject(route.fallbacks[0]).fallback, "primary": found.primary}
            sides = [
                side_of(name, arm, corrections_of(marks), examples=frozenset(), trained=None, redactor=REDACTOR)
                for name, arm in arms.items()
            ]
            await collector.collect(await corrected.missing(collector, sides))
            return await corrected.told(collector, sides, found.terms, has_contract=False)

    first = await run()
    assert billed(sandbox) == {LUNA: 6, FINE_TUNE: 6}
    luna, primary = first["targets"]
    assert first["measure"] == "label_match"
    assert primary["never_seen"] == {"rows": 6, "answered": 6, "as_corrected": 4, "mean": 4 / 6}
    assert luna["never_seen"]["answered"] == 6
    assert orjson.dumps(await run()) == orjson.dumps(first)
    assert billed(sandbox).total() == 12


def test_the_helpers_questions_are_of_their_split() -> None:
    for split in Split:
        assert split_of([{"role": "user", "content": question_of_split(split)}]) is split
