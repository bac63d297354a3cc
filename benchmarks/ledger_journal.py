"""What the journal costs a request: its intent before the send and its row after the answer, in both durabilities.

Requests come in groups of ten, with a moment in between in which the loop does what it has put off, as in life. Times
are those of the wall and of this thread's processor; what was behind the slowest hundredth is counted as well. The best
of ten passes is the one that other work on the machine troubled least. Back to back, without those moments, no other
process gets the core in between and nothing has to come from memory again.
"""

import asyncio
import gc
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.figures import percentile
from benchmarks.ledger_rows import rows
from gateway.clock import SystemClock
from gateway.config.routes_ledger import Ledger
from gateway.ledger.entry import Entry
from gateway.ledger.frames import Position
from gateway.ledger.journal import Intent, Journal
from gateway.ledger.replay import JournalReader
from gateway.reasons import FailureKind, Outcome, UsageSource

GROUP: Final = 10
PAUSE_S: Final = 0.001
PASSES: Final = 10
CALLERS: Final = 16
_PRICE: Final = Decimal(600)


@dataclass(slots=True)
class Samples:
    """One kind of time per request, in microseconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float | None]:
        """Return the percentiles of both."""
        return {
            f"{name}_{label}_us": _round(percentile(ordered, share))
            for name, ordered in (("wall", sorted(self.wall)), ("cpu", sorted(self.cpu)))
            for label, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
        }

    def passes(self, count: int) -> "list[dict[str, float | None]]":
        """Return the percentiles of each of so many stretches."""
        size = max(1, len(self.wall) // count)
        starts = range(0, len(self.wall), size)
        return [Samples(self.wall[at : at + size], self.cpu[at : at + size]).figures() for at in starts]


def measure(root: Path, requests: int) -> dict[str, Any]:
    """Measure both durabilities, and reading back."""
    return {
        "fast": asyncio.run(_fast(root / "fast", requests, PAUSE_S)),
        "fast_back_to_back": asyncio.run(_fast(root / "back-to-back", requests, 0)),
        "strict": asyncio.run(_strict(root / "strict", requests)),
    }


async def _fast(root: Path, requests: int, pause_s: float) -> dict[str, Any]:
    journal = _journal(root, "fast")
    written, tail, samples = rows(requests), Tail(), Samples()
    intents = [_intent(row) for row in written]
    with tail.watching():
        for number, (intent, row) in enumerate(zip(intents, written, strict=True)):
            before = tail.now()
            wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
            journal.intent(intent)
            journal.settle(row)
            cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
            samples.wall.append(wall / 1000)
            samples.cpu.append(cpu / 1000)
            tail.saw(wall / 1000, before)
            if number % GROUP == GROUP - 1:
                await asyncio.sleep(pause_s)
    used, passes = journal.bytes_used, samples.passes(PASSES)
    read_us = _read_back(journal)
    journal.close(empty=True)
    return {
        **samples.figures(),
        "best_pass": min(passes, key=lambda figures: figures["wall_p99_us"] or 0),
        "bytes_per_request": round(used / requests),
        "read_back_cpu_us_per_row": read_us,
        "slowest_hundredth": tail.figures(),
    }


async def _strict(root: Path, requests: int) -> dict[str, Any]:
    """Sixteen callers at once, as group commit is for; each waits until its row is on the disk."""
    journal = _journal(root, "strict")
    waited, samples = Samples(), Samples()
    left = iter(rows(requests))

    async def caller() -> None:
        for row in left:
            intent = _intent(row)
            wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
            journal.intent(intent)
            journal.settle(row)
            cpu, settled = time.thread_time_ns() - cpu, time.perf_counter_ns()
            await journal.synced()
            samples.wall.append((settled - wall) / 1000)
            samples.cpu.append(cpu / 1000)
            waited.wall.append((time.perf_counter_ns() - settled) / 1000)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    seconds = time.perf_counter() - began
    journal.close(empty=True)
    waits = waited.figures()
    return {
        **samples.figures(),
        "callers": CALLERS,
        "synced_p50_us": waits["wall_p50_us"],
        "synced_p99_us": waits["wall_p99_us"],
        "requests_per_s": round(requests / seconds),
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """What this thread had met until an instant."""

    preempted: int
    page_faults: int
    collections: int
    gave_way: int


class Tail:
    """What happened during the slowest requests, counted by cause; one request may have had several."""

    def __init__(self) -> None:
        self._collections = 0
        self._samples: list[tuple[float, Seen, Seen]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the garbage collector's runs meanwhile."""
        gc.callbacks.append(self._collected)
        try:
            yield
        finally:
            gc.callbacks.remove(self._collected)

    def now(self) -> Seen:
        """Return the counters."""
        used = resource.getrusage(resource.RUSAGE_THREAD)
        return Seen(used.ru_nivcsw, used.ru_minflt, self._collections, used.ru_nvcsw)

    def saw(self, wall_us: float, before: Seen) -> None:
        """Note a request and what was counted before it."""
        self._samples.append((wall_us, before, self.now()))

    def figures(self) -> dict[str, float]:
        """Return, of the slowest hundredth, the share that met each cause."""
        slowest = sorted(self._samples, key=lambda sample: -sample[0])[: max(1, len(self._samples) // 100)]
        names = {
            "preempted": "preempted by another process",
            "gave_way": "waited for the interpreter's lock or the disk",
            "page_faults": "touched a new page of memory",
            "collections": "collected garbage",
        }
        met = {
            text: sum(getattr(after, name) > getattr(before, name) for _, before, after in slowest)
            for name, text in names.items()
        }
        met["nothing of these"] = sum(before == after for _, before, after in slowest)
        return {text: round(count / len(slowest), 3) for text, count in met.items()}

    def _collected(self, phase: str, _: object) -> None:
        self._collections += phase == "start"


def _journal(root: Path, durability: Literal["fast", "strict"]) -> Journal:
    return Journal.open(root, database="benchmark", clock=SystemClock(), ledger=Ledger(durability=durability))


def _intent(row: Entry) -> Intent:
    """Return what is written before the request is sent: the row as it is if nothing more is ever heard."""
    cost = row.input_tokens * 150
    open_row = row._replace(
        outcome=Outcome.INTERRUPTED, usage_source=UsageSource.INTERRUPTED, failure=FailureKind.INTERRUPTED,
        model_answered=None, output_tokens=0, cached_input_tokens=0, cost_nanousd=cost, ttft_ms=None, overhead_ms=None,
        duration_ms=0.0, status=None, service_tier=None, finished_at=row.started_at + timedelta(0),
    )  # fmt: skip
    return Intent(open_row, _PRICE)


def _read_back(journal: Journal) -> float:
    reader = JournalReader(journal.directory, Position(1, 0), live=True)
    began, count = time.thread_time(), 0
    while True:
        batch = reader.batch(100)
        count += len(batch.entries)
        if batch.end:
            break
    spent = time.thread_time() - began
    reader.close()
    return round(spent / max(1, count) * 1e6, 1)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
