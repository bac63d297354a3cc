"""Which route answers whom: task or variant, by name or by tenant, with a key's patterns over all of it."""

from types import MappingProxyType

import pytest
from test_prepared import a_snapshot

from gateway.config.callers import ANYBODY, Caller, KeyRole
from gateway.errors import InvalidRequest, NoVariant, PinNotAllowed, RouteNotFound
from gateway.execution.prepared import Snapshot
from tests.example_routes import a_route

NONE = "not found"
NO_VARIANT = "no variant"


def a_caller(tenant: str | None = None, routes: tuple[str, ...] | None = None, *, pins: bool = False) -> Caller:
    tags = MappingProxyType({"tenant": tenant} if tenant else {"team": "x"})
    return Caller("key_1", "a key", tags=tags, routes=routes, pins=pins)


ADMIN = Caller("admin", "admin", KeyRole.ADMIN, pins=True)
ACME, GLOBEX, INITECH, NOBODY = a_caller("acme"), a_caller("globex"), a_caller("initech"), a_caller()


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """``forum`` answers by tenant alone, ``triage`` also others, ``acmes`` names a tenant, ``plain`` is for all."""
    variants = {"forum": ("acme", "globex"), "triage": ("acme",)}
    routes = [
        a_route(name=f"{task}:{tenant}", tenant=tenant, variant_of=task)
        for task, tenants in variants.items()
        for tenant in tenants
    ]
    routes += [a_route(name="triage"), a_route(name="acmes", tenant="acme"), a_route(name="plain")]
    by_tenant = {task: {tenant: f"{task}:{tenant}" for tenant in tenants} for task, tenants in variants.items()}
    return a_snapshot(*routes, variants=by_tenant)


def answered_by(snapshot: Snapshot, name: str, caller: Caller) -> str:
    try:
        return snapshot.find(name, caller)[0].route.name
    except RouteNotFound:
        return NONE
    except NoVariant:
        return NO_VARIANT


NAMES = ("plain", "acmes", "forum", "forum:acme", "forum:globex", "triage", "triage:acme", "nothing", "forum:")


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        pytest.param(
            ANYBODY,
            ("plain", "acmes", NO_VARIANT, "forum:acme", "forum:globex", "triage", "triage:acme", NONE, NONE),
            id="without keys everything may be named",
        ),
        pytest.param(
            ADMIN,
            ("plain", "acmes", NO_VARIANT, "forum:acme", "forum:globex", "triage", "triage:acme", NONE, NONE),
            id="so may it with the admin's key",
        ),
        pytest.param(
            ACME,
            ("plain", "acmes", "forum:acme", "forum:acme", NONE, "triage:acme", "triage:acme", NONE, NONE),
            id="a tenant has its own of each",
        ),
        pytest.param(
            GLOBEX,
            ("plain", NONE, "forum:globex", NONE, "forum:globex", "triage", NONE, NONE, NONE),
            id="another has what is its own, and what is nobody's",
        ),
        pytest.param(
            INITECH,
            ("plain", NONE, NO_VARIANT, NONE, NONE, "triage", NONE, NONE, NONE),
            id="one without variants has what is nobody's",
        ),
        pytest.param(
            NOBODY,
            ("plain", "acmes", NO_VARIANT, NONE, NONE, "triage", NONE, NONE, NONE),
            id="a key without a tenant has no variant, and what names a tenant by hand",
        ),
        pytest.param(
            a_caller("acme", ("forum",)),
            (NONE, NONE, "forum:acme", "forum:acme", NONE, NONE, NONE, NONE, NONE),
            id="a pattern is held against the task's name, for its variants too",
        ),
        pytest.param(
            a_caller("acme", ("forum:acme",)),
            (NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE),
            id="and never against a variant's",
        ),
        pytest.param(
            a_caller("acme", ("t*", "pl?in")),
            ("plain", NONE, NONE, NONE, NONE, "triage:acme", "triage:acme", NONE, NONE),
            id="patterns are the shell's",
        ),
        pytest.param(a_caller("acme", ()), (NONE,) * 9, id="no pattern is no route"),
        pytest.param(
            a_caller("ACME"),
            ("plain", NONE, NO_VARIANT, NONE, NONE, "triage", NONE, NONE, NONE),
            id="a tenant is told by its exact name",
        ),
    ],
)
def test_who_is_answered_by_which_route(snapshot: Snapshot, caller: Caller, expected: tuple[str, ...]) -> None:
    assert dict(zip(NAMES, expected, strict=True)) == {name: answered_by(snapshot, name, caller) for name in NAMES}
    # A second look is answered from what was kept.
    assert tuple(answered_by(snapshot, name, caller) for name in NAMES) == expected


@pytest.mark.parametrize("caller", [ANYBODY, ADMIN, ACME, GLOBEX, INITECH, NOBODY, a_caller("acme", ("forum", "p*"))])
def test_what_is_listed_is_what_is_answered(snapshot: Snapshot, caller: Caller) -> None:
    listed = {name: prepared.route.name for name, prepared in snapshot.callable_routes.of(caller)}
    assert listed == {name: answered_by(snapshot, name, caller) for name in listed}
    answered = {answered_by(snapshot, name, caller) for name in NAMES} - {NONE, NO_VARIANT}
    assert set(listed.values()) == answered, "nothing that it may call is missing"


def test_a_key_that_may_not_pin_learns_nothing_from_a_pin(snapshot: Snapshot) -> None:
    for pin in ("primary", "luna", "nonsense", ""):
        with pytest.raises(PinNotAllowed) as refused:
            snapshot.find(f"forum@{pin}", ACME)
        assert "luna" not in refused.value.message
    with pytest.raises(RouteNotFound):
        snapshot.find("forum:globex@primary", ACME)
    with pytest.raises(InvalidRequest):
        snapshot.find("forum@nonsense", a_caller("acme", pins=True))
    prepared, pin = snapshot.find("forum@primary", a_caller("acme", pins=True))
    assert (prepared.route.name, pin and pin.target) == ("forum:acme", "primary")


def test_suggestions_name_only_what_the_key_may_call(snapshot: Snapshot) -> None:
    with pytest.raises(RouteNotFound) as refused:
        snapshot.find("forum:acmee", GLOBEX)
    assert "acme or" not in refused.value.message
    assert refused.value.message.endswith("Did you mean forum?")
