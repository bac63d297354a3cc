"""The process that holds litellm, shared: importing litellm takes seconds, so all stories of a run use one child."""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Any

import httpx

from gateway.clock import SystemClock
from gateway.providers.connect_guard import Destination
from gateway.providers.worker_process import LitellmWorker

READY_S = 60.0


class LitellmChild:
    """A ``LitellmWorker`` in a thread with a loop of its own, since a test's loop ends with the test."""

    def __init__(self, *, python: str = sys.executable, environ: Mapping[str, str] | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="litellm-child", daemon=True)
        self._thread.start()
        # The tests' own modules, such as the one that moves the clock, are none of the child's.
        known = {**(os.environ if environ is None else environ), "PYTHONPATH": ""}
        self.worker = LitellmWorker(python=python, clock=SystemClock(), environ=known)
        self.worker.permit([Destination("127.0.0.1", None)])

    @property
    def path(self) -> str:
        return self.worker.path

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something on the worker's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(READY_S)

    def listen(self, *, at_once: bool) -> None:
        async def listen() -> None:
            self.worker.listen(at_once=at_once)

        self.run(listen())

    def client(self) -> httpx.Client:
        """A client of its socket, which waits as long as an import takes."""
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=self.path), base_url="http://litellm", timeout=READY_S, trust_env=False
        )

    def wait_until_ready(self) -> None:
        with self.client() as client:
            assert client.get("/healthz").status_code == 200

    def close(self) -> None:
        try:
            self.run(self.worker.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(READY_S)
            self._loop.close()


@contextmanager
def running_child(**made_with: Any) -> Iterator[LitellmChild]:
    """Start a child, wait until it serves, and end it."""
    child = LitellmChild(**made_with)
    try:
        child.listen(at_once=True)
        child.wait_until_ready()
        yield child
    finally:
        child.close()


def until(condition: Any, what: str, within_s: float = 20.0) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.01)
    return found
