"""What is captured is kept once per input, within bounds, for a time, and never in the way."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from fake_clock import FakeClock
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.config.routes_learning import Capture
from gateway.learning.capture.worker import MAX_ROWS, MAX_WAITING_BYTES, CaptureWorker
from gateway.policy.inputs import input_id
from gateway.reasons import Role
from gateway.store.captured import CapturedStore, digest_of
from gateway.store.database import Database
from gateway.store.deletions import DeletionStore
from tests.learning.seen_requests import (
    ASKED,
    NOW,
    PLANTED,
    SECRETS,
    a_route,
    answered,
    everything,
    said,
    seen,
    streamed,
    written,
)


async def test_of_a_request_only_messages_tools_and_format_are_kept(store: CapturedStore) -> None:
    kept = {"messages": ASKED, "tools": [{"type": "function", "function": {"name": "f"}}]}
    body = {
        **kept,
        "response_format": {"type": "json_object"},
        "user": "jane",
        "temperature": 0.2,
        "metadata": {"a": "b"},
    }
    rows, _ = await written(store, seen(body, prompt_version="abc", role=Role.FALLBACK))
    assert orjson.loads(rows[0].request) == {**kept, "response_format": {"type": "json_object"}}
    assert orjson.loads(rows[0].answer) == {"role": "assistant", "content": "on its way"}
    assert (rows[0].role, rows[0].prompt_version, rows[0].captured_at) == (Role.FALLBACK, "abc", NOW)
    assert rows[0].expires_at == NOW + timedelta(days=30)


USERS = {
    "user": ({"user": "jane", "safety_identifier": "kim"}, "jane"),
    "safety_identifier": ({"user": "", "safety_identifier": "kim", "metadata": {"user_id": "lee"}}, "kim"),
    "metadata.user_id": ({"user": None, "metadata": {"user_id": "lee"}}, "lee"),
    "nobody": ({"user": 4711, "metadata": ["user_id"]}, None),
}


@pytest.mark.parametrize(("named", "user"), USERS.values(), ids=USERS)
async def test_the_user_is_kept_as_a_digest(
    store: CapturedStore, path: Path, named: dict[str, Any], user: str | None
) -> None:
    rows, _ = await written(store, seen({"messages": ASKED, **named}))
    assert [row.user_digest for row in rows] == [digest_of(user) if user else None]
    assert b"jane" not in everything(path)


async def test_one_input_is_kept_once_also_where_only_the_redacted_differs(store: CapturedStore) -> None:
    bodies = [said("I am a@example.com"), said(" I am  b@example.org"), said("I am nobody"), said("I am a@example.com")]
    rows, outcomes = await written(store, *map(seen, bodies))
    assert outcomes == {"kept": 2, "duplicate": 2}
    asked = [[{"role": "user", "content": content}] for content in ("I am [email]", "I am nobody")]
    assert sorted(row.input_id for row in rows) == sorted(map(input_id, asked))


async def test_a_tenants_rows_are_marked_as_theirs(store: CapturedStore) -> None:
    rows, _ = await written(store, seen(route=a_route(tenant="acme")), tenant="acme")
    assert [row.tenant for row in rows] == ["acme"]
    assert await store.of_route("forum-reply", None) == []


async def test_a_route_that_does_not_capture_keeps_nothing(store: CapturedStore) -> None:
    assert await written(store, seen(route=a_route(None))) == ([], Counter())


async def test_what_is_larger_than_the_route_allows_is_not_kept(store: CapturedStore) -> None:
    route = a_route(Capture(share=1.0, max_bytes=300))
    fits = 300 - len(orjson.dumps(said(""))) - len(orjson.dumps({"role": "assistant", "content": ""}))
    whole, stream = answered(content="y" * (fits - 10)), [streamed(*({"content": "y"} for _ in range(fits - 10)))]
    rows, outcomes = await written(
        store,
        seen(said("x" * 10), whole, route=route),
        seen(said("z" * 11), whole, route=route),
        seen(said("X" * 10), None, route=route, blocks=stream),
        seen(said("Z" * 11), None, route=route, blocks=stream),
        seen(said("x" * 300), route=route),
        # A stream that was longer than may be held.
        seen(said("x"), answer=None, blocks=None, route=route),
    )
    assert outcomes == {"kept": 2, "too_large": 4}
    assert {len(row.request.encode()) + len(row.answer.encode()) for row in rows} == {300}


async def test_beyond_a_thousand_waiting_rows_more_are_dropped_and_counted() -> None:
    outcomes: Counter[str] = Counter()
    worker = CaptureWorker(lambda: None, FakeClock(), lambda route, outcome: outcomes.update([outcome]))
    for number in range(MAX_ROWS + 5):
        worker.submit(seen(said(f"number {number}")))
    assert (worker.waiting, outcomes) == (MAX_ROWS, {"dropped": 5})


async def test_beyond_64_mib_of_waiting_rows_more_are_dropped_and_counted() -> None:
    outcomes: Counter[str] = Counter()
    worker = CaptureWorker(lambda: None, FakeClock(), lambda route, outcome: outcomes.update([outcome]))
    half = bytes(MAX_WAITING_BYTES // 2 - 1024)
    for _ in range(3):
        worker.submit(seen(answer=None, blocks=[half]))
    worker.submit(seen())
    assert (worker.waiting, outcomes) == (3, {"dropped": 1})


async def test_rows_wait_while_there_is_no_database_and_are_written_when_it_is_there(store: CapturedStore) -> None:
    clock, there, outcomes = FakeClock(), False, Counter[str]()
    worker = CaptureWorker(lambda: store if there else None, clock, lambda route, outcome: outcomes.update([outcome]))
    async with running(worker):
        worker.submit(seen())
        await until(lambda: clock.sleepers == 2, clock, step=0)
        await until(lambda: clock.monotonic() > 30, clock)
        assert (worker.waiting, outcomes) == (1, {})
        there = True
        await until(lambda: worker.waiting == 0, clock)
    await worker.close(1)
    assert outcomes == {"kept": 1}


async def test_rows_wait_while_the_database_is_locked_and_are_written_once_it_is_free(
    store: CapturedStore, path: Path
) -> None:
    clock, outcomes = FakeClock(), Counter[str]()
    worker = CaptureWorker(lambda: store, clock, lambda route, outcome: outcomes.update([outcome]))
    with closing(sqlite3.connect(path, isolation_level=None)) as other, capture_logs() as logs:
        other.execute("BEGIN IMMEDIATE")
        worker.submit(seen(said(PLANTED)))
        async with running(worker):
            await until(lambda: any(log["event"] == "capture_database_unavailable" for log in logs), clock)
            assert (worker.waiting, outcomes) == (1, {})
            other.execute("ROLLBACK")
            await until(lambda: worker.waiting == 0, clock)
        await worker.close(1)
    assert outcomes == {"kept": 1}
    assert [secret for secret in SECRETS if secret in str(logs)] == []


async def test_closing_gives_up_in_time_what_cannot_be_written() -> None:
    clock, outcomes = FakeClock(), Counter[str]()
    worker = CaptureWorker(lambda: None, clock, lambda route, outcome: outcomes.update([outcome]))
    worker.submit(seen())
    ending = asyncio.create_task(worker.close(3))
    await until(ending.done, clock)
    worker.submit(seen())
    assert (worker.waiting, outcomes) == (0, {"dropped": 2})
    assert 3 <= clock.monotonic() < 5


async def test_a_running_worker_deletes_once_an_hour_what_is_past_its_time(store: CapturedStore) -> None:
    await written(store, seen(route=a_route(Capture(share=1.0, retention_days=1))), seen(said("keep me")))
    clock = FakeClock()
    worker = CaptureWorker(lambda: store, clock, lambda route, outcome: None)
    async with running(worker):
        await until(lambda: clock.sleepers == 1, clock, step=0)
        clock.advance(86_400 - 3_600)
        await until(lambda: clock.sleepers == 1, clock, step=0)
        assert len(await store.of_route("forum-reply", None)) == 2
        clock.advance(3_600)
        await until(lambda: clock.sleepers == 1, clock, step=0)
    rows = await store.of_route("forum-reply", None)
    assert [orjson.loads(row.request) for row in rows] == [said("keep me")]


async def test_a_row_in_the_works_when_the_worker_is_cancelled_is_written_by_close(store: CapturedStore) -> None:
    outcomes: Counter[str] = Counter()
    worker = CaptureWorker(lambda: store, SystemClock(), lambda route, outcome: outcomes.update([outcome]))
    async with running(worker):
        for number in range(20):
            worker.submit(seen(said(f"number {number}")))
        # It has begun: the first row is in a thread, or just out of it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await worker.close(60)
    assert len(await store.of_route("forum-reply", None)) == 20
    assert outcomes.total() == 20


async def test_what_was_submitted_may_change_afterwards(store: CapturedStore) -> None:
    body = said("as it came")
    worker = CaptureWorker(lambda: store, FakeClock(), lambda route, outcome: None)
    worker.submit(seen(body))
    body["messages"][0]["content"] = "as another target got it"
    await worker.close(60)
    rows = await store.of_route("forum-reply", None)
    assert [orjson.loads(row.request) for row in rows] == [said("as it came")]


NEVER_ENDS = "a" * 60 + "c"
BACKTRACKS = Capture(share=1.0, patterns={"staff": "(a+)+b"})


@pytest.mark.rig
async def test_a_pattern_that_never_ends_holds_up_neither_the_event_loop_nor_other_rows(store: CapturedStore) -> None:
    outcomes = Counter[tuple[str, str]]()
    worker = a_worker_with_a_short_deadline(store, outcomes)
    other = a_route().model_copy(update={"name": "other"})
    with capture_logs() as logs:
        async with running(worker), longest_pause() as pauses:
            for number in range(5):
                worker.submit(seen(said(f"{number} {NEVER_ENDS}"), route=a_route(BACKTRACKS)))
                worker.submit(seen(said(f"{number} is fine"), route=other))
            await until(lambda: worker.waiting == 0, FakeClock())
            # It is known by now: not even waited for.
            worker.submit(seen(said(f"6 {NEVER_ENDS}"), route=a_route(BACKTRACKS)))
            assert worker.waiting == 0
    assert outcomes == {("forum-reply", "refused"): 6, ("other", "kept"): 5}
    assert max(pauses) < 0.4
    told = [log["event"] for log in logs if log["event"] in ("capture_redaction_expired", "capture_given_up")]
    assert told == ["capture_redaction_expired", "capture_given_up"]
    assert "aaa" not in str(logs)
    await worker.close(1)


@pytest.mark.rig
async def test_a_route_that_was_given_up_captures_again_with_other_settings(store: CapturedStore) -> None:
    outcomes = Counter[tuple[str, str]]()
    worker = a_worker_with_a_short_deadline(store, outcomes)
    async with running(worker):
        for number in range(4):
            worker.submit(seen(said(f"{number} {NEVER_ENDS}"), route=a_route(BACKTRACKS)))
        await until(lambda: worker.waiting == 0, FakeClock())
        worker.submit(seen(said(NEVER_ENDS), route=a_route(Capture(share=1.0, patterns={"staff": "a++b"}))))
        await until(lambda: worker.waiting == 0, FakeClock())
    assert outcomes == {("forum-reply", "refused"): 4, ("forum-reply", "kept"): 1}
    await worker.close(1)


@pytest.mark.rig
async def test_rows_that_end_in_between_keep_a_route_capturing(store: CapturedStore) -> None:
    outcomes = Counter[tuple[str, str]]()
    worker = a_worker_with_a_short_deadline(store, outcomes)
    for text in (NEVER_ENDS, NEVER_ENDS, "fine", NEVER_ENDS, NEVER_ENDS, "fine, too"):
        worker.submit(seen(said(text), route=a_route(BACKTRACKS)))
    await worker.close(60)
    assert outcomes == {("forum-reply", "refused"): 4, ("forum-reply", "kept"): 2}


async def test_closing_does_not_wait_for_a_pattern_that_never_ends(store: CapturedStore) -> None:
    outcomes: Counter[str] = Counter()
    worker = CaptureWorker(lambda: store, SystemClock(), lambda route, outcome: outcomes.update([outcome]), 60)
    worker.submit(seen(said(NEVER_ENDS), route=a_route(BACKTRACKS)))
    async with asyncio.timeout(20):
        await worker.close(1)
    assert outcomes == {"dropped": 1}


async def test_what_waits_for_its_turn_while_its_user_is_deleted_is_never_written(
    store: CapturedStore, database: Database, path: Path
) -> None:
    outcomes: Counter[str] = Counter()
    worker = CaptureWorker(lambda: store, FakeClock(), lambda route, outcome: outcomes.update([outcome]))
    worker.submit(seen({**said("the word is lavender"), "user": "jane"}))
    worker.submit(seen({**said("the word is marigold"), "user": "kim"}))
    wished = {"deletion_id": str(UUID(int=77)), "by": "kim", "user": "jane"}
    await DeletionStore(database).delete(**wished, now=NOW + timedelta(seconds=1))
    await worker.close(60)
    assert outcomes == {"deleted": 1, "kept": 1}
    assert [word in everything(path) for word in (b"lavender", b"marigold")] == [False, True]


def a_worker_with_a_short_deadline(store: CapturedStore, outcomes: Counter[tuple[str, str]]) -> CaptureWorker:
    def count(route: str, outcome: str) -> None:
        outcomes.update([(route, outcome)])

    return CaptureWorker(lambda: store, SystemClock(), count, deadline_s=1.0)


@asynccontextmanager
async def longest_pause() -> AsyncIterator[list[float]]:
    """Note for how long the event loop did not come round, in seconds."""
    pauses: list[float] = []

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            pauses.append(time.perf_counter() - before)

    task = asyncio.create_task(watch())
    try:
        yield pauses
    finally:
        task.cancel()


@asynccontextmanager
async def running(worker: CaptureWorker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool], clock: FakeClock, step: float = 0.5) -> None:
    """Let tasks and their threads run, moving the clock, until something is so."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.001)
            clock.advance(step)
