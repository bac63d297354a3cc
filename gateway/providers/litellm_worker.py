"""The program of the child process that holds litellm: OpenAI's wire format over HTTP on an inherited Unix socket.

``python -m gateway.providers.litellm_worker --fd N --hosts FILE``. It serves whoever can connect to the socket, which
lies in a directory of its owner's, and connects to what the file names alone (``connect_guard``). It ends on SIGTERM,
and when its standard input ends, which its parent holds: so it cannot outlive the parent, however that dies. Its log is
JSON on stderr; what litellm prints goes nowhere.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import orjson

from gateway.errors import GatewayError
from gateway.providers.connect_guard import ConnectGuard
from gateway.providers.litellm_failures import CallFailed, refused
from gateway.providers.litellm_request import Call, read_call

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Perform = Callable[[Call], Awaitable[bytes | AsyncGenerator[bytes, None]]]

MAX_BODY_BYTES = 64 * 1024 * 1024
# Longer than the gateway keeps its idle connections: the side that sends must be the one that closes.
KEEP_ALIVE_S = 75
SHUTDOWN_S = 1
NICENESS = 10


class Disconnected(Exception):
    """The caller left before its request was whole."""


class WorkerApp:
    """The ASGI application: ``perform`` is litellm, behind ``litellm_sdk``."""

    def __init__(self, perform: Perform, log: "Log") -> None:
        self._perform = perform
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one exchange; a caller that leaves cancels what is done for it."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/healthz":
            await _send_json(send, 200, b'{"status":"ok"}')
            return
        try:
            body = await _read_body(receive)
        except Disconnected:
            return
        work = asyncio.create_task(self._serve(scope, body, send))
        leaving = asyncio.create_task(_until_disconnect(receive))
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        work.cancel()
        await asyncio.gather(work, leaving, return_exceptions=True)

    async def _serve(self, scope: Scope, body: bytes, send: Send) -> None:
        try:
            answer = await self._perform(_read_call(scope, body))
        except CallFailed as failure:
            await _send_failure(send, failure)
        except GatewayError as error:
            await _send_failure(send, refused(error))
        except Exception as error:
            # Only its kind: a message may quote the request.
            self._log.error("call_broke", kind=type(error).__name__)
            await _send_failure(send, refused(GatewayError("The call could not be made.")))
        else:
            if isinstance(answer, bytes):
                await _send_json(send, 200, answer)
            else:
                await _send_events(send, answer)


def _read_call(scope: Scope, body: bytes) -> Call:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    scheme, _, key = headers.get(b"authorization", "").partition(" ")
    return read_call(
        scope["path"],
        orjson.loads(body),
        provider=headers.get(b"x-litellm-provider", ""),
        key=key if scheme.lower() == "bearer" and key else None,
        options=json.loads(headers.get(b"x-litellm-options") or "{}"),
    )


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise Disconnected
        if not message.get("more_body"):
            return b"".join(parts)


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_json(send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _send_failure(send: Send, failure: CallFailed) -> None:
    headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in failure.headers.items())
    await _send_json(send, failure.status, failure.body, headers)


async def _send_events(send: Send, events: AsyncGenerator[bytes, None]) -> None:
    async with contextlib.aclosing(events):
        head = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        async for event in events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Log:
    """JSON lines, in the form of the gateway's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def info(self, event: str, **fields: object) -> None:
        """Write what happened."""
        self._write("info", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write what went wrong."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        line = {**fields, "event": event, "level": level, "timestamp": datetime.now(UTC).isoformat()}
        with contextlib.suppress(OSError, ValueError):
            print(json.dumps(line), file=self._stream, flush=True)


def main() -> int:
    """Serve until the parent ends or says so."""
    parser = argparse.ArgumentParser(prog="python -m gateway.providers.litellm_worker")
    parser.add_argument("--fd", type=int, required=True, help="the listening Unix socket, inherited")
    parser.add_argument("--hosts", type=Path, required=True, help="where it may connect to, as JSON")
    told = parser.parse_args()
    listener = socket.socket(fileno=told.fd)
    log = Log(_take_stderr())
    ConnectGuard(told.hosts, lambda host: log.error("connection_not_configured", host=host)).install()
    # Where the two share a core, the gateway goes first: its requests take microseconds, these take milliseconds.
    os.nice(NICENESS)
    try:
        from gateway.providers import litellm_sdk

        litellm_sdk.configure()
    except Exception as error:
        log.error("litellm_import_failed", kind=type(error).__name__, message=str(error))
        return 1
    _run(WorkerApp(litellm_sdk.perform, log), listener, log)
    return 0


def _take_stderr() -> TextIO:
    """Keep stderr to ourselves: litellm prints, and what it prints may hold prompts and keys."""
    kept = os.fdopen(os.dup(2), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return kept


def _run(app: WorkerApp, listener: socket.socket, log: Log) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        # Not uvloop: what it connects, no audit hook hears of.
        loop="asyncio",
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    server = uvicorn.Server(config)

    async def serve() -> None:
        asyncio.get_running_loop().add_reader(0, _end_at_eof, server)
        log.info("litellm_worker_ready", pid=os.getpid())
        await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())


def _end_at_eof(server: Any) -> None:
    if os.read(0, 1024) == b"":
        asyncio.get_running_loop().remove_reader(0)
        server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
