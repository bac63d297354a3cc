from datetime import UTC, datetime

import pytest

from gateway.config.routes import Route
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.impact import Impact, impact
from tests.example_routes import BASE, a_fallback, a_primary, a_route, some_routes

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LUNA = a_fallback(model="gpt-6-luna")
ELSEWHERE = a_primary(model="m", base=None)


def hit_by(base: str, *routes: Route) -> Impact:
    configuration = some_routes(*routes)
    return impact(configuration, base, calendar=Calendar(configuration), now=NOW)


@pytest.mark.parametrize(
    ("base", "route", "loses", "serves"),
    [
        pytest.param(BASE, a_route(fallbacks=(LUNA,)), ["primary"], "luna", id="a fine-tune of it"),
        pytest.param("gpt-4o-mini", a_route(fallbacks=(LUNA,)), ["primary"], "luna", id="its alias"),
        pytest.param(
            BASE, a_route(fallbacks=(a_fallback("base", model=BASE),)), ["primary", "base"], None, id="and nobody else"
        ),
        pytest.param(
            "gpt-6-luna", a_route(primary=ELSEWHERE, fallbacks=(LUNA,)), ["luna"], "primary", id="only a fallback"
        ),
        pytest.param(
            "gpt-6-luna", a_route(fallbacks=(LUNA,)), ["luna"], "primary", id="a fallback, while the primary lives"
        ),
    ],
)
def test_who_loses_what_and_who_answers(base: str, route: Route, loses: list[str], serves: str | None) -> None:
    (hit,) = hit_by(base, route).hits
    assert [target.name for target in hit.loses] == loses
    assert (hit.serves.name if hit.serves else None) == serves


def test_a_route_that_does_not_depend_on_it_is_left_out() -> None:
    found = hit_by(BASE, a_route(primary=ELSEWHERE, fallbacks=(LUNA,)))
    assert found.hits == ()
    assert found.bases == ("gpt-6-luna", "m")


def test_today_and_the_day_are_told_apart() -> None:
    (hit,) = hit_by(BASE, a_route(primary=a_primary(model="ft:gpt-4.1-2025-04-14:a:b:c", base="gpt-4.1-2025-04-14"),
                                  fallbacks=(a_fallback("base", model=BASE),))).hits  # fmt: skip
    assert hit.serves is None
    assert hit.serves_today is not None
    assert hit.serves_today.name == "primary"


def test_owners_come_by_name_and_those_without_one_last() -> None:
    owners = [None, "support", "billing"]
    routes = [a_route(name=f"r{i}", owner=owner, fallbacks=(LUNA,)) for i, owner in enumerate(owners)]
    assert [owner for owner, _ in hit_by(BASE, *routes).by_owner()] == ["billing", "support", None]
