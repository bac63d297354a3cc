"""Which of the observed answers say how long a canary may take."""

from typing import Any

import pytest

from gateway.config.routes import Canary
from gateway.execution.attempts import Attempt
from gateway.execution.canary_patience import CanaryPatience
from gateway.execution.endpoints import ENDPOINTS
from gateway.execution.prepared import Snapshot
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.request import Request
from gateway.execution.sweeper import Sweeper
from gateway.execution.target_board import TargetBoard
from gateway.metrics import Metrics
from gateway.policy.promotion import CANARY
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Reason
from tests.example_routes import a_primary, a_provider, a_route, some_routes
from tests.fake_clock import FakeClock

SANDBOX = a_provider(kind="sandbox")
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}


class Traffic:
    """Answers of a route with a canary, as the pipeline has them observed."""

    def __init__(self) -> None:
        self.clock, client = FakeClock(), HttpClient()
        self.board = TargetBoard(self.clock, lambda target, carefully: None)
        canary = Canary(target=a_primary(name=CANARY, provider=SANDBOX, model="next", base=None), share=0.5)
        routes = some_routes(a_route(primary=a_primary(provider=SANDBOX), fallbacks=(), canary=canary))
        upstreams = {name: Upstream(provider, client, {}, self.clock) for name, provider in routes.providers.items()}
        self.snapshot = Snapshot(routes, upstreams, metrics=Metrics(), clock=self.clock)
        self.route = self.snapshot.prepared["forum-reply"]
        self.patience = CanaryPatience()

    @property
    def primary(self) -> PreparedTarget:
        return self.route.targets["primary"]

    def request(self, endpoint: str = "chat_completions", *, streamed: bool = False) -> Request:
        return Request(BY_NAME[endpoint], {}, "forum-reply", streamed=streamed, timeouts=self.route.route.timeouts)

    def answered(
        self,
        number: int,
        took_s: float,
        *,
        by: str = "primary",
        first_s: float | None = None,
        canary: bool,
        **asked: Any,
    ) -> None:
        """So many requests were answered; ``canary``: whether they were the canary's conversations."""
        plan = self.snapshot.plan(self.route, None, self.board, None, canary=canary)
        for _ in range(number):
            request = self.request(streamed=first_s is not None, **asked)
            attempt = Attempt(self.route.targets[by], Reason.PRIMARY, request, self.clock, Sweeper())
            if first_s is not None:
                attempt.first_at = attempt.sent_at + first_s
                attempt.prepared.meters.first_token.observe(first_s)
            attempt.prepared.meters.duration(request.endpoint.name, request.streamed).observe(took_s)
            self.patience.finished(attempt, plan, took_s)

    def limit_s(self, **asked: Any) -> float:
        return self.patience.limit_s(self.request(**asked), self.primary)


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


def test_the_primarys_own_answers_say_how_long_a_canary_may_take(traffic: Traffic) -> None:
    assert traffic.limit_s() == 600
    traffic.answered(100, 4, canary=False)
    assert traffic.limit_s() == 15


def test_what_a_failed_canary_cost_a_request_allows_the_next_one_nothing(traffic: Traffic) -> None:
    traffic.answered(100, 4, canary=False)
    traffic.answered(100, 4 + 15, canary=True)
    assert traffic.limit_s() == 15


def test_a_slow_canarys_own_answers_do_not_count(traffic: Traffic) -> None:
    traffic.answered(100, 4, canary=False)
    traffic.answered(1000, 14, by="canary", canary=True)
    assert traffic.limit_s() == 15


def test_a_primary_that_becomes_slower_allows_more(traffic: Traffic) -> None:
    traffic.answered(100, 4, canary=False)
    traffic.answered(2, 30, canary=False)
    assert traffic.limit_s() == 120


def test_a_canarys_own_answers_are_not_enough_to_know_the_primarys(traffic: Traffic) -> None:
    traffic.answered(99, 4, canary=False)
    traffic.answered(100, 4, by="canary", canary=True)
    assert traffic.limit_s() == 600


def test_a_stream_goes_by_first_events(traffic: Traffic) -> None:
    traffic.answered(100, 300, first_s=4, canary=False)
    traffic.answered(100, 300, first_s=14, by="canary", canary=True)
    assert traffic.limit_s(streamed=True) == 15
    assert traffic.limit_s() == 600, "of whole answers nothing is known"


def test_of_who_answers_after_a_canary_the_first_event_is_its_own(traffic: Traffic) -> None:
    traffic.answered(100, 300, first_s=14, canary=True)
    assert traffic.limit_s(streamed=True) == 60


def test_an_endpoint_whose_streams_begin_late_goes_by_whole_answers_of_its_own(traffic: Traffic) -> None:
    traffic.answered(100, 4, canary=False)
    assert traffic.limit_s(endpoint="speech", streamed=True) == 600
    traffic.answered(100, 30, first_s=25, endpoint="speech", canary=False)
    assert traffic.limit_s(endpoint="speech", streamed=True) == 120
