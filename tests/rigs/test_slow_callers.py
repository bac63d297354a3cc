"""Thousands who take their time, and honest traffic beside them; floods, and what they cost in memory."""

import json
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.rigs.limited_gateway import LimitedGateway, eventually, honest, limited_gateway, p99_ms

pytestmark = pytest.mark.rig
ROUNDS: Final = 3
EACH: Final = 500
NOISE_MIB: Final = 4.0
"""What a process of this size moves by itself."""


def slow(port: int, kinds: str, each: int, lasts_s: float) -> "subprocess.Popen[str]":
    script = str(Path(__file__).with_name("slow_callers.py"))
    command = [sys.executable, script, str(port), "--kinds", kinds, "--each", str(each), "--lasts", str(lasts_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(said)
    return found


def one_round(gateway: LimitedGateway, lasts_s: float) -> float:
    """Return the p99 of honest traffic in milliseconds beside slow callers, whom it sees all closed in the end."""
    process = slow(gateway.port, "headers,bodies,silent", EACH, lasts_s)
    beside = p99_ms(honest(gateway.port, 3.0, 100.0))
    most = gateway.descriptors
    found = ended(process)
    print(f"p99 {beside:.1f} ms beside {4 * EACH} slow callers, {most} descriptors")
    for kind, lasted in ((kind, each["after_s"]) for kind, each in found.items()):
        print(f"  {kind}: closed after {min(lasted):.1f} to {max(lasted):.1f} s: {found[kind]['said']}")
        assert len(lasted) == EACH and found[kind]["open"] == 0, "all are closed"
    return beside


def rises(gateway: LimitedGateway, lasts_s: float) -> list[float]:
    """Return by how many milliseconds the p99 of honest traffic rises, in each round."""
    honest(gateway.port, 1.0)
    descriptors = gateway.descriptors
    before = statistics.median(p99_ms(honest(gateway.port, 3.0, 100.0)) for _ in range(ROUNDS))
    print(f"p99 {before:.1f} ms without slow callers")
    readers = slow(gateway.port, "readers", EACH, 300.0)
    try:
        eventually(lambda: gateway.provider.sent_bytes > EACH * 384 * 1024, "more was sent to readers than is held")
        rose = [one_round(gateway, lasts_s) - before for _ in range(ROUNDS)]
    finally:
        readers.kill()
        readers.communicate()
    eventually(lambda: gateway.gauge("gateway_requests_in_flight") == 0, "nothing is under way any more")
    eventually(lambda: gateway.descriptors <= descriptors + 2, "descriptors are as before")
    return rose


def test_two_thousand_slow_callers_beside_honest_ones(tmp_path: Path) -> None:
    with limited_gateway(tmp_path, GATEWAY_HEADER_S="4", GATEWAY_BODY_S="6") as gateway:
        rose = rises(gateway, 20.0)
        refusals = gateway.refusals()
        logged = [line for line in gateway.log.read_text().splitlines() if "protocol_refusals" in line]
    print(f"p99 rose by {[f'{ms:.1f}' for ms in rose]} ms; {refusals}; {len(logged)} lines in the log")
    assert min(rose) < 20, "what the callers cost is there in each round, what else goes on here is not; soak is strict"
    assert refusals["header_timeout"] == ROUNDS * 2 * EACH
    assert refusals["body_timeout"] == ROUNDS * EACH
    assert len(logged) < ROUNDS * 30, "one line a second at most"


@pytest.mark.soak
def test_two_thousand_slow_callers_with_the_deadlines_as_they_are(tmp_path: Path) -> None:
    with limited_gateway(tmp_path) as gateway:
        rose = rises(gateway, 40.0)
    print(f"p99 rose by {[f'{ms:.1f}' for ms in rose]} ms")
    assert max(rose) < 20


def poured(gateway: LimitedGateway, begins: bytes, part: bytes, total: int) -> tuple[int, bytes]:
    """Send up to so many bytes, for as long as they are taken; return how many those were, and what was answered."""
    sent, answer = 0, b""
    with gateway.socket(begins) as raw:
        raw.settimeout(20)

        def pour() -> None:
            nonlocal sent
            try:
                while sent < total:
                    raw.sendall(part)
                    sent += len(part)
            except OSError:
                return

        thread = threading.Thread(target=pour)
        thread.start()
        try:
            while got := raw.recv(65_536):
                answer += got
        except ConnectionResetError:
            pass
        thread.join(30)
    return sent, answer


@pytest.mark.parametrize(
    ("begins", "part", "total", "status", "most_mib"),
    [
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: " + b"y" * 65_530 + b"\r\n", 300 << 20, 431, 1, id="headers"
        ),
        pytest.param(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"10000\r\n" + b" " * 65_536 + b"\r\n",
            1 << 30,
            413,
            21 + 16,
            id="a body in chunks of which the 20 MiB that are allowed are held",
        ),
        pytest.param(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1073741824\r\n\r\n",
            b" " * 65_536,
            1 << 30,
            413,
            1,
            id="a body of a length",
        ),
    ],
)
def test_what_floods_cost(tmp_path: Path, begins: bytes, part: bytes, total: int, status: int, most_mib: float) -> None:
    with limited_gateway(tmp_path) as gateway:
        honest(gateway.port, 1.0)
        before, descriptors = gateway.resident_mib, gateway.descriptors
        most, over = before, threading.Event()

        def look() -> None:
            nonlocal most
            while not over.wait(0.01):
                most = max(most, gateway.resident_mib)

        looking = threading.Thread(target=look)
        looking.start()
        sent, answer = poured(gateway, begins, part, total)
        over.set()
        looking.join()
        print(f"{sent / 2**20:.1f} MiB of {total >> 20} taken; {most - before:.1f} MiB more at most: {answer[:40]!r}")
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert sent < 64 << 20
        assert most - before < most_mib + NOISE_MIB
        eventually(lambda: gateway.descriptors <= descriptors + 1, "descriptors are as before")


def test_five_hundred_who_read_nothing_of_a_stream(tmp_path: Path) -> None:
    with limited_gateway(tmp_path) as gateway:
        honest(gateway.port, 1.0)
        before = gateway.resident_mib
        process = slow(gateway.port, "readers", 500, 20.0)
        eventually(lambda: gateway.provider.sent_bytes > 500 * 384 * 1024, "more was sent than is held")
        assert gateway.gauge("gateway_requests_in_flight") == 500
        each_kib = gateway.provider.sent_bytes / 500 / 1024
        grown_kib = (gateway.resident_mib - before) * 1024 / 500
        ended(process)
        print(f"{each_kib:.0f} KiB left the provider for each of 500, {grown_kib:.0f} KiB of them are in this process")
        assert grown_kib < 256
        eventually(lambda: gateway.gauge("gateway_requests_in_flight") == 0, "all are given up")


def test_more_callers_than_descriptors(tmp_path: Path) -> None:
    with limited_gateway(tmp_path) as gateway:
        honest(gateway.port, 1.0)
        # From here on as if it had been started with ulimit -n: only what is open stays open.
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (gateway.descriptors + 12, 20_000))
        held: list[socket.socket] = []
        for _ in range(200):
            held.append(gateway.socket(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"))
        time.sleep(0.5)
        before = gateway.cpu_s
        time.sleep(2.0)
        spent = gateway.cpu_s - before
        assert gateway.process.poll() is None
        print(f"{spent:.2f} s of processor time in 2 s without a free descriptor")
        assert spent < 1.0, "no busy loop"
        for raw in held:
            raw.close()
        eventually(lambda: recovers(gateway), "it recovers")


def recovers(gateway: LimitedGateway) -> bool:
    try:
        return len(honest(gateway.port, 0.5)) > 5
    except (ConnectionError, AssertionError):
        # Turned away, or closed without an answer: not yet.
        return False


def test_a_limit_of_64_descriptors_turns_callers_away_with_a_word(tmp_path: Path) -> None:
    with limited_gateway(tmp_path, descriptors=64) as gateway:
        held = [gateway.socket(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(40)]
        said = [raw.recv(1_000)[:12] for raw in held]
        print({line: said.count(line) for line in set(said)})
        assert set(said) == {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        for raw in held:
            raw.close()
        eventually(
            lambda: gateway.refusals()["too_many_connections"] == said.count(b"HTTP/1.1 503"), "they are counted"
        )
        eventually(lambda: recovers(gateway), "it recovers")
        assert gateway.process.poll() is None
