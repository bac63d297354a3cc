import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_line import Run

from gateway.cli.scan import report_on
from gateway.cli.scan_report import print_report

ROUTES = """\
version: 1
providers:
  acme: {kind: openai, api_key_env: NOBODY_SETS_THIS}
  campus: {kind: vllm, base_url: "http://vllm.internal:8000/v1"}
fallbacks:
  base: {provider: campus, model: m1}
defaults: {provider: acme, fallbacks: [base]}
lifecycle:
  acme:
    gpt-5.9-later: {shutdown: 2099-01-01, source: "our contract", replacement: gpt-7}
routes:
  forum-reply: "ft:gpt-4o-mini-2024-07-18:acme:forum:A1b2C3d4"
"""
SOON = 'model = "gpt-4o-mini-2024-07-18"\n'
ALIAS = 'model = "gpt-4o-mini"\n'
STOPPED = 'model = "gpt-4-0314"\n'
LATER = 'model = "gpt-5.9-later"\n'
TODAY = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "src").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        pytest.param(STOPPED, 1, "1 stopped already", id="a model that has stopped"),
        pytest.param(LATER, 0, "1 later", id="a model that stops in 2099"),
        pytest.param("x = 1\n", 0, "No model with a known shutdown is hard-coded in 1 file.", id="no model"),
        pytest.param("# gpt-4-0314\n", 0, "Only mentioned", id="a model in a comment"),
        pytest.param(
            ALIAS,
            0,
            "an alias without a day of its own; its dated snapshot gpt-4o-mini-2024-07-18 stops 2027-01-14",
            id="an alias, which nobody dates",
        ),
        pytest.param(STOPPED[:-1] + "  # understudy: ignore\n", 0, "No model", id="a line that is silenced"),
    ],
)
def test_exit_codes(text: str, code: int, says: str, tree: Path, run: Run) -> None:
    (tree / "routes.yaml").write_text(ROUTES)
    (tree / "src" / "a.py").write_text(text)
    ran = run("scan", "src")
    assert (ran.code, ran.err) == (code, "")
    assert says in ran.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("nowhere",), "'nowhere' does not exist", id="a path that is not there"),
        pytest.param((), "Missing argument", id="no path"),
        pytest.param(("src", "--within=-1"), "--within", id="a negative number of days"),
        pytest.param(("src", "--format", "html"), "html", id="an unknown format"),
        pytest.param(("src", "--routes", "none.yaml"), "none.yaml", id="routes that are not there"),
    ],
)
def test_misuse_is_2(arguments: tuple[str, ...], says: str, tree: Path, run: Run) -> None:
    ran = run("scan", *arguments)
    assert ran.code == 2
    assert says in ran.err


def test_a_routes_yaml_of_another_program_is_left_aside(tree: Path, run: Run) -> None:
    (tree / "routes.yaml").write_text("- path: /\n")
    (tree / "src" / "a.py").write_text(STOPPED)
    ran = run("scan", "src")
    assert ran.code == 1
    assert "left aside" in ran.err


def test_as_text(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "src" / "b.py").write_text(SOON + "# not gpt-4-0314\n")
    (tree / "src" / "a.py").write_text(STOPPED)
    print_report(report_on([Path("src")], 90, None, TODAY), "text")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0] == (
        "2 model ids hard-coded in 2 of 2 files: 1 stopped already, 1 will within 90 days (by 2027-02-21), "
        "0 later, or on no day that is known."
    )
    assert lines[2].startswith("stopped 202")
    assert lines[3].startswith("  src/a.py:1:10  gpt-4-0314              openai")
    assert lines[5] == "stops 2027-01-14, in 52 days"
    assert lines[6].startswith("  src/b.py:1:10  gpt-4o-mini-2024-07-18  openai  its vendor names ")
    assert "src/b.py:2:7  gpt-4-0314" in lines[9]
    assert "  planned, curated, https://" in out
    assert "gpt-4o-mini-2024-07-18 (openai): 2027-04-14 at azure" in out


def test_as_json(tree: Path, run: Run) -> None:
    (tree / "routes.yaml").write_text(ROUTES)
    (tree / "src" / "a.py").write_text(LATER + 'M = "ft:gpt-4o-mini-2024-07-18:acme:forum:A1b2C3d4"\n')
    ran = run("scan", "src", "--json", "--within", "0")
    body = ran.json
    assert ran.code == (0 if body["ok"] else 1)
    assert body["counts"]["used"] == 2
    tuned, later = body["findings"]
    assert (tuned["routes"], tuned["base"]) == (["forum-reply"], "gpt-4o-mini-2024-07-18")
    assert (tuned["shutdown"], tuned["use"], tuned["vendor"]) == ("2027-01-14", "used", "openai")
    assert (later["file"], later["line"], later["column"]) == ("src/a.py", 1, 10)
    assert (later["shutdown"], later["replacement"], later["source"]) == ("2099-01-01", "gpt-7", "our contract")
    assert later["fails"] is False
    assert run("scan", "src", "--format", "json", "--within", "0").json == body


def test_as_annotations_of_github(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "src" / "100%, a:b.py").write_text(SOON)
    (tree / "src" / "n.ipynb").write_text(
        '{"cells": [{"cell_type": "code", "source": ["x = 1\\n", "m = \\"gpt-4o-mini-2024-07-18\\""]}]}'
    )
    (tree / "src" / "z.py").write_text('m = "gpt-4.1-2025-04-14"  # and gpt-4-0314\n')
    print_report(report_on([Path("src")], 90, None, TODAY), "github")
    summary, first, notebook, last = capsys.readouterr().out.splitlines()
    assert summary.startswith("3 model ids")
    place, _, message = first.removeprefix("::error ").partition("::")
    assert place == (
        "file=src/100%25%2C a%3Ab.py,line=1,col=10,title=gpt-4o-mini-2024-07-18 stops 2027-01-14%2C in 52 days"
    )
    assert message.startswith("gpt-4o-mini-2024-07-18 (openai) stops 2027-01-14, in 52 days. its vendor names ")
    assert "(cell 1, line 2)" in notebook
    assert "line=" not in notebook
    assert last.startswith("::error file=src/z.py,")
    print_report(report_on([Path("src")], 10, None, TODAY), "github")
    assert capsys.readouterr().out.count("::warning ") == 3


HOSTILE = "b\n::error title=pwn::\x1b[2J, 100%"


def test_no_file_name_becomes_a_workflow_command(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / f"{HOSTILE}.ipynb").write_text("gpt-4-0613")
    (tree / f"{HOSTILE}.py").write_text(SOON)
    print_report(report_on([Path()], 90, None, TODAY), "github")
    out, err = capsys.readouterr()
    assert err == ""
    summary, finding, unread = out.splitlines()
    escaped = r"b%0A%3A%3Aerror title=pwn%3A%3A\x1b[2J%2C 100%25"
    assert summary.endswith(" 1 file was not read.")
    assert finding.startswith(f"::error file={escaped}.py,line=1,")
    assert unread == f"::warning file={escaped}.ipynb::not read: not a notebook"


def test_text_shows_the_names_of_files_on_one_line(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / f"{HOSTILE}.ipynb").write_text("gpt-4-0613")
    (tree / f"{HOSTILE}.py").write_text(SOON + "# gpt-4-0314\n")
    print_report(report_on([Path()], 90, None, TODAY), "text")
    out, err = capsys.readouterr()
    shown = r"b\n::error title=pwn::\x1b[2J, 100%"
    assert err == f"{shown}.ipynb: not read: not a notebook\n"
    assert [line.split("  ")[1] for line in out.splitlines() if "pwn" in line] == [
        f"{shown}.py:1:10",
        f"{shown}.py:2:3",
    ]
    assert "\x1b" not in out


@pytest.mark.parametrize("output", ["text", "json", "github"])
def test_a_name_that_is_no_utf_8_is_printed(output: str, tree: Path, run: Run) -> None:
    for ending in (b".py", b".ipynb"):
        (tree / os.fsdecode(b"caf\xe9" + ending)).write_text(STOPPED)
    ran = run("scan", ".", "--format", output)
    assert ran.code == 1
    assert (ran.out + ran.err).count(r"caf\udce9") == 2


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        pytest.param((1,), "hard-coded in 0 files. 1 file was not read.", id="one, and nothing else"),
        pytest.param((0, 1, 1), "hard-coded in 1 file. 2 files were not read.", id="two of three"),
    ],
)
def test_the_summary_tells_how_many_files_were_not_read(
    sizes: tuple[int, ...], says: str, tree: Path, run: Run
) -> None:
    for number, size in enumerate(sizes):
        (tree / "src" / f"{number}.json").write_text(" " * (size * 2 * 1024 * 1024 + 1))
    ran = run("scan", "src")
    assert ran.code == 0
    assert ran.out.strip().endswith(says)
    assert ran.err.count("not read: larger than 2 MiB") == sum(sizes)


def test_a_progress_bar_is_for_terminals(tree: Path, run: Run) -> None:
    for number in range(250):
        (tree / "src" / f"a{number}.py").write_text("x = 1\n")
    ran = run("scan", "src")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "No model with a known shutdown is hard-coded in 250 files.\n"


def test_help_says_what_is_not_found(run: Run) -> None:
    text = " ".join(run("scan", "--help").out.split())
    for phrase in ("put together from parts", "understudy: ignore", "only mentioned", "Exit codes", "Azure OpenAI"):
        assert phrase in text


def test_what_holds_no_source_was_not_read(tree: Path, run: Run) -> None:
    ran = run("scan", "src")
    assert (ran.code, ran.out) == (0, "Nothing was read: there is no source file, configuration or notebook here.\n")
