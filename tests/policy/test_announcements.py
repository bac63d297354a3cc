from datetime import date, timedelta
from typing import Any

import pytest

from gateway.config.routes import Cutover, Routes, Target
from gateway.policy.announcements import BaseDate, RouteLine, base_dates, due_notices
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates
from gateway.policy.planner import FRESH, Observed
from gateway.reasons import Availability
from tests.example_routes import a_fallback, a_primary, a_provider, a_route, some_routes

END = date(2027, 1, 14)
MINI, BIG = "gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14"
GONE = Observed(Availability.GONE)


def a_base(**fields: Any) -> BaseDate:
    lines = (RouteLine("forum-reply", "support", "primary", f"ft:{MINI}:acme:f:A1", "gpt-6-luna"),)
    given = {"provider": "openai", "kind": "openai", "base": MINI, "dates": Dates(shutdown=END), "shutdown": END}
    return BaseDate(**given | {"routes": lines} | fields)


@pytest.mark.parametrize(
    ("days_before", "expected"),
    [
        pytest.param(91, None, id="91 days before, nothing is due"),
        pytest.param(90, (90, 90), id="90 days before, the first notice"),
        pytest.param(
            52, (90, 52), id="a gateway that starts at 52 days gives the first one late, with the true number"
        ),
        pytest.param(31, (90, 31), id="31 days before, still the first"),
        pytest.param(30, (30, 30), id="30 days before"),
        pytest.param(8, (30, 8), id="8 days before"),
        pytest.param(7, (7, 7), id="7 days before"),
        pytest.param(2, (7, 2), id="2 days before"),
        pytest.param(1, (1, 1), id="the day before"),
        pytest.param(0, None, id="on the day it is no longer served, so nothing is left to be told in time"),
        pytest.param(-1, None, id="after the day"),
    ],
)
def test_which_notice_is_due(days_before: int, expected: tuple[int, int] | None) -> None:
    due = due_notices([a_base()], END - timedelta(days=days_before))
    assert [(notice.threshold, notice.days_left) for notice in due] == ([expected] if expected else [])


def test_over_a_hundred_days_each_threshold_makes_one_key() -> None:
    keys = [
        notice.once_key
        for days in range(100, -10, -1)
        for notice in due_notices([a_base()], END - timedelta(days=days))
    ]
    assert list(dict.fromkeys(keys)) == [f"notice:openai:{MINI}:2027-01-14:{days}" for days in (90, 30, 7, 1)]


def test_a_date_that_moves_is_told_of_anew() -> None:
    today = date(2026, 11, 23)
    keys = {due_notices([a_base(shutdown=day)], today)[0].once_key for day in (END, END + timedelta(days=1))}
    assert len(keys) == 2


def _dates(by_model: dict[str, Dates]) -> Any:
    return lambda target: by_model.get(target.base or target.model, UNKNOWN_DATES)


def _fine_tune(number: int, base: str = MINI, **fields: Any) -> Target:
    return a_primary(model=f"ft:{base}:acme:x:{number}", base=base, **fields)


def forty_routes() -> Routes:
    """Return forty fine-tunes of two bases, of three owners, two of them without a fallback."""
    routes = []
    for number in range(40):
        base = MINI if number < 30 else BIG
        owner = ("support", "billing", None)[number % 3]
        fallbacks = () if number in (3, 4) else (a_fallback(),)
        routes.append(
            a_route(name=f"task-{number:02}", owner=owner, primary=_fine_tune(number, base), fallbacks=fallbacks)
        )
    return some_routes(*routes)


def test_forty_fine_tunes_of_two_bases_are_two_notices() -> None:
    both = {MINI: Dates(shutdown=END), BIG: Dates(shutdown=END)}
    bases = base_dates(forty_routes(), _dates(both))
    assert [(base.provider, base.base, base.shutdown, len(base.routes)) for base in bases] == [
        ("here", BIG, END, 10),
        ("here", MINI, END, 30),
    ]
    assert bases[1].routes[3] == RouteLine("task-03", "support", "primary", f"ft:{MINI}:acme:x:3", None)
    assert bases[1].routes[5] == RouteLine("task-05", None, "primary", f"ft:{MINI}:acme:x:5", "model-of-luna")


def test_one_base_at_two_providers_or_on_two_days_is_two() -> None:
    other = a_provider(name="there")
    routes = some_routes(
        a_route(name="a", primary=_fine_tune(1)),
        a_route(name="b", primary=_fine_tune(2, provider=other)),
        a_route(name="c", primary=_fine_tune(3)),
    )

    def dates_of(target: Target) -> Dates:
        ends = {"1": END, "2": END, "3": END - timedelta(days=5)}
        return Dates(shutdown=ends[target.model[-1]]) if target.base else UNKNOWN_DATES

    found = [
        (base.shutdown, base.provider, [line.route for line in base.routes]) for base in base_dates(routes, dates_of)
    ]
    assert found == [(END - timedelta(days=5), "here", ["c"]), (END, "here", ["a"]), (END, "there", ["b"])]


LUNA, TERRA = a_fallback("luna"), a_fallback("terra")
STOPS = Dates(shutdown=END)


@pytest.mark.parametrize(
    ("route", "dates", "seen", "expected"),
    [
        pytest.param({}, {}, {}, {"primary": "model-of-luna"}, id="the first fallback takes over"),
        pytest.param({"fallbacks": ()}, {}, {}, {"primary": None}, id="without a fallback, nobody"),
        pytest.param({"fallback_on": frozenset()}, {}, {}, {"primary": None}, id="a route that would rather fail"),
        pytest.param(
            {"fallback_on": frozenset({"timeout"})},
            {},
            {},
            {"primary": "model-of-luna"},
            id="a date needs no word of fallback_on, only that there is any",
        ),
        pytest.param(
            {"cutover": Cutover(at="gone")}, {}, {}, {"primary": "model-of-luna"}, id="once it is seen to be gone"
        ),
        pytest.param(
            {"fallbacks": (LUNA, TERRA)},
            {"model-of-luna": STOPS},
            {},
            {"primary": "model-of-terra", "luna": "model-of-terra"},
            id="a fallback that stops the same day is passed over, and is told of itself",
        ),
        pytest.param(
            {},
            {"model-of-luna": STOPS},
            {},
            {"primary": None, "luna": None},
            id="where the only fallback stops as well, nobody",
        ),
        pytest.param(
            {"fallbacks": (LUNA, TERRA)},
            {},
            {"luna": GONE},
            {"primary": "model-of-terra"},
            id="a gone one is passed over",
        ),
        pytest.param(
            {},
            {MINI: Dates(shutdown=END, acts=False)},
            {},
            {"primary": "model-of-luna"},
            id="a date that only warns: the fallback answers once the model is gone",
        ),
    ],
)
def test_who_takes_over(
    route: dict[str, Any], dates: dict[str, Dates], seen: dict[str, Observed], expected: dict[str, str | None]
) -> None:
    routes = some_routes(a_route(**route))
    bases = base_dates(routes, _dates({MINI: STOPS} | dates), lambda target: seen.get(target.name, FRESH))
    assert {line.target: line.takes_over for base in bases for line in base.routes} == expected
