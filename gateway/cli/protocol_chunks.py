"""Finds where a body in chunks ends, strictly: no extensions, no trailers, no line end but CR LF."""

import re
from typing import Final

from gateway.cli.protocol_heads import Refused
from gateway.reasons import ProtocolRefusal

_LINE: Final = re.compile(rb"\r\n([0-9A-Fa-f]{1,8})\r\n")
_LINE_SO_FAR: Final = re.compile(rb"\r(?:\n(?:[0-9A-Fa-f]{1,8}\r?)?)?")
_LONGEST_LINE: Final = 12
_END: Final = b"\r\n"


class Chunks:
    """Where one body in chunks is just now."""

    __slots__ = ("_left", "_line", "_was_last")

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the current chunk's data that are still to come."""
        self._line = _END
        """What arrived of the line before the next chunk, the line end of the one before it included."""
        self._was_last = False

    def take(self, data: bytes) -> int:
        """Return where in ``data`` the body has ended; -1: it has not.

        Raises:
            Refused: these are no chunks, or such as are read differently elsewhere.
        """
        at, size = 0, len(data)
        while at < size:
            if self._left:
                taken = min(self._left, size - at)
                self._left -= taken
                at += taken
            elif self._was_last:
                known = len(self._line)
                rest = _END[known:]
                found = data[at : at + len(rest)]
                if not rest.startswith(found):
                    raise Refused(ProtocolRefusal.SMUGGLING, "Trailers are not taken.")
                at += len(found)
                if len(found) == len(rest):
                    return at
                self._line += found
            else:
                at += self._take_line(data[at : at + _LONGEST_LINE])
        return -1

    def _take_line(self, data: bytes) -> int:
        """Read on in the line before a chunk; return how many bytes belong to it."""
        known = len(self._line)
        line = self._line + data
        found = _LINE.match(line)
        if found is None:
            if _LINE_SO_FAR.fullmatch(line) is None:
                raise Refused(ProtocolRefusal.SMUGGLING, "The size of a chunk is not a plain hexadecimal number.")
            self._line = line
            return len(data)
        self._left, self._line = int(found[1], 16), b""
        self._was_last = self._left == 0
        return found.end() - known
