"""Compare upstream clients on the gateway's own work: ours, aiohttp, and pyreqwest where it is installed.

    python benchmarks/clients.py

Each client sits in the same small ASGI app (parse, rewrite, forward, read usage) on the first core; stub and load are
on the last. Printed is processor time per request, which other work on the machine troubles least. Decision 2 of
ARCHITECTURE.md was taken with this.
"""

import importlib.util
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.drivers import Case, drive  # noqa: E402
from benchmarks.measure import await_port, environment, free_port, upstream  # noqa: E402
from benchmarks.peers import Door  # noqa: E402
from benchmarks.process import Server  # noqa: E402

SECONDS = 5.0
HEADERS = {"authorization": "Bearer none", "content-type": "application/json"}
Blocks = Callable[[bytes], AsyncIterator[bytes]]


def ours(port: int) -> Blocks:
    """Answer through the gateway's own client."""
    from gateway.providers.http_client import HttpClient, Origin

    client, origin = HttpClient(), Origin("127.0.0.1", port, False)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n".encode()
    head += b"".join(f"{name}: {value}\r\n".encode() for name, value in HEADERS.items())

    async def blocks(body: bytes) -> AsyncIterator[bytes]:
        connection = await client.pool(origin).acquire()
        try:
            connection.start(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
            await connection.wait_head()
            while (block := await connection.next_block()) is not None:
                yield block
        finally:
            connection.finish()

    return blocks


def through_aiohttp(port: int) -> Blocks:
    """Answer through aiohttp, with everything off that a gateway does not want."""
    import aiohttp

    sessions: list[aiohttp.ClientSession] = []

    async def blocks(body: bytes) -> AsyncIterator[bytes]:
        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False))
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with sessions[0].post(url, data=body, headers=HEADERS, allow_redirects=False) as answer:
            async for block in answer.content.iter_any():
                yield block

    return blocks


def through_pyreqwest(port: int) -> Blocks:
    """Answer through pyreqwest, told not to hold streams back."""
    from pyreqwest.client import ClientBuilder

    clients: list[Any] = []

    async def blocks(body: bytes) -> AsyncIterator[bytes]:
        if not clients:
            clients.append(ClientBuilder().follow_redirects(False).no_proxy().build())
        request = clients[0].post(f"http://127.0.0.1:{port}/v1/chat/completions").headers(HEADERS).body_bytes(body)
        async with request.streamed_read_buffer_limit(0).build_streamed() as answer:
            while (block := await answer.body_reader.read_chunk()) is not None:
                yield bytes(block)

    return blocks


CLIENTS: dict[str, Callable[[int], Blocks]] = {"ours": ours, "aiohttp": through_aiohttp, "pyreqwest": through_pyreqwest}


def app_with(blocks: Blocks) -> Callable[..., Awaitable[None]]:
    """Return a gateway-shaped ASGI app around a client."""
    import orjson

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = orjson.loads((await receive())["body"])
        body["model"] = "other"
        begun, rest = False, b""
        async for block in blocks(orjson.dumps(body)):
            if not begun:
                begun = True
                headers = [(b"content-type", b"application/json")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            # A client may cut an event anywhere.
            *events, rest = (rest + block).split(b"\n\n")
            for event in events:
                if event.startswith(b"data: {"):
                    orjson.loads(event[6:])
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def serve(name: str, port: int, stub_port: int) -> None:
    """Serve one client's app."""
    import uvicorn

    app = app_with(CLIENTS[name](stub_port))
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="error")


def compare() -> None:
    """Measure each client, and print a line for it."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    with tempfile.TemporaryDirectory() as scratch, upstream(Path(scratch), cores[-1]) as (plain_port, stream_port):
        folder = Path(scratch)
        for name in CLIENTS:
            if name != "ours" and importlib.util.find_spec(name) is None:
                print(f"{name:10} not installed: pip install {name}")
                continue
            figures = [
                measure(name, folder, port, cores[0], stream=port == stream_port) for port in (plain_port, stream_port)
            ]
            print(f"{name:10} {figures[0]:6.0f} µs a request   {figures[1]:6.0f} µs a stream of 100 chunks", flush=True)


def measure(name: str, folder: Path, stub_port: int, core: int, *, stream: bool) -> float:
    """Return processor time per request in microseconds."""
    port = free_port()
    command = (sys.executable, __file__, name, str(port), str(stub_port))
    with Server(command, core=core, env=environment(folder), cwd=ROOT, log=folder / f"{name}.log") as server:
        await_port(server, port)
        case = Case(Door("/v1/chat/completions", "m"), stream, 64, 1.0, SECONDS)
        before = server.cpu_s()
        figures = drive(case, port, folder)
        sent: int = figures.get("sent", figures["requests"])
        return (server.cpu_s() - before) / sent * 1e6


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        compare()
