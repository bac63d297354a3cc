"""What rehearsals and capture cost the callers of the routes that have them: nothing that they wait for.

    python benchmarks/learning.py [--seconds 40] [--json PATH]

An open loop: 200 plain requests a second at fixed instants, in turns to a route that learns nothing, to one with a
tenth of its traffic in the shadow of a fallback, to one that captures a tenth, and to one with both. Latency counts
from the instant a request was due. The gateway has one core, the stub and the load the other.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.figures import summarise  # noqa: E402
from benchmarks.measure import await_port, environment, free_port  # noqa: E402
from benchmarks.mixed import Load, Tally  # noqa: E402
from benchmarks.peers import Gateway, Upstreams  # noqa: E402
from benchmarks.process import Failed, Server  # noqa: E402

RATE, SHARE = 200, 0.1
TURNS = 4
READY_WITHIN_S = 30.0
GOAL_P99_MS = 1.0
"""Less cannot be told from the machine's own noise."""
REHEARSAL = f"rehearsal: {{share: {SHARE}, max_usd_per_day: 100}}"
CAPTURE = f"capture: {{share: {SHARE}}}"
ROUTES = {"alone": "", "rehearsing": REHEARSAL, "capturing": CAPTURE, "both": f"{REHEARSAL}, {CAPTURE}"}


def add_routes(routes: Path) -> None:
    """Add a route for each case; the fallback is at the same stub, and has a price."""
    text = routes.read_text()
    price = "{input_usd_per_1m: 1, output_usd_per_1m: 2, source: made up}"
    for name, learns in ROUTES.items():
        rest = f", {learns}" if learns else ""
        text += f"  learn-{name}: {{provider: plain, primary: bench-plain, fallbacks: [base]{rest}}}\n"
    text += "fallbacks:\n  base: {provider: plain, model: bench-base}\n"
    text += f"prices:\n  plain: {{bench-base: {price}, bench-plain: {price}}}\n"
    routes.write_text(text)


async def measure(port: int, seconds: float) -> dict[str, Any]:
    """Take turns between the routes."""
    loads = {name: Load(port, f"learn-{name}", RATE) for name in ROUTES}
    totals = {name: Tally() for name in ROUTES}
    for load in loads.values():
        await load.run(2)
    for _ in range(TURNS):
        for name, load in loads.items():
            tally = await load.run(seconds / TURNS / len(loads))
            totals[name].late_us += tally.late_us
            totals[name].errors += tally.errors
    figures = {name: summarise(total.late_us) for name, total in totals.items()}
    alone = figures["alone"]["p99_us"] or 0
    return {
        "requests_per_s": RATE,
        "share": SHARE,
        "latency": figures,
        "added_p99_ms": {n: round(((f["p99_us"] or 0) - alone) / 1000, 2) for n, f in figures.items() if n != "alone"},
        "errors": sum(total.errors for total in totals.values()),
    }


def goal(figures: dict[str, Any]) -> dict[str, Any]:
    """Hold what rehearsals add to their callers' latency against its bound, in the form of ``figures.judge``."""
    added = figures["added_p99_ms"]["rehearsing"]
    return {
        "goal": f"p99 of {RATE} requests/s with a tenth in the shadow, added ms",
        "figure": "added_p99_ms.rehearsing", "peer": None, "bound": "at most", "limit": GOAL_P99_MS,
        "value": added, "met": added <= GOAL_P99_MS,
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
            add_routes(folder / "routes.yaml")
            environ = {**environment(folder), **launch.env}
            with Server(launch.command, core=cores[0], env=environ, cwd=folder, log=folder / "log") as server:
                _await_ready(server, port)
                figures = asyncio.run(measure(port, seconds))
                figures["learnt"] = _learnt(port)
                return figures


def _await_ready(server: Server, port: int) -> None:
    started = perf_counter()
    while True:
        server.must_run()
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz"):
                return
        except OSError:
            if perf_counter() - started > READY_WITHIN_S:
                raise Failed(f"the gateway is not ready: {server.last_words()}") from None


def _learnt(port: int) -> dict[str, float]:
    """Return how much was rehearsed and captured: figures of a gateway that did nothing would mean nothing."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    named = ("gateway_rehearsals_total{", "gateway_captured_total{")
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(named)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return 0 where it could be measured."""
    parser = argparse.ArgumentParser(prog="benchmarks/learning.py", description=(__doc__ or "").split("\n")[0])
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
