"""``POST /v1/feedback`` over HTTP: what it takes, what it answers, and what it refuses with words that help."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway.policy.splits import Split
from gateway.store.captured import CapturedStore
from gateway.store.database import Database
from tests.faults.declared_keys import PEPPER, as_, declared
from tests.faults.served_gateway import ServedGateway, served
from tests.learning.marked_requests import ROUTES, a_captured

KEYS = declared(
    forum={"capture": True},
    acme={"tenant": "acme", "capture": True},
    globex={"tenant": "globex", "capture": True},
    watcher={"role": "observer"},
    slow={"requests_per_minute": 12, "tokens_per_minute": 100},
)
JSON = {"content-type": "application/json"}
BETTER = "It arrives tomorrow."


@dataclass(frozen=True)
class Desk:
    gateway: ServedGateway

    async def give(self, who: str = "forum", **fields: Any) -> httpx.Response:
        return await self.send(json.dumps({"request_id": "req-1", **fields}).encode(), who)

    async def send(self, body: bytes, who: str = "forum", **headers: str) -> httpx.Response:
        told = {**as_(who), **JSON, **headers}
        return await self.gateway.client.post("/v1/feedback", content=body, headers=told)


@pytest.fixture
async def desk(tmp_path: Path, empty_ledger: Path) -> AsyncIterator[Desk]:
    """A gateway with a captured request of nobody's in particular, ``req-1``, and one of acme's, ``theirs``."""
    routes = {**ROUTES, "keys": KEYS}
    async with served(
        routes, tmp_path, empty_ledger, environ={"GATEWAY_KEY_PEPPER": PEPPER}, key_pepper=PEPPER
    ) as gateway:
        running = asyncio.create_task(gateway.clock.run())
        database = await Database.open(f"sqlite:///{gateway.database}")
        later = gateway.clock.now()
        rows = [a_captured(1), a_captured(2, route="forum:acme", tenant="acme", request_id="theirs")]
        await CapturedStore(database).add([replace(row, captured_at=later) for row in rows])
        await database.close()
        yield Desk(gateway)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def kept(gateway: ServedGateway) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM feedback ORDER BY feedback_id")]


async def test_a_correction_is_answered_with_what_it_becomes(desk: Desk) -> None:
    answer = await desk.give(correction=BETTER, comment="late again", score=0.2)
    (row,) = kept(desk.gateway)
    assert answer.status_code == 200
    assert answer.json() == {
        "object": "feedback",
        "id": str(UUID(row["feedback_id"])),
        "request_id": "req-1",
        "route": "reply",
        "label": "wrong",
        "split": "train",
        "becomes": ["training", "preference"],
        "note": None,
    }
    assert answer.headers["cache-control"] == "no-store"
    assert (row["by"], row["score"], row["source"], row["comment"]) == ("forum", 0.2, "api", "late again")
    desk.gateway.client.headers.update(as_("watcher"))
    assert await desk.gateway.metric("gateway_feedback_total", route="reply", label="wrong") == 1
    again = await desk.give(correction=BETTER, comment="late again", score=0.2)
    assert again.json() == answer.json()
    assert await desk.gateway.metric("gateway_feedback_total") == 1


TAKEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "right": ({"label": "right"}, ["training"]),
    "wrong": ({"label": "wrong"}, []),
    "a whole number for a score": ({"score": 1}, []),
    "a comment": ({"comment": "</script>\u2028 値"}, []),
    "a message": ({"correction": {"role": "assistant", "content": BETTER}}, ["training", "preference"]),
    "wrong, and corrected": ({"label": "wrong", "correction": BETTER}, ["training", "preference"]),
    "nulls say nothing": ({"label": "right", "score": None, "comment": None}, ["training"]),
}


async def test_what_is_taken(desk: Desk, subtests: pytest.Subtests) -> None:
    for what, (fields, becomes) in TAKEN.items():
        with subtests.test(what):
            answer = await desk.give(**fields)
            assert (answer.status_code, answer.json()["becomes"]) == (200, becomes), answer.text
            assert (answer.json()["note"] is None) is bool(becomes)


def sent(**fields: Any) -> bytes:
    return json.dumps({"request_id": "req-1", **fields}).encode()


# The body, and the answer: its status, the field that it names, and words of its message.
REFUSED: dict[str, tuple[bytes, int, str | None, str]] = {
    "nothing": (b"", 400, None, "body"),
    "a list": (b"[]", 400, None, "object"),
    "half a body": (b"{", 400, None, "JSON"),
    "nothing said": (sent(), 400, None, "Say something of the answer"),
    "of no request": (b'{"label": "right"}', 400, "body.request_id", "required"),
    "an id that is none": (sent(request_id="a b", label="right"), 400, "body.request_id", "match"),
    "an empty id": (sent(request_id="", label="right"), 400, "body.request_id", "match"),
    "NUL in an id": (sent(request_id="a\0", label="right"), 400, "body.request_id", "match"),
    "a line end behind an id": (sent(request_id="a\n", label="right"), 400, "body.request_id", "match"),
    "half a surrogate pair": (sent(comment="\ud800"), 400, None, "JSON"),
    "NaN": (sent(score=float("nan")), 400, None, "JSON"),
    "a number beyond all": (b'{"request_id": "a", "score": 1e400}', 400, None, "JSON"),
    "a score beyond one": (sent(score=1.01), 400, "body.score", "less than or equal to 1"),
    "a score below nothing": (sent(score=-0.1), 400, "body.score", "greater than"),
    "a word for a score": (sent(score="1"), 400, "body.score", "number"),
    "a truth for a score": (sent(score=True), 400, "body.score", "number"),
    "another label": (sent(label="good"), 400, "body.label", "'right' or 'wrong'"),
    "a field of no use": (sent(tenant="acme", label="right"), 400, "body.tenant", "no such field"),
    "a number for a correction": (sent(correction=7), 400, "body.correction", ""),
    "a blank correction": (sent(correction=" "), 400, "correction", "empty"),
    "the answer itself": (sent(correction="On its way."), 400, "correction", "label right"),
    "right, and corrected": (sent(correction="x", label="right"), 400, "label", "one of the two"),
    "a huge correction": (sent(correction="x" * 70_000), 400, "correction", "65,536"),
    "a long comment": (sent(comment="x" * 4_001), 400, "body.comment", "4000"),
    "too many messages": (sent(label="right", messages=[{}] * 2_001), 400, "body.messages", "2000"),
    "too much": (sent(comment="x" * 2_097_152), 413, None, "2,097,152"),
}


async def test_what_is_refused(desk: Desk, subtests: pytest.Subtests) -> None:
    for what, (body, status, param, words) in REFUSED.items():
        with subtests.test(what):
            answer = await desk.send(body)
            error = answer.json()["error"]
            assert (answer.status_code, error["type"]) == (status, "invalid_request_error"), answer.text
            assert words in error["message"]
            assert param is None or error["param"].startswith(param)
            assert kept(desk.gateway) == []


async def test_who_may_and_how(desk: Desk) -> None:
    said = json.dumps({"request_id": "req-1", "label": "right"}).encode()
    assert (await desk.send(said, "watcher")).status_code == 403
    assert (await desk.gateway.client.post("/v1/feedback", content=said, headers=JSON)).status_code == 401
    form = await desk.send(said, **{"content-type": "multipart/form-data; boundary=x"})
    assert (form.status_code, form.json()["error"]["code"]) == (415, "unsupported_media_type")
    got = await desk.gateway.client.get("/v1/feedback", headers=as_("forum"))
    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert kept(desk.gateway) == []


async def test_anothers_request_is_answered_as_one_that_never_was(desk: Desk) -> None:
    answers = [
        await desk.give("globex", request_id=request_id, label="right")
        for request_id in ("theirs", "nobody-has-this", "req-1")
    ]
    assert {answer.status_code for answer in answers} == {404}
    errors = [answer.json()["error"] | {"request_id": None} for answer in answers]
    assert errors[1:] == errors[:2]
    assert "x-request-id" in errors[0]["message"]
    assert (await desk.give("acme", request_id="theirs", label="right")).json()["route"] == "forum:acme"


async def test_while_the_database_is_away_nothing_is_taken_and_said_so(desk: Desk) -> None:
    holder = sqlite3.connect(desk.gateway.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    answer = await desk.give(label="right")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"] == "5"
    holder.execute("ROLLBACK")
    holder.close()
    assert (await desk.give(label="right")).status_code == 200
    assert len(kept(desk.gateway)) == 1


async def test_its_document_says_what_it_takes_and_answers(desk: Desk) -> None:
    document = (await desk.gateway.client.get("/openapi.json", headers=as_("forum"))).json()
    operation = document["paths"]["/v1/feedback"]["post"]
    assert operation["responses"].keys() >= {"200", "400", "401", "403", "404", "413", "415", "503"}
    assert not operation["responses"].keys() & {"422", "502", "504"}
    schemas = document["components"]["schemas"]
    assert schemas["FeedbackGiven"]["required"] == ["request_id"]
    assert set(schemas["FeedbackTaken"]["properties"]) == set((await desk.give(label="right")).json())
    assert set(schemas["Split"]["enum"]) == set(Split)


async def test_a_mark_counts_as_one_of_its_keys_requests_a_minute(desk: Desk) -> None:
    first = await desk.give("slow", label="right")
    absent = await desk.give("slow", request_id="nobodys", label="right", model="quiet")
    refused = await desk.give("slow", label="wrong")
    assert [answer.status_code for answer in (first, absent, refused)] == [200, 404, 429]
    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, absent, refused)]
    assert left == ["1", "0", "0"]
    assert "x-ratelimit-limit-tokens" not in first.headers
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert [row["label"] for row in kept(desk.gateway)] == ["right"], "what is refused is not kept"
    assert (await desk.gateway.client.get("/v1/models", headers=as_("slow"))).status_code == 200
    assert "x-ratelimit-limit-requests" not in (await desk.give(label="right")).headers
