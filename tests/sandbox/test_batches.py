from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import orjson
import pytest

from tests.fake_clock import FakeClock
from tests.sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
CHAT = "/v1/chat/completions"
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENDED = ("failed_at", "completed_at", "expired_at", "cancelled_at")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def timed(clock: FakeClock) -> Iterator[httpx.Client]:
    """A client of a sandbox whose time the test moves; a batch takes 100 s."""
    with (
        running_sandbox(clock=clock, catalogue=fast_catalogue(START)) as running,
        httpx.Client(base_url=running.url, timeout=10) as client,
    ):
        client.post("/sandbox/batches", json={"duration_s": 100}).raise_for_status()
        yield client


def row(number: int, **body: Any) -> dict[str, Any]:
    asked = {"model": FORUM, "messages": [{"role": "user", "content": f"How do I move album {number}?"}], **body}
    return {"custom_id": f"row-{number}", "method": "POST", "url": CHAT, "body": asked}


def lines(*rows: Any) -> bytes:
    return b"\n".join(one if isinstance(one, bytes) else orjson.dumps(one) for one in rows)


def upload(http: httpx.Client, content: bytes) -> Any:
    sent = http.post("/v1/files", data={"purpose": "batch"}, files={"file": ("rows.jsonl", content)})
    return sent.raise_for_status().json()


def begin(http: httpx.Client, content: bytes, **fields: Any) -> Any:
    asked = {"input_file_id": upload(http, content)["id"], "endpoint": CHAT, "completion_window": "24h", **fields}
    return http.post("/v1/batches", json=asked).raise_for_status().json()


def look(http: httpx.Client, batch: Any) -> Any:
    return http.get(f"/v1/batches/{batch['id']}").raise_for_status().json()


def read(http: httpx.Client, file_id: str) -> list[Any]:
    content = http.get(f"/v1/files/{file_id}/content").raise_for_status().content
    return [orjson.loads(line) for line in content.splitlines()]


def test_a_batch_goes_through_its_states_on_time(timed: httpx.Client, clock: FakeClock) -> None:
    batch = begin(timed, lines(*map(row, range(10))), metadata={"route": "forum"})
    assert batch["metadata"] == {"route": "forum"}
    assert (batch["object"], batch["expires_at"] - batch["created_at"]) == ("batch", 86_400)
    seen = []
    for seconds in (0, 9, 41, 41, 9):
        clock.advance(seconds)
        stands = look(timed, batch)
        seen.append((stands["status"], *stands["request_counts"].values(), stands["output_file_id"] is not None))
    assert seen == [
        ("validating", 0, 0, 0, False),
        ("validating", 0, 0, 0, False),
        ("in_progress", 10, 5, 0, False),
        ("finalizing", 10, 10, 0, False),
        ("completed", 10, 10, 0, True),
    ]
    began = batch["created_at"]
    times = [stands[name] - began for name in ("in_progress_at", "finalizing_at", "completed_at")]
    assert (times, stands["errors"], stands["error_file_id"]) == ([10, 90, 100], None, None)


def test_every_row_is_answered_as_alone_at_half_the_price(http: httpx.Client) -> None:
    rows = [row(number) for number in range(200)]
    alone = [http.post(CHAT, json=one["body"]).raise_for_status().json() for one in rows[:3]]
    http.post("/sandbox/batches", json={"duration_s": 0}).raise_for_status()
    done = look(http, begin(http, lines(*rows)))
    assert done["request_counts"] == {"total": 200, "completed": 200, "failed": 0}
    answers = read(http, done["output_file_id"])
    assert [one["custom_id"] for one in answers] == [one["custom_id"] for one in rows]
    assert len({one["id"] for one in answers} | {one["response"]["request_id"] for one in answers}) == 400
    assert {(one["response"]["status_code"], one["error"]) for one in answers} == {(200, None)}
    bill = http.get("/sandbox/bill").json()["rows"]
    for single, batched, paid, halved in zip(alone, answers[:3], bill[:3], bill[3:6], strict=True):
        body = batched["response"]["body"]
        assert (body["choices"], body["usage"], body["model"]) == (single["choices"], single["usage"], FORUM)
        assert (halved["attempt_id"], halved["endpoint"]) == (batched["custom_id"], "chat_completions")
        assert 2 * halved["cost_nanousd"] == paid["cost_nanousd"] > 0
    assert len(bill) == 203, "nothing is answered or billed twice"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param({"model": "ft:gone"}, 404, "model_not_found", id="a model that is not there"),
        pytest.param({"messages": []}, 400, None, id="a request that is refused"),
        pytest.param({"stream": True}, 400, None, id="a stream"),
        pytest.param({"model": "fault-429"}, 429, "rate_limit_exceeded", id="a model that has no time"),
    ],
)
def test_a_refused_row_is_in_the_error_file_and_costs_nothing(
    body: dict[str, Any], status: int, code: str | None, http: httpx.Client
) -> None:
    http.post("/sandbox/batches", json={"duration_s": 0}).raise_for_status()
    done = look(http, begin(http, lines(row(1, **body))))
    assert (done["status"], done["output_file_id"]) == ("completed", None)
    assert done["request_counts"] == {"total": 1, "completed": 0, "failed": 1}
    [line] = read(http, done["error_file_id"])
    assert (line["custom_id"], line["error"], line["response"]["status_code"]) == ("row-1", None, status)
    if code:
        assert line["response"]["body"]["error"]["code"] == code
    [billed] = http.get("/sandbox/bill").json()["rows"]
    assert (billed["attempt_id"], billed["status"], billed["cost_nanousd"]) == ("row-1", status, 0)


def test_a_model_that_dies_meanwhile_answers_only_the_rows_before(timed: httpx.Client, clock: FakeClock) -> None:
    batch = begin(timed, lines(*map(row, range(10))))
    clock.advance(50)
    timed.post(f"/sandbox/models/{FORUM}/retire").raise_for_status()
    clock.advance(50)
    done = look(timed, batch)
    assert done["request_counts"] == {"total": 10, "completed": 5, "failed": 5}
    assert [one["custom_id"] for one in read(timed, done["output_file_id"])] == [f"row-{n}" for n in range(5)]
    assert {one["response"]["status_code"] for one in read(timed, done["error_file_id"])} == {404}


@pytest.mark.parametrize(
    ("second", "code", "param"),
    [
        pytest.param(b"{", "invalid_json_line", None, id="no JSON"),
        pytest.param([1], "invalid_json_line", None, id="no object"),
        pytest.param({**row(2), "custom_id": None}, "missing_required_parameter", "custom_id", id="no id"),
        pytest.param({**row(2), "custom_id": 7}, "invalid_type", "custom_id", id="an id that is a number"),
        pytest.param({**row(2), "method": "GET"}, "invalid_method", "method", id="another method"),
        pytest.param({**row(2), "url": "/v1/embeddings"}, "invalid_url", "url", id="another endpoint"),
        pytest.param({**row(2), "body": {}}, "missing_required_parameter", "body.model", id="no model"),
        pytest.param(row(2, model="gpt-6-luna"), "mismatched_model", "body.model", id="a second model"),
        pytest.param(row(1), "duplicate_custom_id", "custom_id", id="an id that was there"),
    ],
)
def test_a_line_that_is_no_request_fails_the_batch_by_its_number(
    second: Any, code: str, param: str | None, http: httpx.Client
) -> None:
    http.post("/sandbox/batches", json={"duration_s": 0}).raise_for_status()
    failed = look(http, begin(http, lines(row(1), second, row(3))))
    assert failed["status"] == "failed"
    [error] = failed["errors"]["data"]
    assert (error["code"], error["param"], error["line"]) == (code, param, 2)
    assert failed["request_counts"]["total"] == 0
    assert http.get("/sandbox/bill").json()["rows"] == []


def test_an_empty_file_fails_the_batch(http: httpx.Client) -> None:
    http.post("/sandbox/batches", json={"duration_s": 0}).raise_for_status()
    failed = look(http, begin(http, b"\n\n"))
    assert [(error["code"], error["line"]) for error in failed["errors"]["data"]] == [("empty_file", None)]


def test_a_cancelled_batch_keeps_what_was_answered(timed: httpx.Client, clock: FakeClock) -> None:
    batch = begin(timed, lines(*map(row, range(10))))
    clock.advance(50)
    assert timed.post(f"/v1/batches/{batch['id']}/cancel").raise_for_status().json()["status"] == "cancelling"
    clock.advance(10)
    cancelled = look(timed, batch)
    assert (cancelled["status"], cancelled["cancelled_at"] - cancelled["cancelling_at"]) == ("cancelled", 10)
    assert cancelled["request_counts"] == {"total": 10, "completed": 5, "failed": 0}
    assert len(read(timed, cancelled["output_file_id"])) == 5
    again = timed.post(f"/v1/batches/{batch['id']}/cancel")
    assert (again.status_code, again.json()["error"]["message"]) == (
        409,
        "Cannot cancel a batch with status 'cancelled'.",
    )
    assert len(timed.get("/sandbox/bill").json()["rows"]) == 5


def test_a_batch_that_takes_longer_than_its_window_expires_with_what_it_has(
    timed: httpx.Client, clock: FakeClock
) -> None:
    timed.post("/sandbox/batches", json={"duration_s": 2 * 86_400}).raise_for_status()
    batch = begin(timed, lines(*map(row, range(10))))
    clock.advance(86_400)
    expired = look(timed, batch)
    assert (expired["status"], expired["expired_at"]) == ("expired", expired["expires_at"])
    assert expired["request_counts"] == {"total": 10, "completed": 5, "failed": 5}
    missed = read(timed, expired["error_file_id"])
    assert [(one["response"], one["error"]["code"]) for one in missed] == [(None, "batch_expired")] * 5
    assert [expired[name] is not None for name in ENDED] == [False, False, True, False]


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        pytest.param({"input_file_id": "file-no"}, 404, "No such File object: file-no", id="no such file"),
        pytest.param({"endpoint": None}, 400, "'endpoint'", id="no endpoint"),
        pytest.param({"endpoint": "/v1/audio/speech"}, 400, "/v1/chat/completions", id="an endpoint without batches"),
        pytest.param({"completion_window": "1h"}, 400, "24h", id="another window"),
        pytest.param({"metadata": "x"}, 400, "'metadata'", id="metadata that is none"),
    ],
)
def test_a_batch_that_cannot_be_made_is_refused(
    asked: dict[str, Any], status: int, says: str, http: httpx.Client
) -> None:
    whole = {"input_file_id": upload(http, b"{}")["id"], "endpoint": CHAT, "completion_window": "24h", **asked}
    refused = http.post("/v1/batches", json=whole)
    assert refused.status_code == status
    assert says in refused.json()["error"]["message"]
    assert http.get("/v1/batches").json()["data"] == []


@pytest.mark.parametrize(
    ("purpose", "name", "says"),
    [
        pytest.param("vision", "rows.jsonl", "'batch' and 'fine-tune'", id="another purpose"),
        pytest.param("batch", "rows.csv", "Must be .jsonl", id="another format"),
    ],
)
def test_only_what_batches_and_jobs_are_made_from_can_be_uploaded(
    purpose: str, name: str, says: str, http: httpx.Client
) -> None:
    refused = http.post("/v1/files", data={"purpose": purpose}, files={"file": (name, b"{}")})
    assert refused.status_code == 400
    assert says in refused.json()["error"]["message"]


@pytest.mark.parametrize("duration_s", [-1, "2", True, 10**9], ids=str)
def test_a_duration_that_is_none_is_refused(duration_s: Any, http: httpx.Client) -> None:
    assert http.post("/sandbox/batches", json={"duration_s": duration_s}).status_code == 400


def test_batches_are_listed_the_newest_first_and_paged(http: httpx.Client) -> None:
    made = [begin(http, lines(row(number)))["id"] for number in range(3)]
    first = http.get("/v1/batches", params={"limit": 2}).json()
    rest = http.get("/v1/batches", params={"limit": 2, "after": first["last_id"]}).json()
    assert [batch["id"] for batch in first["data"] + rest["data"]] == made[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert http.get("/v1/batches/batch_no").json()["error"]["message"] == "No batch found with id 'batch_no'."


def test_the_openai_sdk_uploads_runs_reads_and_deletes(sandbox: RunningSandbox, http: httpx.Client) -> None:
    http.post("/sandbox/batches", json={"duration_s": 0}).raise_for_status()
    asked = {"model": "text-embedding-3-small", "input": "a red rose", "dimensions": 3}
    content = lines({"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": asked})
    with openai.OpenAI(base_url=sandbox.base_url, api_key="any", max_retries=0) as client:
        file = client.files.create(file=("rows.jsonl", content), purpose="batch")
        assert (file.bytes, file.purpose) == (len(content), "batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        assert client.files.delete(file.id).deleted
        done = client.batches.retrieve(batch.id)
        assert (done.status, [one.id for one in client.batches.list()]) == ("completed", [batch.id])
        assert done.output_file_id is not None
        line = orjson.loads(client.files.content(done.output_file_id).content)
        assert len(line["response"]["body"]["data"][0]["embedding"]) == 3
        assert [one.id for one in client.files.list(purpose="batch_output")] == [done.output_file_id]
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            client.files.retrieve(file.id)
