"""The rigs' side of ``killed_gateway``: has gateways started, and hears of their ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from gateway_server import ROOT

STARTED_S = 30.0


class Child:
    """One process, from its start to its end."""

    def __init__(self, pid: int, nursery: "Nursery") -> None:
        self.pid, self._nursery = pid, nursery
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Its exit code; of a signal, the number below zero."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens where it has ended."""
        self._nursery.order({"signal": int(number), "pid": self.pid})

    async def end(self, within_s: float) -> int:
        """Wait for its end."""
        async with asyncio.timeout(within_s):
            return await asyncio.shield(self.ended)


class Nursery:
    """Where gateways come from: see ``killed_gateway``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._alive: dict[int, Child] = {}
        self._starting: asyncio.Queue[int] = asyncio.Queue()
        self._asking = asyncio.Lock()
        self._reading = asyncio.create_task(self._read())

    def order(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def start(self, **order: Any) -> Child:
        async with self._asking:
            self.order(order)
            async with asyncio.timeout(STARTED_S):
                return self._alive[await self._starting.get()]

    async def close(self) -> None:
        """End every child, and the nursery."""
        assert self._process.stdin is not None
        children = list(self._alive.values())
        for child in children:
            child.send(signal.SIGKILL)
        with suppress(TimeoutError):
            await asyncio.gather(*(child.end(10) for child in children))
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "started" in said:
                self._alive[said["started"]] = Child(said["started"], self)
                self._starting.put_nowait(said["started"])
            else:
                self._alive.pop(said["ended"]).ended.set_result(said["code"])


@asynccontextmanager
async def nursery(*preloaded: str) -> AsyncIterator[Nursery]:
    """Start one; ``preloaded`` are modules that its children need, and ``serve`` does not."""
    program = Path(__file__).with_name("killed_gateway.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NURSERY_PRELOADED": " ".join(preloaded)},
    )
    found = Nursery(process)
    try:
        yield found
    finally:
        await found.close()
