"""Which promotions hold, what they make of a configuration, and why they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from example_promotions import a_canary

from gateway.config.routes import Parameters, Route, Target
from gateway.policy.announcements import Event
from gateway.policy.evidence import evidence_key
from gateway.policy.promotion import (
    Ending,
    Promotion,
    PromotionState,
    VersionStatus,
    ended,
    ending_of,
    incumbent_status_of,
    promoted,
    status_of,
)
from gateway.policy.sentences import sentence
from gateway.reasons import EventKind, Role
from tests.example_routes import BASE, FINE_TUNE, a_fallback, a_primary, a_provider, a_route, some_routes

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NEXT = "ft:gpt-4.1-mini-2025-04-14:acme:forum-reply:B2c3D4e5"
THERE = a_provider(name="there", residency="eu")


def a_promotion(**fields: Any) -> Promotion:
    serving = {"state": PromotionState.SERVING, "share": 1.0, "reason": "it is better", "by": "ana@laptop"}
    models = {"model": NEXT, "incumbent_model": FINE_TUNE, "incumbent_base": BASE}
    return a_canary(NOW - timedelta(days=1), **serving | models | fields)


CANARY = {"state": PromotionState.CANARY, "share": 0.05}


def served(promotion: Promotion, route: Route | None = None, **more: Any) -> tuple[Route, str | None]:
    """The route as it is served, and why the promotion is ignored."""
    route = route or a_route()
    routes = some_routes(route, providers={"here": a_provider(), "there": THERE})
    made = promoted(routes, {promotion.route: promotion}, NOW, **more)
    assert made.named is routes
    assert made.routes.config_hash == routes.config_hash
    return made.routes.routes[route.name], made.ignored.get(route.name)


def test_a_version_that_serves_is_the_primary_with_its_name_and_parameters() -> None:
    route = a_route(primary=a_primary(parameters=Parameters(set={"temperature": 0})))
    after, ignored = served(a_promotion(), route)
    assert ignored is None
    assert after.primary == Target(
        name="primary",
        role=Role.PRIMARY,
        provider=a_provider(),
        model=NEXT,
        base="gpt-4.1-mini-2025-04-14",
        parameters=Parameters(set={"temperature": 0}),
    )
    assert (after.canary, after.fallbacks) == (None, route.fallbacks)


def test_a_canary_stands_beside_the_primary_and_in_nobodys_line_up() -> None:
    after, ignored = served(a_promotion(**CANARY))
    assert (ignored, after.primary) == (None, a_primary())
    assert after.canary is not None
    assert (after.canary.share, after.canary.target.name, after.canary.target.model) == (0.05, "canary", NEXT)
    assert [target.name for target in after.line_up] == ["primary", "luna"]
    assert [target.name for target in after.targets] == ["primary", "luna", "canary"]


@pytest.mark.parametrize(
    ("fields", "route", "why"),
    [
        pytest.param(
            {"provider": "gone"}, {}, "gone is no provider of this configuration", id="a provider unknown here"
        ),
        pytest.param(
            {},
            {"residency": "eu"},
            "here does not keep data in 'eu', as the route asks",
            id="data would move",
        ),
        pytest.param(
            {"model": "text-embedding-4"},
            {"primary": a_primary(model="text-embedding-3-small", base=None)},
            "its vectors do not mix with those of text-embedding-3-small",
            id="vectors of another space",
        ),
        pytest.param(
            CANARY,
            {"fallbacks": (a_fallback("canary"),)},
            "the route has a fallback that is called 'canary'",
            id="its name",
        ),
    ],
)
def test_a_promotion_is_ignored_where_it_cannot_be_had(fields: Any, route: Any, why: str) -> None:
    changed = a_route(**route)
    assert changed.primary is not None
    promotion = a_promotion(**{"incumbent_model": changed.primary.model} | fields)
    after, ignored = served(promotion, changed)
    assert (after, ignored) == (changed, why)


def test_a_promotion_is_ignored_where_its_providers_key_is_not_set() -> None:
    after, ignored = served(a_promotion(), unusable=lambda provider: f"{provider.name} has no key")
    assert (after, ignored) == (a_route(), "here has no key")


@pytest.mark.parametrize(
    ("fields", "lacks", "primary"),
    [
        pytest.param({}, None, NEXT, id="followed here"),
        pytest.param({}, "no key", NEXT, id="others may have the key that is not here"),
        pytest.param({"provider": "gone"}, None, FINE_TUNE, id="the files are the same everywhere"),
        pytest.param({"expires_at": NOW}, "no key", FINE_TUNE, id="nobody follows what is over"),
    ],
)
def test_what_replicas_of_the_same_files_agree_on(fields: Any, lacks: str | None, primary: str) -> None:
    made = promoted(some_routes(), {"forum-reply": a_promotion(**fields)}, NOW, unusable=lambda provider: lacks)
    agreed = made.agreed.routes["forum-reply"].primary
    assert agreed is not None
    assert agreed.model == primary


@pytest.mark.parametrize(
    ("fields", "route", "is_gone", "because"),
    [
        pytest.param({}, a_route(), False, None, id="in force"),
        pytest.param({"expires_at": NOW}, a_route(), False, Ending.EXPIRED, id="its time is over"),
        pytest.param({}, a_route(), True, Ending.GONE, id="its model is gone"),
        pytest.param({}, a_route(primary=a_primary(model=NEXT)), True, Ending.IN_ROUTES, id="routes.yaml names it"),
        pytest.param({}, a_route(primary=a_primary(model="third")), False, Ending.SUPERSEDED, id="a third model"),
        pytest.param(
            {},
            a_route(primary=a_primary(provider=THERE)),
            False,
            Ending.SUPERSEDED,
            id="the incumbent at another provider is another",
        ),
        pytest.param({}, a_route(primary=None), False, Ending.SUPERSEDED, id="no primary any more"),
        pytest.param({}, None, False, Ending.SUPERSEDED, id="no route any more"),
        pytest.param(
            {"expires_at": NOW}, a_route(primary=a_primary(model=NEXT)), False, Ending.IN_ROUTES, id="Git outranks time"
        ),
    ],
)
def test_a_promotion_is_over(fields: Any, route: Route | None, is_gone: bool, because: Ending | None) -> None:
    assert ending_of(a_promotion(**fields), route, NOW, is_gone=is_gone) is because
    if because is not None and not is_gone and route is not None:
        assert served(a_promotion(**fields), route) == (route, None)


@pytest.mark.parametrize(
    ("promotion", "version", "incumbent"),
    [
        pytest.param(a_promotion(), VersionStatus.SERVING, VersionStatus.RETIRED, id="serving"),
        pytest.param(a_promotion(**CANARY), VersionStatus.CANARY, VersionStatus.SERVING, id="a canary"),
        *(
            pytest.param(ended(a_promotion(**fields), because, NOW), version, incumbent, id=f"{name}, {because.value}")
            for name, fields, because, version, incumbent in [
                ("serving", {}, Ending.IN_ROUTES, VersionStatus.SERVING, VersionStatus.RETIRED),
                ("serving", {}, Ending.EXPIRED, VersionStatus.RETIRED, VersionStatus.SERVING),
                ("serving", {}, Ending.ROLLED_BACK, VersionStatus.RETIRED, VersionStatus.SERVING),
                ("serving", {}, Ending.GONE, VersionStatus.RETIRED, VersionStatus.SERVING),
                ("serving", {}, Ending.SUPERSEDED, VersionStatus.RETIRED, None),
                ("a canary", CANARY, Ending.IN_ROUTES, VersionStatus.SERVING, VersionStatus.RETIRED),
                ("a canary", CANARY, Ending.EXPIRED, VersionStatus.CANDIDATE, VersionStatus.SERVING),
                ("a canary", CANARY, Ending.EVIDENCE, VersionStatus.REJECTED, VersionStatus.SERVING),
                ("a canary", CANARY, Ending.GONE, VersionStatus.REJECTED, VersionStatus.SERVING),
            ]
        ),
    ],
)
def test_where_a_promotion_leaves_the_versions(
    promotion: Promotion, version: VersionStatus, incumbent: VersionStatus | None
) -> None:
    assert (status_of(promotion), incumbent_status_of(promotion)) == (version, incumbent)


def test_a_verdict_against_the_incumbent_says_nothing_of_a_promoted_primary() -> None:
    route = a_route()
    after, _ = served(a_promotion(), route)
    assert evidence_key(after) != evidence_key(route)


VERSION = f"v2 ({NEXT})"


@pytest.mark.parametrize(
    ("promotion", "told", "said"),
    [
        pytest.param(
            a_promotion(**CANARY),
            {"why": "a trial"},
            f"ana lets {VERSION} answer 5 % of the conversations of forum-reply until 2026-12-05 12:00 UTC: a trial",
            id="a canary",
        ),
        pytest.param(
            a_promotion(state=PromotionState.CANARY, share=0.125),
            {},
            f"ana lets {VERSION} answer 12.5 % of the conversations of forum-reply until 2026-12-05 12:00 UTC",
            id="a share with a fraction",
        ),
        pytest.param(
            a_promotion(),
            {},
            f"ana promoted {VERSION} on forum-reply over {FINE_TUNE} until 2026-12-05 12:00 UTC",
            id="serving",
        ),
        pytest.param(
            a_promotion(**CANARY),
            {"is_accepted": True, "why": "alike"},
            f"the canary {VERSION} of forum-reply is shown to be good enough beside {FINE_TUNE}: alike; nothing "
            "moves by itself: gateway promote forum-reply v2",
            id="accepted",
        ),
        *(
            pytest.param(ended(a_promotion(**fields), because, NOW), {}, said, id=f"ended, {because.value}")
            for fields, because, said in [
                ({}, Ending.ROLLED_BACK, f"ana rolled forum-reply back from {VERSION}: {FINE_TUNE} answers"),
                ({}, Ending.EXPIRED, f"the promotion {VERSION} of forum-reply has expired: {FINE_TUNE} answers"),
                (
                    {},
                    Ending.IN_ROUTES,
                    f"routes.yaml names {VERSION} as the primary of forum-reply: nothing is put in its place",
                ),
                (
                    CANARY,
                    Ending.SUPERSEDED,
                    f"the canary {VERSION} of forum-reply is over: routes.yaml names another model, or another "
                    "promotion began",
                ),
                (
                    CANARY,
                    Ending.EVIDENCE,
                    f"the canary {VERSION} of forum-reply was stopped, for it is worse than {FINE_TUNE}",
                ),
                (
                    CANARY,
                    Ending.GONE,
                    f"the canary {VERSION} of forum-reply is over, for its model is not there any more: "
                    f"{FINE_TUNE} answers",
                ),
            ]
        ),
    ],
)
def test_people_are_told(promotion: Promotion, told: Any, said: str) -> None:
    event = Event(
        event_id="",
        at=NOW,
        kind=EventKind.PROMOTION,
        reason=None,
        route="forum-reply",
        owner=None,
        provider="here",
        model=NEXT,
        from_target=None,
        to_target=None,
        by="ana",
        text="",
    )
    assert sentence(event, promotion=promotion, **told) == said
