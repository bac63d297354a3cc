"""Gateways that can be killed at a named point: forks ``gateway serve`` again and again, from one set of imports.

Starting an interpreter and reading its libraries takes longer than everything that a rig wants to disturb. So this
program imports the gateway once and forks: each child is a process of its own that runs the ordinary command. What a
child is to do differently (die at a point, leave something out) is in its order alone, and nothing in the gateway
knows of it.

Orders are lines of JSON on stdin; ``{"started": pid}`` and ``{"ended": pid, "code": n}`` are lines on stdout.
"""

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
PR_SET_PDEATHSIG = 1
PRELOADED = (
    "aiosqlite",
    "alembic.command",
    "asyncpg",
    "failpoints",
    "gateway.app",
    "gateway.cli.main",
    "gateway.cli.serve",
    "gateway.store.migrate",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)


def preload() -> None:
    """Import whatever a start would, and what the rig names beside that."""
    for name in (*PRELOADED, *os.environ.pop("NURSERY_PRELOADED", "").split()):
        importlib.import_module(name)


def child(order: dict[str, Any]) -> None:
    """Become ``gateway serve``; never returns."""
    code = 70
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for fd, replacement in ((0, nothing), (1, log), (2, log)):
            os.dup2(replacement, fd)
        os.environ.update(order["environ"])
        import failpoints

        failpoints.prepare(order)
        sys.argv = ["gateway", *order["argv"]]
        from gateway.cli.main import main

        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def say(**what: int) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def main() -> None:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        del os.environ[name]
    preload()
    gc.collect()
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    alive: set[int] = set()
    unread = b""
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
        while alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            alive.discard(pid)
            say(ended=pid, code=os.waitstatus_to_exitcode(status))
        if 0 not in readable:
            continue
        data = os.read(0, 1 << 16)
        if not data:
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
            return
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "signal" in order:
                # Only its own children, and only while they are not reaped: no number is ever used twice.
                if order["pid"] in alive:
                    os.kill(order["pid"], order["signal"])
                continue
            pid = os.fork()
            if pid == 0:
                os.close(woken)
                os.close(wake)
                child(order)
            alive.add(pid)
            say(started=pid)


if __name__ == "__main__":
    main()
