from datetime import UTC, date, datetime

import pytest

from gateway.config.routes import Cutover, Prompt, Route
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.forecast import Forecast, Horizon, forecast
from gateway.lifecycle.forecast_evidence import Proof, evidence_on
from gateway.policy.availability import TargetState
from gateway.policy.lifecycle import UNKNOWN_DATES
from gateway.providers.abilities import Abilities
from gateway.providers.prices import PriceBook
from gateway.reasons import Availability
from tests.example_routes import FINE_TUNE, a_fallback, a_route, some_routes

NOV_23 = datetime(2026, 11, 23, 12, tzinfo=UTC)
SHUTDOWN = datetime(2027, 1, 14, tzinfo=UTC)
CAREFUL = a_route(cutover=Cutover(days_before=14, require_evidence=True))


def foresee(route: Route, now: datetime, availability: Availability | None) -> Forecast:
    routes = some_routes(route)
    states = {} if availability is None else {("here", FINE_TUNE): TargetState(availability, 1, now)}
    return forecast(
        routes,
        Horizon.of_days(now, 90),
        calendar=Calendar(routes),
        book=PriceBook.for_routes(routes, now.date()),
        abilities=Abilities({}),
        states=states,
    )


@pytest.mark.parametrize(
    ("route", "now", "seen", "waits"),
    [
        pytest.param(CAREFUL, NOV_23, None, True, id="before the day"),
        pytest.param(CAREFUL, NOV_23, Availability.AVAILABLE, True, id="before the day, and seen to live"),
        pytest.param(CAREFUL, SHUTDOWN, None, False, id="on the day"),
        pytest.param(CAREFUL, NOV_23, Availability.GONE, False, id="gone before it"),
        pytest.param(a_route(cutover=Cutover(days_before=14)), NOV_23, None, False, id="no evidence asked for"),
    ],
)
def test_a_move_waits_for_evidence_only_while_the_primary_answers(
    route: Route, now: datetime, seen: Availability | None, waits: bool
) -> None:
    found = foresee(route, now, seen)
    evidence = found.evidence_on(found.routes[0])
    assert evidence is not None
    assert (evidence.waits, evidence.proof) == (waits, Proof.NEVER)
    assert evidence.dates.shutdown == date(2027, 1, 14)


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(a_route(primary=None), id="no primary to keep up with"),
        pytest.param(a_route(fallbacks=()), id="no fallback"),
    ],
)
def test_where_nothing_can_be_evaluated_there_is_no_evidence(route: Route) -> None:
    assert evidence_on(route, (), UNKNOWN_DATES) is None


def test_a_prompt_whose_pack_is_not_here_has_no_verdict() -> None:
    prompt = Prompt(version="0123456789ab", awaited_pack="sha256:" + "0" * 64)
    evidence = evidence_on(a_route(fallbacks=(a_fallback(prompt=prompt),)), (), UNKNOWN_DATES)
    assert evidence is not None
    assert evidence.proof is Proof.NO_PACK
