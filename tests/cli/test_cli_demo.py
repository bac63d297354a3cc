"""``gateway demo``: its calendar, what its screen shows of a moment, and how ledger and bill are compared."""

import io
import json
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from fake_clock import FakeClock
from rich.console import Console, RenderableType

from gateway.cli import demo_ending as ending
from gateway.cli import demo_story as story
from gateway.cli import demo_view as view
from gateway.cli.demo_clock import AcceleratedClock
from gateway.cli.demo_scene import RouteNow, Scene, Told, costs_in, first_seen, probes_in, route_now
from gateway.cli.demo_stage import Stage
from gateway.cli.demo_tellers import Painter
from gateway.cli.demo_traffic import Answer, Asked
from gateway.config.loader import load
from gateway.errors import ConfigError
from gateway.policy.lifecycle import Dates, share_moved

STARTS = datetime(2026, 9, 26, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def accelerated(seconds: float = 128.0) -> tuple[AcceleratedClock, FakeClock]:
    real = FakeClock(STARTS + story.DAYS * DAY)
    return AcceleratedClock(real, days=story.DAYS, seconds=seconds), real


# The clock.


def test_the_calendar_waits_for_the_beginning() -> None:
    clock, real = accelerated()
    real.advance(5)
    assert clock.now() == STARTS


def test_days_pass_in_seconds_and_then_at_the_usual_pace() -> None:
    clock, real = accelerated(seconds=128.0)
    clock.begin()
    real.advance(2)
    assert clock.now() == STARTS + DAY
    real.advance(126)
    assert clock.now() == STARTS + 64 * DAY
    real.advance(30)
    assert clock.now() == STARTS + 64 * DAY + timedelta(seconds=30)
    assert clock.speed == 43_200


def test_it_never_runs_ahead_of_the_real_day() -> None:
    clock, real = accelerated()
    clock.begin()
    for _ in range(300):
        real.advance(1)
        assert clock.now() <= real.now()


async def test_durations_and_pauses_are_real() -> None:
    clock, real = accelerated()
    clock.begin()
    before = real.monotonic()
    real.advance(7)
    assert clock.monotonic() - before == 7


# The story.


def test_the_ramp_is_the_planners_own(tmp_path: Path) -> None:
    days = story.story_from(STARTS)
    cutover = loaded(tmp_path).routes.routes["forum-reply"].cutover
    dates = Dates(shutdown=days.shutdown)
    assert share_moved(dates, cutover, days.ramp_from) == 0.0
    assert share_moved(dates, cutover, days.ramp_from + (days.ramp_until - days.ramp_from) / 2) == pytest.approx(0.5)
    assert share_moved(dates, cutover, days.ramp_until) == 1.0
    assert days.ramp_until < days.dies_at


def test_the_days_come_in_their_order() -> None:
    days = story.story_from(STARTS)
    marks = [mark.at for mark in days.marks]
    assert [days.starts, *marks, days.ends] == sorted([days.starts, *marks, days.ends])
    assert (days.day(STARTS), days.day(days.ends), days.day(days.ends + DAY)) == (1, 64, 64)


def loaded(directory: Path) -> Any:
    for route, prompt in story.PROMPTS.items():
        (directory / f"{route}.md").write_text(prompt)
    file = directory / "routes.yaml"
    file.write_text(json.dumps(story.routes_document("http://127.0.0.1:8081")))
    return load(file, environ={})


def test_its_routes_can_be_loaded_without_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.warnings == ()
    assert set(found.routes.routes) == set(story.PROMPTS)


# What is seen.


def answer(**fields: Any) -> Answer:
    usual = Answer(STARTS, 100.0, "primary", "primary", story.PLANNED, 1, 80.0)
    return replace(usual, **fields)


def asked(*answers: Answer) -> Asked:
    found = Asked()
    for each in answers:
        found.lately.append(each)
        found.answered[each.served_by] += 1
    return found


LISTED = {"id": "forum-reply", "served_by": "fallback", "served_model": "gpt-6-luna", "reason": "deprecated_ramp"}


def test_the_share_is_of_the_latest_answers_alone() -> None:
    moved = {"served_by": "fallback", "reason": "deprecated_ramp", "model": "gpt-6-luna"}
    callers = asked(answer(at=10.0, **moved), answer(at=99.0), answer(at=99.5, **moved), answer(at=99.6, ms=90.0))
    row = route_now(LISTED, story.PLANNED, callers, {"primary": 0.002, "fallback": 0.004}, at=100.0)
    assert row.share == pytest.approx(1 / 3)
    assert (row.answered, row.median_ms) == (4, 80.0)
    assert (row.primary_usd, row.fallback_usd) == (1.0, 2.0)


def test_nothing_is_said_where_nothing_was_seen() -> None:
    row = route_now(LISTED, story.PLANNED, asked(), {"primary": 0.0, "fallback": 0.0}, at=100.0)
    assert (row.share, row.median_ms, row.primary_usd, row.fallback_usd) == (None, None, None, None)


def test_costs_and_looks_are_read_from_the_metrics_page() -> None:
    page = (
        "# TYPE gateway_cost_usd_total counter\n"
        'gateway_cost_usd_total{model="a",provider="p",route="r",served_by="primary"} 0.25\n'
        'gateway_cost_usd_total{model="b",provider="p",route="r",served_by="fallback"} 0.5\n'
        'gateway_cost_usd_total{model="c",provider="p",route="r",served_by="fallback"} 1.0\n'
        'gateway_model_probes_total{outcome="gone",provider="p"} 1.0\n'
        'gateway_model_probes_total{outcome="gone",provider="q"} 2.0\n'
    )
    assert costs_in(page) == {"r": {"primary": 0.25, "fallback": 1.5}}
    assert probes_in(page) == {"gone": 3.0}


def test_a_reason_is_told_once_and_the_usual_ones_never() -> None:
    seen: set[tuple[str, str]] = set()
    met = answer(served_by="fallback", reason="suspect", model="gpt-6-luna", attempts=2)
    callers = {"ticket-triage": asked(answer(), met, met), "tone-rewrite": asked(answer(reason="no_primary"))}
    (told,) = first_seen(seen, callers)
    assert told.text == ("ticket-triage: first answer by gpt-6-luna because: suspect, in the same request (2 attempts)")
    assert first_seen(seen, callers) == []


# What is shown.


ON_THE_RAMP = RouteNow(
    "forum-reply", story.PLANNED, "gpt-6-luna", "fallback", "deprecated_ramp", 0.54, 412, 0, 0.06, 0.45, 120
)
GONE = RouteNow("ticket-triage", story.SURPRISE, "gpt-6-luna", "fallback", "gone", 1.0, 300, 0, 0.02, 0.4, 310)
LIVING = RouteNow("invoice-extract", story.LIVING, story.LIVING, "primary", "primary", 0.0, 150, 0, 0.17, None, 180)
SCENE = Scene(
    now=STARTS + 38 * DAY,
    story=story.story_from(STARTS),
    url="http://127.0.0.1:8080",
    speed=43_200,
    routes=(ON_THE_RAMP, GONE, LIVING),
    told=(Told(STARTS + 36 * DAY, "vendor", "vanished", f"retires {story.SURPRISE} without a word"),),
    sent=870,
    failed=0,
)


def text_of(shown: RenderableType, width: int = 200) -> str:
    file = io.StringIO()
    Console(width=width, no_color=True, force_terminal=False, file=file).print(shown)
    return file.getvalue()


@pytest.mark.parametrize(
    ("width", "seen"),
    [
        pytest.param(
            120, ("54%", "412", "0.060", "120 ms", "12 Nov moved"), id="a wide terminal shows costs and latency"
        ),
        pytest.param(80, ("54%", "▲ moved"), id="a narrow one shows who answers and why"),
    ],
)
def test_the_screen_tells_the_moment(width: int, seen: tuple[str, ...]) -> None:
    shown = text_of(view.screen(SCENE, width), width)
    for part in ("forum-reply", "fine-tune, gpt-6-luna", "deprecated_ramp", "gone", "day 39 of 64", "0 failed", *seen):
        assert part in shown, part
    assert "127.0.0.1:8080/ui" in shown
    assert max(map(len, shown.splitlines())) <= width


def test_the_screen_is_always_as_high() -> None:
    early = replace(SCENE, now=STARTS, told=())
    many = replace(SCENE, told=SCENE.told * 40)
    assert len({text_of(view.screen(scene)).count("\n") for scene in (early, SCENE, many)}) == 1


def test_what_is_told_is_told_to_its_end_on_a_narrow_terminal() -> None:
    told = Told(STARTS, "gateway", "notice", "1 fine-tune of a-base-with-a-long-name stops at sandbox in 46 days: one")
    lines = text_of(view.events([told, told], 60), 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert [line.split()[-1] for line in lines if line.strip()] == ["stops", "one"] * 2
    assert [line.startswith(" " * view.SAID) for line in lines[:4]] == [False, True] * 2


def test_failures_are_seen() -> None:
    assert "3 failed" in text_of(view.screen(replace(SCENE, failed=3)))
    assert view.scene_line(replace(SCENE, failed=3)).startswith("2026-11-03  862 answered, 3 failed: forum-reply 54%")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        pytest.param(story.PLANNED, "ft:gpt-4o-mini", id="of a fine-tune its base, without the date"),
        pytest.param("gpt-6-luna", "gpt-6-luna", id="of any other model its name"),
    ],
)
def test_models_have_short_names(model: str, name: str) -> None:
    assert view.short(model) == name


def test_the_picture_asks_nobody_for_a_font() -> None:
    svg = view.picture(SCENE, "gateway demo")
    assert svg.startswith("<svg")
    assert "@font-face" not in svg
    assert "url(http" not in svg.replace('"', "")


def test_the_picture_is_of_the_moment_when_one_ramps_and_another_has_vanished() -> None:
    class Nobody:
        def told(self, told: Told) -> None: ...

        def scene(self, scene: Scene) -> None: ...

    painter = Painter(Nobody())
    for day in (1, 20, 38, 45, 60):
        painter.scene(replace(SCENE, now=STARTS + day * DAY))
    assert painter.best is not None
    assert painter.best.now == STARTS + 38 * DAY


# The end.


def row(**fields: Any) -> dict[str, Any]:
    usual = {
        "attempt_id": "0193-aa",
        "input_tokens": 10,
        "cached_input_tokens": 0,
        "output_tokens": 5,
        "cost_nanousd": 9,
    }
    live = {"kind": "live", "status": 200, "outcome": "ok", "route": "r", "role": "primary", "model_asked": "m"}
    return {**usual, **live, **fields}


@pytest.mark.parametrize(
    ("rows", "bill", "said"),
    [
        pytest.param([row()], [row(attempt_id="0193aa")], None, id="equal rows agree, however the id is written"),
        pytest.param([], [row()], "billed and has no row", id="a call without a row is found"),
        pytest.param([row()], [], "was not billed", id="a row without a call is found"),
        pytest.param([row()], [row(cost_nanousd=10)], "cost_nanousd is 9 in", id="a nano-dollar is a difference"),
        pytest.param([row()], [row(), row()], "billed twice", id="what is billed twice is found"),
    ],
)
def test_ledger_and_bill_are_compared_row_by_row(
    rows: list[Mapping[str, Any]], bill: list[Mapping[str, Any]], said: str | None
) -> None:
    found = ending.differences(rows, bill)
    assert (said is None and found == ()) or (said is not None and said in found[0])


def measured(**fields: Any) -> ending.Measured:
    usual = ending.Measured(100, 50, (), 1, 101, 101, (), {"m": 1}, 0, ending.costs([row(), row(cost_nanousd=11)]))
    return replace(usual, **fields)


@pytest.mark.parametrize(
    ("fields", "is_well"),
    [
        pytest.param({}, True, id="nothing failed and the bill agrees"),
        pytest.param({"failures": ("forum-reply: 500",)}, False, id="a failed request is not well"),
        pytest.param({"differing": ("x",)}, False, id="a row that differs is not well"),
    ],
)
def test_all_is_well_only_if_nothing_failed_and_the_bill_agrees(fields: dict[str, Any], is_well: bool) -> None:
    assert measured(**fields).is_well is is_well
    assert ending.document(measured(**fields))["is_well"] is is_well


def test_the_summary_says_what_was_measured_and_what_comes_next() -> None:
    lines = "\n".join(ending.summary(measured(), "http://127.0.0.1:8080", keeps=False))
    assert "100 requests, 50 of them streams: 0 failed." in lines
    assert "1 request to m" in lines
    assert "101 rows" in lines
    assert "$0.000  on m (2 requests)" in lines
    assert "gateway init --from openai" in lines
    assert "/ui shows it" in "\n".join(ending.summary(measured(), "http://127.0.0.1:8080", keeps=True))


def test_the_summary_fits_a_narrow_terminal() -> None:
    lines = ending.summary(measured(), "http://127.0.0.1:8080", keeps=False, typed=".venv/bin/gateway")
    assert "  .venv/bin/gateway demo --keep             the same, and /ui stays open at the end" in lines
    narrow = ending.fitted(lines, 60)
    assert max(map(len, narrow)) <= 60
    assert " ".join(" ".join(narrow).split()) == " ".join(" ".join(lines).split())


def test_only_callers_requests_count_as_dead_calls() -> None:
    assert ending.dead_calls([row(status=404), row(status=404, kind="probe"), row()]) == {"m": 1}


# The command.


def test_a_port_that_is_taken_is_said_with_the_option(tmp_path: Path) -> None:
    clock, _ = accelerated()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*--sandbox-port"):
            Stage(tmp_path, clock, port=None, sandbox_port=port)


def test_help_says_what_it_is_and_how_it_ends(run: Run) -> None:
    said = run("demo", "--help").out
    for part in ("--fast", "--keep", "--json", "--picture", "Exit codes", "no key"):
        assert part in said, part
