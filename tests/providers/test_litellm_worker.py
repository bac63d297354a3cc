"""The process that holds litellm, for real: how it starts, ends, and what it keeps to itself."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fake_clock import FakeClock
from litellm_child import READY_S, LitellmChild, running_child, until
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.providers.worker_process import LONGEST_PAUSE_S, MODULE, LitellmWorker, child_environment

KEY = "sk-vendor-0123456789abcdef"
PROMPT = "A secret of the caller's"
STRANGE = {
    "OPENAI_API_KEY": KEY,
    "ANTHROPIC_API_KEY": KEY,
    "GATEWAY_KEYS": KEY,
    "LITELLM_LOG": "DEBUG",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
}
NEEDED = {"AWS_PROFILE": "prod", "AZURE_CLIENT_ID": "c-1", "GOOGLE_CLOUD_PROJECT": "acme", "TZ": "UTC"}


@dataclass
class Shared:
    """The child of this module: what was seen as it started, and what it writes."""

    child: LitellmChild
    stderr: Path
    alive_before_any_call: bool


def keeping_stderr(path: Path, file: Path) -> str:
    """A program that is Python, with its stderr in a file."""
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@" 2>>"{file}"\n')
    path.chmod(0o700)
    return str(path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A child that was started by its first call."""
    directory = tmp_path_factory.mktemp("litellm")
    python = keeping_stderr(directory / "python", directory / "stderr")
    child = LitellmChild(python=python, environ={**os.environ, **STRANGE, **NEEDED})
    try:
        child.listen(at_once=False)
        alive = child.worker.alive
        child.wait_until_ready()
        yield Shared(child, directory / "stderr", alive)
    finally:
        child.close()


@pytest.fixture
def client(shared: Shared) -> Iterator[httpx.Client]:
    with shared.child.client() as client:
        yield client


class StallingVendor:
    """Somewhere to call that takes a request and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(READY_S)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self) -> socket.socket:
        connection, _ = self._listener.accept()
        connection.settimeout(READY_S)
        received = b""
        while PROMPT.encode() not in received:
            received += connection.recv(65_536)
        return connection

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def vendor() -> Iterator[StallingVendor]:
    stalling = StallingVendor()
    with contextlib.closing(stalling):
        yield stalling


def headers(vendor_url: str) -> dict[str, str]:
    return {
        "authorization": f"Bearer {KEY}",
        "x-litellm-provider": "anthropic",
        "x-litellm-options": json.dumps({"api_base": vendor_url}),
    }


def body(**more: object) -> dict[str, object]:
    return {"model": "claude-haiku-4-5-20251001", "messages": [{"role": "user", "content": PROMPT}], **more}


def raw_call(path: str, vendor_url: str) -> socket.socket:
    """Send a call over a socket of the test's own."""
    content = json.dumps(body()).encode()
    lines = [f"{name}: {value}" for name, value in headers(vendor_url).items()]
    head = ["POST /chat/completions HTTP/1.1", "host: litellm", f"content-length: {len(content)}", *lines, "", ""]
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(READY_S)
    caller.connect(path)
    caller.sendall("\r\n".join(head).encode() + content)
    return caller


# Its start.


def test_a_child_that_nobody_needs_yet_starts_with_the_first_call_which_waits_for_it(shared: Shared) -> None:
    assert not shared.alive_before_any_call
    assert shared.child.worker.alive
    assert shared.child.worker.restarts == 0


def test_its_socket_is_for_its_owner_alone(shared: Shared) -> None:
    assert Path(shared.child.path).parent.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_it_knows_no_key_and_no_proxy_but_where_its_clouds_identity_is(shared: Shared) -> None:
    written = Path(f"/proc/{shared.child.worker.pid}/environ").read_bytes().decode()
    found = dict(line.partition("=")[::2] for line in written.split("\0") if line)
    assert not found.keys() & STRANGE.keys()
    assert KEY not in written
    assert {name: found.get(name) for name in NEEDED} == NEEDED


@pytest.mark.parametrize("name", [*STRANGE, "LD_PRELOAD", "DATABASE_URL", "NO_PROXY", "CO_API_KEY"])
def test_a_variable_that_is_not_on_the_list_is_left_out(name: str) -> None:
    assert name not in child_environment({name: "x", "PATH": "/bin"})


def test_the_gateways_own_source_comes_first_in_its_path() -> None:
    source = str(Path(__file__).resolve().parents[2])
    assert child_environment({"PYTHONPATH": "/ours"})["PYTHONPATH"] == f"{source}{os.pathsep}/ours"
    assert child_environment({})["PYTHONPATH"] == source


def test_the_gateway_goes_first_where_the_two_share_a_core(shared: Shared) -> None:
    assert shared.child.worker.pid is not None
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, shared.child.worker.pid) == min(own + 10, 19)


# What it serves.


@pytest.mark.parametrize(
    ("path", "sent", "status", "code"),
    [
        pytest.param("/chat/completions", body(api_base="http://x"), 400, "unknown_parameter", id="a forbidden field"),
        pytest.param("/images/generations", body(), 404, "not_found", id="a path that is not served"),
        pytest.param("/chat/completions", [], 400, "invalid_request", id="no object"),
    ],
)
def test_it_refuses_by_itself_and_says_so(
    client: httpx.Client, path: str, sent: object, status: int, code: str
) -> None:
    answer = client.post(path, json=sent, headers=headers("http://127.0.0.1:1"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-worker-failure"] == "bad_request"


def test_what_breaks_a_call_breaks_no_other(client: httpx.Client) -> None:
    broken = client.post("/chat/completions", content=b"{no json", headers=headers("http://127.0.0.1:1"))
    assert (broken.status_code, broken.json()["error"]["code"]) == (500, "gateway_error")
    assert client.get("/healthz").status_code == 200


def test_a_vendor_that_is_not_there_is_a_failed_connection(client: httpx.Client, closed_port: int) -> None:
    answer = client.post("/chat/completions", json=body(), headers=headers(f"http://127.0.0.1:{closed_port}"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "connection_failed")


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_caller_who_leaves_ends_the_call_at_the_vendor(shared: Shared, vendor: StallingVendor) -> None:
    caller = raw_call(shared.child.path, vendor.url)
    with vendor.accept() as called:
        caller.close()
        assert called.recv(1) == b"", "the vendor's connection has ended"


def test_a_call_that_takes_long_holds_up_no_other(shared: Shared, client: httpx.Client, vendor: StallingVendor) -> None:
    with raw_call(shared.child.path, vendor.url), vendor.accept():
        assert client.get("/healthz").status_code == 200


def test_nothing_is_written_but_json_lines_without_prompts_and_keys(shared: Shared, client: httpx.Client) -> None:
    sent = body(tools=[{"type": "nonsense"}], response_format={"type": "odd"}, temperature="hot")
    assert client.post("/chat/completions", json=sent, headers=headers("http://127.0.0.1:1")).status_code >= 400
    assert client.post("/chat/completions", content=b"{", headers=headers("http://127.0.0.1:1")).status_code == 500
    lines = shared.stderr.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events if event["event"] != "call_broke"] == ["litellm_worker_ready"]
    assert all({"event", "level", "timestamp"} <= event.keys() for event in events)
    assert PROMPT not in "".join(lines) and KEY not in "".join(lines)


# Its end.


@pytest.mark.rig
def test_a_child_that_is_killed_has_a_successor_that_answers_who_waited() -> None:
    with running_child() as child:
        first = child.worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: child.worker.pid != first, "the child has died")
        child.wait_until_ready()
        successor = child.worker.pid
        assert successor not in (None, first)
        assert child.worker.restarts == 1
        child.run(child.worker.close())
        assert not child.worker.alive and not Path(child.path).parent.exists()
        with pytest.raises(ProcessLookupError):
            os.kill(successor, 0)


@pytest.mark.rig
def test_it_ends_with_the_standard_input_that_its_parent_holds(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    command = [sys.executable, "-m", MODULE, "--fd", str(listener.fileno()), "--hosts", str(tmp_path / "none")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[listener.fileno()], text=True
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "litellm_worker_ready"
        process.stdin.close()
        assert process.wait(READY_S) == 0
    listener.close()


def exists(path: str) -> bool:
    return Path(path).exists()


async def test_closing_what_never_started_is_fine_and_so_is_closing_twice() -> None:
    worker = LitellmWorker(clock=SystemClock())
    worker.listen(at_once=False)
    worker.listen(at_once=False)
    assert exists(worker.path)
    await worker.close()
    await worker.close()
    assert not exists(os.path.dirname(worker.path))


# A child that does not live.


@contextlib.asynccontextmanager
async def failing(python: str, clock: FakeClock) -> AsyncIterator[LitellmWorker]:
    worker = LitellmWorker(python=python, clock=clock)
    try:
        worker.listen(at_once=True)
        yield worker
    finally:
        await worker.close()


async def asleep(clock: FakeClock) -> None:
    deadline = time.monotonic() + READY_S
    while not clock.sleepers:
        assert time.monotonic() < deadline, "nobody sleeps"
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("python", "event"),
    [("/bin/false", "litellm_worker_died"), ("/nowhere/python", "litellm_worker_cannot_start")],
    ids=["it dies at once", "there is no such program"],
)
async def test_a_child_that_dies_young_is_started_again_after_pauses_that_grow(python: str, event: str) -> None:
    clock = FakeClock()
    with capture_logs() as logs:
        async with failing(python, clock) as worker:
            for pause_s in (1, 2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S):
                await asleep(clock)
                assert not worker.alive and worker.pid is None
                clock.advance(pause_s)
            await asleep(clock)
    died = [log for log in logs if log["event"] == event]
    assert [log["restart_in_s"] for log in died] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert worker.restarts == 8
