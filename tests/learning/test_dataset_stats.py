"""``gateway dataset stats``: figures, whether there are enough rows, and what the learning curve says."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Run, run
from dataset_files import an_evaluation, built, row
from migrated_database import migrated

from gateway.learning.datasets.directory import read
from gateway.learning.datasets.manifest import ManifestRow
from gateway.learning.datasets.stats import BINS, Curve, curve_of, readiness, stats_of
from gateway.learning.packs.tokens import tokens_of
from gateway.store.database import Database
from gateway.store.evaluations import EvaluationStore

__all__ = ["run"]
ROUTES = """\
version: 1
providers:
  acme: {kind: openai, api_key_env: NOBODY_SETS_THIS}
  shed: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1"}
fallbacks:
  luna: {provider: acme, model: gpt-6-luna, prompt: {instructions: Sort the ticket.}}
prices:
  shed:
    small: {input_usd_per_1m: 0.1, output_usd_per_1m: 0.2, training_usd_per_1m: 1000, source: the contract}
routes:
  triage:
    primary: {provider: acme, model: "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4"}
    fallbacks: [luna]
"""
CORRECTED = ManifestRow("0" * 16, "corrections", "human", "feedback", by="ada")
GIVEN = ManifestRow("0" * 16, "approved", "model", "feedback", model="acme/ft:x")


def point(examples: int, quality: float, half: float = 0.05, **more: Any) -> dict[str, Any]:
    interval = {"estimate": quality, "low": quality - half, "high": quality + half}
    return {"examples": examples, "quality": interval, "is_asked": True, **more}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(ROUTES)
    return tmp_path


def test_figures_of_a_data_set(tmp_path: Path) -> None:
    rows = [row("word " * n, ("yes", "no", "no")[n % 3]) for n in range(1, 61)]
    found = stats_of(read(built(tmp_path / "d", told=CORRECTED, train=rows, evaluation=rows[:7])))
    assert (found.training_rows, found.rows) == (60, {"train.jsonl": 60, "evaluation.jsonl": 7})
    assert found.sources == {"train.jsonl": {"corrections": 60}, "evaluation.jsonl": {"corrections": 7}}
    assert (found.origins, found.models, found.labels) == ({"human": 60}, {}, {"no": 40, "yes": 20})
    counts = sorted(tokens_of(one["messages"]) for one in rows)
    assert found.tokens is not None
    assert (found.tokens.total, found.tokens.longest) == (sum(counts), counts[-1])
    assert found.tokens.percentiles == {10: counts[5], 50: counts[29], 90: counts[53], 99: counts[59]}
    assert sum(rows for *_, rows in found.tokens.bins) == 60
    assert len(found.tokens.bins) <= BINS


def test_rows_of_one_length_are_one_bin_and_a_model_s_answers_have_its_name(tmp_path: Path) -> None:
    rows = [row("same", "an answer that is no label, since it is rather longer than labels are")] * 3
    found = stats_of(read(built(tmp_path / "d", told=GIVEN, train=rows)))
    assert found.tokens is not None
    assert [count for *_, count in found.tokens.bins] == [3]
    assert (found.models, found.labels) == ({"acme/ft:x": 3}, {})


def test_a_data_set_without_training_rows_has_no_tokens(tmp_path: Path) -> None:
    found = stats_of(read(built(tmp_path / "d", evaluation=[row("a", "b")])))
    assert (found.tokens, found.training_rows) == (None, 0)


@pytest.mark.parametrize(
    ("points", "trend"),
    [
        pytest.param([point(10, 0.5), point(50, 0.7)], "helps", id="clearly better: more examples help"),
        pytest.param([point(10, 0.5), point(50, 0.54)], "may_help", id="better within chance: they may"),
        pytest.param([point(10, 0.5), point(50, 0.7), point(90, 0.71)], "flat", id="no better than before: flat"),
        pytest.param([point(10, 0.7), point(50, 0.5)], "flat", id="worse is no reason for more"),
        pytest.param([point(10, 0.5)], "unknown", id="one point is no curve"),
        pytest.param([point(10, 0.5), point(50, 0.7, is_asked=False)], "unknown", id="an unasked point does not count"),
        pytest.param([], None, id="no curve"),
    ],
)
def test_what_a_curve_says(points: list[dict[str, Any]], trend: str | None) -> None:
    found = curve_of({"curve": points}, "2026-11-29T00:00:00")
    assert (found and found.trend) == trend


CURVE = Curve("helps", ((10, 0.5, 0.4, 0.6), (50, 0.7, 0.6, 0.8)), "2026-11-28T10:00:00")


@pytest.mark.parametrize(
    ("rows", "curve", "said"),
    [
        pytest.param(9, None, "9 of 10 rows that trainers want at least: not ready", id="nine are not ready"),
        pytest.param(10, CURVE, "10 rows are above the floor of 10; 50 are a start", id="ten are the floor"),
        pytest.param(49, None, "49 rows are above the floor", id="forty-nine are no start"),
        pytest.param(
            50, None, "only a learning curve tells: gateway evaluate triage --curve", id="fifty: ask the curve"
        ),
        pytest.param(50, replace(CURVE, trend="unknown"), "gateway evaluate triage --curve", id="one point: ask again"),
        pytest.param(
            50, CURVE, "of 2026-11-28 says that more examples still help (quality 0.70 (0.60 to 0.80)", id="it helps"
        ),
        pytest.param(50, replace(CURVE, trend="flat"), "it has flattened", id="it is flat"),
        pytest.param(50, replace(CURVE, trend="may_help"), "may still help, the gain is within", id="it may"),
    ],
)
def test_whether_there_are_enough_rows(rows: int, curve: Curve | None, said: str) -> None:
    assert said in readiness(rows, curve, "triage")


def test_the_command_says_all_of_it_and_a_pipe_gets_plain_characters(run: Run, here: Path) -> None:
    built(here / "datasets" / "triage", told=CORRECTED, train=[row(f"Ticket {n}", "billing") for n in range(9)])
    done = run("dataset", "stats", "triage")
    assert done.code == 0, done.err
    assert "train.jsonl  9 rows  9 corrections" in done.out
    assert "written by: 9 human" in done.out
    assert "9 of 10 rows that trainers want at least: not ready" in done.out
    assert "####" in done.out and done.out.isascii()
    assert "acme gpt-4.1-mini-2025-04-14 11 " in " ".join(done.out.split()) and " 2027-01-06" in done.out
    assert "https://fireworks.ai/pricing, read 2026-11-29" in done.out


def test_prices_of_the_operator_and_epochs_that_were_asked_for_count(run: Run, here: Path) -> None:
    built(here / "d", train=[row(f"Ticket {n}", "billing") for n in range(10)])
    told = run("dataset", "stats", "d", "--epochs", "2", "--json").json
    mini, small = told["trainers"][:2]
    assert (mini["trainer"], mini["epochs"], mini["tokens"]) == ("acme", 2, 2 * told["tokens"]["total"])
    assert (small["base"], small["usd"]) == ("small", pytest.approx(2 * told["tokens"]["total"] / 1000))
    assert (small["source"], small["read"]) == ("the contract", None)


def test_the_newest_evaluation_with_a_curve_is_read(run: Run, here: Path) -> None:
    built(here / "datasets" / "triage", train=[row(f"Ticket {n}", "billing") for n in range(50)])
    url = f"sqlite:///{here / 'gateway.db'}"
    migrated(url)

    async def keep() -> None:
        database = await Database.open(url)
        try:
            for number, points in enumerate(([point(10, 0.5), point(50, 0.7)], [])):
                report = json.dumps({"curve": points})
                await EvaluationStore(database).conclude(an_evaluation(number, report))
        finally:
            await database.close()

    asyncio.run(keep())
    done = run("dataset", "stats", "triage", "--database", url)
    assert "the learning curve of 2026-11-20 says that more examples still help" in done.out
    assert run("dataset", "stats", "triage", "--database", url, "--json").json["curve"]["trend"] == "helps"


@pytest.mark.parametrize(
    ("place", "code", "said"),
    [
        pytest.param("traige", 2, "did you mean 'triage'", id="a misspelt route"),
        pytest.param("triage", 1, "holds no data set", id="a route without a data set"),
        pytest.param("export", 1, "is an export (bedrock)", id="an export"),
    ],
)
def test_what_has_no_figures_is_said(place: str, code: int, said: str, run: Run, here: Path) -> None:
    built(here / "export", "bedrock", train=[row("a", "b")])
    done = run("dataset", "stats", place)
    assert done.code == code
    assert said in " ".join(done.err.replace("│", " ").split())
