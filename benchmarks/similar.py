"""Measure the search for similar examples: building the index, and one query on the path of a request.

    python benchmarks/similar.py [--json]

Texts are generated: 20 to 120 words each, drawn from a vocabulary of 20,000 by Zipf's law. Figures are processor time,
and of several passes the best: what other work on the machine troubles least.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gateway.policy.similar import SimilarIndex  # noqa: E402

SIZES = (50, 500, 2_000, 5_000)
QUERIES = 300
PASSES = 5
BEST = 4
VOCABULARY = 20_000


class Tickets:
    """Seeded texts whose words are as unevenly distributed as a language's."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        spelling = random.Random(0)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(spelling.choices(letters, k=spelling.randint(2, 10))) for _ in range(VOCABULARY)]
        self._shares = list(accumulate(1 / (rank + 2.7) for rank in range(VOCABULARY)))

    def text(self, shortest: int, longest: int) -> str:
        """Write a text of so many words."""
        count = self._random.randint(shortest, longest)
        return " ".join(self._random.choices(self.words, cum_weights=self._shares, k=count))

    def han(self, length: int) -> str:
        """Write so many Chinese characters, without any space."""
        return "".join(map(chr, self._random.choices(range(0x4E00, 0x5E00), k=length)))


def queries(tickets: Tickets) -> dict[str, list[str]]:
    """Write the queries of each kind."""
    common = " ".join(tickets.words[:400])
    return {
        "short": [tickets.text(5, 30) for _ in range(QUERIES)],
        "ticket": [tickets.text(20, 120) for _ in range(QUERIES)],
        "long": [tickets.text(300, 600) for _ in range(QUERIES)],
        "1 MiB of common words": [(common + " ") * (2**20 // len(common) + 1)] * QUERIES,
        "1 MiB without spaces": [tickets.han(2**20)] * QUERIES,
        "1 MiB of combining marks": ["a" + "\u0316\u0301" * 2**19] * QUERIES,
    }


def microseconds(index: SimilarIndex, texts: Sequence[str]) -> tuple[float, float]:
    """Return the median and the 99th percentile of a query's processor time; of each query the best pass counts."""
    best = [2**62] * len(texts)
    for _ in range(PASSES):
        for number, text in enumerate(texts):
            start = time.thread_time_ns()
            index.best(text, BEST)
            best[number] = min(best[number], time.thread_time_ns() - start)
    return median(best) / 1000, sorted(best)[len(best) * 99 // 100] / 1000


def measure(size: int) -> dict[str, Any]:
    """Measure a collection of so many texts."""
    tickets = Tickets(seed=size)
    texts = [tickets.text(20, 120) for _ in range(size)]
    built = []
    for _ in range(5):
        start = time.thread_time()
        index = SimilarIndex(texts)
        built.append((time.thread_time() - start) * 1000)
    kinds = {kind: microseconds(index, asked) for kind, asked in queries(tickets).items()}
    figures = {kind: {"median_us": middle, "p99_us": slow} for kind, (middle, slow) in kinds.items()}
    return {"texts": size, "build_ms": min(built), "queries": figures}


def main() -> None:
    """Print the figures of every size."""
    parser = argparse.ArgumentParser(description="Measure the search for similar examples.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    measured = [measure(size) for size in SIZES]
    if parser.parse_args().json:
        print(json.dumps(measured, indent=2))
        return
    for each in measured:
        print(f"{each['texts']:,} texts, built in {each['build_ms']:.1f} ms")
        for kind, figures in each["queries"].items():
            print(f"  {kind:26} median {figures['median_us']:6.0f} µs   p99 {figures['p99_us']:6.0f} µs")


if __name__ == "__main__":
    main()
