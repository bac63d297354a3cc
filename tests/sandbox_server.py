"""A real sandbox provider on a free port, for any test that needs one."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Thread

from gateway.clock import Clock, SystemClock
from gateway.sandbox.app import Sandbox, create_sandbox
from gateway.sandbox.catalogue import Model, default_catalogue
from gateway.sandbox.server import SandboxServer, listen


@dataclass(frozen=True)
class RunningSandbox:
    """``url`` is the server's root, ``base_url`` what an OpenAI client wants; ``sandbox.provider`` takes commands."""

    sandbox: Sandbox
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"


def fast_catalogue(started: datetime) -> tuple[Model, ...]:
    """Return the usual models without their pauses, but for ``fault-slow-headers``."""
    return tuple(replace(model, first_token_ms=0.0, tokens_per_s=None) for model in default_catalogue(started))


@contextmanager
def running_sandbox(
    *, clock: Clock | None = None, catalogue: Iterable[Model] | None = None, seed: str = "sandbox"
) -> Iterator[RunningSandbox]:
    """Serve a sandbox in a thread; the socket listens before this yields, and nothing is left running after."""
    sandbox = create_sandbox(clock=clock or SystemClock(), catalogue=catalogue, seed=seed)
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = SandboxServer(sandbox, grace_s=0)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
    thread.start()
    try:
        yield RunningSandbox(sandbox, port)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive(), "the sandbox did not stop"
