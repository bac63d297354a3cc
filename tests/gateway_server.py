"""A real gateway over real HTTP, in a process of its own: what stories run against."""

import contextlib
import itertools
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
READY_S = 60
WORKERS, PORTS_EACH, FIRST_PORT = 12, 1000, 20_000  # below what systems give out to those who ask for any port
_counters = [
    itertools.cycle(random.sample(range(start, start + PORTS_EACH), PORTS_EACH))
    for start in range(FIRST_PORT, FIRST_PORT + WORKERS * PORTS_EACH, PORTS_EACH)
]


@dataclass(frozen=True)
class RunningGateway:
    """Where it listens, what it writes, and the process itself."""

    url: str
    database: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"


@contextlib.contextmanager
def running_gateway(
    routes: Path,
    state: Path,
    *,
    database_url: str | None = None,
    wait: bool = True,
    port: int | None = None,
    **environ: str,
) -> Iterator[RunningGateway]:
    """Start ``gateway serve``, on a free port unless one is named, wait until it is ready, stop it at the end.

    Its ledger is a SQLite file in ``state``, unless another database is named.
    """
    port = port or free_port()
    database, log = state / "ledger.db", state / "gateway.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-m", "gateway", "serve", "--routes", str(routes), "--port", str(port)]
    command += ["--database", database_url or f"sqlite+aiosqlite:///{database}"]
    environ = {"GATEWAY_JOURNAL_DIR": str(state / "journals"), **environ} if database_url else environ
    with running_process(command, log, clean | environ) as process:
        if wait:
            wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield RunningGateway(f"http://127.0.0.1:{port}", database, log, process)


@contextlib.contextmanager
def running_process(
    command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None, *, ends_in_s: float = 40
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program that writes to ``log``; SIGTERM at the end, and SIGKILL where that is not enough."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(ends_in_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the gateway ended with {process.returncode}:\n{log.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"the gateway was not ready within {READY_S} s:\n{log.read_text()}")


def free_port() -> int:
    """Return a port that nobody listens on, nobody connects from by chance, and no test beside this one is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    for port in itertools.islice(_counters[worker], PORTS_EACH):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
