"""What the demo runs on: a real gateway and a sandbox provider, each serving HTTP from a thread of this process."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.cli import demo_story as story
from gateway.clock import Clock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.cli.server import Server
    from gateway.config.settings import Settings

GATEWAY_PORT: Final = 8080
SANDBOX_PORT: Final = 8081
BACKLOG: Final = 512
STOPPED_S: Final = 15.0
DRAIN_S: Final = 5.0
_PACES: Final = {story.UNDERSTUDY: (90.0, 260.0)}
"""Milliseconds to the first token, and tokens a second: so that pictures of latency show two models, not one."""
_USUAL_PACE: Final = (45.0, 320.0)


class Stage:
    """A running gateway and sandbox, in a directory of their own."""

    def __init__(self, directory: Path, clock: Clock, *, port: int | None, sandbox_port: int | None) -> None:
        """Take both addresses; a port of None is the usual one where it is free, else any.

        Raises:
            ConfigError: a port that was asked for is taken.
        """
        self.directory = directory
        self.clock = clock
        self.log_file = directory / "gateway.log"
        self.database_url = f"sqlite+aiosqlite:///{directory / 'demo.db'}"
        with contextlib.ExitStack() as stack:
            self._sandbox_listener = stack.enter_context(_listen(sandbox_port, SANDBOX_PORT, "--sandbox-port"))
            self._gateway_listener = stack.enter_context(_listen(port, GATEWAY_PORT, "--port"))
            stack.pop_all()
        self.sandbox_url = f"http://127.0.0.1:{self._sandbox_listener.getsockname()[1]}"
        self.url = f"http://127.0.0.1:{self._gateway_listener.getsockname()[1]}"
        self._failed: BaseException | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve for as long as the context lasts; both have ended behind it, in order."""
        with self._logged() as log_fd, self._sandbox(), self._gateway(log_fd):
            yield

    def check(self) -> None:
        """Raise what ended the gateway, if anything has."""
        if self._failed is not None:
            raise self._failed

    @contextlib.contextmanager
    def _logged(self) -> Iterator[int]:
        """Have everything that is logged go to a file: the terminal tells the story."""
        import structlog

        with self.log_file.open("a", encoding="utf-8") as file:
            structlog.configure(
                processors=[
                    structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.format_exc_info,
                    structlog.processors.JSONRenderer(),
                ],
                wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
                logger_factory=structlog.WriteLoggerFactory(file),
                cache_logger_on_first_use=False,
            )
            handler = logging.StreamHandler(file)
            logging.getLogger().addHandler(handler)
            try:
                yield file.fileno()
            finally:
                logging.getLogger().removeHandler(handler)
                structlog.reset_defaults()

    @contextlib.contextmanager
    def _sandbox(self) -> Iterator[None]:
        from gateway.sandbox.app import create_sandbox
        from gateway.sandbox.catalogue import Model, default_catalogue
        from gateway.sandbox.server import SandboxServer

        def cast(model: Model) -> Model:
            first_token_ms, tokens_per_s = _PACES.get(model.id, _USUAL_PACE)
            return replace(model, shutdown_date=None, first_token_ms=first_token_ms, tokens_per_s=tokens_per_s)

        models = map(cast, default_catalogue(self.clock.now()))
        server = SandboxServer(create_sandbox(clock=self.clock, catalogue=models), grace_s=0)
        thread = Thread(target=server.run, kwargs={"sockets": [self._sandbox_listener]}, name="sandbox", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(STOPPED_S)

    @contextlib.contextmanager
    def _gateway(self, log_fd: int) -> Iterator[None]:
        import uvicorn

        from gateway.app import create_app
        from gateway.cli.server import Server

        app = create_app(self._settings(), clock=self.clock, environ={}, log_fd=log_fd)
        config = uvicorn.Config(
            app, interface="asgi3", http="httptools", ws="none", lifespan="on", log_config=None, access_log=False
        )
        server = Server(config, app, drain_s=DRAIN_S, linger_s=0.0)
        thread = Thread(target=self._serve, args=(server,), name="gateway", daemon=True)
        thread.start()
        try:
            yield
        finally:
            if server.started:
                server.handle_exit(signal.SIGINT, None)
            thread.join(STOPPED_S)

    def _serve(self, server: "Server") -> None:
        import uvloop

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(server.serve([self._gateway_listener]))
        except BaseException as error:
            self._failed = error

    def _settings(self) -> "Settings":
        from gateway.config.settings import Settings

        for route, prompt in story.PROMPTS.items():
            (self.directory / f"{route}.md").write_text(f"{prompt}\n", encoding="utf-8")
        routes_file = self.directory / "routes.yaml"
        # YAML reads JSON.
        routes_file.write_bytes(orjson.dumps(story.routes_document(self.sandbox_url), option=orjson.OPT_INDENT_2))
        values: dict[str, Any] = {
            "routes_file": routes_file,
            "database_url": self.database_url,
            "port": self._gateway_listener.getsockname()[1],
            "log_requests": "all",
            # The variables of another gateway on this machine say nothing of this one.
            "_env_prefix": f"UNDERSTUDY_DEMO_{os.getpid()}_",
        }
        return Settings(**values)


def _listen(port: int | None, usual: int, option: str) -> socket.socket:
    """Listen on the port that was asked for; where none was, on the usual one or any that is free."""
    for each in (usual, 0) if port is None else (port,):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", each))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            why = error.strerror
        else:
            listener.setblocking(False)
            return listener
    raise ConfigError(f"cannot listen on 127.0.0.1:{port or usual}: {why}; choose another with {option}")
