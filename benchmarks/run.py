"""Measure the gateway and its peers on this machine, in one run: ``make bench``; ``--help`` says more."""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.markup import escape  # noqa: E402
from rich.status import Status  # noqa: E402

from benchmarks import learning, mixed  # noqa: E402
from benchmarks.answers import CHUNKS, EVENTS_PER_WRITE  # noqa: E402
from benchmarks.drivers import wrk_version  # noqa: E402
from benchmarks.figures import judge, ratios  # noqa: E402
from benchmarks.interpreter import choose_interpreter  # noqa: E402
from benchmarks.measure import Bench, measure, measure_direct, upstream  # noqa: E402
from benchmarks.nginx import nginx_path, nginx_version  # noqa: E402
from benchmarks.peers import PEERS, Absent, Peer  # noqa: E402
from benchmarks.process import Failed  # noqa: E402
from benchmarks.table import TITLES, show  # noqa: E402

LATEST = ROOT / "benchmarks" / "results" / "latest.json"
NAMES = tuple(peer.name for peer in PEERS)
EPILOG = """\
what happens
  Each subject runs alone on one core; the stub upstream and the load share another. It is started, asked until it
  answers, and then sent plain answers and streams of 100 chunks, over 1 connection and over 64. Peers are installed
  once, into benchmarks/.cache, at exact versions; nginx and wrk come from your distribution (apt install nginx wrk).
  At the end the gateway twice more: with a provider that litellm translates beside one that it speaks to itself, and
  with routes that rehearse and capture a tenth of their traffic.

examples
  python benchmarks/run.py                          everything, some seven minutes; writes results/latest.json
  python benchmarks/run.py --only gateway --quick   a look at a change, half a minute; writes nothing
  python benchmarks/run.py --only gateway tensorzero --seconds 20 --json /tmp/two.json

exit code
  0 where the gateway was measured, whether or not the goals are met; 1 where it could not be; 2 for a wrong call.
"""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/run.py",
        description="Measure this gateway against nginx, TensorZero, Portkey and LiteLLM, all in the same run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}"
    )
    parser.add_argument("--seconds", type=float, help="how long each of the four cases is measured (8)")
    parser.add_argument("--quick", action="store_true", help="2 seconds a case: to see that it works, not to quote")
    parser.add_argument(
        "--json", type=Path, metavar="PATH", help="where the result goes (results/latest.json if complete)"
    )
    parser.add_argument("--no-install", action="store_true", help="install nothing: who is not installed is absent")
    options = parser.parse_args(argv)
    if options.seconds is not None and not 0 < options.seconds <= 600:
        parser.error("--seconds is a number above 0, and at most 600")
    return options


def main() -> int:
    """Run, show, write; return the exit code."""
    options = arguments()
    # Off a terminal nothing says how wide the reader's page is; the tables need this much.
    console = Console() if sys.stdout.isatty() else Console(width=100)
    if not hasattr(os, "sched_setaffinity"):
        console.print("The benchmark pins processes to cores and reads /proc: it needs Linux.")
        return 1
    seconds = options.seconds or (2.0 if options.quick else 8.0)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        console.print("There is one core only: the load takes its share of it, and no goal means anything.")
    os.sched_setaffinity(0, {cores[-1]})
    report = run([peer for peer in PEERS if peer.name in options.only], cores, seconds, not options.no_install, console)
    show(console, report)
    complete = set(options.only) == set(NAMES) and not options.quick
    if path := options.json or (LATEST if complete else None):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        console.print(f"The result is in {path}.")
    return verdict(report, "gateway" in options.only, console)


def run(peers: Sequence[Peer], cores: list[int], seconds: float, install: bool, console: Console) -> dict[str, Any]:
    """Measure the stub alone and then each peer, and return the report."""
    started, load_before, ticks_before = datetime.now(UTC), os.getloadavg()[0], processor_ticks()
    subjects: dict[str, Any] = {}
    versions: dict[str, str] = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, console.status("") as status:
        folder = _folder(scratch, "stub")
        with upstream(folder, cores[-1]) as (plain_port, stream_port):
            bench = Bench(cores[0], cores[-1], plain_port, stream_port, min(2.0, seconds / 4), seconds)
            direct = subjects["direct"] = measure_direct(bench, folder, status.update)
            for number, peer in enumerate(peers, 1):
                title = f"{number}/{len(peers)} {TITLES[peer.name]}"
                say = partial(_say, status, title)
                try:
                    say("installing")
                    versions[peer.name] = peer.install(allowed=install)
                    subjects[peer.name] = measure(peer, bench, _folder(scratch, peer.name), direct, say)
                    console.print(f"{title}: {subjects[peer.name]['requests_per_s_64']:,.0f} requests/s")
                except (Absent, Failed) as error:
                    absent[peer.name] = str(error)
                    console.print(f"{title}: {escape(str(error))}")
        beside, learnt = None, None
        if "gateway" in subjects:
            status.update("the gateway beside its own litellm")
            beside = mixed.run(4 * seconds, install=install)
            status.update("rehearsals and capture behind the requests")
            learnt = learning.run(4 * seconds, install=install)
    return {
        "date": started.isoformat(timespec="seconds"),
        "machine": machine(),
        "noise": {"load_average_before": round(load_before, 2), "stolen_share": stolen_share(ticks_before)},
        "method": method(cores, seconds),
        "versions": versions, "absent": absent, "subjects": subjects, "mixed": beside, "learning": learnt,
        "ratios": ratios({name: figures for name, figures in subjects.items() if name != "direct"}),
        "goals": judge(subjects)
        + ([mixed.goal(beside)] if beside else [])
        + ([learning.goal(learnt)] if learnt else []),
    }  # fmt: skip


def processor_ticks() -> list[int]:
    """Return the machine's processor time by kind, as /proc/stat has it; the eighth kind went to other machines."""
    return [int(value) for value in next(iter(_lines("/proc/stat")), "cpu").split()[1:9]]


def stolen_share(before: list[int]) -> float | None:
    """Return which part of the processor time since then other virtual machines took; None where nothing tells."""
    spent = [now - then for now, then in zip(processor_ticks(), before, strict=True)]
    total = sum(spent)
    return round(spent[7] / total, 4) if len(spent) == 8 and total else None


def method(cores: list[int], seconds: float) -> dict[str, Any]:
    """Describe how this was measured."""
    return {
        "seconds": seconds, "cores": {"subject": cores[0], "stub_and_load": cores[-1]}, "chunks": CHUNKS,
        "events_per_write": EVENTS_PER_WRITE, "wrk": wrk_version(),
        "plain_stub": f"nginx {nginx_version()}" if nginx_path() else "own",
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Describe what this ran on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    memory_kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(memory_kib / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}", "python": choose_interpreter().version,
    }  # fmt: skip


def verdict(report: dict[str, Any], wanted: bool, console: Console) -> int:
    """Say how it went, and return the exit code."""
    if not wanted:
        return 0
    if "gateway" not in report["subjects"]:
        console.print(f"The gateway could not be measured: {escape(report['absent']['gateway'])}")
        return 1
    errors = sum(count for name, count in report["subjects"]["gateway"].items() if "errors_" in name)
    if errors := errors + report["mixed"]["errors"]:
        console.print(f"The gateway failed {errors} requests: its figures do not count.")
        return 1
    missed = [goal["goal"] for goal in report["goals"] if goal["met"] is False]
    open_ones = sum(goal["met"] is None for goal in report["goals"])
    console.print(
        f"{len(missed)} of {len(report['goals'])} goals are missed"
        + (f", {open_ones} not measured." if open_ones else ".")
    )
    return 0


def _say(status: Status, title: str, what: str) -> None:
    status.update(f"{title}: {what}")


def _folder(scratch: str, name: str) -> Path:
    folder = Path(scratch) / name
    folder.mkdir()
    # nginx's worker runs as another user where its master is root, and keeps large bodies here.
    folder.chmod(0o755)
    return folder


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
