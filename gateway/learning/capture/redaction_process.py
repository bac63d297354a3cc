"""The process in which captured rows are redacted: a pattern that never ends holds up nobody, and can be killed."""

import asyncio
import contextlib
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.config.routes_learning import Capture

DEADLINE_S: Final = 5.0
"""For one row; thousands of times what most take."""
_START_S: Final = 30.0
_MODULE: Final = "gateway.learning.capture.redaction_server"
_INHERITED: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")


class RedactionUnavailable(Exception):
    """The process cannot be started: worth another try, later."""


class RedactionExpired(Exception):
    """A row took longer than ``deadline_s``, or was the end of the process."""


class RedactionProcess:
    """Starts with the first row, and again after it was killed. One row at a time; whoever made it closes it.

    It is given the texts and how to redact them, nothing else: no file, and no variable that could hold a secret.
    """

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process's id; None: none is running."""
        return self._process.pid if self._process else None

    async def redact(self, capture: Capture, request: bytes, answer: bytes) -> dict[str, Any] | None:
        """Return ``request``, ``answer`` and how often each kind was ``redacted``; None where it cannot be, whole.

        Raises:
            RedactionExpired: no answer within the deadline.
            RedactionUnavailable: the process does not start.
        """
        process = self._process or await self._start()
        how = {
            "redact": capture.redact,
            "patterns": dict(capture.patterns),
            "phone_regions": capture.phone_regions,
            "cpu_s": self._deadline_s,
        }
        try:
            async with asyncio.timeout(self._deadline_s):
                reply = await _exchange(process, (orjson.dumps(how), request, answer))
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            await self.close()
            raise RedactionExpired from None
        except BaseException:
            # Half of an exchange is on its way: the next row must not read the rest of it.
            await self.close()
            raise
        redacted: dict[str, Any] | None = orjson.loads(reply)
        return redacted

    async def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.shield(_ended(process))

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", _MODULE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(),
                # Ctrl-C is for the gateway, which still has rows to write.
                start_new_session=True,
            )
        except OSError as error:
            raise RedactionUnavailable(str(error)) from None
        self._process = process
        try:
            async with asyncio.timeout(_START_S):
                await _read(process)
        except (TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            await self.close()
            raise RedactionUnavailable(f"it did not begin: {type(error).__name__}") from None
        except BaseException:
            await self.close()
            raise
        return process


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


async def _exchange(process: asyncio.subprocess.Process, frames: Sequence[bytes]) -> bytes:
    assert process.stdin is not None
    process.stdin.write(b"".join(struct.pack("!I", len(frame)) + frame for frame in frames))
    await process.stdin.drain()
    return await _read(process)


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    (length,) = struct.unpack("!I", await process.stdout.readexactly(4))
    return await process.stdout.readexactly(length)


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    # What it had written may be more than a stream holds, and until somebody reads that, it has not ended.
    if process.stdout is not None:
        with contextlib.suppress(RuntimeError):  # Somebody is reading it.
            await process.stdout.read()
    await process.wait()
