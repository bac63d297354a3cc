from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from gateway.config.routes import ModelDates
from gateway.config.routes_slo import Slo
from gateway.execution.exercised import Exercised
from gateway.execution.prepared import Snapshot
from gateway.execution.process_collector import ProcessCollector, ProcessFacts
from gateway.execution.route_collector import FALLBACK_REASONS, RouteCollector
from gateway.execution.target_board import TargetBoard, key_of
from gateway.execution.target_collector import TargetCollector
from gateway.ledger.figures import LedgerFigures
from gateway.metrics import Metrics
from gateway.policy.breaker import FAILURES_TO_OPEN
from gateway.policy.planner import Command
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Availability
from tests.example_routes import FINE_TUNE, a_fallback, a_primary, a_provider, a_route, some_routes
from tests.fake_clock import FakeClock

SANDBOX = a_provider(name="there", kind="sandbox")
PRIMARY = a_primary()
FIGURES = LedgerFigures(
    queued=3, oldest_age_s=1.5, written=10, dropped=2, refused=4, journal_bytes=4096, sync_failures=5, damaged=6
)
ROUTES = (
    a_route(fallbacks=(a_fallback(provider=SANDBOX),)),
    a_route(name="tone-rewrite", primary=None, fallbacks=(a_fallback(provider=SANDBOX),)),
)


@dataclass
class Running:
    snapshot: Snapshot
    board: TargetBoard
    in_flight: Mapping[str, int] = field(default_factory=dict)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def running(clock: FakeClock) -> Running:
    dates = {"here": {FINE_TUNE: ModelDates(shutdown=datetime(2027, 1, 14, tzinfo=UTC).date(), source="a mail")}}
    configured = some_routes(*ROUTES, lifecycle=dates)
    client = HttpClient()
    upstreams = {name: Upstream(provider, client, {}, clock) for name, provider in configured.providers.items()}
    board = TargetBoard(clock, lambda target, carefully: None)
    return Running(Snapshot(configured, upstreams, metrics=Metrics(), clock=clock), board)


@pytest.fixture
def exercised(clock: FakeClock) -> Exercised:
    return Exercised(lambda: None, clock)


@pytest.fixture
def registry(running: Running, exercised: Exercised) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(RouteCollector(running, exercised))
    registry.register(TargetCollector(running))
    facts = ProcessFacts(lambda: FIGURES, lambda: 0.25, lambda: True, lambda: False)
    registry.register(ProcessCollector(running, facts))
    return registry


def active(registry: CollectorRegistry, route: str = "forum-reply") -> dict[str, float | None]:
    return {
        reason.value: registry.get_sample_value(
            "gateway_route_fallback_active", {"route": route, "reason": reason.value}
        )
        for reason in FALLBACK_REASONS
    }


def test_while_the_primary_answers_every_reason_is_exported_as_zero(registry: CollectorRegistry) -> None:
    assert set(active(registry).values()) == {0.0}


def test_a_route_without_a_primary_says_so(registry: CollectorRegistry) -> None:
    assert {reason: value for reason, value in active(registry, "tone-rewrite").items() if value} == {"no_primary": 1.0}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        pytest.param(Availability.SUSPECT, "suspect", id="suspect"),
        pytest.param(Availability.GONE, "gone", id="gone"),
        pytest.param(Availability.NO_ACCESS, "no_access", id="no access"),
    ],
)
def test_one_reason_is_one_while_a_fallback_answers(
    found: Availability, reason: str, registry: CollectorRegistry, running: Running
) -> None:
    if found is Availability.SUSPECT:
        running.board.suspect(PRIMARY)
    else:
        running.board.verified(key_of(PRIMARY), found)
    assert {name for name, value in active(registry).items() if value == 1.0} == {reason}
    assert registry.get_sample_value("gateway_model_available", {"provider": "here", "model": FINE_TUNE}) == 0.0
    running.board.verified(key_of(PRIMARY), Availability.AVAILABLE)
    assert set(active(registry).values()) == {0.0}
    assert registry.get_sample_value("gateway_model_available", {"provider": "here", "model": FINE_TUNE}) == 1.0


def test_the_date_moves_the_gauge_too(registry: CollectorRegistry, clock: FakeClock) -> None:
    clock.advance(60 * 86_400)
    assert active(registry)["shutdown_reached"] == 1.0


def test_an_open_circuit_is_shown(registry: CollectorRegistry, running: Running) -> None:
    for _ in range(FAILURES_TO_OPEN):
        running.board.failed(PRIMARY)
    labels = {"provider": "here", "model": FINE_TUNE}
    assert registry.get_sample_value("gateway_circuit_state", {**labels, "state": "open"}) == 1.0
    assert registry.get_sample_value("gateway_circuit_state", {**labels, "state": "closed"}) == 0.0
    assert active(registry)["circuit_open"] == 1.0


def test_the_rest_of_the_page(registry: CollectorRegistry, running: Running) -> None:
    running.in_flight = {"chat_completions": 7}
    value = registry.get_sample_value
    assert value("gateway_requests_in_flight", {"endpoint": "chat_completions"}) == 7
    assert value("gateway_ledger_queue") == 3
    assert value("gateway_ledger_oldest_unflushed_seconds") == 1.5
    assert value("gateway_ledger_entries_total") == 10
    assert value("gateway_ledger_dropped_total") == 2
    assert value("gateway_ledger_refused_total") == 4
    assert value("gateway_ledger_journal_bytes") == 4096
    assert value("gateway_ledger_sync_failures_total") == 5
    assert value("gateway_ledger_damaged_total") == 6
    assert value("gateway_ledger_journal_limit_bytes") == 1024 * 1024 * 1024
    assert value("gateway_event_loop_lag_seconds") == 0.25
    assert value("gateway_ready") == 1
    assert value("gateway_config_reload_failed") == 0
    assert value("gateway_config_info", {"config_hash": "0123456789ab"}) == 1
    assert value("gateway_config_loaded_timestamp_seconds") == running.snapshot.loaded_at.timestamp()
    sunset = {"provider": "here", "model": FINE_TUNE, "source": "routes.yaml"}
    assert value("gateway_model_sunset_timestamp_seconds", sunset) == 1_799_884_800
    info = {"route": "forum-reply", "role": "fallback", "provider": "there", "model": "model-of-luna"}
    assert value("gateway_route_target_info", info) == 1


def test_no_series_is_beyond_the_configuration(registry: CollectorRegistry, running: Running) -> None:
    running.board.failed(a_primary(model="somebody-elses"))
    running.board.suspect(a_primary(provider=a_provider(name="removed")))
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    assert {sample.labels["model"] for sample in samples if "model" in sample.labels} == {FINE_TUNE, "model-of-luna"}
    assert {sample.labels["provider"] for sample in samples if "provider" in sample.labels} == {"here", "there"}
    assert {sample.labels["route"] for sample in samples if "route" in sample.labels} == {"forum-reply", "tone-rewrite"}
    identities = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
    assert len(set(identities)) == len(identities), "two routes that share a target have one series of it"


def test_a_route_that_is_held_by_hand_says_so(registry: CollectorRegistry, running: Running, clock: FakeClock) -> None:
    running.board.agree({}, {"forum-reply": Command("luna", "a trial", "kim", clock.now())})
    assert registry.get_sample_value("gateway_route_commanded", {"route": "forum-reply"}) == 1.0
    assert registry.get_sample_value("gateway_route_commanded", {"route": "tone-rewrite"}) == 0.0
    assert {reason for reason, value in active(registry).items() if value} == {"commanded"}


def test_sources_that_disagree_are_all_shown(clock: FakeClock) -> None:
    other = ModelDates(shutdown=datetime(2027, 2, 1, tzinfo=UTC).date(), source="a mail")
    configured = some_routes(ROUTES[0], lifecycle={"here": {FINE_TUNE: other}})
    upstreams = {name: Upstream(each, HttpClient(), {}, clock) for name, each in configured.providers.items()}
    snapshot = Snapshot(configured, upstreams, metrics=Metrics(), clock=clock)
    registry = CollectorRegistry()
    board = TargetBoard(clock, lambda target, carefully: None)
    registry.register(TargetCollector(Running(snapshot, board)))
    labels = {"provider": "here", "model": FINE_TUNE}
    name = "gateway_model_sunset_timestamp_seconds"
    assert registry.get_sample_value(name, labels | {"source": "routes.yaml"}) == 1_801_440_000
    assert registry.get_sample_value(name, labels | {"source": "curated"}) == 1_799_884_800


LIVING = "gateway_route_living_targets"


def test_living_targets_are_those_that_could_answer_now(registry: CollectorRegistry, running: Running) -> None:
    value = registry.get_sample_value
    assert (value(LIVING, {"route": "forum-reply"}), value(LIVING, {"route": "tone-rewrite"})) == (2, 1)
    running.board.verified(key_of(PRIMARY), Availability.GONE)
    assert value(LIVING, {"route": "forum-reply"}) == 1
    running.board.verified(("there", "model-of-luna"), Availability.GONE)
    assert (value(LIVING, {"route": "forum-reply"}), value(LIVING, {"route": "tone-rewrite"})) == (0, 0)


def test_nobody_counts_on_a_suspect(registry: CollectorRegistry, running: Running) -> None:
    running.board.verified(("there", "model-of-luna"), Availability.GONE)
    running.board.suspect(PRIMARY)
    assert registry.get_sample_value(LIVING, {"route": "forum-reply"}) == 0


def test_the_primarys_end_is_one_date_whatever_sources_say(registry: CollectorRegistry) -> None:
    name = "gateway_route_primary_sunset_timestamp_seconds"
    labels = {"route": "forum-reply", "owner": "", "provider": "here", "model": FINE_TUNE}
    assert registry.get_sample_value(name, labels | {"base": "gpt-4o-mini-2024-07-18"}) == 1_799_884_800
    ends = [sample.labels["route"] for metric in registry.collect() for sample in metric.samples if sample.name == name]
    assert ends == ["forum-reply"], "a route without a primary has no end of it"


def test_a_route_says_whose_it_is_and_what_its_primary_was_trained_from(registry: CollectorRegistry) -> None:
    info = [s.labels for metric in registry.collect() for s in metric.samples if s.name == "gateway_route_info"]
    assert info == [
        {"route": "forum-reply", "owner": "", "base": "gpt-4o-mini-2024-07-18"},
        {"route": "tone-rewrite", "owner": "", "base": ""},
    ]


def objectives(clock: FakeClock, slo: Slo) -> dict[str, float]:
    configured = some_routes(a_route(slo=slo))
    upstreams = {name: Upstream(each, HttpClient(), {}, clock) for name, each in configured.providers.items()}
    board = TargetBoard(clock, lambda target, carefully: None)
    running = Running(Snapshot(configured, upstreams, metrics=Metrics(), clock=clock), board)
    registry = CollectorRegistry()
    registry.register(RouteCollector(running, Exercised(lambda: None, clock)))
    return {
        sample.labels["objective"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "gateway_route_objective"
    }


def test_objectives_are_exported_and_none_is_made_up_for_the_first_token(clock: FakeClock) -> None:
    assert objectives(clock, Slo()) == {"availability": 0.99, "intended": 0.9}
    assert objectives(clock, Slo(availability=0.995, first_token_s=2.0)) == {
        "availability": 0.995,
        "intended": 0.9,
        "first_token_seconds": 2.0,
    }


def test_until_the_ledger_was_read_nobody_says_never(registry: CollectorRegistry, exercised: Exercised) -> None:
    name, labels = "gateway_route_fallback_exercised_timestamp_seconds", {"route": "forum-reply"}
    assert registry.get_sample_value(name, labels) is None
    exercised.answered("forum-reply", 1_790_000_000.0)
    exercised.answered("forum-reply", 1_780_000_000.0)
    assert registry.get_sample_value(name, labels) == 1_790_000_000.0
