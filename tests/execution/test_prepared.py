from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.config.routes import Contract, Cutover, ModelDates, Prompt, Route
from gateway.errors import InvalidRequest, RouteNotFound
from gateway.execution.answer_headers import header_value
from gateway.execution.pins import read_pin
from gateway.execution.prepared import Snapshot
from gateway.execution.target_board import TargetBoard
from gateway.metrics import Metrics
from gateway.policy.planner import Pin
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Reason
from tests.example_routes import FINE_TUNE, a_fallback, a_primary, a_provider, a_route, some_routes
from tests.fake_clock import FakeClock

OPERATOR = {"here": {FINE_TUNE: ModelDates(announced=date(2026, 10, 14), shutdown=date(2027, 1, 14), source="a mail")}}
SANDBOX = a_provider(kind="sandbox")
MORTAL = (FINE_TUNE, a_fallback().model)
UNDATED = a_primary(provider=SANDBOX)


def a_snapshot(*routes: Route, clock: FakeClock | None = None, **fields: Any) -> Snapshot:
    configured, clock, client = some_routes(*routes, **fields), clock or FakeClock(), HttpClient()
    upstreams = {name: Upstream(provider, client, {}, clock) for name, provider in configured.providers.items()}
    return Snapshot(configured, upstreams, metrics=Metrics(), clock=clock)


@pytest.fixture
def board() -> TargetBoard:
    return TargetBoard(FakeClock(), lambda target, carefully: None)


# Which route is meant.

TWO = (a_fallback("luna"), a_fallback("terra"))


@pytest.mark.parametrize(
    ("model", "pin"),
    [
        pytest.param("forum-reply", None, id="a route's name"),
        pytest.param("forum-reply@primary", Pin("primary"), id="the primary"),
        pytest.param("forum-reply@fallback", Pin("fallback"), id="the fallbacks"),
        pytest.param("forum-reply@terra", Pin("terra"), id="a fallback by its name"),
        pytest.param("forum-reply@2027-01-14", Pin(at=datetime(2027, 1, 14, tzinfo=UTC)), id="a day"),
    ],
)
def test_what_model_names(model: str, pin: Pin | None) -> None:
    prepared, found = a_snapshot(a_route(fallbacks=TWO)).find(model)
    assert prepared.route.name == "forum-reply"
    assert found == pin


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        pytest.param("forum-replay", RouteNotFound, "Did you mean forum-reply?", id="a typo: the nearest is named"),
        pytest.param("gpt-4o", RouteNotFound, "GET /v1/models", id="nothing near: where the list is"),
        pytest.param("nothing@primary", RouteNotFound, "'nothing'", id="a pin of no route"),
        pytest.param("forum-reply@tera", InvalidRequest, "primary, luna, terra, fallback", id="a pin of no target"),
        pytest.param("forum-reply@2027-02-30", InvalidRequest, "2027-01-14", id="a day that does not exist"),
        pytest.param("forum-reply@", InvalidRequest, "behind '@' stands", id="nothing behind the @"),
        pytest.param("forum-reply@primary@primary", InvalidRequest, "primary@primary", id="two pins"),
    ],
)
def test_a_model_that_names_nothing(model: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        a_snapshot(a_route(fallbacks=TWO)).find(model)
    assert words in str(raised.value)


def test_an_absurdly_long_name_is_not_repeated_in_full() -> None:
    for model in ("x" * 10_000, "forum-reply@" + "x" * 10_000):
        with pytest.raises((RouteNotFound, InvalidRequest)) as raised:
            a_snapshot().find(model)
        assert len(str(raised.value)) < 500


def test_a_route_without_fallbacks_has_no_such_pin() -> None:
    with pytest.raises(InvalidRequest):
        read_pin(a_route(fallbacks=()), "fallback")


def test_a_route_without_a_primary_has_no_such_pin() -> None:
    with pytest.raises(InvalidRequest):
        read_pin(a_route(primary=None), "primary")


# What every answer's headers say.


def headers_of(snapshot: Snapshot, target: str, route: str = "forum-reply") -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in snapshot.prepared[route].targets[target].headers}


def test_headers_without_dates_say_who_answers() -> None:
    route = a_route(primary=UNDATED, fallbacks=(a_fallback(provider=SANDBOX),))
    assert headers_of(a_snapshot(route), "luna") == {
        "x-gateway-route": "forum-reply",
        "x-gateway-provider": "here",
        "x-gateway-model": "model-of-luna",
        "x-gateway-served-by": "fallback",
    }


@pytest.mark.parametrize("target", ["primary", "luna"])
def test_headers_of_a_deprecated_primary_say_since_when_and_who_follows(target: str) -> None:
    headers = headers_of(a_snapshot(lifecycle=OPERATOR), target)
    assert headers["x-gateway-primary-shutdown"] == "2027-01-14"
    assert headers["deprecation"] == "@1791936000"
    assert headers["link"] == '</v1/models/forum-reply@fallback>; rel="successor-version"'
    assert "sunset" not in headers


def test_sunset_is_said_only_where_nobody_will_follow() -> None:
    headers = headers_of(a_snapshot(a_route(fallbacks=()), lifecycle=OPERATOR), "primary")
    assert headers["sunset"] == "Thu, 14 Jan 2027 00:00:00 GMT"
    assert "link" not in headers


def test_a_date_that_was_never_announced_counts_from_the_day_it_is_known() -> None:
    ours = a_primary(model="our-tune", base=None)
    dates = {"here": {"our-tune": ModelDates(shutdown=date(2027, 1, 14), source="a mail")}}
    headers = headers_of(a_snapshot(a_route(primary=ours), lifecycle=dates), "primary")
    assert headers["deprecation"] == f"@{int(datetime(2026, 11, 23, tzinfo=UTC).timestamp())}"


def test_a_fallback_that_stops_as_well_is_no_successor() -> None:
    dates = {"here": {name: ModelDates(shutdown=date(2027, 1, 14), source="a mail") for name in MORTAL}}
    headers = headers_of(a_snapshot(lifecycle=dates), "primary")
    assert "sunset" in headers
    assert "link" not in headers


def test_a_tentative_date_is_told_and_is_no_deprecation() -> None:
    tentative = ModelDates(shutdown=date(2027, 1, 14), certainty="tentative", source="a mail")
    headers = headers_of(a_snapshot(lifecycle={"here": {FINE_TUNE: tentative}}), "primary")
    assert headers["x-gateway-primary-shutdown"] == "2027-01-14"
    assert "deprecation" not in headers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("gpt-6-luna", b"gpt-6-luna", id="plain"),
        pytest.param("a\r\nset-cookie: x", b"a??set-cookie: x", id="line ends cannot start a header"),
        pytest.param("modèle", b"mod?le", id="what is not ASCII"),
        pytest.param("a\x00\x7fb", b"a??b", id="control characters"),
    ],
)
def test_text_as_a_headers_value(text: str, value: bytes) -> None:
    assert header_value(text) == value


def test_headers_for_a_reason_are_built_once_and_say_it() -> None:
    prepared = a_snapshot().prepared["forum-reply"].targets["luna"]
    headers = prepared.headers_because(Reason.GONE, b"application/json")
    assert (b"x-gateway-reason", b"gone") in headers
    assert (b"content-type", b"application/json") in headers
    assert prepared.headers_because(Reason.GONE, b"application/json") is headers
    assert (b"x-gateway-reason", b"timeout") in prepared.headers_because(Reason.TIMEOUT, b"application/json")


# What is built once of a target.


def test_a_contract_is_asked_of_fallbacks_and_not_of_the_fine_tune_that_knows_it_by_heart() -> None:
    route = a_route(contract=Contract(name="c", json_schema={"type": "object"}, strict=True))
    targets = a_snapshot(route).prepared["forum-reply"].targets
    assert targets["primary"].contract_format is None
    assert targets["luna"].contract_format is not None
    assert targets["luna"].contract_format["json_schema"]["name"] == "c"


def test_a_contracts_checker_tells_what_keeps_it() -> None:
    schema = {"type": "object", "required": ["total"]}
    prepared = a_snapshot(a_route(contract=Contract(name="c", json_schema=schema, strict=False))).prepared[
        "forum-reply"
    ]
    assert prepared.checker.is_valid({"total": 1})
    assert not prepared.checker.is_valid({})
    assert a_snapshot().prepared["forum-reply"].checker is None


def test_a_prompt_is_rendered_once_and_named_by_its_version() -> None:
    prompt = Prompt(version="0123456789ab", instructions="Be brief.")
    targets = a_snapshot(a_route(fallbacks=(a_fallback(prompt=prompt),))).prepared["forum-reply"].targets
    assert targets["luna"].prompt_prefix == ({"role": "system", "content": "Be brief."},)
    assert targets["luna"].prompt_version == "0123456789ab"
    assert (targets["primary"].prompt_prefix, targets["primary"].prompt_version) == ((), None)


# Plans that are kept while nothing changes that they depend on.


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2027, 1, 13, 23, 59, 59, tzinfo=UTC))


@pytest.fixture
def dated(clock: FakeClock) -> Snapshot:
    return a_snapshot(clock=clock, lifecycle=OPERATOR)


def reason_of(snapshot: Snapshot, board: TargetBoard, pin: Pin | None = None) -> Reason | None:
    return snapshot.plan(snapshot.prepared["forum-reply"], pin, board, None).steps[0].reason


def test_a_plan_is_kept_while_nothing_changes(dated: Snapshot, board: TargetBoard) -> None:
    prepared = dated.prepared["forum-reply"]
    assert dated.plan(prepared, None, board, None) is dated.plan(prepared, None, board, None)


def test_a_kept_plan_ends_at_midnight(dated: Snapshot, board: TargetBoard, clock: FakeClock) -> None:
    assert reason_of(dated, board) is Reason.PRIMARY
    clock.advance(1)
    assert reason_of(dated, board) is Reason.SHUTDOWN_REACHED


def test_a_kept_plan_ends_when_the_board_changes(dated: Snapshot, board: TargetBoard) -> None:
    assert reason_of(dated, board) is Reason.PRIMARY
    board.suspect(a_primary())
    assert reason_of(dated, board) is Reason.SUSPECT


def test_a_rest_that_is_over_needs_no_change_to_be_noticed() -> None:
    clock = FakeClock()
    snapshot = a_snapshot(a_route(fallback_on=frozenset(("rate_limited",))), clock=clock)
    board = TargetBoard(clock, lambda target, carefully: None)
    board.rests(a_primary(), 10)
    assert reason_of(snapshot, board) is Reason.RESTING
    clock.advance(10)
    assert reason_of(snapshot, board) is Reason.PRIMARY


def test_pins_have_plans_of_their_own(dated: Snapshot, board: TargetBoard) -> None:
    assert reason_of(dated, board, Pin("luna")) is Reason.PINNED
    assert reason_of(dated, board, Pin(at=datetime(2027, 2, 1, tzinfo=UTC))) is Reason.SHUTDOWN_REACHED
    assert reason_of(dated, board) is Reason.PRIMARY


@pytest.mark.parametrize(
    ("day", "on_it"),
    [
        pytest.param("2026-12-24", False, id="at its first instant nobody has moved yet"),
        pytest.param("2026-12-25", True, id="on it"),
        pytest.param("2026-12-31", False, id="at its end everybody has"),
    ],
)
def test_conversations_matter_only_on_the_ramp(day: str, on_it: bool) -> None:
    route = a_route(cutover=Cutover(days_before=14, ramp_days=7))
    clock = FakeClock(datetime.fromisoformat(day).replace(tzinfo=UTC))
    snapshot = a_snapshot(route, clock=clock, lifecycle=OPERATOR)
    assert snapshot.ramps(snapshot.prepared["forum-reply"]) is on_it


def test_on_the_ramp_each_conversation_has_its_own_plan(board: TargetBoard) -> None:
    route = a_route(cutover=Cutover(days_before=14, ramp_days=7))
    clock = FakeClock(datetime(2026, 12, 27, 12, tzinfo=UTC))
    snapshot = a_snapshot(route, clock=clock, lifecycle=OPERATOR)
    prepared = snapshot.prepared["forum-reply"]
    reasons = [snapshot.plan(prepared, None, board, place).steps[0].reason for place in (0.1, 0.9, 0.1)]
    assert reasons == [Reason.DEPRECATED_RAMP, Reason.PRIMARY, Reason.DEPRECATED_RAMP]
