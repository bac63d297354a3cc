"""What a key that wants its data kept somewhere can have of each route."""

import pytest

from gateway.config.callers import Caller
from gateway.config.routes import Route
from gateway.policy.residency import gaps, may_hold
from tests.example_routes import a_fallback, a_primary, a_provider, a_route, some_routes

EU = a_provider(name="west", residency="eu")
US = a_provider(name="east", residency="us")
ANYWHERE = a_provider(name="there")


@pytest.mark.parametrize(
    ("provider", "wanted", "may"),
    [
        pytest.param("eu", "eu", True, id="where it is wanted"),
        pytest.param("us", "eu", False, id="somewhere else"),
        pytest.param(None, "eu", False, id="a provider that does not say"),
        pytest.param("us", None, True, id="a key that does not ask"),
    ],
)
def test_who_may_hold_what(provider: str | None, wanted: str | None, may: bool) -> None:
    assert may_hold(provider, wanted) is may


@pytest.mark.parametrize(
    ("route", "said"),
    [
        pytest.param(a_route(primary=a_primary(provider=EU), fallbacks=(a_fallback(provider=EU),)), "", id="all there"),
        pytest.param(a_route(primary=a_primary(provider=EU), fallbacks=()), "", id="there is no fallback anyway"),
        pytest.param(a_route(primary=a_primary(provider=US), fallbacks=()), "no target", id="nobody is there"),
        pytest.param(
            a_route(primary=a_primary(provider=EU), fallbacks=(a_fallback(provider=ANYWHERE),)),
            "no fallback",
            id="only the primary is there",
        ),
        pytest.param(
            a_route(primary=a_primary(provider=US), fallbacks=(a_fallback(provider=EU),)),
            "go to its fallback",
            id="only the fallback is there",
        ),
    ],
)
def test_what_is_missing_is_said_at_load(route: Route, said: str) -> None:
    found = list(gaps(some_routes(route), [Caller("key_1", "shop", residency="eu")]))
    assert len(found) == bool(said)
    assert said in "".join(found)
    assert all("key 'shop'" in sentence for sentence in found)


def test_a_key_that_asks_for_nothing_misses_nothing() -> None:
    assert list(gaps(some_routes(a_route()), [Caller("key_1", "shop")])) == []


def test_a_gap_is_told_once_a_route_and_place_and_only_of_keys_that_may_call_the_route() -> None:
    route = a_route(primary=a_primary(provider=US), fallbacks=())
    callers = [Caller(f"key_{i}", f"shop-{i}", residency="eu") for i in range(1000)]
    assert list(gaps(some_routes(route), callers)) == [
        f"route {route.name!r} has no target in 'eu': requests of 1000 keys to it are refused"
    ]
    assert list(gaps(some_routes(route), [Caller("key_1", "shop", residency="eu", routes=("other-*",))])) == []
