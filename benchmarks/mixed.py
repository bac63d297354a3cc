"""The wire path beside litellm's: what calls through the worker cost those who do not need it.

    python benchmarks/mixed.py [--seconds 20] [--json PATH]

An open loop: 200 plain requests a second to a provider of OpenAI's wire format, at fixed instants, alone and beside 20
a second to a provider that litellm translates (Anthropic's format), in turns. Latency counts from the instant a request
was due, so that a gateway which stalls cannot hide it. Then the translated kind alone, as fast as eight callers get
answers. The gateway and its worker share one core, the stub and the load the other.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.answers import request_body  # noqa: E402
from benchmarks.figures import summarise  # noqa: E402
from benchmarks.measure import await_port, environment, free_port  # noqa: E402
from benchmarks.peers import Gateway, Upstreams  # noqa: E402
from benchmarks.process import Failed, Server  # noqa: E402

WIRE_RATE, LITELLM_RATE = 200, 20
TURNS = 4
CALLERS = 8
GOAL_P99_MS = 5.0
STARTS_WITHIN_S = 60.0


@dataclass(slots=True)
class Tally:
    """What one kind of request met."""

    late_us: list[float] = field(default_factory=list)
    errors: int = 0


class Line(asyncio.Protocol):
    """One connection that is kept, and answers one request at a time."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[bool] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(False)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
        if end and len(body) >= int(length):
            self._received = b""
            self._settle(head.startswith(b"HTTP/1.1 200"))

    def _settle(self, well: bool) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(well)


class Load:
    """Requests of one kind, at fixed instants."""

    def __init__(self, port: int, model: str, rate: float) -> None:
        self._port = port
        self._rate = rate
        body = request_body(model, stream=False)
        self._request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self._idle: list[Line] = []

    async def run(self, seconds: float) -> Tally:
        """Send for so long; wait for every answer."""
        tally, started = Tally(), perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * self._rate)):
                due = started + number / self._rate
                await asyncio.sleep(max(0.0, due - perf_counter()))
                group.create_task(self.ask(due, tally))
        return tally

    async def run_closed(self, callers: int, seconds: float) -> float:
        """Let so many callers ask again as soon as they are answered; return how many answers came a second."""
        tally, started = Tally(), perf_counter()

        async def caller() -> None:
            while perf_counter() - started < seconds and not tally.errors:
                await self.ask(perf_counter(), tally)

        await asyncio.gather(*(caller() for _ in range(callers)))
        if tally.errors:
            raise Failed("a request through litellm failed")
        return len(tally.late_us) / (perf_counter() - started)

    async def ask(self, due: float, tally: Tally) -> None:
        """Send one request; count how late its answer was."""
        loop = asyncio.get_running_loop()
        line = self._idle.pop() if self._idle else None
        if line is None or line.transport.is_closing():
            _, line = await loop.create_connection(Line, "127.0.0.1", self._port)
        line.answered = loop.create_future()
        line.transport.write(self._request)  # type: ignore[attr-defined]
        if await line.answered:
            self._idle.append(line)
            tally.late_us.append((perf_counter() - due) * 1e6)
        else:
            tally.errors += 1


async def measure(port: int, seconds: float) -> dict[str, Any]:
    """Take turns: the wire alone, and beside litellm."""
    wire, litellm = Load(port, "bench-plain", WIRE_RATE), Load(port, "bench-claude", LITELLM_RATE)
    await asyncio.gather(wire.run(2), litellm.run(2))
    alone, beside, translated = Tally(), Tally(), Tally()
    for _ in range(TURNS):
        _add(alone, await wire.run(seconds / TURNS / 2))
        mixed = await asyncio.gather(wire.run(seconds / TURNS / 2), litellm.run(seconds / TURNS / 2))
        _add(beside, mixed[0])
        _add(translated, mixed[1])
    figures = {name: summarise(tally.late_us) for name, tally in (("alone", alone), ("beside", beside))}
    rate = await litellm.run_closed(CALLERS, seconds / TURNS)
    added = (figures["beside"]["p99_us"] or 0) - (figures["alone"]["p99_us"] or 0)
    return {
        "wire_per_s": WIRE_RATE, "litellm_per_s": LITELLM_RATE, "wire": figures,
        "litellm": summarise(translated.late_us),
        "litellm_alone_per_s": round(rate, 1),
        "added_p99_ms": round(added / 1000, 2),
        "errors": alone.errors + beside.errors + translated.errors,
    }  # fmt: skip


def goal(figures: dict[str, Any]) -> dict[str, Any]:
    """Hold what litellm adds to the others against its bound, in the form of ``figures.judge``."""
    return {
        "goal": f"p99 of {WIRE_RATE} requests/s beside {LITELLM_RATE} through litellm, added ms",
        "figure": "added_p99_ms", "peer": None, "bound": "at most", "limit": GOAL_P99_MS,
        "value": figures["added_p99_ms"], "met": figures["added_p99_ms"] <= GOAL_P99_MS,
    }  # fmt: skip


def run(seconds: float, *, install: bool = True) -> dict[str, Any]:
    """Start stub and gateway, measure, end them. Raises Failed."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    subject = Gateway()
    subject.install(allowed=install)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder, stub_port, port = Path(scratch), free_port(), free_port()
        stub = (sys.executable, "-m", "benchmarks.stub", str(stub_port))
        with Server(stub, core=cores[-1], env=environment(folder), cwd=ROOT, log=folder / "stub.log") as upstream:
            await_port(upstream, stub_port)
            base = f"http://127.0.0.1:{stub_port}/v1"
            launch = subject.launch(folder, port, Upstreams(base, base))
            _add_litellm(folder / "routes.yaml", stub_port)
            environ = {**environment(folder), **launch.env, "BENCH_KEY": "none"}
            with Server(launch.command, core=cores[0], env=environ, cwd=folder, log=folder / "log") as server:
                figures = asyncio.run(_measure(server, port, seconds))
                figures["memory_with_worker_mib"] = server.memory()["pss_mib"]
                return figures


async def _measure(server: Server, port: int, seconds: float) -> dict[str, Any]:
    started, both = perf_counter(), (Load(port, "bench-plain", 1), Load(port, "bench-claude", 1))
    while True:
        server.must_run()
        first = Tally()
        try:
            for load in both:
                await load.ask(perf_counter(), first)
        except OSError:
            first.errors += 1
        if not first.errors:
            break
        if perf_counter() - started > STARTS_WITHIN_S:
            raise Failed(f"no answer through litellm: {server.last_words()}")
        await asyncio.sleep(0.2)
    figures = {"ready_with_litellm_s": round(perf_counter() - started, 2)}
    return {**figures, **await measure(port, seconds)}


def _add_litellm(routes: Path, stub_port: int) -> None:
    """Add a provider of Anthropic's format, served by the same stub."""
    claude = f'  claude: {{kind: anthropic, base_url: "http://127.0.0.1:{stub_port}", api_key_env: BENCH_KEY}}\n'
    text = routes.read_text().replace("routes:\n", f"{claude}routes:\n")
    routes.write_text(text + "  bench-claude: {provider: claude, primary: claude-bench}\n")


def _add(total: Tally, more: Tally) -> None:
    total.late_us += more.late_us
    total.errors += more.errors


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return 0 where it could be measured."""
    parser = argparse.ArgumentParser(prog="benchmarks/mixed.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="how long the measured turns take together (40)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the result goes as well")
    parser.add_argument("--no-install", action="store_true", help="use this environment as it is")
    options = parser.parse_args(argv)
    figures = run(options.seconds, install=not options.no_install)
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if figures["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
