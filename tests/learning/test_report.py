"""A report says what was measured, draws the right numbers, and lets no text out of its place."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import orjson
import pytest
from example_routes import a_fallback, a_route

from gateway.learning.evaluation import plots
from gateway.learning.evaluation.costs import Prices
from gateway.learning.evaluation.measures import Task
from gateway.learning.evaluation.outcome import Measured, Outcome, Subject, Terms, outcome
from gateway.learning.evaluation.report import as_object, evaluation_of, histogram, page, texts_of
from gateway.learning.evaluation.report_words import change, headline
from gateway.learning.evaluation.rows import Gathered, Row
from gateway.ledger.entry import new_attempt_id
from gateway.policy.pricing import Price
from gateway.store.evaluations import EvaluationAnswer
from gateway.store.recordings import Recording

NOW = datetime(2026, 11, 29, tzinfo=UTC)
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)"> {{ 7 * 7 }} & "quoted" </td></table>'
PRICE = Price(input=1000, cached_input=100, output=2000, version="t", source="t")  # type: ignore[arg-type]
SVG = "{http://www.w3.org/2000/svg}"


class StubArm:
    """What a report reads of an arm."""

    prompt_version = "0123456789ab"

    class prepared:  # noqa: N801
        key = ("here", "model-of-luna")


def measured(number: int, fallback: float, ceiling: float = 1.0, text: str = "an answer") -> Measured:
    id_ = f"{number:016x}"
    said = {"role": "assistant", "content": text}
    messages = ({"role": "user", "content": f"asked {text}"},)
    recording = Recording(
        "forum-reply", "here", "ft", id_, 0, "", "{}", orjson.dumps(said).decode(), "file", NOW,
        cost_nanousd=2_000_000, ttft_ms=100.0,
    )  # fmt: skip
    answer = EvaluationAnswer(
        "forum-reply", "here", "model-of-luna", "v", id_, orjson.dumps(said).decode(), new_attempt_id(NOW),
        input_tokens=2000, cached_input_tokens=0, output_tokens=100, cost_nanousd=1_000_000, duration_ms=300.0,
        ttft_ms=220.0,
    )  # fmt: skip
    row = Row(id_, messages, None, said, recording)
    return Measured(row, answer, {"chrf": fallback}, {"chrf": 0.2}, {"chrf": ceiling})


def concluded(found: list[Measured], *, margin: float = 0.05, more_rows: int = 0) -> Outcome:
    arm: Any = StubArm()
    subject = Subject(a_fallback(), arm, arm, Prices(PRICE, 1500, PRICE))
    terms = Terms(margin, "many", "chrf", True, Task())
    rows = [one.row for one in found] + [Row(f"more {number}", (), None, {}) for number in range(more_rows)]
    return outcome(subject, terms, rows, found)


def report_of(found: list[Measured], **how: Any) -> dict[str, Any]:
    result = concluded(found, **how)
    return as_object(result, Gathered(tuple(one.row for one in found)), a_route())


GOOD = [measured(number, 0.93 if number % 4 else 0.95) for number in range(400)]


def test_the_verdict_stands_first_in_one_sentence() -> None:
    report = report_of(GOOD, margin=0.1)
    assert re.fullmatch(
        r"accepted on 400 rows: keeps 0\.92 \[0\.9\d, 0\.9\d\] of the fine-tune's quality, −50 % cost, "
        r"first token \+120 ms",
        report["sentence"],
    )
    shown = unescape(page(report))
    assert shown.index(report["sentence"]) < shown.index("<svg")


@pytest.mark.parametrize(
    ("rows", "beginning"),
    [
        pytest.param([measured(n, 0.5) for n in range(100)], "rejected on 100 rows: keeps", id="much worse"),
        pytest.param([measured(n, n % 2) for n in range(9)], "not enough evidence on 9 rows (about ", id="few rows"),
        pytest.param([], "not enough evidence: no row has both", id="no rows"),
        pytest.param(
            [measured(n, float(n % 20 > 0)) for n in range(400)],
            "not enough evidence on 400 rows (the difference is so near the margin that hardly any number",
            id="at the margin",
        ),
        pytest.param(
            [measured(n, 0.2, 0.2) for n in range(200)], "accepted on 200 rows: chrf 0.20, the fine-tune's 0.20",
            id="a fine-tune that adds nothing",
        ),
        pytest.param(
            [measured(n, 0.0, 0.0) for n in range(200)],
            "not enough evidence: on this measure (chrf) the fine-tune itself scores 0.00", id="a fine-tune that fails",
        ),
    ],
)  # fmt: skip
def test_every_verdict_has_its_sentence(rows: list[Measured], beginning: str) -> None:
    report = report_of(rows)
    assert report["sentence"].startswith(beginning)
    assert headline(report) == report["sentence"]
    assert "<h1>" in page(report)


@pytest.mark.parametrize(
    ("relative", "said"),
    [(-0.38, "−38 %"), (0.0, "±0 %"), (1.2, "+120 %"), (2.4, "3.4×"), (1233.0, "1,234.0×")],
    ids=["less", "the same", "more", "manifold", "far more"],
)
def test_a_change_is_said_as_people_say_it(relative: float, said: str) -> None:
    assert change(relative) == said


def test_a_report_is_the_same_object_however_often_it_is_made_and_holds_no_text() -> None:
    found = [measured(1, 0.1, text="confidential words"), *GOOD[2:30]]
    assert orjson.dumps(report_of(found)) == orjson.dumps(report_of(found))
    assert b"confidential" not in orjson.dumps(report_of(found))


def test_what_is_kept_beside_the_report_agrees_with_it() -> None:
    report = report_of(GOOD, margin=0.1)
    kept = evaluation_of(report, new_attempt_id(NOW), NOW)
    assert (kept.verdict, kept.rows, kept.looks, kept.measure, kept.margin) == ("accept", 400, "many", "chrf", 0.1)
    assert kept.cost_change == pytest.approx(-0.5)
    assert kept.first_token_change == pytest.approx(1.2)
    assert kept.difference_low == report["difference"]["low"] > -0.1
    assert orjson.loads(kept.report) == report


def test_without_rows_nothing_is_claimed() -> None:
    kept = evaluation_of(report_of([]), new_attempt_id(NOW), NOW)
    assert (kept.verdict, kept.rows) == ("not_enough_evidence", 0)
    assert kept.difference is kept.difference_low is kept.retained is kept.cost_change is None


@pytest.mark.parametrize(
    ("difference", "bin_"),
    [(-1.0, 0), (-0.95, 0), (-0.9, 1), (-0.05, 9), (0.0, 10), (0.1, 11), (0.7, 17), (1.0, 19)],
)
def test_a_difference_is_counted_in_its_bin(difference: float, bin_: int) -> None:
    counts = histogram([difference])
    assert (counts.index(1), sum(counts), len(counts)) == (bin_, 1, 20)


# The page.


def test_hostile_texts_stay_texts() -> None:
    found = [measured(1, 0.1, text=HOSTILE), *GOOD[2:20]]
    result = concluded(found)
    report = as_object(result, Gathered(()), a_route(name="forum-<b>reply</b>"))
    shown = page(report, texts_of(result))
    assert "<script" not in shown and "<img" not in shown and "<b>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "{{ 7 * 7 }}" in shown and "49" not in re.findall(r"\{\{.{0,9}", shown)


def test_what_turns_a_text_around_is_spelled_out() -> None:
    result = concluded([measured(1, 0.1, text="paid \u202eton saw"), *GOOD[2:20]])
    shown = page(as_object(result, Gathered(()), a_route()), texts_of(result))
    assert "\u202e" not in shown and "paid \\u202eton saw" in shown


def test_a_primary_that_is_away_is_told_with_what_to_do() -> None:
    found = [replace(one, ceiling=None) for one in GOOD[:30]]
    result = concluded(found)
    report = as_object(result, Gathered(()), a_route(), primary_absence="counts as gone: not asked")
    assert report["sentence"].endswith("to measure it by (the primary counts as gone: not asked)")
    told = "The primary counts as gone: not asked; 30 rows left without it. When it is back, run this again."
    assert told in report["notes"]


def test_texts_are_cut_and_can_be_left_out() -> None:
    result = concluded([measured(1, 0.1, text="x" * 1000), *GOOD[2:20]])
    texts = texts_of(result)
    assert {len(text) for said in texts.values() for text in said.values()} <= {300, *range(60)}
    report = as_object(result, Gathered(()), a_route())
    assert "xxx" in page(report, texts)
    assert "xxx" not in page(report, None)


def test_a_page_needs_nothing_from_elsewhere() -> None:
    shown = page(report_of(GOOD))
    assert not re.search(r"<script|<link|@import|src=|url\(|href=", shown)
    addresses = set(re.findall(r"https?://[^\"\s<]+", shown))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in shown and 'name="viewport"' in shown


def test_the_template_lies_in_the_package() -> None:
    import gateway.learning.evaluation

    assert (Path(gateway.learning.evaluation.__file__).parent / "templates" / "report.html").is_file()


# The plots.

ARMS = {
    "floor": {"estimate": 0.2, "low": 0.1, "high": 0.3},
    "fallback": {"estimate": 0.9, "low": 0.85, "high": 0.95},
    "ceiling": {"estimate": 1.0, "low": 0.97, "high": 1.0},
}
POINTS = [
    {"label": "5+0", "cost": 0.5, "quality": 0.4, "kind": "fallback"},
    {"label": "20+4", "cost": 1.0, "quality": 0.9, "kind": "chosen"},
]
CURVE = [{"examples": n, "quality": {"estimate": q, "low": q - 0.1, "high": q}} for n, q in ((10, 0.5), (20, 0.8))]


def drawn(plot: str) -> ElementTree.Element:
    return ElementTree.fromstring(plot)


@pytest.mark.parametrize(
    "plot",
    [
        pytest.param(plots.arms(ARMS, "chrf"), id="arms"),
        pytest.param(plots.arms({}, "chrf"), id="arms, none"),
        pytest.param(plots.differences([0] * 20, 0.05), id="differences, none"),
        pytest.param(plots.cost_and_quality(POINTS), id="cost and quality"),
        pytest.param(plots.cost_and_quality([]), id="cost and quality, none"),
        pytest.param(plots.curve(CURVE, ARMS), id="curve"),
        pytest.param(plots.curve([], {}), id="curve, none"),
        pytest.param(plots.cost_and_quality([POINTS[0] | {"label": HOSTILE, "cost": 0.0}]), id="a hostile label"),
    ],
)
def test_a_plot_is_valid_xml_with_words_for_who_cannot_see_it(plot: str) -> None:
    root = drawn(plot)
    assert root.get("role") == "img" and root.get("aria-label")
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, 0)) <= height


def test_the_arms_are_where_their_numbers_are() -> None:
    circles = drawn(plots.arms(ARMS, "chrf")).findall(f"{SVG}circle")
    start, end = plots.LEFT, plots.WIDTH - plots.RIGHT
    shares = [(float(circle.get("cx", 0)) - start) / (end - start) for circle in circles]
    assert shares == pytest.approx([0.2, 0.9, 1.0], abs=0.001)
    whisker = next(line for line in drawn(plots.arms(ARMS, "chrf")) if line.get("class") == "fallback")
    assert float(whisker.get("x1", 0)) == pytest.approx(start + 0.85 * (end - start), abs=0.1)


def test_the_bars_are_as_high_as_their_counts_and_red_beyond_the_margin() -> None:
    counts = [4, *[0] * 8, 2, 8, *[0] * 9]
    bars = drawn(plots.differences(counts, 0.05)).findall(f"{SVG}rect")
    heights = [float(bar.get("height", 0)) for bar in bars]
    assert [height / max(heights) * 8 for height in heights] == pytest.approx(counts, abs=0.05)
    assert [bar.get("class") for bar in bars] == ["bad"] * 9 + ["good"] * 11


def test_the_bars_of_a_wider_margin_are_red_from_there_on() -> None:
    bars = drawn(plots.differences([1] * 20, 0.2)).findall(f"{SVG}rect")
    assert [bar.get("class") for bar in bars] == ["bad"] * 8 + ["good"] * 12


def test_twice_the_cost_is_twice_as_far() -> None:
    circles = drawn(plots.cost_and_quality(POINTS)).findall(f"{SVG}circle")
    near, far = (float(circle.get("cx", 0)) - 40 for circle in circles)
    assert far == pytest.approx(2 * near, abs=0.2)


@pytest.mark.parametrize("most", [0.0, 0.0004, 0.03, 0.78, 1.0, 7.0, 95.0, 12_345.0])
def test_ticks_are_round_and_few(most: float) -> None:
    ticks = plots.round_ticks(most)
    assert 2 <= len(ticks) <= 6
    assert ticks[0] == 0 and ticks[-1] >= most
    assert all(float(f"{tick:.3g}") == pytest.approx(tick) for tick in ticks)


def test_a_sweeps_points_tell_the_proposed_one() -> None:
    tried: dict[str, Any] = {"fixed": 5, "similar": 2, "quality": {"estimate": 0.7}, "cost_nanousd": 2e6}
    tried |= {"on_frontier": True, "is_asked": True}
    report = {"sweep": {"tried": [tried | {"is_proposed": True}, tried | {"is_proposed": False}]}}
    assert plots.points_of(report)[0] == {"label": "5+2", "cost": 2.0, "quality": 0.7, "kind": "chosen"}
    assert plots.points_of(report)[1]["kind"] == "fallback"


def test_rows_that_nobody_answered_are_told() -> None:
    report = report_of(GOOD[:20], more_rows=3)
    assert report["rows"]["unanswered"] == 3
    assert any("3 rows not answered" in note for note in report["notes"])


def test_a_prompt_that_no_cache_can_help_says_so() -> None:
    result = concluded(GOOD[:20])
    result = replace(result, subject=replace(result.subject, prices=Prices(PRICE, 400, PRICE)))
    notes = as_object(result, Gathered(()), a_route())["notes"]
    assert any("400 tokens" in note and "cannot help" in note for note in notes)
