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


def was(state: Standing, *, age_s: float = 3600, config: str = "a", config_at: datetime = EVE) -> RouteState:
    return RouteState(state, 4, DAY - timedelta(seconds=age_s), config, config_at)


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
    ("before", "kind", "waits"),
    [
        pytest.param(was(LUNA, age_s=59), EventKind.RETURN, True, id="back within a minute: wait"),
        pytest.param(was(LUNA, age_s=60), EventKind.RETURN, False, id="back after a minute"),
        pytest.param(was(PRIMARY, age_s=1), EventKind.CUTOVER, False, id="away from what cannot answer: at once"),
        pytest.param(was(LUNA, age_s=1), EventKind.COMMANDED, False, id="people wait for nothing"),
    ],
)
def test_no_route_goes_back_and_forth_within_a_minute(before: RouteState, kind: EventKind, waits: bool) -> None:
    assert must_wait(before, kind, DAY) is waits


@pytest.mark.parametrize(
    ("before", "decides"),
    [
        pytest.param(None, True, id="nobody has decided yet"),
        pytest.param(was(PRIMARY, config="mine", config_at=DAY), True, id="the same configuration"),
        pytest.param(
            was(PRIMARY, config="old", config_at=EVE), True, id="an older configuration decided: ours is newer"
        ),
        pytest.param(was(PRIMARY, config="new", config_at=DAY + timedelta(hours=1)), False, id="a newer one decided"),
    ],
)
def test_a_replica_with_an_older_configuration_leaves_the_decision_alone(
    before: RouteState | None, decides: bool
) -> None:
    assert may_decide(before, "mine", DAY) is decides


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
