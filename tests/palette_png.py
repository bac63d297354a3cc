"""Makes a screenshot small: the same picture with a palette, which is half the bytes where most of it is text."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = 3
_MOST_COLOURS = 256
_TRUE_COLOUR, _INDEXED = 2, 3


def with_palette(png: bytes) -> bytes:
    """Return a PNG of 8-bit RGB as one of at most 256 colours; each is the commonest of those that are nearly alike."""
    chunks = dict[bytes, bytes]()
    for name, content in _chunks(png):
        chunks[name] = chunks.get(name, b"") + content
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, kind) == (8, _TRUE_COLOUR), "not a screenshot of chromium"
    rows = list(_unfiltered(zlib.decompress(chunks[b"IDAT"]), width * _CHANNELS))
    pixels = [row[at : at + _CHANNELS] for row in rows for at in range(0, len(row), _CHANNELS)]
    kept = _kept(Counter(pixels))
    palette = sorted(set(kept.values()))
    index_of = {colour: palette.index(near) for colour, near in kept.items()}
    indexed = bytes(map(index_of.__getitem__, pixels))
    lines = b"".join(b"\0" + indexed[at : at + width] for at in range(0, len(indexed), width))
    header = struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0)
    written = ((b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(*each) for each in written)


def _kept(counts: Counter[bytes]) -> dict[bytes, bytes]:
    """Return the colour that stands for each: the finest that makes few enough of them."""
    for bits in range(8):
        common: dict[tuple[int, ...], bytes] = {}
        for colour, _ in counts.most_common():
            common.setdefault(tuple(value >> bits for value in colour), colour)
        if len(common) <= _MOST_COLOURS:
            break
    return {colour: common[tuple(value >> bits for value in colour)] for colour in counts}


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _unfiltered(raw: bytes, width: int) -> Iterator[bytes]:
    """Yield lines as they were before their filters: https://www.w3.org/TR/png-3/#9Filters."""
    above = bytes(width)
    for at in range(0, len(raw), width + 1):
        above = _line(raw[at], raw[at + 1 : at + 1 + width], above)
        yield above


def _line(kind: int, filtered: bytes, above: bytes) -> bytes:
    if kind == 0:
        return filtered
    if kind == 2:
        return bytes([(value + up) & 255 for value, up in zip(filtered, above, strict=True)])
    line = bytearray(_CHANNELS)
    for number, value in enumerate(filtered):
        left, up = line[number], above[number]
        corner = above[number - _CHANNELS] if number >= _CHANNELS else 0
        guess = left if kind == 1 else (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
        line.append((value + guess) & 255)
    return bytes(line[_CHANNELS:])


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
