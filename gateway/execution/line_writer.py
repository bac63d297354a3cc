"""Lines to a pipe or a file, written by a thread of its own: whoever reads slowly, or not at all, holds nobody up."""

import os
from typing import Final

from gateway.execution.behind import Behind
from gateway.metrics import Counters

MOST_WAITING: Final = 4 * 1024 * 1024
"""Bytes that wait for a reader who takes none; what comes then is dropped and counted."""
ATOMIC: Final = 4096
"""Bytes that reach a pipe in one piece (PIPE_BUF), so that lines of several writers do not mix."""
CLOSE_S: Final = 0.5


class LineWriter:
    """Takes whole lines in the event loop's thread; brings them to ``fd`` within 50 ms, or at 64 KiB."""

    def __init__(self, fd: int, dropped: Counters) -> None:
        self._fd = fd
        self._is_torn = False
        """Whether the last line has no end: a disk became full in the middle of it."""
        self._behind: Behind[bytes] = Behind("request log", self._write, dropped, most=MOST_WAITING)

    def write(self, line: bytes) -> None:
        """Take a line with its end; never waits."""
        self._behind.put(line, len(line))

    def close(self) -> None:
        """Write the rest; where nobody reads, give up after half a second."""
        self._behind.close(CLOSE_S)

    def _write(self, lines: list[bytes]) -> int:
        lost = 0
        for piece, held in pieces_of(lines):
            whole = b"\n" + piece if self._is_torn else piece
            rest = memoryview(whole)
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            except OSError:
                lost += held
            if len(rest) < len(whole):
                self._is_torn = bool(rest)
        return lost


def pieces_of(lines: list[bytes]) -> list[tuple[bytes, int]]:
    """Return lines gathered into pieces of at most ``ATOMIC`` bytes, and how many each holds; a longer line alone."""
    pieces: list[tuple[bytes, int]] = []
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        if gathered and size + len(line) > ATOMIC:
            pieces.append((b"".join(gathered), len(gathered)))
            gathered, size = [], 0
        gathered.append(line)
        size += len(line)
    pieces.append((b"".join(gathered), len(gathered)))
    return pieces
