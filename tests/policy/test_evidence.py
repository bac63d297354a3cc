"""Evidence gates what moves ahead of a date, and nothing else."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.config.routes import Contract, Cutover, Parameters, Prompt, Route, Target
from gateway.config.routes_learning import Acceptance
from gateway.policy.evidence import EvidenceKey, evidence_key, gated, terms_of, waits_for_evidence
from gateway.policy.lifecycle import Dates
from gateway.policy.planner import FRESH, Observed, plan
from gateway.reasons import Availability, Reason, Role
from tests.example_routes import a_fallback, a_primary, a_route, some_routes

SHUTDOWN = date(2027, 1, 14)
EARLY = {"days_before": 14, "ramp_days": 7}
WRITTEN = a_fallback(prompt=Prompt(version="0123456789ab", instructions="Be brief."))
REWRITTEN = a_fallback(prompt=Prompt(version="ba9876543210", instructions="Be kind."))
TERMS = terms_of(a_route(fallbacks=(WRITTEN,)), WRITTEN)
ON_WRITTEN = ("forum-reply", "here", "model-of-luna", "0123456789ab", TERMS)


def a_careful_route(fallback: Target = WRITTEN, **cutover: object) -> Route:
    return a_route(fallbacks=(fallback,), cutover=Cutover(**{"require_evidence": True} | EARLY | cutover))


def first_asked(route: Route, now: datetime, *, gone: bool = False) -> tuple[str, Reason | None]:
    def observe(target: Target) -> Observed:
        return Observed(Availability.GONE) if gone and target.role is Role.PRIMARY else FRESH

    def dates_of(target: Target) -> Dates:
        return Dates(shutdown=SHUTDOWN) if target.role is Role.PRIMARY else Dates()

    step = plan(route, observe=observe, dates_of=dates_of, now=now).steps[0]
    return step.target.name, step.reason


def gate(route: Route, accepted: frozenset[EvidenceKey] = frozenset()) -> Route:
    return gated(some_routes(route), accepted).routes[route.name]


BEFORE = datetime(2026, 12, 23, tzinfo=UTC)
ON_RAMP = datetime(2026, 12, 28, tzinfo=UTC)
MOVED = datetime(2027, 1, 5, tzinfo=UTC)
LAST_MINUTE = datetime(2027, 1, 13, 23, 59, tzinfo=UTC)
DAY = datetime(2027, 1, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "gone", "without", "with_it"),
    [
        pytest.param(BEFORE, False, ("primary", "primary"), ("primary", "primary"), id="before anything moves"),
        pytest.param(ON_RAMP, False, ("primary", "primary"), ("luna", "deprecated_ramp"), id="on the ramp"),
        pytest.param(MOVED, False, ("primary", "primary"), ("luna", "shutdown_reached"), id="days before"),
        pytest.param(LAST_MINUTE, False, ("primary", "primary"), ("luna", "shutdown_reached"), id="in the last minute"),
        pytest.param(DAY, False, ("luna", "shutdown_reached"), ("luna", "shutdown_reached"), id="on the day"),
        pytest.param(BEFORE, True, ("luna", "gone"), ("luna", "gone"), id="gone before its time"),
        pytest.param(DAY, True, ("luna", "gone"), ("luna", "gone"), id="gone on the day"),
    ],
)
def test_evidence_gates_moves_before_the_date_and_never_answers_for_a_dead_primary(
    now: datetime, gone: bool, without: tuple[str, str], with_it: tuple[str, str]
) -> None:
    assert first_asked(gate(a_careful_route()), now, gone=gone) == without
    assert first_asked(gate(a_careful_route(), frozenset((ON_WRITTEN,))), now, gone=gone) == with_it


@pytest.mark.parametrize("at", ["shutdown", "gone"])
def test_what_moves_a_route_stays_what_it_was(at: str) -> None:
    assert gate(a_careful_route(at=at)).cutover == Cutover(at=at, require_evidence=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("day", [LAST_MINUTE, DAY], ids=["before", "on the day"])
def test_a_route_that_moves_when_its_primary_is_gone_moves_by_no_date(day: datetime) -> None:
    route = gate(a_careful_route(at="gone"))
    assert first_asked(route, day) == ("primary", Reason.PRIMARY)
    assert first_asked(route, day, gone=True) == ("luna", Reason.GONE)


def test_a_route_that_asks_for_no_evidence_moves_as_it_says() -> None:
    routes = some_routes(a_route(cutover=Cutover(days_before=14, ramp_days=7)))
    assert gated(routes, frozenset()) is routes


def test_other_routes_stay_as_they_are() -> None:
    other = a_route(name="tone-rewrite", cutover=Cutover(days_before=14))
    routes = gated(some_routes(a_careful_route(), other), frozenset())
    assert routes.routes["tone-rewrite"] is other
    assert routes.routes["forum-reply"].cutover.days_before == 0


@pytest.mark.parametrize(
    ("accepted", "waits"),
    [
        pytest.param(ON_WRITTEN, False, id="this very fallback"),
        pytest.param(("forum-reply", "here", "model-of-luna", "ba9876543210", TERMS), True, id="another prompt"),
        pytest.param(("forum-reply", "here", "model-of-luna", "", TERMS), True, id="no prompt"),
        pytest.param(("forum-reply", "here", "model-of-sol", "0123456789ab", TERMS), True, id="another model"),
        pytest.param(("forum-reply", "there", "model-of-luna", "0123456789ab", TERMS), True, id="another provider"),
        pytest.param((*ON_WRITTEN[:4], "00000000"), True, id="other terms"),
        pytest.param(("tone-rewrite", "here", "model-of-luna", "0123456789ab", TERMS), True, id="another route"),
    ],
)
def test_only_a_verdict_on_this_route_provider_model_and_prompt_counts(accepted: EvidenceKey, waits: bool) -> None:
    assert waits_for_evidence(a_careful_route(), {accepted}) is waits


@pytest.mark.parametrize(
    "changed",
    [
        {"primary": a_primary(model="another")},
        {"acceptance": Acceptance(margin=0.1)},
        {"acceptance": Acceptance(measure="exact_match")},
        {"contract": Contract(name="c", json_schema={"type": "object"}, strict=False)},
        {"fallbacks": (WRITTEN.model_copy(update={"parameters": Parameters(set={"max_completion_tokens": 1})}),)},
    ],
    ids=["primary", "margin", "measure", "contract", "parameters"],
)
def test_whatever_a_verdict_rests_on_needs_new_evidence_when_it_changes(changed: dict[str, Any]) -> None:
    assert waits_for_evidence(a_careful_route().model_copy(update=changed), {ON_WRITTEN})


def test_a_verdict_with_another_margin_than_the_routes_does_not_count() -> None:
    route = a_careful_route()
    assert terms_of(route, WRITTEN, 0.5) != terms_of(route, WRITTEN) == terms_of(route, WRITTEN, 0.05)


def test_a_new_prompt_needs_new_evidence() -> None:
    assert not waits_for_evidence(a_careful_route(), {ON_WRITTEN})
    assert waits_for_evidence(a_careful_route(REWRITTEN), {ON_WRITTEN})


@pytest.mark.parametrize(
    ("fallbacks", "key"),
    [
        pytest.param((WRITTEN, a_fallback("sol")), ON_WRITTEN, id="the first of several"),
        pytest.param((a_fallback(),), ("forum-reply", "here", "model-of-luna", "", TERMS), id="without a prompt"),
        pytest.param((), None, id="none"),
    ],
)
def test_evidence_is_about_the_first_fallback(fallbacks: tuple[Target, ...], key: EvidenceKey | None) -> None:
    assert evidence_key(a_route(fallbacks=fallbacks)) == key
