"""Callers who take their time, thousands of them, in one process beside the one that is honest."""

import argparse
import asyncio
import contextlib
import json
import resource
import socket
import time
from dataclasses import asdict, dataclass, field
from typing import Final

HOST: Final = b"Host: localhost\r\n"
KINDS: Final = ("headers", "bodies", "silent", "readers")
REQUESTS: Final = {
    "headers": b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"X-Slow: ",
    "bodies": b"POST /v1/chat/completions HTTP/1.1\r\n"
    + HOST
    + b'Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"model":"',
    "silent": b"",
}
STREAM: Final = json.dumps(
    {"model": "reply", "stream": True, "messages": [{"role": "user", "content": "Go."}]}
).encode()
REQUESTS_READ: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(STREAM), STREAM)
)


@dataclass
class Ended:
    """How the connections of one kind ended: after how many seconds, with which status line."""

    after_s: list[float] = field(default_factory=list)
    said: dict[str, int] = field(default_factory=dict)
    open: int = 0


async def one(kind: str, port: int, pause_s: float, lasts_s: float, over: asyncio.Event, ended: Ended) -> None:
    """Hold one connection open for as long as it lasts."""
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    if kind == "readers":
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    first = b""
    try:
        await loop.sock_connect(raw, ("127.0.0.1", port))
        opened = time.monotonic()
        await loop.sock_sendall(raw, REQUESTS_READ if kind == "readers" else REQUESTS[kind])
        if kind == "readers":
            await over.wait()
            ended.open += 1
            return
        while time.monotonic() < opened + lasts_s:
            with contextlib.suppress(TimeoutError):
                part = await asyncio.wait_for(loop.sock_recv(raw, 4_096), pause_s)
                if not part:
                    break
                first = first or part
            if kind in ("headers", "bodies") and not first:
                await loop.sock_sendall(raw, b"a")
        else:
            ended.open += 1
            return
    except ConnectionResetError:
        pass
    finally:
        raw.close()
    ended.after_s.append(time.monotonic() - opened)
    line = first.partition(b"\r\n")[0].decode()
    ended.said[line] = ended.said.get(line, 0) + 1


async def main() -> None:
    """Connect, print ``up``, hold on, and print how it ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--each", type=int, default=500)
    parser.add_argument("--pause", type=float, default=2.0)
    parser.add_argument("--lasts", type=float, default=40.0)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ended = {kind: Ended() for kind in arguments.kinds.split(",")}
    over = asyncio.Event()
    tasks, readers = [], []
    for at in range(arguments.each):
        for kind, into in ended.items():
            holding = one(kind, arguments.port, arguments.pause, arguments.lasts, over, into)
            (readers if kind == "readers" else tasks).append(asyncio.create_task(holding))
        if at % 10 == 9:
            await asyncio.sleep(0.02)
    print("up", flush=True)
    await asyncio.gather(*tasks)
    if not tasks:
        await asyncio.sleep(arguments.lasts)
    over.set()
    await asyncio.gather(*readers)
    print(json.dumps({kind: asdict(into) for kind, into in ended.items()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
