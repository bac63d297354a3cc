"""Sound: a tone for each word, and WAV files that carry what is said in them as a comment."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

RATE_HZ = 24_000
PIECE_SAMPLES = 1_200
"""50 ms: what speech counts as one token."""
PIECES_A_WORD = 6
_BYTES_A_SAMPLE = 2
_PIECE_BYTES = PIECE_SAMPLES * _BYTES_A_SAMPLE
_LOUDNESS = 8_000
_SILENCE = bytes(_PIECE_BYTES)
_MADE_BY = b"Understudy sandbox"
# What a compressed file of this size would last, at 128 kbit/s.
_OTHER_BYTES_A_SECOND = 16_000


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file of sound says of itself."""

    seconds: float
    text: str | None
    """What is said in it; None where it was not made here."""


def pieces(text: str, voice: str, speed: float) -> Iterator[bytes]:
    """Yield a text as pieces of 50 ms, mono, 16 bits: a word is a tone, and a pause after it."""
    for word in words(text):
        digest = blake2b(f"{voice}\x00{word}".encode(errors="replace"), digest_size=1).digest()
        for _ in range(pieces_of_a_word(speed) - 1):
            yield _tone(6 + digest[0] % 24)
        yield _SILENCE


def words(text: str) -> list[str]:
    """Return the words of a text: at least one."""
    return text.split() or [text]


def pieces_of_a_word(speed: float) -> int:
    """Return how many pieces a word lasts."""
    return max(2, round(PIECES_A_WORD / speed))


def wav_head(text: str, piece_count: int) -> bytes:
    """Return a WAV file up to its samples, with the text as its comment."""
    said = text.encode(errors="replace")
    about = _chunk(b"LIST", b"INFO" + _chunk(b"ISFT", _MADE_BY) + _chunk(b"ICMT", said))
    byte_rate = RATE_HZ * _BYTES_A_SAMPLE
    shape = _chunk(b"fmt ", struct.pack("<2H2I2H", 1, 1, RATE_HZ, byte_rate, _BYTES_A_SAMPLE, 8 * _BYTES_A_SAMPLE))
    size = piece_count * _PIECE_BYTES
    data = b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 4 + len(shape) + len(about) + len(data) + size) + b"WAVE" + shape + about + data


def read_recording(content: bytes) -> Recording:
    """Return what a file says of itself; one that is no WAV is taken to be compressed."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return Recording(len(content) / _OTHER_BYTES_A_SECOND, None)
    found = dict(_chunks(content[12:]))
    about = dict(_chunks(found.get(b"LIST", b"")[4:]))
    said = about.get(b"ICMT") if about.get(b"ISFT") == _MADE_BY else None
    shape = found.get(b"fmt ", b"")
    byte_rate = struct.unpack_from("<I", shape, 8)[0] if len(shape) >= 12 else 0
    seconds = len(found.get(b"data", b"")) / (byte_rate or _OTHER_BYTES_A_SECOND)
    return Recording(seconds, None if said is None else said.decode(errors="replace"))


def _chunks(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(raw):
        name, (size,) = raw[at : at + 4], struct.unpack_from("<I", raw, at + 4)
        yield name, raw[at + 8 : at + 8 + size]
        # Chunks begin at even places.
        at += 8 + size + size % 2


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\x00" * (len(content) % 2)


@lru_cache(maxsize=32)
def _tone(waves: int) -> bytes:
    """Return a piece that holds so many whole waves, so that pieces join without a click."""
    turn = 2 * math.pi * waves / PIECE_SAMPLES
    samples = (round(_LOUDNESS * math.sin(turn * at)) for at in range(PIECE_SAMPLES))
    return struct.pack(f"<{PIECE_SAMPLES}h", *samples)
