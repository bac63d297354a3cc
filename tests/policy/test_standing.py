"""Who answers a route by what is agreed on, and which event a change of that is."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gateway.config.routes import Cutover, Route, Target
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates
from gateway.policy.planner import Command, Observed, Pin, plan
from gateway.policy.standing import RouteState, Standing, change, may_decide, must_wait, standing
from gateway.reasons import Availability, EventKind, Reason
from tests.example_routes import a_fallback, a_primary, a_route

DAY = datetime(2027, 1, 14, tzinfo=UTC)
EVE = DAY - timedelta(minutes=1)
STOPS = Dates(shutdown=date(2027, 1, 14))
GONE, NO_ACCESS = Observed(Availability.GONE), Observed(Availability.NO_ACCESS)
BY_HAND = Command("luna", "a trial", "kim", EVE)
RAMP = Cutover(days_before=14, ramp_days=7)


def stands(
    now: datetime,
    *,
    seen: dict[str, Observed] | None = None,
    dates: Dates = STOPS,
    command: Command | None = None,
    **route: Any,
) -> Standing:
    made: Route = a_route(**route)

    def dates_of(target: Target) -> Dates:
        return dates if target.name == "primary" else UNKNOWN_DATES

    def observe(target: Target) -> Observed:
        return (seen or {}).get(target.name, Observed())

    return standing(plan(made, observe=observe, dates_of=dates_of, now=now, command=command), dates, now)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param({"now": EVE}, Standing("primary", Reason.PRIMARY), id="the last minute is the primary's"),
        pytest.param({"now": DAY}, Standing("luna", Reason.SHUTDOWN_REACHED), id="at midnight UTC it has moved"),
        pytest.param(
            {"now": DAY - timedelta(days=17), "cutover": RAMP},
            Standing("luna", Reason.DEPRECATED_RAMP),
            id="on its ramp it has begun to move",
        ),
        pytest.param({"now": EVE, "seen": {"primary": GONE}}, Standing("luna", Reason.GONE), id="gone before its date"),
        pytest.param(
            {"now": EVE, "seen": {"primary": NO_ACCESS}}, Standing("luna", Reason.NO_ACCESS), id="closed to us"
        ),
        pytest.param(
            {"now": DAY, "fallbacks": ()},
            Standing("primary", Reason.PRIMARY, refused=Reason.SHUTDOWN_REACHED),
            id="past its date and nobody else: it is called on, which is a refusal to move",
        ),
        pytest.param(
            {"now": DAY, "seen": {"luna": GONE}},
            Standing("primary", Reason.PRIMARY, refused=Reason.SHUTDOWN_REACHED),
            id="past its date and the fallback is gone",
        ),
        pytest.param(
            {"now": EVE, "fallbacks": (), "seen": {"primary": GONE}},
            Standing(None, Reason.GONE, refused=Reason.GONE),
            id="gone and nobody else: nobody can answer",
        ),
        pytest.param(
            {"now": DAY, "cutover": Cutover(at="gone")},
            Standing("primary", Reason.PRIMARY),
            id="a route that stays until it is gone is not refused anything by its date",
        ),
        pytest.param({"now": EVE, "primary": None}, Standing("luna", Reason.NO_PRIMARY), id="not trained yet"),
        pytest.param({"now": EVE, "command": BY_HAND}, Standing("luna", Reason.COMMANDED), id="moved by hand"),
        pytest.param(
            {"now": DAY, "command": Command("primary", "wait", "kim", EVE)},
            Standing("primary", Reason.COMMANDED),
            id="held on its primary by hand, past its date",
        ),
        pytest.param(
            {"now": EVE, "command": BY_HAND, "seen": {"luna": GONE}},
            Standing("primary", Reason.PRIMARY),
            id="commanded to one that is gone: passed over",
        ),
    ],
)
def test_who_answers_by_what_is_agreed_on(situation: dict[str, Any], expected: Standing) -> None:
    assert stands(**situation) == expected


PRIMARY = Standing("primary", Reason.PRIMARY)
LUNA = Standing("luna", Reason.GONE)
DATED = Standing("luna", Reason.SHUTDOWN_REACHED)
RAMPING = Standing("luna", Reason.DEPRECATED_RAMP)
COMMANDED = Standing("luna", Reason.COMMANDED)
REFUSED = Standing("primary", Reason.PRIMARY, refused=Reason.SHUTDOWN_REACHED)
NOBODY = Standing(None, Reason.GONE, refused=Reason.GONE)


def was(state: Standing, *, age_s: float = 3600) -> RouteState:
    return RouteState(state, 4, DAY - timedelta(seconds=age_s), "a")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, PRIMARY, None, id="a route begins on its primary: no news"),
        pytest.param(None, Standing("luna", Reason.NO_PRIMARY), None, id="a route begins untrained: no news"),
        pytest.param(None, DATED, EventKind.CUTOVER, id="a route begins past its date"),
        pytest.param(None, REFUSED, EventKind.REFUSAL, id="a route begins past its date with nobody else"),
        pytest.param(was(PRIMARY), LUNA, EventKind.CUTOVER, id="the primary is gone"),
        pytest.param(was(LUNA), PRIMARY, EventKind.RETURN, id="the primary is back"),
        pytest.param(was(LUNA), DATED, None, id="gone, and now its date has come as well: nothing moves"),
        pytest.param(was(PRIMARY), RAMPING, EventKind.CUTOVER, id="the ramp begins"),
        pytest.param(was(RAMPING), DATED, EventKind.CUTOVER, id="the ramp ends"),
        pytest.param(was(LUNA), Standing("terra", Reason.GONE), EventKind.CUTOVER, id="the fallback is gone, too"),
        pytest.param(was(PRIMARY), COMMANDED, EventKind.COMMANDED, id="moved by hand"),
        pytest.param(was(COMMANDED), PRIMARY, EventKind.COMMANDED, id="given back"),
        pytest.param(was(LUNA), COMMANDED, EventKind.COMMANDED, id="held by hand where it is"),
        pytest.param(was(PRIMARY), REFUSED, EventKind.REFUSAL, id="its date has come and nobody else can answer"),
        pytest.param(was(REFUSED), REFUSED, None, id="a refusal is told once"),
        pytest.param(was(REFUSED), DATED, EventKind.CUTOVER, id="a fallback came to the rescue"),
        pytest.param(was(REFUSED), NOBODY, EventKind.REFUSAL, id="refused before, and now nobody is left"),
        pytest.param(was(NOBODY), LUNA, EventKind.CUTOVER, id="answered again by a fallback"),
        pytest.param(was(NOBODY), PRIMARY, EventKind.RETURN, id="answered again by the primary"),
        pytest.param(was(PRIMARY), PRIMARY, None, id="nothing happened"),
    ],
)
def test_which_event_a_change_is(before: RouteState | None, after: Standing, expected: EventKind | None) -> None:
    assert change(before, after) is expected


@pytest.mark.parametrize(
    ("before", "after", "waits"),
    [
        pytest.param(was(LUNA, age_s=59), PRIMARY, True, id="back within a minute: wait"),
        pytest.param(was(LUNA, age_s=60), PRIMARY, False, id="back after a minute"),
        pytest.param(was(PRIMARY, age_s=1), LUNA, False, id="away from what cannot answer: at once"),
        pytest.param(was(PRIMARY, age_s=1), COMMANDED, False, id="people wait for nothing"),
        pytest.param(was(COMMANDED, age_s=1), PRIMARY, False, id="nor when they give it back"),
        pytest.param(was(REFUSED, age_s=1), PRIMARY, True, id="no longer refused, says somebody whose clock is behind"),
        pytest.param(was(DATED, age_s=1), RAMPING, True, id="on its ramp again, says somebody whose clock is behind"),
        pytest.param(was(REFUSED, age_s=1), DATED, False, id="a fallback came to the rescue"),
        pytest.param(was(LUNA, age_s=-1800), PRIMARY, False, id="the clock was set back half an hour"),
        pytest.param(None, PRIMARY, False, id="nothing was ever said"),
    ],
)
def test_no_route_goes_back_and_forth_within_a_minute(before: RouteState | None, after: Standing, waits: bool) -> None:
    assert must_wait(before, after, DAY) is waits


OLD, MINE, NEW = ("old", EVE), ("mine", DAY), ("new", DAY + timedelta(hours=1))


@pytest.mark.parametrize(
    ("living", "decides"),
    [
        pytest.param((), True, id="nobody was heard of"),
        pytest.param((MINE,), True, id="there is this one only"),
        pytest.param((OLD, MINE), True, id="the others have an older one"),
        pytest.param((OLD, MINE, NEW), False, id="one has a newer one"),
        pytest.param((OLD, ("mine", NEW[1])), True, id="another with the same was started later"),
    ],
)
def test_the_newest_configuration_in_force_decides(living: tuple[tuple[str, datetime], ...], decides: bool) -> None:
    assert may_decide(living, *MINE) is decides


def test_a_commanded_plan_keeps_everybody_else_behind_it() -> None:
    route = a_route(fallbacks=(a_fallback("luna"), a_fallback("terra")))
    made = plan(
        route,
        observe=lambda _: Observed(),
        dates_of=lambda _: UNKNOWN_DATES,
        now=EVE,
        command=Command("terra", "", "kim", EVE),
    )
    assert [step.target.name for step in made.steps] == ["terra", "primary", "luna"]
    assert [(skip.target.name, skip.reason) for skip in made.skipped] == [("primary", Reason.COMMANDED)]


def test_a_command_is_over_when_it_expires() -> None:
    command = Command("luna", "a trial", "kim", EVE, expires_at=DAY)
    assert stands(EVE, command=command).reason is Reason.COMMANDED
    assert stands(DAY, command=command, dates=UNKNOWN_DATES) == PRIMARY


def test_a_command_for_a_target_that_a_reload_removed_is_ignored() -> None:
    assert stands(EVE, command=Command("removed", "", "kim", EVE)) == PRIMARY


def test_a_pin_outranks_a_command() -> None:
    made = plan(
        a_route(primary=a_primary()),
        observe=lambda _: Observed(),
        dates_of=lambda _: UNKNOWN_DATES,
        now=EVE,
        pin=Pin(target="primary"),
        command=BY_HAND,
    )
    assert [step.target.name for step in made.steps] == ["primary"]
