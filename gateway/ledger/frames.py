"""Frames: how records stand in a segment, how they are found again, and what is done about damage. Pure."""

import re
import struct
import zlib
from typing import Final, NamedTuple

VERSION: Final = 1
MAX_PAYLOAD: Final = 1 << 20
"""Bytes; a length beyond it is damage."""
HEADER: Final = 9
"""Bytes before the payload: its length, the checksum of version and payload (both u32, little-endian), the version."""

_HEADER: Final = struct.Struct("<IIB")
_NUMBERS: Final = struct.Struct("<II")
_VERSION_BYTE: Final = bytes((VERSION,))
_BLANK: Final = bytes(8)
# A version, a record's letter and a JSON list. JSON holds no raw control characters: inside of payloads there is none.
_LIKELY: Final = re.compile(rb"\x01[A-Z]\[")
_VERSION_AT: Final = HEADER - 1


class Position(NamedTuple):
    """A place in a journal: the segment's number, and bytes from its begin. Positions sort as they were written."""

    segment: int
    offset: int


class Frame(NamedTuple):
    """A good frame: its payload, and where the next one begins."""

    payload: bytes
    next: int


class Blank(NamedTuple):
    """Nothing was written here (yet), or the bytes end here."""


class Short(NamedTuple):
    """A frame that may be good, of which the buffer holds only the begin."""

    bytes: int
    """How long it is by its header."""


class Bad(NamedTuple):
    """No frame: its length is absurd, its checksum is wrong, or its version is another."""


BLANK: Final = Blank()
BAD: Final = Bad()


def encode(payload: bytes) -> bytes:
    """Return a payload's frame."""
    body = _VERSION_BYTE + payload
    return _NUMBERS.pack(len(payload), zlib.crc32(body)) + body


def read(buffer: bytes, at: int) -> Frame | Blank | Short | Bad:
    """Read what stands at an offset of a buffer."""
    if len(buffer) - at < HEADER:
        return Short(HEADER) if buffer[at : at + HEADER].strip(b"\0") else BLANK
    length, checksum, version = _HEADER.unpack_from(buffer, at)
    if length == 0:
        # A length that damage has made 0 leaves its checksum behind.
        return BLANK if buffer[at : at + 8] == _BLANK else BAD
    if length > MAX_PAYLOAD:
        return BAD
    end = at + HEADER + length
    if end > len(buffer):
        return Short(HEADER + length)
    if zlib.crc32(buffer[at + 8 : end]) != checksum or version != VERSION:
        return BAD
    return Frame(buffer[at + HEADER : end], end)


def find(buffer: bytes, start: int) -> int | None:
    """Return where the next good frame begins, at ``start`` or behind it; None: there is none in this buffer."""
    for likely in _LIKELY.finditer(buffer, start + _VERSION_AT):
        at = likely.start() - _VERSION_AT
        if isinstance(read(buffer, at), Frame):
            return at
    return None


def is_torn(buffer: bytes, at: int) -> bool:
    """Whether what stands at ``at``, with nothing good behind it, is a write that did not get to its end.

    Its bytes stop before the end that its header gives, in the middle of its JSON; damage leaves the rest in place.
    """
    data_end = len(buffer.rstrip(b"\0"))
    if data_end - at < HEADER:
        return True
    length, _, version = _HEADER.unpack_from(buffer, at)
    if length > MAX_PAYLOAD or version != VERSION:
        return False
    return at + HEADER + int(length) > data_end and not buffer.endswith(b"]", at, data_end)


class Scan(NamedTuple):
    """What one segment's bytes hold."""

    frames: list[tuple[int, bytes]]
    """Good ones: offset and payload."""
    damaged: list[tuple[int, int]]
    """Stretches that cannot be read: offset and length in bytes."""
    torn: int | None
    """Where a write was cut off at the end; normal in the last segment of a process that died."""


def scan(buffer: bytes) -> Scan:
    """Read a whole segment, searching on behind damage."""
    frames: list[tuple[int, bytes]] = []
    damaged: list[tuple[int, int]] = []
    at = 0
    while at < len(buffer):
        match read(buffer, at):
            case Frame(payload, following):
                frames.append((at, payload))
                at = following
                continue
            case Blank() if not buffer[at:].strip(b"\0"):
                break
        found = find(buffer, at + 1)
        if found is None:
            if is_torn(buffer, at):
                return Scan(frames, damaged, at)
            damaged.append((at, len(buffer.rstrip(b"\0")) - at))
            break
        damaged.append((at, found - at))
        at = found
    return Scan(frames, damaged, None)
