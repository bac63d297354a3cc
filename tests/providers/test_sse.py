from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.sse import BYTE_ORDER_MARK, MAX_EVENT_BYTES, EventSplitter, EventTooLarge, data_of

EVENTS = st.lists(
    st.sampled_from(
        (
            'data: {"a": 1}',
            "data: [DONE]",
            ": a comment",
            "event: x\ndata: 1\ndata: 2\nid: 7",
            "data:",
            'data: {"text": "héllo 🙂 日本"}',
            "retry: 10",
            "data: with: colons: and \\r \\n in text",
        )
    ),
    max_size=6,
)
LINE_ENDS = st.sampled_from(("\n", "\r\n", "\r"))


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    """Return the stream in blocks that end at these places."""
    places = [0, *sorted({place % (len(stream) + 1) for place in at}), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


def read(blocks: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    events = [event for block in blocks for event in splitter.feed(block)]
    rest = splitter.leftover()
    return [*events, rest] if rest else events


@given(EVENTS, LINE_ENDS, st.booleans(), st.integers(0, 2), st.booleans(), st.lists(st.integers(0, 500), max_size=40))
def test_however_a_stream_is_cut_it_holds_the_same_events(
    events: list[str], line_end: str, marked: bool, more_blank_lines: int, closed: bool, places: list[int]
) -> None:
    text = "".join(event + "\n\n" + "\n" * more_blank_lines for event in events)
    if not closed:
        text = text.rstrip("\n")
    stream = (BYTE_ORDER_MARK if marked else b"") + text.replace("\n", line_end).encode()
    expected = [event.encode() for event in events]
    assert read(cut(stream, places)) == expected
    assert read([bytes([byte]) for byte in stream]) == expected
    assert read([stream]) == expected


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_any_bytes_in_any_blocks_are_the_same_as_in_one(blocks: list[bytes]) -> None:
    assert read(blocks) == read([b"".join(blocks)])


@pytest.mark.parametrize(
    "line_end", [pytest.param(b"\n", id="LF"), pytest.param(b"\r\n", id="CRLF"), pytest.param(b"\r", id="CR")]
)
def test_an_event_is_handed_over_as_soon_as_the_next_one_begins(line_end: bytes) -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1" + line_end) == []
    assert [*splitter.feed(line_end), *splitter.feed(b"data: 2")] == [b"data: 1"]


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([b"data: " + b"x" * MAX_EVENT_BYTES], id="in one block"),
        pytest.param([b"x" * 200_000] * 6, id="in several"),
        pytest.param([b"data: " + b"x" * MAX_EVENT_BYTES + b"\n\n"], id="even where it ends"),
        pytest.param([b"data: 1\n\n", b"data: ", b"x" * MAX_EVENT_BYTES], id="behind a small one"),
    ],
)
def test_an_event_too_large(blocks: list[bytes]) -> None:
    with pytest.raises(EventTooLarge):
        read(blocks)


def test_an_event_of_just_the_limit_passes() -> None:
    event = b"data: " + b"x" * (MAX_EVENT_BYTES - 6)
    assert EventSplitter().feed(event + b"\n\n") == [event]


@pytest.mark.parametrize(
    ("event", "data"),
    [
        pytest.param(b"data: 1", b"1", id="one line"),
        pytest.param(b"data:1", b"1", id="without the space"),
        pytest.param(b"data:  1", b" 1", id="only one space goes"),
        pytest.param(b"data:", b"", id="empty data is data"),
        pytest.param(b"data: 1\ndata: 2", b"1\n2", id="lines are joined"),
        pytest.param(b"event: x\nid: 1\ndata: 1", b"1", id="other fields are passed over"),
        pytest.param(b": ping", None, id="a comment has none"),
        pytest.param(b"event: ping", None, id="an event without data has none"),
        pytest.param(b"datax: 1", None, id="a field that only begins like data"),
    ],
)
def test_an_events_data(event: bytes, data: bytes | None) -> None:
    assert data_of(event) == data
