"""What the ledger costs and takes: the journal on the path, the drain behind it, and a large ledger's questions.

    python benchmarks/ledger.py [--quick] [--only journal drain opening size] [--rows 10000000] [--json PATH]

It starts a PostgreSQL of its own, as durable as in production, and SQLite beside it; both are removed at the end. Ten
million rows take 7 GB of disk, and a quarter of an hour to generate.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402

from benchmarks import ledger_drain, ledger_journal, ledger_queries  # noqa: E402
from benchmarks.ledger_databases import Postgres, Sqlite, Store, postgres, sqlite  # noqa: E402
from benchmarks.ledger_generated import DAYS, ROUTES, generate  # noqa: E402
from benchmarks.ledger_tables import show  # noqa: E402
from benchmarks.process import Failed  # noqa: E402
from benchmarks.run import machine  # noqa: E402

LATEST = ROOT / "benchmarks" / "results" / "ledger.json"
PARTS = ("journal", "drain", "opening", "size")
WRITERS = (1, 2, 4)
BYTES_PER_ROW = 1_000
"""On disk, indexes, totals and write-ahead log included: what must be free before rows are generated."""
Say = Callable[[str], None]


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/ledger.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure (all)")
    parser.add_argument("--requests", type=int, default=20_000, help="through the journal (20,000)")
    parser.add_argument("--each", type=int, default=50_000, help="rows each writer drains (50,000)")
    parser.add_argument("--records", type=int, default=100_000, help="rows of a dead journal at a start (100,000)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="of PostgreSQL's large ledger (10,000,000)")
    parser.add_argument("--sqlite-rows", type=int, default=2_000_000, help="of SQLite's (2,000,000)")
    parser.add_argument("--runs", type=int, default=20, help="how often each question is asked (20)")
    parser.add_argument("--quick", action="store_true", help="small numbers: to see that it works, not to quote")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the result goes (results/ledger.json)")
    options = parser.parse_args(argv)
    if options.quick:
        options.requests, options.each, options.records, options.runs = 2_000, 2_000, 2_000, 3
        options.rows, options.sqlite_rows = 50_000, 20_000
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; return 0 where it could be measured."""
    options = arguments(argv)
    console = Console() if sys.stdout.isatty() else Console(width=110)
    try:
        with console.status("starting") as status:
            report = run(options, status.update)
    except Failed as error:
        console.print(str(error))
        return 1
    show(console, report)
    path = options.json or (None if options.quick or tuple(options.only) != PARTS else LATEST)
    if path is not None:
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return 0


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Measure the parts that are wanted. Raises Failed."""
    _must_have_room(options)
    report: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {**machine(), "python": sys.version.split()[0]},
        "versions": {"sqlite": _sqlite_version()},
    }
    if "journal" in options.only:
        say("the journal")
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            report["journal"] = _loaded(ledger_journal.measure(Path(folder), options.requests))
    if set(options.only) & {"drain", "opening", "size"}:
        with postgres() as server:
            report["versions"]["postgresql"] = server.version()
            for part, figures in _on(server, options, say).items():
                report.setdefault(part, []).extend(figures)
        for part in ("drain", "opening", "size"):
            if part in options.only:
                with sqlite() as file:
                    figures = _on(file, argparse.Namespace(**{**vars(options), "only": [part]}), say)
                    report[part] += figures[part]
    return report


def _on(store: Postgres | Sqlite, options: argparse.Namespace, say: Say) -> dict[str, list[dict[str, Any]]]:
    """Measure on one database, which is left with a large ledger in it."""
    report: dict[str, list[dict[str, Any]]] = {}
    if "drain" in options.only:
        report["drain"] = []
        for writers, journal in _writers(store):
            say(f"{store.name}: {writers} writers{', through journals' if journal else ''}")
            report["drain"].append(_loaded(ledger_drain.measure(store, writers, options.each, journal=journal)))
            store.empty()
    if "opening" in options.only:
        say(f"{store.name}: a start with a dead journal")
        report["opening"] = [_loaded(ledger_drain.opening(store, options.records))]
        store.empty()
    if "size" in options.only:
        report["size"] = [_size(store, options, say)]
    return report


def _size(store: Store, options: argparse.Namespace, say: Say) -> dict[str, Any]:
    rows = options.rows if store.name == "postgresql" else options.sqlite_rows
    with store.undurable():
        generate(store, rows, say)
    figures = {
        "database": store.name,
        "rows": rows,
        "days": DAYS,
        "routes": ROUTES,
        "bytes": store.bytes(),
        "questions": ledger_queries.measure(store, options.runs, say),
    }
    say(f"{store.name}: retention")
    return _loaded({**figures, "retention": ledger_queries.expire(store)})


def _writers(store: Store) -> list[tuple[int, bool]]:
    if store.name == "sqlite":
        return [(1, False), (1, True)]
    return [*((writers, False) for writers in WRITERS), (WRITERS[-1], True)]


def _loaded(figures: dict[str, Any]) -> dict[str, Any]:
    """Add how busy the machine was when these were taken."""
    return {**figures, "load_average": round(os.getloadavg()[0], 1)}


def _must_have_room(options: argparse.Namespace) -> None:
    wanted = max(options.rows, options.sqlite_rows) * BYTES_PER_ROW if "size" in options.only else 0
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 2 * wanted:
        raise Failed(f"{tempfile.gettempdir()} has {free >> 30} GiB free; so many rows want {2 * wanted >> 30}")


def _sqlite_version() -> str:
    import sqlite3

    return sqlite3.sqlite_version


if __name__ == "__main__":
    sys.exit(main())
