import fcntl
import json
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.execution.behind import Behind
from gateway.execution.line_writer import ATOMIC, LineWriter, pieces_of
from gateway.execution.request_event import RequestEvent
from gateway.execution.request_log import RequestLog, in_ascii, line_of
from gateway.metrics import Metrics
from gateway.reasons import FailureKind, Outcome, Reason, Role
from tests.store.rows import an_entry

AT = datetime(2026, 11, 29, 12, 0, 0, 250_000, tzinfo=UTC)
HOSTILE = 'gpt"\r\n{"event":"request"}\x1b[2J\x9b31m\u2028\u2029\x7f\U0001f600\0'


def an_event(**fields: Any) -> RequestEvent:
    given = {
        "request_id": "req_1",
        "endpoint": "chat_completions",
        "route": "forum-reply",
        "stream": False,
        "status": 200,
        "code": None,
        "key": "default",
        "started_at": AT,
        "duration_s": 0.41,
        "attempts": (an_entry(overhead_ms=0.3),),
    }
    return RequestEvent(**given | fields)


def read(event: RequestEvent) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(line_of(event))
    return fields


def test_a_request_that_its_primary_answered() -> None:
    fields = read(an_event(adapted=["max_tokens"]))
    model = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
    assert fields == {
        "event": "request", "level": "info", "timestamp": "2026-11-29T12:00:00.250000+00:00", "request_id": "req_1",
        "route": "forum-reply", "endpoint": "chat_completions", "stream": False, "status": 200, "code": None,
        "duration_ms": 410.0, "key": "default", "outcome": "ok", "failure": None, "served_by": "primary",
        "target": "primary", "provider": "openai", "model_asked": model, "model_answered": model, "reason": "primary",
        "pinned": False, "team": None, "input_tokens": 1200, "cached_input_tokens": 300, "output_tokens": 150,
        "usage_source": "provider", "cost_nanousd": 495000, "ttft_ms": None, "overhead_ms": 0.3,
        "adapted": ["max_tokens"],
        "attempts": [{"provider": "openai", "model": model, "outcome": "ok", "failure": None, "ms": 1000.0}],
    }  # fmt: skip


def test_a_fallback_that_answered_has_every_attempt_and_the_cost_of_all_of_them() -> None:
    failed = an_entry(outcome=Outcome.FAILED, failure=FailureKind.TIMEOUT, model_answered=None, cost_nanousd=5_000)
    answered = an_entry(role=Role.FALLBACK, target="luna", reason=Reason.TIMEOUT, model_asked="gpt-6-luna")
    fields = read(an_event(attempts=(failed, answered)))
    assert (fields["served_by"], fields["reason"], fields["target"]) == ("fallback", "timeout", "luna")
    assert fields["cost_nanousd"] == 500_000
    assert [(each["outcome"], each["failure"]) for each in fields["attempts"]] == [("failed", "timeout"), ("ok", None)]


@pytest.mark.parametrize(
    ("fields", "level", "trouble"),
    [
        pytest.param({}, "info", False, id="an answer"),
        pytest.param({"status": 401, "attempts": (), "code": "invalid_api_key"}, "warning", True, id="refused"),
        pytest.param({"status": 499, "attempts": ()}, "warning", True, id="left"),
        pytest.param({"status": 502, "code": "upstream_error"}, "error", True, id="failed"),
        pytest.param(
            {"attempts": (an_entry(outcome=Outcome.INTERRUPTED),)}, "warning", True, id="a stream that broke off"
        ),
    ],
)
def test_what_went_wrong_stands_out(fields: dict[str, Any], level: str, trouble: bool) -> None:
    event = an_event(**fields)
    assert (read(event)["level"], event.is_trouble) == (level, trouble)


def test_a_request_that_never_had_an_attempt_says_nothing_of_any() -> None:
    fields = read(an_event(status=404, code="route_not_found", route=None, attempts=()))
    assert fields["route"] is None
    assert not {"model_asked", "attempts", "cost_nanousd"} & fields.keys()


def test_of_a_model_without_a_price_the_cost_is_unknown_and_not_nothing() -> None:
    assert read(an_event(attempts=(an_entry(cost_nanousd=None),)))["cost_nanousd"] is None


@given(st.text() | st.just(HOSTILE))
def test_one_line_is_one_object_whatever_is_in_it(text: str) -> None:
    # A lone half of a character is nothing that JSON from a provider, or a file in UTF-8, can bring.
    text = text.encode("utf-8", "ignore").decode()
    line = line_of(an_event(attempts=(an_entry(model_answered=text, team=text),)))
    assert re.fullmatch(rb"[\x20-\x7e]+\n", line)
    assert json.loads(line)["model_answered"] == text


def test_plain_lines_are_left_as_they_are() -> None:
    assert in_ascii(b'{"a":"b\\n"}\n') == b'{"a":"b\\n"}\n'


def test_pieces_are_whole_lines_that_a_pipe_takes_at_once() -> None:
    lines = [b"x" * 700 + b"\n"] * 20 + [b"y" * 9000 + b"\n"] + [b"z\n"]
    pieces = pieces_of(lines)
    assert b"".join(piece for piece, _ in pieces) == b"".join(lines)
    assert sum(count for _, count in pieces) == len(lines)
    assert all(piece.endswith(b"\n") for piece, _ in pieces)
    assert all(len(piece) <= ATOMIC or count == 1 for piece, count in pieces)


def dropped(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("gateway_log_lines_dropped_total")


async def test_lines_arrive_and_the_last_ones_at_the_end() -> None:
    reads, writes = os.pipe()
    metrics = Metrics()
    writer = LineWriter(writes, metrics.log_lines_dropped)
    log = RequestLog(writer, errors_only=True)
    log.told(an_event(request_id="well"))
    log.told(an_event(request_id="ill", status=502))
    writer.close()
    os.close(writes)
    with os.fdopen(reads) as pipe:
        assert [json.loads(line)["request_id"] for line in pipe] == ["ill"]
    assert dropped(metrics) == 0


async def test_a_reader_who_takes_nothing_holds_nobody_up_and_what_is_lost_is_counted() -> None:
    reads, writes = os.pipe()
    metrics = Metrics()

    def blocks(lines: list[bytes]) -> int:
        with suppress(BrokenPipeError):
            os.write(writes, b"".join(lines))
        return 0

    behind: Behind[bytes] = Behind("blocked", blocks, metrics.log_lines_dropped, most=200_000)
    for _ in range(100):
        behind.put(b"x" * 10_000, 10_000)
    assert dropped(metrics) == 79, "a pipe holds 64 KiB, and 200 kB wait"
    behind.close(0.05)
    os.close(reads)
    # Its thread wakes up now, and must be through with the pipe before the pipe's number is somebody else's.
    behind.close(10)
    os.close(writes)


async def test_a_log_that_is_closed_loses_lines_and_nothing_else() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    metrics = Metrics()
    writer = LineWriter(writes, metrics.log_lines_dropped)
    for _ in range(3):
        writer.write(b"{}\n")
    writer.close()
    os.close(writes)
    assert dropped(metrics) == 3


def test_a_line_that_was_torn_does_not_take_the_next_one_along() -> None:
    reads, writes = os.pipe()
    # It takes a part of a long line and no more: what a full disk does to a file.
    os.set_blocking(writes, False)
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 8192)
    writer = LineWriter(writes, Metrics().log_lines_dropped)
    with os.fdopen(reads, "rb", buffering=0) as pipe:
        assert writer._write([b"x" * 20_000 + b"\n"]) == 1
        assert pipe.read(20_000) == b"x" * 8192
        assert writer._write([b"{}\n", b"[]\n"]) == 0
        assert pipe.read(20_000) == b"\n{}\n[]\n"
    writer.close()
    os.close(writes)
