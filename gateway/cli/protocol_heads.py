"""Reads a request's head strictly, before the parser, which lets pass what servers in front may read differently."""

import re
from typing import Final

from gateway.reasons import ProtocolRefusal

MOST_URL_BYTES: Final = 8 * 1024
MOST_HEADER_BYTES: Final = 32 * 1024
MOST_HEADER_LINES: Final = 100
MOST_HEAD_BYTES: Final = MOST_URL_BYTES + MOST_HEADER_BYTES
CHUNKED: Final = -1
"""In the place of a length: the body comes in chunks."""

_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,16}+) ([!\"$-~]++) HTTP/1\.([01])\r\n")
_FIELD_LINES: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n")
_HOST: Final = re.compile(rb"(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._~-]{1,255})(?::[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(?:[/?].*)?")
_UNFIT: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n|\Z)")
_BEGINNING: Final = re.compile(rb"[A-Z]{1,16}+(?: |\Z)")
_UPGRADE: Final = re.compile(rb"\r\nupgrade:[^\r]*+(?=\r\n)", re.IGNORECASE)
_LONGEST_LINE: Final = MOST_URL_BYTES + len(b"OPTIONS  HTTP/1.1\r\n")
_MOST_LENGTH_DIGITS: Final = 15


class Refused(Exception):
    """The request is not taken, and its connection ends."""

    def __init__(self, refusal: ProtocolRefusal, why: str) -> None:
        super().__init__(why)
        self.refusal = refusal
        self.why = why


def read_head(data: bytes, end: int) -> tuple[int, bool]:
    """Read a whole head; return the length of the body in bytes, or ``CHUNKED``, and whether it offers an upgrade.

    Args:
        data: begins with the head.
        end: where the empty line's two line ends begin.

    Raises:
        Refused: it is too large, or could be read in more than one way.
    """
    line_end = data.find(b"\r\n")
    _measure(data, line_end, end)
    line = _REQUEST_LINE.match(data)
    if line is None:
        raise Refused(ProtocolRefusal.MALFORMED, "The first line is not that of an HTTP/1.1 request.")
    if _FIELD_LINES.fullmatch(data, line_end + 2, end + 4) is None:
        raise Refused(ProtocolRefusal.SMUGGLING, "A header is not of the form 'name: value' in one line.")
    fields = data[line_end : end + 2].lower()
    method, target, minor = line.groups()
    _check_target(method, target, _host(fields, minor))
    return _framing(fields, minor), b"\r\nupgrade:" in fields


def may_begin(data: bytes) -> bool:
    """Tell whether what arrived can be the beginning of a request that is taken."""
    data = data.removeprefix(b"\r\n")
    if not data:
        return True
    try:
        whole = PartialHead().add(data)
        if whole is not None:
            read_head(whole, whole.find(b"\r\n\r\n"))
    except Refused:
        return False
    return True


def _measure(data: bytes, line_end: int, end: int) -> None:
    if line_end > _LONGEST_LINE:
        raise Refused(ProtocolRefusal.LONG_URL, f"The URL is longer than {MOST_URL_BYTES:,} bytes.")
    if end - line_end > MOST_HEADER_BYTES:
        raise Refused(ProtocolRefusal.TOO_LARGE_HEADERS, f"The headers are larger than {MOST_HEADER_BYTES:,} bytes.")
    if data.count(b"\n", line_end + 2, end + 2) > MOST_HEADER_LINES:
        raise Refused(ProtocolRefusal.TOO_MANY_HEADERS, f"There are more than {MOST_HEADER_LINES} headers.")


def _value(fields: bytes, name: bytes) -> bytes | None:
    """Return the one value of a header; ``name`` is a line end, the name and a colon. None: it does not occur."""
    at = fields.find(name)
    if at < 0:
        return None
    if fields.find(name, at + 2) >= 0:
        raise Refused(ProtocolRefusal.SMUGGLING, f"Send {name[2:-1].decode()} once.")
    begins = at + len(name)
    return fields[begins : fields.index(b"\r\n", begins)].strip(b" \t")


def _host(fields: bytes, minor: bytes) -> bytes | None:
    host = _value(fields, b"\r\nhost:")
    if host is None:
        if minor == b"1":
            raise Refused(ProtocolRefusal.SMUGGLING, "There is no Host header.")
    elif _HOST.fullmatch(host) is None:
        raise Refused(ProtocolRefusal.SMUGGLING, "The Host header names no host.")
    return host


def _check_target(method: bytes, target: bytes, host: bytes | None) -> None:
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return
    absolute = _ABSOLUTE.fullmatch(target.lower())
    if absolute is None or method == b"CONNECT":
        raise Refused(ProtocolRefusal.MALFORMED, "The URL must begin with '/'.")
    if absolute[1] != host:
        raise Refused(ProtocolRefusal.SMUGGLING, "The URL is for another host than the Host header says.")


def _framing(fields: bytes, minor: bytes) -> int:
    length, coding = _value(fields, b"\r\ncontent-length:"), _value(fields, b"\r\ntransfer-encoding:")
    if coding is not None:
        if length is not None:
            raise Refused(ProtocolRefusal.SMUGGLING, "Send Content-Length or Transfer-Encoding, not both.")
        if coding != b"chunked" or minor != b"1":
            raise Refused(ProtocolRefusal.SMUGGLING, "Of transfer codings only 'chunked' is taken, in HTTP/1.1.")
        return CHUNKED
    if length is None:
        return 0
    if not length.isdigit() or len(length) > _MOST_LENGTH_DIGITS:
        raise Refused(ProtocolRefusal.SMUGGLING, "Content-Length is not a number of bytes.")
    return int(length)


def without_upgrade(head: bytes) -> bytes:
    """Return a head without its offer of another protocol, which is ignored: the parser would skip the body for it."""
    return _UPGRADE.sub(b"", head)


class PartialHead:
    """A head that has not ended yet: counted and looked at while it arrives, since nobody waits for what cannot be."""

    __slots__ = ("_bytes", "_line_end", "_lines")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._lines = 0
        self._line_end = -1

    def add(self, data: bytes) -> bytes | None:
        """Take what arrived; once the head is whole, return all that arrived of it and after it.

        Raises:
            Refused: whatever may still come, it will not be taken.
        """
        head, before = self._bytes, len(self._bytes)
        head += data
        if head.find(b"\r\n\r\n", max(0, before - 3)) >= 0:
            return bytes(head)
        self._lines += data.count(b"\n")
        if self._line_end < 0:
            self._line_end = head.find(b"\r\n", max(0, before - 1))
            if self._line_end >= 0 and _REQUEST_LINE.match(head) is None:
                raise Refused(ProtocolRefusal.MALFORMED, "The first line is not that of an HTTP/1.1 request.")
        if _BEGINNING.match(head) is None or _UNFIT.search(head, max(0, before - 1)) is not None:
            raise Refused(ProtocolRefusal.MALFORMED, "This is not an HTTP/1.1 request.")
        self._measure()
        return None

    def _measure(self) -> None:
        size = len(self._bytes)
        if (size if self._line_end < 0 else self._line_end) > _LONGEST_LINE:
            raise Refused(ProtocolRefusal.LONG_URL, f"The URL is longer than {MOST_URL_BYTES:,} bytes.")
        if self._line_end < 0:
            return
        if size - self._line_end > MOST_HEADER_BYTES:
            raise Refused(
                ProtocolRefusal.TOO_LARGE_HEADERS, f"The headers are larger than {MOST_HEADER_BYTES:,} bytes."
            )
        if self._lines > MOST_HEADER_LINES + 1:
            raise Refused(ProtocolRefusal.TOO_MANY_HEADERS, f"There are more than {MOST_HEADER_LINES} headers.")
