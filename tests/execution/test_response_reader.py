"""The event stream of the Responses API, read while it passes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.execution.endpoints.responses import ResponseReader
from gateway.execution.streaming import BrokenStream, ErrorEvent

USAGE = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "luna", "output": [], "usage": None}}
PROGRESS = {"type": "response.in_progress", "response": {"id": "resp_1", "model": "luna", "output": []}}
DELTA = {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Grüße", "sequence_number": 3}
COMPLETED = {
    "type": "response.completed",
    "response": {"id": "resp_1", "model": "luna", "output": [{"id": "msg_1"}], "usage": USAGE},
}
FAILED = {
    "type": "response.failed",
    "response": {"id": "resp_1", "model": "luna", "error": {"code": "server_error", "message": "It broke."}},
}


def written(*events: Any, newline: str = "\n") -> bytes:
    lines = [f"event: {event['type']}{newline}data: {json.dumps(event, ensure_ascii=False)}" for event in events]
    return (newline * 2).join([*lines, ""]).encode()


def kinds(passed: bytes) -> list[str]:
    return [line.removeprefix("event: ") for line in passed.decode().splitlines() if line.startswith("event: ")]


def test_nothing_is_sent_on_before_the_answer_begins() -> None:
    reader = ResponseReader("0a0a0a0a", hold=True)
    assert reader.take(written(CREATED, PROGRESS)) == b""
    assert reader.events == 0
    assert kinds(reader.take(written(DELTA))) == ["response.created", "response.in_progress", DELTA["type"]]
    assert reader.events == 1


def test_a_response_in_the_background_is_sent_on_at_once() -> None:
    assert kinds(ResponseReader("0a0a0a0a", hold=False).take(written(CREATED))) == ["response.created"]


def test_what_the_ledger_needs_is_remembered() -> None:
    reader = ResponseReader("0a0a0a0a", hold=True)
    passed = reader.take(written(CREATED, DELTA, COMPLETED))
    assert (reader.model, reader.usage, reader.output_chars) == ("luna", USAGE, 5)
    assert (reader.finished, reader.done, reader.failed, reader.broken) == (True, True, False, None)
    assert b'"item_id":"msg_1.0a0a0a0a"' in passed
    assert passed.count(b'"id":"resp_1.0a0a0a0a"') == 2


def test_a_response_that_fails_before_it_began_is_an_error_somebody_else_may_mend() -> None:
    reader = ResponseReader("0a0a0a0a", hold=True)
    assert reader.take(written(CREATED, FAILED)) == b""
    assert isinstance(reader.broken, ErrorEvent)
    assert reader.broken.body == {"error": {"code": "server_error", "message": "It broke."}}


def test_a_response_that_fails_later_says_so_in_its_own_words() -> None:
    reader = ResponseReader("0a0a0a0a", hold=True)
    passed = reader.take(written(CREATED, DELTA, FAILED))
    assert kinds(passed)[-1] == "response.failed"
    assert (reader.done, reader.failed, reader.finished) == (True, True, False)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param({"type": "error", "code": "rate_limit_exceeded", "message": "Slow."}, id="as documented"),
        pytest.param(
            {"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Slow."}}, id="with an error object"
        ),
    ],
)
def test_an_error_event_is_an_error(error: Any) -> None:
    reader = ResponseReader("0a0a0a0a", hold=True)
    reader.take(written(CREATED, error))
    assert isinstance(reader.broken, ErrorEvent)
    assert reader.broken.body["error"]["code"] == "rate_limit_exceeded"


def test_an_end_without_a_completion_is_no_end() -> None:
    reader = ResponseReader("0a0a0a0a", hold=True)
    reader.take(written(CREATED, DELTA) + b"data: [DONE]\n\n")
    assert not reader.done
    with pytest.raises(BrokenStream):
        reader.end()


@given(st.lists(st.integers(1, 400), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_any_split_into_blocks_gives_the_same_events(cuts: list[int], newline: str) -> None:
    stream = written(CREATED, PROGRESS, DELTA, COMPLETED, newline=newline)
    whole = ResponseReader("0a0a0a0a", hold=True).take(written(CREATED, PROGRESS, DELTA, COMPLETED))
    reader, passed = ResponseReader("0a0a0a0a", hold=True), b""
    for cut in cuts:
        passed += reader.take(stream[:cut])
        stream = stream[cut:]
    passed += reader.take(stream)
    assert (passed, reader.broken) == (whole, None)
