"""A real Redis server of a test's own, on a free port, that keeps nothing on the disk."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway_server import free_port
from programs import required

READY_S = 10
PASSWORD = "a-secret-of-the-limits-9"


@dataclass
class RunningRedis:
    """Where it listens; ``stop`` and ``start`` have it go away and come back, empty."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "requirepass": PASSWORD,
            "dir": str(self.directory),
        }
        command = [required("redis-server")]
        for name, value in settings.items():
            command += [f"--{name}", value]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.process.poll() is None, f"redis-server ended with {self.process.returncode}"
            assert time.monotonic() < deadline, f"redis-server did not listen within {READY_S} s"
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill it, as a machine that fails would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextlib.contextmanager
def running_redis(directory: Path) -> Iterator[RunningRedis]:
    redis = RunningRedis(free_port(), directory)
    redis.start()
    try:
        yield redis
    finally:
        redis.stop()
