from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.config.model_ids import base_of
from gateway.config.routes import ModelDates, Route
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.route_warnings import route_warnings
from gateway.policy.availability import TargetState
from gateway.reasons import Availability
from tests.example_routes import BASE, a_fallback, a_primary, a_provider, a_route, some_routes

NOV_23 = datetime(2026, 11, 23, 12, tzinfo=UTC)
LUNA = a_fallback(model="gpt-6-luna")
SANDBOX = a_provider(name="sandbox", kind="sandbox")


def warned(route: Route, now: datetime = NOV_23, **fields: Any) -> list[str]:
    return list(route_warnings(route, calendar=Calendar(some_routes(route, **fields)), now=now))


@pytest.mark.parametrize(
    ("now", "says"),
    [
        pytest.param(NOV_23, "its primary stops on 2027-01-14, in 52 days (", id="52 days before"),
        pytest.param(datetime(2027, 1, 13, 23, 59, tzinfo=UTC), "stops on 2027-01-14, tomorrow", id="a minute before"),
        pytest.param(datetime(2027, 1, 14, tzinfo=UTC), "its primary stopped on 2027-01-14", id="on the day"),
        pytest.param(datetime(2028, 4, 1, tzinfo=UTC), "its primary stopped on 2027-01-14", id="a year after"),
    ],
)
def test_a_primary_that_stops(now: datetime, says: str) -> None:
    (warning,) = warned(a_route(fallbacks=(LUNA,)), now)
    assert says in warning
    assert BASE in warning
    assert "nobody" not in warning


def test_a_date_that_is_far_away_is_no_trouble_for_who_has_a_fallback() -> None:
    far = {"here": {"m": ModelDates(shutdown=date(2028, 1, 1), source="a mail")}}
    primary = a_primary(model="m", base=None)
    assert warned(a_route(primary=primary, fallbacks=(LUNA,)), lifecycle=far) == []
    (warning,) = warned(a_route(primary=primary, fallbacks=()), lifecycle=far)
    assert warning.startswith("its primary stops on 2028-01-01, in 404 days, and nobody takes over")


@pytest.mark.parametrize(
    ("route", "says"),
    [
        pytest.param(
            a_route(fallbacks=(LUNA, a_fallback("base", model=BASE))),
            "fallback base (gpt-4o-mini-2024-07-18) stops on 2027-01-14, in 52 days, as the primary does",
            id="a fallback that stops with it",
        ),
        pytest.param(
            a_route(primary=a_primary(model="m", base=None), fallbacks=(a_fallback("base", model=BASE),)),
            "fallback base (gpt-4o-mini-2024-07-18) stops on 2027-01-14, in 52 days",
            id="a fallback that stops, of a primary that does not",
        ),
        pytest.param(
            a_route(primary=a_primary(model="ft:m1:a:b:c", base="m1"), fallbacks=(a_fallback(model="m1"),)),
            "shares the primary's base, m1",
            id="a fallback of the same base",
        ),
        pytest.param(
            a_route(primary=None, fallbacks=(a_fallback("base", model=BASE),)),
            "its fallback stops on 2027-01-14, in 52 days, and nobody takes over",
            id="a route without a primary",
        ),
    ],
)
def test_what_is_wrong_with_fallbacks(route: Route, says: str) -> None:
    assert any(says in warning for warning in warned(route))


def test_the_sandbox_has_nothing_to_warn_of() -> None:
    route = a_route(primary=a_primary(provider=SANDBOX), fallbacks=(a_fallback(provider=SANDBOX, model="gpt-6-luna"),))
    assert warned(route) == []


def test_a_date_that_sources_disagree_on_is_shown() -> None:
    row = {"here": {BASE: ModelDates(shutdown=date(2027, 3, 1), source="a mail")}}
    assert "its primary stops 2027-03-01, but curated says 2027-01-14" in warned(
        a_route(fallbacks=(LUNA,)), lifecycle=row
    )


@pytest.mark.parametrize(
    ("route", "says"),
    [
        pytest.param(
            a_route(primary=a_primary(model="m", base=None), fallbacks=(a_fallback("mini", model="gpt-4o-mini"),)),
            "fallback mini is the alias gpt-4o-mini; its dated snapshot gpt-4o-mini-2024-07-18 stops 2027-01-14",
            id="a fallback, of a primary that does not stop",
        ),
        pytest.param(
            a_route(fallbacks=(a_fallback("gpt-4o-mini", model="gpt-4o-mini"),)),
            "fallback gpt-4o-mini is an alias; its dated snapshot gpt-4o-mini-2024-07-18 stops 2027-01-14, "
            "as the primary does",
            id="a fallback that is called as its alias",
        ),
        pytest.param(
            a_route(primary=a_primary(model="gpt-4o-mini", base=None), fallbacks=(LUNA,)),
            "its primary is the alias gpt-4o-mini; its dated snapshot gpt-4o-mini-2024-07-18 stops 2027-01-14",
            id="a primary",
        ),
    ],
)
def test_an_alias_whose_snapshot_stops(route: Route, says: str) -> None:
    assert says in warned(route)


@pytest.mark.parametrize(
    ("model", "lifecycle"),
    [
        pytest.param("gpt-6-terra", {}, id="a model that no snapshot is known of"),
        pytest.param("mistral-large-latest", {}, id="a name that is promised to move on"),
        pytest.param(
            "gpt-4o-mini", {"here": {"gpt-4o-mini-2026-01-01": ModelDates(source="a mail")}}, id="a snapshot stays"
        ),
        pytest.param(
            "gpt-4o-mini", {"here": {"gpt-4o-mini": ModelDates(source="a mail")}}, id="the operator says that it stays"
        ),
    ],
)
def test_an_alias_that_may_stay_is_not_warned_of(model: str, lifecycle: Any) -> None:
    route = a_route(primary=a_primary(model=model, base=None), fallbacks=(LUNA,))
    assert warned(route, lifecycle=lifecycle) == []


def test_what_is_gone_already_is_said_first() -> None:
    route = a_route(fallbacks=(LUNA,))
    seen = {("here", target.model): TargetState(Availability.GONE, 1, NOV_23) for target in route.targets}
    first, second, *_ = route_warnings(route, calendar=Calendar(some_routes(route)), now=NOV_23, states=seen)
    assert first == "its primary is gone (since 2026-11-23)"
    assert second == "fallback luna (gpt-6-luna) is gone (since 2026-11-23)"


@pytest.mark.parametrize(
    ("model", "questioned"),
    [
        pytest.param("ft:gpt-4o-mini-2024-07-18:acme::A1", False, id="a base that sources name"),
        pytest.param("ft:gpt-4O-mini-2024-07-18:acme::A1", True, id="a slip in the base's name"),
        pytest.param("FT:gpt-4o-mini-2024-07-18:acme::A1", True, id="no prefix of OpenAI's"),
    ],
)
def test_a_fine_tune_whose_base_nobody_knows_is_questioned(model: str, questioned: bool) -> None:
    route = a_route(primary=a_primary(model=model, base=base_of(model)))
    assert any("is the id right?" in sentence for sentence in warned(route)) is questioned
