"""The log's way to stderr: a thread of its own writes, so that a reader who stalls, or has left, stops nobody.

A container's runtime, or ``2>&1`` into a pipe, may take nothing for minutes; a write then blocks whoever makes it, and
the event loop makes most of them.
"""

import os
import threading
from queue import SimpleQueue
from typing import Final

MOST_WAITING: Final = 1024 * 1024
"""Characters that wait for a reader who takes none; what comes then is dropped, and how much is said later."""
CLOSE_S: Final = 0.5


class StderrWriter:
    """A text stream for loggers: takes whole lines from any thread, and never waits."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Take a line with its end."""
        with self._lock:
            if self._waiting > MOST_WAITING:
                self._dropped += 1
                return
            self._waiting += len(line)
        self._lines.put(line)

    def flush(self) -> None:
        """Do nothing: whoever logs need not wait for it."""

    def close(self) -> None:
        """Write the rest; where nobody reads, give up after half a second. What comes later is not written."""
        self._lines.put(None)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)
            with self._lock:
                self._waiting -= len(line)
                dropped, self._dropped = self._dropped, 0
            if dropped:
                self._write(f'{{"event": "log_lines_dropped", "level": "warning", "lines": {dropped}}}\n')

    def _write(self, line: str) -> None:
        rest = memoryview(line.encode("utf-8", "backslashreplace"))
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            # There is nowhere left to say so.
            return
