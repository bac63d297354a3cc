"""Takes one subject's figures: starts it, waits until it answers, drives the four cases, looks at its memory."""

import http.client
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers import CHUNKS
from benchmarks.drivers import Case, ask, check, drive
from benchmarks.figures import added
from benchmarks.nginx import nginx_path, write_stub
from benchmarks.peers import LEDGER, ROOT, Door, Launch, Peer, Upstreams
from benchmarks.process import Failed, Server

_READY_WITHIN_S = 90.0
_CONNECTIONS = (1, 64)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """What holds for the whole run: the cores, the stub's ports, and how long a case takes."""

    core: int
    load_core: int
    plain_port: int
    stream_port: int
    warmup_s: float
    seconds: float

    @property
    def upstreams(self) -> Upstreams:
        """The stub as the peers are told of it."""
        return Upstreams(f"http://127.0.0.1:{self.plain_port}/v1", f"http://127.0.0.1:{self.stream_port}/v1")

    def case(self, door: Door, *, stream: bool, connections: int) -> Case:
        """Build a case of this run's length."""
        return Case(door, stream, connections, self.warmup_s, self.seconds)


@contextmanager
def upstream(folder: Path, core: int) -> Iterator[tuple[int, int]]:
    """Run the stub, and yield its ports for plain answers and for streams: the same where nginx is not installed."""
    port = free_port()
    own = (sys.executable, "-m", "benchmarks.stub", str(port))
    with Server(own, core=core, env=environment(folder), cwd=ROOT, log=folder / "stub.log") as streams:
        await_port(streams, port)
        if nginx_path() is None:
            yield port, port
            return
        plain_port = free_port()
        command = write_stub(folder, plain_port)
        with Server(command, core=core, env=environment(folder), cwd=folder, log=folder / "nginx.log") as plain:
            await_port(plain, plain_port)
            yield plain_port, port


def measure_direct(bench: Bench, folder: Path, say: Say) -> dict[str, Any]:
    """Measure the load against the stub itself: what every added latency is counted from."""
    say("the stub alone")
    figures: dict[str, Any] = {}
    door = {False: Door("/v1/chat/completions", "bench-plain"), True: Door("/v1/chat/completions", "bench-stream")}
    port = {False: bench.plain_port, True: bench.stream_port}
    for stream in (False, True):
        for connections in _CONNECTIONS:
            case = bench.case(door[stream], stream=stream, connections=connections)
            figures |= _flatten(case, drive(case, port[stream], folder), check(case, port[stream]))
    return figures


def measure(peer: Peer, bench: Bench, folder: Path, direct: dict[str, Any], say: Say) -> dict[str, Any]:
    """Start a peer, take its figures, and end it. Raises Failed."""
    say("starting")
    port = free_port()
    launch = peer.launch(folder, port, bench.upstreams)
    environ = {**environment(folder), **launch.env}
    with Server(launch.command, core=bench.core, env=environ, cwd=folder, log=folder / "server.log") as server:
        port, ready_s = _await_ready(server, launch, port)
        server.settle(5.0)
        figures: dict[str, Any] = {"ready_s": round(ready_s, 3), **_named("idle", server.memory())}
        sent = 0
        for stream, door in ((False, launch.plain), (True, launch.stream)):
            for connections in _CONNECTIONS:
                say(f"{'streams' if stream else 'plain answers'}, {connections} connection{'s'[: connections > 1]}")
                case = bench.case(door, stream=stream, connections=connections)
                taken = _take(case, server, port, folder)
                sent += taken.pop("sent")
                figures |= taken
        figures |= _named("loaded", server.memory())
        server.must_run()
    figures |= _additions(figures, direct)
    if peer.name == "gateway":
        figures |= _accounted(folder / LEDGER, sent)
    return figures


def free_port() -> int:
    """Let the system pick a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(folder: Path) -> dict[str, str]:
    """Build the environment of a server: nothing of ours but the way to programs, and no proxy to the outside."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8"}


def _take(case: Case, server: Server, port: int, folder: Path) -> dict[str, Any]:
    events = check(case, port)
    server.settle()
    cpu_before, started = server.cpu_s(), time.perf_counter()
    raw = drive(case, port, folder)
    elapsed = time.perf_counter() - started
    share = (server.cpu_s() - cpu_before) / elapsed
    # Work put off until after the load is work for the load: it counts, in the time per request.
    server.settle()
    server.must_run()
    sent = raw.get("sent", raw["requests"])
    cpu_s = server.cpu_s() - cpu_before
    figures = _flatten(case, raw, events)
    if case.connections > 1:
        kind = "stream" if case.stream else "request"
        figures[f"{kind}_cpu_share"] = round(share, 3)
        if sent and not case.stream:
            figures["cpu_us_per_request"] = round(cpu_s / sent * 1e6, 1)
    return {**figures, "sent": sent}


def _flatten(case: Case, raw: dict[str, Any], events_per_stream: int) -> dict[str, Any]:
    """Name a case's figures as the JSON has them; a chunk is one that the stub sent."""
    at = case.connections
    if not case.stream:
        return {
            f"requests_per_s_{at}": round(raw["requests"] / raw["seconds"], 1),
            f"p50_us_{at}": _round(raw["p50_us"]),
            f"p99_us_{at}": _round(raw["p99_us"]),
            f"errors_{at}": raw["errors"],
        }
    first = raw["first_event"]
    return {
        f"chunks_per_s_{at}": round(raw["events"] / raw["seconds"] * CHUNKS / events_per_stream, 1),
        f"streams_per_s_{at}": round(raw["events"] / raw["seconds"] / events_per_stream, 2),
        f"first_chunk_p50_us_{at}": _round(first["p50_us"]),
        f"first_chunk_p99_us_{at}": _round(first["p99_us"]),
        f"stream_p50_us_{at}": _round(raw["p50_us"]),
        f"stream_errors_{at}": raw["errors"],
    }


def _additions(figures: dict[str, Any], direct: dict[str, Any]) -> dict[str, Any]:
    latencies = [name for name in figures if "_us_" in name and name in direct]
    return {f"added_{name}": _round(added(figures[name], direct[name])) for name in latencies}


def _accounted(database: Path, sent: int) -> dict[str, Any]:
    """Count the ledger's rows: a run in which answers went unaccounted is no measurement. Raises Failed."""
    with closing(sqlite3.connect(database)) as connection:
        rows, with_usage = connection.execute(
            "SELECT count(*), coalesce(sum(usage_source = 'provider' AND output_tokens = 100), 0) FROM attempts"
        ).fetchone()
    if with_usage < sent:
        raise Failed(f"{sent} answers were counted, but the ledger has only {with_usage} rows with their usage")
    return {"ledger_rows": rows, "answers_counted": sent}


def _await_ready(server: Server, launch: Launch, port: int) -> tuple[int, float]:
    """Ask for a plain answer until there is one; return the port, and the seconds since the start."""
    case = Case(launch.plain, stream=False, connections=1, warmup_s=0, seconds=0)
    last = "it did not listen"
    while time.perf_counter() - server.started < _READY_WITHIN_S:
        server.must_run()
        if launch.announced and (found := launch.announced.search(server.log.read_text(errors="replace"))):
            port = int(found[1])
        try:
            status, body = ask(case, port)
            if status == 200:
                return port, time.perf_counter() - server.started
            last = f"it answered {status}: {body[:300]}"
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.01)
    raise Failed(f"not ready within {_READY_WITHIN_S:.0f} s: {last}")


def await_port(server: Server, port: int) -> None:
    while time.perf_counter() - server.started < 10:
        server.must_run()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise Failed(f"the stub does not listen: {server.last_words()}")


def _named(when: str, memory: dict[str, float]) -> dict[str, float]:
    return {f"{when}_{name}": value for name, value in memory.items()}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
