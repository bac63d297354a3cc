"""A conversation on a page: whole where it is short, within bounds where it is long, and everything visible."""

import pytest

from gateway.api.pages.review_messages import (
    AT_ONCE,
    MOST_WEIGHT,
    OPEN_TURNS,
    Room,
    conversation_of,
    first_words,
    visible,
    weight_of,
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("a\tb\nc\r\nd", "a\tb\nc\nd", id="tabs and lines stay"),
        pytest.param("a\rb", "a\\rb", id="a return by itself"),
        pytest.param("\u202eabc\u2066", "\\u202eabc\\u2066", id="what turns the writing round"),
        pytest.param("\x00\x1b[31m\x85", "\\x00\\x1b[31m\\x85", id="what no screen shows"),
        pytest.param("naïve 値段 👩‍🔬", "naïve 値段 👩‍🔬", id="letters of all kinds"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_a_long_text_is_folded_and_a_longer_one_is_cut() -> None:
    room = Room(10_000)
    short, long = room.passage("x" * AT_ONCE), room.passage("y" * 3 * AT_ONCE)
    assert (short.folded, short.left_out) == ("", 0)
    assert (len(long.open), len(long.folded), long.left_out) == (AT_ONCE, 2 * AT_ONCE, 0)
    cut = room.passage('"' * 9_000)
    assert weight_of(cut.open + cut.folded) <= 10_000 - 4 * AT_ONCE
    assert len(cut.open) + len(cut.folded) + cut.left_out == 9_000
    assert room.passage("z" * 5_000).left_out > 4_990
    assert room.is_full
    assert room.passage("more").left_out == 4


def test_the_last_messages_have_the_room() -> None:
    messages = [{"role": "user", "content": f"{number} " + "z" * 2_000} for number in range(20)]
    asked = conversation_of({"messages": messages})
    turns = [*asked.folded, *asked.open]
    assert len(asked.open) == OPEN_TURNS
    assert asked.left_out + len(turns) == 20
    texts = [turn.text for turn in turns if turn.text]
    assert [text.open.split()[0] for text in texts] == [str(n) for n in range(asked.left_out, 20)]
    assert sum(weight_of(text.open + text.folded) for text in texts) <= MOST_WEIGHT


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param({"content": " Where\n\nis it? "}, "Where is it?", id="a text on one line"),
        pytest.param({"content": "word " * 100}, "word " * 23 + "word…", id="a long one is cut"),
        pytest.param({"content": None, "tool_calls": [{"function": {"name": "find"}}, {"function": {"name": "send"}}]},
                     "calls find, send", id="calls"),
        pytest.param({"content": [{"type": "text", "text": "In"}, {"type": "text", "text": " parts"}]}, "In parts",
                     id="parts"),
        pytest.param({}, "", id="nothing"),
        pytest.param({"content": "\u202ex"}, "\\u202ex", id="nothing hidden"),
    ],
)  # fmt: skip
def test_a_list_has_the_first_words(message: dict[str, object], words: str) -> None:
    assert first_words(message) == words
