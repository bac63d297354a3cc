from datetime import timedelta

import pytest

from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.seen_limits import LOOK_EVERY_S, SeenLimits
from gateway.metrics import Metrics
from gateway.policy.capabilities import Capabilities
from gateway.policy.lifecycle import UNKNOWN_DATES
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.providers.prices import PriceBook
from tests.example_routes import FINE_TUNE, a_primary, a_provider, a_route
from tests.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def prepared(clock: FakeClock) -> PreparedTarget:
    upstream = Upstream(a_provider(), HttpClient(), {}, clock)
    return PreparedTarget(
        a_route(), a_primary(), upstream, PriceBook({}), UNKNOWN_DATES, Capabilities(), Metrics(), FakeClock()
    )


def said(requests: int = 500, tokens: int = 30_000) -> list[tuple[bytes, bytes]]:
    return [(b"x-ratelimit-limit-requests", b"%d" % requests), (b"x-ratelimit-limit-tokens", b"%d" % tokens)]


def test_what_was_seen_is_returned_once(clock: FakeClock, prepared: PreparedTarget) -> None:
    limits = SeenLimits(clock)
    limits.look(prepared, said())
    assert limits.take_unsaved() == [("here", FINE_TUNE, 500, 30_000, clock.now())]
    assert limits.take_unsaved() == []


def test_an_answer_makes_its_target_due_again_in_a_minute(clock: FakeClock, prepared: PreparedTarget) -> None:
    assert prepared.limits_due <= clock.monotonic(), "the first answer is looked at"
    SeenLimits(clock).look(prepared, [])
    assert prepared.limits_due == clock.monotonic() + LOOK_EVERY_S


@pytest.mark.parametrize(
    ("tokens", "after", "returned"),
    [
        pytest.param(30_000, timedelta(minutes=1), False, id="unchanged: not again"),
        pytest.param(60_000, timedelta(minutes=1), True, id="changed: at once"),
        pytest.param(30_000, timedelta(hours=1), True, id="unchanged for an hour: to say that it still holds"),
    ],
)
def test_limits_are_saved_when_there_is_something_to_say(
    clock: FakeClock, prepared: PreparedTarget, tokens: int, after: timedelta, returned: bool
) -> None:
    limits = SeenLimits(clock)
    limits.look(prepared, said())
    limits.take_unsaved()
    clock.advance(after.total_seconds())
    limits.look(prepared, said(tokens=tokens))
    assert bool(limits.take_unsaved()) is returned


def test_answers_without_limits_leave_what_was_seen(clock: FakeClock, prepared: PreparedTarget) -> None:
    limits = SeenLimits(clock)
    limits.look(prepared, said())
    limits.look(prepared, [(b"content-type", b"application/json")])
    assert [row[2:4] for row in limits.take_unsaved()] == [(500, 30_000)]


def test_rows_that_could_not_be_saved_come_again_unless_newer_ones_were_seen(
    clock: FakeClock, prepared: PreparedTarget
) -> None:
    limits = SeenLimits(clock)
    limits.look(prepared, said())
    rows = limits.take_unsaved()
    limits.put_back(rows)
    assert limits.take_unsaved() == rows
    limits.look(prepared, said(tokens=60_000))
    limits.put_back(rows)
    assert [row[3] for row in limits.take_unsaved()] == [60_000]
