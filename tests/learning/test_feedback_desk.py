"""A mark is about its caller's own request, is kept redacted, and says what it becomes and why not."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fake_clock import FakeClock
from marked_requests import (
    ACME,
    ADMIN,
    FORUM,
    GLOBEX,
    HELD_OUT,
    MODEL,
    NOW,
    SILENT,
    TAUGHT,
    a_captured,
    a_desk,
    a_snapshot,
    an_attempt,
    asks,
    says,
)
from seen_requests import everything

from gateway.config.callers import ANYBODY, Caller
from gateway.errors import FeedbackUnavailable, GatewayError, InvalidRequest, NotFound, RouteNotFound
from gateway.execution.prepared import Snapshot
from gateway.learning import feedback, feedback_rows
from gateway.learning.feedback import FeedbackDesk, Given, Taken
from gateway.learning.feedback_messages import answer_message, refuse_unknown_tools
from gateway.learning.feedback_requests import AskedRequests
from gateway.policy.inputs import input_id
from gateway.policy.splits import Split
from gateway.reasons import Label, Outcome, Role
from gateway.store.captured import CapturedStore, digest_of
from gateway.store.database import Database, DatabaseUnavailable
from gateway.store.deletions import DeletionStore
from gateway.store.feedback import FeedbackStore
from gateway.store.usage import UsageStore
from tests.faults.served_gateway import eventually

BETTER = "It left on Monday and arrives tomorrow."
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return a_snapshot(tmp_path_factory.mktemp("marked"))


@pytest.fixture
def counted() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def desk(database: Database, snapshot: Snapshot, counted: list[tuple[str, str]]) -> AsyncIterator[FeedbackDesk]:
    made = a_desk(database, snapshot, counted)
    yield made
    await made.close()


@pytest.fixture
def marks(database: Database) -> FeedbackStore:
    return FeedbackStore(database)


@pytest.fixture
def ledger(database: Database) -> UsageStore:
    return UsageStore(database)


def text_of(message: str | None) -> Any:
    assert message is not None
    return json.loads(message)["content"]


# What a mark becomes.


@pytest.mark.parametrize(
    ("messages", "given", "split", "becomes", "note"),
    [
        pytest.param(TAUGHT, {"correction": BETTER}, "train", ("training", "preference"), None, id="a correction"),
        pytest.param(
            HELD_OUT,
            {"correction": BETTER},
            "evaluation",
            ("evaluation", "preference"),
            None,
            id="a correction to prove",
        ),
        pytest.param(TAUGHT, {"label": Label.RIGHT}, "train", ("training",), None, id="an approval"),
        pytest.param(HELD_OUT, {"label": Label.RIGHT}, "evaluation", ("evaluation",), None, id="an approval to prove"),
        pytest.param(TAUGHT, {"label": Label.WRONG}, "train", (), feedback_rows.NO_ROW, id="wrong alone"),
        pytest.param(TAUGHT, {"score": 0.0}, "train", (), feedback_rows.NO_ROW, id="a score of nothing"),
        pytest.param(TAUGHT, {"comment": "hm"}, "train", (), feedback_rows.NO_ROW, id="a comment"),
    ],
)
async def test_what_a_mark_on_a_captured_request_becomes(
    store: CapturedStore,
    desk: FeedbackDesk,
    marks: FeedbackStore,
    counted: list[tuple[str, str]],
    messages: Any,
    given: dict[str, Any],
    split: str,
    becomes: tuple[str, ...],
    note: str | None,
) -> None:
    await store.add([a_captured(1, messages, user_digest=digest_of("jane"), role=Role.FALLBACK, prompt_version="abc")])
    taken = await desk.give(FORUM, says(**given))
    mark = taken.feedback
    assert (mark.split, taken.becomes, taken.note) == (split, becomes, note)
    assert (mark.by, mark.source, mark.input_id) == ("forum", "api", input_id(messages))
    assert (mark.role, mark.provider, mark.model, mark.prompt_version) == (Role.FALLBACK, *MODEL, "abc")
    assert mark.user_digest == digest_of("jane")
    assert await marks.history("reply", None) == [mark]
    assert [row.feedback_id for row in await marks.counting("reply", None)] == [mark.feedback_id] * bool(becomes)
    label = Label.WRONG if "correction" in given else given.get("label")
    assert (mark.label, counted) == (label, [("reply", label or "none")])
    if becomes:
        assert json.loads(mark.request or "") == {"messages": messages}
        assert text_of(mark.answer) == "On its way."
        assert mark.correction is None if label is Label.RIGHT else text_of(mark.correction) == BETTER
    else:
        assert (mark.request, mark.answer, mark.correction) == (None, None, None)


async def test_a_mark_that_no_data_set_can_have_says_so_and_stays_to_be_asked_again(
    store: CapturedStore, desk: FeedbackDesk, marks: FeedbackStore
) -> None:
    asked = [{"role": "system", "content": "Be brief."}, *TAUGHT, {"role": "system", "content": "Now."}]
    await store.add([a_captured(1, asked)])
    taken = await desk.give(FORUM, says(correction=BETTER))
    assert taken.becomes == () and "has 2 system messages" in (taken.note or "")
    (row,) = await marks.counting("reply", None)
    assert row.correction is not None and row.request is not None


async def test_a_mark_outlives_what_was_captured(
    store: CapturedStore, desk: FeedbackDesk, marks: FeedbackStore
) -> None:
    await store.add([a_captured()])
    await desk.give(FORUM, says(correction=BETTER))
    await store.purge(NOW + timedelta(days=31))
    assert await store.of_route("reply", None) == []
    (row,) = await marks.counting("reply", None)
    assert json.loads(row.request or "") == {"messages": TAUGHT}
    with pytest.raises(NotFound):
        await desk.give(FORUM, says(label=Label.RIGHT))


async def test_a_repetition_is_answered_alike_and_counted_once(
    store: CapturedStore, desk: FeedbackDesk, marks: FeedbackStore, counted: list[tuple[str, str]]
) -> None:
    await store.add([a_captured()])
    first = await desk.give(FORUM, says(correction=BETTER, comment="late again"))
    again = await desk.give(FORUM, says(correction=f" {BETTER}".strip(), comment="late again"))
    assert again == first
    assert len(await marks.history("reply", None)) == len(counted) == 1
    await desk.give(ADMIN, says(correction=BETTER, comment="late again", source="review", by="kim"))
    assert {mark.by for mark in await marks.history("reply", None)} == {"forum", "kim"}


# The same question was asked before: its answer is that request's.


async def test_of_a_repeated_input_the_answer_is_not_known_and_is_not_taken_for_another(
    store: CapturedStore, desk: FeedbackDesk, ledger: UsageStore
) -> None:
    await store.add([a_captured(1), a_captured(2, captured_id=a_captured(7).captured_id, said="Another answer.")])
    await ledger.insert_attempts([an_attempt("req-2", role=Role.FALLBACK, model_asked="gpt-6-luna")])
    approved = await desk.give(FORUM, says("req-2", label=Label.RIGHT))
    assert (approved.becomes, approved.note) == ((), feedback_rows.NO_ANSWER)
    corrected = await desk.give(FORUM, says("req-2", correction=BETTER))
    assert (corrected.becomes, corrected.note) == (("training",), feedback_rows.NO_PAIR)
    assert corrected.feedback.answer is None
    assert (corrected.feedback.role, corrected.feedback.model) == (Role.FALLBACK, "gpt-6-luna")
    long = await desk.give(FORUM, says("req-2", correction=BETTER, answer="long " * 14_000))
    assert (long.becomes, long.note, long.feedback.answer) == ((), feedback_rows.TOO_LONG, None)
    whole = await desk.give(FORUM, says("req-2", correction=BETTER, answer="Another answer."))
    assert (whole.becomes, text_of(whole.feedback.answer)) == (("training", "preference"), "Another answer.")


# What was not captured.


async def test_what_was_not_captured_is_found_in_the_ledger_and_is_a_number(
    desk: FeedbackDesk, ledger: UsageStore
) -> None:
    failed = an_attempt("req-1", "quiet", outcome=Outcome.FAILED, model_asked="ft:dead")
    base = an_attempt("req-1", "quiet", role=Role.FALLBACK, model_asked="base", started_at=NOW - timedelta(seconds=59))
    await ledger.insert_attempts([failed, base])
    taken = await desk.give(FORUM, says(score=0.25, label=Label.WRONG))
    mark = taken.feedback
    assert (mark.route, mark.role, mark.provider, mark.model) == ("quiet", Role.FALLBACK, MODEL[0], "base")
    assert (mark.input_id, mark.split, taken.becomes, taken.note) == (None, None, (), feedback_rows.NO_ROW)
    corrected = await desk.give(FORUM, says(correction=BETTER))
    assert (corrected.becomes, corrected.note) == ((), feedback_rows.NOT_KNOWN)
    assert text_of(corrected.feedback.correction) == BETTER


async def test_what_is_sent_along_becomes_a_row_redacted(
    path: Path, desk: FeedbackDesk, database: Database, ledger: UsageStore
) -> None:
    await ledger.insert_attempts([an_attempt("req-1", "quiet")])
    messages = [{"role": "system", "content": "Be kind."}, *asks("I am jane.doe@example.com: where is it?")]
    correction = "We write to jane.doe@example.com on Monday."
    given = says(
        model="quiet", messages=messages, answer="jane.doe@example.com, no.", correction=correction,
        comment="jane.doe@example.com complains", user="jane",
    )  # fmt: skip
    taken = await desk.give(FORUM, given)
    mark = taken.feedback
    assert (len(taken.becomes), taken.note, mark.model) == (2, None, MODEL[1])
    assert json.loads(mark.request or "")["messages"][1]["content"] == "I am [email]: where is it?"
    assert (text_of(mark.answer), text_of(mark.correction)) == ("[email], no.", "We write to [email] on Monday.")
    assert (mark.comment, mark.redacted) == ("[email] complains", {"email": 4})
    assert mark.input_id == input_id(json.loads(mark.request or "")["messages"])
    assert mark.user_digest == digest_of("jane")
    await database.close()
    assert b"jane" not in everything(path)


async def test_what_nobody_knows_of_becomes_a_row_where_it_is_sent_along_whole(desk: FeedbackDesk) -> None:
    taken = await desk.give(FORUM, says("gone-1", model="reply", messages=TAUGHT, answer="No.", label=Label.RIGHT))
    assert (taken.feedback.route, taken.feedback.model, taken.becomes) == ("reply", None, ("training",))
    for given in ({"label": Label.RIGHT}, {"model": "reply", "label": Label.RIGHT}):
        with pytest.raises(NotFound):
            await desk.give(FORUM, says("gone-2", **given))
    with pytest.raises(RouteNotFound):
        await desk.give(FORUM, says("gone-2", model="forums", messages=TAUGHT, label=Label.RIGHT))


async def test_captured_words_count_and_not_what_is_sent_along(store: CapturedStore, desk: FeedbackDesk) -> None:
    await store.add([a_captured()])
    sent = {"model": "reply@primary", "messages": asks("Something else?"), "answer": "Something else."}
    mark = (await desk.give(FORUM, says(label=Label.RIGHT, **sent))).feedback
    assert json.loads(mark.request or "") == {"messages": TAUGHT}
    assert text_of(mark.answer) == "On its way."


async def test_what_the_route_redacts_by_now_is_redacted_in_what_was_captured_before(
    store: CapturedStore, desk: FeedbackDesk
) -> None:
    await store.add([a_captured(1, asks("I am CU-123456"))])
    taken = await desk.give(FORUM, says(label=Label.RIGHT))
    assert json.loads(taken.feedback.request or "")["messages"][0]["content"] == "I am [customer]"
    assert taken.feedback.redacted == {"email": 1, "customer": 1}
    assert taken.feedback.input_id == input_id(asks("I am CU-123456"))


# Consent.


async def test_without_consent_numbers_and_a_comment_are_kept_and_no_texts(
    path: Path, store: CapturedStore, desk: FeedbackDesk, database: Database
) -> None:
    await store.add([a_captured(1, HELD_OUT)])
    taken = await desk.give(SILENT, says(correction=BETTER, score=0.5, comment="late, kim@example.com"))
    mark = taken.feedback
    assert (taken.becomes, taken.note) == ((), feedback_rows.NOT_PERMITTED)
    assert (mark.label, mark.score, mark.comment) == (Label.WRONG, 0.5, "late, [email]")
    assert (mark.correction, mark.request, mark.answer) == (None, None, None)
    assert (mark.input_id, mark.split) == (input_id(HELD_OUT), Split.EVALUATION)
    sent = await desk.give(
        SILENT, says("new", model="quiet", messages=asks("private words"), answer="no", label=Label.RIGHT)
    )
    assert (sent.becomes, sent.note, sent.feedback.input_id) == ((), feedback_rows.NOT_PERMITTED, None)
    await database.close()
    assert b"Monday" not in everything(path)
    assert b"private words" not in everything(path)


async def test_a_reviewer_corrects_whatever_was_captured(store: CapturedStore, desk: FeedbackDesk) -> None:
    await store.add([a_captured(1, route="forum:acme", tenant="acme")])
    given = says(correction=BETTER, model="forum:acme", input_id=input_id(TAUGHT), source="review", by="kim@desk")
    mark = (await desk.give(replace(ADMIN, capture=False), given)).feedback
    assert (mark.route, mark.tenant, mark.by, mark.source) == ("forum:acme", "acme", "kim@desk", "review")
    with pytest.raises(NotFound):
        await desk.give(ADMIN, replace(given, input_id="0" * 16))


# Refusals say what to do.

NO_ID = {"type": "function", "function": {"name": "look_up", "arguments": "{}"}}


def calling(**fields: Any) -> dict[str, Any]:
    function = {"name": "look_up", "arguments": '{"order": 7}', **fields.pop("function", {})}
    return {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function, **fields}]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({}, "Say something of the answer", id="nothing"),
        pytest.param({"comment": " \n"}, "Say something of the answer", id="a blank comment"),
        pytest.param({"label": Label.RIGHT, "correction": BETTER}, "send one of the two", id="right, and corrected"),
        pytest.param({"score": 1.5}, "from 0 to 1", id="a score beyond"),
        pytest.param({"score": float("nan")}, "from 0 to 1", id="no number"),
        pytest.param({"comment": "x" * 4_001}, "4,000 characters", id="a long comment"),
        pytest.param({"correction": ""}, "is empty", id="an empty correction"),
        pytest.param({"correction": " \n\t"}, "is empty", id="a blank correction"),
        pytest.param({"correction": "\u200b\ufeff "}, "is empty", id="a correction that nobody sees"),
        pytest.param({"correction": {}}, "is empty", id="an empty message"),
        pytest.param({"correction": {"role": "assistant", "content": []}}, "is empty", id="no parts"),
        pytest.param({"correction": {"role": "user", "content": "x"}}, "role 'assistant'", id="a user's message"),
        pytest.param({"correction": {"content": 7}}, "neither text nor a list", id="a number"),
        pytest.param({"correction": {"content": "x", "weight": 1}}, "has 'weight'", id="a field that is none of ours"),
        pytest.param({"correction": {"content": [{"type": "image_url"}]}}, "in text", id="a picture"),
        pytest.param({"correction": {"tool_calls": [NO_ID]}}, "has no id", id="a call without an id"),
        pytest.param({"correction": {"tool_calls": "x"}}, "no calls of an assistant", id="calls that are none"),
        pytest.param({"correction": calling(type="custom")}, "no call of a function", id="another kind of call"),
        pytest.param({"correction": calling(function={"name": ""})}, "needs a function's name", id="a nameless call"),
        pytest.param(
            {"correction": calling(function={"arguments": "[1]"})}, "a JSON object", id="arguments that are no object"
        ),
        pytest.param(
            {"correction": calling(function={"arguments": "{"})}, "a JSON object", id="arguments that are no JSON"
        ),
        pytest.param({"correction": "On its way. "}, "says what the answer said", id="the answer itself"),
        pytest.param({"correction": calling()}, "the request's tools are none", id="a call where there is no tool"),
        pytest.param({"correction": "x" * 70_000}, "65,536 bytes", id="a huge correction"),
        pytest.param({"label": Label.RIGHT, "answer": ""}, "'answer' is empty", id="an empty answer"),
        pytest.param({"label": Label.RIGHT, "messages": TAUGHT}, "Send 'model' along", id="messages without a model"),
        pytest.param(
            {"label": Label.RIGHT, "model": "reply", "messages": [{"role": "king"}]}, "the role 'king'", id="no role"
        ),
        pytest.param(
            {"label": Label.RIGHT, "model": "reply", "messages": [*TAUGHT, {"role": "assistant", "content": "x"}]},
            "must end with what was asked",
            id="messages that end with the answer",
        ),
    ],
)
async def test_what_cannot_be_learnt_from_is_refused_with_what_to_do(
    store: CapturedStore, desk: FeedbackDesk, marks: FeedbackStore, given: dict[str, Any], words: str
) -> None:
    await store.add([a_captured()])
    with pytest.raises(InvalidRequest, match=words):
        await desk.give(FORUM, says(**given))
    assert await marks.history("reply", None) == []


async def test_tool_calls_are_corrected_within_the_requests_tools(store: CapturedStore, desk: FeedbackDesk) -> None:
    await store.add([a_captured(1, tools=TOOLS, said=calling())])
    with pytest.raises(InvalidRequest, match="calls 'burn', and the request's tools are 'look_up'"):
        await desk.give(FORUM, says(correction=calling(function={"name": "burn"})))
    with pytest.raises(InvalidRequest, match="says what the answer said"):
        await desk.give(FORUM, says(correction=calling(id="call_9", function={"arguments": '{ "order" : 7 }'})))
    twice = calling()["tool_calls"] * 2
    with pytest.raises(InvalidRequest, match="the id of another call"):
        await desk.give(FORUM, says(correction={"tool_calls": twice}))
    taken = await desk.give(FORUM, says(correction=calling(function={"arguments": '{"order": 8}'})))
    assert taken.becomes == ("training", "preference")
    call = json.loads(taken.feedback.correction or "")["tool_calls"][0]
    assert (call["id"], call["function"]) == ("call_1", {"name": "look_up", "arguments": '{"order": 8}'})
    assert json.loads(taken.feedback.request or "")["tools"] == TOOLS


def test_calls_are_read_in_time_that_grows_with_their_number() -> None:
    """Each compared with all before it, these took a quarter of a minute of everybody's."""
    calls = [{"id": f"call_{n}", "function": {"name": "look_up", "arguments": "{}"}} for n in range(16_000)]
    begun = time.process_time()
    said = answer_message({"tool_calls": calls}, "correction")
    refuse_unknown_tools(said, TOOLS * 1_000, "correction")
    assert time.process_time() - begun < 2 and len(said["tool_calls"]) == len(calls)


async def test_odd_texts_are_kept_as_they_are(store: CapturedStore, desk: FeedbackDesk) -> None:
    await store.add([a_captured()])
    odd = "\0 {{x}} <|im_end|> \u2028 値段\U0001f600"
    mark = (await desk.give(FORUM, says(correction=odd, comment=odd))).feedback
    assert text_of(mark.correction) == odd
    assert "\0" not in (mark.correction or "")
    assert mark.comment == odd.replace("\0", "\ufffd")


async def test_what_cannot_be_redacted_whole_leaves_a_number(store: CapturedStore, desk: FeedbackDesk) -> None:
    await store.add([a_captured()])
    taken = await desk.give(FORUM, says(correction="data:text/plain;base64,amFuZQ==", score=0.1, comment="no"))
    assert (taken.becomes, taken.note) == ((), feedback_rows.NOT_REDACTED)
    assert (taken.feedback.score, taken.feedback.comment, taken.feedback.correction) == (0.1, None, None)


async def test_what_is_sent_along_is_kept_up_to_the_routes_limit(desk: FeedbackDesk) -> None:
    long = {"model": "quiet", "messages": asks("long " * 14_000), "answer": "x", "label": Label.RIGHT}
    taken = await desk.give(FORUM, says("new", **long))
    assert (taken.becomes, taken.note, taken.feedback.request) == ((), feedback_rows.TOO_LONG, None)


# The database, and what is deleted meanwhile.


async def test_without_a_database_nothing_is_taken(database: Database, snapshot: Snapshot) -> None:
    desk = FeedbackDesk(lambda: None, lambda: snapshot, FakeClock(NOW), lambda *mark: None)
    with pytest.raises(DatabaseUnavailable):
        await desk.give(FORUM, says(score=1.0))


async def test_what_waits_for_its_request_is_bounded(database: Database, snapshot: Snapshot) -> None:
    clock = FakeClock(NOW)
    desk = FeedbackDesk(lambda: database, lambda: snapshot, clock, lambda *mark: None, wait_s=2)
    waiting = [
        asyncio.create_task(desk.give((FORUM, ADMIN)[number % 2], says(f"unknown-{number}", score=1.0)))
        for number in range(feedback.MOST_UNDER_WAY)
    ]
    await eventually(lambda: clock.sleepers == len(waiting), "all of them wait")
    with pytest.raises(FeedbackUnavailable) as refused:
        await desk.give(FORUM, says("one-more", score=1.0))
    assert refused.value.headers == {"retry-after": "1"}
    clock.advance(2)
    assert {type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)} == {NotFound}
    with pytest.raises(InvalidRequest):
        await desk.give(FORUM, says("one-more"))


async def test_one_key_does_not_take_the_others_place(
    store: CapturedStore, database: Database, snapshot: Snapshot
) -> None:
    await store.add([a_captured()])
    clock = FakeClock(NOW)
    desk = FeedbackDesk(lambda: database, lambda: snapshot, clock, lambda *mark: None, wait_s=2)
    waiting = [
        asyncio.create_task(desk.give(SILENT, says(f"unknown-{number}", score=1.0)))
        for number in range(feedback.MOST_OF_ONE)
    ]
    await eventually(lambda: clock.sleepers == len(waiting), "all of them wait")
    with pytest.raises(FeedbackUnavailable):
        await desk.give(SILENT, says("one-more", score=1.0))
    assert (await desk.give(FORUM, says(score=1.0))).feedback.score == 1.0
    clock.advance(2)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (await desk.give(SILENT, says(score=0.5))).feedback.score == 0.5


async def test_what_this_replica_is_about_to_write_is_waited_for(
    store: CapturedStore, database: Database, snapshot: Snapshot, ledger: UsageStore
) -> None:
    clock, held = FakeClock(NOW), {"req-1"}
    await ledger.insert_attempts([an_attempt("req-1", started_at=NOW)])
    desk = FeedbackDesk(lambda: database, lambda: snapshot, clock, lambda *mark: None, holds=held.__contains__)
    giving = asyncio.create_task(desk.give(FORUM, says(label=Label.RIGHT)))
    for _ in range(20):
        await eventually(lambda: clock.sleepers == 1, "it waits")
        clock.advance(feedback.PAUSE_S)
    await eventually(lambda: clock.sleepers == 1, "it waits longer than for what nobody knows of")
    await store.add([a_captured()])
    held.clear()
    clock.advance(feedback.PAUSE_S)
    assert (await giving).becomes == ("training",)
    await desk.close()


async def test_what_was_deleted_is_not_brought_back_by_a_mark(
    path: Path, store: CapturedStore, desk: FeedbackDesk, database: Database, ledger: UsageStore
) -> None:
    await store.add([a_captured(1, user_digest=digest_of("jane"))])
    await ledger.insert_attempts([an_attempt("req-1")])
    await desk.give(FORUM, says(correction=BETTER, comment="words of a comment"))
    await DeletionStore(database).delete(deletion_id=a_captured(77).captured_id, by="kim", now=NOW, user="jane")
    assert not any(word in everything(path) for word in (b"Monday", b"words of a comment", b"On its way"))
    # The mark's moment is not after the deletion: the desk's clock stands still.
    with pytest.raises(NotFound):
        await desk.give(FORUM, says(correction=BETTER, user="jane"))


# Whose.


@pytest.mark.parametrize(
    ("caller", "request_id", "route"),
    [
        pytest.param(ACME, "captured", "forum:acme", id="acme's own captured request"),
        pytest.param(GLOBEX, "captured", "forum:globex", id="globex's request of the same id"),
        pytest.param(ADMIN, "captured", "forum:acme", id="the admin's word is about the latest"),
        pytest.param(ANYBODY, "captured", "forum:acme", id="without keys, everybody's"),
        pytest.param(FORUM, "captured", None, id="nobody's key finds no tenant's request"),
        pytest.param(replace(ACME, routes=("reply",)), "captured", None, id="not on a route that the key may not call"),
        pytest.param(FORUM, "shared", "reply", id="a shared route's request"),
        pytest.param(ACME, "shared", None, id="of a shared route a tenant marks its own alone"),
        pytest.param(ACME, "listed-acme", "reply", id="its own is in the ledger"),
        pytest.param(GLOBEX, "listed-acme", None, id="another tenant's is not found there"),
        pytest.param(FORUM, "listed-acme", None, id="nor by nobody's key"),
        pytest.param(ADMIN, "listed-acme", "reply", id="but by the admin's"),
        pytest.param(ACME, "listed-both", "reply", id="acme's of two with one id"),
        pytest.param(GLOBEX, "listed-both", "reply", id="globex's of two with one id"),
        pytest.param(FORUM, "probe", None, id="a probe is nobody's request"),
        pytest.param(FORUM, "removed", None, id="a route that is not there any more"),
    ],
)
async def test_whose_request_it_is(
    store: CapturedStore,
    desk: FeedbackDesk,
    ledger: UsageStore,
    caller: Caller,
    request_id: str,
    route: str | None,
) -> None:
    both = {"request_id": "captured"}
    await store.add(
        [
            a_captured(1, route="forum:globex", tenant="globex", said="globex", **both),
            a_captured(2, route="forum:acme", tenant="acme", said="acme", **both),
            a_captured(3, request_id="shared"),
            a_captured(4, request_id="removed", route="no-more"),
        ]
    )
    hour_ago = NOW - timedelta(hours=1)
    await ledger.insert_attempts(
        [
            an_attempt("listed-acme", tenant="acme", model_asked="acme"),
            an_attempt("listed-both", tenant="globex", model_asked="globex"),
            an_attempt("listed-both", tenant="acme", model_asked="acme", started_at=hour_ago),
            an_attempt("probe", kind="probe"),
            an_attempt("removed", "no-more"),
        ]
    )
    given = says(request_id, label=Label.RIGHT)
    if route is None:
        with pytest.raises(NotFound) as refused:
            await desk.give(caller, given)
        assert refused.value.message == feedback.NOT_FOUND
        return
    mark = (await desk.give(caller, given)).feedback
    assert mark.route == route
    if caller.tenant:
        assert mark.tenant == caller.tenant
        assert text_of(mark.answer) == caller.tenant if mark.answer else mark.model == caller.tenant


@pytest.mark.parametrize(
    "probes", [pytest.param(400, id="hundreds"), pytest.param(2_000, id="thousands", marks=pytest.mark.rig)]
)
async def test_of_two_tenants_with_the_same_request_ids_nothing_crosses_over(
    store: CapturedStore, desk: FeedbackDesk, ledger: UsageStore, marks: FeedbackStore, database: Database,
    snapshot: Snapshot, probes: int,
) -> None:  # fmt: skip
    random, tenants = Random(9), {"acme": ACME, "globex": GLOBEX}
    ids = [f"same-{number}" for number in range(200)]
    rows, listed = [], []
    for number, request_id in enumerate(ids):
        for at, tenant in enumerate(random.sample(sorted(tenants), 2)):
            own = {"request_id": request_id, "tenant": tenant, "route": f"forum:{tenant}"}
            # Every fourth is captured of one of them alone.
            if number % 4 or at:
                said = asks(f"question {number}" if number % 3 else f"question {number} of {tenant}")
                rows.append(a_captured(10 * number + at, said, f"answer of {tenant}", **own))
            ids_of = {"provider": tenant, "model_asked": tenant}
            listed.append(an_attempt(request_id, f"forum:{tenant}", tenant, **ids_of))
            listed.append(an_attempt(f"shared-{number}", "reply", tenant, **ids_of))
    await store.add(rows)
    await ledger.insert_attempts(listed)
    requests = AskedRequests(lambda: snapshot)
    for probe in range(probes):
        tenant = random.choice(sorted(tenants))
        request_id = f"{random.choice(('same', 'shared'))}-{random.randrange(200)}"
        asked = await requests.captured(database, tenants[tenant], request_id, None)
        if asked is not None:
            assert (asked.tenant, asked.route.tenant) == (tenant, tenant)
            assert asked.answer == {"role": "assistant", "content": f"answer of {tenant}"}, probe
        elif probe % 10 == 0:
            asked = await requests.in_ledger(database, tenants[tenant], request_id, None)
            assert asked is not None
            assert (asked.tenant, asked.provider, asked.answer) == (tenant, tenant, None), probe
    for request_id in ids[:50]:
        for tenant, caller in tenants.items():
            taken: Taken | GatewayError = await desk.give(caller, Given(request_id, comment=f"word of {tenant}"))
            assert isinstance(taken, Taken)
            assert taken.feedback.tenant == tenant
    for tenant in tenants:
        of_route = await marks.history(f"forum:{tenant}", tenant)
        assert len(of_route) == 50
        assert {(mark.comment, mark.by) for mark in of_route} == {(f"word of {tenant}", tenants[tenant].name)}
