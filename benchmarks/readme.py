"""Write the README's table of figures from results/latest.json, so that the one cannot say what the other does not.

python benchmarks/readme.py            rewrites the README
python benchmarks/readme.py --check    exit 1 where it differs
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LATEST = ROOT / "benchmarks" / "results" / "latest.json"
BLOCK = re.compile(r"(<!-- benchmarks: [^\n]* -->\n).*?(<!-- /benchmarks -->)", re.DOTALL)
TITLES = {
    "gateway": "Understudy",
    "nginx": "nginx",
    "tensorzero": "TensorZero",
    "portkey": "Portkey",
    "litellm": "LiteLLM",
}
ROWS = (
    ("requests/s, 64 connections", "requests_per_s_64", 0),
    ("latency at one connection, p50 µs", "p50_us_1", 0),
    ("processor time a request, µs", "cpu_us_per_request", 0),
    ("chunks/s relayed, 64 streams", "chunks_per_s_64", 0),
    ("idle memory, MiB", "idle_rss_mib", 0),
    ("ready after, s", "ready_s", 2),
)


def table(results: dict[str, Any]) -> str:
    """Return the figures as Markdown, with the goals that were missed."""
    subjects = results["subjects"]
    names = [name for name in TITLES if name in subjects]
    lines = ["| one core | " + " | ".join(TITLES[name] for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for title, figure, digits in ROWS:
        lines.append(f"| {title} | " + " | ".join(f"{subjects[name][figure]:,.{digits}f}" for name in names) + " |")
    missed = [goal for goal in results["goals"] if not goal["met"]]
    said = "; ".join(
        f"{goal['goal']}: {goal['bound']} {goal['limit']:g}, measured {goal['value']:.2f}" for goal in missed
    )
    lines += ["", *_mixed(results["mixed"])] if results.get("mixed") else []
    lines += ["", *_learning(results["learning"])] if results.get("learning") else []
    machine, noise = results["machine"], results["noise"]
    day = results["date"][:10]
    verdict = f"Of our goals this run missed: {said}." if missed else "Every goal was met."
    lines += [
        "",
        f"Measured in one run on {day}: {machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, "
        f"ledger and metrics on; {noise['stolen_share']:.0%} of the processor was others'. {verdict}",
    ]
    return "\n".join(lines) + "\n"


def _mixed(figures: dict[str, Any]) -> list[str]:
    wire, litellm = figures["wire_per_s"], figures["litellm_per_s"]
    return [
        f"Providers that litellm translates: {figures['litellm_alone_per_s']:.0f} requests/s on the same core, and "
        f"{litellm} of them a second add {max(0.0, figures['added_p99_ms']):.1f} ms to the p99 of {wire} others. Their "
        f"process takes the memory of both to {figures['memory_with_worker_mib']:.0f} MiB; without such a provider "
        "there is none."
    ]


def _learning(figures: dict[str, Any]) -> list[str]:
    added = figures["added_p99_ms"]
    return [
        f"A tenth of {figures['requests_per_s']} requests a second in the shadow of a fallback adds "
        f"{max(0.0, added['rehearsing']):.1f} ms to the p99 of their callers; a tenth captured adds "
        f"{max(0.0, added['capturing']):.1f} ms."
    ]


def rewritten(readme: str) -> str:
    """Return the README with the figures of the latest run."""
    figures = table(json.loads(LATEST.read_text()))
    return BLOCK.sub(lambda found: found[1] + figures + found[2], readme)


if __name__ == "__main__":
    path = ROOT / "README.md"
    before = path.read_text(encoding="utf-8")
    after = rewritten(before)
    if "--check" in sys.argv[1:]:
        sys.exit(before != after)
    path.write_text(after, encoding="utf-8")
