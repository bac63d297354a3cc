"""``gateway dataset validate``: files, directories and routes, in words and as JSON, with the exit codes of check."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from dataset_files import built, put, row

ROUTES = """\
version: 1
providers:
  acme: {kind: openai, api_key_env: NOBODY_SETS_THIS}
fallbacks:
  luna: {provider: acme, model: gpt-4.1-mini-2025-04-14, prompt: {instructions: Sort the ticket.}}
routes:
  triage:
    primary: {provider: acme, model: "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4"}
    fallbacks: [luna]
    capture: {share: 1.0, patterns: {ticket: "T-[0-9]{4}"}}
"""


TRAIN = [row(f"Question {n}?", f"Answer {n}.") for n in range(12)]
EVALUATION = [row("How do I reset it?", "Hold the button.")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "routes.yaml").write_text(ROUTES)
    return tmp_path


def test_a_good_file_is_good_without_routes(run: Run, here: Path) -> None:
    (here / "routes.yaml").unlink()
    put(here / "t.jsonl", *TRAIN)
    done = run("dataset", "validate", "t.jsonl")
    assert (done.code, done.out) == (0, "t.jsonl: openai-sft, 12 rows, 0 errors, 0 warnings; it can be trained on\n")


def test_errors_have_file_and_line_and_end_with_1(run: Run, here: Path) -> None:
    put(here / "t.jsonl", *TRAIN, row("Question 12?", " "))
    done = run("dataset", "validate", "t.jsonl")
    assert done.code == 1
    assert done.out.splitlines() == [
        "t.jsonl:13: error: its answer is empty: it needs text, or tool_calls [empty-answer]",
        "t.jsonl: openai-sft, 13 rows, 1 error, 0 warnings; it cannot be trained on",
    ]


def test_warnings_end_with_1_only_where_that_is_asked_for(run: Run, here: Path) -> None:
    put(here / "t.jsonl", *TRAIN, TRAIN[0])
    plain, strict = run("dataset", "validate", "t.jsonl"), run("dataset", "validate", "t.jsonl", "--strict")
    assert (plain.code, strict.code) == (0, 1)
    assert "t.jsonl:13: warning: is the same row as line 1: leave one out [duplicate]" in plain.out


def test_json_has_every_finding_and_count(run: Run, here: Path) -> None:
    put(here / "t.jsonl", *TRAIN, *([{"messages": "?"}] * 120))
    told = run("dataset", "validate", "t.jsonl", "--json").json
    (file,) = told["files"]
    assert (told["ok"], file["file"], file["format"], file["rows"]) == (False, "t.jsonl", "openai-sft", 132)
    assert (file["counts"], len(file["findings"])) == ({"shape": 120}, 100)
    assert file["findings"][0] == {
        "rule": "shape",
        "severity": "error",
        "line": 13,
        "message": "its messages is no list of messages",
    }


def test_ten_findings_of_a_rule_are_shown_and_a_hundred_where_all_are_asked_for(run: Run, here: Path) -> None:
    put(here / "t.jsonl", *(row(f"Matter {n}?", " ") for n in range(120)), *TRAIN, TRAIN[0])
    ran, whole = run("dataset", "validate", "t.jsonl"), run("dataset", "validate", "t.jsonl", "--all")
    assert (ran.code, whole.code) == (1, 1)
    few, most = ran.out.splitlines(), whole.out.splitlines()
    assert [sum("[empty-answer]" in line for line in lines) for lines in (few, most)] == [10, 100]
    assert [sum("[duplicate]" in line for line in lines) for lines in (few, most)] == [1, 1], "other rules are seen"
    assert few[-2] == "t.jsonl: and 110 more of empty-answer (--all)"
    assert most[-2] == "t.jsonl: and 20 more of empty-answer"
    told = run("dataset", "validate", "t.jsonl", "--json").json["files"][0]
    assert (told["counts"]["empty-answer"], len(told["findings"])) == (120, 101)


def test_rows_are_held_against_an_evaluation_file(run: Run, here: Path) -> None:
    put(here / "t.jsonl", *TRAIN, row("how do i RESET it?", "Hold it."))
    put(here / "e.jsonl", *EVALUATION)
    assert run("dataset", "validate", "t.jsonl").code == 0
    done = run("dataset", "validate", "t.jsonl", "--against", "e.jsonl")
    assert done.code == 1
    assert "t.jsonl:13: error: asks what line 1 of e.jsonl asks" in done.out


def test_a_route_s_data_set_is_found_and_held_to_its_own_redaction(run: Run, here: Path) -> None:
    built(here / "datasets" / "triage", train=[*TRAIN, row("Where is T-1234?", "Here.")], evaluation=EVALUATION)
    done = run("dataset", "validate", "triage")
    assert done.code == 0, done.out
    assert "train.jsonl:13: warning: holds 1 × ticket" in done.out
    assert "evaluation.jsonl: openai-sft, 1 row, 0 errors, 0 warnings; it can be evaluated with" in done.out


def test_in_a_directory_training_rows_are_held_against_the_evaluation_beside_them(run: Run, here: Path) -> None:
    built(here / "d", train=[*TRAIN, *EVALUATION], evaluation=EVALUATION)
    done = run("dataset", "validate", "d")
    assert done.code == 1
    assert "d/train.jsonl:13: error: asks what line 1 of evaluation.jsonl asks" in done.out
    built(here / "d", train=TRAIN, evaluation=EVALUATION)
    assert run("dataset", "validate", "d").code == 0


PAIR = {
    "input": {"messages": [{"role": "user", "content": "Question?"}]},
    "preferred_output": [{"role": "assistant", "content": "Better."}],
    "non_preferred_output": [{"role": "assistant", "content": "Worse."}],
}


def test_few_pairs_beside_examples_are_no_mistake_and_few_pairs_of_an_export_are(run: Run, here: Path) -> None:
    built(here / "d", train=TRAIN, train_preferences=[PAIR])
    assert run("dataset", "validate", "d", "--strict").code == 0
    built(here / "e", "openai-dpo", train=[PAIR])
    done = run("dataset", "validate", "e")
    assert (done.code, "wants 10" in done.out) == (1, True)


def test_the_manifest_tells_the_format_of_a_file_beside_it(run: Run, here: Path) -> None:
    built(here / "d", "bedrock", train=[row(f"Question {n}?", f"Answer {n}.") for n in range(32)])
    assert "train.jsonl: bedrock, 32 rows, 0 errors" in run("dataset", "validate", "d/train.jsonl").out
    assert "train.jsonl: together, 32 rows" in run("dataset", "validate", "d/train.jsonl", "--format", "together").out


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(
            lambda d: put(d / "train.jsonl", *TRAIN[1:]), "train.jsonl was changed since", id="a changed file"
        ),
        pytest.param(lambda d: (d / "train.jsonl").unlink(), "train.jsonl is not there", id="a missing file"),
        pytest.param(
            lambda d: put(d / "evaluation.preferences.jsonl", PAIR),
            "is not told of here: no deletion",
            id="a foreign file",
        ),
        pytest.param(lambda d: (d / "manifest.json").unlink(), "is not there: nobody knows", id="no manifest"),
        pytest.param(lambda d: (d / "manifest.json").write_text("{"), "cannot be read", id="no manifest that reads"),
    ],
)
def test_files_that_are_not_as_their_manifest_says(damage: Any, said: str, run: Run, here: Path) -> None:
    directory = built(here / "d", train=TRAIN, evaluation=EVALUATION)
    assert run("dataset", "validate", "d", "--strict").code == 0
    damage(directory)
    done = run("dataset", "validate", "d")
    assert done.code == 1
    assert "d/manifest.json:1: error: " in done.out and said in done.out and "[manifest]" in done.out


def test_a_manifest_with_fewer_lines_than_its_file_is_told(run: Run, here: Path) -> None:
    directory = built(here / "d", train=TRAIN)
    told = json.loads((directory / "manifest.json").read_text())
    told["files"]["train.jsonl"]["rows"].pop()
    (directory / "manifest.json").write_text(json.dumps(told))
    done = run("dataset", "validate", "d")
    assert (done.code, "has 12 lines, and 11 are told of here" in done.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("nowhere",), 2, "is no file, no directory and no", id="what is nothing"),
        pytest.param(("traige",), 2, "did you mean 'triage'", id="a misspelt route"),
        pytest.param(("triage",), 1, "is not there: gateway dataset build triage", id="a route without a data set"),
        pytest.param(("t.jsonl", "--format", "openai"), 2, "none of openai-sft", id="a format that nobody has"),
        pytest.param(
            ("t.jsonl", "--against", "gone.jsonl"), 1, "gone.jsonl cannot be read", id="an evaluation that is gone"
        ),
        pytest.param(("empty",), 1, "holds no train.jsonl", id="a directory without rows"),
    ],
)
def test_what_cannot_be_checked_is_said(arguments: tuple[str, ...], code: int, said: str, run: Run, here: Path) -> None:
    put(here / "t.jsonl", *TRAIN)
    (here / "empty").mkdir()
    done = run("dataset", "validate", *arguments)
    assert done.code == code
    assert said in " ".join(done.err.replace("│", " ").split())
