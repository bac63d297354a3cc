from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from example_routes import BASE, a_fallback, a_primary, a_provider, a_route, some_routes

from gateway.config.routes import Provider, Route
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.promotable import against, answers_without, dates_of, target_for
from gateway.policy.availability import TargetState
from gateway.policy.lifecycle import Dates, Origin, Published
from gateway.policy.promotion import PromotionState, Version, VersionStatus
from gateway.policy.promotion_rules import Against
from gateway.providers.credentials import lacks_credential
from gateway.reasons import Availability

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)
PASSED = date(2026, 12, 1)


def a_version(**fields: Any) -> Version:
    given = {
        "route": "forum-reply",
        "number": 2,
        "tenant": "",
        "provider": "here",
        "model": "my-adapter",
        "base": "llama-3.1-8b",
        "origin": "named",
        "status": VersionStatus.CANDIDATE,
        "by": "kim",
        "created_at": NOW,
        "changed_at": NOW,
    }
    return Version(**given | fields)


def said_of(dates: Dates, route: Route | None = None, **fields: Any) -> Against:
    routes = some_routes(route or a_route())
    published = {("here", "my-adapter"): Published("my-adapter", dates)}
    return against(
        a_version(**fields.pop("version", {})),
        route or a_route(),
        routes,
        calendar=Calendar(routes, published),
        states=fields.pop("states", {}),
        lacks=lambda provider: None,
        now=NOW,
        **fields,
    )


@pytest.mark.parametrize(
    ("dates", "stopped"),
    [
        pytest.param(Dates(), None, id="no date"),
        pytest.param(Dates(shutdown=date(2026, 12, 3), origin=Origin.PROVIDER), None, id="tomorrow"),
        pytest.param(Dates(shutdown=PASSED, origin=Origin.PROVIDER), PASSED, id="yesterday"),
        pytest.param(Dates(shutdown=PASSED, origin=Origin.PROVIDER, acts=False), None, id="yesterday, it is said"),
    ],
)
def test_only_a_date_that_acts_stops_a_version(dates: Dates, stopped: date | None) -> None:
    assert said_of(dates).stopped == stopped


def test_what_was_seen_of_its_model_counts() -> None:
    states = {("here", "my-adapter"): TargetState(Availability.GONE, 1, NOW)}
    assert said_of(Dates(), states=states).seen is Availability.GONE
    assert said_of(Dates()).seen is Availability.UNKNOWN


@pytest.mark.parametrize(
    ("route", "version", "state", "says"),
    [
        pytest.param(a_route(), {}, PromotionState.SERVING, None, id="nothing"),
        pytest.param(
            a_route(fallbacks=(a_fallback(model="my-adapter"),)),
            {},
            PromotionState.SERVING,
            "the route's fallback 'luna'",
            id="its own fallback",
        ),
        pytest.param(
            a_route(fallbacks=(a_fallback("canary"),)),
            {},
            PromotionState.CANARY,
            "called 'canary'",
            id="a fallback of the canary's name",
        ),
        pytest.param(
            a_route(residency="eu"), {}, PromotionState.SERVING, "does not keep data in 'eu'", id="another residency"
        ),
        pytest.param(
            a_route(primary=a_primary(model="text-embedding-3-small", base=None)),
            {},
            PromotionState.SERVING,
            "do not mix",
            id="other vectors",
        ),
        pytest.param(a_route(primary=None), {}, PromotionState.SERVING, None, id="no primary to differ from"),
    ],
)
def test_what_cannot_stand_in_a_route(
    route: Route, version: dict[str, Any], state: PromotionState, says: str | None
) -> None:
    unfit = said_of(Dates(), route, version=version, state=state).unfit
    assert unfit is None if says is None else unfit is not None and says in unfit


def test_a_version_stands_as_the_primary_would() -> None:
    route = a_route()
    target = target_for(a_version(), route, some_routes(route))
    assert target is not None
    assert (target.name, target.model, target.base, target.provider.name) == (
        "primary",
        "my-adapter",
        "llama-3.1-8b",
        "here",
    )
    bare = a_route(primary=None)
    alone = target_for(a_version(), bare, some_routes(bare))
    assert alone is not None and alone.model == "my-adapter"
    elsewhere = a_version(provider="there")
    assert target_for(elsewhere, route, some_routes(route)) is None
    assert dates_of(elsewhere, route, some_routes(route), Calendar(some_routes(route))) == Dates()
    assert not said_of(Dates(), version={"provider": "there"}).provider_is_known


def test_who_answers_where_a_version_cannot() -> None:
    route = a_route(fallbacks=(a_fallback(), a_fallback("sol")))
    routes = some_routes(route)

    def found(states: dict[tuple[str, str], TargetState]) -> str | None:
        target = answers_without(a_version(), route, routes, calendar=Calendar(routes), states=states, now=NOW)
        return target.name if target is not None else None

    gone = TargetState(Availability.GONE, 1, NOW)
    assert found({}) == "luna"
    assert found({("here", "model-of-luna"): gone}) == "sol"
    assert found({("here", "model-of-luna"): gone, ("here", "model-of-sol"): gone}) is None


@pytest.mark.parametrize(
    ("fields", "environ", "lacking"),
    [
        pytest.param({}, {}, None, id="none is needed"),
        pytest.param({"api_key_env": "KEY"}, {"KEY": "sk"}, None, id="it is set"),
        pytest.param({"api_key_env": "KEY"}, {}, "the key of here is not set: KEY", id="it is not set"),
        pytest.param({"api_key_env": "KEY"}, {"KEY": " "}, "the key of here is not set: KEY", id="it is empty"),
        pytest.param({"api_key_file": "/nowhere/key"}, {}, "the file with the key of here is not there", id="no file"),
    ],
)
def test_a_secret_that_is_not_here(fields: dict[str, Any], environ: dict[str, str], lacking: str | None) -> None:
    provider: Provider = a_provider(**fields)
    assert lacks_credential(provider, environ) == lacking


def test_a_file_that_is_there_is_no_lack(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk")
    assert lacks_credential(a_provider(api_key_file=str(key)), {}) is None


def test_the_base_is_what_its_dates_come_from() -> None:
    route = a_route()
    routes = some_routes(route)
    version = a_version(model="ft:gpt-4o-mini-2024-07-18:acme:forum:B2", base=BASE)
    assert dates_of(version, route, routes, Calendar(routes)).inherited_from == BASE
