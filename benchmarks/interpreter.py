"""Which Python the Python subjects run on: all of them on the same one, the fastest that this machine has.

How an interpreter was compiled matters by a quarter: those that version managers build by default lack the
optimisations of those that distributions and container images ship. What the builds say of themselves is not reliable,
so each runs a small loop.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

ROUNDS = 3
_ASK = """
import json, sys, time
def loop(n):
    kept = {}
    for i in range(n):
        kept[i % 100] = (i, str(i))
        kept.get(5)
def timed():
    started = time.perf_counter()
    loop(50_000)
    return time.perf_counter() - started
print(json.dumps([sys.version.split()[0], sys.version_info >= (3, 11), min(timed() for _ in range(60))]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine."""

    path: str
    version: str
    loop_s: float
    """What the small loop takes, at best."""


@cache
def choose_interpreter() -> Interpreter:
    """Return the fastest Python, 3.11 or newer, of this process's own and the usual ones beside it."""
    paths = (sys.executable, "/usr/bin/python3", *(shutil.which(f"python3.{minor}") for minor in (11, 12, 13)))
    # In turns, since a busy moment of the machine would speak against whoever has it.
    turns = ROUNDS * [path for path in dict.fromkeys(paths) if path]
    found = [interpreter for path in turns if (interpreter := _examine(path))]
    return min(found, key=lambda interpreter: interpreter.loop_s)


def _examine(path: str) -> Interpreter | None:
    try:
        asked = subprocess.run((path, "-c", _ASK), capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version, recent, loop_s = json.loads(asked.stdout)
    return Interpreter(path, version, loop_s) if recent else None
