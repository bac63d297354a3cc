from datetime import UTC, date, datetime

import pytest

from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.listing import ListedModel, as_row, models_of_routes, shipped
from gateway.policy.availability import TargetState
from gateway.policy.lifecycle import Dates, Origin, Published
from gateway.reasons import Availability, Lifecycle
from tests.example_routes import BASE, FINE_TUNE, a_fallback, a_primary, a_provider, a_route, some_routes

TODAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
AZURE = a_provider(name="azure-eu", kind="azure", base_url="http://127.0.0.1:9/openai/v1")
ROUTES = some_routes(
    a_route(name="forum-reply", fallbacks=(a_fallback(model="gpt-6-luna"),)),
    a_route(name="triage", fallbacks=(a_fallback(model="gpt-6-luna"),)),
    a_route(name="claims", primary=a_primary(provider=AZURE, model="claims-ft"), fallbacks=()),
    a_route(name="not-trained-yet", primary=None, fallbacks=(a_fallback(model="gpt-4-0613"),)),
)


def listed(now: datetime = TODAY) -> list[ListedModel]:
    return models_of_routes(ROUTES, Calendar(ROUTES), now)


def test_each_model_stands_once_with_its_routes_and_the_earliest_to_stop_is_first() -> None:
    assert [(one.model, one.provider, one.routes, one.days_left, one.state) for one in listed()] == [
        ("gpt-4-0613", "here", ("not-trained-yet",), -31, Lifecycle.RETIRED),
        (FINE_TUNE, "here", ("forum-reply", "triage"), 52, Lifecycle.DEPRECATED),
        ("claims-ft", "azure-eu", ("claims",), 507, Lifecycle.DEPRECATED),
        ("gpt-6-luna", "here", ("forum-reply", "triage"), None, Lifecycle.ACTIVE),
    ]


@pytest.mark.parametrize(
    ("now", "state", "days_left"),
    [
        pytest.param(datetime(2027, 1, 13, 23, 59, tzinfo=UTC), Lifecycle.DEPRECATED, 1, id="the minute before"),
        pytest.param(datetime(2027, 1, 14, tzinfo=UTC), Lifecycle.RETIRED, 0, id="the first minute of the day"),
        pytest.param(datetime(2027, 1, 16, tzinfo=UTC), Lifecycle.RETIRED, -2, id="two days later"),
    ],
)
def test_the_state_on_a_day(now: datetime, state: Lifecycle, days_left: int) -> None:
    (tuned,) = (one for one in listed(now) if one.model == FINE_TUNE)
    assert (tuned.state, tuned.days_left) == (state, days_left)


def test_one_id_that_is_a_primary_here_and_a_fallback_there_is_read_as_the_fine_tune() -> None:
    tuned = a_primary(provider=AZURE, model="claims-ft", base="gpt-4.1-mini-2025-04-14")
    also = a_fallback(provider=AZURE, model="claims-ft", base="gpt-4.1-mini-2025-04-14")
    routes = some_routes(a_route(name="a", fallbacks=(also,)), a_route(name="b", primary=tuned, fallbacks=()))
    (found,) = (one for one in models_of_routes(routes, Calendar(routes), TODAY) if one.model == "claims-ft")
    assert (found.dates.shutdown, found.routes) == (date(2028, 4, 13), ("a", "b"))


def test_every_field_is_there_for_scripts() -> None:
    said = Dates(shutdown=date(2027, 2, 1), origin=Origin.PROVIDER, source="its API", read=date(2026, 11, 23))
    seen = {("here", FINE_TUNE): TargetState(Availability.GONE, 1, TODAY)}
    told = Calendar(ROUTES, {("here", FINE_TUNE): Published(FINE_TUNE, said)})
    (row,) = (as_row(one) for one in models_of_routes(ROUTES, told, TODAY, seen) if one.model == FINE_TUNE)
    (curated, litellm) = row.pop("disputed_by")
    assert row == {
        "provider": "here",
        "kind": "openai",
        "model": FINE_TUNE,
        "base": BASE,
        "routes": ["forum-reply", "triage"],
        "state": "deprecated",
        "days_left": 70,
        "availability": "gone",
        "availability_since": "2026-11-23T12:00:00+00:00",
        "announced": "2026-10-14",
        "last_training_day": "2027-01-06",
        "shutdown": "2027-02-01",
        "replacement": "gpt-6-luna",
        "certainty": "planned",
        "acts": True,
        "origin": "provider",
        "source": "its API",
        "read": "2026-11-23",
        "inherited_from": None,
        "note": None,
    }
    assert set(curated) < set(row)
    assert (curated["origin"], curated["shutdown"], curated["inherited_from"]) == ("curated", "2027-01-14", BASE)
    assert (litellm["origin"], litellm["acts"]) == ("litellm", False)


def test_of_what_is_unknown_nothing_is_claimed() -> None:
    row = as_row(next(one for one in listed() if one.model == "gpt-6-luna"))
    assert (row["shutdown"], row["certainty"], row["acts"], row["origin"], row["source"]) == (None,) * 5


def test_everything_that_ships_is_merged_vendor_by_vendor() -> None:
    models = shipped(TODAY)
    days = [one.dates.shutdown for one in models if one.dates.shutdown]
    assert days == sorted(days)
    (o3,) = (one for one in models if (one.kind, one.model) == ("azure", "o3"))
    assert (o3.provider, o3.dates.shutdown) == ("azure", date(2026, 10, 16))
    assert [other.shutdown for other in o3.dates.disputed_by] == [date(2026, 11, 19)]
    assert {"anthropic", "gemini", "together"} <= {one.kind for one in models}
