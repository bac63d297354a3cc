"""A Kubernetes Service, as far as its callers can tell: TCP connections to whichever endpoint is known to be ready.

It knows nothing of HTTP. A connection is given to a ready endpoint when it opens and stays there, whatever becomes of
the endpoint; nothing is tried twice. Endpoints are watched by their ``/readyz``, and taken out when they are told to
stop; either takes a while to arrive, as it does in a cluster.

It is a program of its own, so that a busy test does not slow it down: ``add PORT`` and ``end PORT`` are lines on its
stdin; ``{"listens": port}``, ``{"port": n, "ready": bool}`` and ``{"refused": port}`` are lines on its stdout.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

WATCH_EVERY_S = 0.25
PROBE_TIMEOUT_S = 2.0


class Balancer:
    """The program's state."""

    def __init__(self, arrives_after_s: float) -> None:
        self._arrives_after_s = arrives_after_s
        self._ready: dict[int, bool] = {}
        self._turn = 0

    def obey(self, line: bytes) -> None:
        """Carry out one order."""
        word, _, port = line.decode().partition(" ")
        if word == "add":
            self._ready.setdefault(int(port), False)
        else:
            asyncio.get_running_loop().call_later(self._arrives_after_s, self._ready.pop, int(port), None)

    async def watch(self) -> None:
        """Keep looking who is ready; a change counts some time later."""
        loop, seen = asyncio.get_running_loop(), dict[int, bool]()
        while True:
            ports = list(self._ready)
            for port, now in zip(ports, await asyncio.gather(*map(is_ready, ports)), strict=True):
                if now is not None and now != seen.get(port, False):
                    seen[port] = now
                    loop.call_later(self._arrives_after_s, self._arrive, port, now)
            await asyncio.sleep(WATCH_EVERY_S)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to an endpoint, both ways, until both sides have ended."""
        ports = [port for port, ready in self._ready.items() if ready]
        self._turn += 1
        port = ports[self._turn % len(ports)] if ports else 0
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            say(refused=port)
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_carry(reader, up_writer), _carry(up_reader, writer))
        finally:
            up_writer.close()
            writer.close()

    def _arrive(self, port: int, ready: bool) -> None:
        if port in self._ready:
            self._ready[port] = ready
            say(port=port, ready=ready)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on, the end of them too; a connection that broke breaks on the other side as well."""
    try:
        while part := await reader.read(1 << 16):
            writer.write(part)
            await writer.drain()
        if not writer.is_closing():
            writer.write_eof()
    except (OSError, RuntimeError):
        # uvloop's word for a connection that has closed in the meantime is a RuntimeError.
        writer.transport.abort()


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def get(port: int, path: str) -> int:
    """Return the status of a page, over a connection of its own. Raises ``OSError`` where nobody answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        head = (await reader.readline()).split(b" ", 2)
        if len(head) < 2:
            raise ConnectionResetError("closed without an answer")
        return int(head[1])
    finally:
        writer.transport.abort()


async def is_ready(port: int) -> bool | None:
    """Tell whether an endpoint is ready; None where it took too long to say: one such probe changes nothing."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await get(port, "/readyz") == 200
    except TimeoutError:
        return None
    except OSError:
        return False


async def main(arrives_after_s: float) -> None:
    balancer = Balancer(arrives_after_s)
    server = await asyncio.start_server(balancer.take, "127.0.0.1", 0, backlog=1024)
    watching = asyncio.create_task(balancer.watch())
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    say(listens=server.sockets[0].getsockname()[1])
    while line := await orders.readline():
        balancer.obey(line)
    watching.cancel()


# What a test sees of it.


@dataclass
class Service:
    """A running balancer."""

    port: int
    process: Process
    ready: dict[int, bool] = field(default_factory=dict)
    """By port: whether new connections go there."""
    refused: list[int] = field(default_factory=list)
    """Where a connection was to go that nobody took; 0: no endpoint was ready."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def order(self, word: str, port: int) -> None:
        """Have an endpoint known (``add``: gets connections once seen to be ready), or taken out (``end``)."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word} {port}\n".encode())

    async def listen(self) -> None:
        """Hear what it says, until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            said = json.loads(line)
            if "refused" in said:
                self.refused.append(said["refused"])
            else:
                self.ready[said["port"]] = said["ready"]


@asynccontextmanager
async def running_service(*, arrives_after_s: float) -> AsyncIterator[Service]:
    """Run a balancer on a free port; what it still carries at the end is dropped."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, str(arrives_after_s), stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    service = Service(json.loads(await process.stdout.readline())["listens"], process)
    listening = asyncio.create_task(service.listen())
    try:
        yield service
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
        await listening


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(float(sys.argv[1])))
