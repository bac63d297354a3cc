"""Gateways that are killed and started again, and everything that a rig needs around them."""

import asyncio
import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway_nursery import Child, Nursery
from gateway_server import free_port
from kill_load import ROUTE, get
from sandbox_server import RunningSandbox, running_sandbox

from gateway.clock import SystemClock
from gateway.sandbox.catalogue import default_catalogue

SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
MODEL = "gpt-4o-mini-2024-07-18"
READY_S = 30.0
STOPPED_S = 30.0
TOKENS_PER_S = 60.0
SEGMENT_BYTES = 64 << 10
SMALL_SEGMENT_BYTES = 8 << 10
"""So small that a rig of seconds sees segments end; a burst may be faster than the next one is made."""
HASTE: Mapping[str, Any] = {"gateway.ledger.adoption:LOOK_EVERY_S": 1.0}
"""Constants of the gateway's pace: what happens every half minute would not happen within a rig."""


@contextmanager
def metered_sandbox() -> Iterator[RunningSandbox]:
    """Run a sandbox that writes slowly; its bill is the oracle.

    What a killed gateway has not noted is at most what came in the last moments, so it is the pace that bounds it.
    """
    catalogue = [
        replace(model, first_token_ms=20.0, tokens_per_s=TOKENS_PER_S)
        for model in default_catalogue(SystemClock().now())
    ]
    with running_sandbox(catalogue=catalogue) as sandbox:
        yield sandbox


def write_routes(directory: Path, base_url: str, **ledger: Any) -> Path:
    """Write a configuration: one route, at the sandbox's own prices."""
    routes = {
        "version": 1,
        "providers": {"first": {"kind": "sandbox", "base_url": base_url}},
        "prices": {
            "first": {
                MODEL: {
                    "input_usd_per_1m": 0.15,
                    "cached_input_usd_per_1m": 0.075,
                    "output_usd_per_1m": 0.60,
                    "source": "the sandbox's catalogue",
                }
            }
        },
        "defaults": {"provider": "first", "owner": "support"},
        "routes": {ROUTE: {"primary": MODEL}},
    }
    if ledger:
        routes["ledger"] = ledger
    path = directory / "routes.yaml"
    path.write_text(json.dumps(routes))
    return path


@dataclass
class KilledGateway:
    """One of the gateways of a rig: always the same port, database and journals, process after process."""

    nursery: Nursery
    routes: Path
    database_url: str
    journals: Path
    directory: Path
    number: int = 0
    constants: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    segment_bytes: int = SEGMENT_BYTES
    port: int = field(default_factory=free_port)
    child: Child | None = None
    starts: int = 0
    ready_s: list[float] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.directory / f"gateway-{self.number}.log"

    @property
    def reached(self) -> Path:
        """Where the names of failpoints are noted that were reached."""
        return self.directory / f"reached-{self.number}.txt"

    async def start(self, **rig: Any) -> Child:
        """Start a process, with what it is to do differently; it is not ready yet."""
        constants = {**self.constants, **rig.pop("constants", {})}
        self.child = await self.nursery.start(
            argv=["serve", "--routes", str(self.routes), "--port", str(self.port), "--database", self.database_url],
            environ={"GATEWAY_JOURNAL_DIR": str(self.journals), **self.environ},
            log=str(self.log),
            rig={"constants": constants, "segment_bytes": self.segment_bytes, "reached": str(self.reached), **rig},
        )
        self.starts += 1
        return self.child

    async def ready(self, within_s: float = READY_S) -> bool:
        """Wait until it is ready; False where it ended before."""
        assert self.child is not None
        began = time.monotonic()
        while time.monotonic() < began + within_s:
            if self.child.ended.done():
                return False
            with suppress(OSError):
                if (await get(self.port, "/readyz"))[0] == 200:
                    self.ready_s.append(time.monotonic() - began)
                    return True
            await asyncio.sleep(0.02)
        raise AssertionError(f"gateway {self.number} was not ready within {within_s:.0f} s:\n{self.last_words()}")

    async def started(self, **rig: Any) -> Child:
        """Start a process, and wait until it is ready."""
        child = await self.start(**rig)
        assert await self.ready(), f"gateway {self.number} ended as it started:\n{self.last_words()}"
        return child

    async def killed(self) -> None:
        """Kill -9."""
        assert self.child is not None
        self.child.send(signal.SIGKILL)
        await self.child.end(10)

    async def stopped(self) -> float:
        """Stop it as an operator does; return after how many seconds it had ended."""
        assert self.child is not None
        began = time.monotonic()
        self.child.send(signal.SIGTERM)
        code = await self.child.end(STOPPED_S)
        assert code == 0, f"gateway {self.number} ended with {code}:\n{self.last_words()}"
        return time.monotonic() - began

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return what it logged under this name, over all its lives."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == event:
                    found.append(entry)
        return found

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""


def gateways(
    nursery: Nursery,
    directory: Path,
    sandbox: RunningSandbox,
    database_url: str,
    count: int = 1,
    *,
    ledger: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> list[KilledGateway]:
    """Return gateways of one configuration, on one database, with one directory of journals; none is started."""
    routes = write_routes(directory, sandbox.base_url, **(ledger or {}))
    journals = directory / "kept.journal"
    return [
        KilledGateway(nursery, routes, database_url, journals, directory, number, {**HASTE, **(constants or {})})
        for number in range(count)
    ]


def journals_left(journals: Path) -> list[Path]:
    """Return the journals that were not taken up yet, or belong to somebody alive."""
    return [path for path in journals.iterdir() if path.is_dir()] if journals.exists() else []


async def until(holds: Callable[[], Any], what: str, within_s: float) -> float:
    """Wait until something is so; return after how many seconds it was."""
    began = time.monotonic()
    while True:
        found = holds()
        if await found if isinstance(found, Awaitable) else found:
            return time.monotonic() - began
        assert time.monotonic() < began + within_s, f"not within {within_s:.0f} s: {what}"
        await asyncio.sleep(0.05)


async def all_taken_up(gateway: KilledGateway, within_s: float = 60.0) -> float:
    """Wait until a running gateway's own journal is the only one that is left."""
    try:
        return await until(lambda: len(journals_left(gateway.journals)) <= 1, "dead journals are taken up", within_s)
    except AssertionError as error:
        left = [path.name for path in journals_left(gateway.journals)]
        raise AssertionError(f"{error}; there are {left}:\n{gateway.last_words()}") from None


async def the_bill_is_closed(sandbox: RunningSandbox) -> None:
    """Wait until no answer is being sent any more: an attempt is on the bill once it has ended."""
    length, since = -1, 0.0
    while True:
        now = sandbox.sandbox.provider.bill.next_index
        if now != length:
            length, since = now, time.monotonic()
        elif time.monotonic() - since > 1.0:
            return
        await asyncio.sleep(0.05)


async def closed(gateway: KilledGateway, others: Sequence[KilledGateway], sandbox: RunningSandbox) -> None:
    """End as an operator would: stop all, start one so that dead journals are taken up, stop it, read the bill."""
    for each in (gateway, *others):
        if each.child is not None and not each.child.ended.done() and await each.ready():
            await each.stopped()
    await the_bill_is_closed(sandbox)
    await gateway.started()
    await all_taken_up(gateway)
    await gateway.stopped()
    left = journals_left(gateway.journals)
    assert not left, f"journals are left behind: {[path.name for path in left]}\n{gateway.last_words()}"
    # A kill may tear a journal's last frame. It damages nothing, and no row is one that a database refuses.
    aside = [path.name for path in gateway.journals.iterdir() if path.name != "keys.jsonl"]
    assert not aside, f"set aside as damaged or refused: {aside}\n{gateway.last_words()}"


def chance(seed: int) -> random.Random:
    """Return random numbers of a seed that the output names, so that a run can be repeated."""
    print(f"seed {seed}")
    return random.Random(seed)


def sqlite_url(directory: Path) -> str:
    return f"sqlite+aiosqlite:///{directory}/ledger.db"


@contextmanager
def held(url: str) -> Iterator[None]:
    """Hold a SQLite database, as another process would."""
    connection = sqlite3.connect(url.partition(":///")[2], isolation_level=None, timeout=30)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()
