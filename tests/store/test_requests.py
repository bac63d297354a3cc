"""Requests are read from the newest back, whole, a page at a time, and no search is without end."""

from datetime import timedelta
from typing import Any

import pytest

from gateway.ledger.entry import Entry
from gateway.reasons import FailureKind, Outcome, Reason, Role
from gateway.store.database import Database
from gateway.store.requests import Found, RequestStore, Wanted
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
HOSTILE = "<script>alert(1)</script>\"'; DROP TABLE attempts; --\u202e"


@pytest.fixture
def requests(database: Database) -> RequestStore:
    return RequestStore(database)


def asked(second: float, request_id: str, **fields: Any) -> Entry:
    return an_entry(second * SECOND, request_id=request_id, **fields)


def failed(second: float, request_id: str, **fields: Any) -> Entry:
    return asked(second, request_id, outcome=Outcome.FAILED, failure=FailureKind.TIMEOUT, model_answered=None, **fields)


def fell_back(second: float, request_id: str, **fields: Any) -> Entry:
    luna = {"role": Role.FALLBACK, "target": "luna", "model_asked": "gpt-6-luna", "reason": Reason.TIMEOUT}
    return asked(second, request_id, **luna | fields)


def ids(found: Found) -> list[str]:
    return [attempts[0].request_id for attempts in found.requests]


async def test_the_newest_request_comes_first_with_its_attempts_in_order(
    store: UsageStore, requests: RequestStore
) -> None:
    await store.insert_attempts([asked(0, "a"), failed(1, "b"), asked(2, "c"), fell_back(3, "b")])
    found = await requests.latest(Wanted())
    assert ids(found) == ["b", "c", "a"]
    assert [row.target for row in found.requests[0]] == ["primary", "luna"]
    assert (found.before, found.stopped, found.looked_back_to) == (None, False, None)


async def test_pages_follow_each_other_without_a_gap_and_nothing_comes_twice(
    store: UsageStore, requests: RequestStore
) -> None:
    rows = []
    for number in range(23):
        rows += [failed(10 * number, f"r{number:02}"), fell_back(10 * number + 25, f"r{number:02}")]
    await store.insert_attempts(rows)
    seen: list[str] = []
    before = None
    for _ in range(30):
        page = await requests.latest(Wanted(), before, limit=5)
        seen += ids(page)
        assert all(len(attempts) == 2 for attempts in page.requests)
        if (before := page.before) is None:
            break
    assert seen == [f"r{number:02}" for number in reversed(range(23))]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(Wanted(route="triage"), ["d"], id="a route"),
        pytest.param(Wanted(target="luna"), ["b"], id="a target that one of its attempts asked"),
        pytest.param(Wanted(reason="timeout"), ["b"], id="a reason"),
        pytest.param(Wanted(outcome="failed"), ["b"], id="a request of which one attempt failed"),
        pytest.param(Wanted(outcome="failed", route="triage"), [], id="two that never come together"),
        pytest.param(Wanted(kind="probe"), ["p"], id="another kind"),
        pytest.param(Wanted(kind=None), ["p", "d", "b", "a"], id="every kind"),
        pytest.param(Wanted(route=HOSTILE), [], id="words of somebody who means harm"),
    ],
)
async def test_what_is_asked_for_is_found(
    wanted: Wanted, found: list[str], store: UsageStore, requests: RequestStore
) -> None:
    rows = [asked(0, "a"), failed(1, "b"), fell_back(2, "b"), asked(3, "d", route="triage")]
    await store.insert_attempts([*rows, asked(4, "p", kind="probe")])
    assert ids(await requests.latest(wanted)) == found


async def test_a_search_that_finds_little_stops_and_goes_on_where_it_stopped(
    store: UsageStore, database: Database
) -> None:
    await store.insert_attempts(
        [asked(0, "rare", route="rare"), *(asked(1 + number, f"r{number}") for number in range(50))]
    )
    requests = RequestStore(database, most_rows=20)
    steps, before = [], None
    for _ in range(5):
        page = await requests.latest(Wanted(route="rare"), before)
        steps.append((ids(page), page.stopped))
        assert page.stopped == (page.looked_back_to is not None)
        if (before := page.before) is None:
            break
    assert steps == [([], True), ([], True), (["rare"], False)]


async def test_a_request_is_found_by_its_id_and_where_one_comes_again_the_latest(
    store: UsageStore, requests: RequestStore
) -> None:
    again = asked(7200, "twice")
    await store.insert_attempts([asked(0, "twice"), failed(5, "other"), fell_back(6, "other"), again])
    found = await requests.of_request("twice")
    assert [row.attempt_id for row in found.requests[0]] == [again.attempt_id]
    other = (await requests.of_request("other")).requests[0]
    assert [(row.reason, row.outcome, row.failure) for row in other] == [
        ("primary", "failed", "timeout"),
        ("timeout", "ok", None),
    ]
    assert (await requests.of_request("other", at=other[1].attempt_id)).requests[0] == other
    nothing = await requests.of_request("none such")
    assert (nothing.requests, nothing.before, nothing.stopped) == ((), None, False)


async def test_the_search_for_an_id_stops_within_its_bounds_and_goes_on(store: UsageStore, database: Database) -> None:
    await store.insert_attempts([asked(0, "old"), *(asked(1 + number, f"r{number}") for number in range(30))])
    requests = RequestStore(database, most_rows=5, longest_s=60)
    first = await requests.of_request("old")
    assert (first.requests, first.stopped, first.looked_back_to) == ((), True, START + 6 * SECOND)
    second = await requests.of_request("old", before=first.before)
    assert [row.request_id for row in second.requests[0]] == ["old"]


async def test_a_row_comes_back_as_it_was_kept(store: UsageStore, requests: RequestStore) -> None:
    entry = asked(
        0,
        HOSTILE,
        tags={"feature": HOSTILE},
        key=HOSTILE,
        team=HOSTILE,
        cost_nanousd=None,
        ttft_ms=12.5,
        overhead_ms=1.5,
    )
    await store.insert_attempts([entry])
    row = (await requests.of_request(HOSTILE)).requests[0][0]
    assert {name: getattr(row, name) for name in row.__slots__} == {
        name: getattr(entry, name) for name in row.__slots__
    }
