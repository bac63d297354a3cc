"""The log's way to stderr: nobody who logs waits for who reads, and a process whose reader has stalled still stops."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from gateway_server import ROOT, free_port

from gateway.cli.stderr_writer import MOST_WAITING, StderrWriter

ROUTES = """\
version: 1
providers: {p: {kind: vllm, base_url: "http://127.0.0.1:9/v1"}}
fallbacks: {base: {provider: p, model: m1}}
defaults: {provider: p, fallbacks: [base]}
routes:
  a: {primary: null}
"""
LINE = "x" * 999 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    yield reads, writes
    for end in (reads, writes):
        with suppress(OSError):
            os.close(end)


def fill(writes: int) -> None:
    """Leave no room in a pipe."""
    os.set_blocking(writes, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(writes, b"." * size)
    os.set_blocking(writes, True)


def read_until(reads: int, end: bytes) -> bytes:
    received, deadline = bytearray(), time.monotonic() + 10
    while not received.endswith(end):
        assert time.monotonic() < deadline, received[-200:]
        try:
            received += os.read(reads, 1 << 20)
        except BlockingIOError:
            time.sleep(0.005)
    return bytes(received)


def test_lines_arrive_in_order_and_the_last_ones_at_the_end(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    writer = StderrWriter(writes)
    for number in range(100):
        writer.write(f"{number}\n")
    writer.write("lone \ud800 half\n")
    writer.close()
    assert read_until(reads, b"half\n").decode().splitlines() == [*map(str, range(100)), "lone \\ud800 half"]


def test_a_reader_who_stalls_holds_nobody_up_and_hears_later_what_was_dropped(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    fill(writes)
    writer = StderrWriter(writes)
    began = time.monotonic()
    for _ in range(2 * MOST_WAITING // len(LINE)):
        writer.write(LINE)
    writer.close()
    assert time.monotonic() - began < 5
    received = read_until(reads, LINE.encode()).lstrip(b".")
    while b"log_lines_dropped" not in received:
        received += read_until(reads, b"\n")
    dropped = next(line for line in received.splitlines() if b"dropped" in line)
    assert b'"lines": ' in dropped
    os.close(reads)
    # Its thread must be through with the pipe before the pipe's number is somebody else's.
    writer._thread.join(10)


def test_a_reader_who_has_left_raises_nothing(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    os.close(reads)
    writer = StderrWriter(writes)
    writer.write(LINE)
    writer.close()


@pytest.mark.rig
def test_a_gateway_whose_output_nobody_reads_serves_and_stops(tmp_path: Path, pipe: tuple[int, int]) -> None:
    _, writes = pipe
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    path, port = tmp_path / "routes.yaml", free_port()
    path.write_text(ROUTES)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-m", "gateway", "serve", "--routes", str(path), "--port", str(port)]
    command += ["--database", f"sqlite+aiosqlite:///{tmp_path}/ledger.db"]
    with subprocess.Popen(command, cwd=ROOT, env=clean, stdout=writes, stderr=writes) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/readyz")
            fill(writes)
            body = {"model": "a", "messages": [{"role": "user", "content": "Hi"}]}
            for _ in range(3):
                # Its provider is not there, and each failure is logged.
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/v1/chat/completions", json=body, trust_env=False, timeout=30
                )
                assert answer.status_code == 502
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"{url} was not there within a minute")
