"""Stands in front of PostgreSQL and breaks connections off within a COMMIT, so that nobody knows whether it came."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

WAYS = ("before the server has it", "after the server has it", "before its answer comes back")


class Broken(Exception):
    """A connection is over, or was made to be."""


class Proxy:
    """Passes bytes on; the next COMMIT breaks its connection, once ``way`` says how."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._writers: set[asyncio.StreamWriter] = set()
        self.way: str | None = None
        self.broken = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            upstream, sink = await asyncio.open_unix_connection(f"{self._server}/.s.PGSQL.5432")
            self._writers.add(sink)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._asked(reader, writer, sink))
                    both.create_task(_passed(upstream, writer))
            finally:
                sink.transport.abort()
                self._writers.discard(sink)
        except* (OSError, Broken):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _asked(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sink: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(1 << 16):
            way = self.way
            if way is None or b"COMMIT" not in data:
                sink.write(data)
                continue
            self.way = None
            self.broken += 1
            if way == WAYS[2]:
                # The caller's side goes first, so that the answer can go nowhere.
                writer.transport.abort()
            if way != WAYS[0]:
                sink.write(data)
                await asyncio.sleep(0.05)
            raise Broken
        raise Broken

    def close(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


async def _passed(upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await upstream.read(1 << 16):
        writer.write(data)
    raise Broken


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Return a proxy in front of a database, and the URL that leads through it."""
    server = url.partition("?host=")[2]
    with tempfile.TemporaryDirectory(prefix="understudy-proxy-") as directory:
        proxy = Proxy(server)
        listener = await asyncio.start_unix_server(proxy.connected, f"{directory}/.s.PGSQL.5432")
        try:
            yield proxy, url.replace(server, directory)
        finally:
            listener.close()
            proxy.close()
