from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from example_promotions import a_canary
from example_routes import FINE_TUNE, a_primary, a_provider, a_route

from gateway.config.routes import Route
from gateway.policy.promotion import Promotion, PromotionState, Version, VersionStatus
from gateway.policy.promotion_rules import (
    MARGIN,
    Act,
    Against,
    Asked,
    Move,
    NotPromoted,
    Step,
    is_dead,
    move,
    refusal,
    served_before,
)
from gateway.reasons import Availability

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CANARY, SERVING = PromotionState.CANARY, PromotionState.SERVING


def a_version(number: int = 2, **fields: Any) -> Version:
    given = {
        "route": "forum-reply",
        "number": number,
        "tenant": "",
        "provider": "here",
        "model": FINE_TUNE if number == 1 else f"ft:{number}",
        "base": None,
        "origin": "named",
        "status": VersionStatus.CANDIDATE,
        "by": "kim",
        "created_at": NOW,
        "changed_at": NOW,
    }
    return Version(**given | fields)


def a_promotion(number: int = 2, **fields: Any) -> Promotion:
    models = {"number": number, "model": f"ft:{number}", "incumbent_model": FINE_TUNE}
    return a_canary(NOW - HOUR, **models | {"margin": MARGIN, "by": "kim", "expires_at": NOW + HOUR} | fields)


FINE = Against(lacks=None)


@pytest.mark.parametrize(
    ("version", "against", "in_spite", "says"),
    [
        pytest.param({}, {}, False, None, id="nothing speaks against it"),
        pytest.param({}, {"verdict": "accept"}, False, None, id="accepted"),
        pytest.param({}, {"verdict": "not_enough_evidence"}, False, None, id="not enough evidence is no evidence"),
        pytest.param({}, {"verdict": "reject"}, False, "rejected it; --in-spite", id="rejected"),
        pytest.param({}, {"verdict": "reject"}, True, None, id="rejected, in spite of that"),
        pytest.param({"status": VersionStatus.REJECTED}, {}, False, "was stopped", id="its canary was stopped"),
        pytest.param({"status": VersionStatus.REJECTED}, {}, True, None, id="its canary was stopped, in spite of that"),
        pytest.param({}, {"lacks": "KEY is not set"}, False, "KEY is not set", id="without a credential"),
        pytest.param({}, {"lacks": "KEY is not set"}, True, None, id="without a credential on this machine"),
        pytest.param({}, {"provider_is_known": False}, True, "does not have", id="at an unknown provider"),
        pytest.param({}, {"stopped": date(2026, 12, 1)}, True, "stopped on 2026-12-01", id="past its date"),
        pytest.param({}, {"seen": Availability.GONE}, True, "seen to be gone", id="gone"),
        pytest.param({}, {"seen": Availability.NO_ACCESS}, True, "closed to our key", id="closed"),
        pytest.param({}, {"seen": Availability.AVAILABLE}, False, None, id="seen to be there"),
        pytest.param({"tenant": "acme"}, {"tenant": "globex"}, True, "of tenant 'acme'", id="of another tenant"),
        pytest.param({"tenant": "acme"}, {}, True, "nobody in particular", id="of a tenant, for everybody's route"),
        pytest.param({}, {"unfit": "its vectors do not mix"}, True, "do not mix", id="other vectors"),
    ],
)
def test_what_speaks_against_a_version(
    version: dict[str, Any], against: dict[str, Any], in_spite: bool, says: str | None
) -> None:
    said = refusal(a_version(**version), Against(**against), in_spite=in_spite)
    if says is None:
        assert said is None
    else:
        assert said is not None and says in said


def test_only_what_ends_a_model_makes_it_dead() -> None:
    assert is_dead(a_version(), Against(verdict="reject", unfit="no", lacks="no", provider_is_known=False)) is None
    assert is_dead(a_version(), Against(stopped=date(2026, 12, 1))) == "v2 (ft:2) stopped on 2026-12-01"


CURRENT: dict[str, Promotion | None] = {
    "nothing": None,
    "canary of v2": a_promotion(),
    "v2 serves": a_promotion(state=SERVING, share=1.0),
    "canary of v3": a_promotion(3),
    "v3 serves": a_promotion(3, state=SERVING, share=1.0),
    "v2 ran out": a_promotion(state=SERVING, share=1.0, expires_at=NOW),
    "v2 was begun over another": a_promotion(incumbent_model="ft:0"),
    "v1 was promoted and is in routes.yaml": a_promotion(1, model=FINE_TUNE, incumbent_model="ft:0", state=SERVING),
}


def _begin(state: PromotionState, share: float = 1.0, margin: float = MARGIN) -> Move:
    return Move(Step.BEGIN, state, share, margin)


def _change(state: PromotionState, share: float = 1.0) -> Move:
    return Move(Step.CHANGE, state, share, MARGIN)


@pytest.mark.parametrize(
    ("current", "asked", "comes_to"),
    [
        pytest.param("nothing", Asked(Act.CANARY, 0.05), _begin(CANARY, 0.05), id="nothing, and a canary begins"),
        pytest.param("nothing", Asked(Act.NOW), _begin(SERVING), id="nothing, and it serves"),
        pytest.param("nothing", Asked(Act.CANARY, 0.1, 0.02), _begin(CANARY, 0.1, 0.02), id="with a margin of its own"),
        pytest.param("canary of v2", Asked(Act.CANARY, 0.5), _change(CANARY, 0.5), id="its canary grows"),
        pytest.param("canary of v2", Asked(Act.CANARY, 0.01), _change(CANARY, 0.01), id="its canary shrinks"),
        pytest.param("canary of v2", Asked(Act.CANARY, 0.5, MARGIN), _change(CANARY, 0.5), id="the same margin said"),
        pytest.param(
            "canary of v2", Asked(Act.CANARY, 0.5, 0.02), _begin(CANARY, 0.5, 0.02), id="another margin begins anew"
        ),
        pytest.param("canary of v2", Asked(Act.NOW), _change(SERVING), id="its canary takes over"),
        pytest.param("v2 serves", Asked(Act.CANARY, 0.05), _change(CANARY, 0.05), id="it shrinks to a canary"),
        pytest.param("v2 serves", Asked(Act.NOW), _change(SERVING), id="it serves for longer"),
        pytest.param("canary of v3", Asked(Act.CANARY, 0.05), _begin(CANARY, 0.05), id="over another's canary"),
        pytest.param("v3 serves", Asked(Act.NOW), _begin(SERVING), id="over another that serves"),
        pytest.param("v2 ran out", Asked(Act.NOW), _begin(SERVING), id="it had run out"),
        pytest.param("v2 was begun over another", Asked(Act.NOW), _begin(SERVING), id="routes.yaml moved on"),
        pytest.param("nothing", Asked(Act.ROLLBACK), Move(Step.PATCH_BACK), id="nothing to take back but in Git"),
        pytest.param("canary of v2", Asked(Act.ROLLBACK), Move(Step.END), id="a canary ends"),
        pytest.param("v2 serves", Asked(Act.ROLLBACK), Move(Step.END), id="an override ends"),
        pytest.param("v2 was begun over another", Asked(Act.ROLLBACK), Move(Step.END), id="one that nobody ended"),
        pytest.param(
            "v1 was promoted and is in routes.yaml", Asked(Act.ROLLBACK), Move(Step.PATCH_BACK), id="Git has it by now"
        ),
    ],
)
def test_what_comes_of_a_command(current: str, asked: Asked, comes_to: Move) -> None:
    assert move(asked, a_version(), a_route(), CURRENT[current], NOW) == comes_to


@pytest.mark.parametrize(
    ("current", "version", "route", "asked", "says"),
    [
        pytest.param("nothing", a_version(1), a_route(), Asked(Act.NOW), "names v1 as the primary", id="the primary"),
        pytest.param("v2 serves", a_version(1), a_route(), Asked(Act.NOW), "--rollback", id="the primary, overridden"),
        pytest.param("nothing", a_version(), a_route(primary=None), Asked(Act.NOW), "--apply", id="no primary"),
        pytest.param("nothing", a_version(), a_route(), Asked(Act.CANARY, 1.0), "--now", id="a canary of all"),
        pytest.param("nothing", a_version(), a_route(), Asked(Act.CANARY, 0.0), "between 0", id="a canary of none"),
        pytest.param("v2 ran out", a_version(1), a_route(), Asked(Act.ROLLBACK), "run out", id="what ran out"),
    ],
)
def test_what_cannot_be_done_is_said(current: str, version: Version, route: Route, asked: Asked, says: str) -> None:
    with pytest.raises(NotPromoted) as error:
        move(asked, version, route, CURRENT[current], NOW)
    assert says in str(error.value)


def test_the_same_model_elsewhere_is_not_the_primary() -> None:
    there = a_version(2, provider="there", model=FINE_TUNE)
    assert move(Asked(Act.NOW), there, a_route(), None, NOW).step is Step.BEGIN


def test_who_served_before_is_the_last_that_was_retired() -> None:
    primary = a_route(primary=a_primary(provider=a_provider(), model="ft:4"))
    first, second = a_version(1, status=VersionStatus.RETIRED), a_version(2, status=VersionStatus.RETIRED)
    serving = a_version(4, status=VersionStatus.SERVING)
    third = a_version(3, status=VersionStatus.REJECTED)
    assert served_before([first, second, third, serving], primary) == second
    assert served_before([replace(first, changed_at=NOW + HOUR), second, third], primary) == replace(
        first, changed_at=NOW + HOUR
    )
    assert served_before([third, serving], primary) is None
    # routes.yaml has changed, and nobody has written down yet who served before.
    assert served_before([first, second, replace(third, status=VersionStatus.SERVING)], primary) == replace(
        third, status=VersionStatus.SERVING
    )
    # The one that routes.yaml names is not before itself, whatever is kept of it.
    assert served_before([replace(serving, status=VersionStatus.RETIRED)], primary) is None
