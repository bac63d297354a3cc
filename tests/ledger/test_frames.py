import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import frames
from gateway.ledger.frames import BAD, BLANK, Frame, Short

PAYLOAD = b'S["id",1]'
FRAME = frames.encode(PAYLOAD)

payloads = st.builds(lambda letter, text: letter + b"[" + text + b"]", st.sampled_from([b"I", b"P", b"S"]), st.binary())


def framed(body: bytes, *, length: int | None = None) -> bytes:
    return struct.pack("<II", len(body) - 1 if length is None else length, zlib.crc32(body)) + body


@given(st.lists(payloads))
def test_what_is_encoded_is_read_back_with_its_places(written: list[bytes]) -> None:
    content = b"".join(map(frames.encode, written))
    scan = frames.scan(content + bytes(100))
    assert [payload for _, payload in scan.frames] == written
    assert scan.damaged == []
    assert scan.torn is None
    for at, payload in scan.frames:
        assert frames.read(content, at) == Frame(payload, at + len(frames.encode(payload)))


def test_the_header_is_length_checksum_and_version_little_endian() -> None:
    assert struct.pack("<IIB", len(PAYLOAD), zlib.crc32(b"\x01" + PAYLOAD), 1) + PAYLOAD == FRAME
    assert frames.HEADER == 9


@pytest.mark.parametrize(
    ("buffer", "expected"),
    [
        pytest.param(b"", BLANK, id="the buffer's end is blank"),
        pytest.param(bytes(100), BLANK, id="zeros are blank"),
        pytest.param(bytes(3), BLANK, id="a few zeros are blank"),
        pytest.param(FRAME, Frame(PAYLOAD, len(FRAME)), id="a whole frame"),
        pytest.param(FRAME[:5], Short(9), id="part of a header is short"),
        pytest.param(FRAME[:9], Short(len(FRAME)), id="a header alone is short"),
        pytest.param(FRAME[:-1], Short(len(FRAME)), id="a frame without its last byte is short"),
        pytest.param(FRAME[:-1] + b"}", BAD, id="a wrong byte is bad"),
        pytest.param(bytes(4) + FRAME[4:], BAD, id="a length that was lost is bad, not blank"),
        pytest.param(framed(b"\x02" + PAYLOAD), BAD, id="another version is bad"),
        pytest.param(framed(b"\x01" + PAYLOAD, length=(1 << 20) + 1), BAD, id="an absurd length is bad"),
        pytest.param(framed(b"\x01" + PAYLOAD, length=1 << 20), Short((1 << 20) + 9), id="the largest length is not"),
    ],
)
def test_what_stands_at_a_place(buffer: bytes, expected: object) -> None:
    assert frames.read(buffer, 0) == expected


@given(st.binary(max_size=200), st.integers(0, 3))
def test_the_next_good_frame_is_found_behind_anything(rubbish: bytes, lookalikes: int) -> None:
    rubbish += b"\x01S[" * lookalikes + FRAME[:-1] * lookalikes
    found = frames.find(rubbish + FRAME, 0)
    assert found is not None
    assert found <= len(rubbish)
    assert isinstance(frames.read(rubbish + FRAME, found), Frame)


def test_no_frame_is_found_where_there_is_none() -> None:
    assert frames.find(FRAME, 1) is None
    assert frames.find(b"\x01S[" * 50, 0) is None
    assert frames.find(b"", 0) is None


@pytest.mark.parametrize(
    ("tail", "torn"),
    [
        pytest.param(FRAME[:4], True, id="a header that was cut off"),
        pytest.param(FRAME[:-1], True, id="a payload that was cut off"),
        pytest.param(FRAME[:-1] + bytes(500), True, id="zeros in the place of the rest"),
        pytest.param(FRAME[:-1] + b"}", False, id="all there, and one byte is wrong"),
        pytest.param(b"\xff" + FRAME[1:], False, id="all there, and its length is too large"),
        pytest.param(b"\x01" + FRAME[1:], False, id="all there, and its length is too small"),
    ],
)
def test_a_torn_write_is_told_from_damage(tail: bytes, torn: bool) -> None:
    assert frames.is_torn(tail, 0) is torn


def test_a_scan_reports_stretches_between_good_frames() -> None:
    hit = FRAME[:-1] + b"}"
    scan = frames.scan(FRAME + hit + hit + FRAME + bytes(50) + FRAME + FRAME[:6])
    size = len(FRAME)
    assert [at for at, _ in scan.frames] == [0, 3 * size, 4 * size + 50]
    assert scan.damaged == [(size, 2 * size), (4 * size, 50)]
    assert scan.torn == 5 * size + 50


def test_a_scan_reports_damage_at_the_end() -> None:
    scan = frames.scan(FRAME + FRAME[:-1] + b"}" + bytes(100))
    assert scan.damaged == [(len(FRAME), len(FRAME))]
    assert scan.torn is None
