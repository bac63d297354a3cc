"""Pictures: a grid in two colours that is mirrored in the middle, as a PNG of some hundred bytes."""

import struct
import zlib
from hashlib import blake2b

CELLS = 8
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ONE_BIT_OF_A_PALETTE = (1, 3, 0, 0, 0)


def png(seed: bytes, width: int, height: int, *, rows: int = CELLS, transparent: bool = False) -> bytes:
    """Return the picture that belongs to a seed, with its first rows drawn; ``width`` is a multiple of 64.

    ``transparent`` is for what lies behind the grid.
    """
    digest = blake2b(seed, digest_size=6 + CELLS).digest()
    lines = []
    for row in range(CELLS):
        left = f"{digest[6 + row] if row < rows else 0:08b}"[: CELLS // 2]
        cells = left + left[::-1]
        line = b"".join((b"\xff" if cell == "1" else b"\x00") * (width // CELLS // 8) for cell in cells)
        # Each line begins with its filter: none.
        lines.append((b"\x00" + line) * (height // CELLS))
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">2I5B", width, height, *_ONE_BIT_OF_A_PALETTE)),
            _chunk(b"PLTE", digest[:6]),
            _chunk(b"tRNS", b"\x00") if transparent else b"",
            _chunk(b"IDAT", zlib.compress(b"".join(lines))),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
