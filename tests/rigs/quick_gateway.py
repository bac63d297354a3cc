"""``gateway serve`` by a clock that runs faster: what waits for minutes between probes waits for seconds.

Time is the gateway's own, injected where it always is; requests, files and the database are as real as ever.
"""

import argparse
import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import uvicorn

from gateway.app import create_app
from gateway.cli.logs import configure_logs
from gateway.cli.server import Server
from gateway.config.settings import read_settings


class QuickClock:
    """So many seconds pass for each of the machine's."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began, self._began_at = time.monotonic(), datetime.now(UTC)

    def now(self) -> datetime:
        return self._began_at + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("speed", type=float)
    settings = read_settings()
    configure_logs(settings.log_level)
    app = create_app(settings, clock=QuickClock(parser.parse_args().speed), environ=os.environ)
    config = uvicorn.Config(
        app, host=settings.host, port=settings.port, interface="asgi3", http="httptools", lifespan="on", log_config=None
    )
    asyncio.run(Server(config, app, drain_s=settings.drain_s, linger_s=settings.lingers_s).serve())


if __name__ == "__main__":
    main()
