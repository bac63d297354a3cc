"""What the journal says of a request, and when: at a crash in between, that is all that anybody knows."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fake_provider import (
    DONE,
    STREAM_HEAD,
    Call,
    FakeProvider,
    Script,
    answers,
    chunk,
    framed,
    hangs,
    in_turn,
    refuses,
    says,
    sse,
    streams,
    usage_chunk,
    writes,
)
from served_gateway import Serve, ServedGateway, eventually

from gateway.api.wire import AsgiReply
from gateway.config.routes_ledger import Ledger
from gateway.execution import accounting
from gateway.ledger import records, store_opener
from gateway.ledger.frames import scan
from gateway.ledger.journal import Journal
from gateway.ledger.segments import FileCalls

STRICT = {"ledger": {"durability": "strict"}}
FULL = Ledger(journal_mib=0)
KINDS = {records.INTENT: "intent", records.PROGRESS: "progress", records.SETTLE: "settle"}


class Record(NamedTuple):
    """What stands in the journal."""

    kind: str
    attempt_id: str
    fields: list[Any]


def written_by(gateway: ServedGateway) -> list[Record]:
    """Everything that a gateway's journal says, in order."""
    return written_to(gateway.database)


def written_to(database: Path) -> list[Record]:
    segments = sorted(database.with_suffix(".journal").glob("*/*.seg"))
    payloads = [payload for segment in segments for _, payload in scan(segment.read_bytes()).frames]
    found = [(KINDS[payload[0]], json.loads(payload[1:])) for payload in payloads]
    return [Record(kind, fields[0], fields) for kind, fields in found]


def of(call: Call, written: list[Record]) -> list[str]:
    """The kinds of records that there are of one call."""
    return [record.kind for record in written if record.attempt_id == call.header("x-client-request-id")]


class Disk(FileCalls):
    """A disk whose syncs can be held up."""

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.is_free.set()

    def sync(self, descriptor: int) -> None:
        assert self.is_free.wait(10)
        super().sync(descriptor)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.is_free.set()


@pytest.fixture
def journals(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> list[Journal]:
    """The journals of the gateways that a story starts, on a disk of its own, in segments that are read quickly."""
    opened: list[Journal] = []

    class OnThatDisk(Journal):
        @classmethod
        def open(cls, root: Path, **how: Any) -> Journal:
            opened.append(super().open(root, files=disk, segment_bytes=256 * 1024, **how))
            return opened[-1]

    monkeypatch.setattr(store_opener, "Journal", OnThatDisk)
    return opened


class Sent(NamedTuple):
    """What went to a caller, and what the journal said by then."""

    data: bytes
    written: list[Record]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sent]:
    passed: list[Sent] = []
    whole, block = AsgiReply.whole, AsgiReply.block

    def note(data: bytes) -> None:
        passed.append(Sent(data, written_to(tmp_path / "gateway0" / "ledger.db")))

    async def noted_whole(self: AsgiReply, status: int, headers: Any, body: bytes) -> None:
        note(body)
        await whole(self, status, headers, body)

    async def noted_block(self: AsgiReply, data: bytes) -> None:
        note(data)
        await block(self, data)

    monkeypatch.setattr(AsgiReply, "whole", noted_whole)
    monkeypatch.setattr(AsgiReply, "block", noted_block)
    return passed


@pytest.mark.parametrize("stream", [False, True], ids=["a whole answer", "a stream"])
async def test_what_is_asked_is_in_the_journal_before_the_provider_hears_of_it(
    stream: bool, journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    heard: list[list[str]] = []

    async def looks(call: Call) -> None:
        heard.append(of(call, written_by(gateway)))
        await answers(call)

    provider.models["tuned"] = looks
    assert (await gateway.chat(stream=stream)).status_code == 200
    assert heard == [["intent"]]
    (call,) = provider.chats()
    assert of(call, written_by(gateway)) == ["intent", "settle"]


async def test_an_intent_is_the_row_of_an_attempt_of_which_nothing_more_is_heard(
    journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    await gateway.chat(messages=[{"role": "user", "content": "x" * 400}], headers={"x-gateway-tags": "env=prod"})
    payloads = [
        payload for segment in journals[0].directory.glob("*.seg") for _, payload in scan(segment.read_bytes()).frames
    ]
    entry, output_nanousd = records.intent_of(payloads[0])
    (row,) = await gateway.rows(1)
    assert (entry.outcome, entry.usage_source, entry.failure) == ("interrupted", "interrupted", "interrupted")
    assert (entry.input_tokens, entry.output_tokens, entry.cost_nanousd) == (100, 0, 100_000)
    assert output_nanousd == 2_000
    assert entry.tags == {"env": "prod"}
    same = ("request_id", "route", "target", "provider", "model_asked", "price_version", "config_hash", "kind")
    assert [str(getattr(entry, name)) for name in same] == [str(getattr(row, name)) for name in same]


ENDS: dict[str, tuple[Script, bool, bytes]] = {
    "a whole answer": (says(), False, b"Hello."),
    "a stream": (answers, True, b"[DONE]"),
    "a stream that lacks its [DONE]": (streams(chunk("Hi"), chunk(finish="stop")), True, b"[DONE]"),
    "a stream that breaks off": (streams(chunk("Hi"), then="reset"), True, b"upstream_disconnected"),
    "a stream with an error in it": (streams(chunk("Hi"), {"error": {"message": "no"}}), True, b"upstream_error"),
}


@pytest.mark.parametrize(("script", "stream", "last"), ENDS.values(), ids=ENDS.keys())
async def test_a_row_is_in_the_journal_before_the_last_bytes_go_out(
    script: Script,
    stream: bool,
    last: bytes,
    journals: list[Journal],
    sent: list[Sent],
    serve: Serve,
    provider: FakeProvider,
) -> None:
    gateway = await serve()
    provider.models["tuned"] = script
    assert last in (await gateway.chat(stream=stream)).content
    (call,) = provider.chats()
    ends = [part for part in sent if last in part.data]
    assert [of(call, part.written)[-1] for part in ends] == ["settle"]
    before = [part for part in sent if part.data and last not in part.data]
    assert all("settle" not in of(call, part.written) for part in before)


async def test_a_stream_says_how_far_it_is_every_32_tokens(
    journals: list[Journal], sent: list[Sent], serve: Serve, provider: FakeProvider
) -> None:
    """Each event is a token, however short."""
    gateway = await serve()

    def told() -> list[int]:
        return [record.fields[1] for record in written_by(gateway) if record.kind == "progress"]

    async def pauses_before_its_end(call: Call) -> None:
        await call.send(STREAM_HEAD + framed(sse(chunk("a")) * 100))
        await eventually(told, "the journal knows how far it is")
        await call.send(framed(sse(chunk(finish="stop")) + sse(usage_chunk()) + DONE) + b"0\r\n\r\n")

    provider.models["tuned"] = pauses_before_its_end
    assert (await gateway.stream()).done
    assert told() == sorted(told())
    for part in sent[:-1]:
        passed = b"".join(other.data for other in sent[: sent.index(part) + 1]).count(b'"content"')
        known = [record.fields[1] for record in part.written if record.kind == "progress"]
        assert passed - (known[-1] if known else 0) < accounting.PROGRESS_TOKENS


async def test_a_slow_stream_says_how_far_it_is_from_time_to_time(
    journals: list[Journal], serve: Serve, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await serve()
    monkeypatch.setattr(accounting, "PROGRESS_S", 0.02)
    passed = asyncio.Event()

    async def slow(call: Call) -> None:
        await call.send(STREAM_HEAD + framed(sse(chunk("Hel"))))
        await asyncio.sleep(0.03)
        await call.send(framed(sse(chunk("lo."))))
        await passed.wait()
        call.reset()

    provider.models["tuned"] = slow
    asking = asyncio.create_task(gateway.stream())
    told = await eventually(lambda: [r for r in written_by(gateway) if r.kind == "progress"], "progress is written")
    assert [record.fields[1] for record in told] == [2]
    passed.set()
    assert (await asking).errors
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.output_tokens) == ("interrupted", 2)


async def test_a_stream_that_breaks_off_is_counted_by_its_events_where_they_are_more_than_its_letters_say(
    serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    provider.models["tuned"] = in_turn(
        streams(*[chunk("a")] * 70, then="reset"), streams(chunk("a" * 400), then="reset")
    )
    assert (await gateway.stream()).errors
    assert (await gateway.stream()).errors
    first, second = await gateway.rows(2)
    assert (first.output_tokens, second.output_tokens) == (70, 100)


@pytest.mark.parametrize("stream", [False, True], ids=["a whole answer", "a stream"])
async def test_strict_keeps_the_last_bytes_until_the_row_is_on_the_disk(
    stream: bool, disk: Disk, journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve(more_sections=STRICT)
    disk.is_free.clear()
    async with gateway.calling(stream=stream) as caller:
        await eventually(lambda: any(r.kind == "settle" for r in written_by(gateway)), "the row is written")
        if stream:
            await caller.receive_until(b"lo.")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(caller.raw, 1), 0.05)
        disk.is_free.set()
        await caller.receive_until(b"[DONE]" if stream else b"Hello.")


async def test_fast_waits_for_no_disk(disk: Disk, journals: list[Journal], serve: Serve) -> None:
    gateway = await serve()
    disk.is_free.clear()
    assert (await gateway.stream()).done
    assert (await gateway.chat()).status_code == 200
    disk.is_free.set()


async def test_a_full_journal_refuses_new_requests_until_there_is_room(
    journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    journals[0].ledger = FULL
    refused = await gateway.chat(headers={"x-request-id": "mine"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.headers["x-gateway-route"] == "reply"
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["request_id"]) == ("api_error", "ledger_unavailable", "mine")
    assert "full" in error["message"]
    assert "Try again" in error["message"]
    assert (await gateway.client.get("/readyz")).status_code == 503
    assert provider.chats() == []
    assert await gateway.metric("gateway_unrecordable_requests_total") == 1
    assert await gateway.metric("gateway_requests_total", route="reply", code="503") == 1
    journals[0].ledger = Ledger()
    assert (await gateway.chat()).status_code == 200
    await gateway.rows(1)


async def test_who_is_being_answered_when_the_journal_fills_up_is_answered_and_has_a_row(
    journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()

    async def fills(call: Call) -> None:
        journals[0].ledger = FULL
        await answers(call)

    provider.models["tuned"] = fills
    assert (await gateway.stream()).done
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.usage_source) == ("ok", "provider")


async def test_a_full_journal_goes_on_without_rows_where_that_is_said(
    journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    journals[0].ledger = Ledger(journal_mib=0, on_full="serve")

    async def makes_room(call: Call) -> None:
        assert of(call, written_by(gateway)) == []
        journals[0].ledger = Ledger()
        await answers(call)

    provider.models["tuned"] = makes_room
    assert (await gateway.chat()).status_code == 200
    (call,) = provider.chats()
    assert of(call, written_by(gateway)) == ["settle"]


FATES: dict[str, tuple[Script, bool, list[str]]] = {
    "an answer": (answers, False, ["ok"]),
    "a stream": (answers, True, ["ok"]),
    "a failure, and then the fallback's answer": (refuses(500, "no"), False, ["failed", "ok"]),
    "an answer that is none": (says(b"<html>"), False, ["failed", "ok"]),
    "a request that the provider refuses": (refuses(400, "no"), False, ["failed"]),
    "a stream that never begins": (streams(then="end"), True, ["failed", "ok"]),
    "a stream that breaks off": (streams(chunk("Hi"), then="reset"), True, ["interrupted"]),
    "a connection that is reset before an answer": (writes(then="fin"), False, ["failed", "ok"]),
}


@pytest.mark.parametrize(("script", "stream", "outcomes"), FATES.values(), ids=FATES.keys())
async def test_whatever_becomes_of_an_attempt_it_begins_once_and_ends_once(
    script: Script, stream: bool, outcomes: list[str], journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    provider.models["tuned"] = script
    await gateway.chat(stream=stream)
    rows = await gateway.rows_of_callers(len(outcomes))
    assert [row.outcome for row in rows] == outcomes
    assert_each_began_and_ended(gateway, [row.attempt_id for row in rows])
    answered = [row.outcome in ("ok", "interrupted") for row in rows]
    assert [row.overhead_ms is not None and row.overhead_ms > 0 for row in rows] == answered


@pytest.mark.parametrize("script", [hangs, streams(chunk("Hi"), then="stall")], ids=["before the answer", "within it"])
async def test_who_leaves_has_a_row_that_ends_once(
    script: Script, journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    provider.models["tuned"] = script
    async with gateway.calling(stream=True) as caller:
        await eventually(provider.chats, "the provider is asked")
        if script is not hangs:
            await caller.receive_until(b"Hi")
    (row,) = await gateway.rows(1)
    assert row.outcome == "cancelled"
    assert_each_began_and_ended(gateway, [row.attempt_id])


async def test_a_verification_begins_and_ends_in_the_journal_too(
    journals: list[Journal], serve: Serve, provider: FakeProvider
) -> None:
    gateway = await serve()
    provider.listed = ["tuned"]
    provider.models["tuned"] = refuses(404, "The model 'tuned' does not exist", "model_not_found")
    assert (await gateway.chat()).status_code == 200
    rows = await eventually(lambda: probes_in(gateway), "a verification is booked")
    assert_each_began_and_ended(gateway, rows)


def probes_in(gateway: ServedGateway) -> list[str]:
    records_ = written_by(gateway)
    return [r.attempt_id for r in records_ if r.kind == "settle" and "probe" in r.fields]


def assert_each_began_and_ended(gateway: ServedGateway, ids: list[str]) -> None:
    counted = Counter((r.kind, r.attempt_id) for r in written_by(gateway) if r.kind != "progress")
    assert {(kind, id_): counted[kind, id_] for kind in ("intent", "settle") for id_ in ids} == {
        (kind, id_): 1 for kind in ("intent", "settle") for id_ in ids
    }


async def test_tags_are_in_the_row_and_never_with_the_provider(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    assert (await gateway.chat(headers={"x-gateway-tags": "Feature=checkout, env=prod"})).status_code == 200
    (row,) = await gateway.rows(1)
    assert json.loads(row.tags) == {"env": "prod", "feature": "checkout"}
    (call,) = provider.chats()
    assert b"checkout" not in call.head + call.body
    assert b"tags" not in call.head + call.body


async def test_what_is_no_tag_is_refused(serve: Serve, provider: FakeProvider) -> None:
    gateway = await serve()
    refused = await gateway.chat(headers={"x-gateway-tags": "checkout"})
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_request", "x-gateway-tags")
    assert "feature=checkout,env=prod" in error["message"]
    assert provider.chats() == []
