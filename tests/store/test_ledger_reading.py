"""What the ledger's commands read: pages of rows, what is there at all, what was answered twice."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.reasons import Outcome
from gateway.store.database import Database
from gateway.store.ledger_export import COLUMNS, Chosen, LedgerRows
from gateway.store.ledger_status import LedgerStatus
from gateway.store.usage import Checkpoint, UsageStore
from tests.store.rows import START, an_entry, entries

EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))


async def read(database: Database, chosen: Chosen, rows: int) -> list[list[str]]:
    at = COLUMNS.index("request_id")
    return [[row[at] for row in page] async for page in LedgerRows(database).pages(chosen, rows=rows)]


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        pytest.param(4, [4, 4, 2], id="a last page that is not full"),
        pytest.param(5, [5, 5], id="a last page that is full"),
        pytest.param(100, [10], id="one page"),
        pytest.param(1, [1] * 10, id="a row a page"),
    ],
)
async def test_pages_hold_every_row_once_in_the_keys_order(
    store: UsageStore, database: Database, rows: int, sizes: list[int]
) -> None:
    await store.insert_attempts(entries(10))
    pages = await read(database, Chosen(*EVER), rows)
    assert [len(page) for page in pages] == sizes
    assert [id_ for page in pages for id_ in page] == [f"req-{number}" for number in range(10)]


async def test_a_row_comes_back_as_it_went_in(store: UsageStore, database: Database) -> None:
    entry = an_entry(tags={"team": "a"}, cost_nanousd=None, ttft_ms=12.5, usage_rejected=True, stream=True)
    await store.insert_attempts([entry])
    (page,) = [page async for page in LedgerRows(database).pages(Chosen(*EVER))]
    assert page == [tuple(entry)]


async def test_rows_are_chosen_by_period_route_and_kind(store: UsageStore, database: Database) -> None:
    hour = timedelta(hours=1)
    rows = [
        an_entry(request_id="a"),
        an_entry(hour, request_id="b", route="other"),
        an_entry(2 * hour, request_id="c", kind="probe"),
        an_entry(3 * hour, request_id="d"),
    ]
    await store.insert_attempts(rows)
    assert await read(database, Chosen(START + hour, START + 3 * hour), 10) == [["b", "c"]]
    assert await read(database, Chosen(*EVER, route="other"), 10) == [["b"]]
    assert await read(database, Chosen(*EVER, kind="live"), 2) == [["a", "b"], ["d"]]
    assert await read(database, Chosen(*EVER, route="nobody"), 2) == []
    assert await LedgerRows(database).span(Chosen(START + hour, EVER[1])) == (START + hour, START + 3 * hour)
    assert await LedgerRows(database).span(Chosen(EVER[0], START)) is None


async def test_rows_that_come_meanwhile_neither_shift_a_page_nor_double_a_row(
    store: UsageStore, database: Database
) -> None:
    await store.insert_attempts(entries(4))
    pages = LedgerRows(database).pages(Chosen(*EVER), rows=2)
    first = await anext(pages)
    await store.insert_attempts([an_entry(timedelta(microseconds=-900), request_id="earlier")])
    rest = [row[1] async for page in pages for row in page]
    assert [row[1] for row in first] + rest == ["req-0", "req-1", "req-2", "req-3"]


async def test_what_is_there(store: UsageStore, database: Database) -> None:
    status = LedgerStatus(database)
    nothing = await status.holding()
    assert (nothing.rows, nothing.first_at, nothing.last_at, nothing.first_hour) == (0, None, None, None)
    assert nothing.bytes > 0
    await store.insert_attempts([*entries(5), an_entry(timedelta(hours=3))], Checkpoint("j", 2, 900))
    there = await status.holding()
    assert (there.rows, there.first_at, there.last_at) == (6, START, START + timedelta(hours=3))
    assert (there.first_hour, there.last_hour) == (
        datetime(2026, 11, 23, 12, tzinfo=UTC),
        START.replace(hour=15, microsecond=0),
    )
    noted = (await status.noted())["j"]
    assert (noted.segment, noted.offset) == (2, 900)


async def test_rows_are_counted_from_the_first_that_is_left(store: UsageStore, database: Database) -> None:
    await store.insert_attempts([an_entry(), an_entry(timedelta(hours=5)), an_entry(timedelta(hours=6))])
    await store.delete_older(START + timedelta(hours=2), 100)
    there = await LedgerStatus(database).holding()
    assert (there.rows, there.first_at) == (2, START + timedelta(hours=5))


async def test_which_attempts_have_their_row(store: UsageStore, database: Database) -> None:
    here, away = entries(2)
    await store.insert_attempts([here])
    assert await LedgerStatus(database).present([here.attempt_id, away.attempt_id]) == {here.attempt_id}


async def test_what_has_no_price(store: UsageStore, database: Database) -> None:
    unpriced = {"cost_nanousd": None, "model_answered": "new"}
    await store.insert_attempts([an_entry(), an_entry(**unpriced), an_entry(timedelta(minutes=1), **unpriced)])
    (found,) = await LedgerStatus(database).unpriced(*EVER)
    assert (found.provider, found.model, found.attempts, found.tokens) == ("openai", "new", 2, 2700)
    assert await LedgerStatus(database).unpriced(START + timedelta(hours=1), EVER[1]) == []


@pytest.mark.parametrize(
    ("second", "twice"),
    [
        pytest.param({}, 1, id="two good answers"),
        pytest.param({"outcome": Outcome.FAILED}, 0, id="a failed attempt and its fallback"),
        pytest.param({"kind": "rehearsal"}, 0, id="an answer and its rehearsal"),
        pytest.param({"request_id": "another"}, 0, id="two requests"),
    ],
)
async def test_who_was_answered_twice(
    store: UsageStore, database: Database, second: dict[str, str], twice: int
) -> None:
    day = START.replace(hour=0, minute=0, second=0, microsecond=0)
    await store.insert_attempts([an_entry(), an_entry(timedelta(seconds=2), **second)])
    assert await LedgerStatus(database).answered_twice(day, day + timedelta(days=1)) == twice


async def test_a_request_across_midnight_is_counted_once(store: UsageStore, database: Database) -> None:
    midnight = START.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    late = midnight - START
    await store.insert_attempts([an_entry(late - timedelta(seconds=1)), an_entry(late + timedelta(seconds=1))])
    day = timedelta(days=1)
    counted = [
        await LedgerStatus(database).answered_twice(midnight + n * day, midnight + (n + 1) * day) for n in (-1, 0)
    ]
    assert counted == [1, 0]
