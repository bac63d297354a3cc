import asyncio
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.answers import CHUNKS, EVENTS_PER_WRITE, request_body, stream_events
from benchmarks.drivers import Case, check
from benchmarks.load import Caller, Job, Tally, drive
from benchmarks.measure import free_port, upstream
from benchmarks.peers import Door
from benchmarks.process import Failed
from benchmarks.stub import GROUPS


@pytest.fixture(scope="module")
def stub_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with upstream(tmp_path_factory.mktemp("stub"), core=max(os.sched_getaffinity(0))) as (_, port):
        yield port


def job(port: int, *, stream: bool, path: str = "/v1/chat/completions") -> Job:
    return Job(
        port=port, path=path, headers={}, body=request_body("m", stream=stream).decode(), connections=4,
        warmup_s=0.05, seconds=0.3, stream=stream,
    )  # fmt: skip


def case(*, stream: bool) -> Case:
    return Case(Door("/v1/chat/completions", "m"), stream, connections=1, warmup_s=0, seconds=0)


class Wire(asyncio.Transport):
    """Stands where the socket would be, so that a test can cut an answer wherever it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    def write(self, data: object) -> None:
        self.requests += 1

    def abort(self) -> None:
        self.requests = -1


class Refuse(BaseHTTPRequestHandler):
    """Answers every request with 503."""

    def do_POST(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("stream", [pytest.param(False, id="plain answers"), pytest.param(True, id="streams")])
def test_the_stub_passes_the_check_that_every_peer_must_pass(stub_port, stream):
    assert check(case(stream=stream), stub_port) == (CHUNKS + 2 if stream else 0)


def test_a_subject_that_refuses_fails_the_check(refusing_port):
    with pytest.raises(Failed, match="it answered 503"):
        check(case(stream=False), refusing_port)


def test_a_subject_that_answers_something_else_fails_the_check(stub_port):
    class Plain(Case):
        body = request_body("m", stream=False)

    with pytest.raises(Failed, match="the stream is not the stub's"):
        check(Plain(case(stream=True).door, stream=True, connections=1, warmup_s=0, seconds=0), stub_port)


@pytest.mark.parametrize("stream", [pytest.param(False, id="plain answers"), pytest.param(True, id="streams")])
async def test_the_load_counts_answers_and_events(stub_port, stream):
    figures = await drive(job(stub_port, stream=stream))
    assert figures["errors"] == 0
    assert figures["requests"] > 0
    assert figures["p50_us"] <= figures["p99_us"]
    assert (figures["events"] > figures["requests"]) == stream


async def test_the_load_counts_refusals_as_errors(refusing_port):
    figures = await drive(job(refusing_port, stream=False))
    assert figures["requests"] == 0
    assert figures["errors"] > 0
    assert "503" in figures["first_error"].splitlines()[0]


async def test_where_nobody_listens_the_load_says_so():
    with pytest.raises(ConnectionRefusedError):
        await drive(job(free_port(), stream=False))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1_000_000])
async def test_events_are_counted_wherever_the_network_cuts_them(size):
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(GROUPS[True])
    tally, wire = Tally(counting=True), Wire()
    caller = Caller(job(1, stream=True), tally)
    caller.connection_made(wire)
    for at in range(0, len(answer), size):
        caller.data_received(answer[at : at + size])
    assert (tally.events, tally.answers, tally.errors) == (CHUNKS + 2, 1, 0)
    assert wire.requests == 2, "the next request follows the end of the answer"


def test_the_stub_writes_a_stream_in_small_groups():
    frames = len(stream_events(with_usage=True)) + 1
    assert len(GROUPS[True]) == -(-frames // EVENTS_PER_WRITE)
    assert b"".join(GROUPS[True]).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
